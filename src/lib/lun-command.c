/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Commands in flight on one nexus.  libiscsi forgets callbacks on some of its
 * error paths and promises little on others, so the commands are kept in a
 * list here: each one ends exactly once, with the target's answer or, when
 * the session is torn down, with LOST.  What the target puts off (BUSY, unit
 * attentions) is sent again from the service call, unseen by the caller.
 */
#include "config.h"
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include "lun-internal.h"

#define TRIES_MAX 16           /* of answers that say "again" */
#define UA_MAX    1000         /* of unit attentions: a target queues them */
#define PAUSE_MIN (10 * QM_MS) /* before a command put off goes out again */
#define PAUSE_MAX (100 * QM_MS)

G_STATIC_ASSERT(sizeof(struct scsi_iovec) == sizeof(struct iovec));
G_STATIC_ASSERT(offsetof(struct scsi_iovec, iov_len) ==
                offsetof(struct iovec, iov_len));

typedef struct {
    GList link; /* in lun->commands */
    qm_lun *lun;
    qm_scsi_request request;
    struct iovec *iov; /* the caller's */
    int n_iov;
    struct scsi_task *task; /* with libiscsi; NULL: put off */
    int64_t submitted;      /* first, µs */
    int64_t due;            /* put off until, µs */
    unsigned tries;
    qm_scsi_cb cb;
    void *opaque;
} command;

static void
end(command *c, const qm_scsi_status *status, uint32_t received)
{
    g_queue_unlink(&c->lun->commands, &c->link);
    scsi_free_scsi_task(c->task);
    c->cb(c->opaque, status, received);
    g_free(c);
}

static void
put_off(command *c, int64_t pause)
{
    scsi_free_scsi_task(c->task);
    c->task = NULL;
    c->tries++;
    c->due = qm__now() + pause;
    c->lun->deferred++;
}

/* A target that says GOOD but moved less than asked for has not done it. */
static bool
is_short(const command *c)
{
    return c->task->residual_status == SCSI_RESIDUAL_UNDERFLOW &&
           !c->request.short_ok;
}

static uint32_t
received(const command *c)
{
    size_t rest = c->task->residual_status == SCSI_RESIDUAL_UNDERFLOW
                      ? c->task->residual
                      : 0;

    return rest < c->request.length ? c->request.length - (uint32_t) rest : 0;
}

static void
on_answer(struct iscsi_context *iscsi, int scsi_status, void *data,
          void *opaque)
{
    command *c = opaque;
    qm_lun *lun = c->lun;
    qm_scsi_status status;

    if (lun->iscsi == NULL)
        return; /* being torn down, which ends it */
    switch (qm__scsi_judge(scsi_status, &c->task->sense,
                           lun->key != 0 && !c->request.disarmed, &status)) {
    case QM_VERDICT_LATER:
        put_off(c, MIN(PAUSE_MIN << MIN(c->tries, 4), PAUSE_MAX));
        return;
    case QM_VERDICT_AGAIN:
        if (c->tries <
            (status.key == SCSI_SENSE_UNIT_ATTENTION ? UA_MAX : TRIES_MAX)) {
            put_off(c, 0);
            return;
        }
        break;
    case QM_VERDICT_DONE:
        break;
    }
    if (status.result == QM_SCSI_LOST) {
        qm__lun_lose(lun, iscsi_get_error(iscsi));
        return;
    }
    if (status.result == QM_SCSI_GOOD && is_short(c))
        status.result = QM_SCSI_ERROR;
    end(c, &status, received(c));
}

/* false: libiscsi takes no more, the session is lost. */
static bool
send_command(command *c)
{
    qm_scsi_request *r = &c->request;
    struct scsi_iovec *iov = (struct scsi_iovec *) c->iov;

    c->task = scsi_create_task((int) r->cdb_length, r->cdb, r->direction,
                               (int) r->length);
    if (c->task == NULL)
        return false;
    if (r->direction == SCSI_XFER_READ)
        scsi_task_set_iov_in(c->task, iov, c->n_iov);
    else if (r->direction == SCSI_XFER_WRITE)
        scsi_task_set_iov_out(c->task, iov, c->n_iov);
    if (iscsi_scsi_command_async(c->lun->iscsi, c->lun->number, c->task,
                                 on_answer, NULL, c) == 0) {
        /* A write is two pieces for libiscsi: header and data. */
        c->lun->unsent += r->direction == SCSI_XFER_WRITE ? 2 : 1;
        return true;
    }
    scsi_free_scsi_task(c->task);
    c->task = NULL;
    return false;
}

