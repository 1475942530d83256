/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QUICKMIG_VAULT_H
#define QUICKMIG_VAULT_H

/*
 * The vault: the VM's own small LUN or directory on shared storage, with its
 * record, history, domain XML and saved state.  One vtable, two backends;
 * nobody above it knows which.
 *
 * Deadlines are absolute, in µs of g_get_monotonic_time().
 */
#include <quickmig/error.h>
#include <quickmig/record.h>

G_BEGIN_DECLS

/** Where a vault is. */
typedef struct {
    char *text;   /**< as given, for messages and logs */
    char *dir;    /**< directory vault: absolute path; else NULL */
    char *portal; /**< iSCSI: "host:port" ("[v6]:port"); else NULL */
    char *iqn;    /**< iSCSI: target name; else NULL */
    int lun;      /**< iSCSI: logical unit number, 0 … 255 */
    char *user;   /**< iSCSI: CHAP user; NULL: no CHAP */
    char *secret; /**< iSCSI: libvirt secret (UUID or usage); NULL: the IQN */
} qm_url;

/**
 * Parses `iscsi://[user@]portal[:port]/iqn/lun[?secret=NAME]` or an absolute
 * directory.  A password in the URL is refused.
 * Errors: QM_ERROR_INVALID.
 */
bool qm_url_parse(const char *text, qm_url **ret_url, GError **error);
void qm_url_free(qm_url *url);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(qm_url, qm_url_free)

/** How to reach a vault. */
typedef struct {
    const char *url;         /**< see qm_url_parse() */
    const char *initiator;   /**< this host's IQN; NULL: from
                                  /etc/iscsi/initiatorname.iscsi */
    const char *chap_secret; /**< CHAP secret; NULL: none */
    uint16_t node_id;        /**< this node's corosync id; 0: read only */
} qm_vault_params;

typedef struct qm_vault qm_vault;

/** What a vault says of itself. */
typedef struct {
    uint8_t uuid[QM_UUID_LEN]; /**< the VM's UUID */
    char name[QM_NAME_MAX];    /**< the VM's name */
    uint32_t format;           /**< format version */
    uint64_t size;             /**< LUN or file-system space, bytes */
    uint64_t image_capacity;   /**< bytes for the image log */
} qm_vault_info;

/** One past transition. */
typedef struct {
    int64_t time_us;   /**< wall clock, µs since 1970 */
    uint64_t sequence; /**< of the record written then */
    uint64_t generation;
    qm_state from, to;
    uint32_t node_id;
    char node[QM_NAME_MAX];
    uint64_t bytes;       /**< image bytes moved; 0: none */
    uint64_t duration_us; /**< how long the step took; 0: not known */
    uint64_t pause_us;    /**< guest's pause so far; 0: not known */
    char cause[QM_CAUSE_MAX];
} qm_history;

/**
 * Opens a vault for reading.  Nothing is registered, reserved or locked.
 * Errors: QM_ERROR_INVALID, NOT_FOUND, AUTH, IO, TIMEOUT, UNFORMATTED,
 * FORMAT, CORRUPT.
 */
bool qm_vault_open(const qm_vault_params *params, int64_t deadline,
                   qm_vault **ret_vault, GError **error);
/** Closes; a reservation stays (the next owner preempts it).  NULL is fine. */
void qm_vault_close(qm_vault *vault);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(qm_vault, qm_vault_close)

const qm_vault_info *qm_vault_get_info(const qm_vault *vault);
const char *qm_vault_get_url(const qm_vault *vault);

bool
qm_vault_read_record(qm_vault *vault, qm_record *ret_record, GError **error);

/**
 * Asked with the record as it is now: may this node write it?
 * Returns false with @error set when not (the acquire ends with that error).
 */
typedef bool (*qm_right_fn)(const qm_record *record, void *opaque,
                            GError **error);

/**
 * Acquires the vault for writing: design §5, steps (1) to (7): afterwards no
 * write of an earlier holder can reach it.  @right is asked after the holder
 * was observed and before it is preempted, and once more at the end.
 * Lost races are tried again until @deadline, with a random pause.
 * Errors: those of @right; QM_ERROR_TIMEOUT, LOST, IO, CONFLICT, FOREIGN
 * (reserved with a key that is not quickmig's), UNSUPPORTED, BUSY, AUTH.
 */
bool qm_vault_acquire(qm_vault *vault, qm_right_fn right, void *opaque,
                      int64_t deadline, qm_record *ret_record, GError **error);

/**
 * Writes @record (its sequence and key are set here and returned in it) and
 * makes it durable.  Needs qm_vault_acquire().
 * Errors: QM_ERROR_CONFLICT (no longer the holder), QM_ERROR_LOST (outcome
 * unknown: acquire and read again), QM_ERROR_IO, TIMEOUT.
 */
bool qm_vault_write_record(qm_vault *vault, qm_record *record, GError **error);

/** Appends one entry to the ring.  Needs qm_vault_acquire(). */
bool qm_vault_append_history(qm_vault *vault, const qm_history *entry,
                             GError **error);
/** Reads the ring, oldest first, as GArray of qm_history. */
bool
qm_vault_read_history(qm_vault *vault, GArray **ret_entries, GError **error);

/** Reads the domain XML. */
bool qm_vault_read_xml(qm_vault *vault, char **ret_xml, GError **error);
/** Replaces the domain XML atomically.  Needs qm_vault_acquire(). */
bool qm_vault_write_xml(qm_vault *vault, const char *xml, GError **error);

/**
 * Reservation key of the vault's present holder; 0: nobody (directory vaults:
 * always 0).
 */
bool qm_vault_read_holder(qm_vault *vault, uint64_t *ret_key, GError **error);

/**
 * Formats: writes superblock, record OFF, XML.  Without @force refuses what
 * already carries a vault or data.  On a vault whose record is not OFF it
 * refuses always.
 */
bool qm_vault_format(const qm_vault_params *params, const uint8_t *vm_uuid,
                     const char *vm_name, const char *xml, bool force,
                     int64_t deadline, GError **error);

G_END_DECLS

#endif
