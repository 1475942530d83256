/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * stop: afterwards nothing of the VM runs here, and the record does not say
 * so either.  A stop that fails gets the node fenced, so it falls back from
 * save to shutdown to destroy within its time; it fails only where it cannot
 * tell.
 */
#include "config.h"
#include <inttypes.h>
#include <string.h>
#include "crash.h"
#include "engine.h"
#include "health.h"
#include "reservation.h"

#define PATIENCE (2 * QM_S) /* with libvirt's destroying */

/* libvirt waits 10 s for a QEMU that does not end by itself (it hangs, or its
 * disks do), and a call that hangs blocks its connection: so not for longer
 * than PATIENCE, then the process is killed and libvirt asked anew. */
bool
qm__engine_destroy(qm_engine *e, const uint8_t *uuid, int64_t deadline,
                   GError **error)
{
    g_autoptr(GError) why = NULL;

    if (qm__vm_destroy(e->vm, MIN(deadline, qm__deadline_in(PATIENCE)), &why))
        return true;
    if (!g_error_matches(why, QM_ERROR, QM_ERROR_TIMEOUT) ||
        qm__passed(deadline)) {
        g_propagate_error(error, g_steal_pointer(&why));
        return false;
    }
    if (qm__vm_kill(uuid) > 0)
        qm__engine_report(e, "destroy", "%s: QEMU killed", why->message);
    return qm__engine_reconnect(e, uuid, error) &&
           qm__vm_destroy(e->vm, qm__engine_call(e, deadline), error);
}

bool
qm__engine_clear(qm_engine *e, int64_t deadline, GError **error)
{
    if (!qm__engine_destroy(e, qm__engine_uuid(e), deadline, error))
        return false;
    QM_CRASH_POINT("destroyed");
    qm__disks_stop(e, qm__engine_call(e, deadline));
    QM_CRASH_POINT("gates-ended");
    return true;
}

/* Off, disks flushed, and written so. */
static bool
power_off(qm_engine *e, const char *cause, GError **error)
{
    qm_figures figures = {.cause = cause};
    g_autoptr(GError) why = NULL;
    qm_decision d;

    /* What the guest flushed is durable already; this is for the rest. */
    if (qm__engine_need_xml(e, &why) &&
        !qm__disks_drain(e, qm__engine_call(e, e->t.end), &why))
        qm__engine_report(e, "stop", "disks not flushed: %s", why->message);
    if (!qm__engine_transition(e, QM_EVENT_POWERED_OFF, &figures,
                               qm__engine_half(e), &d, error))
        return false;
    qm__disks_stop(e, qm__engine_call(e, e->t.end));
    return true;
}

/* A guest that a save left paused could not hear the request, and one whose
 * start was cut off could not write before it goes. */
static bool
ask_guest(qm_engine *e, GError **error)
{
    int64_t limit = MIN(e->t.fallback,
                        qm__deadline_in(e->params.shutdown_timeout_s * QM_S));
    g_autoptr(GError) why = NULL;
    qm_vm_state state;

    qm__engine_report(e, "stop", "asking the guest to shut down");
    if (!qm__disks_open(e, qm__engine_call(e, limit), &why))
        qm__engine_report(e, "stop", "%s", why->message);
    if (!qm__vm_get_state(e->vm, qm__engine_call(e, limit), &state, error))
        return false;
    if (state == QM_VM_PAUSED) {
        if (why != NULL) {
            g_propagate_error(error, g_steal_pointer(&why));
            return false;
        }
        if (!qm__vm_resume(e->vm, qm__engine_call(e, limit), error))
            return false;
    }
    return qm__vm_shutdown(e->vm, limit, error);
}

static bool
shut_down(qm_engine *e, GError **error)
{
    g_autoptr(GError) why = NULL;

    if (e->params.stop_action != QM_STOP_POWEROFF) {
        if (ask_guest(e, &why))
            return power_off(e, "the guest shut down", error);
        qm__engine_report(e, "stop",
                          "the guest did not shut down (%s): "
                          "powering it off",
                          why->message);
    }
    return qm__engine_destroy(e, qm__engine_uuid(e), e->t.end, error) &&
           power_off(e, "powered off", error);
}

/* Will a save end in time?  At the rate of the last one, where known. */
static bool
save_fits(qm_engine *e)
{
    uint64_t rate = qm__engine_rate(e);
    int64_t need, have = qm__remaining(e->t.work);
    g_autoptr(GError) ignored = NULL;

    if (!qm__engine_need_xml(e, &ignored) || rate == 0)
        return true; /* not known: try */
    need =
        qm__transfer_time(MIN(e->dom->memory, qm__engine_last_bytes(e)), rate);
    if (need <= have)
        return true;
    qm__engine_report(e, "stop",
                      "a save would need about %" PRIi64 " s and there are "
                      "%" PRIi64 " s: shutting the guest down instead; raise "
                      "the stop timeout to %" PRIi64 " s",
                      need / QM_S, have / QM_S, 2 * need / QM_S + 30);
    return false;
}

/* A guest that hangs would hang again after a restore. */
static bool
is_sound(qm_engine *e)
{
    qm_health health;

    qm__health_read(qm__engine_uuid(e), e->record.generation, &health);
    if (health.failed)
        qm__engine_report(e, "stop",
                          "the guest failed its health checks: it "
                          "is not saved");
    return !health.failed;
}

