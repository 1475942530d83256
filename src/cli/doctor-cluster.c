/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Checks of the cluster as a whole: fencing, quorum, nodes, constraints, room.
 */
#include "config.h"
#include <string.h>
#include "capacity.h"
#include "cib-read.h"
#include "doctor.h"

#define CLUSTER     "cluster"
#define SLOW_TO_SEE 30000 /* ms: a dead node should be noticed sooner */
#define TOO_FAST    1000  /* ms: a busy node is taken for dead */

static bool
is_true(const xmlNode *n, const char *name)
{
    return qm__walk_has(n, name, "true");
}

/* The next <node> of crm_mon's list. */
static xmlNode *
next_node(const cli_patient *p, xmlNode *after)
{
    xmlNode *n = after;

    while ((n = qm__cib_next(p->monitor, n, "node")) != NULL)
        if (n->parent != NULL && qm__walk_is(n->parent, "nodes"))
            return n;
    return NULL;
}

void
cli_check_cluster(cli_examination *x)
{
    const cli_patient *p = x->patient;
    xmlNode *dc;

    if (p->cib == NULL) {
        cli_find(
            x, CLI_ERROR, CLUSTER,
            g_strdup_printf("%s: nothing about the cluster could be checked",
                            p->cluster_error != NULL ? p->cluster_error->message
                                                     : "no cluster"),
            g_strdup("systemctl start pacemaker"));
        return;
    }
    dc = qm__cib_next(p->monitor, NULL, "current_dc");
    if (dc == NULL || !is_true(dc, "present"))
        cli_find(x, CLI_ERROR, CLUSTER,
                 g_strdup("no node coordinates the cluster now: nothing is "
                          "started, moved or recovered"),
                 g_strdup("crm_mon -1   # is an election under way?"));
    else if (!is_true(dc, "with_quorum"))
        cli_find(x, CLI_ERROR, CLUSTER,
                 g_strdup("this part of the cluster has no quorum: nothing is "
                          "started or recovered here"),
                 g_strdup("corosync-quorumtool -s"));
}

/* --- fencing ------------------------------------------------------------- */

void
cli_check_stonith_enabled(cli_examination *x)
{
    g_autofree char *value =
        qm__cib_property(x->patient->cib, "stonith-enabled");

    if (!qm__cib_bool(value, true))
        cli_find(x, CLI_ERROR, CLUSTER,
                 g_strdup("stonith-enabled is false: a node that hangs or is "
                          "cut off is never fenced, and its VMs are not "
                          "recovered"),
                 g_strdup("crm_attribute --type crm_config --name "
                          "stonith-enabled --update true"));
}

/* Is a resource of this id active somewhere, as crm_mon has it? */
static bool
is_active(const cli_patient *p, const char *id, bool *ret_failed)
{
    xmlNode *n = NULL;
    bool active = false;

    *ret_failed = false;
    while ((n = qm__cib_next(p->monitor, n, "resource")) != NULL)
        if (qm__walk_has(n, "id", id)) {
            active = active || is_true(n, "active");
            *ret_failed = *ret_failed || is_true(n, "failed");
        }
    return active;
}

void
cli_check_stonith_devices(cli_examination *x)
{
    const cli_patient *p = x->patient;
    g_autofree char *watchdog =
        qm__cib_property(p->cib, "stonith-watchdog-timeout");
    xmlNode *n = NULL;
    unsigned devices = 0;

    while ((n = qm__cib_next(p->cib, n, "primitive")) != NULL) {
        g_autofree char *id = qm__walk_get(n, "id");
        bool failed;

        if (!qm__cib_is_a(p->cib, n, "stonith", NULL, NULL))
            continue;
        devices++;
        if (!is_active(p, id, &failed) || failed)
            cli_find(
                x, CLI_WARNING, id,
                g_strdup_printf("the fence device %s",
                                failed ? "has failed: what depends on it "
                                         "alone cannot be fenced"
                                       : "is not started: nobody watches "
                                         "whether it works"),
                g_strdup_printf("crm_resource --cleanup --resource %s", id));
    }
    if (devices == 0 && (watchdog == NULL || qm__cib_time(watchdog) == 0))
        cli_find(x, CLI_ERROR, CLUSTER,
                 g_strdup("there is no fence device: after a node's death its "
                          "VMs start nowhere"),
                 g_strdup("crm ra list stonith   # then: crm configure "
                          "primitive … stonith:…"));
}

