/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * quickmig history: what happened to a VM, as the nodes wrote it into its
 * vault at the time.
 */
#include "config.h"
#include "cli.h"
#include "reach.h"

static void
print_entry(cli_table *t, const qm_history *h)
{
    g_autofree char *time = cli_local_time(h->time_us);
    g_autofree char *bytes = h->bytes > 0 ? cli_bytes(h->bytes) : g_strdup("-");
    g_autofree char *speed = cli_speed(h->bytes, h->duration_us);
    g_autofree char *took = cli_duration(h->duration_us);
    g_autofree char *pause = cli_duration(h->pause_us);
    g_autofree char *step = g_strdup_printf("%s -> %s", qm_state_name(h->from),
                                            qm_state_name(h->to));

    cli_table_row(t, time, h->node[0] != '\0' ? h->node : "-", step, bytes,
                  took, speed, pause, h->cause, NULL);
}

static void
print_text(const GArray *entries, guint first, GString *out)
{
    g_autoptr(cli_table) t =
        cli_table_new("TIME|NODE|TRANSITION|>BYTES|>TOOK|>SPEED|>PAUSE|CAUSE");

    for (guint i = first; i < entries->len; i++)
        print_entry(t, &g_array_index(entries, qm_history, i));
    cli_table_print(t, out);
}

static void
print_json_entry(JsonBuilder *b, const qm_history *h)
{
    json_builder_begin_object(b);
    cli_json_time(b, "time", h->time_us);
    cli_json_number(b, "sequence", h->sequence);
    cli_json_number(b, "generation", h->generation);
    cli_json_string(b, "node", h->node);
    cli_json_number(b, "node_id", h->node_id);
    cli_json_string(b, "from", qm_state_name(h->from));
    cli_json_string(b, "to", qm_state_name(h->to));
    cli_json_number(b, "bytes", h->bytes);
    cli_json_number(b, "duration_us", h->duration_us);
    cli_json_number(b, "pause_us", h->pause_us);
    cli_json_string(b, "cause", h->cause);
    json_builder_end_object(b);
}

static void
print_json(qm_vault *vault, const GArray *entries, guint first, GString *out)
{
    const qm_vault_info *info = qm_vault_get_info(vault);
    g_autoptr(JsonBuilder) b = json_builder_new();

    json_builder_begin_object(b);
    cli_json_string(b, "vm", info->name);
    cli_json_uuid(b, "uuid", info->uuid);
    cli_json_string(b, "vault", qm_vault_get_url(vault));
    json_builder_set_member_name(b, "entries");
    json_builder_begin_array(b);
    for (guint i = first; i < entries->len; i++)
        print_json_entry(b, &g_array_index(entries, qm_history, i));
    json_builder_end_array(b);
    json_builder_end_object(b);
    cli_json_print(b, out);
}

bool
cli_history(const cli_options *o, GString *out, GError **error)
{
    g_autoptr(cli_target) target = NULL;
    g_autoptr(qm_vault) vault = NULL;
    g_autoptr(GArray) entries = NULL;
    guint first = 0;

    if (!cli_find_target(o, o->args[0], &target, error) ||
        !cli_open(o, target, 0, &vault, error) ||
        !qm_vault_read_history(vault, &entries, error))
        return false;
    if (o->limit > 0 && entries->len > (guint) o->limit)
        first = entries->len - (guint) o->limit;
    if (o->json)
        print_json(vault, entries, first, out);
    else
        print_text(entries, first, out);
    return true;
}