bool
qm__scsi_submit(qm_lun *lun, const qm_scsi_request *request, struct iovec *iov,
                int n_iov, qm_scsi_cb cb, void *opaque)
{
    command *c;

    if (lun->lost)
        return false;
    c = g_new0(command, 1);
    c->link.data = c;
    c->lun = lun;
    c->request = *request;
    c->iov = iov;
    c->n_iov = n_iov;
    c->submitted = qm__now();
    c->cb = cb;
    c->opaque = opaque;
    if (!send_command(c)) {
        qm__lun_lose(lun, iscsi_get_error(lun->iscsi));
        g_free(c);
        return false;
    }
    g_queue_push_tail_link(&lun->commands, &c->link);
    return true;
}

/* --- reads and writes ---------------------------------------------------- */

typedef struct {
    qm_lun_cb cb;
    void *opaque;
} io;

static void
on_io(void *opaque, const qm_scsi_status *status, uint32_t length)
{
    io *p = opaque;

    p->cb(p->opaque, status);
    g_free(p);
}

static void
fill_request(const qm_lun *lun, qm_lun_op op, uint64_t offset, uint64_t length,
             bool fua, qm_scsi_request *r)
{
    static const uint8_t opcode[] = {
        [QM_LUN_READ] = SCSI_OPCODE_READ16,
        [QM_LUN_WRITE] = SCSI_OPCODE_WRITE16,
        [QM_LUN_FLUSH] = SCSI_OPCODE_SYNCHRONIZECACHE16,
    };

    *r = (qm_scsi_request){.cdb_length = 16};
    r->cdb[0] = opcode[op];
    if (op == QM_LUN_FLUSH) {
        r->direction = SCSI_XFER_NONE; /* blocks 0, count 0: all of it */
        return;
    }
    r->direction = op == QM_LUN_READ ? SCSI_XFER_READ : SCSI_XFER_WRITE;
    r->length = (uint32_t) length;
    if (fua && op == QM_LUN_WRITE)
        r->cdb[1] = 0x08;
    qm__put_be64(r->cdb + 2, offset / lun->info.block_size);
    qm__put_be32(r->cdb + 10, r->length / lun->info.block_size);
}

static bool
in_bounds(const qm_lun *lun, uint64_t offset, uint64_t length, int n_iov)
{
    uint32_t mask = lun->info.block_size - 1;

    return ((offset | length) & mask) == 0 && length > 0 &&
           length <= lun->info.max_transfer && offset <= lun->info.size &&
           length <= lun->info.size - offset && n_iov > 0 && n_iov <= IOV_MAX;
}

bool
qm__lun_submit(qm_lun *lun, qm_lun_op op, uint64_t offset, struct iovec *iov,
               int n_iov, bool fua, qm_lun_cb cb, void *opaque)
{
    qm_scsi_request request;
    uint64_t length = 0;
    io *p;

    if (lun->lost)
        return false;
    if (op != QM_LUN_FLUSH) {
        for (int i = 0; i < n_iov; i++)
            length += iov[i].iov_len;
        g_return_val_if_fail(in_bounds(lun, offset, length, n_iov), false);
    }
    p = g_new(io, 1);
    *p = (io){.cb = cb, .opaque = opaque};
    fill_request(lun, op, offset, length, fua, &request);
    if (qm__scsi_submit(lun, &request, iov, n_iov, on_io, p))
        return true;
    g_free(p);
    return false;
}

/* --- the session --------------------------------------------------------- */

static void
tear_down(qm_lun *lun)
{
    struct iscsi_context *iscsi = g_steal_pointer(&lun->iscsi);
    const qm_scsi_status lost = {.result = QM_SCSI_LOST};
    GList *link;

    lun->deferred = 0;
    lun->pinged = 0;
    lun->key = 0;
    (void) iscsi_destroy_context(iscsi); /* closes the connection */
    while ((link = lun->commands.head) != NULL)
        end(link->data, &lost, 0);
}

void
qm__lun_lose(qm_lun *lun, const char *why)
{
    if (lun->lost)
        return;
    lun->lost = true;
    lun->why = g_strdup(why != NULL && *why != '\0' ? why : NULL);
}

