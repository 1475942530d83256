/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_RUNTIME_H
#define QM_RUNTIME_H

/*
 * This node's volatile state below /run/quickmig (QM_RUN_DIR in tests):
 *   vm/UUID/lock       one actor a VM and node
 *   vm/UUID/action     marker: an action is (or was cut off) under way
 *   vm/UUID/tombstone  image id that must not be revived here
 *   gate/UUID-vda.sock      NBD, owned by QEMU's user, 0600
 *   gate/UUID-vda.control   control socket, root, 0600
 * All of it vanishes at a reboot, as do the processes it speaks of.
 */
#include <quickmig/error.h>
#include <quickmig/record.h>

const char *qm__run_dir(void);
char *qm__vm_path(const uint8_t *uuid, const char *file); /* caller frees */
char *qm__gate_socket(const uint8_t *uuid, const char *disk);
char *qm__gate_control(const uint8_t *uuid, const char *disk);
bool qm__runtime_prepare(const uint8_t *uuid, GError **error);

/* The VM's node lock.  Lock order: this one, then LUN locks. */
typedef struct qm_lock qm_lock;
/* Waits until @deadline.  BUSY: held by another process (named). */
bool qm__lock_take(const char *path, const char *what, int64_t deadline,
                   qm_lock **ret_lock, GError **error);
void qm__lock_release(qm_lock *lock);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(qm_lock, qm__lock_release)

/* The marker "an action is under way": set before the first side effect,
 * cleared at the end; found at the next start: that action was cut off. */
bool qm__marker_set(const uint8_t *uuid, const char *action, GError **error);
void qm__marker_clear(const uint8_t *uuid);
char *qm__marker_get(const uint8_t *uuid); /* NULL: none; caller frees */

bool qm__tombstone_set(const uint8_t *uuid, uint64_t image_id, GError **error);
bool qm__tombstone_is_set(const uint8_t *uuid, uint64_t image_id);

#endif
