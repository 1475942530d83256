/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Asking Pacemaker for a place, and taking the wish back.  A wish that stays
 * behind moves the VM again one day, so what is cleared here is exactly what
 * "move" and "ban" make for one resource: constraints that an administrator
 * has written are not touched, nor a ban of a third node.
 */
#include "config.h"
#include <string.h>
#include "cluster-internal.h"
#include "placement.h"
#include "spawn.h"
#include "xml-walk.h"

#define EXIT_NO_SUCH 105 /* CRM_EX_NOSUCH */

/* --- constraints --------------------------------------------------------- */

static void
constraint_free(void *data)
{
    qm_constraint *c = data;

    g_free(c->id);
    g_free(c->resource);
    g_free(c->node);
    g_free(c);
}

/* With a lifetime the node is in a rule. */
static char *
node_in_rule(xmlNode *location)
{
    for (xmlNode *n = qm__walk_next(location, location); n != NULL;
         n = qm__walk_next(location, n))
        if (qm__walk_is(n, "expression") &&
            qm__walk_has(n, "attribute", "#uname") &&
            qm__walk_has(n, "operation", "eq"))
            return qm__walk_get(n, "value");
    return NULL;
}

/* Is it one that a tool made for @resource?  Takes nothing over. */
static void
consider(GPtrArray *list, xmlNode *location, const char *resource,
         const char *self)
{
    g_autofree char *prefer = g_strconcat("cli-prefer-", resource, NULL);
    g_autofree char *ban =
        g_strconcat("cli-ban-", resource, "-on-", self, NULL);
    bool is_ban = qm__walk_has(location, "id", ban);
    g_autofree char *node = NULL;
    qm_constraint *c;

    if (!is_ban && !qm__walk_has(location, "id", prefer))
        return;
    node = qm__walk_get(location, "node");
    if (node == NULL)
        node = node_in_rule(location);
    if (node == NULL || (!is_ban && strcmp(node, self) == 0))
        return;
    c = g_new0(qm_constraint, 1);
    c->id = qm__walk_get(location, "id");
    c->resource = g_strdup(resource);
    c->node = g_steal_pointer(&node);
    c->ban = is_ban;
    g_ptr_array_add(list, c);
}

/* The group that @resource is in moves as a whole. */
static char *
group_of(xmlNode *root, const char *resource)
{
    xmlNode *primitive = qm__walk_find(root, "primitive", resource);

    if (primitive == NULL || primitive->parent == NULL ||
        !qm__walk_is(primitive->parent, "group"))
        return NULL;
    return qm__walk_get(primitive->parent, "id");
}

bool
qm__placement_parse_cib(const char *xml, const char *resource, const char *self,
                        GPtrArray **ret, GError **error)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(constraint_free);
    g_autoptr(xmlDoc) doc = NULL;
    g_autofree char *group = NULL;
    xmlNode *root;

    if (!qm__walk_parse(xml, "the cluster's configuration", &doc, error))
        return false;
    root = xmlDocGetRootElement(doc);
    group = group_of(root, resource);
    for (xmlNode *n = root; n != NULL; n = qm__walk_next(root, n)) {
        if (!qm__walk_is(n, "rsc_location"))
            continue;
        consider(list, n, resource, self);
        if (group != NULL)
            consider(list, n, group, self);
    }
    *ret = g_steal_pointer(&list);
    return true;
}

bool
qm__placement_constraints(const char *resource, const char *self,
                          int64_t deadline, GPtrArray **ret, GError **error)
{
    g_autofree char *xml = NULL;

    return qm__cib_query(deadline, &xml, error) &&
           qm__placement_parse_cib(xml, resource, self, ret, error);
}

static bool
crm_resource(const char *const *argv, const char *what, int64_t deadline,
             GError **error)
{
    g_autofree char *out = NULL, *err = NULL;
    int code;

    if (!qm__spawn(argv, deadline, &code, &out, &err, error))
        return false;
    if (code == 0)
        return true;
    g_strdelimit(g_strstrip(err), "\r\n", ' ');
    g_set_error(error, QM_ERROR,
                code == EXIT_NO_SUCH ? QM_ERROR_NOT_FOUND : QM_ERROR_IO,
                "crm_resource: cannot %s: %s (exit %d)", what,
                *err != '\0' ? err : "no reason given", code);
    return false;
}

bool
qm__placement_clear(const qm_constraint *constraint, int64_t deadline,
                    GError **error)
{
    const char *argv[] = {
        "crm_resource", "--clear",        "--resource", constraint->resource,
        "--node",       constraint->node, "--quiet",    NULL};

    return crm_resource(argv, "clear the move's constraint", deadline, error);
}

bool
qm__placement_move(const char *resource, const char *node, int64_t deadline,
                   GError **error)
{
    const char *argv[] = {"crm_resource", "--move", "--resource", resource,
                          "--node",       node,     "--quiet",    NULL};

    return crm_resource(argv, "ask for the move", deadline, error);
}

/* --- history ------------------------------------------------------------- */

