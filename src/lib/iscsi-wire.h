/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_ISCSI_WIRE_H
#define QM_ISCSI_WIRE_H

/*
 * An iSCSI session after its login, on one connection: commands out, answers
 * in, many of each with one system call.  It ends with the connection and
 * never comes back.  Single-threaded.
 */
#include <sys/uio.h>
#include "iscsi-login.h"

#define QM_CDB          16 /* bytes */
#define QM_WIRE_DATA    32 /* bytes of sense data that are kept */
#define QM_WIRE_FAILURE 0x100

typedef struct qm_wire qm_wire;
typedef struct qm_wire_task qm_wire_task;

typedef enum { QM_WIRE_NONE, QM_WIRE_READ, QM_WIRE_WRITE } qm_wire_way;

/* How a command ended. */
typedef struct {
    int status;                  /* SAM; QM_WIRE_FAILURE: not carried out */
    uint32_t moved;              /* bytes of data that arrived, either way */
    uint8_t sense[QM_WIRE_DATA]; /* CHECK CONDITION; rest zeros */
} qm_wire_answer;

typedef void (*qm_wire_answered)(void *opaque, const qm_wire_answer *answer);
/* @ok: it was answered, with @response; else the session ended. */
typedef void (*qm_wire_done)(void *opaque, bool ok, int response);

/* A PDU, or the rest of one, that waits to be sent. */
typedef struct qm_wire_pdu qm_wire_pdu;
struct qm_wire_pdu {
    qm_wire_pdu *next;
    qm_wire_task *task;  /* whose data follows the header; NULL: nobody's */
    uint32_t offset;     /* of the data in the task's */
    uint32_t length;     /* bytes of data */
    uint32_t bhs_length; /* QM_BHS; 0: no header any more */
    uint8_t *copy;       /* data that has lost its task; NULL: none */
    uint8_t bhs[QM_BHS];
};

/* Memory of the caller's, until @answered was called or the session freed. */
struct qm_wire_task {
    /* the caller's */
    uint8_t cdb[QM_CDB];
    qm_wire_way way;
    uint32_t length; /* bytes of data */
    const struct iovec *iov;
    int n_iov;
    qm_wire_answered answered;
    void *opaque;
    /* the session's */
    qm_wire_task *next;  /* waits for its turn */
    uint32_t tag;        /* of the command */
    uint32_t moved;      /* READ: bytes that arrived */
    unsigned queued;     /* PDUs not wholly sent */
    qm_wire_pdu command; /* the first of them */
};

/* Takes @fd: connected, logged in, non-blocking. */
qm_wire *qm__wire_new(int fd, const qm_login_session *session, int lun);
/* Closes the connection at once; tasks are forgotten, not answered.  NULL
 * ok. */
void qm__wire_free(qm_wire *w);

/* Goes out with the next qm__wire_send() or qm__wire_receive(). */
void qm__wire_submit(qm_wire *w, qm_wire_task *task);
/* NOP-Out.  One at a time. */
void qm__wire_ping(qm_wire *w, qm_wire_done done, void *opaque);
void qm__wire_reset_lun(qm_wire *w, qm_wire_done done, void *opaque);
void qm__wire_logout(qm_wire *w, qm_wire_done done, void *opaque);

int qm__wire_fd(const qm_wire *w);
/* Something waits to be sent. */
bool qm__wire_sendable(const qm_wire *w);
/* false: the session is lost (qm__wire_why()).  Callbacks are made from
 * qm__wire_receive() only. */
bool qm__wire_send(qm_wire *w);
bool qm__wire_receive(qm_wire *w);
const char *qm__wire_why(const qm_wire *w);

#endif
