/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The receiving half of a session.  Small PDUs are parsed out of one buffer,
 * many of them filled in by one system call; the data of large ones goes from
 * the socket straight to the caller's memory.
 *
 * The invariant: nothing is written into a caller's memory but what the
 * target sends for a READ of his that has not ended, in order and within its
 * length.  Whatever else a target says that we did not agree on ends the
 * session: it is not known any more what it believes.
 */
#include "config.h"
#include <errno.h>
#include <sys/socket.h>
#include "iscsi-wire-internal.h"

#define IN_SMALL    4096  /* bytes read ahead while data is large */
#define LARGE       16384 /* bytes of data that are worth a vector */
#define VECTOR      16    /* pieces of a caller's memory in one go */
#define READ_ROUNDS 16    /* system calls before others get their turn */

enum { /* Async Message, event */
       ASYNC_SENSE = 0,
       ASYNC_LOGOUT = 1,
       ASYNC_DROP_CONNECTION = 2,
       ASYNC_DROP_SESSION = 3,
       ASYNC_NEGOTIATE = 4
};

/* --- the end of a command ------------------------------------------------ */

/* How much a target says that it moved. */
static uint32_t
moved(const qm_wire_task *t, const uint8_t *bhs)
{
    uint32_t residual = qm__get_be32(bhs + QM_AT_RESIDUAL);
    uint32_t said = t->length;

    if (bhs[QM_AT_FLAGS] & QM_RESPONSE_UNDERFLOW)
        said = residual < said ? said - residual : 0;
    /* What did not arrive was not read, whatever is said. */
    return t->way == QM_WIRE_READ ? MIN(said, t->moved) : said;
}

/* @sense: what follows the header; NULL: nothing. */
static bool
end_task(qm_wire *w, qm_wire_task *t, const uint8_t *bhs, const uint8_t *sense,
         uint32_t length)
{
    qm_wire_answer a = {.status = bhs[QM_AT_STATUS], .moved = moved(t, bhs)};

    if (sense != NULL && length > 2) {
        uint32_t n = (uint32_t) sense[0] << 8 | sense[1];

        n = MIN(n, length - 2);
        memcpy(a.sense, sense + 2, MIN(n, sizeof a.sense));
    }
    return qm__wire_end_task(w, t, &a);
}

static bool
take_response(qm_wire *w, const uint8_t *bhs, uint32_t length)
{
    qm_wire_task *t = qm__wire_task(w, qm__get_be32(bhs + QM_AT_TAG));

    if (t == NULL)
        return qm__wire_lose(w, "an answer to no command of ours");
    if (bhs[QM_AT_RESPONSE] != 0)
        return qm__wire_lose(w,
                             "the target could not carry out a command "
                             "(response %#x)",
                             bhs[QM_AT_RESPONSE]);
    return end_task(w, t, bhs, bhs + QM_BHS, length);
}

/* --- Data-In ------------------------------------------------------------- */

static bool
begin_data(qm_wire *w, const uint8_t *bhs, uint32_t length)
{
    qm_wire_task *t = qm__wire_task(w, qm__get_be32(bhs + QM_AT_TAG));

    if (t == NULL || t->way != QM_WIRE_READ)
        return qm__wire_lose(w, "data for no command of ours");
    if (length > QM_DATA_MAX || length > t->length - t->moved ||
        qm__get_be32(bhs + QM_AT_OFFSET) != t->moved)
        return qm__wire_lose(w, "%u bytes of data at %u, of %u, %u expected",
                             length, qm__get_be32(bhs + QM_AT_OFFSET),
                             t->length, t->moved);
    memcpy(w->into_bhs, bhs, QM_BHS);
    w->into = t;
    w->into_left = length;
    w->skip = qm__pdu_pad(length);
    w->into_status = (bhs[QM_AT_FLAGS] & QM_DATA_STATUS) != 0;
    if (length > 0)
        w->large = length >= LARGE;
    qm__wire_take_numbers(w, bhs, w->into_status);
    return true;
}

static void
arrived(qm_wire *w, size_t n)
{
    w->into->moved += (uint32_t) n;
    w->into_left -= (uint32_t) n;
}

