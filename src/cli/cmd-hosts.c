/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * quickmig hosts: the nodes, how well they suit a VM, and why one may not have
 * it.
 */
#include "config.h"
#include <inttypes.h>
#include "cli.h"
#include "outlook.h"
#include "timeouts.h"

#define STARS 5

typedef struct {
    const char *node;
    qm_node_facts *facts; /* NULL: it told nothing */
    qm_rating rating;
    const char *obstacle; /* NULL: none */
    bool here, online;
    uint64_t pause_us; /* of a move there, expected; 0: none was asked for */
} host;

static void
look_at(const cli_outlook *l, const char *node, host *h)
{
    *h = (host){.node = node,
                .facts = cli_outlook_facts(l, node),
                .obstacle = cli_outlook_obstacle(l, node),
                .here = g_strcmp0(l->where, node) == 0,
                .online = qm__told_is_online(l->told, node)};
    if (h->facts != NULL)
        cli_outlook_rate(l, node, h->facts, &h->rating);
    if (l->target != NULL && !h->here && h->obstacle == NULL) {
        cli_forecast f;

        cli_outlook_forecast(l, node, &f);
        h->pause_us = f.pause_us;
    }
}

/* --- text ---------------------------------------------------------------- */

static char *
stars(const host *h)
{
    GString *text = g_string_new(NULL);

    for (unsigned i = 0; i < STARS; i++)
        g_string_append_c(text, i < h->rating.stars ? '*' : '.');
    return g_string_free(text, FALSE);
}

static char *
part(const host *h, unsigned which)
{
    return h->facts != NULL ? g_strdup_printf("%u", h->rating.parts[which])
                            : g_strdup("-");
}

static const char *
verdict(const host *h)
{
    if (h->obstacle != NULL)
        return h->obstacle;
    if (h->here)
        return "runs here";
    return h->facts != NULL ? "yes" : "not known: is quickmigd running there?";
}

static void
print_host(cli_table *t, const host *h)
{
    g_autofree char *cpu = part(h, QM_PART_CPU);
    g_autofree char *memory = part(h, QM_PART_MEMORY);
    g_autofree char *disk = part(h, QM_PART_DISK);
    g_autofree char *network = part(h, QM_PART_NETWORK);
    g_autofree char *shown = stars(h);
    g_autofree char *all =
        h->facts != NULL ? g_strdup_printf("%u", h->rating.all) : g_strdup("-");
    g_autofree char *free_memory = h->facts != NULL
                                       ? cli_bytes(h->facts->memory_free << 20)
                                       : g_strdup("-");
    g_autofree char *pause =
        h->pause_us > 0 ? cli_duration(h->pause_us) : g_strdup("-");

    cli_table_row(t, h->node, shown, all, cpu, memory, disk, network,
                  free_memory, pause, verdict(h), NULL);
}

static void
print_text(const GArray *hosts, GString *out)
{
    g_autoptr(cli_table) t = cli_table_new(
        "NODE|STARS|>RATING|>CPU|>MEMORY|>DISK|>NETWORK|>FREE|>PAUSE|MAY RUN");

    for (guint i = 0; i < hosts->len; i++)
        print_host(t, &g_array_index(hosts, host, i));
    cli_table_print(t, out);
}

/* --- JSON ---------------------------------------------------------------- */

static void
print_parts(JsonBuilder *b, const host *h)
{
    cli_json_number(b, "rating", h->rating.all);
    cli_json_number(b, "stars", h->rating.stars);
    json_builder_set_member_name(b, "parts");
    json_builder_begin_object(b);
    for (unsigned i = 0; i < QM_PARTS; i++)
        cli_json_number(b, qm__part_name(i), h->rating.parts[i]);
    json_builder_end_object(b);
    cli_json_string(b, "cpu_vendor", h->facts->cpu_vendor);
    cli_json_string(b, "cpu_model", h->facts->cpu_model);
    cli_json_number(b, "cpus", h->facts->cpus);
    cli_json_number(b, "load_percent", h->facts->load);
    cli_json_number(b, "memory_mib", h->facts->memory);
    cli_json_number(b, "memory_free_mib", h->facts->memory_free);
    cli_json_number(b, "storage_us", h->facts->storage_us);
    cli_json_number(b, "storage_mb_per_s", h->facts->storage_mbs);
    cli_json_number(b, "link_mb_per_s", h->facts->link_mbs);
    cli_json_number(b, "network_mb_per_s", h->facts->net_mbs);
    cli_json_number(b, "libvirt", h->facts->libvirt);
    cli_json_number(b, "qemu", h->facts->qemu);
}

static void
print_json(const cli_outlook *l, const GArray *hosts, GString *out)
{
    g_autoptr(JsonBuilder) b = json_builder_new();

    json_builder_begin_object(b);
    if (l->target != NULL) {
        cli_json_string(b, "vm", l->info.name);
        cli_json_number(b, "last_pause_us", l->pause_us);
    }
    json_builder_set_member_name(b, "hosts");
    json_builder_begin_array(b);
    for (guint i = 0; i < hosts->len; i++) {
        const host *h = &g_array_index(hosts, host, i);

        json_builder_begin_object(b);
        cli_json_string(b, "node", h->node);
        cli_json_bool(b, "online", h->online);
        cli_json_bool(b, "here", h->here);
        cli_json_bool(b, "eligible", h->obstacle == NULL);
        cli_json_string(b, "reason", h->obstacle);
        cli_json_number(b, "expected_pause_us", h->pause_us);
        cli_json_bool(b, "known", h->facts != NULL);
        if (h->facts != NULL)
            print_parts(b, h);
        json_builder_end_object(b);
    }
    json_builder_end_array(b);
    json_builder_end_object(b);
    cli_json_print(b, out);
}

static gint
best_first(gconstpointer a, gconstpointer b)
{
    const host *x = a, *y = b;

    if ((x->obstacle == NULL) != (y->obstacle == NULL))
        return x->obstacle != NULL ? 1 : -1;
    return (x->rating.all < y->rating.all) - (x->rating.all > y->rating.all);
}

bool
cli_hosts(const cli_options *o, GString *out, GError **error)
{
    g_autoptr(GArray) hosts = g_array_new(FALSE, FALSE, sizeof(host));
    cli_outlook l;
    bool ok = cli_outlook_read(o, o->args[0], &l, error);

    if (ok) {
        const char *const *nodes = qm__told_nodes(l.told);

        for (guint i = 0; nodes[i] != NULL; i++) {
            host h;

            look_at(&l, nodes[i], &h);
            g_array_append_val(hosts, h);
        }
        g_array_sort(hosts, best_first);
        if (o->json)
            print_json(&l, hosts, out);
        else
            print_text(hosts, out);
    }
    for (guint i = 0; i < hosts->len; i++)
        qm__facts_free(g_array_index(hosts, host, i).facts);
    cli_outlook_clear(&l);
    return ok;
}
