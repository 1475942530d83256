/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Restoring and booting.  Order of a takeover: the vault, then every disk,
 * then the guest's CPUs; and the guest's first write only after the record
 * says RUNNING, so that until then the image still counts.
 */
#include "config.h"
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>
#include "crash.h"
#include "engine.h"
#include "image-xml.h"
#include "netmap.h"
#include "stream.h"

#define DOMAIN_AGAIN_MS 5

/* With the names that the networks have here. */
static bool
map_networks(qm_engine *e, const char *xml, char **ret_xml, GError **error)
{
    g_autoptr(qm_netmap) map = NULL;

    return qm__netmap_parse(e->params.network_map, &map, error) &&
           qm__netmap_apply(map, qm__cluster_self(e->cluster)->name, xml,
                            ret_xml, error);
}

bool
qm__engine_boot_xml(qm_engine *e, char **ret_xml, GError **error)
{
    g_autofree char *mapped = NULL;

    return map_networks(e, e->xml, &mapped, error) &&
           qm__domxml_for_gates(mapped, ret_xml, error);
}

/* Its CPUs run, in a domain that has been waiting for that, or in a new one. */
static bool
start_cpus(qm_engine *e, GError **error)
{
    g_autofree char *xml = NULL;

    if (e->early != NULL)
        return qm__early_domain(e, error) &&
               qm__vm_resume(e->vm, qm__engine_call(e, e->t.end), error);
    return qm__engine_boot_xml(e, &xml, error) &&
           qm__vm_create(e->vm, xml, false, qm__engine_call(e, e->t.end),
                         error);
}

bool
qm__engine_boot(qm_engine *e, GError **error)
{
    int64_t began = qm__now();

    if (!qm__disks_acquire(e, false, qm__engine_call(e, e->t.end), error))
        return false;
    qm__engine_report(e, "takeover", "disks acquired in %" PRIi64 " ms",
                      (qm__now() - began) / QM_MS);
    if (!start_cpus(e, error))
        return false;
    QM_CRASH_POINT("booted");
    qm__engine_report(e, "boot",
                      "cold boot, generation %" PRIu64 ", %" PRIi64 " ms",
                      e->record.generation, (qm__now() - began) / QM_MS);
    return true;
}

/* libvirt's helper hands on a MiB at a time, or what there is at the end: so
 * that QEMU has all of it long before the source has committed.  Where disks
 * have no gate, QEMU would lock them then, and a source that goes on after all
 * could not. */
static void
on_end(void *data)
{
    qm_fifo *fifo = data;

    qm__fifo_close(fifo);
}

/* Hands the image to libvirt, all of it. */
static bool
stream_in(qm_engine *e, const qm_following *following, qm_load *load,
          GError **error)
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
    qm__image_reader_decrypt(r, e->image_key);
    if (f->reader != NULL)
        *f->reader = r;
    if (following != NULL && e->dom->n_disks == e->dom->disks->len)
        qm__image_reader_on_end(r, on_end, load->fifo);
    ok = qm__fifo_connect(load->fifo, qm__vm_job_fd(load->job), e->t.work,
                          error) &&
         qm__image_read_to(r, qm__fifo_fd(load->fifo), following != NULL,
                           e->t.work, f->keep_going, f->opaque, error);
    if (f->reader != NULL)
        *f->reader = NULL;
    load->bytes = qm__image_read_bytes(r);
    qm__fifo_close(load->fifo);
    QM_CRASH_POINT("image-fed");
    return ok;
}

/* A guest is continued with the XML that it was saved with, and that had the
 * names of the node that saved it. */