/* Data from the buffer to where it belongs. */
static void
copy_data(qm_wire *w)
{
    size_t have = w->in_end - w->in_start;

    while (have > 0 && w->into_left > 0) {
        qm_wire_task *t = w->into;
        struct iovec iov[VECTOR];
        uint32_t want = (uint32_t) MIN(have, w->into_left);
        int n = qm__wire_slice(t->iov, t->n_iov, t->moved, want, iov, VECTOR);

        for (int i = 0; i < n; i++) {
            memcpy(iov[i].iov_base, w->in + w->in_start, iov[i].iov_len);
            w->in_start += iov[i].iov_len;
            have -= iov[i].iov_len;
            arrived(w, iov[i].iov_len);
        }
    }
}

/* @ret_more: the PDU is complete. */
static bool
go_on_with_data(qm_wire *w, bool *ret_more)
{
    qm_wire_task *t = w->into;
    size_t pad;

    *ret_more = false;
    copy_data(w);
    pad = MIN(w->skip, w->in_end - w->in_start);
    if (w->into_left > 0)
        return true;
    w->in_start += pad;
    w->skip -= (uint32_t) pad;
    if (w->skip > 0)
        return true;
    *ret_more = true;
    w->into = NULL;
    return !w->into_status || end_task(w, t, w->into_bhs, NULL, 0);
}

/* --- all other PDUs ------------------------------------------------------ */

static bool
take_r2t(qm_wire *w, const uint8_t *bhs)
{
    qm_wire_task *t = qm__wire_task(w, qm__get_be32(bhs + QM_AT_TAG));
    uint32_t offset = qm__get_be32(bhs + QM_AT_OFFSET);
    uint32_t wanted = qm__get_be32(bhs + QM_AT_WANTED);

    /* One R2T at a time was agreed on. */
    if (t == NULL || t->way != QM_WIRE_WRITE || t->queued > 0)
        return qm__wire_lose(w, "asked for data of no command of ours");
    if (wanted == 0 || wanted > w->terms.max_burst || offset > t->length ||
        wanted > t->length - offset)
        return qm__wire_lose(w, "asked for %u bytes at %u, of %u", wanted,
                             offset, t->length);
    qm__wire_send_data(w, t, bhs);
    return true;
}

static bool
take_nop(qm_wire *w, const uint8_t *bhs)
{
    uint32_t tag = qm__get_be32(bhs + QM_AT_TAG);
    qm_wire_pdu *pong;

    if (tag != QM_TAG_NONE)
        return qm__wire_end_call(w, QM_OP_NOP_IN, tag, 0);
    if (qm__get_be32(bhs + QM_AT_TARGET_TAG) == QM_TAG_NONE)
        return true; /* numbers only */
    pong = qm__wire_pdu_new(QM_OP_NOP_OUT | QM_OP_IMMEDIATE, QM_PDU_FINAL);
    memcpy(pong->bhs + QM_AT_LUN, bhs + QM_AT_LUN, 8);
    qm__set_be32(pong->bhs + QM_AT_TAG, QM_TAG_NONE);
    memcpy(pong->bhs + QM_AT_TARGET_TAG, bhs + QM_AT_TARGET_TAG, 4);
    qm__set_be32(pong->bhs + QM_AT_CMD_SN, w->cmd_sn);
    qm__wire_enqueue(w, pong);
    return true;
}

static bool
take_async(qm_wire *w, const uint8_t *bhs)
{
    switch (bhs[QM_AT_ASYNC_EVENT]) {
    case ASYNC_LOGOUT:
    case ASYNC_DROP_CONNECTION:
    case ASYNC_DROP_SESSION:
    case ASYNC_NEGOTIATE:
        return qm__wire_lose(w, "the target ends the session (event %u)",
                             bhs[QM_AT_ASYNC_EVENT]);
    case ASYNC_SENSE: /* comes again as a unit attention */
    default:
        return true;
    }
}

/* Does the PDU carry a status number that counts? */
static bool
is_numbered(const uint8_t *bhs)
{
    uint8_t opcode = bhs[0] & QM_OP_MASK;

    return opcode != QM_OP_R2T &&
           (opcode != QM_OP_NOP_IN ||
            qm__get_be32(bhs + QM_AT_TAG) != QM_TAG_NONE);
}

