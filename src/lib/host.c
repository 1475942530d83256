/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * One look at this host.  libvirt is asked on a thread of its own: a daemon
 * that hangs is an error at the deadline.
 */
#include "config.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include "bounded.h"
#include "cpu.h"
#include "host.h"
#include "timeouts.h"
#include "virt-open.h"
#include "xml-walk.h"

#define NET_DIR     "/sys/class/net"
#define PROBLEM_MAX 160 /* bytes of libvirt's words */

typedef struct {
    char *uri;
    GPtrArray *asked; /* question, the box's own */
    qm_host_view *view;
} box;

typedef struct {
    char *cpu, *type, *arch; /* cpu NULL: none */
} question;

static void
free_question(gpointer p)
{
    question *q = p;

    g_free(q->cpu);
    g_free(q->type);
    g_free(q->arch);
    g_free(q);
}

void
qm__host_view_free(qm_host_view *view)
{
    if (view == NULL)
        return;
    qm__facts_free(view->facts);
    g_strfreev(view->host.types);
    g_strfreev(view->host.machines);
    g_strfreev(view->host.links);
    g_strfreev(view->host.networks);
    g_free(view->cpu);
    g_ptr_array_unref(view->cpu_problems);
    g_free(view);
}

static void
clear_box(void *data)
{
    box *b = data;

    g_free(b->uri);
    g_ptr_array_unref(b->asked);
    qm__host_view_free(b->view);
}

/* --- libvirt ------------------------------------------------------------- */

static char *
text_of(const xmlNode *node)
{
    xmlChar *text = xmlNodeGetContent(node);
    char *copy = g_strdup((const char *) text);

    xmlFree(text);
    return copy;
}

static bool
is_below(const xmlNode *node, const char *grandparent)
{
    return node->parent != NULL && node->parent->parent != NULL &&
           qm__walk_is(node->parent->parent, grandparent);
}

/* Domain types and machines; CPU.  A list is in doubt too long. */
static bool
read_capabilities(virConnectPtr conn, qm_host_view *view, GError **error)
{
    char *text = virConnectGetCapabilities(conn);
    g_autoptr(GStrvBuilder) types = g_strv_builder_new();
    g_autoptr(GStrvBuilder) machines = g_strv_builder_new();
    g_autoptr(xmlDoc) doc = NULL;
    xmlNode *root;
    bool ok;

    if (text == NULL)
        return qm__virt_failed("reading capabilities", error);
    ok = qm__walk_parse(text, "libvirt's capabilities", &doc, error);
    free(text);
    if (!ok)
        return false;
    root = xmlDocGetRootElement(doc);
    for (xmlNode *n = root; n != NULL; n = qm__walk_next(root, n)) {
        g_autofree char *value = NULL;

        if (qm__walk_is(n, "domain") && is_below(n, "guest")) {
            value = qm__walk_get(n, "type");
            if (value != NULL)
                g_strv_builder_add(types, value);
        } else if (qm__walk_is(n, "machine") && is_below(n, "guest")) {
            g_autofree char *canonical = qm__walk_get(n, "canonical");

            value = text_of(n);
            g_strv_builder_add(machines, value);
            if (canonical != NULL)
                g_strv_builder_add(machines, canonical);
        } else if (qm__walk_is(n, "vendor") && is_below(n, "host")) {
            g_free(view->facts->cpu_vendor);
            view->facts->cpu_vendor = text_of(n);
        } else if (qm__walk_is(n, "model") && is_below(n, "host") &&
                   qm__walk_is(n->parent, "cpu")) {
            g_free(view->facts->cpu_model);
            view->facts->cpu_model = text_of(n);
        }
    }
    view->host.types = g_strv_builder_end(types);
    view->host.machines = g_strv_builder_end(machines);
    return true;
}

/* NULL: this libvirt has none to tell of. */
static GStrv
read_networks(virConnectPtr conn)
{
    g_autoptr(GStrvBuilder) names = g_strv_builder_new();
    virNetworkPtr *found = NULL;
    int n = virConnectListAllNetworks(conn, &found,
                                      VIR_CONNECT_LIST_NETWORKS_ACTIVE);

    for (int i = 0; i < n; i++) {
        g_strv_builder_add(names, virNetworkGetName(found[i]));
        (void) virNetworkFree(found[i]);
    }
    free(found);
    return n >= 0 ? g_strv_builder_end(names) : NULL;
}

/* NULL: the host can be that CPU, or libvirt cannot tell. */
static char *
cpu_problem(virConnectPtr conn, const question *q)
{
    const virError *e;

    if (q->cpu == NULL ||
        virConnectCompareHypervisorCPU(
            conn, NULL, q->arch, NULL, q->type, q->cpu,
            VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE) != VIR_CPU_COMPARE_ERROR)
        return NULL;
    /* Any other failure says nothing of the CPU; a model that this libvirt has
     * never heard of is an internal error to it. */
    e = virGetLastError();
    if (e == NULL || e->message == NULL ||
        (e->code != VIR_ERR_CPU_INCOMPATIBLE &&
         e->code != VIR_ERR_INTERNAL_ERROR &&
         e->code != VIR_ERR_CONFIG_UNSUPPORTED))
        return NULL;
    return g_strndup(e->message, PROBLEM_MAX);
}

