/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#include "config.h"
#include <string.h>
#include "hints.h"
#include "timeouts.h"

#define OPEN_AT_MOST (500 * QM_MS)
/* People are told now and then, and a target answers its source when it has
 * come to where that one last said to be.  Each message lets corosync's token
 * go around dozens of times, at real-time priority, on all nodes of the
 * cluster: sixty a second took a quarter of two processors. */
#define TELL_PEOPLE (500 * QM_MS)

struct qm_hints {
    qm_peer *peer; /* NULL: nobody hears */
    qm_job job;
    qm_job other;
    int64_t began;
    int64_t heard; /* 0: never */
    int64_t told;
    uint64_t told_bytes;
    bool cancelled;
    char why[QM_CAUSE_MAX];
};

qm_hints *
qm__hints_new(const qm_job *job)
{
    qm_hints *h = g_new0(qm_hints, 1);
    g_autoptr(GError) ignored = NULL;

    h->job = *job;
    h->began = qm__now();
    if (!qm__peer_open(false, qm__deadline_in(OPEN_AT_MOST), &h->peer,
                       &ignored))
        h->peer = NULL;
    return h;
}

void
qm__hints_free(qm_hints *h)
{
    if (h == NULL)
        return;
    g_clear_pointer(&h->peer, qm__peer_close);
    g_free(h);
}

int
qm__hints_fd(const qm_hints *h)
{
    return h->peer != NULL ? qm__peer_fd(h->peer) : -1;
}

bool
qm__hints_has_daemon(qm_hints *h, uint32_t node_id)
{
    return h->peer != NULL && qm__peer_has_daemon(h->peer, node_id);
}

qm_job *
qm__hints_job(qm_hints *h)
{
    return &h->job;
}

const qm_job *
qm__hints_other(const qm_hints *h, int64_t *ret_age)
{
    if (h->heard == 0)
        return NULL;
    *ret_age = qm__now() - h->heard;
    return &h->other;
}

/* --- telling ------------------------------------------------------------- */

static void
send(qm_hints *h, qm_message_kind kind, const qm_offer *offer)
{
    qm_message m = {.kind = kind};

    h->job.elapsed_ms = (uint32_t) ((qm__now() - h->began) / QM_MS);
    h->told = qm__now();
    h->told_bytes = h->job.bytes;
    if (h->peer == NULL)
        return;
    m.job = h->job;
    if (offer != NULL)
        m.offer = *offer;
    qm__peer_send(h->peer, &m);
}

void
qm__hints_offer(qm_hints *h, const qm_offer *offer)
{
    send(h, QM_MESSAGE_OFFER, offer);
}

void
qm__hints_tell(qm_hints *h)
{
    send(h, QM_MESSAGE_PROGRESS, NULL);
}

void
qm__hints_soon(qm_hints *h, qm_phase phase)
{
    h->job.phase = phase;
    h->job.text[0] = '\0';
}

void
qm__hints_phase(qm_hints *h, qm_phase phase, const char *text)
{
    h->job.phase = phase;
    g_strlcpy(h->job.text, text != NULL ? text : "", sizeof h->job.text);
    qm__hints_tell(h);
}

/* Has the target come to where the source waits for it? */
static bool
has_come(const qm_hints *h)
{
    return h->job.side == QM_SIDE_TARGET && h->heard != 0 &&
           h->told_bytes < h->other.bytes && h->job.bytes >= h->other.bytes;
}

void
qm__hints_progress(qm_hints *h)
{
    if (qm__now() - h->told >= TELL_PEOPLE || has_come(h))
        qm__hints_tell(h);
}

/* --- hearing ------------------------------------------------------------- */

static void
hear(qm_hints *h, const qm_message *m)
{
    bool ours = memcmp(m->job.uuid, h->job.uuid, QM_UUID_LEN) == 0;

    if (m->kind == QM_MESSAGE_QUERY) {
        send(h, QM_MESSAGE_PROGRESS, NULL);
    } else if (m->kind == QM_MESSAGE_CANCEL && ours) {
        h->cancelled = true;
        g_strlcpy(h->why, m->job.text, sizeof h->why);
    } else if (m->kind == QM_MESSAGE_PROGRESS && ours &&
               m->job.side != h->job.side &&
               m->job.image_id == h->job.image_id) {
        h->other = m->job;
        h->heard = qm__now();
    }
}

/* Cancelling is the source's business: it tells the target. */
bool
qm__hints_check(qm_hints *h, GError **error)
{
    qm_message m;

    while (h->peer != NULL && qm__peer_next(h->peer, &m))
        hear(h, &m);
    if (h->cancelled && h->job.side == QM_SIDE_SOURCE) {
        g_set_error(error, QM_ERROR, QM_ERROR_CANCELLED,
                    "the move is cancelled%s%s", h->why[0] != '\0' ? ": " : "",
                    h->why);
        return false;
    }
    if (h->heard != 0 && (h->other.phase == QM_PHASE_FAILED ||
                          h->other.phase == QM_PHASE_CANCELLED)) {
        g_set_error(error, QM_ERROR, QM_ERROR_REFUSED, "%s gives up: %s",
                    h->job.side == QM_SIDE_SOURCE ? h->job.target_name
                                                  : h->job.source_name,
                    h->other.text);
        return false;
    }
    return true;
}
