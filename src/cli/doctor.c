/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The table of checks.  A check is a row here and a function that looks into
 * what was gathered; it asks nobody, so that it can be tested with any
 * cluster that can be written down.
 */
#include "config.h"
#include "doctor.h"

const cli_check cli_checks[] = {
    {"cluster", "Pacemaker runs on this node, with quorum", CLI_NEEDS_NOTHING,
     cli_check_cluster},
    {"stonith-enabled",
     "a dead node's VMs start elsewhere only after it was fenced",
     CLI_NEEDS_CLUSTER, cli_check_stonith_enabled},
    {"stonith-devices", "there is a fence device, and it works",
     CLI_NEEDS_CLUSTER, cli_check_stonith_devices},
    {"stonith-nodes", "each node can be fenced by some device",
     CLI_NEEDS_CLUSTER, cli_check_stonith_nodes},
    {"quorum", "a part of the cluster without quorum starts nothing",
     CLI_NEEDS_CLUSTER, cli_check_quorum},
    {"maintenance", "Pacemaker looks after the VMs", CLI_NEEDS_CLUSTER,
     cli_check_maintenance},
    {"detection", "how long it takes until a dead node is noticed",
     CLI_NEEDS_CLUSTER, cli_check_detection},
    {"nodes", "all nodes are there and may run VMs", CLI_NEEDS_CLUSTER,
     cli_check_nodes},
    {"node-daemon", "quickmigd runs on every node: fast moves, ratings",
     CLI_NEEDS_CLUSTER, cli_check_node_daemon},
    {"leftover-constraints", "no move or ban of an administrator was forgotten",
     CLI_NEEDS_CLUSTER, cli_check_leftovers},
    {"ordering", "a failure of quickmigd does not touch the VMs",
     CLI_NEEDS_CLUSTER, cli_check_ordering},
    {"capacity", "the VMs fit if the fullest node dies", CLI_NEEDS_CLUSTER,
     cli_check_capacity},
    {"utilization", "it is known what nodes have and VMs need",
     CLI_NEEDS_CLUSTER, cli_check_utilization},
    {"stickiness", "a VM stays where it is when a node comes back",
     CLI_NEEDS_CLUSTER, cli_check_stickiness},
    {"allow-migrate", "a VM is moved, not stopped and started",
     CLI_NEEDS_CLUSTER, cli_check_allow_migrate},
    {"operations", "each VM has all its operations: crmsh makes none",
     CLI_NEEDS_CLUSTER, cli_check_operations},
    {"timeouts", "the timeouts are enough for the VM's memory",
     CLI_NEEDS_CLUSTER, cli_check_timeouts},
    {"on-fail", "failed actions are recovered from", CLI_NEEDS_CLUSTER,
     cli_check_on_fail},
    {"guest-agent", "whose guest is asked has a channel for its agent",
     CLI_NEEDS_CLUSTER, cli_check_guest_agent},
    {"failures", "no VM has failed, is blocked or unmanaged", CLI_NEEDS_CLUSTER,
     cli_check_failures},
    {"vaults", "every vault can be read", CLI_NEEDS_CLUSTER, cli_check_vaults},
    {"vault-size", "every vault has room for its VM's memory",
     CLI_NEEDS_CLUSTER, cli_check_vault_size},
    {"reservations", "each LUN takes reservations, and none is foreign",
     CLI_NEEDS_CLUSTER, cli_check_reservations},
    {"unfenced-disks", "no disk is used that cannot be reserved",
     CLI_NEEDS_CLUSTER, cli_check_unfenced},
    {"target-limits", "the targets take large transfers in one go",
     CLI_NEEDS_CLUSTER, cli_check_target},
    {"one-lun-one-vm", "no two VMs share a LUN", CLI_NEEDS_CLUSTER,
     cli_check_one_lun_one_vm},
    {"ungated-disks", "each disk is behind a gate", CLI_NEEDS_CLUSTER,
     cli_check_ungated},
    {"image-secrets", "this node has the secrets of encrypted saved states",
     CLI_NEEDS_CLUSTER, cli_check_image_secret},
    {"libvirt", "libvirt answers on this node", CLI_NEEDS_NOTHING,
     cli_check_libvirt},
    {"initiator-name", "each node has an initiator name of its own",
     CLI_NEEDS_NOTHING, cli_check_initiator},
    {"permissions", "nobody but root gets at state, sockets and secrets",
     CLI_NEEDS_NOTHING, cli_check_permissions},
    {"clock", "this node's clock is synchronized", CLI_NEEDS_NOTHING,
     cli_check_clock},
    {"gates", "the gates of the VMs that run here are open", CLI_NEEDS_CLUSTER,
     cli_check_gates},
    {"definitions", "no protected VM can be started past the cluster",
     CLI_NEEDS_CLUSTER | CLI_NEEDS_HOST, cli_check_definitions},
};
const size_t cli_n_checks = G_N_ELEMENTS(cli_checks);

const char *
cli_severity_name(cli_severity severity)
{
    static const char *const names[] = {"fine", "info", "warning", "error"};

    return names[severity];
}

static void
free_finding(gpointer p)
{
    cli_finding *f = p;

    g_free(f->subject);
    g_free(f->text);
    g_free(f->mend);
    g_free(f);
}

void
cli_find(cli_examination *x, cli_severity severity, const char *subject,
         char *text, char *mend)
{
    cli_finding *f = g_new0(cli_finding, 1);

    f->check = x->check;
    f->severity = severity;
    f->subject = g_strdup(subject);
    f->text = text;
    f->mend = mend;
    g_ptr_array_add(x->findings, f);
}

bool
cli_check_possible(const cli_patient *p, const cli_check *check)
{
    return (!(check->needs & CLI_NEEDS_CLUSTER) || p->cib != NULL) &&
           (!(check->needs & CLI_NEEDS_HOST) || p->host != NULL);
}

GPtrArray *
cli_examine(const cli_patient *p, unsigned *ret_skipped)
{
    cli_examination x = {
        .patient = p, .findings = g_ptr_array_new_with_free_func(free_finding)};

    *ret_skipped = 0;
    for (size_t i = 0; i < cli_n_checks; i++) {
        x.check = &cli_checks[i];
        if (cli_check_possible(p, x.check))
            x.check->run(&x);
        else
            (*ret_skipped)++;
    }
    return x.findings;
}
