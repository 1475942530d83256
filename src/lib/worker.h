/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_WORKER_H
#define QM_WORKER_H

/*
 * A worker acts for quickmigd on one VM, under the VM's node lock, to spare
 * the agent time.  The agent's actions come first: they end a worker that is
 * in their way.  It may be killed at any line.
 *
 * /run/quickmig/vm/UUID/worker: "PID START-TIME [TARGET]", touched while it
 * goes on; TARGET: the node that it saves the VM for. /run/quickmig/vm/UUID/go:
 * migrate_to asks that worker to come to the end.
 */
#include <quickmig/error.h>
#include <quickmig/record.h>

/* This process is the VM's worker from now on; under the VM's lock.
 * @target: NULL unless it saves the VM for that node. */
bool
qm__worker_register(const uint8_t *uuid, const char *target, GError **error);
/* It goes on. */
void qm__worker_alive(const uint8_t *uuid);
/* It is none any more. */
void qm__worker_unregister(const uint8_t *uuid);

/* Kills the VM's worker if it has not been heard of for @silence µs (0: in
 * any case), and waits until it is gone, 2 s at most.  Its whole process group
 * is not touched: a worker has no children.  True: there was one. */
bool qm__worker_reap(const uint8_t *uuid, int64_t silence);

/* Asks the worker that saves the VM for @target to come to the end.  false:
 * there is none. */
bool qm__worker_go(const uint8_t *uuid, const char *target);
/* Has this worker been asked? */
bool qm__worker_asked(const uint8_t *uuid);

#endif
