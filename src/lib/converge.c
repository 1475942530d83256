/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#include "config.h"
#include <glib.h>
#include "converge.h"
#include "timeouts.h"

#define ENOUGH      10 /* a pass helps when it leaves a tenth less */
#define VAIN_MAX    3  /* passes at the limit that do not help */
#define OVERHEAD    64 /* one part: headers of pages and chunks */
#define ROOM_MARGIN (UINT64_C(16) << 20) /* bytes: devices, padding */
/* Of what goes out in a second: */
#define SLOW_LEFT   5  /* with one part of it left the copy slows down */
#define SLOW_SPEED  4  /* to one part of it, */
#define SLOW_WRITES 16 /* if the guest writes no more than this part */
#define SLOW_PASSES 5  /* then it was no good idea */
#define SLOW_MIN    (UINT64_C(16) << 20) /* bytes/s */

/* Every page may have been written since the pass began, which QEMU will
 * only find out at its end: all of the memory has to fit once more.  Then
 * nothing is added, since the guest is paused. */
static bool
is_full(const qm_converge_sample *s)
{
    return s->room < s->total + s->total / OVERHEAD + ROOM_MARGIN;
}

static qm_converge_verdict
allow(qm_converge *c, unsigned ms, const char *why, const char **ret_why)
{
    c->downtime_ms = ms;
    c->stretch = 1;
    *ret_why = why;
    return QM_CONVERGE_ALLOW;
}

static qm_converge_verdict
hurry(qm_converge *c, bool vain, const char **ret_why)
{
    c->speed = 0;
    c->stretch = 1;
    c->never_slow |= vain;
    *ret_why = vain ? "it does not end slowly" : "the guest writes";
    return QM_CONVERGE_HURRY;
}

/* While it is slow the passes are not judged, and QEMU is left in peace: it is
 * about to pause the guest.  It counts at the speed that it has: what takes
 * 20 ms then takes 5 without the limit, so that it may be more when it does not
 * come to an end. */
static qm_converge_verdict
glide(qm_converge *c, const qm_converge_sample *s, const char **ret_why)
{
    uint64_t passes = s->iteration - MIN(s->iteration, c->iteration);
    unsigned stretch = passes <= 1 ? 1 : passes == 2 ? 2 : SLOW_SPEED;

    if (s->remaining > c->speed || s->dirty_rate > c->speed / 2)
        return hurry(c, false, ret_why);
    if (passes > SLOW_PASSES)
        return hurry(c, true, ret_why);
    if (stretch <= c->stretch)
        return QM_CONVERGE_WAIT;
    c->stretch = stretch;
    *ret_why = "it is shorter at full speed";
    return QM_CONVERGE_ALLOW;
}

/* A new pass begins: did the last one help? */
static qm_converge_verdict
judge_pass(qm_converge *c, const qm_converge_sample *s, const char **ret_why)
{
    bool first = c->iteration <= 1;
    bool helped = s->remaining < c->remaining - c->remaining / ENOUGH;

    c->iteration = s->iteration;
    c->remaining = s->remaining;
    if (first || helped)
        return QM_CONVERGE_WAIT;
    if (c->downtime_ms < c->limits.downtime_limit_ms)
        return allow(c, MIN(2 * c->downtime_ms, c->limits.downtime_limit_ms),
                     "the guest writes as fast as its memory is copied",
                     ret_why);
    if (++c->in_vain < VAIN_MAX)
        return QM_CONVERGE_WAIT;
    *ret_why = "it does not converge within downtime_limit";
    return QM_CONVERGE_SUSPEND;
}

qm_converge_verdict
qm__converge(qm_converge *c, const qm_converge_sample *s, const char **ret_why)
{
    *ret_why = NULL;
    if (s->now >= c->limits.until) {
        *ret_why = "the time for copying is over";
        return QM_CONVERGE_SUSPEND;
    }
    if (c->limits.once && s->iteration > 1) {
        *ret_why = "its memory has been copied once";
        return QM_CONVERGE_SUSPEND;
    }
    if (c->downtime_ms != 0 && s->iteration > 1 && is_full(s)) {
        *ret_why = "the vault is nearly full";
        return QM_CONVERGE_SUSPEND;
    }
    if (c->downtime_ms == 0)
        return allow(
            c, MIN(QM_CONVERGE_FIRST_MS, MAX(c->limits.downtime_limit_ms, 1)),
            "to begin with", ret_why);
    if (c->speed != 0)
        return glide(c, s, ret_why);
    if (s->iteration <= c->iteration)
        return QM_CONVERGE_WAIT;
    return judge_pass(c, s, ret_why);
}

uint64_t
qm__converge_slow(uint64_t rate, uint64_t remaining, uint64_t dirty_rate)
{
    if (remaining > rate / SLOW_LEFT || dirty_rate > rate / SLOW_WRITES)
        return 0;
    return MAX(rate / SLOW_SPEED, SLOW_MIN);
}

uint32_t
qm__converge_pause(const qm_converge_sample *s)
{
    int64_t us = qm__transfer_time(s->remaining, s->rate);

    return us / QM_MS > UINT32_MAX ? UINT32_MAX : (uint32_t) (us / QM_MS);
}
