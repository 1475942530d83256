/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_RESERVATION_H
#define QM_RESERVATION_H

/*
 * SCSI-3 persistent reservations: who may write to a LUN (design §5).
 * Keys: 0x514D ("QM") | node id (16 bits) | 32 random bits.
 */
#include "lun.h"

#define QM_KEY_MAGIC UINT64_C(0x514D)
#define QM_PR_TYPE   5 /* write exclusive, registrants only */

bool qm__key_is_ours(uint64_t key);  /* made by any quickmig node */
uint16_t qm__key_node(uint64_t key); /* its node id */
/* A fresh key, never zero, not among @listed. */
bool qm__key_draw(uint16_t node_id, const uint64_t *listed, size_t n_listed,
                  uint64_t *ret_key, GError **error);

typedef struct {
    uint64_t holder;     /* key of the reservation's holder; 0: none */
    int type;            /* reservation type; 0: none */
    uint32_t generation; /* PRgeneration */
    GArray *keys;        /* uint64_t, all registered */
} qm_pr_state;

bool qm__pr_read(qm_lun *lun, int64_t deadline, qm_pr_state *ret_state,
                 GError **error);
void qm__pr_state_clear(qm_pr_state *state);

/* Asked between observing the holder and preempting it. */
typedef bool (*qm_pr_right)(void *opaque, GError **error);

/*
 * Steps (1)-(6) of design §5 on a session that is logged in (WRITER nexus):
 * draw a key, register, observe the holder, ask @right, reserve or
 * preempt(new <- observed), LUN RESET as barrier (after PREEMPT AND ABORT
 * where the target has it), absorb own unit attentions, verify holder and
 * keys, remove other registrants.
 * Errors: @right's; CONFLICT (lost the race: log in anew and try again), LOST,
 * FOREIGN (a holder that is not quickmig's, or another type), UNSUPPORTED,
 * TIMEOUT, IO.
 */
bool
qm__pr_acquire(qm_lun *lun, uint16_t node_id, qm_pr_right right, void *opaque,
               int64_t deadline, uint64_t *ret_key, GError **error);

/* Is @key still the holder?  false + CONFLICT when not. */
bool qm__pr_verify(qm_lun *lun, uint64_t key, int64_t deadline, GError **error);
/* LUN RESET, waited for, own unit attentions absorbed. */
bool qm__lun_reset(qm_lun *lun, int64_t deadline, GError **error);
/* Gives the LUN up for good (unprotect, tests): release and unregister. */
bool
qm__pr_release(qm_lun *lun, uint64_t key, int64_t deadline, GError **error);

#endif
