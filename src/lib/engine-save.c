/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Saving: RUNNING -> SAVING -> SAVED.  The guest stays here, paused, with its
 * memory, until the commit is durable; whatever fails before it, the guest
 * goes on.  After the commit it never resumes here.
 */
#include "config.h"
#include <inttypes.h>
#include <poll.h>
#include "crash.h"
#include "engine.h"

#define TARGET_FIRST QM_S /* how long a target that is taking over has */

/* The guest goes on from its memory. */
static bool
resume_guest(qm_engine *e, GError **error)
{
    if (!qm__disks_open(e, qm__engine_call(e, e->t.end), error) ||
        !qm__vm_resume(e->vm, qm__engine_call(e, e->t.end), error))
        return false;
    QM_CRASH_POINT("resumed-back");
    qm__engine_report(e, "rollback", "the guest goes on after %" PRIi64 " ms",
                      e->paused_at != 0 ? (qm__now() - e->paused_at) / QM_MS
                                        : 0);
    return true;
}

/* Before the commit nothing is lost.  @ret_committed: it turns out that it is
 * after the commit.  A guest that cannot be resumed is the caller's business:
 * what matters here is that the record is right. */
static bool
roll_back(qm_engine *e, const char *why, bool *ret_committed, GError **error)
{
    qm_figures figures = {.cause = why};
    g_autoptr(GError) also = NULL;
    qm_decision d;
    bool settled;

    *ret_committed = false;
    /* It must not suspend a guest that goes on. */
    g_clear_pointer(&e->live, qm__live_free);
    if (!qm__engine_reconnect(e, qm__engine_uuid(e), error))
        return false;
    settled = qm__engine_transition(e, QM_EVENT_ROLLBACK, &figures,
                                    qm__engine_half(e), &d, error);
    QM_CRASH_POINT("rolled-back");
    if (e->record.state == QM_STATE_SAVED && qm__vault_acquired(e->vault)) {
        g_clear_error(error);
        *ret_committed = true;
        return true;
    }
    if (settled && d.row->action == QM_ACTION_RESUME && !resume_guest(e, &also))
        qm__engine_report(e, "rollback", "the guest cannot be resumed: %s",
                          also->message);
    return settled;
}

/* The commit was cut off in between its two copies by a target that had seen
 * the first: it owns the VM, of this image, and has lifted the generation. */
static bool
taken_over(qm_engine *e, const qm_node *target, const qm_record *begun)
{
    g_autoptr(GError) ignored = NULL; /* then it is not known */
    qm_record now;

    return target != NULL && qm_vault_read_record(e->vault, &now, &ignored) &&
           now.image_id == begun->image_id &&
           now.generation > begun->generation && now.owner.id == target->id &&
           (now.state == QM_STATE_RESTORING || now.state == QM_STATE_RUNNING);
}

/* @why is consumed.  true: it was committed after all. */
static bool
save_failed(qm_engine *e, const qm_node *target, const qm_record *begun,
            GError *why, GError **error)
{
    g_autofree char *cause = g_strdup_printf("save: %s", why->message);
    g_autoptr(GError) also = NULL;
    bool committed;

    if (taken_over(e, target, begun)) {
        qm__engine_report(e, "save", "it was committed, and taken over: %s",
                          why->message);
        g_error_free(why);
        return true;
    }
    qm__engine_report(e, "save", "failed: %s", why->message);
    if (!roll_back(e, cause, &committed, &also)) {
        g_set_error(error, QM_ERROR, QM_ERROR_LOST,
                    "save failed (%s) and it is not known how the record "
                    "stands (%s): the guest stays paused",
                    why->message, also->message);
        g_error_free(why);
        return false;
    }
    if (!committed) {
        g_propagate_error(error, why);
        return false;
    }
    qm__engine_report(e, "save", "it was committed: going on");
    g_error_free(why);
    return true;
}

static bool
commit(qm_engine *e, uint64_t length, int64_t began, GError **error)
{
    qm_figures figures = {.bytes = length,
                          .duration_us = qm__now() - began,
                          .pause_us = qm__now() - e->paused_at};
    qm_decision d;

    if (!qm__engine_transition(e, QM_EVENT_COMMIT, &figures, qm__engine_half(e),
                               &d, error))
        return false;
    if (e->hints != NULL) {
        qm__hints_job(e->hints)->pause_ms =
            (uint32_t) (figures.pause_us / QM_MS);
        qm__hints_soon(e->hints, QM_PHASE_COMMITTED);
    }
    QM_CRASH_POINT("committed");
    qm__engine_report(e, "commit",
                      "%" PRIu64 " bytes in %" PRIi64 " ms, %.0f MB/s", length,
                      figures.duration_us / QM_MS,
                      (double) length / (double) MAX(figures.duration_us, 1));
    return true;
}

