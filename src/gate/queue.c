/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The requests between clients and LUN: which go out, which wait, and what
 * becomes of their results.
 *
 * A client is told of success only when the target said so on a session that
 * was ours.  A request whose outcome is unknown goes back to where it stood
 * in the order of arrival and is sent again; nobody was told of it, so that
 * is what the client asked for.  Nothing of a new connection is sent while
 * something of an old one is in flight: it could land on top.
 */
#include "config.h"
#include <string.h>
#include "crash.h"
#include "gate.h"
#include "log.h"
#include "timeouts.h"

#define SENSE_ILLEGAL_REQUEST 5
#define SENSE_UNIT_ATTENTION  6
#define ASCQ_INVALID_OPCODE   0x2000

static void start(gate *g, request *r);
static void fenced_by(gate *g, const qm_scsi_status *status);

void
queue_init(gate *g)
{
    g->waiting_end = &g->waiting;
}

static bool
writes(const request *r)
{
    return r->command != NBD_CMD_READ;
}

/* --- waiting ------------------------------------------------------------- */

static void
wait_at_end(gate *g, request *r)
{
    r->next = NULL;
    *g->waiting_end = r;
    g->waiting_end = &r->next;
    g->n_waiting++;
}

/* Back to its place in the order of arrival. */
static void
wait_again(gate *g, request *r)
{
    request **at = &g->waiting;

    while (*at != NULL && (*at)->sequence < r->sequence)
        at = &(*at)->next;
    r->next = *at;
    *at = r;
    if (r->next == NULL)
        g->waiting_end = &r->next;
    g->n_waiting++;
}

/* What was sent before has to be settled before the state can go on: it may
 * pass wherever the reservation is ours. */
static gate_policy
policy_for(const gate *g, const request *r)
{
    gate_policy policy = gate_policy_for(g->state, r->command);

    if (policy == GATE_WAIT && r->tries > 0 && gate_state_owns(g->state))
        policy = GATE_PASS;
    if (policy == GATE_PASS && (g->lun == NULL || g->lost || g->n_orphans > 0 ||
                                g->fence_reason != NULL))
        policy = GATE_WAIT;
    return policy;
}

void
queue_submit(void *opaque, request *r)
{
    gate *g = opaque;
    gate_policy policy = policy_for(g, r);

    r->sequence = ++g->sequence;
    r->arrived = qm__now();
    if (policy == GATE_PASS)
        start(g, r);
    else if (policy == GATE_DONE)
        nbd_reply(r, NBD_OK);
    else
        wait_at_end(g, r);
}

void
queue_pump(gate *g)
{
    request **at = &g->waiting;

    while (*at != NULL) {
        request *r = *at;
        gate_policy policy = policy_for(g, r);

        if (policy != GATE_PASS && policy != GATE_DONE) {
            at = &r->next;
            continue;
        }
        *at = r->next;
        if (*at == NULL)
            g->waiting_end = at;
        g->n_waiting--;
        if (policy == GATE_PASS)
            start(g, r);
        else
            nbd_reply(r, NBD_OK);
    }
    merge_send(g);
}

/* --- in flight ----------------------------------------------------------- */

static void
link_in_flight(gate *g, request *r)
{
    r->prev = NULL;
    r->next = g->in_flight;
    if (r->next != NULL)
        r->next->prev = r;
    g->in_flight = r;
    g->n_in_flight++;
    if (writes(r))
        g->n_writing++;
}

static void
unlink_in_flight(gate *g, request *r)
{
    if (r->prev != NULL)
        r->prev->next = r->next;
    else
        g->in_flight = r->next;
    if (r->next != NULL)
        r->next->prev = r->prev;
    g->n_in_flight--;
    if (writes(r))
        g->n_writing--;
}

void
queue_orphan(gate *g, const nbd_conn *conn)
{
    request **at = &g->waiting;

    while (*at != NULL) {
        request *r = *at;

        if (r->conn != conn) {
            at = &r->next;
            continue;
        }
        *at = r->next;
        g->n_waiting--;
        request_put(g->pool, r);
    }
    g->waiting_end = at;
    for (request *r = g->in_flight; r != NULL; r = r->next)
        if (r->conn == conn) {
            r->conn = NULL;
            g->n_orphans++;
        }
}

