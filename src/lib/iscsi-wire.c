/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The sending half of a session, and its commands.  Everything that is ready
 * leaves in one system call, data straight from the caller's memory.
 *
 * The invariant: nothing that waits to be sent refers to a task that has
 * ended.  A target may answer before it took all of a command's data (a
 * conflict, no space); what has not begun to leave is then dropped, and the
 * rest of what has begun is copied.
 */
#include "config.h"
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>
#include "iscsi-wire-internal.h"

#define BATCH       64            /* pieces in one sendmsg() */
#define BATCH_BYTES (1024 * 1024) /* enough to fill any socket */
#define LUN_RESET   5             /* function of a task management request */

static const uint8_t zeros[4];

/* --- life ---------------------------------------------------------------- */

qm_wire *
qm__wire_new(int fd, const qm_login_session *session, int lun)
{
    qm_wire *w = g_new0(qm_wire, 1);

    w->fd = fd;
    w->lun = lun;
    w->terms = session->terms;
    w->cmd_sn = session->cmd_sn;
    w->max_cmd_sn = session->max_cmd_sn;
    w->exp_stat_sn = session->exp_stat_sn;
    w->waiting_end = &w->waiting;
    w->out_end = &w->out;
    for (uint16_t i = 0; i < WIRE_TASKS; i++)
        w->free_slots[w->n_free++] = (uint16_t) (WIRE_TASKS - 1 - i);
    w->in = g_malloc(WIRE_IN);
    return w;
}

static void
pdu_free(qm_wire_pdu *pdu)
{
    if (pdu->task != NULL && pdu == &pdu->task->command)
        return;
    g_free(pdu->copy);
    g_free(pdu);
}

void
qm__wire_free(qm_wire *w)
{
    if (w == NULL)
        return;
    while (w->out != NULL) {
        qm_wire_pdu *pdu = w->out;

        w->out = pdu->next;
        pdu_free(pdu);
    }
    while (w->calls != NULL) {
        wire_call *c = w->calls;

        w->calls = c->next;
        c->done(c->opaque, false, 0);
        g_free(c);
    }
    close(w->fd);
    g_free(w->in);
    g_free(w->why);
    g_free(w);
}

bool
qm__wire_lose(qm_wire *w, const char *format, ...)
{
    va_list args;

    if (w->why == NULL) {
        va_start(args, format);
        w->why = g_strdup_vprintf(format, args);
        va_end(args);
    }
    return false;
}

int
qm__wire_fd(const qm_wire *w)
{
    return w->fd;
}

const char *
qm__wire_why(const qm_wire *w)
{
    return w->why != NULL ? w->why : "";
}

bool
qm__wire_sendable(const qm_wire *w)
{
    return w->out != NULL;
}

/* --- PDUs ---------------------------------------------------------------- */

qm_wire_pdu *
qm__wire_pdu_new(uint8_t opcode, uint8_t flags)
{
    qm_wire_pdu *pdu = g_new0(qm_wire_pdu, 1);

    pdu->bhs_length = QM_BHS;
    pdu->bhs[0] = opcode;
    pdu->bhs[QM_AT_FLAGS] = flags;
    return pdu;
}

void
qm__wire_enqueue(qm_wire *w, qm_wire_pdu *pdu)
{
    qm__put_be24(pdu->bhs + QM_AT_LENGTH, pdu->length);
    qm__set_be32(pdu->bhs + QM_AT_EXP_STAT_SN, w->exp_stat_sn);
    pdu->next = NULL;
    *w->out_end = pdu;
    w->out_end = &pdu->next;
    if (pdu->task != NULL)
        pdu->task->queued++;
}

static uint32_t
pad_of(const qm_wire_pdu *pdu)
{
    return pdu->copy != NULL ? 0 : qm__pdu_pad(pdu->length);
}

static size_t
pdu_size(const qm_wire_pdu *pdu)
{
    return (size_t) pdu->bhs_length + pdu->length + pad_of(pdu);
}

int
qm__wire_slice(const struct iovec *iov, int n_iov, uint32_t offset,
               uint32_t length, struct iovec *ret, int max)
{
    int n = 0;

    for (int i = 0; i < n_iov && length > 0 && n < max; i++) {
        size_t part;

        if (offset >= iov[i].iov_len) {
            offset -= (uint32_t) iov[i].iov_len;
            continue;
        }
        part = MIN(iov[i].iov_len - offset, length);
        ret[n].iov_base = (uint8_t *) iov[i].iov_base + offset;
        ret[n++].iov_len = part;
        length -= (uint32_t) part;
        offset = 0;
    }
    return n;
}

