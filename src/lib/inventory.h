/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_INVENTORY_H
#define QM_INVENTORY_H

/*
 * What one libvirt has: its host, and every domain.
 */
#include <quickmig/error.h>
#include <quickmig/record.h>

typedef struct {
    char *name;
    uint8_t uuid[QM_UUID_LEN];
    bool active, persistent, autostart;
    bool managed_save;  /* libvirt keeps a saved state of its own */
    unsigned snapshots; /* that libvirt knows of */
    char *xml;          /* as it would be started; without secrets */
} qm_inventory_domain;

typedef struct {
    char *hostname;
    char *arch, *cpu_model;       /* cpu_model NULL: libvirt does not know */
    unsigned cpus;                /* threads of the host that are online */
    uint64_t memory, memory_free; /* bytes */
    uint64_t libvirt, qemu; /* versions, as libvirt counts them; 0: unknown */
    GPtrArray *domains;     /* qm_inventory_domain, by name */
} qm_inventory;

/* Reads it, read-only.  @uri NULL: qemu:///system.  @domains: these, too.
 * IO: no libvirt there; TIMEOUT. */
bool qm__inventory_read(const char *uri, bool domains, int64_t deadline,
                        qm_inventory **ret, GError **error);
void qm__inventory_free(qm_inventory *inventory);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(qm_inventory, qm__inventory_free)

#endif
