/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * What a node says of itself once, when quickmigd starts: its initiator name,
 * and what it has for guests.
 *
 *   quickmig-initiator  transient (attrd): vanishes with the node.
 *   quickmig-capacity   permanent (CIB): what quickmig wrote as utilization,
 *                       "cpu=N memory=N".  A utilization that differs from it
 *                       is an administrator's, and is left alone.
 */
#include "config.h"
#include <inttypes.h>
#include <string.h>
#include "cib-read.h"
#include "cluster-internal.h"
#include "spawn.h"

#define ATTRIBUTE_INITIATOR "quickmig-initiator"
#define ATTRIBUTE_CAPACITY  "quickmig-capacity"

static bool
run(const char *const *argv, const char *what, int64_t deadline, GError **error)
{
    g_autofree char *err = NULL;
    int code;

    if (!qm__spawn(argv, deadline, &code, NULL, &err, error))
        return false;
    if (code == 0)
        return true;
    g_strdelimit(g_strstrip(err), "\r\n", ' ');
    g_set_error(error, QM_ERROR, QM_ERROR_IO, "%s: cannot %s: %s (exit %d)",
                argv[0], what, *err != '\0' ? err : "no reason given", code);
    return false;
}

bool
qm__cluster_publish_initiator(const char *name, int64_t deadline,
                              GError **error)
{
    const char *argv[] = {"attrd_updater", "--name", ATTRIBUTE_INITIATOR,
                          "--update",      name,     NULL};

    return run(argv, "publish this node's initiator name", deadline, error);
}

static bool
set_permanent(const char *node, bool utilization, const char *name,
              const char *value, int64_t deadline, GError **error)
{
    const char *argv[] = {"crm_attribute",
                          utilization ? "--utilization" : "--lifetime=forever",
                          "--node",
                          node,
                          "--name",
                          name,
                          "--update",
                          value,
                          NULL};

    return run(argv, "write this node's capacity", deadline, error);
}

char *
qm__capacity_value(int64_t cpu, int64_t memory)
{
    return g_strdup_printf("cpu=%" PRIi64 " memory=%" PRIi64, cpu, memory);
}

/* Both or none: one that somebody has set makes both his. */
bool
qm__capacity_is_ours(const char *cpu, const char *memory, const char *ours)
{
    g_autofree char *now = NULL;

    if (cpu == NULL && memory == NULL)
        return true;
    if (cpu == NULL || memory == NULL || ours == NULL)
        return false;
    now = g_strdup_printf("cpu=%s memory=%s", cpu, memory);
    return strcmp(now, ours) == 0;
}

bool
qm__cluster_publish_capacity(const char *node, int64_t cpu, int64_t memory,
                             int64_t deadline, GError **error)
{
    g_autofree char *value = qm__capacity_value(cpu, memory);
    g_autofree char *cpu_text = g_strdup_printf("%" PRIi64, cpu);
    g_autofree char *memory_text = g_strdup_printf("%" PRIi64, memory);
    g_autofree char *text = NULL, *now_cpu = NULL, *now_memory = NULL;
    g_autofree char *ours = NULL;
    g_autoptr(xmlDoc) doc = NULL;
    xmlNode *root, *configured;

    if (!qm__cib_query(deadline, &text, error) ||
        !qm__walk_parse(text, "the cluster's configuration", &doc, error))
        return false;
    root = xmlDocGetRootElement(doc);
    configured = qm__cib_node(root, node);
    if (configured != NULL) {
        now_cpu = qm__cib_value(root, configured, "utilization", "cpu");
        now_memory = qm__cib_value(root, configured, "utilization", "memory");
        ours = qm__cib_value(root, configured, "instance_attributes",
                             ATTRIBUTE_CAPACITY);
    }
    if (!qm__capacity_is_ours(now_cpu, now_memory, ours) ||
        (now_cpu != NULL && g_strcmp0(ours, value) == 0))
        return true;
    return set_permanent(node, true, "cpu", cpu_text, deadline, error) &&
           set_permanent(node, true, "memory", memory_text, deadline, error) &&
           set_permanent(node, false, ATTRIBUTE_CAPACITY, value, deadline,
                         error);
}
