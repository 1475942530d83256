/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * libiscsi as a link.  It forgets callbacks on some of its error paths and
 * promises little on others: a command that is not answered is ended by
 * whoever submitted it, after the link is gone.
 */
#include "config.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include "lun-link.h"

typedef struct {
    qm_link link;
    struct iscsi_context *iscsi;
    int lun;
    bool ending;      /* its callbacks mean nothing any more */
    unsigned unsent;  /* PDUs that go out with the next send, at least */
    GPtrArray *calls; /* call; not answered yet */
} libiscsi_link;

typedef struct {
    libiscsi_link *link;
    qm_link_done done;
    void *opaque;
    bool waited_for; /* who asked is gone when the link is */
} call;

G_STATIC_ASSERT(sizeof(struct scsi_iovec) == sizeof(struct iovec));
G_STATIC_ASSERT(offsetof(struct scsi_iovec, iov_len) ==
                offsetof(struct iovec, iov_len));

static libiscsi_link *
self(const qm_link *link)
{
    return (libiscsi_link *) link;
}

/* --- commands ------------------------------------------------------------ */

static uint32_t
moved(const qm_link_command *c)
{
    uint32_t length = c->request->length;
    size_t rest = c->task->residual_status == SCSI_RESIDUAL_UNDERFLOW
                      ? c->task->residual
                      : 0;

    return rest < length ? length - (uint32_t) rest : 0;
}

static void
on_answer(struct iscsi_context *iscsi, int status, void *data, void *opaque)
{
    qm_link_command *c = opaque;
    qm_link_answer answer = {.status = status};

    if (self(c->link)->ending)
        return;
    answer.sense = c->task->sense;
    answer.moved = moved(c);
    c->answered(c, &answer);
}

static void
forget(qm_link_command *c)
{
    scsi_free_scsi_task(c->task);
    c->task = NULL;
}

static bool
submit(qm_link *link, qm_link_command *c)
{
    const qm_scsi_request *r = c->request;
    struct scsi_iovec *iov = (struct scsi_iovec *) c->iov;

    c->link = link;
    c->task = scsi_create_task((int) r->cdb_length, (unsigned char *) r->cdb,
                               r->direction, (int) r->length);
    if (c->task == NULL)
        return false;
    if (r->direction == SCSI_XFER_READ)
        scsi_task_set_iov_in(c->task, iov, c->n_iov);
    else if (r->direction == SCSI_XFER_WRITE)
        scsi_task_set_iov_out(c->task, iov, c->n_iov);
    if (iscsi_scsi_command_async(self(link)->iscsi, self(link)->lun, c->task,
                                 on_answer, NULL, c) == 0) {
        /* A write is two pieces for libiscsi: header and data. */
        self(link)->unsent += r->direction == SCSI_XFER_WRITE ? 2 : 1;
        return true;
    }
    forget(c);
    return false;
}

/* --- calls --------------------------------------------------------------- */

static call *
new_call(qm_link *link, qm_link_done done, void *opaque)
{
    call *c = g_new(call, 1);

    *c = (call){.link = self(link), .done = done, .opaque = opaque};
    g_ptr_array_add(c->link->calls, c);
    return c;
}

static void
end_call(call *c, bool ok, int response)
{
    g_ptr_array_remove_fast(c->link->calls, c);
    c->done(c->opaque, ok && !c->link->ending, response);
    g_free(c);
}

/* Of a session that has logged out, libiscsi forgets what was not answered. */
static void
end_forgotten(libiscsi_link *l)
{
    while (l->calls->len > 0) {
        call *c = g_ptr_array_index(l->calls, 0);

        if (!c->waited_for) {
            end_call(c, false, 0);
            continue;
        }
        g_ptr_array_remove_index_fast(l->calls, 0);
        g_free(c);
    }
    g_ptr_array_free(l->calls, TRUE);
}

static bool
called(call *c, int result)
{
    if (result == 0)
        return true;
    g_ptr_array_remove_fast(c->link->calls, c);
    g_free(c);
    return false;
}

static void
on_done(struct iscsi_context *iscsi, int status, void *data, void *opaque)
{
    end_call(opaque, status == SCSI_STATUS_GOOD, 0);
}

static bool
ping(qm_link *link, qm_link_done done, void *opaque)
{
    call *c = new_call(link, done, opaque);

    return called(c,
                  iscsi_nop_out_async(self(link)->iscsi, on_done, NULL, 0, c));
}

static void
on_reset(struct iscsi_context *iscsi, int status, void *data, void *opaque)
{
    bool ok = status == SCSI_STATUS_GOOD && data != NULL;

    end_call(opaque, ok, ok ? (int) *(const uint32_t *) data : 0);
}

static bool
reset_lun(qm_link *link, qm_link_done done, void *opaque)
{
    call *c = new_call(link, done, opaque);

    return called(c, iscsi_task_mgmt_async(self(link)->iscsi, self(link)->lun,
                                           ISCSI_TM_LUN_RESET, UINT32_MAX, 0,
                                           on_reset, c));
}

static bool
log_out(qm_link *link, qm_link_done done, void *opaque)
{
    call *c = new_call(link, done, opaque);

    c->waited_for = true;
    return called(c, iscsi_logout_async(self(link)->iscsi, on_done, c));
}

/* --- the session --------------------------------------------------------- */

static int
fd_of(const qm_link *link)
{
    return iscsi_get_fd(self(link)->iscsi);
}

static short
events(const qm_link *link)
{
    return (short) (POLLIN | iscsi_which_events(self(link)->iscsi));
}

/* libiscsi sends piece by piece; each one a packet, and the target woken for
 * each, if nobody holds them together.  Only a faster way: failure is fine. */
static void
hold_packets(const qm_link *link, int on)
{
    (void) setsockopt(fd_of(link), IPPROTO_TCP, TCP_CORK, &on, sizeof on);
}

/* libiscsi cancels everything and returns 0 when it finds the connection
 * gone, and -1 from the next call on. */
static bool
service(qm_link *link, short revents)
{
    /* One piece alone gains nothing; none of ours: data for an R2T. */
    bool hold = (revents & POLLOUT) != 0 && self(link)->unsent != 1;
    bool ok;

    if (hold)
        hold_packets(link, 1);
    ok = iscsi_service(self(link)->iscsi, revents) >= 0;
    if (hold)
        hold_packets(link, 0);
    if ((revents & POLLOUT) != 0)
        self(link)->unsent = 0;
    return ok;
}

static const char *
why(const qm_link *link)
{
    return iscsi_get_error(self(link)->iscsi);
}

static void
free_link(qm_link *link)
{
    self(link)->ending = true;
    (void) iscsi_destroy_context(self(link)->iscsi); /* closes it */
    end_forgotten(self(link));
    g_free(link);
}

static const qm_link_ops ops = {
    .submit = submit,
    .forget = forget,
    .ping = ping,
    .reset_lun = reset_lun,
    .log_out = log_out,
    .fd = fd_of,
    .events = events,
    .service = service,
    .why = why,
    .free = free_link,
};

qm_link *
qm__link_libiscsi(struct iscsi_context *iscsi, int lun)
{
    libiscsi_link *l = g_new0(libiscsi_link, 1);

    l->link.ops = &ops;
    l->calls = g_ptr_array_new();
    l->iscsi = iscsi;
    l->lun = lun;
    return &l->link;
}
