/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Which VMs the cluster's configuration names.  cibadmin prints it; libcib
 * would need its own thread to have a deadline, and logs on its own.  Groups,
 * clones and templates are followed; rules are not evaluated: the first value
 * of a parameter counts.
 */
#include "config.h"
#include <string.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include "cluster-internal.h"
#include "spawn.h"

G_DEFINE_AUTOPTR_CLEANUP_FUNC(xmlDoc, xmlFreeDoc)

static bool
is(const xmlNode *node, const char *name)
{
    return node->type == XML_ELEMENT_NODE &&
           strcmp((const char *) node->name, name) == 0;
}

/* Attribute as GLib string; NULL: none. */
static char *
get(const xmlNode *node, const char *name)
{
    xmlChar *value = xmlGetNoNsProp(node, (const xmlChar *) name);
    char *copy = g_strdup((const char *) value);

    xmlFree(value);
    return copy;
}

static bool
has(const xmlNode *node, const char *name, const char *expected)
{
    g_autofree char *value = get(node, name);

    return g_strcmp0(value, expected) == 0;
}

/* The next element in document order below @root; NULL: no more. */
static xmlNode *
next_element(const xmlNode *root, xmlNode *node)
{
    xmlNode *next = node->children;

    while (next == NULL && node != root) {
        next = node->next;
        node = node->parent;
    }
    return next;
}

static xmlNode *
find_by_id(xmlNode *root, const char *name, const char *id)
{
    for (xmlNode *n = root; n != NULL; n = next_element(root, n))
        if (is(n, name) && has(n, "id", id))
            return n;
    return NULL;
}

static xmlNode *
template_of(xmlNode *root, const xmlNode *primitive)
{
    g_autofree char *id = get(primitive, "template");

    return id != NULL ? find_by_id(root, "template", id) : NULL;
}

static bool
is_ours(const xmlNode *node)
{
    return node != NULL && has(node, "class", "ocf") &&
           has(node, "provider", "quickmig") &&
           has(node, "type", "VirtualMachine");
}

/* Value of one parameter among @owner's instance_attributes; NULL: none. */
static char *
parameter_in(xmlNode *root, const xmlNode *owner, const char *name)
{
    for (xmlNode *set = owner->children; set != NULL; set = set->next) {
        g_autofree char *ref = NULL;
        xmlNode *shared = set;

        if (!is(set, "instance_attributes"))
            continue;
        ref = get(set, "id-ref");
        if (ref != NULL)
            shared = find_by_id(root, "instance_attributes", ref);
        if (shared == NULL)
            continue;
        for (xmlNode *pair = shared->children; pair != NULL; pair = pair->next)
            if (is(pair, "nvpair") && has(pair, "name", name))
                return get(pair, "value");
    }
    return NULL;
}

/* The resource's own value, else its template's. */
static char *
parameter(xmlNode *root, const xmlNode *primitive, const xmlNode *template,
          const char *name)
{
    char *value = parameter_in(root, primitive, name);

    if (value == NULL && template != NULL)
        value = parameter_in(root, template, name);
    return value;
}

static void
resource_free(void *data)
{
    qm_resource *r = data;

    g_free(r->id);
    g_free(r->vault);
    g_free(r->hypervisor);
    g_free(r);
}

static void
add(GPtrArray *list, xmlNode *root, const xmlNode *primitive)
{
    const xmlNode *template = template_of(root, primitive);
    qm_resource *r;

    if (!is_ours(primitive) && !is_ours(template))
        return;
    r = g_new0(qm_resource, 1);
    r->id = get(primitive, "id");
    r->vault = parameter(root, primitive, template, "vault");
    r->hypervisor = parameter(root, primitive, template, "hypervisor");
    g_ptr_array_add(list, r);
}

bool
qm__cib_parse(const char *xml, GPtrArray **ret, GError **error)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(resource_free);
    g_autoptr(xmlDoc) doc =
        xmlReadMemory(xml, (int) strlen(xml), "cib", NULL,
                      XML_PARSE_NONET | XML_PARSE_NOERROR |
                          XML_PARSE_NOWARNING | XML_PARSE_HUGE);
    xmlNode *root = doc != NULL ? xmlDocGetRootElement(doc) : NULL;

    if (root == NULL) {
        g_set_error(error, QM_ERROR, QM_ERROR_CORRUPT,
                    "cannot parse the cluster's configuration as printed by "
                    "cibadmin");
        return false;
    }
    for (xmlNode *n = root; n != NULL; n = next_element(root, n))
        if (is(n, "primitive"))
            add(list, root, n);
    *ret = g_steal_pointer(&list);
    return true;
}

bool
qm__cluster_resources(int64_t deadline, GPtrArray **ret, GError **error)
{
    static const char *const argv[] = {"cibadmin", "--query", "--local", NULL};
    g_autofree char *out = NULL, *err = NULL;
    int code;

    if (!qm__spawn(argv, deadline, &code, &out, &err, error))
        return false;
    if (code != 0) {
        g_set_error(error, QM_ERROR, QM_ERROR_IO,
                    "cannot read the cluster's configuration: %s (cibadmin, "
                    "exit %d)",
                    g_strstrip(err), code);
        return false;
    }
    return qm__cib_parse(out, ret, error);
}
