/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The guest's state on its way into the vault: paused, or while it runs.  All
 * end in the same way: QEMU pauses the guest for the last part, or it is
 * suspended, and libvirt's call returns with the guest still paused.
 *
 * A move holds up all recovery in the cluster while it runs: when any node is
 * lost meanwhile there is something more urgent, and it is given up.
 */
#include "config.h"
#include <inttypes.h>
#include <unistd.h>
#include "crash.h"
#include "engine.h"
#include "pace.h"
#include "worker.h"
#include "stream.h"

#define LOOK_AROUND (200 * QM_MS) /* how often membership is looked at */
/* What a paused guest may need of the vault: its memory, with headers, */
#define HEADERS       64                   /* one part of it, */
#define DEVICES       (UINT64_C(16) << 20) /* bytes; */
#define ALLOWANCE_MIN (UINT64_C(8) << 20)  /* what is always there before */
#define FLUSH_EVERY   (UINT64_C(32) << 20) /* bytes, while the guest runs */
#define FOLLOWER_OLD  (2 * QM_S) /* a follower that is silent binds nobody */
#define HOLD_AT       (UINT64_C(32) << 20) /* bytes left of a pre-copy */
#define WAIT_AT_MOST  (60 * QM_S)          /* for migrate_to */
#define ASKED_AT_MOST (3 * QM_S)           /* the same, with the guest paused */
#define ASK_EVERY     (5 * QM_MS)
#define PAUSE_KNOWN   (20 * QM_MS) /* libvirt need not ask QEMU for it */
/* Time for copying, in quarters; then it is suspended. */
#define LIVE_SHARE 3
#define ONCE_SHARE 2 /* all of it may have to be copied again */

typedef struct {
    qm_engine *e;
    qm_image_writer *w;
    bool move;
    unsigned changes; /* of the live view, as reported */
    int64_t next_look;
    qm_pace pace;
    bool slow;          /* QEMU was told to copy slowly */
    int64_t waiting;    /* pre-copied, since when; 0: not yet */
    bool asked;         /* to come to the end */
    uint64_t allowance; /* bytes that may be written while it runs */
    bool suspending;    /* it is about to be: nobody is waited for */
} watch;

/* --- looking around ------------------------------------------------------ */

static bool
look_at_cluster(watch *w, GError **error)
{
    g_autofree char *lost = NULL;

    if (!w->move || !qm__passed(w->next_look))
        return true;
    w->next_look = qm__deadline_in(LOOK_AROUND);
    if (!qm__cluster_lost(w->e->cluster, &lost, error))
        return false;
    if (lost == NULL)
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_CANCELLED,
                "the move is cancelled: the cluster lost %s", lost);
    return false;
}

static void
look_at_live(watch *w, qm_job *job)
{
    uint64_t capacity = qm_vault_get_info(w->e->vault)->image_capacity;
    uint64_t written = qm__image_written(w->w);
    qm_live_view view;

    qm__live_set_room(w->e->live, capacity > written ? capacity - written : 0);
    qm__live_look(w->e->live, &view);
    if (view.changes != w->changes)
        qm__engine_report(w->e, "live", "%s", view.text);
    w->changes = view.changes;
    /* QEMU suspends a guest only while its stream goes on. */
    if (w->e->copy == QM_COPY_ONCE && view.progress.iteration > 1)
        w->suspending = true;
    if (view.suspended_at != 0 && w->e->paused_at == 0) {
        w->e->paused_at = view.suspended_at;
        if (job != NULL)
            job->phase = QM_PHASE_PAUSED;
    }
    if (job == NULL)
        return;
    qm__pace_look(&w->pace, view.progress.remaining, written, view.looked_at);
    w->slow = view.slow;
    job->dirty_rate = view.progress.dirty_rate;
    job->expected_pause_ms = view.expected_pause_ms;
    if (view.progress.active)
        job->total = written + view.progress.remaining;
}

/* What lies in pipes and helpers when QEMU pauses the guest, or has not been
 * loaded by the target, prolongs the pause.  The last of a pass may be the last
 * of all: slowly, so that all of them keep up.  Not before the target does:
 * QEMU might come to its end while the writer waits for it; and not of a
 * pre-copy, for which Pacemaker waits. */
