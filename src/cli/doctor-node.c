/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Checks of this node: libvirt, its initiator name, permissions, clock, and
 * whether what runs here agrees with the vaults.
 */
#include "config.h"
#include <string.h>
#include "cib-read.h"
#include "doctor.h"

#define ATTRIBUTE "quickmig-initiator" /* set by quickmigd */

static const char *
self_name(const cli_patient *p)
{
    return p->self != NULL ? p->self : "this host";
}

void
cli_check_libvirt(cli_examination *x)
{
    const cli_patient *p = x->patient;

    if (p->host == NULL)
        cli_find(x, CLI_ERROR, self_name(p),
                 g_strdup_printf("%s: VMs here cannot be watched, moved or "
                                 "stopped",
                                 p->host_error->message),
                 g_strdup("systemctl start libvirtd   # or virtqemud.socket"));
}

/* Another node with the same name. */
static void
compare_names(cli_examination *x, GHashTable *seen, const char *node,
              const char *name)
{
    const char *other = g_hash_table_lookup(seen, name);

    if (other == NULL) {
        g_hash_table_insert(seen, g_strdup(name), g_strdup(node));
        return;
    }
    cli_find(x, CLI_ERROR, node,
             g_strdup_printf("its initiator name %s is also that of %s: the "
                             "target takes them for one host, and their "
                             "reservations do not keep each other out",
                             name, other),
             g_strdup_printf("echo InitiatorName=$(iscsi-iname) "
                             ">/etc/iscsi/initiatorname.iscsi   # on %s, "
                             "with no VM running there",
                             node));
}

void
cli_check_initiator(cli_examination *x)
{
    const cli_patient *p = x->patient;
    g_autoptr(GHashTable) seen =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    xmlNode *n = NULL;

    if (p->initiator == NULL)
        cli_find(x, CLI_ERROR, self_name(p),
                 g_strdup(p->initiator_error->message),
                 g_strdup("echo InitiatorName=$(iscsi-iname) "
                          ">/etc/iscsi/initiatorname.iscsi"));
    else
        compare_names(x, seen, self_name(p), p->initiator);
    while (p->monitor != NULL &&
           (n = qm__cib_next(p->monitor, n, "node")) != NULL) {
        g_autofree char *node = NULL, *name = NULL;

        if (n->parent == NULL || !qm__walk_is(n->parent, "nodes"))
            continue;
        node = qm__walk_get(n, "name");
        if (node == NULL || g_strcmp0(node, p->self) == 0)
            continue;
        name = qm__cib_transient(p->cib, node, ATTRIBUTE);
        if (name != NULL)
            compare_names(x, seen, node, name);
        else if (qm__walk_has(n, "online", "true"))
            cli_find(x, CLI_INFO, node,
                     g_strdup("its initiator name is not known here: "
                              "quickmigd does not run there; run quickmig "
                              "doctor there, too"),
                     NULL);
    }
}

void
cli_check_permissions(cli_examination *x)
{
    const GPtrArray *paths = x->patient->paths;

    for (guint i = 0; paths != NULL && i < paths->len; i++) {
        const cli_path_state *s = paths->pdata[i];
        unsigned bad = s->mode & s->rule->forbidden;

        if (s->missing && s->rule->must_exist)
            cli_find(x, CLI_ERROR, s->path,
                     g_strdup_printf("it is missing: %s", s->rule->why),
                     g_strdup("systemd-tmpfiles --create   # or install "
                              "quickmig anew"));
        else if (s->missing)
            continue;
        else if (s->foreign)
            cli_find(
                x, CLI_ERROR, s->path,
                g_strdup_printf("it does not belong to root: %s", s->rule->why),
                g_strdup_printf("chown root:root %s", s->path));
        else if (bad != 0)
            cli_find(
                x, CLI_ERROR, s->path,
                g_strdup_printf("its mode is %04o: %s", s->mode, s->rule->why),
                g_strdup_printf("chmod %04o %s", s->mode & ~bad, s->path));
    }
}

