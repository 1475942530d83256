/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * start and migrate_from: run the VM here, by restore or by cold boot.  The
 * interlock stands first: what another node owns is left alone unless that
 * node surely is gone.
 */
#include "config.h"
#include <string.h>
#include "crash.h"
#include "engine.h"

#define MAX_ROUNDS 8

/* The right of a starter, asked with the record as it is. */
static bool
right_to_start(const qm_record *record, void *engine, GError **error)
{
    qm_engine *e = engine;
    g_autofree char *why = NULL;
    bool gone, quorate;

    if (qm_lifecycle_owner(record, qm__cluster_self(e->cluster), false) !=
        QM_OWNER_ALIVE)
        return true;
    if (!qm__engine_owner_gone(e, record, false, &gone, &why, error) ||
        !qm__cluster_quorate(e->cluster, &quorate, error))
        return false;
    if (gone && quorate)
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_REFUSED,
                "VM %s is %s on %s, which is not surely gone (%s)",
                qm_vault_get_info(e->vault)->name, qm_state_name(record->state),
                record->owner.name,
                gone ? "this partition has no quorum" : why);
    return false;
}

/* Fencing can finish before corosync drops the node: wait before refusing. */
static bool
wait_for_owner(qm_engine *e, GError **error)
{
    g_autofree char *why = NULL;
    bool gone;

    if (qm_lifecycle_owner(&e->record, qm__cluster_self(e->cluster), false) !=
        QM_OWNER_ALIVE)
        return true;
    if (!qm__engine_owner_gone(e, &e->record, true, &gone, &why, error))
        return false;
    qm__engine_report(e, "interlock", "owner %s: %s: %s", e->record.owner.name,
                      gone ? "gone" : "not surely gone", why);
    return true; /* right_to_start() decides */
}

/* RUNNING here, domain running, gates open, waiting to be, or to be started
 * anew: done. */
static bool
is_running_here(qm_engine *e, bool *ret_running, GError **error)
{
    qm_vm_state state;

    *ret_running = false;
    if (e->record.state != QM_STATE_RUNNING ||
        qm_lifecycle_owner(&e->record, qm__cluster_self(e->cluster), false) !=
            QM_OWNER_SELF)
        return true;
    if (!qm__vm_get_state(e->vm, qm__engine_call(e, e->t.end), &state, error))
        return false;
    if (state != QM_VM_RUNNING)
        return true;
    if (!qm__disks_mend(e, qm__engine_call(e, e->t.end), error))
        return false;
    *ret_running = true;
    return true;
}

bool
qm__engine_note(qm_engine *e, uint64_t generation, GError **error)
{
    qm_local note = {.generation = generation};
    guint n = e->dom->disks->len;
    bool ok;

    memcpy(note.uuid, qm__engine_uuid(e), QM_UUID_LEN);
    g_strlcpy(note.name, qm_vault_get_info(e->vault)->name, sizeof note.name);
    note.resource = g_strdup(e->resource);
    note.image_secret = g_strdup(e->params.image_secret);
    note.disks = g_new0(char *, n + 1);
    for (guint i = 0; i < n; i++) {
        const qm_disk *disk = g_ptr_array_index(e->dom->disks, i);

        note.disks[i] = g_strdup(disk->target);
    }
    ok = qm__local_write(qm_vault_get_url(e->vault), &note, error);
    qm__local_clear(&note);
    QM_CRASH_POINT(generation == 0 ? "noted-begin" : "noted");
    return ok;
}

static bool
resume_here(qm_engine *e, GError **error)
{
    return qm__disks_mend(e, qm__engine_call(e, e->t.end), error) &&
           qm__vm_resume(e->vm, qm__engine_call(e, e->t.end), error);
}

/* A restore that failed through the image itself will fail everywhere: the
 * policy decides at once.  Any other failure is counted, and left to another
 * node while there are attempts. */
static bool
restore_failed(qm_engine *e, uint64_t image_id, bool bad_image, GError *why,
               GError **error)
{
    g_autofree char *cause = g_strdup_printf("restore: %s", why->message);
    qm_figures figures = {.cause = cause, .image_id = image_id};
    g_autoptr(GError) also = NULL;
    qm_decision d;

    qm__engine_report(e, "restore", "failed: %s", why->message);
    if (!bad_image) {
        g_propagate_error(error, why);
        return false;
    }
    do {
        if (!qm__engine_transition(e, QM_EVENT_RESTORE_FAILED, &figures,
                                   e->t.end, &d, &also)) {
            g_propagate_prefixed_error(error, why, "(also: %s) ",
                                       also->message);
            return false;
        }
    } while (g_error_matches(why, QM_ERROR, QM_ERROR_CORRUPT) &&
             e->record.failed_restores < e->params.restore_attempts);
    if (e->record.failed_restores < e->params.restore_attempts) {
        g_propagate_prefixed_error(
            error, why,
            "restore failed, attempt %u of %u: ", e->record.failed_restores,
            e->params.restore_attempts);
        return false;
    }
    g_error_free(why);
    return true; /* decide again: boot or refuse */
}

