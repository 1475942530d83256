/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The gate itself: the session's life, and what happens when it is lost or
 * taken away.
 *
 * Fail-stop: once the LUN was taken by another nexus nothing more is sent,
 * nothing more is answered, and the QEMU at the other end is killed.  A
 * session that is merely lost is replaced by a new one, which acquires the
 * LUN again under the same rules as at first; until then requests wait.
 */
#include "config.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "crash.h"
#include "gate.h"
#include "log.h"
#include "timeouts.h"

#define WARN_EVERY    (10 * QM_S)
#define PING_AFTER    (2 * QM_S)  /* nothing heard for so long: ask */
#define ATTEMPT_LIMIT (30 * QM_S) /* one login and acquire */
#define RETRY_MIN     (20 * QM_MS)
#define RETRY_MAX     (1 * QM_S)

/* --- states -------------------------------------------------------------- */

void
gate_set_reason(gate *g, const char *why)
{
    char *copy = g_strdup(why);

    g_free(g->reason);
    g->reason = copy;
}

bool
gate_is_drained(const gate *g)
{
    return g->state == QM_GATE_DRAINED ||
           (g->state == QM_GATE_RECONNECTING && g->after == QM_GATE_DRAINED);
}

static void
set_state(gate *g, qm_gate_state next, const char *why)
{
    if (next == g->state)
        return;
    qm__log(next == QM_GATE_FENCED && !gate_is_drained(g) ? QM_LOG_ERROR
                                                          : QM_LOG_NOTICE,
            "disk %s: %s -> %s: %s", g->settings->disk,
            qm__gate_state_name(g->state), qm__gate_state_name(next), why);
    g->state = next;
    QM_CRASH_POINT_OF("gate", qm__gate_state_name(next));
}

bool
gate_event_happened(gate *g, gate_event event, const char *why)
{
    gate_step step = gate_step_for(g->state, event);

    switch (step.verdict) {
    case GATE_GO:
        set_state(g, step.next, why);
        return true;
    case GATE_AFTER:
        set_state(g, g->after, why);
        return true;
    case GATE_LATER:
        g->after = step.next;
        return true;
    case GATE_STAY:
        return true;
    case GATE_REFUSE:
        return false;
    case GATE_BUG:
        break;
    }
    qm__error("disk %s: bug: \"%s\" in state %s", g->settings->disk,
              gate_event_name(event), qm__gate_state_name(g->state));
    return false;
}

static void
tell(gate *g, gate_news news, const GError *error)
{
    if (g->notify != NULL)
        g->notify(g->notify_opaque, news, error);
}

/* --- fencing ------------------------------------------------------------- */

void
gate_must_fence(gate *g, const char *why)
{
    if (g->fence_reason == NULL)
        g->fence_reason = g_strdup(why);
}

/* What is in flight comes back as lost before. */
static void
drop_session(gate *g)
{
    if (g->lun != NULL)
        qm__lun_fail(g->lun);
    qm__lun_drop(g->lun);
    g->lun = NULL;
    g->lost = false;
    g->polling = false;
    g->flushing = false;
}

void
gate_fence(gate *g)
{
    g_autofree char *why = g_steal_pointer(&g->fence_reason);
    g_autoptr(GError) error = NULL;

    clients_kill(g);
    gate_set_reason(g, why);
    if (gate_is_drained(g))
        qm__notice("VM \"%s\" has left node %s: disk %s (%s): %s; all that was "
                   "written here is on it",
                   g->settings->vm_name, g_get_host_name(), g->settings->disk,
                   g->settings->url.text, why);
    else
        qm__error("VM \"%s\" on node %s lost disk %s (%s) for good: %s; "
                  "nothing more is written from here",
                  g->settings->vm_name, g_get_host_name(), g->settings->disk,
                  g->settings->url.text, why);
    (void) gate_event_happened(g, GATE_EVENT_FENCE, why); /* never refused */
    drop_session(g);
    g->retry_at = 0; /* nothing is tried any more: nothing to wake up for */
    g_set_error(&error, QM_ERROR, QM_ERROR_CONFLICT, "the gate is fenced: %s",
                why);
    tell(g, GATE_ACQUIRE_ENDED, error);
    tell(g, GATE_DRAIN_ENDED, error);
}

