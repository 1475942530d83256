/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * What can be said and done of a VM while its vault is away.  The node's own
 * note of what it started stands in for the record: no note, never started
 * here in this boot.
 */
#include "config.h"
#include <inttypes.h>
#include "engine.h"

bool
qm__engine_started_here(qm_engine *e)
{
    qm_local note;
    g_autoptr(GError) why = NULL;

    if (!qm__local_read(e->params.vault, &note, &why))
        return !g_error_matches(why, QM_ERROR, QM_ERROR_NOT_FOUND);
    qm__local_clear(&note);
    return true;
}

/* The engine's open may have ended anywhere. */
static bool
connect_blind(qm_engine *e, const qm_local *note, GError **error)
{
    int64_t deadline = qm__engine_call(e, e->t.end);

    g_clear_pointer(&e->vm, qm__vm_close);
    return (e->cluster != NULL ||
            qm__cluster_open(deadline, &e->cluster, error)) &&
           qm__vm_open(e->params.hypervisor, note->uuid, deadline, &e->vm,
                       error);
}

bool
qm__engine_ended_here(qm_engine *e)
{
    g_autoptr(GError) ignored = NULL;
    qm_vm_state state;
    qm_local note;
    bool ended;

    if (!qm__local_read(e->params.vault, &note, &ignored))
        return false;
    ended = connect_blind(e, &note, &ignored) &&
            qm__vm_get_state(e->vm, qm__engine_call(e, e->t.end), &state,
                             &ignored) &&
            state == QM_VM_NONE;
    qm__local_clear(&note);
    return ended;
}

/* The guest's memory is lost; its file systems need not be. */
static void
ask_guest(qm_engine *e)
{
    int64_t limit = MIN(e->t.fallback,
                        qm__deadline_in(e->params.shutdown_timeout_s * QM_S));
    g_autoptr(GError) why = NULL;
    qm_vm_state state;

    if (e->params.stop_action == QM_STOP_POWEROFF)
        return;
    if (!qm__vm_get_state(e->vm, qm__engine_call(e, limit), &state, &why) ||
        (state == QM_VM_RUNNING && !qm__vm_shutdown(e->vm, limit, &why)))
        qm__engine_report(e, "stop", "the guest did not shut down (%s)",
                          why->message);
}

static bool
end_blind(qm_engine *e, const qm_local *note, GError **error)
{
    ask_guest(e);
    if (!qm__engine_destroy(e, note->uuid, e->t.end, error))
        return false;
    for (char **disk = note->disks; disk != NULL && *disk != NULL; disk++)
        if (!qm__gate_stop(note->uuid, *disk, qm__engine_call(e, e->t.end),
                           error))
            return false;
    return true;
}

static bool
stop_noted(qm_engine *e, const qm_local *note, GError **error)
{
    g_autofree char *path = qm__vm_path(note->uuid, "lock");

    if (!qm__runtime_prepare(note->uuid, error) ||
        (e->lock == NULL &&
         !qm__lock_take(path, e->action, e->t.fallback, &e->lock, error)) ||
        !connect_blind(e, note, error) || !end_blind(e, note, error))
        return false;
    if (note->generation == 0) {
        g_set_error(error, QM_ERROR, QM_ERROR_IO,
                    "VM %s does not run here, but a start was cut off and "
                    "its vault cannot be asked how far it got",
                    note->name);
        return false;
    }
    if (!qm__cluster_publish_released(e->cluster, note->uuid, note->generation,
                                      qm__engine_call(e, e->t.end), error))
        return false;
    qm__engine_report(e, "stop",
                      "ended without the vault; released "
                      "generation %" PRIu64,
                      note->generation);
    qm__local_remove(e->params.vault);
    return true;
}

bool
qm__engine_stop_blind(qm_engine *e, GError **error)
{
    qm_local note;
    g_autoptr(GError) why = NULL;
    bool ok;

    if (!qm__local_read(e->params.vault, &note, &why)) {
        if (g_error_matches(why, QM_ERROR, QM_ERROR_NOT_FOUND))
            return true;
        g_propagate_error(error, g_steal_pointer(&why));
        return false;
    }
    ok = stop_noted(e, &note, error);
    qm__local_clear(&note);
    return ok;
}

static bool
gate_vouches(qm_engine *e, const qm_local *note, const char *disk,
             GError **error)
{
    qm_gate_status s;

    if (!qm__gate_get_status(note->uuid, disk, qm__engine_call(e, e->t.end), &s,
                             error))
        return false;
    if (s.generation == note->generation &&
        (s.state == QM_GATE_OPEN || s.state == QM_GATE_RECONNECTING))
        return true;
    if (s.generation == 0 && s.state == QM_GATE_STANDBY)
        return true; /* of a read-only disk, which is never taken */
    g_set_error(error, QM_ERROR, QM_ERROR_IO, "disk %s: its gate is %s", disk,
                qm__gate_state_name(s.state));
    return false;
}

static bool
vouch(qm_engine *e, const qm_local *note, GError **error)
{
    qm_vm_state state;

    if (!connect_blind(e, note, error) ||
        !qm__vm_get_state(e->vm, qm__engine_call(e, e->t.end), &state, error))
        return false;
    for (char **disk = note->disks; disk != NULL && *disk != NULL; disk++)
        if (!gate_vouches(e, note, *disk, error))
            return false;
    return state == QM_VM_RUNNING && note->generation != 0;
}

bool
qm__engine_vouched(qm_engine *e, GError **error)
{
    qm_local note;
    bool ok;

    if (!qm__local_read(e->params.vault, &note, error))
        return false;
    ok = vouch(e, &note, error);
    qm__local_clear(&note);
    return ok;
}
