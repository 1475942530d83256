/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * quickmig capacity: what nodes have, what runs there takes, and which VMs
 * would find no room if a node died.
 */
#include "config.h"
#include <inttypes.h>
#include "capacity.h"
#include "cib-read.h"
#include "cli.h"
#include "protect.h"

#define MIB UINT64_C(1048576)

static char *
number(int64_t value)
{
    return value == QM_CAPACITY_UNKNOWN ? g_strdup("?")
                                        : g_strdup_printf("%" PRIi64, value);
}

static char *
size(int64_t mib)
{
    return mib == QM_CAPACITY_UNKNOWN ? g_strdup("?")
           : mib == 0                 ? g_strdup("0")
                                      : cli_bytes((uint64_t) mib * MIB);
}

static char *
describe(const GPtrArray *stranded)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < stranded->len; i++)
        g_string_append_printf(
            text, "%s%s", i > 0 ? ", " : "no room for ",
            ((const qm_capacity_user *) stranded->pdata[i])->id);
    return text->len > 0 ? g_string_free(g_steal_pointer(&text), FALSE)
                         : g_strdup("all fit");
}

static void
print_text(const qm_capacity *c, const char *strategy, GString *out)
{
    g_autoptr(cli_table) t =
        cli_table_new("NODE|STATE|>CPUS|>USED|>MEMORY|>USED|IF IT DIES");

    for (guint i = 0; i < c->nodes->len; i++) {
        const qm_capacity_node *n = c->nodes->pdata[i];
        g_autoptr(GPtrArray) stranded = qm__capacity_without(c, (int) i);
        g_autofree char *cpu = number(n->cpu), *cpus = number(n->cpu_used);
        g_autofree char *memory = size(n->memory), *used = size(n->memory_used);
        g_autofree char *text = describe(stranded);

        cli_table_row(t, n->name, n->usable ? "usable" : "not usable", cpu,
                      cpus, memory, used, text, NULL);
    }
    cli_table_print(t, out);
    g_string_append_printf(
        out, "placement-strategy is %s: Pacemaker %s\n", strategy,
        g_strcmp0(strategy, "default") == 0 ? "does not count this"
                                            : "counts it");
}

static void
print_node(const qm_capacity *c, guint i, JsonBuilder *b)
{
    const qm_capacity_node *n = c->nodes->pdata[i];
    g_autoptr(GPtrArray) stranded = qm__capacity_without(c, (int) i);

    json_builder_begin_object(b);
    cli_json_string(b, "name", n->name);
    cli_json_bool(b, "usable", n->usable);
    json_builder_set_member_name(b, "cpus");
    if (n->cpu == QM_CAPACITY_UNKNOWN)
        json_builder_add_null_value(b);
    else
        json_builder_add_int_value(b, n->cpu);
    json_builder_set_member_name(b, "memory");
    if (n->memory == QM_CAPACITY_UNKNOWN)
        json_builder_add_null_value(b);
    else
        json_builder_add_int_value(b, n->memory * (int64_t) MIB);
    cli_json_number(b, "cpus_used", (uint64_t) n->cpu_used);
    cli_json_number(b, "memory_used", (uint64_t) n->memory_used * MIB);
    json_builder_set_member_name(b, "without_room");
    json_builder_begin_array(b);
    for (guint k = 0; k < stranded->len; k++)
        json_builder_add_string_value(
            b, ((const qm_capacity_user *) stranded->pdata[k])->id);
    json_builder_end_array(b);
    json_builder_end_object(b);
}

static void
print_json(const qm_capacity *c, const char *strategy, GString *out)
{
    g_autoptr(JsonBuilder) b = json_builder_new();

    json_builder_begin_object(b);
    cli_json_string(b, "placement_strategy", strategy);
    json_builder_set_member_name(b, "nodes");
    json_builder_begin_array(b);
    for (guint i = 0; i < c->nodes->len; i++)
        print_node(c, i, b);
    json_builder_end_array(b);
    json_builder_end_object(b);
    cli_json_print(b, out);
}

static bool
judge(const qm_capacity *c, GError **error)
{
    for (guint i = 0; i < c->nodes->len; i++) {
        const qm_capacity_node *n = c->nodes->pdata[i];
        g_autoptr(GPtrArray) stranded = qm__capacity_without(c, (int) i);

        if (stranded->len == 0)
            continue;
        g_set_error(error, CLI_FINDINGS, CLI_EXIT_WARNINGS,
                    "if %s dies, %u of its VMs find no room", n->name,
                    stranded->len);
        return false;
    }
    return true;
}

bool
cli_capacity(const cli_options *o, GString *out, GError **error)
{
    g_autoptr(xmlDoc) cib = NULL;
    g_autoptr(xmlDoc) monitor = NULL;
    g_autoptr(qm_capacity) c = NULL;
    g_autofree char *strategy = NULL;
    xmlNode *cib_root, *monitor_root;

    if (!cli_cib_read(o, &cib, &cib_root, error) ||
        !cli_monitor_read(o, &monitor, &monitor_root, error))
        return false;
    c = qm__capacity_read(cib_root, monitor_root);
    strategy = qm__cib_property(cib_root, "placement-strategy");
    if (strategy == NULL)
        strategy = g_strdup("default");
    if (o->json)
        print_json(c, strategy, out);
    else
        print_text(c, strategy, out);
    return judge(c, error);
}
