/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * quickmig vault set-cpu: gives a VM a CPU that every node can be, so that it
 * can be moved to each of them.
 */
#include "config.h"
#include <string.h>
#include "cli.h"
#include "cluster-internal.h"
#include "cpu.h"
#include "told.h"
#include "xml-change.h"

typedef struct {
    qm_domxml *dom;
    GPtrArray *cpus;    /* qm_cpu *, in the order of: */
    GPtrArray *nodes;   /* const char *: counted */
    GPtrArray *missing; /* const char *: have told nothing */
    char *cpu_xml;
} baseline;

static void
free_cpu(gpointer p)
{
    qm__cpu_clear(p);
    g_free(p);
}

static void
clear(baseline *b)
{
    qm__domxml_free(b->dom);
    g_ptr_array_unref(b->cpus);
    g_ptr_array_unref(b->nodes);
    g_ptr_array_unref(b->missing);
    g_free(b->cpu_xml);
}

static bool
add_node(baseline *b, const char *node, const char *line, GError **error)
{
    qm_cpu *cpu = g_new0(qm_cpu, 1);

    if (!qm__cpu_parse(line, cpu, error)) {
        g_prefix_error(error, "CPU of node %s: ", node);
        g_free(cpu);
        return false;
    }
    g_ptr_array_add(b->cpus, cpu);
    g_ptr_array_add(b->nodes, (gpointer) node);
    if (strcmp(cpu->type, b->dom->type) == 0)
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_REFUSED,
                "the VM is of type %s, node %s has only domains of type %s",
                b->dom->type, node, cpu->type);
    return false;
}

static char *
names(const GPtrArray *list)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < list->len; i++)
        g_string_append_printf(text, "%s%s", i > 0 ? ", " : "",
                               (const char *) list->pdata[i]);
    return g_string_free(text, FALSE);
}

/* A node that was left out could not have the VM, and nobody would know why. */
static bool
read_nodes(const cli_options *o, const qm_told *told, baseline *b,
           GError **error)
{
    const char *const *all = qm__told_nodes(told);
    g_autofree char *missing = NULL;

    for (guint i = 0; all[i] != NULL; i++) {
        const char *line = qm__told_get(told, all[i], QM_TOLD_CPU, NULL);

        if (line == NULL)
            g_ptr_array_add(b->missing, (gpointer) all[i]);
        else if (!add_node(b, all[i], line, error))
            return false;
    }
    missing = names(b->missing);
    if (b->cpus->len == 0 || (b->missing->len > 0 && !o->force)) {
        g_set_error(error, QM_ERROR, QM_ERROR_REFUSED,
                    "it is not known what CPU %s has: is quickmigd running "
                    "there?%s",
                    missing, b->cpus->len > 0 ? " --force leaves it out" : "");
        return false;
    }
    if (b->missing->len > 0)
        cli_warn("%s left out: it is not known what CPU it has", missing);
    return true;
}

static void
report(const cli_options *o, const qm_vault_info *info, const baseline *b,
       bool changed, GString *out)
{
    g_autofree char *text = qm__cpu_describe(b->cpu_xml);
    g_autofree char *nodes = names(b->nodes);

    if (o->json) {
        g_autoptr(JsonBuilder) j = json_builder_new();

        json_builder_begin_object(j);
        cli_json_string(j, "vm", info->name);
        cli_json_uuid(j, "uuid", info->uuid);
        cli_json_string(j, "cpu", text);
        cli_json_string(j, "xml", b->cpu_xml);
        json_builder_set_member_name(j, "nodes");
        json_builder_begin_array(j);
        for (guint i = 0; i < b->nodes->len; i++)
            json_builder_add_string_value(j, b->nodes->pdata[i]);
        json_builder_end_array(j);
        cli_json_bool(j, "changed", changed);
        json_builder_end_object(j);
        cli_json_print(j, out);
        return;
    }
    g_string_append_printf(out, "CPU of %s: %s, which %s can all be; %s\n",
                           info->name, text, nodes,
                           changed ? "it takes effect at the VM's next cold "
                                     "boot."
                                   : "it had that already.");
}

static bool
set_cpu(const cli_options *o, const cli_target *target, const qm_told *told,
        baseline *b, GString *out, GError **error)
{
    g_autoptr(qm_vault) vault = NULL;
    g_autofree char *old = NULL, *new = NULL;
    qm_record record;
    qm_node self;
    bool changed;

    if (!cli_self(&self, error) ||
        !cli_open(o, target, (uint16_t) self.id, &vault, error) ||
        !qm_vault_read_record(vault, &record, error) ||
        !cli_may_change(&record, &self, error) ||
        !qm_vault_read_xml(vault, &old, error) ||
        !qm__domxml_parse(old, &b->dom, error) ||
        !read_nodes(o, told, b, error) ||
        !qm__cpu_baseline(target->hypervisor, b->cpus, cli_deadline(o),
                          &b->cpu_xml, error) ||
        !qm__cpu_set(old, b->cpu_xml, &new, error))
        return false;
    changed = strcmp(old, new) != 0;
    if (changed && !cli_change_xml(o, vault, old, new, error))
        return false;
    report(o, qm_vault_get_info(vault), b, changed, out);
    return true;
}

bool
cli_vault_set_cpu(const cli_options *o, GString *out, GError **error)
{
    g_autoptr(cli_target) target = NULL;
    g_autoptr(qm_told) told = NULL;
    g_autofree char *cib = NULL;
    baseline b = {.cpus = g_ptr_array_new_with_free_func(free_cpu),
                  .nodes = g_ptr_array_new(),
                  .missing = g_ptr_array_new()};
    bool ok = false;

    if (!o->baseline)
        g_set_error(error, CLI_USAGE, 0,
                    "vault set-cpu: --baseline is missing; see quickmig vault "
                    "set-cpu --help");
    else
        ok = cli_find_target(o, o->args[0], &target, error) &&
             qm__cib_query(cli_deadline(o), &cib, error) &&
             qm__told_parse(cib, &told, error) &&
             set_cpu(o, target, told, &b, out, error);
    clear(&b);
    return ok;
}
