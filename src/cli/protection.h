/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_CLI_PROTECTION_H
#define QM_CLI_PROTECTION_H

/*
 * The cluster's configuration for one VM: resource, constraints, the node
 * daemon; as XML for the CIB, and as commands for crm and pcs that come to the
 * same.  Pure.
 */
#include <stdbool.h>
#include <stdint.h>
#include "xml-walk.h"

typedef struct {
    char *id; /* of the resource */
    char *vault;
    char *hypervisor; /* NULL: default */
    unsigned vcpus;
    uint64_t memory;      /* bytes */
    unsigned start, stop; /* seconds, of operations that move its memory */
    bool stopped;         /* target-role=Stopped */
    bool unfenced;        /* allow_unfenced=true; set by the caller */
    bool stickiness;      /* the resource gets one of its own */
    bool daemon;          /* the clone of ocf:quickmig:Node is made, too */
    char *clone;          /* its id */
} cli_protection;

/*
 * What is to be made on top of @cib.  REFUSED: the resource is there already,
 * or another one has this vault.
 */
bool
cli_protection_plan(xmlNode *cib, const char *vm_name, const char *vault,
                    const char *hypervisor, unsigned vcpus, uint64_t memory,
                    bool stopped, cli_protection **ret, GError **error);
/* Timeouts for a storage that takes @rate bytes a second; 0: not known. */
void cli_protection_set_rate(cli_protection *p, uint64_t rate);
void cli_protection_free(cli_protection *p);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(cli_protection, cli_protection_free)

/* What the slowest node made of its last move, bytes a second, as far as nodes
 * have told; 0: not known. */
uint64_t cli_protection_known_rate(xmlNode *cib);

/* <configuration>, for cibadmin --modify --allow-create.  @guarded: Pacemaker
 * shall look, but not touch it yet (is-managed=false). */
char *cli_protection_xml(const cli_protection *p, bool guarded);
char *cli_protection_crm(const cli_protection *p);
char *cli_protection_pcs(const cli_protection *p);

/*
 * What belongs to resource @id besides itself: ids of constraints, those that
 * protect and the tools for moves make (@ret_own), and those that somebody
 * else has written (@ret_foreign).
 */
void cli_protection_constraints(xmlNode *cib, const char *id, GStrv *ret_own,
                                GStrv *ret_foreign);

#endif