/* --- the session --------------------------------------------------------- */

static int64_t
pause_after(unsigned failures)
{
    int64_t limit = RETRY_MIN << MIN(failures, 6u);

    limit = MIN(limit, RETRY_MAX);
    return g_random_int_range((gint32) (limit / 2), (gint32) limit);
}

static void
retry_later(gate *g)
{
    g->failures++;
    g->retry_at = qm__deadline_in(pause_after(g->failures));
}

/* A failure that an administrator has to see, but not at every attempt: one of
 * another kind at once, the same in other words now and then. */
static void
note_trouble(gate *g, const char *what, const GError *error)
{
    bool same = g->reason != NULL && strcmp(g->reason, error->message) == 0;

    if (g->reason == NULL || error->code != g->warned_of ||
        (!same && qm__now() - g->warned_at >= WARN_EVERY)) {
        qm__warning("disk %s: %s: %s", g->settings->disk, what, error->message);
        g->warned_at = qm__now();
        g->warned_of = error->code;
    }
    gate_set_reason(g, error->message);
}

static bool
is_passing(const GError *error)
{
    return g_error_matches(error, QM_ERROR, QM_ERROR_CONFLICT) ||
           g_error_matches(error, QM_ERROR, QM_ERROR_LOST) ||
           g_error_matches(error, QM_ERROR, QM_ERROR_TIMEOUT);
}

static void
acquire_failed(gate *g, const GError *error)
{
    if (is_passing(error) && !qm__passed(g->give_up_at)) {
        note_trouble(g, "trying again to take it", error);
        retry_later(g);
        return;
    }
    gate_set_reason(g, error->message);
    (void) gate_event_happened(g, GATE_EVENT_NOT_ACQUIRED, error->message);
    g->generation = 0;
    tell(g, GATE_ACQUIRE_ENDED, error);
}

static void
reconnect_failed(gate *g, const GError *error)
{
    /* The last attempt was cut short by the limit: an earlier one tells. */
    bool cut = g_error_matches(error, QM_ERROR, QM_ERROR_TIMEOUT);
    g_autofree char *why = NULL;

    if (g_error_matches(error, QM_ERROR, QM_ERROR_REFUSED) ||
        g_error_matches(error, QM_ERROR, QM_ERROR_FOREIGN)) {
        gate_must_fence(g, error->message);
    } else if (qm__passed(g->give_up_at)) {
        why = g_strdup_printf(
            "not taken again within %u s: %s", g->settings->reconnect_limit_s,
            cut && g->reason != NULL ? g->reason : error->message);
        gate_must_fence(g, why);
    } else {
        note_trouble(g, "cannot be taken again yet", error);
        retry_later(g);
    }
}

static void
job_failed(gate *g, const GError *error)
{
    switch (g->state) {
    case QM_GATE_ACQUIRING:
        acquire_failed(g, error);
        break;
    case QM_GATE_RECONNECTING:
        reconnect_failed(g, error);
        break;
    case QM_GATE_FENCED:
        break;
    default:
        note_trouble(g, "cannot log in", error);
        retry_later(g);
        break;
    }
}

static void
take_session(gate *g, const session_result *result)
{
    g->lun = result->lun;
    g->info = *qm__lun_info(g->lun);
    g->lost = false;
    g->failures = 0;
    g->retry_at = 0;
    g_clear_pointer(&g->reason, g_free);
}