static void
count(gate *g, const request *r)
{
    uint64_t took = (uint64_t) (qm__now() - r->arrived);

    if (r->error != NBD_OK) {
        g->counters.errors++;
        return;
    }
    switch (r->command) {
    case NBD_CMD_READ:
        g->counters.reads++;
        g->counters.read_us += took;
        g->counters.read_bytes += r->length;
        break;
    case NBD_CMD_WRITE:
        g->counters.writes++;
        g->counters.write_us += took;
        g->counters.written_bytes += r->length;
        break;
    default:
        g->counters.flushes++;
        g->counters.flush_us += took;
        break;
    }
}

/* The write of a FUA request is done; what is left is to flush it. */
static bool
wants_flush_next(const gate *g, const request *r)
{
    return r->command == NBD_CMD_WRITE && r->fua && !g->info.fua &&
           !r->flushing && r->error == NBD_OK;
}

/* At once, or when the state allows it. */
static void
resend(gate *g, request *r)
{
    if (policy_for(g, r) == GATE_PASS)
        start(g, r);
    else
        wait_again(g, r);
}

/* All of its commands came back. */
static void
finish(gate *g, request *r)
{
    unlink_in_flight(g, r);
    if (r->conn == NULL) {
        g->n_orphans--;
        request_put(g->pool, r);
        if (g->n_orphans == 0)
            queue_pump(g);
    } else if (g->state == QM_GATE_FENCED || g->fence_reason != NULL) {
        wait_again(g, r); /* for good: its client is about to be killed */
    } else if (r->lost) {
        r->flushing = false;
        wait_again(g, r);
    } else if (r->again) {
        r->again = false;
        resend(g, r);
    } else if (wants_flush_next(g, r)) {
        r->flushing = true;
        resend(g, r);
    } else {
        if (r->command == NBD_CMD_WRITE)
            QM_CRASH_POINT("gate-written");
        count(g, r);
        nbd_reply(r, r->error);
    }
}

/* --- results ------------------------------------------------------------- */

static void
fenced_by(gate *g, const qm_scsi_status *status)
{
    g_autofree char *why =
        status->key == SENSE_UNIT_ATTENTION
            ? g_strdup_printf("unit attention %02x/%02x", status->ascq >> 8,
                              status->ascq & 0xff)
            : g_strdup("reservation conflict");

    gate_must_fence(g, why);
}

static const char *
command_name(const request *r)
{
    return r->command == NBD_CMD_READ    ? "read"
           : r->command == NBD_CMD_WRITE ? "write"
                                         : "flush";
}

/* A target without a cache has no command to flush it. */
static bool
has_nothing_to_flush(const request *r, const qm_scsi_status *status)
{
    return (r->command == NBD_CMD_FLUSH || r->flushing) &&
           status->key == SENSE_ILLEGAL_REQUEST &&
           status->ascq == ASCQ_INVALID_OPCODE;
}

static void
failed(gate *g, request *r, const qm_scsi_status *status)
{
    g_autofree char *why = NULL;

    if (has_nothing_to_flush(r, status))
        return;
    r->error = status->result == QM_SCSI_NO_SPACE ? NBD_ENOSPC : NBD_EIO;
    why = g_strdup_printf(
        "%s of %u bytes at %" G_GUINT64_FORMAT
        " failed: %s (sense %x/%02x/%02x)",
        command_name(r), r->length, r->offset,
        r->error == NBD_ENOSPC ? "the target has no space left" : "I/O error",
        (unsigned) status->key, (unsigned) status->ascq >> 8,
        (unsigned) status->ascq & 0xff);
    gate_set_reason(g, why);
    qm__warning("disk %s: %s", g->settings->disk, why);
}

/* While we are not the owner: a reservation that shuts out readers too. */
static void
conflict(gate *g, request *r, const qm_scsi_status *status)
{
    if (gate_state_owns(g->state) && !g->settings->read_only)
        fenced_by(g, status);
    else
        failed(g, r, status);
}