void
cli_check_clock(cli_examination *x)
{
    const cli_patient *p = x->patient;

    if (p->clock_known && !p->clock_synchronized)
        cli_find(x, CLI_INFO, self_name(p),
                 g_strdup("the kernel does not know of a synchronized clock: "
                          "a fencing is proof that an owner is gone only if "
                          "the nodes' clocks agree"),
                 g_strdup("systemctl enable --now chrony"));
}

/* --- what runs here ------------------------------------------------------ */

static bool
owned_here(const cli_patient *p, const cli_look *look)
{
    return look->error == NULL && p->self != NULL &&
           (look->record.state == QM_STATE_RUNNING) &&
           strcmp(look->record.owner.name, p->self) == 0;
}

static void
check_gate(cli_examination *x, const cli_look *look, const cli_gate *gate)
{
    const char *resource = look->target->resource;

    if (!gate->runs)
        cli_find(x, CLI_ERROR, resource,
                 g_strdup_printf("the gate of its disk %s does not run, the "
                                 "guest's requests wait",
                                 gate->disk),
                 g_strdup_printf("crm_resource --cleanup --resource %s   # "
                                 "the monitor mends it, or restarts the VM",
                                 resource));
    else if (gate->status.state == QM_GATE_FENCED)
        cli_find(
            x, CLI_ERROR, resource,
            g_strdup_printf("the gate of its disk %s is fenced: %s", gate->disk,
                            gate->status.reason),
            g_strdup_printf("crm_resource --cleanup --resource %s", resource));
    else if (gate->status.state == QM_GATE_RECONNECTING)
        cli_find(x, CLI_ERROR, resource,
                 g_strdup_printf("the storage of its disk %s does not answer: "
                                 "the guest waits",
                                 gate->disk),
                 g_strdup("mend the storage network, or the target"));
    else if (gate->status.reconnects > 0)
        cli_find(x, CLI_INFO, resource,
                 g_strdup_printf("its disk %s was away %u times since the "
                                 "gate started; last: %s",
                                 gate->disk, (unsigned) gate->status.reconnects,
                                 gate->status.reason),
                 NULL);
}

void
cli_check_gates(cli_examination *x)
{
    const cli_patient *p = x->patient;

    for (guint i = 0; p->looks != NULL && i < p->looks->len; i++) {
        const cli_look *look = p->looks->pdata[i];

        for (guint k = 0; owned_here(p, look) && k < look->gates->len; k++)
            check_gate(x, look, look->gates->pdata[k]);
    }
}

static const cli_look *
look_for(const cli_patient *p, const uint8_t *uuid)
{
    for (guint i = 0; p->looks != NULL && i < p->looks->len; i++) {
        const cli_look *look = p->looks->pdata[i];

        if (look->error == NULL &&
            memcmp(look->info.uuid, uuid, QM_UUID_LEN) == 0)
            return look;
    }
    return NULL;
}

void
cli_check_definitions(cli_examination *x)
{
    const cli_patient *p = x->patient;

    for (guint i = 0; i < p->host->domains->len; i++) {
        const qm_inventory_domain *d = p->host->domains->pdata[i];
        const cli_look *look = look_for(p, d->uuid);

        if (look == NULL)
            continue;
        if (d->active && look->record.state == QM_STATE_OFF)
            cli_find(x, CLI_ERROR, look->target->resource,
                     g_strdup_printf("it runs on %s, but its vault says that "
                                     "it is off: somebody started it past the "
                                     "cluster",
                                     self_name(p)),
                     g_strdup_printf("virsh shutdown %s", d->name));
        if (d->persistent)
            cli_find(
                x, CLI_ERROR, look->target->resource,
                g_strdup_printf("it is also defined in libvirt on %s%s: "
                                "virsh start would run it a second time",
                                self_name(p),
                                d->autostart ? ", with autostart" : ""),
                g_strdup_printf("virsh undefine --keep-nvram %s", d->name));
    }
}
