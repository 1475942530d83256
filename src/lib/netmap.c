/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The map, and a domain XML with its names.  Invariant: mapping for a node,
 * and then for another one, is the same as mapping for the other one at once.
 */
#include "config.h"
#include <stdlib.h>
#include <string.h>
#include <libxml/tree.h>
#include "netmap.h"
#include "xml-walk.h"

#define URI       "urn:quickmig:networks:1"
#define PREFIX    "quickmig"
#define ELEMENT   "networks"
#define INTERFACE "interface"

typedef struct {
    char *node, *name, *there;
} entry;

struct qm_netmap {
    GPtrArray *entries; /* entry * */
};

/* --- the map ------------------------------------------------------------- */

static void
entry_free(gpointer p)
{
    entry *e = p;

    g_free(e->node);
    g_free(e->name);
    g_free(e->there);
    g_free(e);
}

static const entry *
look_up(const qm_netmap *map, const char *node, const char *name)
{
    for (guint i = 0; map != NULL && i < map->entries->len; i++) {
        const entry *e = map->entries->pdata[i];

        if (strcmp(e->node, node) == 0 && strcmp(e->name, name) == 0)
            return e;
    }
    return NULL;
}

static bool
invalid(const char *word, const char *why, GError **error)
{
    g_set_error(error, QM_ERROR, QM_ERROR_INVALID,
                "\"%s\": %s; expected NODE:NETWORK=NAME_THERE", word, why);
    return false;
}

static bool
add_word(qm_netmap *map, const char *word, GError **error)
{
    const char *colon = strchr(word, ':');
    const char *equals = colon != NULL ? strchr(colon, '=') : NULL;
    entry *e;

    if (colon == NULL || colon == word)
        return invalid(word, "no node", error);
    if (equals == NULL || equals == colon + 1 || equals[1] == '\0')
        return invalid(word, "no two names", error);
    e = g_new0(entry, 1);
    e->node = g_strndup(word, (gsize) (colon - word));
    e->name = g_strndup(colon + 1, (gsize) (equals - colon - 1));
    e->there = g_strdup(equals + 1);
    if (look_up(map, e->node, e->name) != NULL) {
        entry_free(e);
        return invalid(word, "this network of that node was named before",
                       error);
    }
    g_ptr_array_add(map->entries, e);
    return true;
}

bool
qm__netmap_parse(const char *text, qm_netmap **ret, GError **error)
{
    g_autoptr(qm_netmap) map = g_new0(qm_netmap, 1);
    g_auto(GStrv) words = g_strsplit_set(text != NULL ? text : "", " \t\n", -1);

    map->entries = g_ptr_array_new_with_free_func(entry_free);
    if (text != NULL && strlen(text) >= QM_NETMAP_MAX) {
        g_set_error(error, QM_ERROR, QM_ERROR_INVALID,
                    "longer than %d bytes: name only what is different",
                    QM_NETMAP_MAX - 1);
        return false;
    }
    for (guint i = 0; words[i] != NULL; i++)
        if (words[i][0] != '\0' && !add_word(map, words[i], error))
            return false;
    *ret = g_steal_pointer(&map);
    return true;
}

void
qm__netmap_free(qm_netmap *map)
{
    if (map == NULL)
        return;
    g_ptr_array_unref(map->entries);
    g_free(map);
}

const char *
qm__netmap_find(const qm_netmap *map, const char *node, const char *name)
{
    const entry *e = look_up(map, node, name);

    return e != NULL ? e->there : name;
}

/* --- a domain XML -------------------------------------------------------- */

/* Where an interface's network is named: the first of these that it has. */
static const char *
attribute_of(const xmlNode *source)
{
    static const char *const names[] = {"network", "bridge", "dev"};

    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *value = qm__walk_get(source, names[i]);

        if (value != NULL)
            return names[i];
    }
    return NULL;
}