static bool
saved_xml(qm_engine *e, const qm_following *f, char **ret_xml, GError **error)
{
    g_autoptr(qm_image_reader) r = NULL;
    g_autofree char *xml = NULL;
    qm_store *store;

    *ret_xml = NULL;
    if (e->params.network_map == NULL || e->params.network_map[0] == '\0')
        return true;
    qm__vault_set_deadline(e->vault, e->t.work);
    if (!qm__vault_image(e->vault, e->record.image_id, false, &store, error))
        return false;
    r = qm__image_reader_new(store, qm__engine_uuid(e), e->record.image_id);
    qm__image_reader_decrypt(r, e->image_key);
    return qm__image_read_xml(r, f != NULL, e->t.work,
                              f != NULL ? f->keep_going : NULL,
                              f != NULL ? f->opaque : NULL, &xml, error) &&
           map_networks(e, xml, ret_xml, error);
}

/* What says that the image, or QEMU's taking it, is at fault: not the
 * storage, not the time, not the administrator's secret. */
static bool
is_image_fault(const GError *error)
{
    return !g_error_matches(error, QM_ERROR, QM_ERROR_TIMEOUT) &&
           !g_error_matches(error, QM_ERROR, QM_ERROR_LOST) &&
           !g_error_matches(error, QM_ERROR, QM_ERROR_KEY) &&
           !g_error_matches(error, QM_ERROR, QM_ERROR_CONFLICT);
}

/* The load has failed: what is half loaded here only goes. */
static bool
load_failed(qm_engine *e, qm_load *load, GError *why, GError **error)
{
    g_autoptr(GError) also = NULL;
    g_autoptr(GError) ignored = NULL;

    load->bad_image = is_image_fault(why);
    /* libvirt's own words tell more than a broken pipe. */
    if (!qm__vm_job_wait(load->job, qm__engine_call(e, e->t.end), &also) &&
        g_error_matches(why, QM_ERROR, QM_ERROR_IO) &&
        strcmp(also->message, why->message) != 0)
        g_prefix_error(&why, "%s; ", also->message);
    (void) qm__engine_destroy(e, qm__engine_uuid(e), e->t.end, &ignored);
    g_propagate_error(error, why);
    return false;
}

bool
qm__engine_load(qm_engine *e, const qm_following *following, qm_load *load,
                GError **error)
{
    g_autofree char *dir = qm__vm_path(qm__engine_uuid(e), NULL);
    g_autofree char *xml = NULL;
    GError *why = NULL;

    load->began = qm__now();
    load->image_id = e->record.image_id;
    if (!qm__engine_need_key(e, error))
        return false;
    if (!saved_xml(e, following, &xml, &why)) {
        load->bad_image = is_image_fault(why);
        g_propagate_error(error, why);
        return false;
    }
    if (!qm__fifo_new(dir, QM_FIFO_RESTORE, &load->fifo, error) ||
        !qm__vm_restore_begin(e->vm, qm__fifo_path(load->fifo), xml, &load->job,
                              error))
        return false;
    QM_CRASH_POINT("load-begun");
    return stream_in(e, following, load, &why) ||
           load_failed(e, load, why, error);
}

void
qm__engine_load_clear(qm_load *load)
{
    g_clear_pointer(&load->fifo, qm__fifo_free);
    g_clear_pointer(&load->job, qm__vm_job_free);
}

/* QEMU has the whole image, and is paused. */
static bool
await_loaded(qm_engine *e, qm_load *load, GError **error)
{
    GError *why = NULL;
    int64_t took;

    if (!qm__vm_job_wait(load->job, e->t.work, &why))
        return load_failed(e, load, why, error);
    QM_CRASH_POINT("loaded");
    took = qm__now() - load->began;
    qm__engine_report(e, "load",
                      "%" PRIu64 " bytes in %" PRIi64 " ms, %.0f MB/s",
                      load->bytes, took / QM_MS,
                      (double) load->bytes / (double) MAX(took, 1));
    return true;
}

/* A small image is in the pipes before libvirt has made the domain. */
static bool
await_domain(qm_engine *e, const qm_load *load, GError **error)
{
    struct pollfd p = {.fd = qm__vm_job_fd(load->job), .events = POLLIN};
    qm_vm_state state;

    do {
        if (!qm__vm_get_state(e->vm, qm__engine_call(e, e->t.end), &state,
                              error))
            return false;
    } while (state == QM_VM_NONE && poll(&p, 1, DOMAIN_AGAIN_MS) == 0 &&
             !qm__passed(e->t.work));
    return true;
}

