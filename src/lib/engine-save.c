/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Saving: RUNNING -> SAVING -> SAVED.  The guest stays here, paused, with its
 * memory, until the commit is durable; whatever fails before it, the guest
 * goes on.  After the commit it never resumes here.
 */
#include "config.h"
#include <inttypes.h>
#include <unistd.h>
#include "engine.h"
#include "stream.h"

#define LOOK_AROUND (200 * QM_MS) /* how often membership is looked at */

typedef struct {
    qm_engine *e;
    const qm_node *target; /* NULL: none */
    int64_t next_look;
} watch;

/* A move delays all recovery in the cluster while it runs: when its target or
 * quorum is lost there is something more urgent. */
static bool
keep_going(void *opaque, GError **error)
{
    watch *w = opaque;
    bool quorate = true, member = true;

    if (w->target == NULL || !qm__passed(w->next_look))
        return true;
    w->next_look = qm__deadline_in(LOOK_AROUND);
    if (!qm__cluster_quorate(w->e->cluster, &quorate, error) ||
        !qm__cluster_is_member(w->e->cluster, w->target->id, &member, error))
        return false;
    if (quorate && member)
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_CANCELLED,
                "the move is cancelled: %s%s",
                quorate ? "the cluster lost its target " : "quorum is lost",
                quorate ? w->target->name : "");
    return false;
}

/* Streams the paused guest's state into the log, all but the last chunk. */
static bool
stream_out(qm_fifo *fifo, qm_vm_job *job, qm_image_writer *w, watch *watching,
           int64_t deadline, GError **error)
{
    uint8_t header[QM_SAVE_HEADER];

    return qm__fifo_take(fifo, qm__vm_job_fd(job), deadline, header, error) &&
           qm__image_write_from(w, qm__fifo_fd(fifo), header, sizeof header,
                                deadline, keep_going, watching, error) &&
           qm__vm_job_wait(job, deadline, error);
}

/* What the guest wrote must be durable before an image says "go on from
 * here"; the last chunk only after libvirt's success. */
static bool
finish_image(qm_engine *e, qm_image_writer *w, int64_t deadline, GError **error)
{
    return qm__disks_drain(e, qm__engine_call(e, deadline), error) &&
           qm__image_write_last(w, deadline, error);
}

/* The stream broke: libvirt's own words tell more than a closed pipe. */
static void
end_job(qm_engine *e, qm_fifo *fifo, qm_vm_job *job, GError **why)
{
    g_autoptr(GError) also = NULL;

    /* A broken stream ends the save; an abort alone waits for a reader. */
    qm__fifo_close(fifo);
    qm__vm_job_abort(job);
    if (!qm__vm_job_wait(job, qm__engine_call(e, e->t.end), &also) &&
        why != NULL && g_error_matches(*why, QM_ERROR, QM_ERROR_IO))
        g_prefix_error(why, "%s; ", also->message);
}

static bool
write_image(qm_engine *e, const qm_node *target, int64_t deadline,
            uint64_t *ret_length, GError **error)
{
    watch watching = {.e = e, .target = target};
    g_autoptr(qm_image_writer) w = NULL;
    g_autoptr(qm_fifo) fifo = NULL;
    g_autoptr(qm_vm_job) job = NULL;
    g_autofree char *dir = qm__vm_path(qm__engine_uuid(e), NULL);
    qm_store *store;

    qm__vault_set_deadline(e->vault, deadline);
    if (!qm__vault_image(e->vault, e->record.image_id, true, &store, error) ||
        !qm__fifo_new(dir, QM_FIFO_SAVE, &fifo, error) ||
        !qm__vm_save_begin(e->vm, qm__fifo_path(fifo), &job, error))
        return false;
    w = qm__image_writer_new(store, qm__engine_uuid(e), e->record.image_id,
                             e->params.compress);
    if (!stream_out(fifo, job, w, &watching, deadline, error)) {
        end_job(e, fifo, job, error);
        return false;
    }
    if (!finish_image(e, w, deadline, error))
        return false;
    *ret_length = qm__image_written(w);
    return true;
}

/* The guest goes on from its memory. */
static bool
resume_guest(qm_engine *e, GError **error)
{
    if (!qm__disks_open(e, qm__engine_call(e, e->t.end), error) ||
        !qm__vm_resume(e->vm, qm__engine_call(e, e->t.end), error))
        return false;
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
    if (!qm__engine_reconnect(e, qm__engine_uuid(e), error))
        return false;
    settled = qm__engine_transition(e, QM_EVENT_ROLLBACK, &figures,
                                    qm__engine_half(e), &d, error);
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

/* @why is consumed.  true: it was committed after all. */
static bool
save_failed(qm_engine *e, GError *why, GError **error)
{
    g_autofree char *cause = g_strdup_printf("save: %s", why->message);
    g_autoptr(GError) also = NULL;
    bool committed;

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
suspend(qm_engine *e, GError **error)
{
    if (!qm__vm_suspend(e->vm, qm__engine_call(e, e->t.work), error))
        return false;
    e->paused_at = qm__now();
    qm__engine_report(e, "suspend", "guest paused");
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
    qm__engine_report(e, "commit",
                      "%" PRIu64 " bytes in %" PRIi64 " ms, %.0f MB/s", length,
                      figures.duration_us / QM_MS,
                      (double) length / (double) MAX(figures.duration_us, 1));
    return true;
}

/* Committed: a leftover here costs memory and is cleared by the stop that
 * follows; it is no reason to call the save a failure. */
static void
leave(qm_engine *e)
{
    g_autoptr(GError) why = NULL;

    if (!qm__engine_clear(e, e->t.end, &why))
        qm__engine_report(e, "save", "leftover: %s", why->message);
}

bool
qm__engine_save(qm_engine *e, const qm_node *target, int64_t deadline,
                GError **error)
{
    qm_figures figures = {.target = target};
    int64_t began = qm__now();
    uint64_t length;
    GError *why = NULL;
    qm_decision d;

    if (!qm__engine_need_xml(e, error) ||
        !qm__disks_mend(e, qm__engine_call(e, deadline), error) ||
        !qm__engine_transition(e, QM_EVENT_MOVE, &figures, deadline, &d, error))
        return false;
    /* An earlier run, cut off, may have got as far as the commit: then its
     * image must not be touched. */
    if (d.row->action == QM_ACTION_SAVE &&
        (!suspend(e, &why) ||
         !write_image(e, target, deadline, &length, &why) ||
         !commit(e, length, began, &why)) &&
        !save_failed(e, why, error))
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
