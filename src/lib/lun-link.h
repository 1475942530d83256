/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_LUN_LINK_H
#define QM_LUN_LINK_H

/*
 * What carries a LUN's commands.  There are two: libiscsi (lun-libiscsi.c),
 * for everything that need not be fast, and a session of our own
 * (lun-wire.c), for disks behind gates.  Which answers fence, what is sent
 * again and what becomes of commands when the session ends is decided above,
 * once for both.
 *
 * A link is one session: when it is lost it stays so, and nothing that was
 * given to it is carried over.
 */
#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>
#include "iscsi-wire.h"

#define QM_CDB_MAX QM_CDB /* bytes */

typedef struct qm_link qm_link;
typedef struct qm_link_command qm_link_command;

typedef struct {
    uint8_t cdb[QM_CDB_MAX];
    size_t cdb_length; /* bytes: 6, 10, 12, 16 */
    int direction;     /* SCSI_XFER_… */
    uint32_t length;   /* bytes of data */
    bool short_ok;     /* may transfer less */
    bool disarmed;     /* no unit attention fences it */
} qm_scsi_request;

typedef struct {
    int status; /* SCSI_STATUS_…; an unknown one: the session is lost */
    struct scsi_sense sense; /* CHECK CONDITION: key and ascq */
    uint32_t moved;          /* bytes transferred */
} qm_link_answer;

/* A command; memory of the caller's until it was forgotten. */
struct qm_link_command {
    /* the caller's */
    const qm_scsi_request *request;
    struct iovec *iov;
    int n_iov;
    void (*answered)(qm_link_command *c, const qm_link_answer *answer);
    /* the link's */
    qm_link *link;
    struct scsi_task *task;
    qm_wire_task wire;
};

/* @ok: it was answered, with @response; else the session ended. */
typedef void (*qm_link_done)(void *opaque, bool ok, int response);

/* Callbacks are made from service() and free() only.  What returns false: the
 * session is lost, see why(); no callback is made for that call. */
typedef struct {
    /* Goes out with the next service(). */
    bool (*submit)(qm_link *link, qm_link_command *c);
    /* After its answer, or after free(): lets go of what it holds. */
    void (*forget)(qm_link_command *c);
    bool (*ping)(qm_link *link, qm_link_done done, void *opaque);
    bool (*reset_lun)(qm_link *link, qm_link_done done, void *opaque);
    bool (*log_out)(qm_link *link, qm_link_done done, void *opaque);
    int (*fd)(const qm_link *link);
    short (*events)(const qm_link *link); /* POLLOUT: something to send */
    bool (*service)(qm_link *link, short revents);
    const char *(*why)(const qm_link *link); /* "": not known */
    /* Closes the connection, without a logout.  Commands are not answered. */
    void (*free)(qm_link *link);
} qm_link_ops;

struct qm_link {
    const qm_link_ops *ops;
    uint32_t max_burst; /* as agreed with the target, bytes; 0: not known */
};

/* Takes @iscsi: logged in. */
qm_link *qm__link_libiscsi(struct iscsi_context *iscsi, int lun);
/* Takes @fd: logged in. */
qm_link *qm__link_wire(int fd, const qm_login_session *session, int lun);

#endif
