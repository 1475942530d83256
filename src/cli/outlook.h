/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_CLI_OUTLOOK_H
#define QM_CLI_OUTLOOK_H

/*
 * What can be said of a VM's moves before they are made: from what the nodes
 * have told (src/lib/told.h), from its vault, and from its last moves.
 */
#include "needs.h"
#include "options.h"
#include "rating.h"
#include "reach.h"
#include "told.h"

typedef struct {
    qm_told *told;
    qm_rating_rules rules;
    /* of one VM; NULL and 0: none was asked for */
    cli_target *target;
    qm_vault_info info;
    qm_record record;
    qm_needs *needs;
    char *mode;        /* the resource's; NULL: not set */
    const char *where; /* node that it runs on; NULL: none */
    uint64_t bytes;    /* of its last image; 0: none yet */
    uint64_t rate;     /* at which that was written, bytes/s */
    uint64_t pause_us; /* of its last move; 0: none yet */
} cli_outlook;

/* @vm NULL: of the nodes alone. */
bool cli_outlook_read(const cli_options *o, const char *vm, cli_outlook *ret,
                      GError **error);
void cli_outlook_clear(cli_outlook *outlook);

/* What a node told; NULL: nothing; the caller frees. */
qm_node_facts *cli_outlook_facts(const cli_outlook *outlook, const char *node);
/* How @node suits the VM (or any, where none was asked for), by those facts. */
void cli_outlook_rate(const cli_outlook *outlook, const char *node,
                      const qm_node_facts *facts, qm_rating *ret);
/* Why it may not run on @node, NULL: it may, or nobody knows better. */
const char *cli_outlook_obstacle(const cli_outlook *outlook, const char *node);

/* What a move would be, as far as it was measured. */
typedef struct {
    bool quick;     /* its memory is copied once */
    uint64_t bytes; /* of the image */
    uint64_t rate;  /* bytes/s */
    enum {
        CLI_FROM_NOTHING,
        CLI_FROM_LAST,
        CLI_FROM_NODES
    } from; /* the rate */
    uint64_t took_us, pause_us;
} cli_forecast;

/* To @node: by the rates that both nodes told, else by the VM's last move. */
void cli_outlook_forecast(const cli_outlook *outlook, const char *node,
                          cli_forecast *ret);

#endif
