/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_LUN_H
#define QM_LUN_H

/*
 * One login to one LUN: one I_T nexus.  Automatic reconnect is
 * off: a lost session stays lost, its outstanding commands end with LOST, and
 * the object is only good for closing.  Not thread safe; one user at a time.
 */
#include <sys/uio.h>
#include <quickmig/vault.h>

typedef struct qm_lun qm_lun;

/* Which I_T nexus to use. */
typedef enum {
    QM_NEXUS_WRITER, /* fixed ISID, from node id and LUN: may register */
    QM_NEXUS_READER  /* random ISID: never registers */
} qm_nexus;

typedef struct {
    const qm_url *url;       /* portal, iqn, lun, user */
    const char *initiator;   /* IQN; NULL: qm__initiator_name() */
    const char *chap_secret; /* NULL: none */
    qm_nexus nexus;
    uint16_t node_id; /* WRITER: corosync id, not 0 */
    bool own_session; /* our own initiator instead of libiscsi: fast */
} qm_lun_params;

typedef struct {
    uint32_t block_size;   /* bytes: 512, 4096 … */
    uint64_t size;         /* bytes */
    uint32_t max_transfer; /* bytes per command, multiple of block_size */
    char serial[64];       /* unit serial or designator; "" unknown */
    bool fua;              /* WRITE takes FUA: submit's @fua may be set */
    bool read_only;        /* write protected at the target */
    uint32_t max_burst;    /* data in one burst, as agreed at the login, bytes;
                              0: not known (libiscsi does not tell) */
} qm_lun_info;

/* How a command ended.  What a target says in passing (BUSY, other unit
 * attentions) is not seen: the command is sent again. */
typedef enum {
    QM_SCSI_GOOD,
    QM_SCSI_FENCED,   /* RESERVATION CONFLICT; and, only on a nexus that holds
                         the LUN after qm__pr_acquire(): UA 2A/03-05, 29/xx,
                         TASK ABORTED */
    QM_SCSI_LOST,     /* session lost or timed out: outcome unknown */
    QM_SCSI_NO_SPACE, /* 07/27 */
    QM_SCSI_ERROR     /* anything else; see sense */
} qm_scsi_result;

typedef struct {
    qm_scsi_result result;
    int key;  /* sense key */
    int ascq; /* ASC << 8 | ASCQ */
} qm_scsi_status;

/* Sets @error to what @status, not GOOD, says of "@what LUN": CONFLICT, LOST,
 * NO_SPACE, READ_ONLY, IO.  Returns false. */
bool qm__scsi_fail(const qm_lun *lun, const char *what,
                   const qm_scsi_status *status, GError **error);

typedef void (*qm_lun_cb)(void *opaque, const qm_scsi_status *status);

typedef enum { QM_LUN_READ, QM_LUN_WRITE, QM_LUN_FLUSH } qm_lun_op;

/* Logs in, reads capacity and block limits.  NOT_FOUND (host name, target,
 * LUN), AUTH, IO, TIMEOUT, INVALID; UNSUPPORTED (block size); BUSY: another
 * WRITER of this node has the LUN.  Ignores SIGPIPE from now on, where it is
 * not handled. */
bool qm__lun_open(const qm_lun_params *params, int64_t deadline,
                  qm_lun **ret_lun, GError **error);
/* Logs out politely when the session is good (bounded to 1 s). NULL ok. */
void qm__lun_close(qm_lun *lun);
/* Drops the connection at once, no logout.  As qm__lun_fail() for commands in
 * flight; not from a callback. NULL ok. */
void qm__lun_drop(qm_lun *lun);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(qm_lun, qm__lun_close)

const qm_lun_info *qm__lun_info(const qm_lun *lun);

/* Is what answers now the LUN that answered then?  One that can be told by its
 * serial may have grown, never shrunk; else its size is all there is. */
bool qm__lun_same(const char *serial_then, uint64_t size_then,
                  const char *serial, uint64_t size);

/* --- asynchronous: data goes straight from and to the caller's buffers --- */

/* @fua: force unit access (writes).  Offset and length in bytes, multiples of
 * block_size, at most max_transfer.  @iov must stay valid until @cb.  @cb is
 * called exactly once, from qm__lun_service() or qm__lun_fail(), never from
 * here, and may submit more.  FLUSH: no @iov.  false: the session is lost, @cb
 * will not be called.  Goes out with the next qm__lun_service(). */
bool
qm__lun_submit(qm_lun *lun, qm_lun_op op, uint64_t offset, struct iovec *iov,
               int n_iov, bool fua, qm_lun_cb cb, void *opaque);
int qm__lun_fd(const qm_lun *lun);
short qm__lun_events(const qm_lun *lun);
/* ms until service() has something to do without an event; -1: nothing. */
int qm__lun_timeout(const qm_lun *lun);
/* false: session lost; every outstanding callback was made (LOST). */
bool qm__lun_service(qm_lun *lun, short revents);
unsigned qm__lun_in_flight(const qm_lun *lun);
/* Age of the oldest command (or ping) in flight, µs; 0: none.  The caller
 * decides when a silent target counts as lost, then calls qm__lun_fail(). */
int64_t qm__lun_oldest(const qm_lun *lun);
void qm__lun_fail(qm_lun *lun);
bool qm__lun_lost(const qm_lun *lun);
/* Sends a NOP-Out so that a dead peer shows; answered inside service(). */
void qm__lun_ping(qm_lun *lun);

/* --- synchronous, with a deadline; a missed deadline loses the session --- */

bool qm__lun_read(qm_lun *lun, uint64_t offset, void *buf, size_t length,
                  int64_t deadline, GError **error);
bool qm__lun_write(qm_lun *lun, uint64_t offset, const void *buf, size_t length,
                   int64_t deadline, GError **error);
bool qm__lun_flush(qm_lun *lun, int64_t deadline, GError **error);

/* This host's initiator name (/etc/iscsi/initiatorname.iscsi). */
bool qm__initiator_name(char **ret_name, GError **error);

#endif
