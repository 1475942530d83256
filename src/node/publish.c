/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Tells the cluster, once, what does not change while this host is up: its
 * initiator name and its capacity.  On a thread of its own, because Pacemaker
 * may take its time, and moves do not wait for this.
 */
#include "config.h"
#include <sys/sysinfo.h>
#include "capacity.h"
#include "cluster.h"
#include "log.h"
#include "lun.h"
#include "node.h"
#include "timeouts.h"

#define AT_MOST (60 * QM_S)

static void
publish_initiator(void)
{
    g_autofree char *name = NULL;
    g_autoptr(GError) error = NULL;

    if (!qm__initiator_name(&name, &error) ||
        !qm__cluster_publish_initiator(name, qm__deadline_in(AT_MOST), &error))
        qm__warning("%s", error->message);
}

static void
publish_capacity(const char *node)
{
    g_autoptr(GError) error = NULL;
    struct sysinfo info;
    int64_t cpu, memory;

    if (sysinfo(&info) != 0)
        return; /* never seen; then nobody knows */
    qm__capacity_of_host((unsigned) get_nprocs(),
                         (uint64_t) info.totalram * info.mem_unit, &cpu,
                         &memory);
    if (!qm__cluster_publish_capacity(node, cpu, memory,
                                      qm__deadline_in(AT_MOST), &error))
        qm__warning("%s", error->message);
}

static gpointer
run(gpointer data)
{
    char *node = data;

    publish_initiator();
    publish_capacity(node);
    g_free(node);
    return NULL;
}

void
qm__publish_host(const char *node)
{
    GThread *thread = g_thread_try_new("qm-publish", run, g_strdup(node), NULL);

    if (thread != NULL)
        g_thread_unref(thread); /* ends by itself, or with the daemon */
}