static void
slow_down(watch *w, const qm_job *job, const qm_job *target)
{
    uint64_t left = qm__pace_left(&w->pace, qm__image_written(w->w)), speed;

    if (w->slow || w->pace.left == 0 || w->e->precopy ||
        w->e->copy != QM_COPY_LIVE || target == NULL ||
        !qm__pace_has_come(&w->pace, target->bytes))
        return;
    speed = qm__converge_slow(job->rate, left, job->dirty_rate);
    if (speed == 0)
        return;
    w->slow = true;
    qm__live_slow_down(w->e->live, speed);
}

/* A target that follows, or is about to. */
static const qm_job *
follower(const watch *w)
{
    int64_t age = 0;
    const qm_job *target = qm__hints_other(w->e->hints, &age);
    bool there =
        target != NULL && age <= FOLLOWER_OLD &&
        (target->phase == QM_PHASE_READY || target->phase == QM_PHASE_COPY);

    return there ? target : NULL;
}

/* Memory that is copied once, while the guest runs, takes as much of the vault
 * as it does once more, at worst: when there is no room for that, the guest is
 * suspended as soon as the target can take what comes. */
static void
suspend_for_room(watch *w)
{
    const qm_job *target;

    if (w->suspending || qm__image_written(w->w) < w->allowance)
        return;
    target = follower(w);
    if (target != NULL && qm__pace_is_cold(&w->pace, target->bytes, qm__now()))
        return;
    w->suspending = true;
    qm__live_suspend(w->e->live);
}

static bool
keep_going(void *opaque, GError **error)
{
    watch *w = opaque;
    qm_hints *h = w->e->hints;
    qm_job *job = h != NULL ? qm__hints_job(h) : NULL;
    int64_t took = qm__now() - w->pace.began - qm__image_idle(w->w);
    g_autofree char *decision = qm__image_writer_decision(w->w);

    if (decision != NULL)
        qm__engine_report(w->e, "compress", "%s", decision);
    if (w->e->precopy)
        qm__worker_alive(qm__engine_uuid(w->e));
    if (w->waiting != 0 && !w->asked && qm__now() - w->waiting > WAIT_AT_MOST) {
        g_set_error(error, QM_ERROR, QM_ERROR_CANCELLED,
                    "pre-copied, but Pacemaker has not asked for the move");
        return false;
    }
    if (w->e->live != NULL)
        look_at_live(w, job);
    if (h != NULL) {
        job->bytes = qm__image_landed(w->w);
        job->rate =
            (uint64_t) ((double) job->bytes * QM_S / (double) MAX(took, 1));
        qm__hints_progress(h);
        if (!qm__hints_check(h, error))
            return false;
        suspend_for_room(w);
        slow_down(w, job, follower(w));
    }
    return look_at_cluster(w, error);
}

/* A pre-copy stops just before the end of the first pass: QEMU, which cannot
 * write on, can neither end nor pause the guest, until migrate_to asks for
 * it. */
static bool
is_waiting(watch *w)
{
    qm_live_view view;

    if (!w->e->precopy || w->asked)
        return false;
    w->asked = qm__worker_asked(qm__engine_uuid(w->e));
    if (w->asked) {
        QM_CRASH_POINT("precopy-asked");
        qm__live_release(w->e->live);
    }
    if (w->asked || w->waiting != 0)
        return !w->asked;
    qm__live_look(w->e->live, &view);
    if (!view.progress.active || view.progress.total == 0 ||
        (view.progress.remaining > HOLD_AT && view.progress.iteration <= 1))
        return false;
    w->waiting = qm__now();
    qm__hints_phase(w->e->hints, QM_PHASE_WAIT, NULL);
    QM_CRASH_POINT("precopy-waits");
    qm__engine_report(w->e, "precopy",
                      "%" PRIu64 " bytes copied, waiting for "
                      "Pacemaker",
                      qm__image_written(w->w));
    return true;
}