void
cli_check_stonith_nodes(cli_examination *x)
{
    const GPtrArray *unfenced = x->patient->unfenced;

    for (guint i = 0; unfenced != NULL && i < unfenced->len; i++) {
        const char *name = unfenced->pdata[i];

        cli_find(x, CLI_ERROR, name,
                 g_strdup("no fence device can fence this node: its VMs "
                          "would not be recovered"),
                 g_strdup_printf("stonith_admin --list %s   # then see "
                                 "pcmk_host_list of your devices",
                                 name));
    }
}

void
cli_check_quorum(cli_examination *x)
{
    g_autofree char *value =
        qm__cib_property(x->patient->cib, "no-quorum-policy");

    if (g_strcmp0(value, "ignore") == 0)
        cli_find(x, CLI_ERROR, CLUSTER,
                 g_strdup("no-quorum-policy is ignore: each part of a split "
                          "cluster fences the other and starts its VMs"),
                 g_strdup("crm_attribute --type crm_config --name "
                          "no-quorum-policy --update stop"));
    else if (g_strcmp0(value, "freeze") == 0)
        cli_find(x, CLI_INFO, CLUSTER,
                 g_strdup("no-quorum-policy is freeze: a part without quorum "
                          "keeps its VMs running until it is fenced"),
                 NULL);
}

void
cli_check_maintenance(cli_examination *x)
{
    g_autofree char *value =
        qm__cib_property(x->patient->cib, "maintenance-mode");

    if (qm__cib_bool(value, false))
        cli_find(x, CLI_WARNING, CLUSTER,
                 g_strdup("maintenance-mode is on: nothing is watched, and "
                          "nothing is recovered"),
                 g_strdup("crm_attribute --type crm_config --name "
                          "maintenance-mode --update false"));
}

void
cli_check_detection(cli_examination *x)
{
    const cli_patient *p = x->patient;
    uint32_t seen = p->token_ms + p->consensus_ms;

    if (seen == 0)
        return;
    if (seen > SLOW_TO_SEE)
        cli_find(x, CLI_WARNING, CLUSTER,
                 g_strdup_printf("a dead node is noticed only after %.1f s "
                                 "(token %.1f s and consensus %.1f s); its "
                                 "VMs are away for that long, and more",
                                 seen / 1000.0, p->token_ms / 1000.0,
                                 p->consensus_ms / 1000.0),
                 g_strdup("edit totem.token in /etc/corosync/corosync.conf on "
                          "every node, then corosync-cfgtool -R"));
    else if (p->token_ms < TOO_FAST)
        cli_find(x, CLI_WARNING, CLUSTER,
                 g_strdup_printf("token is %u ms: a node that is busy for "
                                 "that long is taken for dead, and fenced",
                                 p->token_ms),
                 g_strdup("edit totem.token in /etc/corosync/corosync.conf on "
                          "every node, then corosync-cfgtool -R"));
    else
        cli_find(x, CLI_INFO, CLUSTER,
                 g_strdup_printf("a dead node is noticed after %.1f s (token "
                                 "and consensus); then comes its fencing",
                                 seen / 1000.0),
                 NULL);
}

/* --- nodes --------------------------------------------------------------- */

