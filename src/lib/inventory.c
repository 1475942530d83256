/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * A look at one libvirt, all of it in one go on a thread of its own: a daemon
 * that hangs is an error at the deadline.  The connection is read-only, so
 * that a look changes nothing, and sees no secret.
 */
#include "config.h"
#include <stdlib.h>
#include <string.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include "bounded.h"
#include "inventory.h"
#include "xml-walk.h"

#define DEFAULT_URI "qemu:///system"

typedef struct {
    char *uri;
    bool domains;
    qm_inventory *found;
} box;

static void
free_domain(gpointer p)
{
    qm_inventory_domain *d = p;

    g_free(d->name);
    g_free(d->xml);
    g_free(d);
}

void
qm__inventory_free(qm_inventory *inventory)
{
    if (inventory == NULL)
        return;
    g_free(inventory->hostname);
    g_free(inventory->arch);
    g_free(inventory->cpu_model);
    g_ptr_array_unref(inventory->domains);
    g_free(inventory);
}

static void
clear_box(void *data)
{
    box *b = data;

    g_free(b->uri);
    qm__inventory_free(b->found);
}

static bool
failed(const box *b, const char *what, GError **error)
{
    const virError *e = virGetLastError();

    g_set_error(
        error, QM_ERROR, QM_ERROR_IO, "libvirt at %s: %s: %s", b->uri, what,
        e != NULL && e->message != NULL ? e->message : "no reason given");
    return false;
}

/* Errors are reported; libvirt need not print them. */
static void
silent(void *opaque, virErrorPtr error)
{
}

/* Of the host, from libvirt's capabilities. */
static void
read_cpu_model(virConnectPtr conn, qm_inventory *found)
{
    char *text = virConnectGetCapabilities(conn);
    g_autoptr(xmlDoc) doc = NULL;
    xmlNode *root;

    if (text != NULL && qm__walk_parse(text, "capabilities", &doc, NULL)) {
        root = xmlDocGetRootElement(doc);
        for (xmlNode *n = root; n != NULL; n = qm__walk_next(root, n))
            if (qm__walk_is(n, "model") && n->parent != NULL &&
                qm__walk_is(n->parent, "cpu") && found->cpu_model == NULL) {
                xmlChar *model = xmlNodeGetContent(n);

                found->cpu_model = g_strdup((const char *) model);
                xmlFree(model);
            }
    }
    free(text);
}

static bool
read_host(const box *b, virConnectPtr conn, qm_inventory *found, GError **error)
{
    virNodeInfo info;
    unsigned long version;
    char *name = virConnectGetHostname(conn);

    found->hostname = g_strdup(name != NULL ? name : "?");
    free(name);
    if (virNodeGetInfo(conn, &info) < 0)
        return failed(b, "asking about the host", error);
    found->arch = g_strdup(info.model);
    found->cpus = info.cpus;
    found->memory = (uint64_t) info.memory * 1024;
    found->memory_free = virNodeGetFreeMemory(conn);
    if (virConnectGetLibVersion(conn, &version) == 0)
        found->libvirt = version;
    if (virConnectGetVersion(conn, &version) == 0)
        found->qemu = version;
    read_cpu_model(conn, found);
    return true;
}

/* NULL: it has gone meanwhile. */
static qm_inventory_domain *
read_domain(virDomainPtr dom)
{
    qm_inventory_domain *d;
    char *xml = virDomainGetXMLDesc(dom, VIR_DOMAIN_XML_INACTIVE);
    int autostart = 0, snapshots;

    if (xml == NULL)
        return NULL;
    d = g_new0(qm_inventory_domain, 1);
    d->name = g_strdup(virDomainGetName(dom));
    (void) virDomainGetUUID(dom, d->uuid);
    d->active = virDomainIsActive(dom) > 0;
    d->persistent = virDomainIsPersistent(dom) > 0;
    d->autostart = virDomainGetAutostart(dom, &autostart) == 0 && autostart;
    d->managed_save = virDomainHasManagedSaveImage(dom, 0) > 0;
    snapshots = virDomainSnapshotNum(dom, 0);
    d->snapshots = snapshots > 0 ? (unsigned) snapshots : 0;
    d->xml = g_strdup(xml);
    free(xml);
    return d;
}

static gint
by_name(gconstpointer a, gconstpointer b)
{
    const qm_inventory_domain *const *x = a, *const *y = b;

    return strcmp((*x)->name, (*y)->name);
}

static bool
read_domains(const box *b, virConnectPtr conn, qm_inventory *found,
             GError **error)
{
    virDomainPtr *list = NULL;
    int n = virConnectListAllDomains(conn, &list, 0);

    if (n < 0)
        return failed(b, "listing the domains", error);
    for (int i = 0; i < n; i++) {
        qm_inventory_domain *d = read_domain(list[i]);

        if (d != NULL)
            g_ptr_array_add(found->domains, d);
        (void) virDomainFree(list[i]);
    }
    free(list);
    g_ptr_array_sort(found->domains, by_name);
    return true;
}

static bool
look(void *data, GError **error)
{
    box *b = data;
    virConnectPtr conn;
    bool ok;

    virSetErrorFunc(NULL, silent);
    conn = virConnectOpenReadOnly(b->uri);
    if (conn == NULL)
        return failed(b, "cannot connect", error);
    b->found = g_new0(qm_inventory, 1);
    b->found->domains = g_ptr_array_new_with_free_func(free_domain);
    ok = read_host(b, conn, b->found, error) &&
         (!b->domains || read_domains(b, conn, b->found, error));
    (void) virConnectClose(conn); /* nothing is open on it */
    return ok;
}

bool
qm__inventory_read(const char *uri, bool domains, int64_t deadline,
                   qm_inventory **ret, GError **error)
{
    g_autofree char *what = NULL;
    box *b = g_atomic_rc_box_new0(box);
    bool ok;

    b->uri = g_strdup(uri != NULL ? uri : DEFAULT_URI);
    b->domains = domains;
    what = g_strdup_printf("libvirt at %s", b->uri);
    ok = qm__bounded(what, look, b, clear_box, deadline, error);
    if (ok)
        *ret = g_steal_pointer(&b->found);
    g_atomic_rc_box_release_full(b, clear_box);
    return ok;
}
