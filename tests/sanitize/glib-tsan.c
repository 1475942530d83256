/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * ThreadSanitizer sees what it has compiled, and the C library's locks.  GLib's
 * locks are neither.  These functions stand before GLib's own, and tell it what
 * they order: what was done before an unlock is seen after the next lock.
 */
#include <dlfcn.h>
#include <glib.h>
#include <sanitizer/tsan_interface.h>

#define REAL(name) ((__typeof__(&name)) dlsym(RTLD_NEXT, #name))
#define REAL_OF(name)                                                          \
    static __typeof__(&name) real;                                             \
    if (real == NULL)                                                          \
    real = REAL(name)

#undef g_mutex_lock
#undef g_mutex_unlock

__attribute__((no_sanitize("thread"))) void
g_mutex_lock(GMutex *m)
{
    REAL_OF(g_mutex_lock);
    real(m);
    __tsan_acquire(m);
}

__attribute__((no_sanitize("thread"))) void
g_mutex_unlock(GMutex *m)
{
    REAL_OF(g_mutex_unlock);
    __tsan_release(m);
    real(m);
}

__attribute__((no_sanitize("thread"))) void
g_cond_wait(GCond *c, GMutex *m)
{
    REAL_OF(g_cond_wait);
    __tsan_release(m);
    real(c, m);
    __tsan_acquire(m);
}

__attribute__((no_sanitize("thread"))) gboolean
g_cond_wait_until(GCond *c, GMutex *m, gint64 end)
{
    gboolean woken;
    REAL_OF(g_cond_wait_until);
    __tsan_release(m);
    woken = real(c, m, end);
    __tsan_acquire(m);
    return woken;
}

__attribute__((no_sanitize("thread")))
gboolean(g_atomic_ref_count_dec)(gatomicrefcount *count)
{
    gboolean last;
    REAL_OF(g_atomic_ref_count_dec);
    __tsan_release(count);
    last = real(count);
    __tsan_acquire(count);
    return last;
}

__attribute__((no_sanitize("thread"))) void
g_atomic_rc_box_release_full(gpointer box, GDestroyNotify clear)
{
    REAL_OF(g_atomic_rc_box_release_full);
    __tsan_release(box);
    __tsan_acquire(box);
    real(box, clear);
}