static bool
take_pdu(qm_wire *w, const uint8_t *bhs, uint32_t length)
{
    uint8_t opcode = bhs[0] & QM_OP_MASK;

    qm__wire_take_numbers(w, bhs, is_numbered(bhs));
    switch (opcode) {
    case QM_OP_RESPONSE:
        return take_response(w, bhs, length);
    case QM_OP_R2T:
        return take_r2t(w, bhs);
    case QM_OP_NOP_IN:
        return take_nop(w, bhs);
    case QM_OP_TASK_RESPONSE:
    case QM_OP_LOGOUT_RESPONSE:
        return qm__wire_end_call(w, opcode, qm__get_be32(bhs + QM_AT_TAG),
                                 bhs[QM_AT_RESPONSE]);
    case QM_OP_ASYNC:
        return take_async(w, bhs);
    case QM_OP_REJECT:
        return qm__wire_lose(w, "the target rejects a PDU (reason %#x)",
                             bhs[QM_AT_RESPONSE]);
    default:
        return qm__wire_lose(w, "an unknown PDU (%#x)", opcode);
    }
}

/* --- parsing ------------------------------------------------------------- */

/* One PDU out of the buffer.  @ret_more: false: it is not all there. */
static bool
parse_one(qm_wire *w, bool *ret_more)
{
    const uint8_t *bhs = w->in + w->in_start;
    size_t have = w->in_end - w->in_start, size;
    uint32_t length;

    *ret_more = false;
    if (have < QM_BHS)
        return true;
    length = qm__get_be24(bhs + QM_AT_LENGTH);
    if (bhs[QM_AT_AHS] != 0)
        return qm__wire_lose(w, "a PDU with an additional header");
    if ((bhs[0] & QM_OP_MASK) == QM_OP_DATA_IN) {
        w->in_start += QM_BHS;
        *ret_more = true;
        return begin_data(w, bhs, length);
    }
    if (length > WIRE_SMALL_MAX)
        return qm__wire_lose(w, "a PDU (%#x) with %u bytes of data",
                             bhs[0] & QM_OP_MASK, length);
    size = QM_BHS + length + qm__pdu_pad(length);
    if (have < size)
        return true;
    w->in_start += size;
    *ret_more = true;
    return take_pdu(w, bhs, length);
}

static bool
parse(qm_wire *w)
{
    bool more = true;

    while (more)
        if (!(w->into != NULL ? go_on_with_data(w, &more)
                              : parse_one(w, &more)))
            return false;
    return true;
}

/* --- receiving ----------------------------------------------------------- */

/* How much to read behind the data that goes straight to its place: the next
 * header and no data, when that data will be large again. */
static size_t
ahead(const qm_wire *w)
{
    if (!w->large)
        return WIRE_AHEAD;
    return w->into_left > 0 ? w->skip + QM_BHS : IN_SMALL;
}

/* Where the next bytes go. */
static int
input_vector(qm_wire *w, struct iovec *iov, size_t *ret_direct)
{
    const qm_wire_task *t = w->into;
    int n = 0;

    *ret_direct = 0;
    if (w->in_start > 0) {
        memmove(w->in, w->in + w->in_start, w->in_end - w->in_start);
        w->in_end -= w->in_start;
        w->in_start = 0;
    }
    if (w->into_left > 0)
        n = qm__wire_slice(t->iov, t->n_iov, t->moved, w->into_left, iov,
                           VECTOR);
    for (int i = 0; i < n; i++)
        *ret_direct += iov[i].iov_len;
    if (*ret_direct < w->into_left)
        return n; /* more pieces than fit: nothing behind them yet */
    iov[n].iov_base = w->in + w->in_end;
    iov[n].iov_len = ahead(w);
    return n + 1;
}

/* @ret_more: the socket may hold more. */
static bool
receive_once(qm_wire *w, bool *ret_more)
{
    struct iovec iov[VECTOR + 1];
    size_t direct, room = 0;
    int n_iov = input_vector(w, iov, &direct);
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = (size_t) n_iov};
    ssize_t n;

    for (int i = 0; i < n_iov; i++)
        room += iov[i].iov_len;
    *ret_more = false;
    n = recvmsg(w->fd, &m, MSG_DONTWAIT);
    if (n == 0)
        return qm__wire_lose(w, "the target closed the connection");
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ||
               qm__wire_lose(w, "receiving: %s", g_strerror(errno));
    *ret_more = (size_t) n == room;
    direct = MIN(direct, (size_t) n);
    if (direct > 0)
        arrived(w, direct);
    w->in_end += (size_t) n - direct;
    return parse(w);
}

bool
qm__wire_receive(qm_wire *w)
{
    bool more = true;

    for (int i = 0; i < READ_ROUNDS && more && w->why == NULL; i++)
        if (!receive_once(w, &more))
            break;
    qm__wire_admit(w);
    return w->why == NULL;
}
