/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * migrate_to: save the VM here for another node.  It may be run twice, after
 * its own commit, or after having been killed at any line.
 */
#include "config.h"
#include "engine.h"

/* Is there anything left to do, or has it been done already? */
static bool
is_done(qm_engine *e, bool *ret_done, GError **error)
{
    qm_facts facts;
    qm_decision d;

    if (!qm_vault_read_record(e->vault, &e->record, error) ||
        !qm__engine_facts(e, &e->record, QM_EVENT_MOVE, &facts, error))
        return false;
    qm_lifecycle_decide(&e->record, QM_EVENT_MOVE, &facts, &d);
    *ret_done = d.row->action == QM_ACTION_DESTROY;
    if (d.row->action != QM_ACTION_REFUSE)
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_REFUSED, "VM %s is %s: %s",
                qm_vault_get_info(e->vault)->name,
                qm_state_name(e->record.state), d.row->why);
    return false;
}

/* Refuse before anything is touched. */
static bool
preflight(qm_engine *e, const qm_node *target, GError **error)
{
    const qm_vault_info *info = qm_vault_get_info(e->vault);
    bool member;

    if (!qm__cluster_is_member(e->cluster, target->id, &member, error) ||
        !qm__engine_need_xml(e, error))
        return false;
    if (!member) {
        g_set_error(error, QM_ERROR, QM_ERROR_REFUSED,
                    "target %s is not a member of the cluster", target->name);
        return false;
    }
    if (info->image_capacity < e->dom->memory) {
        g_set_error(error, QM_ERROR, QM_ERROR_NO_SPACE,
                    "vault %s has room for %" G_GUINT64_FORMAT " MiB, the "
                    "VM's memory is %" G_GUINT64_FORMAT " MiB; make the vault "
                    "larger",
                    qm_vault_get_url(e->vault), info->image_capacity >> 20,
                    e->dom->memory >> 20);
        return false;
    }
    return qm__disks_check(e, e->record.generation,
                           qm__engine_call(e, e->t.end), error);
}

static bool
move_locked(qm_engine *e, const char *target, GError **error)
{
    qm_node node;
    bool done;

    if (!is_done(e, &done, error))
        return false;
    if (done)
        return qm__engine_clear(e, e->t.end, error);
    return qm__cluster_node(e->cluster, target, &node, error) &&
           preflight(e, &node, error) &&
           qm__engine_acquire(e, qm__right_own, e->t.work, error) &&
           qm__engine_save(e, &node, e->t.work, error);
}

bool
qm__engine_migrate_to(qm_engine *e, const char *target, GError **error)
{
    if (!qm__engine_lock(e, e->t.work, error) || !qm__engine_mark(e, error) ||
        !move_locked(e, target, error))
        return false;
    qm__engine_done(e);
    qm__local_remove(qm_vault_get_url(e->vault));
    return true;
}
