/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Single values of a CIB, looked up where Pacemaker looks them up.  Nothing is
 * asked of the cluster here, so that tests need none.
 */
#include "config.h"
#include <string.h>
#include "cib-read.h"

#define OP_TIMEOUT 20000 /* ms: Pacemaker's own default */

xmlNode *
qm__cib_next(xmlNode *root, xmlNode *after, const char *name)
{
    xmlNode *n = after != NULL ? qm__walk_next(root, after) : root;

    while (n != NULL && !qm__walk_is(n, name))
        n = qm__walk_next(root, n);
    return n;
}

/* Value of one nvpair in a set, or in the set that it refers to. */
static char *
pair(xmlNode *root, xmlNode *set, const char *name)
{
    g_autofree char *ref = qm__walk_get(set, "id-ref");

    if (ref != NULL)
        set = qm__walk_find(root, (const char *) set->name, ref);
    for (xmlNode *n = set != NULL ? set->children : NULL; n != NULL;
         n = n->next)
        if (qm__walk_is(n, "nvpair") && qm__walk_has(n, "name", name))
            return qm__walk_get(n, "value");
    return NULL;
}

char *
qm__cib_value(xmlNode *root, const xmlNode *owner, const char *kind,
              const char *name)
{
    for (xmlNode *set = owner->children; set != NULL; set = set->next) {
        char *value = qm__walk_is(set, kind) ? pair(root, set, name) : NULL;

        if (value != NULL)
            return value;
    }
    return NULL;
}

char *
qm__cib_property(xmlNode *root, const char *name)
{
    xmlNode *set = NULL;

    while ((set = qm__cib_next(root, set, "cluster_property_set")) != NULL) {
        char *value = pair(root, set, name);

        if (value != NULL)
            return value;
    }
    return NULL;
}

static bool
has_rule(const xmlNode *set)
{
    for (const xmlNode *n = set->children; n != NULL; n = n->next)
        if (qm__walk_is(n, "rule"))
            return true;
    return false;
}

char *
qm__cib_default(xmlNode *root, const char *section, const char *name)
{
    xmlNode *defaults = qm__cib_next(root, NULL, section);

    for (xmlNode *set = defaults != NULL ? defaults->children : NULL;
         set != NULL; set = set->next) {
        char *value = qm__walk_is(set, "meta_attributes") && !has_rule(set)
                          ? pair(root, set, name)
                          : NULL;

        if (value != NULL)
            return value;
    }
    return NULL;
}

xmlNode *
qm__cib_template(xmlNode *root, const xmlNode *primitive)
{
    g_autofree char *id = qm__walk_get(primitive, "template");

    return id != NULL ? qm__walk_find(root, "template", id) : NULL;
}

bool
qm__cib_is_a(xmlNode *root, const xmlNode *primitive, const char *class,
             const char *provider, const char *type)
{
    const xmlNode *template = qm__cib_template(root, primitive);
    const xmlNode *n = template != NULL ? template : primitive;

    return qm__walk_has(n, "class", class) &&
           (provider == NULL || qm__walk_has(n, "provider", provider)) &&
           (type == NULL || qm__walk_has(n, "type", type));
}

char *
qm__cib_meta(xmlNode *root, const xmlNode *primitive, const char *name)
{
    const xmlNode *template = qm__cib_template(root, primitive);
    char *value = qm__cib_value(root, primitive, "meta_attributes", name);

    if (value == NULL && template != NULL)
        value = qm__cib_value(root, template, "meta_attributes", name);
    for (const xmlNode *up = primitive->parent;
         value == NULL && up != NULL && up->type == XML_ELEMENT_NODE;
         up = up->parent)
        if (qm__walk_is(up, "group") || qm__walk_is(up, "clone"))
            value = qm__cib_value(root, up, "meta_attributes", name);
    return value != NULL ? value : qm__cib_default(root, "rsc_defaults", name);
}

char *
qm__cib_utilization(xmlNode *root, const xmlNode *primitive, const char *name)
{
    const xmlNode *template = qm__cib_template(root, primitive);
    char *value = qm__cib_value(root, primitive, "utilization", name);

    if (value == NULL && template != NULL)
        value = qm__cib_value(root, template, "utilization", name);
    return value;
}

static xmlNode *
op_in(const xmlNode *owner, const char *name)
{
    for (xmlNode *ops = owner->children; ops != NULL; ops = ops->next) {
        if (!qm__walk_is(ops, "operations"))
            continue;
        for (xmlNode *op = ops->children; op != NULL; op = op->next)
            if (qm__walk_is(op, "op") && qm__walk_has(op, "name", name))
                return op;
    }
    return NULL;
}

xmlNode *
qm__cib_op(xmlNode *root, const xmlNode *primitive, const char *name)
{
    const xmlNode *template = qm__cib_template(root, primitive);
    xmlNode *op = op_in(primitive, name);

    return op != NULL || template == NULL ? op : op_in(template, name);
}

int64_t
qm__cib_op_timeout(xmlNode *root, const xmlNode *op)
{
    g_autofree char *own = op != NULL ? qm__walk_get(op, "timeout") : NULL;

    if (own == NULL && op != NULL)
        own = qm__cib_value(root, op, "meta_attributes", "timeout");
    if (own == NULL)
        own = qm__cib_default(root, "op_defaults", "timeout");
    return own != NULL ? qm__cib_time(own) : OP_TIMEOUT;
}

int64_t
qm__cib_time(const char *text)
{
    static const struct {
        const char *unit;
        int64_t us;
    } units[] = {{"", 1000000},       {"s", 1000000},      {"sec", 1000000},
                 {"ms", 1000},        {"msec", 1000},      {"us", 1},
                 {"usec", 1},         {"m", 60000000},     {"min", 60000000},
                 {"h", 3600000000LL}, {"hr", 3600000000LL}};
    char *end;
    gint64 number;

    while (g_ascii_isspace(*text))
        text++;
    number = g_ascii_strtoll(text, &end, 10);
    if (end == text || number < 0 || number > 1000000000)
        return -1;
    while (g_ascii_isspace(*end))
        end++;
    for (size_t i = 0; i < G_N_ELEMENTS(units); i++)
        if (g_ascii_strcasecmp(end, units[i].unit) == 0)
            return number * units[i].us / 1000;
    return -1;
}

bool
qm__cib_bool(const char *text, bool otherwise)
{
    static const char *const yes[] = {"true", "yes", "on", "y", "1"};

    if (text == NULL)
        return otherwise;
    for (size_t i = 0; i < G_N_ELEMENTS(yes); i++)
        if (g_ascii_strcasecmp(text, yes[i]) == 0)
            return true;
    return false;
}

xmlNode *
qm__cib_node(xmlNode *root, const char *name)
{
    xmlNode *n = NULL;

    while ((n = qm__cib_next(root, n, "node")) != NULL)
        if (qm__walk_has(n, "uname", name))
            return n;
    return NULL;
}

char *
qm__cib_transient(xmlNode *root, const char *node, const char *attribute)
{
    xmlNode *state = NULL;

    while ((state = qm__cib_next(root, state, "node_state")) != NULL) {
        xmlNode *attributes;

        if (!qm__walk_has(state, "uname", node))
            continue;
        attributes = qm__cib_next(state, NULL, "transient_attributes");
        return attributes != NULL
                   ? qm__cib_value(root, attributes, "instance_attributes",
                                   attribute)
                   : NULL;
    }
    return NULL;
}
