/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Our own session as a link.
 */
#include "config.h"
#include <poll.h>
#include "lun-link.h"

typedef struct {
    qm_link link;
    qm_wire *wire;
} wire_link;

static qm_wire *
wire_of(const qm_link *link)
{
    return ((const wire_link *) link)->wire;
}

/* --- commands ------------------------------------------------------------ */

static void
take_sense(const uint8_t *data, struct scsi_sense *sense)
{
    switch (data[0] & 0x7f) {
    case 0x70: /* fixed format */
    case 0x71:
        sense->key = data[2] & 0x0f;
        sense->ascq = data[12] << 8 | data[13];
        break;
    case 0x72: /* descriptors */
    case 0x73:
        sense->key = data[1] & 0x0f;
        sense->ascq = data[2] << 8 | data[3];
        break;
    default: /* none: whatever it was, it was no success */
        sense->key = SCSI_SENSE_HARDWARE_ERROR;
        break;
    }
}

static void
on_answer(void *opaque, const qm_wire_answer *answer)
{
    qm_link_command *c = opaque;
    qm_link_answer a = {.status = answer->status, .moved = answer->moved};

    if (a.status == SCSI_STATUS_CHECK_CONDITION)
        take_sense(answer->sense, &a.sense);
    c->answered(c, &a);
}

static qm_wire_way
way_of(const qm_scsi_request *r)
{
    return r->direction == SCSI_XFER_READ    ? QM_WIRE_READ
           : r->direction == SCSI_XFER_WRITE ? QM_WIRE_WRITE
                                             : QM_WIRE_NONE;
}

static bool
submit(qm_link *link, qm_link_command *c)
{
    qm_wire_task *t = &c->wire;

    c->link = link;
    memcpy(t->cdb, c->request->cdb, QM_CDB);
    t->way = way_of(c->request);
    t->length = c->request->length;
    t->iov = c->iov;
    t->n_iov = c->n_iov;
    t->answered = on_answer;
    t->opaque = c;
    qm__wire_submit(wire_of(link), t);
    return true;
}

static void
forget(qm_link_command *c)
{
}

/* --- the session --------------------------------------------------------- */

static bool
ping(qm_link *link, qm_link_done done, void *opaque)
{
    qm__wire_ping(wire_of(link), done, opaque);
    return true;
}

static bool
reset_lun(qm_link *link, qm_link_done done, void *opaque)
{
    qm__wire_reset_lun(wire_of(link), done, opaque);
    return true;
}

static bool
log_out(qm_link *link, qm_link_done done, void *opaque)
{
    qm__wire_logout(wire_of(link), done, opaque);
    return true;
}

static int
fd_of(const qm_link *link)
{
    return qm__wire_fd(wire_of(link));
}

static short
events(const qm_link *link)
{
    return POLLIN | (qm__wire_sendable(wire_of(link)) ? POLLOUT : 0);
}

static bool
service(qm_link *link, short revents)
{
    qm_wire *w = wire_of(link);

    if ((revents & (POLLIN | POLLHUP | POLLERR)) != 0 && !qm__wire_receive(w))
        return false;
    return (revents & POLLOUT) == 0 || qm__wire_send(w);
}

static const char *
why(const qm_link *link)
{
    return qm__wire_why(wire_of(link));
}

static void
free_link(qm_link *link)
{
    qm__wire_free(wire_of(link));
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
qm__link_wire(int fd, const qm_login_session *session, int lun)
{
    wire_link *l = g_new0(wire_link, 1);

    l->link.ops = &ops;
    l->link.max_burst = session->terms.max_burst;
    l->wire = qm__wire_new(fd, session, lun);
    return &l->link;
}