/* What is left of @pdu behind @skip bytes, as far as it fits into @max. */
static int
pdu_vector(const qm_wire_pdu *pdu, size_t skip, struct iovec *iov, int max)
{
    size_t end = (size_t) pdu->bhs_length + pdu->length;
    int n = 0;

    if (skip < pdu->bhs_length) {
        iov[n].iov_base = (void *) (pdu->bhs + skip);
        iov[n++].iov_len = pdu->bhs_length - skip;
        skip = pdu->bhs_length;
    }
    if (skip < end) {
        uint32_t at = (uint32_t) (skip - pdu->bhs_length);
        struct iovec copy = {pdu->copy, pdu->length};
        bool own = pdu->copy != NULL;

        n += qm__wire_slice(own ? &copy : pdu->task->iov,
                            own ? 1 : pdu->task->n_iov, pdu->offset + at,
                            pdu->length - at, iov + n, max - n);
        skip = end;
    }
    if (skip < pdu_size(pdu) && n < max) {
        iov[n].iov_base = (void *) zeros;
        iov[n++].iov_len = pdu_size(pdu) - skip;
    }
    return n;
}

static size_t
vector_size(const struct iovec *iov, int n)
{
    size_t size = 0;

    for (int i = 0; i < n; i++)
        size += iov[i].iov_len;
    return size;
}

/* --- sending ------------------------------------------------------------- */

static void
pop(qm_wire *w)
{
    qm_wire_pdu *pdu = w->out;

    w->out = pdu->next;
    if (w->out == NULL)
        w->out_end = &w->out;
    w->out_sent = 0;
    if (pdu->task != NULL)
        pdu->task->queued--;
    pdu_free(pdu);
}

static void
sent(qm_wire *w, size_t n)
{
    while (n > 0) {
        size_t rest = pdu_size(w->out) - w->out_sent;

        if (n < rest) {
            w->out_sent += n;
            return;
        }
        n -= rest;
        pop(w);
    }
}

/* As much as one system call may take. */
static int
fill(const qm_wire *w, struct iovec *iov, size_t *ret_size)
{
    size_t skip = w->out_sent;
    int n = 0;

    *ret_size = 0;
    for (const qm_wire_pdu *p = w->out;
         p != NULL && n < BATCH && *ret_size < BATCH_BYTES; p = p->next) {
        int pieces = pdu_vector(p, skip, iov + n, BATCH - n);
        size_t size = vector_size(iov + n, pieces);

        n += pieces;
        *ret_size += size;
        if (size < pdu_size(p) - skip)
            break; /* no room for all of it */
        skip = 0;
    }
    return n;
}