static bool
is_commit(const qm_history *h)
{
    return h->to == QM_STATE_SAVED && h->from == QM_STATE_SAVING &&
           h->time_us <= g_get_real_time();
}

/* From the commit's history entry (which may have been cut off, and an older
 * one is another move's): since when it has been paused, wall clock; 0: not
 * known.  Mostly it is the last one. */
static int64_t
paused_since(qm_engine *e, const qm_record *saved)
{
    g_autoptr(GArray) entries = NULL;
    g_autoptr(GError) ignored = NULL;
    qm_history last;

    if (qm__vault_history_at(e->vault, saved->sequence, &last) &&
        is_commit(&last))
        return last.time_us - (int64_t) last.pause_us;
    if (!qm_vault_read_history(e->vault, &entries, &ignored))
        return 0;
    for (guint i = entries->len; i-- > 0;) {
        const qm_history *h = &g_array_index(entries, qm_history, i);

        if (h->sequence <= saved->sequence &&
            h->generation == saved->generation && is_commit(h))
            return h->time_us - (int64_t) h->pause_us;
    }
    return 0;
}

static bool
resume(qm_engine *e, GError **error)
{
    if (!qm__vm_resume(e->vm, qm__engine_call(e, e->t.end), error))
        return false;
    QM_CRASH_POINT("resumed");
    return true;
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

/* The source's last entry in the history may have been cut off by our own
 * taking the vault: then the record's time counts, and what the source told. */
static int64_t
paused_about(qm_engine *e, int64_t committed)
{
    const qm_job *source;
    g_autoptr(GError) ignored = NULL;
    int64_t age;

    if (e->hints == NULL)
        return committed;
    (void) qm__hints_check(e->hints, &ignored);
    source = qm__hints_other(e->hints, &age);
    return committed -
           (source != NULL ? (int64_t) source->pause_ms * QM_MS : 0);
}

/* The record says that it is being restored here before QEMU has taken the
 * last bytes: vault and disks are taken meanwhile.  Nothing is written to a
 * disk, so that the image still counts when the load fails. */
bool
qm__engine_take_over(qm_engine *e, qm_load *load, GError **error)
{
    qm_figures figures = {.image_id = load->image_id};
    const qm_record saved = e->record;
    int64_t taking = qm__now(), since;
    qm_decision d;

    if (!await_domain(e, load, error) ||
        !qm__engine_transition(e, QM_EVENT_LOADED, &figures, e->t.end, &d,
                               error) ||
        !qm__disks_acquire(e, true, qm__engine_call(e, e->t.end), error))
        return false;
    qm__engine_report(e, "takeover", "vault and disks in %" PRIi64 " ms",
                      (qm__now() - taking) / QM_MS);
    since = paused_since(e, &saved);
    if (since == 0)
        since = paused_about(e, saved.time_us);
    if (!await_loaded(e, load, error))
        return false;
    figures.bytes = d.next.image_length;
    figures.duration_us = qm__now() - load->began;
    figures.pause_us = MAX(g_get_real_time() - since, 1);
    if (!run(e, &figures, error))
        return false;
    if (e->hints != NULL)
        qm__hints_job(e->hints)->pause_ms =
            (uint32_t) (figures.pause_us / QM_MS);
    qm__engine_report(e, "resume", "guest runs, paused for %" PRIi64 " ms",
                      figures.pause_us / QM_MS);
    return true;
}

bool
qm__engine_restore(qm_engine *e, bool *ret_bad_image, GError **error)
{
    qm_load load = {0};
    bool ok = qm__engine_load(e, NULL, &load, error) &&
              qm__engine_take_over(e, &load, error);

    *ret_bad_image = load.bad_image;
    qm__engine_load_clear(&load);
    return ok;
}
