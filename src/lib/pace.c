/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#include "config.h"
#include <glib.h>
#include "pace.h"
#include "timeouts.h"

/* A target may be behind by up to two of these parts of what is left: */
#define STEP_SHARE 8
#define STEP_MIN   (UINT64_C(4) << 20) /* bytes */
#define STEP_MAX   (UINT64_C(128) << 20)
#define LAST       (UINT64_C(8) << 20) /* with so many left it is awaited */
/* Its libvirt starts a QEMU when it has read the beginning.  That takes half a
 * second, several on a busy node; it has when more is taken than pipes hold. */
#define COLD_TAKEN   (UINT64_C(6) << 20) /* bytes */
#define COLD_AT_MOST (10 * QM_S)
/* Only where so much was left a moment ago something is left now. */
#define COLD_LEFT  (UINT64_C(128) << 20) /* bytes */
#define COLD_KNOWN (50 * QM_MS)

/* How much will be left at the next mark? */
static uint64_t
after(uint64_t left)
{
    uint64_t step = CLAMP(left / STEP_SHARE, STEP_MIN, STEP_MAX);

    return left <= LAST ? 0 : MAX(left - step, LAST);
}

void
qm__pace_look(qm_pace *p, uint64_t left, uint64_t written, int64_t now)
{
    p->looked_at = now;
    if (left == p->left)
        return;
    if (left > p->left) /* a new pass */
        p->next_mark = after(left);
    p->left = left;
    p->left_at = written;
}

uint64_t
qm__pace_left(const qm_pace *p, uint64_t written)
{
    uint64_t since = written - p->left_at;

    return p->left > since ? p->left - since : 0;
}

bool
qm__pace_is_cold(qm_pace *p, uint64_t followed, int64_t now)
{
    p->warm |= followed >= COLD_TAKEN;
    return !p->warm && now - p->began < COLD_AT_MOST;
}

bool
qm__pace_has_come(const qm_pace *p, uint64_t followed)
{
    return p->mark != 0 && followed >= p->mark;
}

static void
set_mark(qm_pace *p, const qm_pace_sample *s)
{
    p->mark = s->landed;
    p->stays = p->next_mark == LAST && !s->slow;
    p->next_mark = after(qm__pace_left(p, s->written));
}

static bool
is_due(const qm_pace *p, const qm_pace_sample *s)
{
    return p->next_mark != 0 && qm__pace_left(p, s->written) <= p->next_mark;
}

/* The target has come to the last mark. */
static qm_pace_verdict
go_on(qm_pace *p, const qm_pace_sample *s, bool *ret_mark)
{
    p->stays = false;
    if (!is_due(p, s))
        return QM_PACE_GO;
    /* At the last one nothing shall be on its way. */
    if (p->next_mark == LAST && s->landed < s->written)
        return QM_PACE_FAR;
    set_mark(p, s);
    *ret_mark = true;
    return p->stays ? QM_PACE_FAR : QM_PACE_GO;
}

qm_pace_verdict
qm__pace(qm_pace *p, const qm_pace_sample *s, bool *ret_mark)
{
    *ret_mark = false;
    if (qm__pace_is_cold(p, s->followed, s->now) && s->landed >= COLD_TAKEN) {
        if (p->mark == 0) {
            set_mark(p, s);
            *ret_mark = true;
        }
        if (p->left <= COLD_LEFT || s->now - p->looked_at >= COLD_KNOWN)
            return QM_PACE_COLD;
    }
    if (s->followed >= p->mark)
        return go_on(p, s, ret_mark);
    return p->stays || is_due(p, s) ? QM_PACE_FAR : QM_PACE_GO;
}
