/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Commands in flight on one nexus.  They are kept in a list here, whatever
 * carries them: each one ends exactly once, with the target's answer or, when
 * the session is torn down, with LOST.  What the target puts off (BUSY, unit
 * attentions) is sent again from the service call, unseen by the caller.
 */
#include "config.h"
#include <limits.h>
#include <poll.h>
#include "lun-internal.h"

#define TRIES_MAX 16           /* of answers that say "again" */
#define UA_MAX    1000         /* of unit attentions: a target queues them */
#define PAUSE_MIN (10 * QM_MS) /* before a command put off goes out again */
#define PAUSE_MAX (100 * QM_MS)

typedef struct {
    qm_link_command sent; /* first: its address is the command's */
    GList link;           /* in lun->commands */
    qm_lun *lun;
    qm_scsi_request request;
    bool waits;        /* put off: not with the link */
    int64_t submitted; /* first, µs */
    int64_t due;       /* put off until, µs */
    unsigned tries;
    qm_scsi_cb cb;
    void *opaque;
} command;

/* @moved: bytes.  The link has let go of @c. */
static void
end(command *c, const qm_scsi_status *status, uint32_t moved)
{
    g_queue_unlink(&c->lun->commands, &c->link);
    c->cb(c->opaque, status, moved);
    g_free(c);
}

static void
put_off(command *c, int64_t pause)
{
    c->lun->link->ops->forget(&c->sent);
    c->waits = true;
    c->tries++;
    c->due = qm__now() + pause;
    c->lun->deferred++;
}

/* A target that says GOOD but moved less than asked for has not done it. */
static bool
is_short(const command *c, uint32_t moved)
{
    return moved < c->request.length && !c->request.short_ok;
}

static void
on_answer(qm_link_command *sent, const qm_link_answer *answer)
{
    command *c = (command *) sent;
    qm_lun *lun = c->lun;
    uint32_t moved = answer->moved;
    qm_scsi_status status;

    switch (qm__scsi_judge(answer->status, &answer->sense,
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
        qm__lun_link_lost(lun);
        return;
    }
    if (status.result == QM_SCSI_GOOD && is_short(c, moved))
        status.result = QM_SCSI_ERROR;
    lun->link->ops->forget(sent);
    end(c, &status, moved);
}

/* false: the link takes no more, the session is lost. */
static bool
send_command(command *c)
{
    c->waits = false;
    return c->lun->link->ops->submit(c->lun->link, &c->sent);
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
    c->sent.request = &c->request;
    c->sent.iov = iov;
    c->sent.n_iov = n_iov;
    c->sent.answered = on_answer;
    c->submitted = qm__now();
    c->cb = cb;
    c->opaque = opaque;
    if (!send_command(c)) {
        qm__lun_link_lost(lun);
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
    qm_link *link = g_steal_pointer(&lun->link);
    const qm_scsi_status lost = {.result = QM_SCSI_LOST};
    const qm_link_ops *ops = link->ops;
    command *c;

    lun->deferred = 0;
    lun->pinged = 0;
    lun->key = 0;
    ops->free(link); /* closes the connection */
    while ((c = g_queue_peek_head(&lun->commands)) != NULL) {
        if (!c->waits)
            ops->forget(&c->sent);
        end(c, &lost, 0);
    }
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
qm__lun_link_lost(qm_lun *lun)
{
    qm__lun_lose(lun, lun->link->ops->why(lun->link));
}

void
qm__lun_fail(qm_lun *lun)
{
    qm__lun_lose(lun, "given up");
    if (!lun->in_service && lun->link != NULL)
        tear_down(lun);
}

static void
send_deferred(qm_lun *lun)
{
    int64_t now = qm__now();

    for (GList *l = lun->commands.head; l != NULL && lun->deferred > 0;
         l = l->next) {
        command *c = l->data;

        if (!c->waits || c->due > now)
            continue;
        lun->deferred--;
        if (!send_command(c)) {
            qm__lun_link_lost(lun);
            return;
        }
    }
}

static void
drive(qm_lun *lun, short revents)
{
    if (!lun->link->ops->service(lun->link, revents))
        qm__lun_link_lost(lun);
}

static bool
has_to_send(const qm_lun *lun)
{
    return (lun->link->ops->events(lun->link) & POLLOUT) != 0;
}

bool
qm__lun_service(qm_lun *lun, short revents)
{
    if (lun->link == NULL)
        return false;
    lun->in_service = true;
    if (!lun->lost)
        drive(lun, revents);
    if (!lun->lost && lun->deferred > 0)
        send_deferred(lun);
    /* What the callbacks queued goes out now, not after another poll. */
    if (!lun->lost && has_to_send(lun))
        drive(lun, POLLOUT);
    lun->in_service = false;
    if (lun->lost)
        tear_down(lun);
    return !lun->lost;
}

int
qm__lun_fd(const qm_lun *lun)
{
    return lun->link != NULL ? lun->link->ops->fd(lun->link) : -1;
}

static int64_t
next_due(const qm_lun *lun)
{
    int64_t due = INT64_MAX;

    for (GList *l = lun->commands.head; l != NULL; l = l->next) {
        const command *c = l->data;

        if (c->waits)
            due = MIN(due, c->due);
    }
    return due;
}

int
qm__lun_timeout(const qm_lun *lun)
{
    if (lun->link == NULL)
        return -1;
    if (lun->lost)
        return 0;
    return lun->deferred > 0 ? qm__remaining_ms(next_due(lun)) : -1;
}

short
qm__lun_events(const qm_lun *lun)
{
    short events;

    if (lun->link == NULL)
        return 0;
    events = lun->link->ops->events(lun->link);
    return qm__lun_timeout(lun) == 0 ? events | POLLOUT /* at once */ : events;
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
on_pong(void *opaque, bool ok, int response)
{
    ((qm_lun *) opaque)->pinged = 0;
}

void
qm__lun_ping(qm_lun *lun)
{
    if (lun->lost || lun->pinged != 0)
        return;
    if (lun->link->ops->ping(lun->link, on_pong, lun))
        lun->pinged = qm__now();
    else
        qm__lun_link_lost(lun);
}
