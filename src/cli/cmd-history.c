/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * quickmig history: what happened to a VM, or to all, as the nodes wrote it
 * into the vaults at the time.
 */
#include "config.h"
#include "cli.h"
#include "reach.h"

#define AT_ONCE 8 /* vaults read in parallel */

typedef struct {
    const cli_target *target;
    qm_vault_info info;
    GArray *entries; /* qm_history; NULL: not read */
    GError *error;
} past;

/* One entry of somebody's. */
typedef struct {
    const past *of;
    const qm_history *entry;
} event;

static void
past_free(gpointer p)
{
    past *x = p;

    if (x->entries != NULL)
        g_array_unref(x->entries);
    g_clear_error(&x->error);
    g_free(x);
}

static past *
past_new(const cli_target *target)
{
    past *p = g_new0(past, 1);

    p->target = target;
    return p;
}

static void
read_past(gpointer data, gpointer options)
{
    past *p = data;
    g_autoptr(qm_vault) vault = NULL;

    if (!cli_open(options, p->target, 0, &vault, &p->error) ||
        !qm_vault_read_history(vault, &p->entries, &p->error))
        return;
    p->info = *qm_vault_get_info(vault);
}

/* Those that are away cost their time together. */
static void
read_all(const cli_options *o, GPtrArray *pasts)
{
    GThreadPool *pool =
        g_thread_pool_new(read_past, (gpointer) o, AT_ONCE, FALSE, NULL);

    for (guint i = 0; i < pasts->len; i++)
        (void) g_thread_pool_push(pool, pasts->pdata[i], NULL);
    g_thread_pool_free(pool, FALSE, TRUE);
}

/* --- text ---------------------------------------------------------------- */

static gint
by_time(gconstpointer a, gconstpointer b)
{
    const event *x = a, *y = b;

    return (x->entry->time_us > y->entry->time_us) -
           (x->entry->time_us < y->entry->time_us);
}

/* The last @limit (0: all) of all of them, oldest first. */
static GArray *
events(const GPtrArray *pasts, guint limit)
{
    GArray *list = g_array_new(FALSE, FALSE, sizeof(event));

    for (guint i = 0; i < pasts->len; i++) {
        const past *p = pasts->pdata[i];

        for (guint k = 0; p->entries != NULL && k < p->entries->len; k++) {
            event e = {p, &g_array_index(p->entries, qm_history, k)};

            g_array_append_val(list, e);
        }
    }
    if (pasts->len > 1)
        g_array_sort(list, by_time);
    if (limit > 0 && list->len > limit)
        g_array_remove_range(list, 0, list->len - limit);
    return list;
}

static void
print_event(cli_table *t, const event *e, bool with_vm)
{
    const qm_history *h = e->entry;
    const char *node = h->node[0] != '\0' ? h->node : "-";
    g_autofree char *time = cli_local_time(h->time_us);
    g_autofree char *bytes = h->bytes > 0 ? cli_bytes(h->bytes) : g_strdup("-");
    g_autofree char *speed = cli_speed(h->bytes, h->duration_us);
    g_autofree char *took = cli_duration(h->duration_us);
    g_autofree char *pause = cli_duration(h->pause_us);
    g_autofree char *step = g_strdup_printf("%s -> %s", qm_state_name(h->from),
                                            qm_state_name(h->to));

    if (with_vm)
        cli_table_row(t, time, e->of->info.name, node, step, bytes, took, speed,
                      pause, h->cause, NULL);
    else
        cli_table_row(t, time, node, step, bytes, took, speed, pause, h->cause,
                      NULL);
}

#define COLUMNS "NODE|TRANSITION|>BYTES|>TOOK|>SPEED|>PAUSE|CAUSE"

static void
print_text(const GPtrArray *pasts, guint limit, bool with_vm, GString *out)
{
    g_autoptr(GArray) list = events(pasts, limit);
    g_autoptr(cli_table) t =
        cli_table_new(with_vm ? "TIME|VM|" COLUMNS : "TIME|" COLUMNS);

    for (guint i = 0; i < list->len; i++)
        print_event(t, &g_array_index(list, event, i), with_vm);
    cli_table_print(t, out);
}

/* --- JSON ---------------------------------------------------------------- */

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
print_json_past(JsonBuilder *b, const past *p, guint limit)
{
    guint n = p->entries != NULL ? p->entries->len : 0;

    json_builder_begin_object(b);
    if (p->error == NULL) {
        cli_json_string(b, "vm", p->info.name);
        cli_json_uuid(b, "uuid", p->info.uuid);
    }
    cli_json_string(b, "vault", p->target->vault);
    cli_json_error(b, "error", p->error);
    json_builder_set_member_name(b, "entries");
    json_builder_begin_array(b);
    for (guint i = limit > 0 && n > limit ? n - limit : 0; i < n; i++)
        print_json_entry(b, &g_array_index(p->entries, qm_history, i));
    json_builder_end_array(b);
    json_builder_end_object(b);
}

static void
print_json_all(const GPtrArray *pasts, guint limit, GString *out)
{
    g_autoptr(JsonBuilder) b = json_builder_new();

    json_builder_begin_object(b);
    json_builder_set_member_name(b, "vms");
    json_builder_begin_array(b);
    for (guint i = 0; i < pasts->len; i++)
        print_json_past(b, pasts->pdata[i], limit);
    json_builder_end_array(b);
    json_builder_end_object(b);
    cli_json_print(b, out);
}

/* --- both ---------------------------------------------------------------- */

static bool
history_of(const cli_options *o, GString *out, GError **error)
{
    g_autoptr(cli_target) target = NULL;
    g_autoptr(GPtrArray) pasts = g_ptr_array_new_with_free_func(past_free);
    g_autoptr(JsonBuilder) b = json_builder_new();
    past *p;

    if (!cli_find_target(o, o->args[0], &target, error))
        return false;
    p = past_new(target);
    g_ptr_array_add(pasts, p);
    read_past(p, (gpointer) o);
    if (p->error != NULL) {
        g_propagate_error(error, g_steal_pointer(&p->error));
        return false;
    }
    if (!o->json) {
        print_text(pasts, (guint) o->limit, false, out);
        return true;
    }
    print_json_past(b, p, (guint) o->limit);
    cli_json_print(b, out);
    return true;
}

static bool
history_of_all(const cli_options *o, GString *out, GError **error)
{
    g_autoptr(GPtrArray) targets = NULL;
    g_autoptr(GPtrArray) pasts = g_ptr_array_new_with_free_func(past_free);
    unsigned failed = 0;

    if (!cli_all_targets(o, &targets, error))
        return false;
    for (guint i = 0; i < targets->len; i++)
        g_ptr_array_add(pasts, past_new(targets->pdata[i]));
    read_all(o, pasts);
    for (guint i = 0; i < pasts->len; i++) {
        const past *p = pasts->pdata[i];

        if (p->error == NULL)
            continue;
        failed++;
        cli_warn("%s", p->error->message);
    }
    if (o->json)
        print_json_all(pasts, (guint) o->limit, out);
    else
        print_text(pasts, (guint) o->limit, true, out);
    if (failed > 0)
        g_set_error(error, QM_ERROR, QM_ERROR_IO,
                    "%u of %u vaults cannot be read", failed, pasts->len);
    return failed == 0;
}

bool
cli_history(const cli_options *o, GString *out, GError **error)
{
    return o->args[0] != NULL ? history_of(o, out, error)
                              : history_of_all(o, out, error);
}
