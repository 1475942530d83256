/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#include "config.h"
#include <string.h>
#include "told.h"
#include "xml-walk.h"

typedef struct {
    bool online, standby;
    GHashTable *attributes; /* name -> value */
} node;

struct qm_told {
    GHashTable *nodes; /* name -> node */
    GStrv names;
    GHashTable *settings; /* of ocf:quickmig:Node */
};

static void
free_node(gpointer p)
{
    node *n = p;

    g_hash_table_unref(n->attributes);
    g_free(n);
}

static node *
node_named(qm_told *t, const char *name)
{
    node *n = g_hash_table_lookup(t->nodes, name);

    if (n != NULL)
        return n;
    n = g_new0(node, 1);
    n->attributes =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_hash_table_insert(t->nodes, g_strdup(name), n);
    return n;
}

/* "true", "online"; since Pacemaker 2.1.7 the time since when, or 0. */
static bool
is_yes(const xmlNode *state, const char *attribute)
{
    g_autofree char *value = qm__walk_get(state, attribute);

    return value != NULL && strcmp(value, "false") != 0 &&
           strcmp(value, "offline") != 0 && strcmp(value, "0") != 0;
}

static void
add_pairs(GHashTable *to, const xmlNode *below)
{
    for (xmlNode *n = (xmlNode *) below; n != NULL;
         n = qm__walk_next(below, n)) {
        g_autofree char *name = NULL, *value = NULL;

        if (!qm__walk_is(n, "nvpair"))
            continue;
        name = qm__walk_get(n, "name");
        value = qm__walk_get(n, "value");
        if (name != NULL && value != NULL)
            g_hash_table_insert(to, g_steal_pointer(&name),
                                g_steal_pointer(&value));
    }
}

/* Under <status>. */
static void
add_state(qm_told *t, const xmlNode *state)
{
    g_autofree char *name = qm__walk_get(state, "uname");
    node *n;

    if (name == NULL)
        return;
    n = node_named(t, name);
    n->online = is_yes(state, "in_ccm") && is_yes(state, "crmd");
    for (xmlNode *c = state->children; c != NULL; c = c->next)
        if (qm__walk_is(c, "transient_attributes"))
            add_pairs(n->attributes, c);
}

/* Under <configuration>. */
static void
add_configured(qm_told *t, const xmlNode *configured)
{
    g_autofree char *name = qm__walk_get(configured, "uname");
    g_autoptr(GHashTable) own =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);

    if (name == NULL)
        return;
    add_pairs(own, configured);
    node_named(t, name)->standby =
        g_strcmp0(g_hash_table_lookup(own, "standby"), "on") == 0 ||
        g_strcmp0(g_hash_table_lookup(own, "standby"), "true") == 0;
}

static bool
is_our_daemon(const xmlNode *n)
{
    return qm__walk_is(n, "primitive") && qm__walk_has(n, "class", "ocf") &&
           qm__walk_has(n, "provider", "quickmig") &&
           qm__walk_has(n, "type", "Node");
}

bool
qm__told_parse(const char *cib, qm_told **ret, GError **error)
{
    g_autoptr(xmlDoc) doc = NULL;
    qm_told *t;
    xmlNode *root;
    GList *names;
    guint i = 0;

    if (!qm__walk_parse(cib, "the cluster's state as printed by cibadmin", &doc,
                        error))
        return false;
    t = g_new0(qm_told, 1);
    t->nodes =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, free_node);
    t->settings =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    root = xmlDocGetRootElement(doc);
    for (xmlNode *n = root; n != NULL; n = qm__walk_next(root, n)) {
        if (qm__walk_is(n, "node_state"))
            add_state(t, n);
        else if (qm__walk_is(n, "node"))
            add_configured(t, n);
        else if (is_our_daemon(n))
            add_pairs(t->settings, n);
    }
    names = g_list_sort(g_hash_table_get_keys(t->nodes),
                        (GCompareFunc) (void (*)(void)) strcmp);
    t->names = g_new0(char *, g_list_length(names) + 1);
    for (GList *l = names; l != NULL; l = l->next)
        t->names[i++] = g_strdup(l->data);
    g_list_free(names);
    *ret = t;
    return true;
}

void
qm__told_free(qm_told *t)
{
    if (t == NULL)
        return;
    g_hash_table_unref(t->nodes);
    g_hash_table_unref(t->settings);
    g_strfreev(t->names);
    g_free(t);
}

const char *const *
qm__told_nodes(const qm_told *t)
{
    return (const char *const *) t->names;
}

bool
qm__told_is_online(const qm_told *t, const char *name)
{
    const node *n = g_hash_table_lookup(t->nodes, name);

    return n != NULL && n->online && !n->standby;
}

const char *
qm__told_get(const qm_told *t, const char *name, const char *prefix,
             const char *rest)
{
    const node *n = g_hash_table_lookup(t->nodes, name);
    g_autofree char *key = g_strconcat(prefix, rest, NULL);

    return n != NULL ? g_hash_table_lookup(n->attributes, key) : NULL;
}

GStrv
qm__told_names(const qm_told *t, const char *name, const char *prefix)
{
    const node *n = g_hash_table_lookup(t->nodes, name);
    g_autoptr(GStrvBuilder) found = g_strv_builder_new();
    GHashTableIter iter;
    gpointer key;

    if (n != NULL) {
        g_hash_table_iter_init(&iter, n->attributes);
        while (g_hash_table_iter_next(&iter, &key, NULL))
            if (g_str_has_prefix(key, prefix))
                g_strv_builder_add(found, (char *) key + strlen(prefix));
    }
    return g_strv_builder_end(found);
}

const char *
qm__told_where(const qm_told *t, const char *resource)
{
    for (guint i = 0; t->names[i] != NULL; i++)
        if (g_strcmp0(qm__told_get(t, t->names[i], QM_TOLD_ELIGIBLE, resource),
                      "here") == 0)
            return t->names[i];
    return NULL;
}

const char *
qm__told_setting(const qm_told *t, const char *name)
{
    return g_hash_table_lookup(t->settings, name);
}

const char *
qm__told_best(const qm_told *t, const char *resource, const char *except)
{
    const char *best = NULL;
    gint64 best_rating = -1;

    for (guint i = 0; t->names[i] != NULL; i++) {
        const char *name = t->names[i];
        const char *rating = qm__told_get(t, name, QM_TOLD_RATING, resource);
        gint64 value = rating != NULL ? g_ascii_strtoll(rating, NULL, 10) : 0;

        if (!qm__told_is_online(t, name) || g_strcmp0(name, except) == 0 ||
            g_strcmp0(qm__told_get(t, name, QM_TOLD_ELIGIBLE, resource),
                      "no") == 0 ||
            value <= best_rating)
            continue;
        best = name;
        best_rating = value;
    }
    return best;
}