static void
acquired(gate *g, const session_result *result)
{
    bool again = g->state == QM_GATE_RECONNECTING;

    g->key = result->key;
    g->unfenced = result->unfenced;
    if (g->unfenced)
        qm__warning("disk %s: UNFENCED: its target knows no reservations, and "
                    "allow_unfenced is set: only cluster fencing keeps an "
                    "earlier owner's writes away",
                    g->settings->disk);
    g->counters.reconnects += again;
    (void) gate_event_happened(g, GATE_EVENT_ACQUIRED,
                               again ? "taken again" : "taken");
    tell(g, GATE_ACQUIRE_ENDED, NULL);
}

static void
job_ended(void *opaque, uint32_t events)
{
    gate *g = opaque;
    g_autoptr(GError) error = NULL;
    session_result result;
    uint64_t count;

    if (read(g->job_done, &count, sizeof count) < 0)
        return; /* woken for nothing */
    session_finish(g->job, &result);
    g->job = NULL;
    error = result.error;
    if (g->state == QM_GATE_FENCED) {
        qm__lun_drop(result.lun);
        return;
    }
    if (error != NULL) {
        job_failed(g, error);
        return;
    }
    take_session(g, &result);
    if (result.acquired)
        acquired(g, &result);
    queue_pump(g);
}

static void
start_job(gate *g, bool acquire)
{
    session_order order = {
        .acquire = acquire,
        .need_quorum = g->state == QM_GATE_RECONNECTING,
        .generation = g->generation,
        .lun = g->lun,
        .expected = g->info,
        .deadline = qm__deadline_in(ATTEMPT_LIMIT),
    };

    if (acquire)
        order.deadline = MIN(order.deadline, g->give_up_at);
    g->lun = NULL;
    g->job = session_start(g->settings, &order, g->job_done);
}

/* Starts what the state needs.  A session goes to the helper only when no
 * command is out on it. */
void
gate_drive_session(gate *g, int64_t now)
{
    if (g->job != NULL || now < g->retry_at || g->fence_reason != NULL)
        return;
    if (g->state == QM_GATE_STANDBY && g->lun == NULL)
        start_job(g, false);
    else if ((g->state == QM_GATE_ACQUIRING ||
              g->state == QM_GATE_RECONNECTING) &&
             g->n_in_flight == 0 && !g->polling && !g->flushing)
        start_job(g, true);
}

void
gate_session_lost(gate *g)
{
    static const char why[] = "the session with the target is lost";

    drop_session(g);
    g_clear_pointer(&g->reason, g_free); /* of before */
    g->retry_at = 0;
    g->key = 0;
    if (gate_state_owns(g->state)) {
        g->after = g->state;
        g->give_up_at =
            qm__deadline_in((int64_t) g->settings->reconnect_limit_s * QM_S);
    }
    if (g->state == QM_GATE_STANDBY)
        qm__notice("disk %s: %s, logging in again", g->settings->disk, why);
    (void) gate_event_happened(g, GATE_EVENT_LOST, why); /* never refused */
}

/* --- orders -------------------------------------------------------------- */

static bool
refuse(const gate *g, const char *what, GError **error)
{
    g_set_error(error, QM_ERROR, QM_ERROR_REFUSED,
                "the gate cannot %s while it is %s%s%s", what,
                qm__gate_state_name(g->state), g->reason != NULL ? ": " : "",
                g->reason != NULL ? g->reason : "");
    return false;
}

static bool
is_busy_for(const gate *g, uint64_t generation, GError **error)
{
    bool working =
        g->state == QM_GATE_ACQUIRING || g->state == QM_GATE_RECONNECTING;

    if (generation == g->generation)
        return false;
    if (working || (gate_state_owns(g->state) && clients_pid(g) != 0)) {
        g_set_error(error, QM_ERROR, QM_ERROR_BUSY,
                    "the gate is %s for generation %" PRIu64
                    " (client process %d), asked to acquire generation "
                    "%" PRIu64,
                    qm__gate_state_name(g->state), g->generation,
                    (int) clients_pid(g), generation);
        return true;
    }
    return false;
}

