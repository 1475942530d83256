/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_CLI_DOCTOR_H
#define QM_CLI_DOCTOR_H

/*
 * The checks of an installation.  First everything is looked at
 * (doctor-gather.c); then pure checks say what they find in it, each a row of
 * the table in doctor.c.
 */
#include "domxml.h"
#include "inventory.h"
#include "options.h"
#include "output.h"
#include "reach.h"
#include "xml-walk.h"

typedef enum {
    CLI_FINE, /* of a check without a finding */
    CLI_INFO, /* worth knowing; nothing to mend */
    CLI_WARNING,
    CLI_ERROR,
} cli_severity;

const char *cli_severity_name(cli_severity severity);

/* One LUN of one VM, looked at without registering. */
typedef struct {
    char *resource;
    char *what; /* "vault", "disk vda" */
    char *name; /* "iqn…/1", the same for the same LUN */
    bool vault;
    bool unfenced;      /* a disk that need not take reservations */
    GError *error;      /* NULL: reached, supports reservations */
    bool read_only;     /* write protected at the target */
    uint32_t max_burst; /* bytes; 0: not known */
    uint64_t holder;    /* key of the reservation; 0: none */
    unsigned keys;
} cli_lun;

/* A file or directory of this host that must be right. */
typedef struct {
    const char *path;
    unsigned forbidden; /* mode bits that must not be there */
    bool must_exist;
    const char *why; /* what could happen */
} cli_path_rule;

typedef struct {
    char *path;
    unsigned mode; /* found */
    bool foreign;  /* owned by another user than root */
    bool missing;
    const cli_path_rule *rule;
} cli_path_state;

/* The secret of a VM's encrypted images, as this node has it. */
typedef struct {
    char *resource, *uuid;
    GError *error; /* NULL: it can be used */
} cli_image_secret;

/* All that was seen.  What could not be asked is NULL, with an error. */
typedef struct {
    xmlDoc *cib_doc, *monitor_doc;
    xmlNode *cib, *monitor; /* NULL: @cluster_error */
    GError *cluster_error;
    char *self;                      /* this node's name; NULL */
    uint32_t token_ms, consensus_ms; /* 0: not known */
    GPtrArray *unfenced; /* char *: nodes that no device can fence */
    GPtrArray *looks;    /* cli_look: each VM's vault */
    GPtrArray *luns;     /* cli_lun */
    GPtrArray *secrets;  /* cli_image_secret; NULL: not looked for */
    qm_inventory *host;  /* NULL: @host_error */
    GError *host_error;
    char *initiator; /* NULL: @initiator_error */
    GError *initiator_error;
    GPtrArray *paths; /* cli_path_state */
    bool clock_known, clock_synchronized;
} cli_patient;

void cli_patient_gather(const cli_options *o, cli_patient *p);
/* doctor-secret.c: part of it */
void cli_patient_secrets(const cli_options *o, cli_patient *p);
void cli_patient_clear(cli_patient *p);

typedef struct {
    const struct cli_check *check;
    cli_severity severity;
    char *subject; /* the VM, node or file it is about; "cluster" */
    char *text;    /* what was found, and what it means */
    char *mend;    /* command; NULL: none that could be named */
} cli_finding;

/* Where a check reports to. */
typedef struct cli_examination {
    const cli_patient *patient;
    const struct cli_check *check; /* the one that runs */
    GPtrArray *findings;           /* cli_finding */
} cli_examination;

/* @mend may be NULL; both @text and @mend are taken. */
void cli_find(cli_examination *x, cli_severity severity, const char *subject,
              char *text, char *mend);

/* What a check needs to have been seen; else it is left out. */
typedef enum {
    CLI_NEEDS_NOTHING = 0,
    CLI_NEEDS_CLUSTER = 1 << 0, /* cib and monitor */
    CLI_NEEDS_HOST = 1 << 1,    /* libvirt here */
} cli_needs;

typedef struct cli_check {
    const char *name;
    const char *meaning; /* what is looked at, and why: one sentence */
    cli_needs needs;
    void (*run)(cli_examination *x);
} cli_check;

extern const cli_check cli_checks[];
extern const size_t cli_n_checks;

/* Was enough seen for this check? */
bool cli_check_possible(const cli_patient *p, const cli_check *check);
/* Runs the table.  @ret_skipped: how many checks could not be made. */
GPtrArray *cli_examine(const cli_patient *p, unsigned *ret_skipped);

/* --- the checks --- */

/* doctor-cluster.c */
void cli_check_cluster(cli_examination *x);
void cli_check_stonith_enabled(cli_examination *x);
void cli_check_stonith_devices(cli_examination *x);
void cli_check_stonith_nodes(cli_examination *x);
void cli_check_quorum(cli_examination *x);
void cli_check_maintenance(cli_examination *x);
void cli_check_detection(cli_examination *x);
void cli_check_nodes(cli_examination *x);
void cli_check_node_daemon(cli_examination *x);
void cli_check_leftovers(cli_examination *x);
void cli_check_ordering(cli_examination *x);
void cli_check_capacity(cli_examination *x);
void cli_check_utilization(cli_examination *x);

/* doctor-vm.c */
void cli_check_stickiness(cli_examination *x);
void cli_check_allow_migrate(cli_examination *x);
void cli_check_operations(cli_examination *x);
void cli_check_timeouts(cli_examination *x);
void cli_check_on_fail(cli_examination *x);
void cli_check_guest_agent(cli_examination *x);
void cli_check_failures(cli_examination *x);
void cli_check_vaults(cli_examination *x);
void cli_check_vault_size(cli_examination *x);
void cli_check_reservations(cli_examination *x);
void cli_check_unfenced(cli_examination *x);
void cli_check_target(cli_examination *x);
void cli_check_one_lun_one_vm(cli_examination *x);
void cli_check_ungated(cli_examination *x);

/* doctor-secret.c */
void cli_check_image_secret(cli_examination *x);

/* doctor-node.c */
void cli_check_libvirt(cli_examination *x);
void cli_check_initiator(cli_examination *x);
void cli_check_permissions(cli_examination *x);
void cli_check_clock(cli_examination *x);
void cli_check_gates(cli_examination *x);
void cli_check_definitions(cli_examination *x);

#endif
