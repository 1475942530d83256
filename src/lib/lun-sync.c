/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Calls that wait.  The deadline is hard: when it passes, the session is
 * given up, because a command that was sent may still be carried out and
 * nothing may follow it on this nexus.  No call returns while the target
 * could still read from or write to the caller's buffer.
 */
#include "config.h"
#include <errno.h>
#include <poll.h>
#include "lun-internal.h"

#define DEPTH 4 /* commands in flight: enough to keep the link busy */

void
qm__lun_wait(qm_lun *lun, int64_t until)
{
    struct pollfd p = {.fd = qm__lun_fd(lun), .events = qm__lun_events(lun)};
    int due = qm__lun_timeout(lun);
    int wait = qm__remaining_ms(until);

    if (due >= 0)
        wait = MIN(wait, due);
    if (poll(&p, 1, wait) < 0 && errno != EINTR)
        p.revents = POLLERR;
    (void) qm__lun_service(lun, p.revents); /* callers look at the session */
}

void
qm__lun_turn(qm_lun *lun, int64_t deadline)
{
    if (!qm__passed(deadline)) {
        qm__lun_wait(lun, deadline);
        return;
    }
    qm__lun_lose(lun, "no answer in time");
    qm__lun_fail(lun);
}

bool
qm__lun_lost_error(const qm_lun *lun, const char *what, int64_t deadline,
                   GError **error)
{
    const qm_scsi_status lost = {.result = QM_SCSI_LOST};

    if (!qm__passed(deadline))
        return qm__scsi_fail(lun, what, &lost, error);
    g_set_error(error, QM_ERROR, QM_ERROR_TIMEOUT,
                "%s %s: no answer in time; the command may still be carried "
                "out, so the session was given up",
                what, lun->name);
    return false;
}

/* --- one command --------------------------------------------------------- */

typedef struct {
    bool done;
    qm_scsi_status status;
    uint32_t received;
} answer;

static void
on_answer(void *opaque, const qm_scsi_status *status, uint32_t received)
{
    *(answer *) opaque =
        (answer){.done = true, .status = *status, .received = received};
}

bool
qm__scsi_execute(qm_lun *lun, const char *what, const qm_scsi_request *request,
                 void *buf, int64_t deadline, qm_scsi_status *ret_status,
                 uint32_t *ret_received, GError **error)
{
    qm_scsi_request disarmed = *request;
    struct iovec iov = {.iov_base = buf, .iov_len = request->length};
    answer a = {.done = false};

    disarmed.disarmed = true;
    if (!qm__scsi_submit(lun, &disarmed, &iov, 1, on_answer, &a))
        return qm__lun_lost_error(lun, what, deadline, error);
    while (!a.done)
        qm__lun_turn(lun, deadline);
    if (a.status.result == QM_SCSI_LOST)
        return qm__lun_lost_error(lun, what, deadline, error);
    *ret_status = a.status;
    if (ret_received != NULL)
        *ret_received = a.received;
    return true;
}

bool
qm__lun_absorb(qm_lun *lun, int64_t deadline, GError **error)
{
    const qm_scsi_request ready = {.cdb_length = 6,
                                   .direction = SCSI_XFER_NONE};
    qm_scsi_status status;

    if (!qm__scsi_execute(lun, "waiting for", &ready, NULL, deadline, &status,
                          NULL, error))
        return false;
    /* Reserved by somebody: it is there, and that is not asked here. */
    return status.result == QM_SCSI_GOOD || status.result == QM_SCSI_FENCED ||
           qm__scsi_fail(lun, "waiting for", &status, error);
}

/* --- data ---------------------------------------------------------------- */

typedef struct {
    unsigned pending;
    qm_scsi_status status; /* of the first that failed */
} batch;

typedef struct {
    batch *batch;
    struct iovec iov;
    bool busy;
} piece;

static void
on_piece(void *opaque, const qm_scsi_status *status)
{
    piece *p = opaque;

    p->busy = false;
    p->batch->pending--;
    if (p->batch->status.result == QM_SCSI_GOOD)
        p->batch->status = *status;
}

static piece *
free_piece(piece *pieces)
{
    for (int i = 0; i < DEPTH; i++)
        if (!pieces[i].busy)
            return &pieces[i];
    return NULL;
}

static bool
transfer(qm_lun *lun, qm_lun_op op, const char *what, uint64_t offset,
         uint8_t *buf, size_t length, int64_t deadline, GError **error)
{
    piece pieces[DEPTH] = {0};
    batch b = {.pending = 0};
    size_t sent = 0;

    while (b.pending > 0 ||
           (sent < length && b.status.result == QM_SCSI_GOOD)) {
        piece *p = free_piece(pieces);

        if (p == NULL || sent == length || b.status.result != QM_SCSI_GOOD) {
            qm__lun_turn(lun, deadline);
            continue;
        }
        p->batch = &b;
        p->iov.iov_base = buf + sent;
        p->iov.iov_len = MIN(length - sent, lun->info.max_transfer);
        if (qm__lun_submit(lun, op, offset + sent, &p->iov, 1, false, on_piece,
                           p)) {
            p->busy = true;
            b.pending++;
            sent += p->iov.iov_len;
        } else {
            b.status.result = QM_SCSI_LOST;
            qm__lun_fail(lun); /* ends what is pending */
        }
    }
    if (b.status.result == QM_SCSI_LOST)
        return qm__lun_lost_error(lun, what, deadline, error);
    return b.status.result == QM_SCSI_GOOD ||
           qm__scsi_fail(lun, what, &b.status, error);
}

static bool
check_range(const qm_lun *lun, const char *what, uint64_t offset, size_t length,
            GError **error)
{
    uint32_t block = lun->info.block_size;

    if (offset % block == 0 && length % block == 0 &&
        offset <= lun->info.size && length <= lun->info.size - offset)
        return true;
    g_set_error(
        error, QM_ERROR, QM_ERROR_INVALID,
        "%s %s: %zu bytes at %" G_GUINT64_FORMAT
        " are not whole blocks of %u bytes within its %" G_GUINT64_FORMAT
        " bytes",
        what, lun->name, length, offset, block, lun->info.size);
    return false;
}

bool
qm__lun_read(qm_lun *lun, uint64_t offset, void *buf, size_t length,
             int64_t deadline, GError **error)
{
    return check_range(lun, "reading", offset, length, error) &&
           transfer(lun, QM_LUN_READ, "reading", offset, buf, length, deadline,
                    error);
}

bool
qm__lun_write(qm_lun *lun, uint64_t offset, const void *buf, size_t length,
              int64_t deadline, GError **error)
{
    return check_range(lun, "writing", offset, length, error) &&
           transfer(lun, QM_LUN_WRITE, "writing", offset, (uint8_t *) buf,
                    length, deadline, error);
}

typedef struct {
    bool done;
    qm_scsi_status status;
} flushed;

static void
on_flush(void *opaque, const qm_scsi_status *status)
{
    *(flushed *) opaque = (flushed){.done = true, .status = *status};
}

bool
qm__lun_flush(qm_lun *lun, int64_t deadline, GError **error)
{
    flushed f = {.done = false};

    if (!qm__lun_submit(lun, QM_LUN_FLUSH, 0, NULL, 0, false, on_flush, &f))
        return qm__lun_lost_error(lun, "flushing", deadline, error);
    while (!f.done)
        qm__lun_turn(lun, deadline);
    if (f.status.result == QM_SCSI_LOST)
        return qm__lun_lost_error(lun, "flushing", deadline, error);
    return f.status.result == QM_SCSI_GOOD ||
           qm__scsi_fail(lun, "flushing", &f.status, error);
}
