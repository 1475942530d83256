/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_HINTS_H
#define QM_HINTS_H

/*
 * One side of a move talks: it tells how far it is, hears how far the other
 * side is, and whether somebody cancels it.  Without corosync nobody hears it,
 * and it goes on all the same.
 */
#include "peer.h"

typedef struct qm_hints qm_hints;

/* @job: this side; names and ids filled in. */
qm_hints *qm__hints_new(const qm_job *job);
void qm__hints_free(qm_hints *h);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(qm_hints, qm__hints_free)

/* Readable when something has come; -1: never. */
int qm__hints_fd(const qm_hints *h);
/* Takes what has come.  CANCELLED: somebody cancels the move.  REFUSED: the
 * other side has given up. */
bool qm__hints_check(qm_hints *h, GError **error);
/* Somebody cancels: heard from other than qm__hints_check(), too. */
bool qm__hints_has_daemon(qm_hints *h, uint32_t node_id);
void qm__hints_offer(qm_hints *h, const qm_offer *offer);

/* The job as told; its figures may be changed, then tell. */
qm_job *qm__hints_job(qm_hints *h);
/* Tells at once. */
void qm__hints_tell(qm_hints *h);
/* The same, with a new phase.  @text NULL: none. */
void qm__hints_phase(qm_hints *h, qm_phase phase, const char *text);
/* A new phase, told with the next message: while a guest is paused each one
 * would take the processors away. */
void qm__hints_soon(qm_hints *h, qm_phase phase);
/* Tells when it is time to: twice a second; a target also when it has come to
 * where its source said to be. */
void qm__hints_progress(qm_hints *h);

/* The other side as it told last.  @ret_age: µs since then; NULL: it has said
 * nothing. */
const qm_job *qm__hints_other(const qm_hints *h, int64_t *ret_age);

#endif
