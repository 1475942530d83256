/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#include "config.h"
#include <inttypes.h>
#include "live.h"
#include "timeouts.h"

#define LOOK_EVERY (25 * QM_MS)
#define CALL_LIMIT (2 * QM_S)
#define SLOW_LOOK  (100 * QM_MS) /* when QEMU is about to pause the guest */

struct qm_live {
    qm_vm *vm;
    GThread *thread;
    qm_converge converge; /* the thread's */
    GMutex mutex;         /* for what follows */
    GCond changed;
    bool end;
    bool held;     /* it only looks */
    bool asked;    /* for a suspend */
    uint64_t slow; /* asked for: this speed, bytes/s; 0: not */
    uint64_t room;
    qm_live_view view;
};

static void
tell(qm_live *live, const char *what, const char *why)
{
    g_mutex_lock(&live->mutex);
    g_snprintf(live->view.text, sizeof live->view.text, "%s: %s", what, why);
    live->view.changes++;
    g_mutex_unlock(&live->mutex);
}

static void
allow(qm_live *live, const char *why)
{
    unsigned ms = live->converge.downtime_ms * live->converge.stretch;
    g_autofree char *what = g_strdup_printf("a pause of %u ms is allowed", ms);
    g_autoptr(GError) error = NULL;

    (void) qm__vm_set_downtime(live->vm, ms, qm__deadline_in(CALL_LIMIT),
                               &error);
    tell(live, what, error == NULL ? why : error->message);
}

static void
limit_speed(qm_live *live, const char *why)
{
    uint64_t speed = live->converge.speed;
    g_autofree char *what =
        speed == 0
            ? g_strdup("at full speed again")
            : g_strdup_printf("the last at %" PRIu64 " MiB/s", speed >> 20);
    g_autoptr(GError) error = NULL;

    (void) qm__vm_set_speed(live->vm, speed, qm__deadline_in(CALL_LIMIT),
                            &error);
    tell(live, what, error == NULL ? why : error->message);
}

static void
hurry(qm_live *live, const char *why)
{
    allow(live, why);
    limit_speed(live, why);
    g_mutex_lock(&live->mutex);
    live->view.slow = live->converge.never_slow;
    g_mutex_unlock(&live->mutex);
}

/* The copy goes on, and ends, since nothing is written any more. */
static void
suspend(qm_live *live, const char *why)
{
    g_autoptr(GError) error = NULL;
    int64_t before;

    if (live->converge.speed != 0) {
        live->converge.speed = 0;
        limit_speed(live, why);
    }
    before = qm__now(); /* the call may return much later than it acts */
    if (!qm__vm_suspend(live->vm, qm__deadline_in(CALL_LIMIT), &error)) {
        tell(live, "cannot suspend the guest", error->message);
        return;
    }
    tell(live, "the guest is suspended", why);
    g_mutex_lock(&live->mutex);
    live->view.suspended_at = before;
    g_mutex_unlock(&live->mutex);
}

static void
look(qm_live *live)
{
    g_autoptr(GError) ignored = NULL; /* the stream tells what is wrong */
    qm_vm_progress p;
    qm_converge_sample s = {0};
    const char *why;
    bool only_look;

    if (!qm__vm_progress(live->vm, qm__deadline_in(CALL_LIMIT), &p, &ignored) ||
        !p.active)
        return;
    s.now = qm__now();
    s.total = p.total;
    s.remaining = p.remaining;
    s.rate = p.rate;
    s.dirty_rate = p.dirty_rate;
    s.iteration = p.iteration;
    g_mutex_lock(&live->mutex);
    live->view.progress = p;
    live->view.looked_at = s.now;
    /* Never too early: an answer takes its time. */
    if (live->view.began == 0 || s.now - p.elapsed < live->view.began)
        live->view.began = s.now - p.elapsed;
    live->view.expected_pause_ms = qm__converge_pause(&s);
    s.room = live->room;
    only_look = live->view.suspended_at != 0 || live->held || live->end;
    g_mutex_unlock(&live->mutex);
    /* Before the first pages are out nothing can be said. */
    if (only_look || p.total == 0)
        return;
    switch (qm__converge(&live->converge, &s, &why)) {
    case QM_CONVERGE_ALLOW:
        allow(live, why);
        break;
    case QM_CONVERGE_HURRY:
        hurry(live, why);
        break;
    case QM_CONVERGE_SUSPEND:
        suspend(live, why);
        break;
    case QM_CONVERGE_WAIT:
        break;
    }
}