/* Does what the table says.  @ret_settled: false: decide again. */
static bool
carry_out(qm_engine *e, const qm_decision *d, bool *ret_settled, GError **error)
{
    uint64_t image_id = e->record.image_id;
    GError *why = NULL;
    bool bad_image = false;

    *ret_settled = true;
    if (e->early != NULL && d->row->action != QM_ACTION_COLD_BOOT) {
        *ret_settled = false; /* it is in the way; then decide again */
        return qm__early_drop(e, error);
    }
    switch (d->row->action) {
    case QM_ACTION_COLD_BOOT:
        return qm__engine_note(e, e->record.generation, error) &&
               qm__engine_boot(e, error);
    case QM_ACTION_RESTORE:
        if (qm__engine_restore(e, &bad_image, &why))
            return qm__engine_note(e, e->record.generation, error);
        *ret_settled = false;
        return restore_failed(e, image_id, bad_image, why, error);
    case QM_ACTION_RESUME:
        return resume_here(e, error);
    case QM_ACTION_OPEN_GATES:
        return qm__disks_mend(e, qm__engine_call(e, e->t.end), error);
    default:
        *ret_settled = false;
        return true;
    }
}

/* What has to be sound before the record says that the VM is ours. */
static bool
prepare(qm_engine *e, bool boot, GError **error)
{
    qm__room_keep(qm__engine_uuid(e));
    /* Leftovers go before the record says that this node boots it. */
    if (!(boot && qm__early_usable(e)) &&
        (!qm__early_drop(e, error) || !qm__engine_clear(e, e->t.end, error) ||
         !qm__engine_need_xml(e, error) || !qm__engine_note(e, 0, error) ||
         !qm__disks_standby(e, qm__engine_call(e, e->t.end), error)))
        return false;
    if (!qm__disks_check_identity(e, qm__engine_call(e, e->t.end), error))
        return false;
    qm__disks_note_identity(e);
    return true;
}

static bool
run_here(qm_engine *e, GError **error)
{
    for (int i = 0; i < MAX_ROUNDS; i++) {
        qm_decision d;
        qm_facts facts;
        bool settled;

        if (!qm__engine_facts(e, &e->record, QM_EVENT_START, &facts, error))
            return false;
        qm_lifecycle_decide(&e->record, QM_EVENT_START, &facts, &d);
        if ((d.row->action == QM_ACTION_COLD_BOOT ||
             d.row->action == QM_ACTION_RESTORE) &&
            !prepare(e, d.row->action == QM_ACTION_COLD_BOOT, error))
            return false;
        if (!qm__engine_transition(e, QM_EVENT_START, NULL, e->t.end, &d,
                                   error) ||
            !carry_out(e, &d, &settled, error))
            return false;
        if (settled)
            return true;
    }
    g_set_error(error, QM_ERROR, QM_ERROR_INTERNAL,
                "VM %s: no end of deciding what to do",
                qm_vault_get_info(e->vault)->name);
    return false;
}

/* The reason for failing counts; of what is left behind, stop takes care.
 * @untouched: nothing was written. */
static bool
give_up(qm_engine *e, bool untouched)
{
    g_autoptr(GError) why = NULL;
    bool begun = e->early != NULL;

    if (!qm__early_drop(e, &why))
        qm__engine_report(e, "start", "leftover: %s", why->message);
    else if (begun && untouched)
        qm__local_remove(qm_vault_get_url(e->vault));
    return false;
}

static bool
start_locked(qm_engine *e, GError **error)
{
    bool running;

    if (!qm_vault_read_record(e->vault, &e->record, error) ||
        !is_running_here(e, &running, error))
        return false;
    if (running)
        return true;
    qm__early_begin(e);
    qm__engine_need_fencing(e);
    if (!wait_for_owner(e, error) ||
        !qm__engine_acquire(e, right_to_start, e->t.work, error))
        return give_up(e, true);
    return run_here(e, error) || give_up(e, false);
}

bool
qm__engine_start(qm_engine *e, GError **error)
{
    if (!qm__engine_lock(e, QM_WORKER_REAP, e->t.work, error) ||
        !qm__engine_mark(e, error) || !start_locked(e, error))
        return false;
    qm__engine_done(e);
    return true;
}

bool
qm__engine_migrate_from(qm_engine *e, GError **error)
{
    qm_owner owner;

    if (!qm__engine_lock(e, QM_WORKER_WAIT, e->t.work, error) ||
        !qm__engine_mark(e, error) ||
        !qm_vault_read_record(e->vault, &e->record, error))
        return false;
    owner = qm_lifecycle_owner(&e->record, qm__cluster_self(e->cluster), false);
    if (e->record.state != QM_STATE_SAVED && owner != QM_OWNER_SELF) {
        g_set_error(error, QM_ERROR, QM_ERROR_REFUSED,
                    "VM %s is %s, owner %s: it was not saved for this node",
                    qm_vault_get_info(e->vault)->name,
                    qm_state_name(e->record.state), e->record.owner.name);
        return false;
    }
    if (!start_locked(e, error))
        return false;
    qm__engine_done(e);
    return true;
}
