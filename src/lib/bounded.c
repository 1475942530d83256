/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * A daemon that hangs must be an error within the action's time, never a
 * hang.  Where a client library offers no deadline, the call runs on a
 * detached thread.  Invariant: whatever that thread touches is counted, so
 * that its caller may leave, and the process exit, at any time.
 */
#include "config.h"
#include <signal.h>
#include <pthread.h>
#include "bounded.h"
#include "timeouts.h"

typedef struct {
    qm_bounded_fn fn;
    void *box;
    GDestroyNotify clear;
    GMutex mutex; /* for what follows */
    GCond ended;
    bool done, ok;
    GError *error;
} call;

static void
call_clear(void *data)
{
    call *c = data;

    g_atomic_rc_box_release_full(c->box, c->clear);
    g_clear_error(&c->error);
    g_mutex_clear(&c->mutex);
    g_cond_clear(&c->ended);
}

static void *
run(void *data)
{
    call *c = data;
    GError *error = NULL;
    bool ok = c->fn(c->box, &error);

    g_mutex_lock(&c->mutex);
    c->done = true;
    c->ok = ok;
    c->error = error;
    g_cond_signal(&c->ended);
    g_mutex_unlock(&c->mutex);
    g_atomic_rc_box_release_full(c, call_clear);
    return NULL;
}

/* Signals are the main thread's business. */
static bool
start(call *c)
{
    sigset_t all, old;
    GThread *thread;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    thread =
        g_thread_try_new("qm-bounded", run, g_atomic_rc_box_acquire(c), NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (thread == NULL) {
        g_atomic_rc_box_release_full(c, call_clear);
        return false;
    }
    g_thread_unref(thread); /* detached */
    return true;
}

bool
qm__bounded(const char *what, qm_bounded_fn fn, void *box, GDestroyNotify clear,
            int64_t deadline, GError **error)
{
    int64_t began = g_get_monotonic_time();
    int64_t limit = began + MIN(qm__remaining(deadline), G_MAXINT64 - began);
    call *c = g_atomic_rc_box_new0(call);
    bool ok = false;

    c->fn = fn;
    c->box = g_atomic_rc_box_acquire(box);
    c->clear = clear;
    g_mutex_init(&c->mutex);
    g_cond_init(&c->ended);
    if (!start(c)) {
        g_set_error(error, QM_ERROR, QM_ERROR_IO, "%s: no thread to be had",
                    what);
        goto out;
    }
    g_mutex_lock(&c->mutex);
    while (!c->done && g_cond_wait_until(&c->ended, &c->mutex, limit))
        ;
    ok = c->done && c->ok;
    if (!c->done)
        g_set_error(error, QM_ERROR, QM_ERROR_TIMEOUT,
                    "%s: no answer within %.1f s: the daemon hangs", what,
                    (double) (g_get_monotonic_time() - began) / QM_S);
    else if (!ok)
        g_propagate_error(error, g_steal_pointer(&c->error));
    g_mutex_unlock(&c->mutex);
out:
    g_atomic_rc_box_release_full(c, call_clear);
    return ok;
}
