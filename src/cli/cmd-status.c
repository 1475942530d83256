/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * quickmig status: one line a VM, from its vault; nothing is asked of the
 * node that owns it.
 */
#include "config.h"
#include <string.h>
#include "cli.h"
#include "reach.h"

static bool
add_target(const cli_options *o, const char *what, GPtrArray *looks,
           GError **error)
{
    cli_target *target;

    if (!cli_find_target(o, what, &target, error))
        return false;
    g_ptr_array_add(looks, cli_look_new(target));
    return true;
}

static bool
add_all(const cli_options *o, GPtrArray *looks, GError **error)
{
    g_autoptr(GPtrArray) targets = NULL;

    if (!cli_all_targets(o, &targets, error)) {
        g_prefix_error(error, "no vault was named, and: ");
        return false;
    }
    while (targets->len > 0)
        g_ptr_array_add(looks,
                        cli_look_new(g_ptr_array_steal_index(targets, 0)));
    return true;
}

static bool
choose(const cli_options *o, GPtrArray *looks, GError **error)
{
    if (o->vault != NULL && !cli_is_address(o->vault)) {
        g_set_error(error, CLI_USAGE, 0,
                    "status: --vault takes an address, not \"%s\"", o->vault);
        return false;
    }
    if (o->vault != NULL && !add_target(o, o->vault, looks, error))
        return false;
    for (char **arg = o->args; *arg != NULL; arg++)
        if (!add_target(o, *arg, looks, error))
            return false;
    if (o->vault == NULL && o->args[0] == NULL)
        return add_all(o, looks, error);
    return true;
}

/* "vda open, vdb none, 1 without" */
static char *
describe_gates(const cli_look *look)
{
    g_autoptr(GString) text = g_string_new(NULL);
    bool any = false;

    for (guint i = 0; i < look->gates->len; i++) {
        const cli_gate *gate = look->gates->pdata[i];

        any = any || gate->runs;
        g_string_append_printf(
            text, "%s%s %s%s", text->len > 0 ? ", " : "", gate->disk,
            gate->runs ? qm__gate_state_name(gate->status.state) : "none",
            gate->runs && gate->status.unfenced ? " UNFENCED" : "");
    }
    if (!any)
        g_string_truncate(text, 0);
    if (look->ungated_disks > 0)
        g_string_append_printf(text, "%s%u without", any ? ", " : "",
                               look->ungated_disks);
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static const char *
or_dash(const char *text)
{
    return text != NULL && text[0] != '\0' ? text : "-";
}

static void
print_row(cli_table *t, const cli_look *look)
{
    const qm_record *r = &look->record;
    const cli_target *target = look->target;
    g_autofree char *image = NULL, *generation = NULL, *failed = NULL;
    g_autofree char *since = NULL, *gates = NULL;

    if (look->error != NULL) {
        cli_table_row(t, "?", or_dash(target->resource), "ERROR", "-", "-", "-",
                      "-", "-", "-", "-", or_dash(target->vault),
                      look->error->message, NULL);
        return;
    }
    image = r->image_length > 0 ? cli_bytes(r->image_length) : g_strdup("-");
    generation = g_strdup_printf("%" G_GUINT64_FORMAT, r->generation);
    failed = g_strdup_printf("%u", r->failed_restores);
    since = cli_local_time(r->time_us);
    gates = describe_gates(look);
    cli_table_row(
        t, look->info.name, or_dash(target->resource), qm_state_name(r->state),
        cli_has_owner(r) ? r->owner.name : "-",
        r->target.id != 0 ? r->target.name : "-", generation, image, failed,
        since, or_dash(gates), target->vault, or_dash(r->cause), NULL);
}

static void
print_text(const GPtrArray *looks, GString *out)
{
    g_autoptr(cli_table) t =
        cli_table_new("VM|RESOURCE|STATE|OWNER|TARGET|>GEN|>IMAGE|>FAILED|"
                      "SINCE|GATES HERE|VAULT|CAUSE");

    for (guint i = 0; i < looks->len; i++)
        print_row(t, looks->pdata[i]);
    if (looks->len > 0)
        cli_table_print(t, out);
}

static void
print_gates(JsonBuilder *b, const cli_look *look)
{
    json_builder_set_member_name(b, "gates");
    json_builder_begin_array(b);
    for (guint i = 0; i < look->gates->len; i++) {
        const cli_gate *gate = look->gates->pdata[i];
        const qm_gate_status *s = &gate->status;

        json_builder_begin_object(b);
        cli_json_string(b, "disk", gate->disk);
        cli_json_string(b, "state",
                        gate->runs ? qm__gate_state_name(s->state) : NULL);
        cli_json_number(b, "pid", gate->runs ? (uint64_t) s->pid : 0);
        cli_json_number(b, "client_pid",
                        gate->runs ? (uint64_t) s->client_pid : 0);
        cli_json_bool(b, "unfenced", gate->runs && s->unfenced);
        cli_json_number(b, "reconnects", s->reconnects);
        cli_json_number(b, "read_bytes", s->read_bytes);
        cli_json_number(b, "written_bytes", s->written_bytes);
        cli_json_string(b, "reason", s->reason[0] != '\0' ? s->reason : NULL);
        json_builder_end_object(b);
    }
    json_builder_end_array(b);
}

static void
print_look(JsonBuilder *b, const cli_look *look)
{
    json_builder_begin_object(b);
    cli_json_string(b, "resource", look->target->resource);
    cli_json_string(b, "vault", look->target->vault);
    cli_json_bool(b, "allow_unfenced", look->target->unfenced);
    cli_json_error(b, "error", look->error);
    if (look->error == NULL) {
        cli_json_string(b, "vm", look->info.name);
        cli_json_uuid(b, "uuid", look->info.uuid);
        cli_json_record(b, &look->record);
        cli_json_number(b, "image_capacity", look->info.image_capacity);
        print_gates(b, look);
        cli_json_number(b, "ungated_disks", look->ungated_disks);
    }
    json_builder_end_object(b);
}

static void
print_json(const GPtrArray *looks, GString *out)
{
    g_autoptr(JsonBuilder) b = json_builder_new();

    json_builder_begin_object(b);
    json_builder_set_member_name(b, "vms");
    json_builder_begin_array(b);
    for (guint i = 0; i < looks->len; i++)
        print_look(b, looks->pdata[i]);
    json_builder_end_array(b);
    json_builder_end_object(b);
    cli_json_print(b, out);
}

static bool
judge(const GPtrArray *looks, GError **error)
{
    unsigned failed = 0;

    for (guint i = 0; i < looks->len; i++)
        failed += ((const cli_look *) looks->pdata[i])->error != NULL;
    if (failed == 0)
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_IO, "%u of %u vaults cannot be read",
                failed, looks->len);
    return false;
}

bool
cli_status(const cli_options *o, GString *out, GError **error)
{
    g_autoptr(GPtrArray) looks =
        g_ptr_array_new_with_free_func((GDestroyNotify) cli_look_free);

    if (!choose(o, looks, error))
        return false;
    cli_look_all(o, looks);
    if (o->json)
        print_json(looks, out);
    else
        print_text(looks, out);
    for (guint i = 0; i < looks->len; i++) {
        const cli_target *t = ((const cli_look *) looks->pdata[i])->target;

        if (t->unfenced)
            cli_warn("%s: UNFENCED disks are allowed (allow_unfenced=true): "
                     "where its target knows no reservations, a node that is "
                     "taken for dead and is not can still write to them",
                     or_dash(t->resource));
    }
    return judge(looks, error);
}