void
queue_answered(gate *g, request *r, const qm_scsi_status *status)
{
    switch (status->result) {
    case QM_SCSI_GOOD:
        break;
    case QM_SCSI_FENCED:
        conflict(g, r, status);
        break;
    case QM_SCSI_LOST:
        r->lost = g->lost = true;
        break;
    case QM_SCSI_NO_SPACE:
    case QM_SCSI_ERROR:
        failed(g, r, status);
        break;
    }
    if (--r->parts_left == 0)
        finish(g, r);
}

void
queue_send_again(gate *g, request *r)
{
    r->parts_left = 0;
    r->again = true;
    finish(g, r);
}

static void
part_done(void *opaque, const qm_scsi_status *status)
{
    request_part *part = opaque;

    queue_answered(part->gate, part->request, status);
}

/* --- sending ------------------------------------------------------------- */

static unsigned
parts_needed(const gate *g, const request *r)
{
    uint32_t max = g->info.max_transfer;

    return r->length == 0 ? 1 : (r->length + max - 1) / max;
}

static void
divide(gate *g, request *r, unsigned n)
{
    uint32_t max = g->info.max_transfer;

    if (r->parts != &r->part)
        g_free(r->parts);
    r->parts = n == 1 ? &r->part : g_new(request_part, n);
    for (unsigned i = 0; i < n; i++) {
        uint32_t at = i * max;

        r->parts[i].gate = g;
        r->parts[i].request = r;
        r->parts[i].offset = r->offset + at;
        r->parts[i].iov.iov_base = r->buf != NULL ? r->buf + at : NULL;
        r->parts[i].iov.iov_len = MIN(max, r->length - at);
    }
}

static qm_lun_op
op_for(const request *r)
{
    if (r->flushing || r->command == NBD_CMD_FLUSH)
        return QM_LUN_FLUSH;
    return r->command == NBD_CMD_READ ? QM_LUN_READ : QM_LUN_WRITE;
}

void
queue_sent(gate *g, request *r, unsigned n)
{
    r->tries++;
    r->lost = false;
    r->error = NBD_OK;
    r->parts_left = n;
    link_in_flight(g, r);
}

void
queue_send(gate *g, request *r)
{
    qm_lun_op op = op_for(r);
    unsigned n = op == QM_LUN_FLUSH ? 1 : parts_needed(g, r);
    bool fua = r->fua && op == QM_LUN_WRITE && g->info.fua;

    divide(g, r, n);
    queue_sent(g, r, n);
    for (unsigned i = 0; i < n; i++) {
        request_part *p = &r->parts[i];

        if (!qm__lun_submit(g->lun, op, p->offset, &p->iov,
                            op == QM_LUN_FLUSH ? 0 : 1, fua, part_done, p)) {
            r->lost = g->lost = true;
            r->parts_left -= n - i;
            break;
        }
    }
    if (r->parts_left == 0)
        finish(g, r);
}

static void
start(gate *g, request *r)
{
    if (!merge_add(g, r))
        queue_send(g, r);
}

/* --- drain --------------------------------------------------------------- */

static void
drain_flushed(void *opaque, const qm_scsi_status *status)
{
    gate *g = opaque;
    bool no_cache = status->key == SENSE_ILLEGAL_REQUEST &&
                    status->ascq == ASCQ_INVALID_OPCODE;

    g->flushing = false;
    switch (status->result) {
    case QM_SCSI_GOOD:
        gate_drain_ended(g, true);
        break;
    case QM_SCSI_FENCED:
        fenced_by(g, status);
        break;
    case QM_SCSI_LOST: /* again after the reconnect */
        g->lost = true;
        break;
    default:
        gate_drain_ended(g, no_cache);
        break;
    }
}

void
queue_drain(gate *g)
{
    if (g->flushing || g->n_writing > 0 || g->lun == NULL || g->lost ||
        g->fence_reason != NULL)
        return;
    g->flushing = qm__lun_submit(g->lun, QM_LUN_FLUSH, 0, NULL, 0, false,
                                 drain_flushed, g);
    g->lost = !g->flushing;
}
