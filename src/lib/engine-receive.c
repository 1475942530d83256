/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The target's side of a move, ahead of migrate_from: log in to the storage,
 * follow the image while the source writes it, and, when the record says that
 * it is committed, take over.
 *
 * It acts under the VM's node lock, for one image only, and never for one that
 * was tombstoned here.  Until the vault is its own it owns nothing: whatever
 * goes wrong, what it loaded is destroyed, and migrate_from does the work.  It
 * may be killed at any line.
 */
#include "config.h"
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include "crash.h"
#include "engine.h"
#include "worker.h"

#define LOCK_AT_MOST   (5 * QM_S)
#define LOOK_EVERY     (100 * QM_MS) /* at the record, while following */
#define BEGIN_EVERY    (5 * QM_MS)   /* until the source begins to save */
#define COMMIT_EVERY   QM_MS         /* when only the commit is awaited */
#define BEGIN_AT_MOST  (20 * QM_S)
#define COMMIT_AT_MOST (30 * QM_S)
#define FINISH_AT_MOST (20 * QM_MS) /* for the rest of what a commit writes */

typedef struct {
    qm_engine *e;
    uint64_t image_id;
    uint32_t source;
    qm_image_reader *reader; /* while it reads */
    int64_t next_look;
} receiver;

static bool
refuse(const receiver *r, const char *why, GError **error)
{
    g_set_error(error, QM_ERROR, QM_ERROR_REFUSED,
                "image %" PRIu64 " of VM %s is not received: %s", r->image_id,
                qm_vault_get_info(r->e->vault)->name, why);
    return false;
}

/* Is the record still about this image, on its way here?  @ret_begun: the
 * source is saving it, or has. */
static bool
check_record(receiver *r, bool *ret_begun, GError **error)
{
    qm_record *record = &r->e->record;
    bool about;

    if (!qm_vault_read_record(r->e->vault, record, error))
        return false;
    *ret_begun = false;
    if (record->image_id + 1 == r->image_id)
        return record->owner.id == r->source ||
               refuse(r, "another node owns it", error);
    about =
        record->image_id == r->image_id &&
        (record->state == QM_STATE_SAVING || record->state == QM_STATE_SAVED) &&
        record->target.id == qm__cluster_self(r->e->cluster)->id;
    if (!about)
        return refuse(r, "the move was given up", error);
    *ret_begun = true;
    return true;
}

static bool
source_is_there(receiver *r, GError **error)
{
    bool member;

    if (!qm__cluster_is_member(r->e->cluster, r->source, &member, error))
        return false;
    return member || r->e->record.state == QM_STATE_SAVED ||
           refuse(r, "the cluster lost its source", error);
}

static void
read_ahead(const receiver *r)
{
    int64_t age;
    const qm_job *source = qm__hints_other(r->e->hints, &age);

    if (r->reader != NULL && source != NULL)
        qm__image_reader_is_there(r->reader, source->bytes);
}

static bool
keep_going(void *opaque, GError **error)
{
    receiver *r = opaque;
    qm_engine *e = r->e;
    qm_job *job = qm__hints_job(e->hints);
    bool begun;

    qm__worker_alive(qm__engine_uuid(e));
    if (r->reader != NULL) {
        job->bytes = qm__image_read_bytes(r->reader);
        qm__hints_progress(e->hints);
    }
    if (!qm__hints_check(e->hints, error))
        return false;
    read_ahead(r);
    if (!qm__passed(r->next_look))
        return true;
    r->next_look = qm__deadline_in(LOOK_EVERY);
    return check_record(r, &begun, error) && source_is_there(r, error);
}

/* Looks at the record until it says what is awaited. */
static bool
await_record(receiver *r, qm_state state, int64_t every, int64_t at_most,
             GError **error)
{
    int64_t until = MIN(qm__deadline_in(at_most), r->e->t.work);

    for (;;) {
        bool begun;

        qm__worker_alive(qm__engine_uuid(r->e));
        qm__vault_set_deadline(r->e->vault, qm__engine_call(r->e, until));
        if (!check_record(r, &begun, error) ||
            !qm__hints_check(r->e->hints, error))
            return false;
        if (begun && (r->e->record.state == state ||
                      r->e->record.state == QM_STATE_SAVED))
            return true;
        if (qm__passed(until))
            return refuse(r, "the source does not go on", error);
        qm__hints_progress(r->e->hints);
        g_usleep((gulong) every);
    }
}

/* Asked when the vault is being acquired. */
static bool
right_to_receive(const qm_record *record, void *engine, GError **error)
{
    qm_engine *e = engine;

    if (record->state == QM_STATE_SAVED &&
        record->image_id == qm__hints_job(e->hints)->image_id &&
        record->target.id == qm__cluster_self(e->cluster)->id &&
        !qm__tombstone_is_set(qm__engine_uuid(e), record->image_id))
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_REFUSED,
                "VM %s is %s: its image is not this worker's any more",
                qm_vault_get_info(e->vault)->name,
                qm_state_name(record->state));
    return false;
}

/* What has to be so before anything is touched here: an offer may be late, or
 * wrong.  An action that was cut off here is settled by start or stop. */