static xmlNode *
memory_of(const xmlNode *metadata)
{
    for (xmlNode *n = metadata != NULL ? metadata->children : NULL; n != NULL;
         n = n->next)
        if (qm__walk_is(n, ELEMENT) && n->ns != NULL &&
            strcmp((const char *) n->ns->href, URI) == 0)
            return n;
    return NULL;
}

/* The vault's name of the network of interface @number; NULL: as it is. */
static char *
remembered(const xmlNode *memory, unsigned number)
{
    g_autofree char *index = g_strdup_printf("%u", number);

    for (xmlNode *n = memory != NULL ? memory->children : NULL; n != NULL;
         n = n->next)
        if (qm__walk_is(n, INTERFACE) && qm__walk_has(n, "index", index))
            return qm__walk_get(n, "name");
    return NULL;
}

static xmlNode *
new_memory(xmlNode *root)
{
    xmlNode *metadata = qm__walk_child(root, "metadata");
    xmlNode *memory;
    xmlNs *ns;

    if (metadata == NULL)
        metadata = xmlNewChild(root, NULL, BAD_CAST "metadata", NULL);
    memory = metadata != NULL
                 ? xmlNewChild(metadata, NULL, BAD_CAST ELEMENT, NULL)
                 : NULL;
    ns =
        memory != NULL ? xmlNewNs(memory, BAD_CAST URI, BAD_CAST PREFIX) : NULL;
    if (ns == NULL)
        g_error("out of memory");
    xmlSetNs(memory, ns);
    return memory;
}

static void
remember(xmlNode *memory, unsigned number, const char *name)
{
    g_autofree char *index = g_strdup_printf("%u", number);
    xmlNode *n = xmlNewChild(memory, memory->ns, BAD_CAST INTERFACE, NULL);

    if (n == NULL || xmlSetProp(n, BAD_CAST "index", BAD_CAST index) == NULL ||
        xmlSetProp(n, BAD_CAST "name", BAD_CAST name) == NULL)
        g_error("out of memory");
}

/* @old: what was remembered before; @now: made when it is needed. */
static void
map_interface(const qm_netmap *map, const char *node, xmlNode *source,
              unsigned number, const xmlNode *old, xmlNode **now)
{
    const char *attribute = attribute_of(source);
    g_autofree char *name = remembered(old, number);
    const char *there;

    if (attribute == NULL)
        return;
    if (name == NULL)
        name = qm__walk_get(source, attribute);
    there = qm__netmap_find(map, node, name);
    if (xmlSetProp(source, BAD_CAST attribute, BAD_CAST there) == NULL)
        g_error("out of memory");
    if (strcmp(there, name) == 0)
        return;
    if (*now == NULL)
        *now = new_memory(xmlDocGetRootElement(source->doc));
    remember(*now, number, name);
}

bool
qm__netmap_apply(const qm_netmap *map, const char *node, const char *xml,
                 char **ret_xml, GError **error)
{
    g_autoptr(xmlDoc) doc = NULL;
    xmlNode *root, *devices, *old, *now = NULL;
    unsigned number = 0;

    if (!qm__walk_parse(xml, "the domain XML", &doc, error))
        return false;
    root = xmlDocGetRootElement(doc);
    devices = qm__walk_child(root, "devices");
    if (devices == NULL) {
        g_set_error(error, QM_ERROR, QM_ERROR_INVALID,
                    "the domain XML has no devices");
        return false;
    }
    old = memory_of(qm__walk_child(root, "metadata"));
    if (old != NULL)
        xmlUnlinkNode(old);
    for (xmlNode *n = devices->children; n != NULL; n = n->next) {
        xmlNode *source =
            qm__walk_is(n, INTERFACE) ? qm__walk_child(n, "source") : NULL;

        if (source != NULL)
            map_interface(map, node, source, number, old, &now);
        number += qm__walk_is(n, INTERFACE);
    }
    if (old != NULL)
        xmlFreeNode(old);
    *ret_xml = qm__walk_text(doc, root);
    return true;
}
