/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * What several CPUs have in common.  libvirt knows; it is asked on a thread of
 * its own, so that one that hangs is an error at the deadline.
 */
#include "config.h"
#include <stdlib.h>
#include "bounded.h"
#include "cpu.h"
#include "virt-open.h"

typedef struct {
    char *uri, *type, *arch;
    GStrv cpus;
    char *result; /* libvirt's: free() */
} box;

static void
clear_box(void *data)
{
    box *b = data;

    g_free(b->uri);
    g_free(b->type);
    g_free(b->arch);
    g_strfreev(b->cpus);
    free(b->result);
}

static bool
ask(void *data, GError **error)
{
    box *b = data;
    virConnectPtr conn = qm__virt_open(b->uri, error);

    if (conn == NULL)
        return false;
    b->result = virConnectBaselineHypervisorCPU(
        conn, NULL, b->arch, NULL, b->type, (const char **) b->cpus,
        g_strv_length(b->cpus), VIR_CONNECT_BASELINE_CPU_MIGRATABLE);
    if (b->result == NULL)
        (void) qm__virt_failed("what the nodes' CPUs have in common", error);
    (void) virConnectClose(conn);
    return b->result != NULL;
}

static box *
box_new(const char *uri, const GPtrArray *cpus)
{
    const qm_cpu *first = cpus->pdata[0];
    g_autoptr(GStrvBuilder) xmls = g_strv_builder_new();
    box *b = g_atomic_rc_box_new0(box);

    for (guint i = 0; i < cpus->len; i++)
        g_strv_builder_add(xmls, ((const qm_cpu *) cpus->pdata[i])->xml);
    b->uri = g_strdup(uri);
    b->type = g_strdup(first->type);
    b->arch = g_strdup(first->arch);
    b->cpus = g_strv_builder_end(xmls);
    return b;
}

bool
qm__cpu_baseline(const char *uri, const GPtrArray *cpus, int64_t deadline,
                 char **ret_cpu_xml, GError **error)
{
    box *b = box_new(uri, cpus);
    bool ok = qm__bounded("comparing CPUs", ask, b, clear_box, deadline, error);

    if (ok)
        *ret_cpu_xml = g_strdup(b->result);
    g_atomic_rc_box_release_full(b, clear_box);
    return ok;
}