static bool
has_moved(xmlNode *state, const char *resource, const char *self)
{
    xmlNode *history = qm__walk_find(state, "lrm_resource", resource);

    for (xmlNode *op = history != NULL ? history->children : NULL; op != NULL;
         op = op->next)
        if (qm__walk_is(op, "lrm_rsc_op") &&
            qm__walk_has(op, "operation", "migrate_to") &&
            qm__walk_has(op, "migrate_target", self))
            return true;
    return false;
}

bool
qm__placement_parse_arrivals(const char *xml, const char *resource,
                             const char *self, GStrv *ret_nodes, GError **error)
{
    g_autoptr(GStrvBuilder) nodes = g_strv_builder_new();
    g_autoptr(xmlDoc) doc = NULL;
    xmlNode *root;

    if (!qm__walk_parse(xml, "the cluster's state", &doc, error))
        return false;
    root = xmlDocGetRootElement(doc);
    for (xmlNode *n = root; n != NULL; n = qm__walk_next(root, n)) {
        g_autofree char *name = NULL;

        if (!qm__walk_is(n, "node_state") || qm__walk_has(n, "uname", self) ||
            !qm__walk_has(n, "crmd", "online") || !has_moved(n, resource, self))
            continue;
        name = qm__walk_get(n, "uname");
        if (name != NULL)
            g_strv_builder_add(nodes, name);
    }
    *ret_nodes = g_strv_builder_end(nodes);
    return true;
}

bool
qm__placement_arrivals(const char *resource, const char *self, int64_t deadline,
                       GStrv *ret_nodes, GError **error)
{
    g_autofree char *xml = NULL;

    return qm__cib_query(deadline, &xml, error) &&
           qm__placement_parse_arrivals(xml, resource, self, ret_nodes, error);
}

/* --- where things are ---------------------------------------------------- */

static bool
is_true(const xmlNode *node, const char *name)
{
    return qm__walk_has(node, name, "true");
}

static void
read_place(const xmlNode *n, qm_place *place)
{
    place->found = true;
    place->online = is_true(n, "online");
    place->standby = is_true(n, "standby") || is_true(n, "standby_onfail") ||
                     is_true(n, "shutdown");
    place->unusable = is_true(n, "maintenance") || is_true(n, "pending") ||
                      is_true(n, "unclean");
}

static void
read_placement(const xmlNode *n, qm_placement *p)
{
    g_autoptr(GStrvBuilder) nodes = g_strv_builder_new();

    p->found = true;
    p->ours = qm__walk_has(n, "resource_agent", "ocf:quickmig:VirtualMachine");
    p->managed = is_true(n, "managed");
    p->failed = is_true(n, "failed");
    p->blocked = is_true(n, "blocked");
    p->pending = qm__walk_get(n, "pending");
    for (xmlNode *child = n->children; child != NULL; child = child->next) {
        g_autofree char *name = NULL;

        if (!qm__walk_is(child, "node"))
            continue;
        name = qm__walk_get(child, "name");
        if (name != NULL)
            g_strv_builder_add(nodes, name);
    }
    p->nodes = g_strv_builder_end(nodes);
}

bool
qm__placement_parse_status(const char *xml, const char *resource,
                           const char *node, qm_placement *ret_placement,
                           qm_place *ret_place, GError **error)
{
    g_autoptr(xmlDoc) doc = NULL;
    qm_placement placement = {0};
    qm_place place = {0};
    xmlNode *root;

    if (!qm__walk_parse(xml, "the cluster's state as printed by crm_mon", &doc,
                        error))
        return false;
    root = xmlDocGetRootElement(doc);
    for (xmlNode *n = root; n != NULL; n = qm__walk_next(root, n)) {
        if (qm__walk_is(n, "node") && qm__walk_is(n->parent, "nodes") &&
            qm__walk_has(n, "name", node))
            read_place(n, &place);
        if (qm__walk_is(n, "resource") && qm__walk_has(n, "id", resource) &&
            !placement.found)
            read_placement(n, &placement);
    }
    *ret_placement = placement;
    *ret_place = place;
    return true;
}

bool
qm__placement_look(const char *resource, const char *node, int64_t deadline,
                   qm_placement *ret_placement, qm_place *ret_place,
                   GError **error)
{
    static const char *const argv[] = {"crm_mon",
                                       "--one-shot",
                                       "--output-as=xml",
                                       "--inactive",
                                       "--include=none,nodes,resources",
                                       NULL};
    g_autofree char *out = NULL, *err = NULL;
    int code;

    if (!qm__spawn(argv, deadline, &code, &out, &err, error))
        return false;
    if (code != 0) {
        g_set_error(error, QM_ERROR, QM_ERROR_IO,
                    "cannot see the cluster's state: %s (crm_mon, exit %d); "
                    "is Pacemaker running on this node?",
                    g_strstrip(*err != '\0' ? err : out), code);
        return false;
    }
    return qm__placement_parse_status(out, resource, node, ret_placement,
                                      ret_place, error);
}

void
qm__placement_clear_look(qm_placement *placement)
{
    g_clear_pointer(&placement->pending, g_free);
    g_clear_pointer(&placement->nodes, g_strfreev);
}
