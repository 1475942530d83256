/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_ISCSI_WIRE_INTERNAL_H
#define QM_ISCSI_WIRE_INTERNAL_H

/*
 * Shared by iscsi-wire*.c only.
 */
#include <glib.h>
#include "iscsi-wire.h"

#define WIRE_TASKS     1024   /* under way; more wait for their turn */
#define WIRE_AHEAD     131072 /* bytes read ahead between small PDUs */
#define WIRE_SMALL_MAX 16384  /* bytes of data in a PDU that is not Data-In */
#define WIRE_IN        (WIRE_AHEAD + WIRE_SMALL_MAX + 2 * QM_BHS)

/* A request about the session, not about data. */
typedef struct wire_call wire_call;
struct wire_call {
    wire_call *next;
    uint32_t tag;
    uint8_t answer; /* opcode that answers it */
    qm_wire_done done;
    void *opaque;
};

struct qm_wire {
    int fd;
    int lun;
    qm_login_terms terms;
    char *why; /* it is lost; NULL: it is not */

    uint32_t cmd_sn;      /* of the next command */
    uint32_t max_cmd_sn;  /* last that the target takes */
    uint32_t exp_stat_sn; /* next status */

    /* commands: tag = turn << 16 | slot, so that an answer to an earlier user
     * of the slot is not taken for one to the present */
    qm_wire_task *slots[WIRE_TASKS];
    uint16_t turns[WIRE_TASKS];
    uint16_t free_slots[WIRE_TASKS];
    unsigned n_free;
    qm_wire_task *waiting, **waiting_end; /* for window or slot */
    wire_call *calls;
    uint32_t call_tag; /* of the last call */

    /* out */
    qm_wire_pdu *out, **out_end;
    size_t out_sent; /* bytes of the first that are sent */

    /* in: [in_start, in_end) of @in is unparsed */
    uint8_t *in; /* WIRE_IN bytes */
    size_t in_start, in_end;
    bool large;         /* the last data was large: read little ahead */
    qm_wire_task *into; /* Data-In: whose data comes next */
    uint32_t into_left; /* bytes of it */
    uint32_t skip;      /* padding after it */
    bool into_status;   /* it ends the command */
    uint8_t into_bhs[QM_BHS];
};

/* Keeps the first reason.  Returns false. */
bool qm__wire_lose(qm_wire *w, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* --- iscsi-wire.c --- */

qm_wire_pdu *qm__wire_pdu_new(uint8_t opcode, uint8_t flags);
void qm__wire_enqueue(qm_wire *w, qm_wire_pdu *pdu);
/* Numbers of status and commands that every PDU of a target carries. */
void qm__wire_take_numbers(qm_wire *w, const uint8_t *bhs, bool status);
/* Sends what may be sent by now. */
void qm__wire_admit(qm_wire *w);
/* NULL: nobody's tag. */
qm_wire_task *qm__wire_task(const qm_wire *w, uint32_t tag);
/* The command is over; @task may be gone afterwards. */
bool
qm__wire_end_task(qm_wire *w, qm_wire_task *task, const qm_wire_answer *answer);
/* Queues what an R2T asks for. */
void qm__wire_send_data(qm_wire *w, qm_wire_task *task, const uint8_t *r2t);
bool qm__wire_end_call(qm_wire *w, uint8_t opcode, uint32_t tag, int response);
/* The parts of @iov from @offset on; returns how many of @ret. */
int qm__wire_slice(const struct iovec *iov, int n_iov, uint32_t offset,
                   uint32_t length, struct iovec *ret, int max);

#endif
