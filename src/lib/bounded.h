/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_BOUNDED_H
#define QM_BOUNDED_H

/*
 * Calls that know no deadline (corosync's and Pacemaker's IPC wait for a
 * daemon for as long as it lives), made with one.
 */
#include <stdbool.h>
#include <stdint.h>
#include <quickmig/error.h>

typedef bool (*qm_bounded_fn)(void *box, GError **error);

/* Runs @fn(@box) on a thread of its own and waits for it until @deadline.
 * @box: from g_atomic_rc_box_alloc(); the thread has its own reference, so a
 * call that hangs keeps what it works on.  @clear: as for
 * g_atomic_rc_box_release_full().  After TIMEOUT the box may still be written
 * at any time: release it, do not look into it.  @what: "asking corosync …".
 * Errors: @fn's own, TIMEOUT. */
bool qm__bounded(const char *what, qm_bounded_fn fn, void *box,
                 GDestroyNotify clear, int64_t deadline, GError **error);

#endif
