/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * migrate_to: save the VM here for another node.  It may be run twice, after
 * its own commit, or after having been killed at any line.  The target's
 * quickmigd, where there is one, is told, so that it can follow the image
 * while it is written.
 */
#include "config.h"
#include <poll.h>
#include <string.h>
#include "crash.h"
#include "engine.h"
#include "worker.h"

#define READY_AT_MOST (3 * QM_S) /* for the target to log in to the storage */
#define OVERHEAD      32         /* one part of the memory: headers */
#define ROOM_MARGIN   (UINT64_C(64) << 20) /* bytes */

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

    if (!qm__cluster_remember(e->cluster, error) ||
        !qm__cluster_is_member(e->cluster, target->id, &member, error) ||
        !qm__engine_need_xml(e, error) || !qm__engine_need_key(e, error))
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

/* --- quick or live ------------------------------------------------------- */

/* Can the guest run while its memory is copied, without any of it getting
 * lost?  @ret_why: why not; NULL: it can. */
static bool
may_run(qm_engine *e, char **ret_why, GError **error)
{
    qm_vm_state state;

    *ret_why = NULL;
    if (!qm__vm_get_state(e->vm, qm__engine_call(e, e->t.end), &state, error))
        return false;
    if (state != QM_VM_RUNNING) {
        *ret_why = g_strdup("the guest is paused");
        return true;
    }
    return qm__vm_check_live(e->vm, g_strcmp0(e->dom->type, "kvm") != 0,
                             qm__engine_call(e, e->t.end), ret_why, error);
}

/* A live save sends pages again that the guest has written meanwhile. */
static bool
has_room(const qm_engine *e, char **ret_why)
{
    uint64_t have = qm_vault_get_info(e->vault)->image_capacity;
    uint64_t need =
        2 * e->dom->memory + e->dom->memory / OVERHEAD + ROOM_MARGIN;

    if (have >= need)
        return true;
    *ret_why =
        g_strdup_printf("the vault has room for %" G_GUINT64_FORMAT " MiB, "
                        "a live save needs %" G_GUINT64_FORMAT " MiB",
                        have >> 20, need >> 20);
    return false;
}

static bool
choose_mode(qm_engine *e, GError **error)
{
    g_autofree char *why = NULL;

    e->copy = QM_COPY_PAUSED;
    if (!may_run(e, &why, error))
        return false;
    if (why == NULL) {
        e->copy = QM_COPY_ONCE;
        if (e->params.mode == QM_MODE_QUICK)
            why = g_strdup("mode=quick");
        else if (has_room(e, &why))
            e->copy = QM_COPY_LIVE;
    }
    if (e->precopy && e->copy != QM_COPY_LIVE) {
        g_set_error(error, QM_ERROR, QM_ERROR_REFUSED,
                    "it cannot be copied ahead: %s", why);
        return false;
    }
    qm__engine_report(e, "mode", "%s%s%s",
                      e->copy == QM_COPY_LIVE ? "live" : "quick",
                      why != NULL ? ": " : "", why != NULL ? why : "");
    return true;
}

/* --- the target ---------------------------------------------------------- */

static void
open_hints(qm_engine *e, const qm_node *target)
{
    const qm_node *self = qm__cluster_self(e->cluster);
    qm_job job = {
        .side = QM_SIDE_SOURCE,
        .source = self->id,
        .target = target->id,
        .live = e->copy == QM_COPY_LIVE,
        .phase = QM_PHASE_PREPARE,
        .total = e->dom->memory,
        .image_id = e->record.image_id + 1, /* SAVING raises it */
    };

    memcpy(job.uuid, qm__engine_uuid(e), QM_UUID_LEN);
    g_strlcpy(job.name, qm_vault_get_info(e->vault)->name, sizeof job.name);
    g_strlcpy(job.resource, e->resource != NULL ? e->resource : "",
              sizeof job.resource);
    g_strlcpy(job.source_name, self->name, sizeof job.source_name);
    g_strlcpy(job.target_name, target->name, sizeof job.target_name);
    e->hints = qm__hints_new(&job);
}

/* The target has logged in to the storage, or is not there, or takes too
 * long: all are right.  Only its refusal counts. */
