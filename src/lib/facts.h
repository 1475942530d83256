/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_FACTS_H
#define QM_FACTS_H

/*
 * What a node tells the others about itself, in one attribute.  Pure.
 */
#include <stdbool.h>
#include <stdint.h>
#include <glib.h>
#include <quickmig/error.h>

typedef struct {
    char *cpu_vendor, *cpu_model; /* NULL: libvirt does not know */
    unsigned cpus;                /* threads that are online */
    unsigned load;                /* per cent of all of them, over a minute */
    uint64_t memory, memory_free; /* MiB */
    uint32_t storage_us;          /* to read one block of a vault; 0: unknown */
    uint32_t storage_mbs;       /* MB/s of the last move's image; 0: unknown */
    uint32_t link_mbs, net_mbs; /* MB/s: what the links can, and carry; 0:
                                   unknown */
    uint64_t libvirt, qemu;     /* versions, as libvirt counts them */
} qm_node_facts;

/* One line of JSON; the caller frees. */
char *qm__facts_to_json(const qm_node_facts *facts);
/* CORRUPT: not such a text.  Fields that it does not know are left out, and
 * what is missing is 0. */
bool qm__facts_from_json(const char *text, qm_node_facts **ret, GError **error);
void qm__facts_free(qm_node_facts *facts);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(qm_node_facts, qm__facts_free)

/* Is it worth an update of the cluster's state?  @age: of what was told, µs.
 * Steps of memory and load that mean something, at most every half minute;
 * anything new after ten. */
bool qm__facts_worth_telling(const qm_node_facts *told,
                             const qm_node_facts *now, int64_t age);

#endif