static qm_pace_verdict
pace(watch *w, const qm_job *target)
{
    qm_pace_sample s = {.now = qm__now(),
                        .written = qm__image_written(w->w),
                        .landed = qm__image_landed(w->w),
                        .followed = target->bytes,
                        .slow = w->slow};
    bool mark;
    qm_pace_verdict verdict = qm__pace(&w->pace, &s, &mark);

    if (mark) {
        qm__hints_job(w->e->hints)->bytes = w->pace.mark;
        qm__hints_tell(w->e->hints);
    }
    return verdict;
}

static uint64_t
bound(void *opaque, bool *ret_storage)
{
    watch *w = opaque;
    const qm_job *target;
    qm_pace_verdict verdict;
    g_autoptr(GError) ignored = NULL; /* keep_going() will see it, too */

    if (w->e->hints == NULL || w->e->paused_at != 0 || w->suspending)
        return UINT64_MAX;
    (void) qm__hints_check(w->e->hints, &ignored);
    if (is_waiting(w)) {
        *ret_storage = false;
        return 0;
    }
    target = follower(w);
    verdict = target != NULL ? pace(w, target) : QM_PACE_GO;
    *ret_storage = verdict != QM_PACE_COLD;
    return verdict == QM_PACE_GO ? w->allowance : 0;
}

/* --- streaming ----------------------------------------------------------- */

/* QEMU ends the copy by itself as soon as what is left fits into the allowed
 * pause; its default is longer than anybody wants to begin with. */
static bool
begin_short(qm_engine *e, int64_t deadline, GError **error)
{
    unsigned ms = CLAMP(e->params.downtime_limit_ms, 1, QM_CONVERGE_FIRST_MS);

    if (e->precopy) /* not before it was asked for */
        ms = 1;
    return qm__vm_set_downtime(e->vm, ms, qm__engine_call(e, deadline), error);
}

static bool
start_live(qm_engine *e, int64_t deadline, GError **error)
{
    int64_t time = qm__remaining(deadline);
    bool once = e->copy == QM_COPY_ONCE;
    qm_converge_limits limits = {
        .downtime_limit_ms = e->params.downtime_limit_ms,
        .until = deadline - time + time / 4 * (once ? ONCE_SHARE : LIVE_SHARE),
        .once = once,
    };

    return qm__live_start(e->params.hypervisor, qm__engine_uuid(e), &limits,
                          e->precopy, qm__engine_call(e, deadline), &e->live,
                          error);
}

/* Streams the guest's state into the log, all but the last chunk. */
static bool
stream_out(qm_fifo *fifo, qm_vm_job *job, watch *w, int64_t deadline,
           GError **error)
{
    uint8_t header[QM_SAVE_HEADER];

    /* Whoever asks libvirt about a job that is only beginning waits for it,
     * half a minute: so not before the header has come. */
    return qm__fifo_take(fifo, qm__vm_job_fd(job), deadline, header, error) &&
           (w->e->copy == QM_COPY_PAUSED ||
            start_live(w->e, deadline, error)) &&
           qm__image_write_from(w->w, qm__fifo_fd(fifo), header, sizeof header,
                                deadline, keep_going, w, error);
}

/* The stream has ended, so the guest is paused.  What it wrote must be durable
 * before an image says "go on from here"; the last chunk only after libvirt's
 * success. */