static bool
await_target(qm_engine *e, GError **error)
{
    int64_t until = qm__deadline_in(READY_AT_MOST), age;
    const qm_job *target;

    while (!qm__passed(until)) {
        struct pollfd p = {.fd = qm__hints_fd(e->hints), .events = POLLIN};

        if (!qm__hints_check(e->hints, error))
            return false;
        target = qm__hints_other(e->hints, &age);
        if (target != NULL && target->phase >= QM_PHASE_READY) {
            qm__engine_report(
                e, "target", "%s is ready, %d ms",
                target->source_name[0] != '\0' ? target->target_name : "it",
                (int) target->elapsed_ms);
            return true;
        }
        (void) poll(&p, 1, qm__remaining_ms(until));
    }
    qm__engine_report(e, "target", "not ready in time: going on without it");
    return true;
}

static bool
invite_target(qm_engine *e, const qm_node *target, GError **error)
{
    qm_offer offer = {
        .reconnect_limit_s = e->params.reconnect_limit_s,
        .allow_unfenced = e->params.allow_unfenced,
        .timeout_ms = (uint32_t) (qm__remaining(e->t.end) / QM_MS),
    };

    if (!qm__hints_has_daemon(e->hints, target->id)) {
        qm__engine_report(e, "target",
                          "no quickmigd on %s: it restores when "
                          "the image is complete",
                          target->name);
        return qm__hints_check(e->hints, error);
    }
    g_strlcpy(offer.vault, e->params.vault, sizeof offer.vault);
    g_strlcpy(offer.network_map,
              e->params.network_map != NULL ? e->params.network_map : "",
              sizeof offer.network_map);
    g_strlcpy(offer.image_secret,
              e->params.image_secret != NULL ? e->params.image_secret : "",
              sizeof offer.image_secret);
    g_strlcpy(offer.hypervisor,
              e->params.hypervisor != NULL ? e->params.hypervisor : "",
              sizeof offer.hypervisor);
    qm__hints_offer(e->hints, &offer);
    QM_CRASH_POINT("offered");
    return await_target(e, error);
}

/* --- the move ------------------------------------------------------------ */

static bool
save_for(qm_engine *e, const qm_node *target, GError **error)
{
    if (!choose_mode(e, error))
        return false;
    open_hints(e, target);
    return invite_target(e, target, error) &&
           qm__engine_acquire(e, qm__right_own, e->t.work, error) &&
           qm__engine_save(e, target, e->t.work, error);
}

static bool
move_marked(qm_engine *e, const char *target, GError **error)
{
    g_autoptr(GError) why = NULL;
    qm_node node;
    bool done;

    if (!qm__engine_mark(e, error) || !is_done(e, &done, error))
        return false;
    if (done)
        return qm__engine_clear(e, e->t.end, error);
    if (!qm__cluster_node(e->cluster, target, &node, error) ||
        !preflight(e, &node, error))
        return false;
    if (save_for(e, &node, &why)) {
        qm__hints_phase(e->hints, QM_PHASE_DONE, NULL);
        return true;
    }
    if (e->hints != NULL)
        qm__hints_phase(e->hints,
                        g_error_matches(why, QM_ERROR, QM_ERROR_CANCELLED)
                            ? QM_PHASE_CANCELLED
                            : QM_PHASE_FAILED,
                        why->message);
    g_propagate_error(error, g_steal_pointer(&why));
    return false;
}

/* A VM that stays needs its room again. */
static bool
move_locked(qm_engine *e, const char *target, GError **error)
{
    qm__room_use(qm__engine_uuid(e));
    if (move_marked(e, target, error))
        return true;
    qm__room_keep(qm__engine_uuid(e));
    return false;
}

bool
qm__engine_migrate_to(qm_engine *e, const char *target, GError **error)
{
    /* A worker that has copied most of it already comes to the end now; one
     * for another target is in the way. */
    if (qm__worker_go(qm__engine_uuid(e), target))
        qm__engine_report(e, "precopy", "asked to come to the end");
    else
        (void) qm__worker_reap(qm__engine_uuid(e), 0);
    if (!qm__engine_lock(e, QM_WORKER_WAIT, e->t.work, error) ||
        !move_locked(e, target, error))
        return false;
    qm__engine_done(e);
    qm__local_remove(qm_vault_get_url(e->vault));
    QM_CRASH_POINT("note-removed");
    return true;
}

bool
qm__engine_precopy(qm_engine *e, const char *target, GError **error)
{
    bool ok;

    e->precopy = true;
    if (!qm__engine_lock(e, QM_WORKER_WAIT, qm__engine_call(e, e->t.work),
                         error))
        return false;
    ok = qm__worker_register(qm__engine_uuid(e), target, error) &&
         move_locked(e, target, error);
    qm__worker_unregister(qm__engine_uuid(e));
    if (!ok)
        return false;
    qm__engine_done(e);
    qm__local_remove(qm_vault_get_url(e->vault));
    return true;
}
