/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_RUNTIME_H
#define QM_RUNTIME_H

/*
 * This node's volatile state below /run/quickmig (QM_RUN_DIR in tests):
 *   vm/UUID/lock       one actor a VM and node
 *   vm/UUID/action     marker: an action is (or was cut off) under way
 *   vm/UUID/tombstone  image id that must not be revived here
 *   vm/UUID/room       nothing: space for when there is none left
 *   vm/UUID/settled    when a move that failed was settled with Pacemaker
 *   vm/UUID/health     what the guest's agent answered last; see health.h
 *   gate/UUID-vda.sock      NBD, owned by QEMU's user, 0600
 *   gate/UUID-vda.control   control socket, root, 0600
 *   lun/…              one login a node and LUN (lock files)
 * All of it vanishes at a reboot, as do the processes it speaks of.
 */
#include <quickmig/error.h>
#include <quickmig/record.h>

const char *qm__run_dir(void);
/* Caller frees.  @file NULL: the directory. */
char *qm__vm_path(const uint8_t *uuid, const char *file);
char *qm__gate_socket(const uint8_t *uuid, const char *disk);
char *qm__gate_control(const uint8_t *uuid, const char *disk);
/* Makes and checks the directories.  @uuid NULL: only the common ones.
 * REFUSED: something there belongs to or is writable by somebody else. */
bool qm__runtime_prepare(const uint8_t *uuid, GError **error);

/* The VM's node lock.  Lock order: this one, then LUN locks. */
typedef struct qm_lock qm_lock;
/* Waits until @deadline (tries at least once).  @what: what it guards, for
 * the message.  BUSY: held by another process (named).  Close-on-exec. */
bool qm__lock_take(const char *path, const char *what, int64_t deadline,
                   qm_lock **ret_lock, GError **error);
void qm__lock_release(qm_lock *lock);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(qm_lock, qm__lock_release)

/* The marker "an action is under way": set before the first side effect,
 * cleared at the end; found at the next start: that action was cut off.
 * Set and clear only under the VM's lock.  @action: at most 200 bytes. */
bool qm__marker_set(const uint8_t *uuid, const char *action, GError **error);
void qm__marker_clear(const uint8_t *uuid);
/* NULL: none; "unknown": there is one, but unreadable.  Caller frees. */
char *qm__marker_get(const uint8_t *uuid);

/* This image and all before it must not be revived here (image ids only
 * grow).  Set only under the VM's lock. */
bool qm__tombstone_set(const uint8_t *uuid, uint64_t image_id, GError **error);
bool qm__tombstone_is_set(const uint8_t *uuid, uint64_t image_id);

/* Some room in the file system for the VM's last action here, libvirt's notes
 * included: kept while it runs, so that a full /run costs no guest its
 * memory. */
void qm__room_keep(const uint8_t *uuid);
void qm__room_use(const uint8_t *uuid);

/* When this VM's last failed move was settled, monotonic µs. */
bool qm__settled_set(const uint8_t *uuid, int64_t now, GError **error);
/* 0: never. */
int64_t qm__settled_get(const uint8_t *uuid);

/* A small text (below 256 bytes) of this VM's.  Write only under its lock. */
bool qm__note_write(const uint8_t *uuid, const char *name, const char *text,
                    GError **error);
/* NULL: none, or it cannot be read.  Caller frees. */
char *qm__note_read(const uint8_t *uuid, const char *name);

#endif
