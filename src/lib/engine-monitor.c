/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * monitor: running, surely not running, or an error.  It only looks; where
 * the VM ended by itself it also writes that down, under the VM's lock, or
 * not at all.
 */
#include "config.h"
#include <inttypes.h>
#include "engine.h"

#define SETTLE_TIME (3 * QM_S) /* for an action to get past a contradiction */
#define LOOK_AGAIN  (100 * QM_MS) /* meanwhile */

bool
qm__engine_try_lock(qm_engine *e)
{
    g_autofree char *path = NULL;
    g_autoptr(GError) busy = NULL;

    if (e->lock != NULL)
        return true;
    if (!qm__runtime_prepare(qm__engine_uuid(e), &busy))
        return false;
    path = qm__vm_path(qm__engine_uuid(e), "lock");
    return qm__lock_take(path, e->action, 0, &e->lock, &busy);
}

static bool
check_running(qm_engine *e, qm_vm_state state, bool locked, GError **error)
{
    if (e->record.state != QM_STATE_RUNNING) {
        if (!locked)
            return true; /* a save or restore is under way */
        g_set_error(error, QM_ERROR, QM_ERROR_IO,
                    "VM %s: %s was cut off; it will be settled by a stop or "
                    "start",
                    qm_vault_get_info(e->vault)->name,
                    qm_state_name(e->record.state));
        return false;
    }
    if (state == QM_VM_IO_ERROR) {
        g_autofree char *why =
            qm__disks_trouble(e, qm__engine_call(e, e->t.end));

        g_set_error(error, QM_ERROR, QM_ERROR_IO,
                    "VM %s is paused by an I/O error: %s",
                    qm_vault_get_info(e->vault)->name,
                    why != NULL ? why : "a disk failed");
        return false;
    }
    /* While an action works on the VM its gates may be in any state. */
    return !locked || qm__disks_check(e, e->record.generation,
                                      qm__engine_call(e, e->t.end), error);
}

/* What the record says is not so: write down how it ended. */
static bool
settle(qm_engine *e, GError **error)
{
    qm_decision d;

    return qm__engine_acquire(e, qm__right_own, e->t.work, error) &&
           qm__engine_transition(e, QM_EVENT_PROBE, NULL, e->t.end, &d,
                                 error) &&
           (d.row->action != QM_ACTION_DESTROY ||
            qm__engine_clear(e, e->t.end, error));
}

/* One look.  BUSY: record and domain contradict each other, and that is the
 * business of an action that is under way. */
static bool
look(qm_engine *e, bool *ret_running, GError **error)
{
    bool locked = qm__engine_try_lock(e);
    qm_vm_state state;
    qm_facts facts;
    qm_decision d;

    if (!qm_vault_read_record(e->vault, &e->record, error) ||
        !qm__vm_get_state(e->vm, qm__engine_call(e, e->t.end), &state, error) ||
        !qm__engine_facts(e, &e->record, QM_EVENT_PROBE, &facts, error))
        return false;
    qm_lifecycle_decide(&e->record, QM_EVENT_PROBE, &facts, &d);
    if (d.row->action == QM_ACTION_REFUSE) {
        g_set_error(error, QM_ERROR, QM_ERROR_REFUSED,
                    "VM %s: %s (%s, owner %s)",
                    qm_vault_get_info(e->vault)->name, d.row->why,
                    qm_state_name(e->record.state), e->record.owner.name);
        return false;
    }
    if (facts.owner == QM_OWNER_SELF && state != QM_VM_NONE) {
        *ret_running = true;
        return check_running(e, state, locked, error);
    }
    if (!locked && d.write) {
        g_set_error(error, QM_ERROR, QM_ERROR_BUSY,
                    "VM %s is %s here without a domain, and another action "
                    "works on it",
                    qm_vault_get_info(e->vault)->name,
                    qm_state_name(e->record.state));
        return false;
    }
    if (d.write && !settle(e, error))
        return false;
    if (locked && d.row->action == QM_ACTION_DESTROY &&
        !qm__engine_clear(e, e->t.end, error))
        return false;
    *ret_running = false;
    return true;
}

bool
qm__engine_monitor(qm_engine *e, bool probe, bool *ret_running, GError **error)
{
    int64_t until = qm__deadline_in(SETTLE_TIME);

    if (probe && !qm__cluster_publish_boot(e->cluster,
                                           qm__engine_call(e, e->t.end), error))
        return false;
    for (;;) {
        g_autoptr(GError) why = NULL;

        if (look(e, ret_running, &why))
            return true;
        if (!g_error_matches(why, QM_ERROR, QM_ERROR_BUSY) ||
            qm__passed(MIN(until, e->t.work))) {
            g_propagate_error(error, g_steal_pointer(&why));
            return false;
        }
        g_usleep(LOOK_AGAIN);
    }
}
