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
#include "cib-read.h"
#include "cluster-internal.h"
#include "spawn.h"
#include "xml-walk.h"

#define CIB_TEXT "the cluster's configuration as printed by cibadmin"

static bool
is_ours(const xmlNode *node)
{
    return node != NULL && qm__walk_has(node, "class", "ocf") &&
           qm__walk_has(node, "provider", "quickmig") &&
           qm__walk_has(node, "type", "VirtualMachine");
}

/* The resource's own value, else its template's. */
static char *
parameter(xmlNode *root, const xmlNode *primitive, const xmlNode *template,
          const char *name)
{
    char *value = qm__cib_value(root, primitive, "instance_attributes", name);

    if (value == NULL && template != NULL)
        value = qm__cib_value(root, template, "instance_attributes", name);
    return value;
}

static void
resource_free(void *data)
{
    qm_resource *r = data;

    g_free(r->id);
    g_free(r->vault);
    g_free(r->hypervisor);
    g_free(r->mode);
    g_free(r->downtime_limit);
    g_free(r->image_secret);
    g_free(r->reconnect_limit);
    g_free(r->network_map);
    g_free(r->allow_unfenced);
    g_free(r);
}

static void
add(GPtrArray *list, xmlNode *root, const xmlNode *primitive)
{
    const xmlNode *template = qm__cib_template(root, primitive);
    qm_resource *r;

    if (!is_ours(primitive) && !is_ours(template))
        return;
    r = g_new0(qm_resource, 1);
    r->id = qm__walk_get(primitive, "id");
    r->vault = parameter(root, primitive, template, "vault");
    r->hypervisor = parameter(root, primitive, template, "hypervisor");
    r->mode = parameter(root, primitive, template, "mode");
    r->image_secret = parameter(root, primitive, template, "image_secret");
    r->downtime_limit = parameter(root, primitive, template, "downtime_limit");
    r->allow_unfenced = parameter(root, primitive, template, "allow_unfenced");
    r->reconnect_limit =
        parameter(root, primitive, template, "reconnect_limit");
    r->network_map = parameter(root, primitive, template, "network_map");
    g_ptr_array_add(list, r);
}

bool
qm__cib_parse(const char *xml, GPtrArray **ret, GError **error)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(resource_free);
    g_autoptr(xmlDoc) doc = NULL;
    xmlNode *root;

    if (!qm__walk_parse(xml, CIB_TEXT, &doc, error))
        return false;
    root = xmlDocGetRootElement(doc);
    for (xmlNode *n = root; n != NULL; n = qm__walk_next(root, n))
        if (qm__walk_is(n, "primitive"))
            add(list, root, n);
    *ret = g_steal_pointer(&list);
    return true;
}

bool
qm__cib_query(int64_t deadline, char **ret_xml, GError **error)
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
                    g_strdelimit(g_strstrip(err), "\r\n", ' '), code);
        return false;
    }
    *ret_xml = g_steal_pointer(&out);
    return true;
}

bool
qm__cluster_resources(int64_t deadline, GPtrArray **ret, GError **error)
{
    g_autofree char *xml = NULL;

    return qm__cib_query(deadline, &xml, error) &&
           qm__cib_parse(xml, ret, error);
}