/* Waits until @until, the end, or until something is asked for.  Under the
 * mutex. */
static void
nap(qm_live *live, gint64 until)
{
    bool asked = live->asked;

    while (!live->end && live->asked == asked && live->slow == 0 &&
           g_cond_wait_until(&live->changed, &live->mutex, until))
        ;
}

/* Once, where it was asked for. */
static bool
suspend_if_asked(qm_live *live)
{
    bool now;

    g_mutex_lock(&live->mutex);
    now = live->asked && !live->end && live->view.suspended_at == 0;
    g_mutex_unlock(&live->mutex);
    if (now)
        suspend(live, "the vault has no room for more");
    return now;
}

static bool
slow_down_if_asked(qm_live *live)
{
    uint64_t speed;

    g_mutex_lock(&live->mutex);
    speed = live->slow;
    live->slow = 0;
    g_mutex_unlock(&live->mutex);
    if (speed == 0 || live->converge.speed != 0)
        return false;
    live->converge.speed = speed;
    limit_speed(live, "nothing shall be on its way when the guest is paused");
    return true;
}

static void *
live_thread(void *data)
{
    qm_live *live = data;

    g_mutex_lock(&live->mutex);
    while (!live->end) {
        gint64 from = g_get_monotonic_time();

        g_mutex_unlock(&live->mutex);
        if (!suspend_if_asked(live) && !slow_down_if_asked(live))
            look(live);
        g_mutex_lock(&live->mutex);
        nap(live, from + (live->converge.speed != 0 ? SLOW_LOOK : LOOK_EVERY));
    }
    g_mutex_unlock(&live->mutex);
    return NULL;
}

bool
qm__live_start(const char *uri, const uint8_t *uuid,
               const qm_converge_limits *limits, bool held, int64_t deadline,
               qm_live **ret, GError **error)
{
    qm_live *live;
    qm_vm *vm;

    if (!qm__vm_open(uri, uuid, deadline, &vm, error))
        return false;
    live = g_new0(qm_live, 1);
    live->vm = vm;
    live->converge.limits = *limits;
    live->held = held;
    live->room = UINT64_MAX;
    g_mutex_init(&live->mutex);
    g_cond_init(&live->changed);
    live->thread = g_thread_try_new("live", live_thread, live, error);
    if (live->thread == NULL) {
        qm__live_free(live);
        return false;
    }
    *ret = live;
    return true;
}

void
qm__live_free(qm_live *live)
{
    if (live == NULL)
        return;
    if (live->thread != NULL) {
        g_mutex_lock(&live->mutex);
        live->end = true;
        g_cond_signal(&live->changed);
        g_mutex_unlock(&live->mutex);
        (void) g_thread_join(live->thread);
    }
    qm__vm_close(live->vm);
    g_mutex_clear(&live->mutex);
    g_cond_clear(&live->changed);
    g_free(live);
}

void
qm__live_set_room(qm_live *live, uint64_t bytes)
{
    g_mutex_lock(&live->mutex);
    live->room = bytes;
    g_mutex_unlock(&live->mutex);
}

void
qm__live_release(qm_live *live)
{
    g_mutex_lock(&live->mutex);
    live->held = false;
    g_mutex_unlock(&live->mutex);
}

void
qm__live_suspend(qm_live *live)
{
    g_mutex_lock(&live->mutex);
    live->asked = true;
    g_cond_signal(&live->changed);
    g_mutex_unlock(&live->mutex);
}

void
qm__live_slow_down(qm_live *live, uint64_t speed)
{
    g_mutex_lock(&live->mutex);
    live->slow = speed;
    live->view.slow = true;
    g_cond_signal(&live->changed);
    g_mutex_unlock(&live->mutex);
}

void
qm__live_ended(qm_live *live)
{
    g_mutex_lock(&live->mutex);
    live->end = true;
    g_cond_signal(&live->changed);
    g_mutex_unlock(&live->mutex);
}

void
qm__live_look(qm_live *live, qm_live_view *ret_view)
{
    g_mutex_lock(&live->mutex);
    *ret_view = live->view;
    g_mutex_unlock(&live->mutex);
}