void
qm__lun_fail(qm_lun *lun)
{
    qm__lun_lose(lun, "given up");
    if (!lun->in_service && lun->iscsi != NULL)
        tear_down(lun);
}

static void
send_deferred(qm_lun *lun)
{
    int64_t now = qm__now();

    for (GList *l = lun->commands.head; l != NULL && lun->deferred > 0;
         l = l->next) {
        command *c = l->data;

        if (c->task != NULL || c->due > now)
            continue;
        lun->deferred--;
        if (!send_command(c)) {
            qm__lun_lose(lun, iscsi_get_error(lun->iscsi));
            return;
        }
    }
}

/* libiscsi sends piece by piece; each one a packet, and the target woken for
 * each, if nobody holds them together.  Only a faster way: failure is fine. */
static void
hold_packets(const qm_lun *lun, int on)
{
    (void) setsockopt(iscsi_get_fd(lun->iscsi), IPPROTO_TCP, TCP_CORK, &on,
                      sizeof on);
}

/* libiscsi cancels everything and returns 0 when it finds the connection
 * gone, and -1 from the next call on. */
static void
drive(qm_lun *lun, int revents)
{
    /* One piece alone gains nothing; none of ours: data for an R2T. */
    bool hold = (revents & POLLOUT) != 0 && lun->unsent != 1;

    if (hold)
        hold_packets(lun, 1);
    if (iscsi_service(lun->iscsi, revents) < 0)
        qm__lun_lose(lun, iscsi_get_error(lun->iscsi));
    if (hold)
        hold_packets(lun, 0);
    if ((revents & POLLOUT) != 0)
        lun->unsent = 0;
}

bool
qm__lun_service(qm_lun *lun, short revents)
{
    if (lun->iscsi == NULL)
        return false;
    lun->in_service = true;
    if (!lun->lost)
        drive(lun, revents);
    if (!lun->lost && lun->deferred > 0)
        send_deferred(lun);
    /* What the callbacks queued goes out now, not after another poll. */
    if (!lun->lost && (iscsi_which_events(lun->iscsi) & POLLOUT) != 0)
        drive(lun, POLLOUT);
    lun->in_service = false;
    if (lun->lost)
        tear_down(lun);
    return !lun->lost;
}

int
qm__lun_fd(const qm_lun *lun)
{
    return lun->iscsi != NULL ? iscsi_get_fd(lun->iscsi) : -1;
}

static int64_t
next_due(const qm_lun *lun)
{
    int64_t due = INT64_MAX;

    for (GList *l = lun->commands.head; l != NULL; l = l->next) {
        const command *c = l->data;

        if (c->task == NULL)
            due = MIN(due, c->due);
    }
    return due;
}

int
qm__lun_timeout(const qm_lun *lun)
{
    if (lun->iscsi == NULL)
        return -1;
    if (lun->lost)
        return 0;
    return lun->deferred > 0 ? qm__remaining_ms(next_due(lun)) : -1;
}

short
qm__lun_events(const qm_lun *lun)
{
    int events = POLLIN;

    if (lun->iscsi == NULL)
        return 0;
    events |= iscsi_which_events(lun->iscsi);
    if (qm__lun_timeout(lun) == 0)
        events |= POLLOUT; /* at once */
    return (short) events;
}

unsigned
qm__lun_in_flight(const qm_lun *lun)
{
    return lun->commands.length;
}

int64_t
qm__lun_oldest(const qm_lun *lun)
{
    const command *c = g_queue_peek_head(&((qm_lun *) lun)->commands);
    int64_t since = c != NULL ? c->submitted : 0;

    if (lun->pinged != 0 && (since == 0 || lun->pinged < since))
        since = lun->pinged;
    return since != 0 ? MAX(qm__now() - since, 1) : 0;
}

bool
qm__lun_lost(const qm_lun *lun)
{
    return lun->lost;
}

static void
on_pong(struct iscsi_context *iscsi, int status, void *data, void *opaque)
{
    ((qm_lun *) opaque)->pinged = 0;
}

void
qm__lun_ping(qm_lun *lun)
{
    if (lun->lost || lun->pinged != 0)
        return;
    if (iscsi_nop_out_async(lun->iscsi, on_pong, NULL, 0, lun) == 0)
        lun->pinged = qm__now();
    else
        qm__lun_lose(lun, iscsi_get_error(lun->iscsi));
}