/* After an error of libvirt or of the storage, which may have been restarted
 * meanwhile, the guest runs on, and can be saved as well as before. */
static bool
may_help_again(qm_engine *e, const GError *why)
{
    return e->record.state == QM_STATE_RUNNING &&
           g_error_matches(why, QM_ERROR, QM_ERROR_IO) && save_fits(e);
}

static bool
save_or_retry(qm_engine *e, GError **error)
{
    g_autoptr(GError) why = NULL;

    if (qm__engine_save(e, NULL, e->t.work, &why))
        return true;
    if (!may_help_again(e, why)) {
        g_propagate_error(error, g_steal_pointer(&why));
        return false;
    }
    qm__engine_report(e, "stop", "save failed: %s: once more", why->message);
    return qm__engine_save(e, NULL, e->t.work, error);
}

static bool
power_down(qm_engine *e, GError **error)
{
    g_autoptr(GError) why = NULL;

    if (e->params.stop_action == QM_STOP_SAVE && is_sound(e) && save_fits(e)) {
        if (save_or_retry(e, &why))
            return true;
        if (g_error_matches(why, QM_ERROR, QM_ERROR_LOST)) {
            g_propagate_error(error, g_steal_pointer(&why));
            return false;
        }
        qm__engine_report(e, "stop",
                          "save failed: %s: shutting the guest "
                          "down instead",
                          why->message);
    }
    return shut_down(e, error);
}

static bool
carry_out(qm_engine *e, const qm_decision *d, GError **error)
{
    if (d->row->action == QM_ACTION_POWER_DOWN)
        return power_down(e, error);
    return qm__engine_clear(e, e->t.end, error);
}

/* The domain goes before the record says that it may be started elsewhere. */
static bool
settle(qm_engine *e, GError **error)
{
    qm_facts facts;
    qm_decision d;

    if (!qm__engine_facts(e, &e->record, QM_EVENT_STOP, &facts, error))
        return false;
    qm_lifecycle_decide(&e->record, QM_EVENT_STOP, &facts, &d);
    if (d.row->action == QM_ACTION_DESTROY_FIRST &&
        !qm__engine_clear(e, e->t.end, error))
        return false;
    return qm__engine_transition(e, QM_EVENT_STOP, NULL, qm__engine_half(e), &d,
                                 error) &&
           carry_out(e, &d, error);
}

/* Believing OFF or SAVED needs a barrier when an action of this node was cut
 * off: a write of it may still be on its way. */
static bool
needs_barrier(qm_engine *e, bool *ret_needs, GError **error)
{
    g_autofree char *marker = qm__marker_get(qm__engine_uuid(e));
    uint64_t holder;

    *ret_needs = true;
    if (qm_lifecycle_owner(&e->record, qm__cluster_self(e->cluster), false) !=
        QM_OWNER_NOBODY) {
        *ret_needs = qm__right_own(&e->record, e, NULL);
        return true;
    }
    if (marker != NULL)
        return true;
    if (!qm_vault_read_holder(e->vault, &holder, error))
        return false;
    *ret_needs = holder != 0 && qm__key_is_ours(holder) &&
                 qm__key_node(holder) == qm__cluster_self(e->cluster)->id;
    return true;
}

static bool
stop_locked(qm_engine *e, GError **error)
{
    bool barrier;

    if (!qm_vault_read_record(e->vault, &e->record, error) ||
        !qm__tombstone_set(qm__engine_uuid(e), e->record.image_id, error) ||
        !needs_barrier(e, &barrier, error))
        return false;
    QM_CRASH_POINT("tombstoned");
    if (!barrier)
        return qm__engine_clear(e, e->t.end, error);
    return qm__engine_acquire(e, qm__right_own, qm__engine_half(e), error) &&
           settle(e, error);
}

/* The vault failed on the way: what this node knows by itself decides. */
static bool
stop_without_vault(qm_engine *e, const GError *why, GError **error)
{
    const qm_node *self = qm__cluster_self(e->cluster);
    qm_owner owner = qm_lifecycle_owner(&e->record, self, false);

    if (!qm__engine_started_here(e)) {
        if (owner != QM_OWNER_SELF)
            return qm__engine_clear(e, e->t.end, error);
        g_propagate_error(error, g_error_copy(why));
        return false;
    }
    if (qm__engine_stop_blind(e, error))
        return true;
    g_prefix_error(error, "%s; without the vault: ", why->message);
    return false;
}

bool
qm__engine_stop(qm_engine *e, GError **error)
{
    g_autoptr(GError) why = NULL;

    /* No marker of its own: that of an action that was cut off counts until
     * the stop has settled it. */
    if (!qm__engine_lock(e, QM_WORKER_REAP, e->t.fallback, error))
        return false;
    qm__room_use(qm__engine_uuid(e));
    if (!stop_locked(e, &why)) {
        qm__engine_report(e, "stop", "%s: going on without the vault",
                          why->message);
        return stop_without_vault(e, why, error);
    }
    qm__engine_done(e);
    qm__local_remove(qm_vault_get_url(e->vault));
    QM_CRASH_POINT("note-removed");
    return true;
}