void
cli_check_nodes(cli_examination *x)
{
    xmlNode *n = NULL;

    while ((n = next_node(x->patient, n)) != NULL) {
        g_autofree char *name = qm__walk_get(n, "name");

        if (is_true(n, "unclean"))
            cli_find(x, CLI_ERROR, name,
                     g_strdup("it is unclean: the cluster waits for its "
                              "fencing, and recovers nothing of it before"),
                     g_strdup_printf("stonith_admin --fence %s", name));
        else if (!is_true(n, "online"))
            cli_find(x, CLI_WARNING, name,
                     g_strdup("it is offline: fewer nodes to move VMs to"),
                     g_strdup("systemctl start pacemaker   # on that node"));
        else if (is_true(n, "standby") || is_true(n, "standby_onfail"))
            cli_find(
                x, CLI_WARNING, name,
                g_strdup("it is in standby: no VM may run there"),
                g_strdup_printf("crm_standby --node %s --update off", name));
        else if (is_true(n, "maintenance"))
            cli_find(
                x, CLI_WARNING, name,
                g_strdup("it is in maintenance: its VMs are not watched"),
                g_strdup_printf("crm_attribute --node %s --name maintenance "
                                "--delete",
                                name));
    }
}

static bool
runs_on(const xmlNode *resource, const char *node)
{
    for (const xmlNode *at = resource->children; at != NULL; at = at->next)
        if (qm__walk_is(at, "node") && qm__walk_has(at, "name", node))
            return true;
    return false;
}

/* Does any instance of the node daemon run on @node? */
static bool
daemon_runs(const cli_patient *p, const char *node)
{
    xmlNode *n = NULL;

    while ((n = qm__cib_next(p->monitor, n, "resource")) != NULL)
        if (qm__walk_has(n, "resource_agent", "ocf:quickmig:Node") &&
            is_true(n, "active") && !is_true(n, "failed") && runs_on(n, node))
            return true;
    return false;
}

static xmlNode *
find_daemon(const cli_patient *p)
{
    xmlNode *n = NULL;

    while ((n = qm__cib_next(p->cib, n, "primitive")) != NULL)
        if (qm__cib_is_a(p->cib, n, "ocf", "quickmig", "Node"))
            return n;
    return NULL;
}

void
cli_check_node_daemon(cli_examination *x)
{
    const cli_patient *p = x->patient;
    const xmlNode *daemon = find_daemon(p);
    g_autofree char *id = NULL;
    xmlNode *n = NULL;

    if (daemon == NULL || daemon->parent == NULL ||
        !qm__walk_is(daemon->parent, "clone")) {
        cli_find(x, CLI_WARNING, CLUSTER,
                 g_strdup_printf("%s: moves pause the guest for longer, and "
                                 "nothing rates the nodes",
                                 daemon == NULL ? "quickmigd does not run"
                                                : "quickmigd is no clone, so "
                                                  "it runs on one node only"),
                 g_strdup("crm configure primitive quickmigd ocf:quickmig:Node "
                          "op monitor interval=15s timeout=20s; crm configure "
                          "clone quickmigd-clone quickmigd meta "
                          "interleave=true"));
        return;
    }
    id = qm__walk_get(daemon, "id");
    while ((n = next_node(p, n)) != NULL) {
        g_autofree char *name = qm__walk_get(n, "name");

        if (is_true(n, "online") && !is_true(n, "standby") &&
            !daemon_runs(p, name))
            cli_find(
                x, CLI_WARNING, name,
                g_strdup("quickmigd does not run here: moves from and to "
                         "this node pause the guest for longer"),
                g_strdup_printf("crm_resource --cleanup --resource %s", id));
    }
}

/* --- constraints --------------------------------------------------------- */

void
cli_check_leftovers(cli_examination *x)
{
    xmlNode *n = NULL;

    while ((n = qm__cib_next(x->patient->cib, n, "rsc_location")) != NULL) {
        g_autofree char *id = qm__walk_get(n, "id");
        g_autofree char *resource = qm__walk_get(n, "rsc");
        bool ban;

        if (id == NULL || resource == NULL)
            continue;
        ban = g_str_has_prefix(id, "cli-ban-");
        if (!ban && !g_str_has_prefix(id, "cli-prefer-"))
            continue;
        cli_find(
            x, CLI_WARNING, resource,
            g_strdup_printf("constraint %s is left from a %s: it %s", id,
                            ban ? "ban" : "move",
                            ban ? "keeps the VM off a node for good"
                                : "sends the VM back to that node, and "
                                  "outweighs all ratings"),
            g_strdup_printf("crm_resource --clear --resource %s", resource));
    }
}

