/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef GATE_SETTINGS_H
#define GATE_SETTINGS_H

/*
 * The gate's configuration: one JSON object on standard input, so that
 * secrets are in no command line and no environment.  gate-client.h documents
 * the members.
 */
#include <sys/types.h>
#include <quickmig/vault.h>

typedef struct {
    uint8_t vm_uuid[QM_UUID_LEN];
    char *vm_name;
    char *disk; /* target, "vda" */
    qm_url url; /* the LUN; text, portal, iqn, lun, user */
    char *secret;
    bool read_only;
    char *vault;        /* NULL only when read_only */
    char *vault_secret; /* NULL: none */
    char *initiator;    /* NULL: this host's */
    uint16_t node_id;
    uid_t qemu_uid;
    gid_t qemu_gid;
    char *socket, *control, *lock; /* paths */
    unsigned reconnect_limit_s;
    bool allow_unfenced; /* a target without reservations is taken */
    bool check_quorum;   /* false: not in a cluster (tests) */
} gate_settings;

/* Reads @fd to its end and wipes what it read.  INVALID, IO. */
bool gate_settings_read(int fd, gate_settings **ret, GError **error);
/* The same from memory, which is not changed. */
bool gate_settings_parse(const char *json, size_t length, gate_settings **ret,
                         GError **error);
void gate_settings_free(gate_settings *s);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(gate_settings, gate_settings_free)

#endif