bool
gate_acquire(gate *g, uint64_t generation, bool hold, int64_t deadline,
             bool *ret_ended, GError **error)
{
    bool working =
        g->state == QM_GATE_ACQUIRING || g->state == QM_GATE_RECONNECTING;

    *ret_ended = g->settings->read_only;
    if (g->settings->read_only)
        return true; /* nothing to reserve */
    if (is_busy_for(g, generation, error))
        return false;
    if (generation == g->generation &&
        (g->state == QM_GATE_HOLDING || g->state == QM_GATE_OPEN)) {
        *ret_ended = true;
        return true;
    }
    if (!gate_event_happened(g, GATE_EVENT_ACQUIRE, "asked to take it"))
        return refuse(g, "acquire", error);
    if (!working) {
        if (g->key != 0) /* a new generation is a new login, with a new key */
            drop_session(g);
        g->key = 0;
        g->generation = generation;
        g->after = hold ? QM_GATE_HOLDING : QM_GATE_OPEN;
        g->give_up_at = deadline;
        g->retry_at = 0;
    }
    return true;
}

bool
gate_open(gate *g, GError **error)
{
    if (g->settings->read_only)
        return true;
    if (!gate_event_happened(g, GATE_EVENT_OPEN, "asked to open"))
        return refuse(g, "open", error);
    queue_pump(g);
    return true;
}

bool
gate_drain(gate *g, bool *ret_ended, GError **error)
{
    if (!gate_event_happened(g, GATE_EVENT_DRAIN, "asked to drain"))
        return refuse(g, "drain", error);
    *ret_ended = g->state == QM_GATE_STANDBY || g->state == QM_GATE_DRAINED;
    return true;
}

void
gate_drain_ended(gate *g, bool ok)
{
    g_autoptr(GError) error = NULL;

    if (g->state != QM_GATE_DRAINING)
        return; /* opened meanwhile */
    if (!ok)
        g_set_error(&error, QM_ERROR, QM_ERROR_IO,
                    "disk %s: the target cannot flush its cache",
                    g->settings->disk);
    (void) gate_event_happened(g,
                               ok ? GATE_EVENT_DRAINED : GATE_EVENT_NOT_DRAINED,
                               ok ? "all is written" : "the flush failed");
    tell(g, GATE_DRAIN_ENDED, error);
    queue_pump(g);
}

/* --- life ---------------------------------------------------------------- */

gate *
gate_new(const gate_settings *settings, loop *l)
{
    gate *g = g_new0(gate, 1);

    g->settings = settings;
    g->loop = l;
    g->state = QM_GATE_STANDBY;
    g->after = QM_GATE_STANDBY;
    g->pool = request_pool_new();
    g->clients = g_ptr_array_new();
    g->processes = g_ptr_array_new();
    queue_init(g);
    g->job_done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (g->job_done < 0)
        g_error("eventfd: %s", g_strerror(errno));
    g->job_source = loop_add(l, g->job_done, EPOLLIN, job_ended, g);
    return g;
}

bool
gate_first_login(gate *g, int64_t deadline, GError **error)
{
    session_order order = {.deadline = deadline};
    session_result result;
    uint64_t count;

    session_finish(session_start(g->settings, &order, g->job_done), &result);
    (void) !read(g->job_done, &count, sizeof count); /* known already */
    if (result.error != NULL) {
        g_propagate_error(error, result.error);
        return false;
    }
    take_session(g, &result);
    g->export.size = g->info.size;
    g->export.block_size = g->info.block_size;
    g->export.read_only = g->settings->read_only || g->info.read_only;
    return true;
}

/* Politely: nothing is in flight when a gate is told to quit. */
void
gate_free(gate *g)
{
    if (g->job != NULL) {
        session_result result;

        session_finish(g->job, &result);
        qm__lun_drop(result.lun);
        g_clear_error(&result.error);
    }
    if (g->n_in_flight > 0)
        drop_session(g);
    else
        qm__lun_close(g->lun);
    clients_free(g);
    loop_remove(g->job_source);
    close(g->job_done);
    request_pool_free(g->pool);
    g_free(g->fence_reason);
    g_free(g->reason);
    g_free(g);
}