static bool
may_begin(receiver *r, GError **error)
{
    qm_engine *e = r->e;
    g_autofree char *marker = qm__marker_get(qm__engine_uuid(e));
    qm_vm_state state;
    bool begun;

    if (qm__tombstone_is_set(qm__engine_uuid(e), r->image_id))
        return refuse(r, "it was tombstoned here", error);
    if (marker != NULL)
        return refuse(r, "an action was cut off here", error);
    if (!check_record(r, &begun, error) ||
        !qm__vm_get_state(e->vm, qm__engine_call(e, e->t.end), &state, error))
        return false;
    return state == QM_VM_NONE ||
           refuse(r, "a domain of this VM is active here", error);
}

/* Everything that can be done before the first byte comes. */
static bool
prepare(receiver *r, GError **error)
{
    qm_engine *e = r->e;

    qm__room_keep(qm__engine_uuid(e));
    if (!qm__engine_need_xml(e, error) || !qm__engine_need_key(e, error) ||
        !qm__engine_note(e, 0, error) ||
        !qm__disks_standby(e, qm__engine_call(e, e->t.end), error) ||
        !qm__disks_check_identity(e, qm__engine_call(e, e->t.end), error))
        return false;
    qm__engine_need_fencing(e);
    qm__hints_phase(e->hints, QM_PHASE_READY, NULL);
    QM_CRASH_POINT("ready");
    return true;
}

/* The record says SAVED as soon as its first copy does. The entry in the
 * history is what the source writes last: who takes the vault before cuts it
 * off. One that died in between is not waited for. */
static void
let_source_finish(const receiver *r)
{
    int64_t until = qm__deadline_in(FINISH_AT_MOST);
    qm_history entry;

    while (!qm__vault_history_at(r->e->vault, r->e->record.sequence, &entry) &&
           !qm__passed(until))
        g_usleep(COMMIT_EVERY);
}

static bool
follow(receiver *r, qm_load *load, GError **error)
{
    const qm_following following = {keep_going, r, &r->reader};

    if (!await_record(r, QM_STATE_SAVING, BEGIN_EVERY, BEGIN_AT_MOST, error))
        return false;
    qm__hints_phase(r->e->hints, QM_PHASE_COPY, NULL);
    if (!qm__engine_load(r->e, &following, load, error))
        return false;
    qm__hints_soon(r->e->hints, QM_PHASE_LOADED);
    QM_CRASH_POINT("followed");
    if (!await_record(r, QM_STATE_SAVED, COMMIT_EVERY, COMMIT_AT_MOST, error))
        return false;
    let_source_finish(r);
    return true;
}

/* Nothing was taken over: it only goes.  false: something is left. */
static bool
drop(receiver *r)
{
    g_autoptr(GError) why = NULL;

    if (!qm__engine_clear(r->e, r->e->t.end, &why)) {
        qm__engine_report(r->e, "receive", "leftover: %s", why->message);
        return false;
    }
    qm__local_remove(qm_vault_get_url(r->e->vault));
    return true;
}

/* While this worker waited for the vault the VM may have been started
 * elsewhere: Pacemaker does not always stop it here then, so that what was
 * loaded has to go by itself. */
static bool
acquire(receiver *r, GError **error)
{
    qm_engine *e = r->e;

    qm__hints_soon(e->hints, QM_PHASE_TAKEOVER);
    if (qm__engine_acquire(e, right_to_receive, e->t.work, error))
        return true;
    if (drop(r))
        qm__engine_done(e);
    return false;
}

static void
open_hints(qm_engine *e, const qm_message *offer)
{
    qm_job job = offer->job;

    job.side = QM_SIDE_TARGET;
    job.phase = QM_PHASE_PREPARE;
    job.bytes = job.rate = 0;
    e->hints = qm__hints_new(&job);
}

static bool
receive_image(receiver *r, qm_load *load, GError **error)
{
    qm_engine *e = r->e;

    if (!prepare(r, error) || !follow(r, load, error)) {
        drop(r);
        return false;
    }
    /* From here on a stop or start has to find out how far it came. */
    if (!qm__engine_mark(e, error) || !acquire(r, error) ||
        !qm__engine_take_over(e, load, error))
        return false;
    qm__engine_done(e);
    (void) qm__engine_note(e, e->record.generation, NULL);
    return true;
}

static bool
receive_locked(receiver *r, GError **error)
{
    qm_load load = {0};
    bool ok;

    if (!may_begin(r, error))
        return false;
    ok = receive_image(r, &load, error);
    qm__engine_load_clear(&load);
    return ok;
}

bool
qm__engine_receive(qm_engine *e, const qm_message *offer, GError **error)
{
    receiver r = {
        .e = e, .image_id = offer->job.image_id, .source = offer->job.source};
    g_autoptr(GError) why = NULL;

    open_hints(e, offer);
    if (qm__engine_lock(e, QM_WORKER_WAIT,
                        MIN(e->t.work, qm__deadline_in(LOCK_AT_MOST)), &why) &&
        qm__worker_register(qm__engine_uuid(e), NULL, &why) &&
        receive_locked(&r, &why)) {
        qm__worker_unregister(qm__engine_uuid(e));
        qm__hints_phase(e->hints, QM_PHASE_DONE, NULL);
        return true;
    }
    if (e->lock != NULL)
        qm__worker_unregister(qm__engine_uuid(e));
    qm__hints_phase(e->hints, QM_PHASE_FAILED, why->message);
    g_propagate_error(error, g_steal_pointer(&why));
    return false;
}