bool
qm__wire_send(qm_wire *w)
{
    while (w->why == NULL && w->out != NULL) {
        struct iovec iov[BATCH];
        size_t size;
        struct msghdr m = {.msg_iov = iov,
                           .msg_iovlen = (size_t) fill(w, iov, &size)};
        ssize_t n = sendmsg(w->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ||
                   qm__wire_lose(w, "sending: %s", g_strerror(errno));
        sent(w, (size_t) n);
        if ((size_t) n < size)
            return true; /* full */
    }
    return w->why == NULL;
}

/* --- commands ------------------------------------------------------------ */

static void
issue(qm_wire *w, qm_wire_task *t)
{
    static const uint8_t ways[] = {[QM_WIRE_NONE] = 0,
                                   [QM_WIRE_READ] = QM_COMMAND_READ,
                                   [QM_WIRE_WRITE] = QM_COMMAND_WRITE};
    uint16_t slot = w->free_slots[--w->n_free];
    uint32_t limit = MIN(w->terms.first_burst, w->terms.send_max);
    qm_wire_pdu *pdu = &t->command;

    w->slots[slot] = t;
    t->tag = (uint32_t) ++w->turns[slot] << 16 | slot;
    *pdu = (qm_wire_pdu){.task = t, .bhs_length = QM_BHS};
    if (t->way == QM_WIRE_WRITE && w->terms.immediate)
        pdu->length = MIN(t->length, limit);
    pdu->bhs[0] = QM_OP_COMMAND;
    pdu->bhs[QM_AT_FLAGS] = QM_PDU_FINAL | QM_COMMAND_SIMPLE | ways[t->way];
    qm__put_lun(pdu->bhs, w->lun);
    qm__set_be32(pdu->bhs + QM_AT_TAG, t->tag);
    qm__set_be32(pdu->bhs + QM_AT_EXPECTED, t->length);
    qm__set_be32(pdu->bhs + QM_AT_CMD_SN, w->cmd_sn++);
    memcpy(pdu->bhs + QM_AT_CDB, t->cdb, QM_CDB);
    qm__wire_enqueue(w, pdu);
}

static bool
may_issue(const qm_wire *w)
{
    return w->n_free > 0 && qm__serial_le(w->cmd_sn, w->max_cmd_sn);
}

void
qm__wire_submit(qm_wire *w, qm_wire_task *t)
{
    t->next = NULL;
    t->moved = 0;
    t->queued = 0;
    if (w->waiting == NULL && may_issue(w)) {
        issue(w, t);
        return;
    }
    *w->waiting_end = t;
    w->waiting_end = &t->next;
}

void
qm__wire_admit(qm_wire *w)
{
    while (w->waiting != NULL && may_issue(w)) {
        qm_wire_task *t = w->waiting;

        w->waiting = t->next;
        if (w->waiting == NULL)
            w->waiting_end = &w->waiting;
        issue(w, t);
    }
}

qm_wire_task *
qm__wire_task(const qm_wire *w, uint32_t tag)
{
    uint32_t slot = tag & 0xffff;
    qm_wire_task *t = slot < WIRE_TASKS ? w->slots[slot] : NULL;

    return t != NULL && t->tag == tag ? t : NULL;
}

/* The rest of what has begun to leave: the target counts on it. */
static void
keep_copy(qm_wire *w, qm_wire_pdu *pdu)
{
    size_t rest = pdu_size(pdu) - w->out_sent, at = 0;
    qm_wire_pdu *copy = g_new0(qm_wire_pdu, 1);

    copy->copy = g_malloc(rest);
    copy->length = (uint32_t) rest;
    while (at < rest) {
        struct iovec iov[BATCH];
        int n = pdu_vector(pdu, w->out_sent + at, iov, BATCH);

        for (int i = 0; i < n; i++) {
            memcpy(copy->copy + at, iov[i].iov_base, iov[i].iov_len);
            at += iov[i].iov_len;
        }
    }
    copy->next = pdu->next;
    w->out = copy;
    if (w->out_end == &pdu->next)
        w->out_end = &copy->next;
    w->out_sent = 0;
}

static void
forget_queued(qm_wire *w, qm_wire_task *t)
{
    qm_wire_pdu **at = &w->out;

    while (*at != NULL && t->queued > 0) {
        qm_wire_pdu *pdu = *at;

        if (pdu->task != t) {
            at = &pdu->next;
            continue;
        }
        t->queued--;
        if (pdu == w->out && w->out_sent > 0) {
            keep_copy(w, pdu);
            at = &w->out->next;
        } else {
            *at = pdu->next;
            if (w->out_end == &pdu->next)
                w->out_end = at;
        }
        pdu_free(pdu);
    }
}

static bool
has_begun(const qm_wire *w, const qm_wire_task *t)
{
    if (t->queued > 0)
        for (const qm_wire_pdu *p = w->out; p != NULL; p = p->next)
            if (p == &t->command)
                return p == w->out && w->out_sent > 0;
    return true;
}

bool
qm__wire_end_task(qm_wire *w, qm_wire_task *t, const qm_wire_answer *answer)
{
    uint16_t slot = (uint16_t) t->tag;

    /* Dropped, its number would be missing: all later ones would wait. */
    if (!has_begun(w, t))
        return qm__wire_lose(w, "an answer to what was not asked yet");
    forget_queued(w, t);
    w->slots[slot] = NULL;
    w->free_slots[w->n_free++] = slot;
    t->answered(t->opaque, answer);
    return true;
}

void
qm__wire_send_data(qm_wire *w, qm_wire_task *t, const uint8_t *r2t)
{
    uint32_t at = qm__get_be32(r2t + QM_AT_OFFSET);
    uint32_t end = at + qm__get_be32(r2t + QM_AT_WANTED);
    uint32_t number = 0;

    while (at < end) {
        uint32_t length = MIN(end - at, w->terms.send_max);
        qm_wire_pdu *pdu = qm__wire_pdu_new(
            QM_OP_DATA_OUT, at + length == end ? QM_PDU_FINAL : 0);

        memcpy(pdu->bhs + QM_AT_LUN, r2t + QM_AT_LUN, 8);
        qm__set_be32(pdu->bhs + QM_AT_TAG, t->tag);
        memcpy(pdu->bhs + QM_AT_TARGET_TAG, r2t + QM_AT_TARGET_TAG, 4);
        qm__set_be32(pdu->bhs + QM_AT_DATA_SN, number++);
        qm__set_be32(pdu->bhs + QM_AT_OFFSET, at);
        pdu->task = t;
        pdu->offset = at;
        pdu->length = length;
        qm__wire_enqueue(w, pdu);
        at += length;
    }
}

/* --- calls --------------------------------------------------------------- */

/* Immediate: takes no number of its own and no place in the window. */
static qm_wire_pdu *
call(qm_wire *w, uint8_t opcode, uint8_t flags, uint8_t answer,
     qm_wire_done done, void *opaque)
{
    qm_wire_pdu *pdu = qm__wire_pdu_new(opcode | QM_OP_IMMEDIATE, flags);
    wire_call *c = g_new0(wire_call, 1);

    /* Beyond the slots, so that no command's answer is taken for it. */
    w->call_tag = (w->call_tag + 0x10000) | 0xfffe;
    *c = (wire_call){w->calls, w->call_tag, answer, done, opaque};
    w->calls = c;
    qm__set_be32(pdu->bhs + QM_AT_TAG, c->tag);
    qm__set_be32(pdu->bhs + QM_AT_CMD_SN, w->cmd_sn);
    return pdu;
}

bool
qm__wire_end_call(qm_wire *w, uint8_t opcode, uint32_t tag, int response)
{
    for (wire_call **at = &w->calls; *at != NULL; at = &(*at)->next) {
        wire_call *c = *at;

        if (c->tag != tag || c->answer != opcode)
            continue;
        *at = c->next;
        c->done(c->opaque, true, response);
        g_free(c);
        return true;
    }
    return qm__wire_lose(w, "an answer (%#x) to what was not asked", opcode);
}

void
qm__wire_ping(qm_wire *w, qm_wire_done done, void *opaque)
{
    qm_wire_pdu *pdu =
        call(w, QM_OP_NOP_OUT, QM_PDU_FINAL, QM_OP_NOP_IN, done, opaque);

    qm__set_be32(pdu->bhs + QM_AT_TARGET_TAG, QM_TAG_NONE);
    qm__wire_enqueue(w, pdu);
}

void
qm__wire_reset_lun(qm_wire *w, qm_wire_done done, void *opaque)
{
    qm_wire_pdu *pdu = call(w, QM_OP_TASK_REQUEST, QM_PDU_FINAL | LUN_RESET,
                            QM_OP_TASK_RESPONSE, done, opaque);

    qm__put_lun(pdu->bhs, w->lun);
    qm__set_be32(pdu->bhs + QM_AT_TARGET_TAG, QM_TAG_NONE); /* no task */
    qm__wire_enqueue(w, pdu);
}

void
qm__wire_logout(qm_wire *w, qm_wire_done done, void *opaque)
{
    qm__wire_enqueue(w, call(w, QM_OP_LOGOUT, QM_PDU_FINAL,
                             QM_OP_LOGOUT_RESPONSE, done, opaque));
}

/* --- numbers ------------------------------------------------------------- */

void
qm__wire_take_numbers(qm_wire *w, const uint8_t *bhs, bool status)
{
    uint32_t stat = qm__get_be32(bhs + QM_AT_STAT_SN);
    uint32_t expected = qm__get_be32(bhs + QM_AT_EXP_CMD_SN);
    uint32_t max = qm__get_be32(bhs + QM_AT_MAX_CMD_SN);

    if (status && qm__serial_le(w->exp_stat_sn, stat))
        w->exp_stat_sn = stat + 1;
    /* The window never shrinks; an older PDU may come later. */
    if (qm__serial_le(expected, max + 1) && qm__serial_le(w->max_cmd_sn, max))
        w->max_cmd_sn = max;
}
