/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_LUN_INTERNAL_H
#define QM_LUN_INTERNAL_H

/*
 * Shared by lun*.c and reservation.c only.
 */
#include "lun-link.h"
#include "lun.h"
#include "runtime.h"
#include "timeouts.h"

struct qm_lun {
    qm_link *link; /* NULL: torn down */
    qm_lock *lock; /* WRITER: one login for a node and LUN */
    char *name;    /* for messages */
    qm_nexus nexus;
    qm_lun_info info;
    GQueue commands;         /* command, not completed, oldest first */
    unsigned deferred;       /* of these: to be sent again */
    int64_t pinged;          /* when the NOP-Out in flight was sent; 0: none */
    uint64_t key;            /* holds the reservation with it, so certain unit
                                attentions fence it; 0: does not hold */
    unsigned resets;         /* LUN RESETs sent */
    unsigned reset_answered; /* the newest answered: 1 is the first */
    int reset_response;      /* its answer, ISCSI_TMR_… */
    bool in_service;         /* callbacks are running */
    bool lost;
    char *why; /* it was lost; NULL: not known */
};

/* --- lun-sense.c: what an answer means --- */

typedef enum {
    QM_VERDICT_DONE,  /* over; see the result */
    QM_VERDICT_AGAIN, /* send it again at once */
    QM_VERDICT_LATER  /* send it again after a pause */
} qm_verdict;

/* @status: libiscsi's.  @armed: this nexus holds the LUN and knows of no
 * reason why it should be told otherwise. */
qm_verdict qm__scsi_judge(int status, const struct scsi_sense *sense,
                          bool armed, qm_scsi_status *ret_status);

/* --- lun-login.c --- */

/* Resolves, connects, logs in. */
bool qm__lun_login(const qm_lun_params *params, const char *initiator,
                   int64_t deadline, qm_link **ret_link, GError **error);

/* --- lun-probe.c --- */

/* Waits until ready, absorbs unit attentions, reads what the LUN is. */
bool qm__lun_probe(qm_lun *lun, int64_t deadline, GError **error);

/* --- lun-command.c --- */

/* @received: bytes transferred. */
typedef void (*qm_scsi_cb)(void *opaque, const qm_scsi_status *status,
                           uint32_t received);

/* As qm__lun_submit(). */
bool qm__scsi_submit(qm_lun *lun, const qm_scsi_request *request,
                     struct iovec *iov, int n_iov, qm_scsi_cb cb, void *opaque);
/* Marks the session as lost; it is torn down as soon as no callback runs. */
void qm__lun_lose(qm_lun *lun, const char *why);
/* The same, for the reason that the link knows. */
void qm__lun_link_lost(qm_lun *lun);

/* --- lun-sync.c --- */

/* One round of the event loop: until something happens, or @until. */
void qm__lun_wait(qm_lun *lun, int64_t until);
/* Likewise, but with a deadline that costs the session. */
void qm__lun_turn(qm_lun *lun, int64_t deadline);
/* Sets @error to why the session was lost; returns false. */
bool qm__lun_lost_error(const qm_lun *lun, const char *what, int64_t deadline,
                        GError **error);
/* Sends a command and waits; unit attentions are absorbed.  false: LOST,
 * TIMEOUT; else see @ret_status.  @buf: request->length bytes, both ways.
 * @ret_received may be NULL. */
bool
qm__scsi_execute(qm_lun *lun, const char *what, const qm_scsi_request *request,
                 void *buf, int64_t deadline, qm_scsi_status *ret_status,
                 uint32_t *ret_received, GError **error);
/* TEST UNIT READY until nothing is pending. */
bool qm__lun_absorb(qm_lun *lun, int64_t deadline, GError **error);

/* Big-endian fields of CDBs and of what a LUN answers. */
static inline uint64_t
qm__be64(const uint8_t *p)
{
    uint64_t v = 0;

    for (int i = 0; i < 8; i++)
        v = v << 8 | p[i];
    return v;
}

static inline uint32_t
qm__be32(const uint8_t *p)
{
    return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 |
           (uint32_t) p[2] << 8 | p[3];
}

static inline void
qm__put_be64(uint8_t *p, uint64_t v)
{
    for (int i = 7; i >= 0; i--, v >>= 8)
        p[i] = (uint8_t) v;
}

static inline void
qm__put_be32(uint8_t *p, uint32_t v)
{
    for (int i = 3; i >= 0; i--, v >>= 8)
        p[i] = (uint8_t) v;
}

#endif
