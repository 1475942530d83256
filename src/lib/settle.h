/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_SETTLE_H
#define QM_SETTLE_H

/*
 * A move that was given up before its commit, settled with Pacemaker: the
 * guest runs on, and Pacemaker leaves it there.
 */
#include "cluster.h"

/* Called in migrate_to when all is undone: the record says RUNNING here, and
 * the guest runs.  Afterwards migrate_to must fail, at once and whatever
 * happens: the resource's history on this node is about to be forgotten, and
 * the probe that follows must find the VM here.
 * @ret_text: what was done, for the log; caller frees.
 * REFUSED: not to be settled (see settle.c): Pacemaker stops and starts the
 * VM, which then keeps its memory through its vault.  IO, TIMEOUT: Pacemaker
 * does not answer; the same follows. */
bool qm__settle_move(qm_cluster *c, const uint8_t *uuid, const char *resource,
                     int64_t deadline, char **ret_text, GError **error);

/* The pure part: may a move be settled that no constraint asked for?
 * @settled_at: when this VM's last one was, monotonic µs; 0: none. */
bool qm__settle_again(int64_t settled_at, int64_t now);

#endif
