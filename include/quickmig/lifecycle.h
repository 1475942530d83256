/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QUICKMIG_LIFECYCLE_H
#define QUICKMIG_LIFECYCLE_H

/*
 * The lifecycle of a VM as one constant table and one pure function: what was
 * read and seen goes in, the next record and what to do come out.  Side
 * effects live elsewhere.
 */
#include <quickmig/record.h>

G_BEGIN_DECLS

/** What happened, or is asked for. */
typedef enum {
    QM_EVENT_START,    /**< run it here (start, migrate_from) */
    QM_EVENT_STOP,     /**< stop it here */
    QM_EVENT_PROBE,    /**< look, and settle what ended by itself */
    QM_EVENT_MOVE,     /**< save it here for a target (migrate_to) */
    QM_EVENT_COMMIT,   /**< the image is complete and durable */
    QM_EVENT_ROLLBACK, /**< the save failed before its commit */
    QM_EVENT_LOADED,   /**< the image is loaded here, paused */
    QM_EVENT_RESUMED, /**< resumed here, gates still hold writes; or about to be
                         resumed, where no gate could hold them */
    QM_EVENT_RESTORE_FAILED, /**< the image could not be loaded here */
    QM_EVENT_POWERED_OFF,    /**< guest is off, its disks are flushed */
    QM_EVENT_DISCARD,        /**< administrator drops the saved state */
    QM_EVENT_COUNT
} qm_event;

/** Who owns the VM, seen from this node.  Bits, so that a row can list. */
typedef enum {
    QM_OWNER_NOBODY = 1 << 0,   /**< OFF or SAVED */
    QM_OWNER_SELF = 1 << 1,     /**< this node, this boot */
    QM_OWNER_OLD_BOOT = 1 << 2, /**< this node before its last boot */
    QM_OWNER_GONE = 1 << 3,     /**< another node that surely is gone */
    QM_OWNER_ALIVE = 1 << 4,    /**< another node, not surely gone */
    QM_OWNER_ANY = (1 << 5) - 1
} qm_owner;

/** The libvirt domain on this node. */
typedef enum {
    QM_DOMAIN_NONE = 1 << 0,
    QM_DOMAIN_RUNNING = 1 << 1,
    QM_DOMAIN_PAUSED = 1 << 2,
    QM_DOMAIN_ANY = (1 << 3) - 1
} qm_domain;

/** The image with the record's image id; for LOADED and RESTORE_FAILED: is it
 * the one that was loaded here?  It may have been replaced meanwhile. */
typedef enum {
    QM_IMAGE_INCOMPLETE = 1 << 0, /**< no valid LAST chunk with this id */
    QM_IMAGE_COMPLETE = 1 << 1,
    QM_IMAGE_ANY = (1 << 2) - 1
} qm_image_state;

/** Whether the image may still be restored. */
typedef enum {
    QM_RESTORE_ALLOWED = 1 << 0, /**< fewer failures than restore_attempts */
    QM_RESTORE_BOOT = 1 << 1,    /**< failed often enough: cold boot */
    QM_RESTORE_BLOCK = 1 << 2,   /**< failed often enough: refuse */
    QM_RESTORE_ANY = (1 << 3) - 1
} qm_restore_policy;

/** What the caller has to do after it wrote the next record. */
typedef enum {
    QM_ACTION_NONE,         /**< settled: nothing more to do, success */
    QM_ACTION_REFUSE,       /**< not allowed: error, nothing was changed */
    QM_ACTION_AGAIN,        /**< write, then decide again */
    QM_ACTION_COLD_BOOT,    /**< destroy leftovers, write, boot */
    QM_ACTION_RESTORE,      /**< destroy leftovers, load the image */
    QM_ACTION_RESUME,       /**< write, then resume the paused guest */
    QM_ACTION_OPEN_GATES,   /**< runs already: let writes through */
    QM_ACTION_TAKE_DISKS,   /**< write, acquire the disks, resume */
    QM_ACTION_SAVE,         /**< write, suspend, stream the image */
    QM_ACTION_POWER_DOWN,   /**< stop the guest as stop_action says */
    QM_ACTION_DESTROY,      /**< write, then destroy the domain here */
    QM_ACTION_DESTROY_FIRST /**< destroy the domain here, then write */
} qm_action;

/** What is known when a decision is due. */
typedef struct {
    qm_node self;              /**< this node */
    qm_owner owner;            /**< one bit; see qm_lifecycle_owner() */
    qm_domain domain;          /**< one bit */
    qm_image_state image;      /**< one bit */
    uint64_t image_length;     /**< bytes of its log; 0: not known */
    qm_restore_policy restore; /**< one bit */
    qm_node target;            /**< MOVE: where to; else id 0 */
    int64_t now_us;            /**< wall clock, µs; goes into the record */
    int64_t fenced_us;         /**< of this node, for a record that it owns */
    const char *cause;         /**< goes into the record; may be NULL */
} qm_facts;

/** One row of the table.  Masks list what the row matches. */
typedef struct {
    qm_state from;
    qm_event event;
    unsigned owner, domain, image, restore; /**< masks */
    qm_state to;
    bool new_generation; /**< ownership changes */
    bool new_image;      /**< entry to SAVING */
    qm_action action;
    const char *why; /**< one line for logs and the generated document */
} qm_transition;

/** The answer. */
typedef struct {
    const qm_transition *row; /**< the row that decided */
    bool write;               /**< @next differs: it has to be written */
    qm_record next;
} qm_decision;

/**
 * Finds the first row that matches and computes the next record.
 * Total: every state, event and combination of single bits has a row, but for
 * an owner that contradicts the state (RUNNING, owned by nobody): refused.
 * @record: as read while holding the vault (or just read, for a look).
 */
void qm_lifecycle_decide(const qm_record *record, qm_event event,
                         const qm_facts *facts, qm_decision *ret_decision);

/**
 * Who owns the VM, seen from @self.  @owner_gone: another node that owns it
 * surely is gone (fenced, another boot, released).
 */
qm_owner qm_lifecycle_owner(const qm_record *record, const qm_node *self,
                            bool owner_gone);

/** The whole table; @ret_rows: number of rows. */
const qm_transition *qm_lifecycle_table(size_t *ret_rows);

const char *qm_event_name(qm_event event);    /**< "start"; "?" otherwise */
const char *qm_action_name(qm_action action); /**< "cold-boot"; "?" otherwise */

G_END_DECLS

#endif
