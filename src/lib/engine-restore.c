/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Restoring and booting.  Order of a takeover: the vault, then every disk,
 * then the guest's CPUs; and the guest's first write only after the record
 * says RUNNING, so that until then the image still counts.
 */
#include "config.h"
#include <inttypes.h>
#include <unistd.h>
#include "engine.h"
#include "stream.h"

bool
qm__engine_boot(qm_engine *e, GError **error)
{
    g_autofree char *xml = NULL;
    int64_t began = qm__now();

    if (!qm__domxml_for_gates(e->xml, &xml, error) ||
        !qm__disks_acquire(e, false, qm__engine_call(e, e->t.end), error))
        return false;
    qm__engine_report(e, "takeover", "disks acquired in %" PRIi64 " ms",
                      (qm__now() - began) / QM_MS);
    if (!qm__vm_create(e->vm, xml, qm__engine_call(e, e->t.end), error))
        return false;
    qm__engine_report(e, "boot",
                      "cold boot, generation %" PRIu64 ", %" PRIi64 " ms",
                      e->record.generation, (qm__now() - began) / QM_MS);
    return true;
}

/* Feeds the image to libvirt.  @ret_bytes: of the log. */
static bool
stream_in(qm_engine *e, const qm_following *following, qm_fifo *fifo,
          qm_vm_job *job, uint64_t *ret_bytes, GError **error)
{
    static const qm_following complete;
    const qm_following *f = following != NULL ? following : &complete;
    g_autoptr(qm_image_reader) r = NULL;
    qm_store *store;
    bool ok;

    qm__vault_set_deadline(e->vault, e->t.work);
    if (!qm__vault_image(e->vault, e->record.image_id, false, &store, error))
        return false;
    r = qm__image_reader_new(store, qm__engine_uuid(e), e->record.image_id);
    if (f->reader != NULL)
        *f->reader = r;
    ok = qm__fifo_connect(fifo, qm__vm_job_fd(job), e->t.work, error) &&
         qm__image_read_to(r, qm__fifo_fd(fifo), following != NULL, e->t.work,
                           f->keep_going, f->opaque, error);
    if (f->reader != NULL)
        *f->reader = NULL;
    *ret_bytes = qm__image_read_bytes(r);
    if (ok)
        qm__fifo_close(fifo);
    return ok && qm__vm_job_wait(job, e->t.work, error);
}

/* What says that the image, or QEMU's taking it, is at fault: not the
 * storage, not the time. */
static bool
is_image_fault(const GError *error)
{
    return !g_error_matches(error, QM_ERROR, QM_ERROR_TIMEOUT) &&
           !g_error_matches(error, QM_ERROR, QM_ERROR_LOST) &&
           !g_error_matches(error, QM_ERROR, QM_ERROR_CONFLICT);
}

bool
qm__engine_load(qm_engine *e, const qm_following *following,
                bool *ret_bad_image, GError **error)
{
    g_autoptr(qm_fifo) fifo = NULL;
    g_autoptr(qm_vm_job) job = NULL;
    g_autofree char *dir = qm__vm_path(qm__engine_uuid(e), NULL);
    int64_t began = qm__now();
    uint64_t bytes = 0;
    GError *why = NULL;

    if (!qm__fifo_new(dir, QM_FIFO_RESTORE, &fifo, error) ||
        !qm__vm_restore_begin(e->vm, qm__fifo_path(fifo), NULL, &job, error))
        return false;
    if (!stream_in(e, following, fifo, job, &bytes, &why)) {
        g_autoptr(GError) also = NULL;

        *ret_bad_image = is_image_fault(why);
        qm__fifo_close(fifo);
        /* libvirt's own words tell more than a broken pipe. */
        if (!qm__vm_job_wait(job, qm__engine_call(e, e->t.end), &also) &&
            g_error_matches(why, QM_ERROR, QM_ERROR_IO))
            g_prefix_error(&why, "%s; ", also->message);
        g_propagate_error(error, why);
        return false;
    }
    qm__engine_report(e, "load",
                      "%" PRIu64 " bytes in %" PRIi64 " ms, %.0f MB/s", bytes,
                      (qm__now() - began) / QM_MS,
                      (double) bytes / (double) MAX(qm__now() - began, 1));
    return true;
}

/* From the commit's history entry: when and for how long it was paused. */
static int64_t
total_pause(qm_engine *e, uint64_t saved_sequence)
{
    g_autoptr(GArray) entries = NULL;
    g_autoptr(GError) ignored = NULL;

    if (!qm_vault_read_history(e->vault, &entries, &ignored))
        return 0;
    for (guint i = entries->len; i-- > 0;) {
        const qm_history *h = &g_array_index(entries, qm_history, i);

        if (h->sequence <= saved_sequence && h->to == QM_STATE_SAVED &&
            h->from == QM_STATE_SAVING && h->time_us <= g_get_real_time())
            return g_get_real_time() - h->time_us + (int64_t) h->pause_us;
    }
    return 0;
}

static bool
resume(qm_engine *e, GError **error)
{
    return qm__vm_resume(e->vm, qm__engine_call(e, e->t.end), error);
}

/* The image is stale from the guest's first write on.  Gates hold writes back
 * until the record says so; where a disk has none, the record has to say so
 * first, and a node that dies in between boots the VM anew. */
static bool
run(qm_engine *e, const qm_figures *figures, GError **error)
{
    bool held = e->dom->n_disks == e->dom->disks->len;
    qm_decision d;

    return (!held || resume(e, error)) &&
           qm__engine_transition(e, QM_EVENT_RESUMED, figures, e->t.end, &d,
                                 error) &&
           (held || resume(e, error)) &&
           qm__disks_open(e, qm__engine_call(e, e->t.end), error);
}

bool
qm__engine_take_over(qm_engine *e, int64_t began, GError **error)
{
    qm_figures figures = {0};
    uint64_t saved = e->record.sequence;
    int64_t taking = qm__now();
    qm_decision d;

    if (!qm__engine_transition(e, QM_EVENT_LOADED, NULL, e->t.end, &d, error) ||
        !qm__disks_acquire(e, true, qm__engine_call(e, e->t.end), error))
        return false;
    qm__engine_report(e, "takeover", "vault and disks in %" PRIi64 " ms",
                      (qm__now() - taking) / QM_MS);
    figures.bytes = d.next.image_length;
    figures.duration_us = qm__now() - began;
    figures.pause_us = total_pause(e, saved);
    if (!run(e, &figures, error))
        return false;
    qm__engine_report(e, "resume", "guest runs, paused for %" PRIi64 " ms",
                      figures.pause_us / QM_MS);
    return true;
}

bool
qm__engine_restore(qm_engine *e, bool *ret_bad_image, GError **error)
{
    int64_t began = qm__now();

    *ret_bad_image = false;
    if (!qm__engine_load(e, NULL, ret_bad_image, error)) {
        g_autoptr(GError) ignored = NULL;

        /* Nothing was taken over: what is half loaded here only goes. */
        (void) qm__engine_destroy(e, qm__engine_uuid(e), e->t.end, &ignored);
        return false;
    }
    return qm__engine_take_over(e, began, error);
}
