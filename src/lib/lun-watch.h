/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_LUN_WATCH_H
#define QM_LUN_WATCH_H

/*
 * Looking after a session without waiting: does the target still answer, and
 * is the reservation still ours?
 */
#include "reservation.h"

/* @holder: key of the reservation's holder; 0: none, or not GOOD. */
typedef void (*qm_pr_poll_cb)(void *opaque, const qm_scsi_status *status,
                              uint64_t holder);

/* READ RESERVATION.  As qm__lun_submit(): @cb is called exactly once, from
 * service() or fail(); false: the session is lost, it will not be called. */
bool qm__pr_poll(qm_lun *lun, qm_pr_poll_cb cb, void *opaque);

/* Age of a ping that is not answered yet, µs; 0: none is out. */
int64_t qm__lun_silence(const qm_lun *lun);

#endif