/* The target takes over at this moment: freeing a guest's memory now, or
 * telling of the commit, would take the time from it. */
static void
let_target_go_first(qm_engine *e)
{
    int64_t until = qm__deadline_in(TARGET_FIRST), age;
    const qm_job *target;
    g_autoptr(GError) ignored = NULL;

    if (e->hints == NULL)
        return;
    while (!qm__passed(until)) {
        struct pollfd p = {.fd = qm__hints_fd(e->hints), .events = POLLIN};

        if (!qm__hints_check(e->hints, &ignored))
            g_clear_error(&ignored);
        target = qm__hints_other(e->hints, &age);
        if (target == NULL || age > TARGET_FIRST ||
            qm__phase_ended(target->phase))
            return;
        (void) poll(&p, 1, qm__remaining_ms(until));
    }
}

/* Committed: a leftover here costs memory and is cleared by the stop that
 * follows; it is no reason to call the save a failure. */
static void
leave(qm_engine *e)
{
    g_autoptr(GError) why = NULL;

    let_target_go_first(e);
    if (e->hints != NULL)
        qm__hints_tell(e->hints);
    g_clear_pointer(&e->live, qm__live_free);
    if (!qm__engine_clear(e, e->t.end, &why))
        qm__engine_report(e, "save", "leftover: %s", why->message);
}

/* What has to be put right before a guest can be saved.  Gates that died, or
 * that hold writes back since a start was cut off: QEMU does not suspend a
 * guest before its writes are done.  A guest that was saved by an action that
 * was cut off: QEMU does not do that again before the guest has run in between.
 * That image does not count any more: the record says SAVING with a new id. */
static bool
wake(qm_engine *e, GError **error)
{
    qm_vm_state state;

    return qm__disks_mend(e, qm__engine_call(e, e->t.end), error) &&
           qm__vm_get_state(e->vm, qm__engine_call(e, e->t.end), &state,
                            error) &&
           (state != QM_VM_PAUSED ||
            qm__vm_resume(e->vm, qm__engine_call(e, e->t.end), error));
}

/* From the entry to SAVING up to the commit. */
static bool
save_image(qm_engine *e, const qm_node *target, int64_t deadline,
           GError **error)
{
    bool paused = e->copy == QM_COPY_PAUSED;
    int64_t began = qm__now();
    uint64_t length;

    if (e->hints != NULL)
        qm__hints_phase(e->hints, paused ? QM_PHASE_PAUSED : QM_PHASE_COPY,
                        NULL);
    return wake(e, error) && (!paused || qm__engine_suspend(e, error)) &&
           qm__engine_stream(e, target, deadline, &length, error) &&
           commit(e, length, began, error);
}

bool
qm__engine_save(qm_engine *e, const qm_node *target, int64_t deadline,
                GError **error)
{
    qm_figures figures = {.target = target};
    GError *why = NULL;
    qm_decision d;

    /* Without the key nothing is begun: never in the clear instead. */
    if (!qm__engine_need_xml(e, error) || !qm__engine_need_key(e, error) ||
        !qm__engine_transition(e, QM_EVENT_MOVE, &figures, deadline, &d, error))
        return false;
    /* An earlier run, cut off, may have got as far as the commit: then its
     * image must not be touched. */
    if (d.row->action == QM_ACTION_SAVE &&
        !save_image(e, target, deadline, &why) &&
        !save_failed(e, target, &d.next, why, error))
        return false;
    leave(e);
    return true;
}

/* --- what the last save cost --------------------------------------------- */

static void
find_last_save(qm_engine *e)
{
    g_autoptr(GArray) entries = NULL;
    g_autoptr(GError) ignored = NULL;

    if (e->last_save_known)
        return;
    e->last_save_known = true;
    if (!qm_vault_read_history(e->vault, &entries, &ignored))
        return; /* then it is not known */
    for (guint i = 0; i < entries->len; i++) {
        const qm_history *h = &g_array_index(entries, qm_history, i);

        if (h->to == QM_STATE_SAVED && h->bytes > 0 && h->duration_us > 0)
            e->last_save = *h;
    }
}

uint64_t
qm__engine_rate(qm_engine *e)
{
    find_last_save(e);
    if (e->last_save.duration_us == 0)
        return 0;
    return (uint64_t) ((double) e->last_save.bytes * QM_S /
                       (double) e->last_save.duration_us);
}

uint64_t
qm__engine_last_bytes(qm_engine *e)
{
    find_last_save(e);
    return e->last_save.bytes;
}
