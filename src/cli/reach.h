/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_CLI_REACH_H
#define QM_CLI_REACH_H

/*
 * From what the user named to an open vault.
 */
#include <quickmig/vault.h>
#include "domxml.h"
#include "gate-client.h"
#include "runtime.h"
#include "options.h"

/*
 * Node id in reservation keys and history when quickmig writes on a host
 * whose cluster does not run, or that belongs to none.
 */
#define CLI_ADMIN_NODE_ID   65535
#define CLI_ADMIN_NODE_NAME "administrator"

/* A vault, and the resource it belongs to. */
typedef struct {
    char *resource;   /* NULL: named by its address */
    char *vault;      /* address; NULL: the resource names none */
    char *hypervisor; /* libvirt URI; NULL: default */
    bool unfenced;    /* its allow_unfenced is true */
} cli_target;

cli_target *
cli_target_new(const char *resource, const char *vault, const char *hypervisor);
void cli_target_free(cli_target *t);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(cli_target, cli_target_free)

/* Is it an address (true) or the name of a resource or a VM? */
bool cli_is_address(const char *text);
/* As qm_url_parse(), but a wrong one is a wrong command line. */
bool cli_parse_address(const char *text, qm_url **ret, GError **error);
/* Every resource of the cluster, as GPtrArray of cli_target. */
bool cli_all_targets(const cli_options *o, GPtrArray **ret, GError **error);
/* The one that @what names: address, resource id or VM name.  NOT_FOUND. */
bool cli_find_target(const cli_options *o, const char *what, cli_target **ret,
                     GError **error);

/* The CHAP secret for @url, NULL when it needs none.  Free with
 * qm__secret_free().  @own: it is the vault's (--secret-file counts). */
bool cli_secret(const cli_options *o, const qm_url *url, const char *hypervisor,
                bool own, char **ret, GError **error);

/* Opens; @node_id 0: for reading. */
bool cli_open(const cli_options *o, const cli_target *t, uint16_t node_id,
              qm_vault **ret, GError **error);
/* Who this host is; the administrator where no cluster runs. */
bool cli_self(qm_node *ret_self, GError **error);
int64_t cli_deadline(const cli_options *o);
/* Keeps the agent and the node's daemon off the VM while its vault is
 * written from here. */
bool cli_lock_vm(const cli_options *o, const uint8_t *uuid, qm_lock **ret,
                 GError **error);

/* --- everything there is to see of one VM --- */

typedef struct {
    char *disk;
    bool runs; /* a gate for it runs on this node */
    qm_gate_status status;
} cli_gate;

typedef struct {
    cli_target *target;
    qm_vault_info info;
    qm_record record;
    GPtrArray *gates;       /* cli_gate, one for each disk that has one */
    unsigned ungated_disks; /* protected by fencing only */
    qm_domxml *dom;         /* the vault's domain XML */
    GError *error;          /* the vault cannot be read; the rest is empty */
} cli_look;

/* Takes @target. */
cli_look *cli_look_new(cli_target *target);
void cli_look_free(cli_look *look);
/* Reads several vaults, some at a time, so that dead ones cost little. */
void cli_look_all(const cli_options *o, GPtrArray *looks);

#endif