void
cli_check_ordering(cli_examination *x)
{
    const cli_patient *p = x->patient;
    const xmlNode *daemon = find_daemon(p);
    g_autofree char *id = NULL, *clone = NULL;
    xmlNode *n = NULL;

    if (daemon == NULL)
        return;
    id = qm__walk_get(daemon, "id");
    clone = qm__walk_get(daemon->parent, "id");
    while ((n = qm__cib_next(p->cib, n, "rsc_order")) != NULL) {
        g_autofree char *order = qm__walk_get(n, "id");
        g_autofree char *kind = qm__walk_get(n, "kind");
        g_autofree char *first = qm__walk_get(n, "first");

        if (first == NULL ||
            (g_strcmp0(first, id) != 0 && g_strcmp0(first, clone) != 0))
            continue;
        if (kind == NULL || strcmp(kind, "Mandatory") == 0)
            cli_find(x, CLI_WARNING, order,
                     g_strdup("a mandatory order after quickmigd: when it "
                              "fails on a node, that node's VMs are stopped"),
                     g_strdup_printf("cibadmin --modify --xml-text '<rsc_order "
                                     "id=\"%s\" kind=\"Optional\" "
                                     "symmetrical=\"false\"/>'",
                                     order));
    }
}

/* --- room ---------------------------------------------------------------- */

static char *
list_users(const GPtrArray *users)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < users->len; i++) {
        const qm_capacity_user *u = users->pdata[i];

        g_string_append_printf(text, "%s%s (%" G_GINT64_FORMAT " MiB)",
                               i > 0 ? ", " : "", u->id, u->memory);
    }
    return g_string_free(text, FALSE);
}

void
cli_check_capacity(cli_examination *x)
{
    const cli_patient *p = x->patient;
    g_autoptr(qm_capacity) c = qm__capacity_read(p->cib, p->monitor);
    int dead = qm__capacity_fullest(c);
    g_autoptr(GPtrArray) stranded = NULL;
    g_autofree char *list = NULL;
    const qm_capacity_node *node;

    if (dead < 0)
        return;
    stranded = qm__capacity_without(c, dead);
    if (stranded->len == 0)
        return;
    node = c->nodes->pdata[dead];
    list = list_users(stranded);
    cli_find(x, CLI_WARNING, node->name,
             g_strdup_printf("if it dies, %u of its VMs find no room: %s",
                             stranded->len, list),
             g_strdup("quickmig capacity   # then: add memory or a node, or "
                      "make VMs smaller"));
}

void
cli_check_utilization(cli_examination *x)
{
    const cli_patient *p = x->patient;
    g_autoptr(qm_capacity) c = qm__capacity_read(p->cib, p->monitor);

    for (guint i = 0; i < c->nodes->len; i++) {
        const qm_capacity_node *n = c->nodes->pdata[i];

        if (n->usable && n->memory == QM_CAPACITY_UNKNOWN)
            cli_find(x, CLI_INFO, n->name,
                     g_strdup("its capacity is not configured: nobody can "
                              "tell whether VMs fit; quickmigd sets it when "
                              "it starts"),
                     g_strdup_printf("crm_attribute --node %s --utilization "
                                     "--name memory --update MIB",
                                     n->name));
    }
    for (guint i = 0; i < c->users->len; i++) {
        const qm_capacity_user *u = c->users->pdata[i];

        if (u->vm && u->memory == 0)
            cli_find(x, CLI_INFO, u->id,
                     g_strdup("what it needs is not configured: it counts as "
                              "nothing when room is looked for"),
                     g_strdup_printf("crm_resource --resource %s --utilization "
                                     "--set-parameter memory "
                                     "--parameter-value MIB",
                                     u->id));
    }
}
