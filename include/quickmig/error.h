/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QUICKMIG_ERROR_H
#define QUICKMIG_ERROR_H

/*
 * The library's errors.
 *
 * Every function that can fail returns bool (true: success) and takes a
 * GError ** as its last argument, as is usual with GLib.  Outputs go through
 * ret_ pointers and are untouched on failure.  A message says what was tried,
 * on what, why it failed and, where it helps, what to do.
 */
#include <glib.h>

G_BEGIN_DECLS

#define QM_ERROR (qm_error_quark())

/** What kind of failure it was: what the caller may do next depends on it. */
typedef enum {
    QM_ERROR_INVALID,     /**< malformed input or configuration */
    QM_ERROR_NOT_FOUND,   /**< no such target, LUN, file, domain, secret */
    QM_ERROR_IO,          /**< the device or the system call failed */
    QM_ERROR_TIMEOUT,     /**< deadline passed; the peer may still act */
    QM_ERROR_LOST,        /**< session lost: outcome of a write unknown;
                               acquire and read again */
    QM_ERROR_CONFLICT,    /**< lost a race or the reservation: read again,
                               decide again */
    QM_ERROR_REFUSED,     /**< not allowed: interlock or policy */
    QM_ERROR_CORRUPT,     /**< checksum, length or contents are wrong */
    QM_ERROR_UNFORMATTED, /**< no quickmig vault here */
    QM_ERROR_FORMAT,      /**< a vault format newer than this program */
    QM_ERROR_MISMATCH,    /**< belongs to another VM or another disk */
    QM_ERROR_NO_SPACE,    /**< image area or file system full */
    QM_ERROR_READ_ONLY,   /**< read-only medium */
    QM_ERROR_AUTH,        /**< login refused (CHAP, access list) */
    QM_ERROR_UNSUPPORTED, /**< the target, QEMU or libvirt cannot do it */
    QM_ERROR_FOREIGN,     /**< reserved by something that is not quickmig */
    QM_ERROR_BUSY,        /**< another action holds the lock */
    QM_ERROR_CANCELLED,   /**< asked to stop */
    QM_ERROR_INTERNAL,    /**< a bug: should not happen */
    QM_ERROR_KEY          /**< encrypted with another secret, or none given */
} qm_error_code;

/** The GError domain of libquickmig. */
GQuark qm_error_quark(void);

/**
 * The code's name in lower case, for JSON and logs ("not-found").
 * Never NULL; "unknown" for a value out of range.
 */
const char *qm_error_name(int code);

G_END_DECLS

#endif
