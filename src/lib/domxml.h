/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_DOMXML_H
#define QM_DOMXML_H

/*
 * The domain XML as far as quickmig reads and changes it (libxml2).
 */
#include <sys/types.h>
#include <quickmig/vault.h>

#define QM_XML_MAX (512 * 1024) /* bytes; the vault has room for that much */

/* A disk with <source protocol='iscsi'>: goes through a gate. */
typedef struct {
    char *target;   /* <target dev>, "vda" */
    qm_url *url;    /* portal, iqn, lun; user and secret from <auth> */
    bool read_only; /* <readonly/>: not gated with a reservation */
} qm_disk;

typedef struct qm_domxml {
    char *name;
    uint8_t uuid[QM_UUID_LEN];
    uint64_t memory; /* bytes: maximum memory */
    unsigned vcpus;
    char *type;       /* "kvm", "qemu" */
    GPtrArray *disks; /* qm_disk *: the gated ones */
    unsigned n_disks; /* all disks that are not cdrom/floppy */
    bool plain_disks; /* QEMU reads nothing of them when it opens them: raw,
                         not encrypted */
    char *first_disk; /* target of the first such disk */
    bool has_agent;   /* a channel for the QEMU guest agent */
} qm_domxml;

/* INVALID: does not parse, is not a domain, names no disk, an element that
 * cannot be moved (says which), two disks on one LUN. A missing <uuid> is
 * INVALID: the vault needs it. */
bool qm__domxml_parse(const char *xml, qm_domxml **ret, GError **error);
void qm__domxml_free(qm_domxml *d);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(qm_domxml, qm__domxml_free)

/* Rewrites every gated disk to NBD on its gate's socket (qm__gate_socket()),
 * with reconnect, and error policies `stop` unless the user chose others.
 * Refuses what qm__domxml_parse() refuses. */
bool qm__domxml_for_gates(const char *xml, char **ret_xml, GError **error);

#endif
