/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Looks at many vaults at once.  A vault that cannot be read is a result like
 * any other: it hides nothing of the others.
 */
#include "config.h"
#include "timeouts.h"
#include "reach.h"

#define AT_ONCE   8          /* vaults read in parallel */
#define GATE_WAIT (1 * QM_S) /* for a gate's answer */

static void
free_gate(gpointer p)
{
    cli_gate *gate = p;

    g_free(gate->disk);
    g_free(gate);
}

cli_look *
cli_look_new(cli_target *target)
{
    cli_look *look = g_new0(cli_look, 1);

    look->target = target;
    look->gates = g_ptr_array_new_with_free_func(free_gate);
    return look;
}

void
cli_look_free(cli_look *look)
{
    if (look == NULL)
        return;
    cli_target_free(look->target);
    g_ptr_array_unref(look->gates);
    qm__domxml_free(look->dom);
    g_clear_error(&look->error);
    g_free(look);
}

static void
look_at_gates(cli_look *look, const qm_domxml *dom)
{
    look->ungated_disks = dom->n_disks - MIN(dom->n_disks, dom->disks->len);
    for (guint i = 0; i < dom->disks->len; i++) {
        const qm_disk *disk = dom->disks->pdata[i];
        cli_gate *gate = g_new0(cli_gate, 1);

        gate->disk = g_strdup(disk->target);
        gate->runs = qm__gate_get_status(look->info.uuid, disk->target,
                                         qm__deadline_in(GATE_WAIT),
                                         &gate->status, NULL);
        g_ptr_array_add(look->gates, gate);
    }
}

static bool
look_at(const cli_options *o, cli_look *look, GError **error)
{
    g_autoptr(qm_vault) vault = NULL;
    g_autofree char *xml = NULL;

    if (!cli_open(o, look->target, 0, &vault, error) ||
        !qm_vault_read_record(vault, &look->record, error) ||
        !qm_vault_read_xml(vault, &xml, error) ||
        !qm__domxml_parse(xml, &look->dom, error))
        return false;
    look->info = *qm_vault_get_info(vault);
    look_at_gates(look, look->dom);
    return true;
}

static void
work(gpointer data, gpointer user_data)
{
    cli_look *look = data;

    (void) look_at(user_data, look, &look->error);
}

void
cli_look_all(const cli_options *o, GPtrArray *looks)
{
    GThreadPool *pool;

    if (looks->len == 1) {
        work(looks->pdata[0], (gpointer) o);
        return;
    }
    pool = g_thread_pool_new(work, (gpointer) o, AT_ONCE, FALSE, NULL);
    for (guint i = 0; i < looks->len; i++)
        (void) g_thread_pool_push(pool, looks->pdata[i], NULL);
    g_thread_pool_free(pool, FALSE, TRUE);
}
