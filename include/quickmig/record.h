/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QUICKMIG_RECORD_H
#define QUICKMIG_RECORD_H

/*
 * The record: who owns the VM, and in which state it is.  It lives in the
 * VM's vault; only a holder of the vault may write it.
 */
#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

G_BEGIN_DECLS

#define QM_NAME_MAX    64   /**< node name with its final NUL, bytes */
#define QM_CAUSE_MAX   128  /**< cause with its final NUL, bytes */
#define QM_UUID_LEN    16   /**< binary UUID, bytes */
#define QM_RECORD_SIZE 4096 /**< encoded record, bytes */

#define QM_FENCED_NEVER 1 /**< fenced_us: no fencing was known of */

/** The VM's state, as stored.  Values are part of the disk format. */
typedef enum {
    QM_STATE_OFF = 0,       /**< runs nowhere, nothing saved */
    QM_STATE_RUNNING = 1,   /**< owner runs it (or is starting it) */
    QM_STATE_SAVING = 2,    /**< owner is saving it; not committed */
    QM_STATE_SAVED = 3,     /**< the image is complete: the only truth */
    QM_STATE_RESTORING = 4, /**< owner loaded it; disks not yet written */
    QM_STATE_COUNT
} qm_state;

/** A node, as the record names it. */
typedef struct {
    uint32_t id;               /**< corosync node id; 0: nobody */
    char name[QM_NAME_MAX];    /**< cluster node name */
    uint8_t boot[QM_UUID_LEN]; /**< identity of that node's boot */
} qm_node;

/** One record. */
typedef struct {
    qm_state state;
    uint64_t sequence;     /**< raised at every write; picks the newer copy */
    uint64_t generation;   /**< raised only when ownership changes */
    uint64_t image_id;     /**< raised at every entry to SAVING */
    uint64_t image_length; /**< bytes of the image log; 0: none */
    qm_node owner;         /**< RUNNING, SAVING, RESTORING: who; else last */
    qm_node target;        /**< SAVING, SAVED: where a move goes; id 0: none */
    uint32_t failed_restores; /**< restores of this image that failed */
    int64_t time_us;          /**< wall clock of the writer, µs since 1970 */
    int64_t fenced_us; /**< last fencing of the owner that it knew of when it
                          became that, by the fencers' clocks;
                          QM_FENCED_NEVER; 0: not known */
    uint64_t key;      /**< writer's reservation key; for the reader's eye */
    char cause[QM_CAUSE_MAX]; /**< why, one line */
} qm_record;

/** The state's name as printed ("RUNNING"); "?" when out of range. */
const char *qm_state_name(qm_state state);

/**
 * Encodes @record into @buf (QM_RECORD_SIZE bytes; unused bytes are zero).
 * @vm_uuid: the VM the vault belongs to; stored and checked on decode.
 */
void
qm_record_out(const qm_record *record, const uint8_t *vm_uuid, uint8_t *buf);

/**
 * Decodes @buf (QM_RECORD_SIZE bytes).
 * Errors: QM_ERROR_CORRUPT (magic, length, checksum, a value out of range),
 * QM_ERROR_FORMAT (newer version), QM_ERROR_MISMATCH (another VM).
 */
bool qm_record_in(const uint8_t *buf, const uint8_t *vm_uuid,
                  qm_record *ret_record, GError **error);

/**
 * Picks the valid copy with the higher sequence out of the two that are kept.
 * @ret_copy (may be NULL): 0 or 1, which one it was.
 * Errors: as qm_record_in() when neither copy is valid.
 */
bool qm_record_pick(const uint8_t *copy0, const uint8_t *copy1,
                    const uint8_t *vm_uuid, qm_record *ret_record,
                    int *ret_copy, GError **error);

G_END_DECLS

#endif