static bool
finish_image(qm_engine *e, qm_vm_job *job, qm_image_writer *w, int64_t deadline,
             GError **error)
{
    if (!qm__disks_drain(e, qm__engine_call(e, deadline), error) ||
        !qm__vm_job_wait(job, deadline, error))
        return false;
    QM_CRASH_POINT("save-returned");
    if (!qm__image_write_last(w, deadline, error))
        return false;
    QM_CRASH_POINT("image-whole");
    return true;
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

/* QEMU paused the guest by itself, a little before its stream @ended. */
static void
note_pause(qm_engine *e, int64_t ended)
{
    int64_t elapsed, downtime;
    qm_live_view view;
    bool known;

    if (e->paused_at != 0)
        return;
    qm__live_look(e->live, &view);
    known = view.began != 0 && qm__vm_pause(e->vm, qm__deadline_in(PAUSE_KNOWN),
                                            &elapsed, &downtime);
    e->paused_at = known ? MIN(view.began + elapsed - downtime, ended) : ended;
    qm__engine_report(e, "live",
                      "the copy converged: QEMU paused the guest %s%" PRIi64
                      " ms before it had written all",
                      known ? "" : "at least ", (ended - e->paused_at) / QM_MS);
}

/* The memory was copied to its end before the pre-copy could be held: the
 * guest is paused, so there is no long wait.  Without Pacemaker's asking for
 * the move it must not be committed. */
static bool
await_asking(watch *w, GError **error)
{
    int64_t until = qm__deadline_in(ASKED_AT_MOST);

    if (!w->e->precopy || w->asked)
        return true;
    if (w->waiting == 0)
        qm__hints_phase(w->e->hints, QM_PHASE_WAIT, NULL);
    while (!qm__worker_asked(qm__engine_uuid(w->e))) {
        if (qm__passed(until)) {
            g_set_error(error, QM_ERROR, QM_ERROR_CANCELLED,
                        "copied, but Pacemaker has not asked for the move");
            return false;
        }
        g_usleep(ASK_EVERY);
    }
    return true;
}

static bool
run_stream(qm_engine *e, qm_fifo *fifo, qm_vm_job *job, watch *w,
           int64_t deadline, GError **error)
{
    int64_t ended;

    if (!stream_out(fifo, job, w, deadline, error))
        return false;
    QM_CRASH_POINT("stream-ended");
    ended = qm__now();
    if (e->live != NULL)
        qm__live_ended(e->live);
    if (!await_asking(w, error) || !finish_image(e, job, w->w, deadline, error))
        return false;
    note_pause(e, ended);
    return true;
}

/* Of a copy that goes over the memory once; a live one has been refused where
 * there is no room for it. */
static uint64_t
allowance(const qm_engine *e)
{
    uint64_t capacity = qm_vault_get_info(e->vault)->image_capacity;
    uint64_t paused = e->dom->memory + e->dom->memory / HEADERS + DEVICES;

    if (e->copy != QM_COPY_ONCE)
        return UINT64_MAX;
    return MAX(capacity > paused ? capacity - paused : 0, ALLOWANCE_MIN);
}

bool
qm__engine_stream(qm_engine *e, const qm_node *target, int64_t deadline,
                  uint64_t *ret_length, GError **error)
{
    bool runs = e->copy != QM_COPY_PAUSED;
    g_autofree char *dir = qm__vm_path(qm__engine_uuid(e), NULL);
    g_autoptr(qm_image_writer) writer = NULL;
    g_autoptr(qm_fifo) fifo = NULL;
    g_autoptr(qm_vm_job) job = NULL;
    watch w = {.e = e,
               .move = target != NULL,
               .pace.began = qm__now(),
               .allowance = allowance(e)};
    qm_store *store;
    bool ok;

    qm__vault_set_deadline(e->vault, deadline);
    if (!qm__vault_image(e->vault, e->record.image_id, true, &store, error) ||
        !qm__fifo_new(dir, QM_FIFO_SAVE, &fifo, error) ||
        (runs && !begin_short(e, deadline, error)) ||
        !qm__vm_save_begin(e->vm, qm__fifo_path(fifo), runs, &job, error))
        return false;
    QM_CRASH_POINT("save-begun");
    writer = qm__image_writer_new(store, qm__engine_uuid(e), e->record.image_id,
                                  e->params.compress);
    w.w = writer;
    if (!qm__image_writer_encrypt(writer, e->image_key, error)) {
        end_job(e, fifo, job, error);
        return false;
    }
    /* So that little is left to be made durable when the guest is paused. */
    if (runs)
        qm__image_writer_flush_every(writer, FLUSH_EVERY);
    if (runs && e->hints != NULL)
        qm__image_writer_bound(writer, bound, qm__hints_fd(e->hints), &w);
    ok = run_stream(e, fifo, job, &w, deadline, error);
    if (!ok)
        end_job(e, fifo, job, error);
    else
        *ret_length = qm__image_written(writer);
    return ok;
}

bool
qm__engine_suspend(qm_engine *e, GError **error)
{
    if (!qm__vm_suspend(e->vm, qm__engine_call(e, e->t.work), error))
        return false;
    e->paused_at = qm__now();
    QM_CRASH_POINT("suspended");
    qm__engine_report(e, "suspend", "guest paused");
    return true;
}