/* Of kvm where there is that. */
static char *
cpu_line(virConnectPtr conn, const qm_host *host)
{
    static const char *const types[] = {"kvm", "qemu"};
    char *line = NULL;

    for (size_t i = 0; i < G_N_ELEMENTS(types) && line == NULL; i++) {
        char *text =
            g_strv_contains((const char *const *) host->types, types[i])
                ? virConnectGetDomainCapabilities(conn, NULL, NULL, NULL,
                                                  types[i], 0)
                : NULL;

        if (text != NULL)
            line = qm__cpu_line(text);
        free(text);
    }
    return line;
}

static void
read_versions(virConnectPtr conn, qm_node_facts *facts)
{
    unsigned long version;

    if (virConnectGetLibVersion(conn, &version) == 0)
        facts->libvirt = version;
    if (virConnectGetVersion(conn, &version) == 0)
        facts->qemu = version;
}

static bool
ask_libvirt(void *data, GError **error)
{
    box *b = data;
    /* A read-only connection may not compare CPUs. */
    virConnectPtr conn = qm__virt_open(b->uri, error);
    bool ok;

    if (conn == NULL)
        return false;
    ok = read_capabilities(conn, b->view, error);
    if (ok) {
        read_versions(conn, b->view->facts);
        b->view->host.networks = read_networks(conn);
        b->view->cpu = cpu_line(conn, &b->view->host);
        for (guint i = 0; i < b->asked->len; i++)
            g_ptr_array_add(b->view->cpu_problems,
                            cpu_problem(conn, b->asked->pdata[i]));
    }
    (void) virConnectClose(conn);
    return ok;
}

/* --- the kernel ---------------------------------------------------------- */

static uint64_t
meminfo(const char *text, const char *name)
{
    const char *at = strstr(text, name);

    return at != NULL ? g_ascii_strtoull(at + strlen(name), NULL, 10) / 1024
                      : 0;
}

static void
read_memory(qm_node_facts *facts)
{
    g_autofree char *text = NULL;

    if (!g_file_get_contents("/proc/meminfo", &text, NULL, NULL))
        return;
    facts->memory = meminfo(text, "MemTotal:");
    facts->memory_free = meminfo(text, "MemAvailable:");
}

static void
read_load(qm_node_facts *facts)
{
    double load[1];

    facts->cpus = (unsigned) g_get_num_processors();
    if (getloadavg(load, 1) == 1)
        facts->load = (unsigned) (load[0] * 100 / MAX(facts->cpus, 1));
}

/* Mbit/s; 0: it does not say. */
static uint32_t
link_speed(const char *name)
{
    g_autofree char *path = g_build_filename(NET_DIR, name, "speed", NULL);
    g_autofree char *text = NULL;
    gint64 value = 0;

    if (!g_file_get_contents(path, &text, NULL, NULL) ||
        !g_ascii_string_to_signed(g_strchomp(text), 10, 1, 10000000, &value,
                                  NULL))
        return 0;
    return (uint32_t) value;
}

/* Of what has a device behind it, or none at all knows its speed. */
static void
read_links(qm_host_view *view)
{
    g_autoptr(GDir) dir = g_dir_open(NET_DIR, 0, NULL);
    g_autoptr(GStrvBuilder) names = g_strv_builder_new();
    const char *name;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        uint32_t mbs = link_speed(name) / 8;

        g_strv_builder_add(names, name);
        view->facts->link_mbs = MAX(view->facts->link_mbs, mbs);
    }
    view->host.links = g_strv_builder_end(names);
}

/* --- all of it ----------------------------------------------------------- */

static box *
box_new(const char *uri, const GPtrArray *needs)
{
    box *b = g_atomic_rc_box_new0(box);

    b->uri = g_strdup(uri);
    b->asked = g_ptr_array_new_with_free_func(free_question);
    for (guint i = 0; i < needs->len; i++) {
        const qm_needs *n = needs->pdata[i];
        question *q = g_new0(question, 1);

        if (n != NULL) {
            q->cpu = g_strdup(n->cpu);
            q->type = g_strdup(n->type);
            q->arch = g_strdup(n->arch);
        }
        g_ptr_array_add(b->asked, q);
    }
    b->view = g_new0(qm_host_view, 1);
    b->view->facts = g_new0(qm_node_facts, 1);
    b->view->cpu_problems = g_ptr_array_new_with_free_func(g_free);
    return b;
}

bool
qm__host_read(const char *uri, const GPtrArray *needs, int64_t deadline,
              qm_host_view **ret, GError **error)
{
    box *b = box_new(uri, needs);
    bool ok = qm__bounded("looking at this host", ask_libvirt, b, clear_box,
                          deadline, error);

    if (ok) {
        read_memory(b->view->facts);
        read_load(b->view->facts);
        read_links(b->view);
        *ret = g_steal_pointer(&b->view);
    }
    g_atomic_rc_box_release_full(b, clear_box);
    return ok;
}
