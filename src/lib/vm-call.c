/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Calls into libvirt, each with a deadline.
 *
 * libvirt's client waits for its daemon for as long as that takes.  So every
 * call runs on a detached thread of its own; the caller waits until its
 * deadline and no longer.  Invariant: whatever a call touches is owned by the
 * call (arguments, results) or counted (qm_vm), so that a caller may leave at
 * any time, and a process may exit with calls under way.
 */
#include "config.h"
#include <signal.h>
#include <string.h>
#include <libvirt/virterror.h>
#include "vm-internal.h"
#include "timeouts.h"

#define MOMENT (250 * QM_MS) /* for a late call to come back */

typedef struct {
    gatomicrefcount refs; /* the caller's and the worker's */
    qm_vm *vm;
    const qm__vm_op *op;
    qm__vm_args args;
    GMutex mutex; /* for what follows */
    GCond ended;
    bool done;
    bool left; /* the caller has gone */
    bool ok;
    GError *error;
} call;

qm_vm *
qm__vm_ref(qm_vm *vm)
{
    g_atomic_ref_count_inc(&vm->refs);
    return vm;
}

void
qm__vm_unref(qm_vm *vm)
{
    if (!g_atomic_ref_count_dec(&vm->refs))
        return;
    if (vm->conn != NULL)
        (void) virConnectClose(vm->conn); /* nobody left to tell */
    g_cond_clear(&vm->unstuck);
    g_mutex_clear(&vm->mutex);
    g_free(vm->uri);
    g_free(vm);
}

static void
call_unref(call *c)
{
    if (!g_atomic_ref_count_dec(&c->refs))
        return;
    g_free(c->args.in);
    qm__secret_free(c->args.out);
    g_clear_error(&c->error);
    g_mutex_clear(&c->mutex);
    g_cond_clear(&c->ended);
    qm__vm_unref(c->vm);
    g_free(c);
}

static const struct {
    int from; /* virErrorNumber */
    qm_error_code to;
} codes[] = {
    {VIR_ERR_NO_DOMAIN, QM_ERROR_NOT_FOUND},
    {VIR_ERR_NO_SECRET, QM_ERROR_NOT_FOUND},
    {VIR_ERR_XML_ERROR, QM_ERROR_INVALID},
    {VIR_ERR_XML_DETAIL, QM_ERROR_INVALID},
    {VIR_ERR_XML_INVALID_SCHEMA, QM_ERROR_INVALID},
    {VIR_ERR_INVALID_ARG, QM_ERROR_INVALID},
    {VIR_ERR_CONFIG_UNSUPPORTED, QM_ERROR_UNSUPPORTED},
    {VIR_ERR_ARGUMENT_UNSUPPORTED, QM_ERROR_UNSUPPORTED},
    {VIR_ERR_OPERATION_UNSUPPORTED, QM_ERROR_UNSUPPORTED},
    {VIR_ERR_NO_SUPPORT, QM_ERROR_UNSUPPORTED},
    {VIR_ERR_OPERATION_ABORTED, QM_ERROR_CANCELLED},
    {VIR_ERR_OPERATION_TIMEOUT, QM_ERROR_BUSY}, /* domain's job lock */
    {VIR_ERR_DOM_EXIST, QM_ERROR_BUSY},
    {VIR_ERR_AUTH_FAILED, QM_ERROR_AUTH},
    {VIR_ERR_AUTH_UNAVAILABLE, QM_ERROR_AUTH},
};

static qm_error_code
to_qm_error(int number)
{
    for (size_t i = 0; i < G_N_ELEMENTS(codes); i++)
        if (codes[i].from == number)
            return codes[i].to;
    return QM_ERROR_IO;
}

bool
qm__vm_failed(const qm_vm *vm, const char *what, GError **error)
{
    const virError *e = virGetLastError();

    g_set_error(error, QM_ERROR, to_qm_error(e != NULL ? e->code : VIR_ERR_OK),
                "domain %s: %s failed: %s", vm->uuid_text, what,
                e != NULL && e->message != NULL ? e->message
                                                : "libvirt does not say why");
    return false;
}

/* The vm's connection with a reference, NULL when it broke or is not open. */
static virConnectPtr
present_connection(qm_vm *vm)
{
    virConnectPtr conn, broken = NULL;

    g_mutex_lock(&vm->mutex);
    conn = vm->conn;
    if (conn != NULL && virConnectIsAlive(conn) != 1) {
        broken = conn;
        conn = vm->conn = NULL;
    }
    if (conn != NULL)
        (void) virConnectRef(conn); /* fails on a bad pointer only */
    g_mutex_unlock(&vm->mutex);
    if (broken != NULL)
        (void) virConnectClose(broken);
    return conn;
}

virConnectPtr
qm__vm_connect(qm_vm *vm, GError **error)
{
    virConnectPtr conn = present_connection(vm);

    if (conn != NULL)
        return conn;
    conn = virConnectOpen(vm->uri != NULL ? vm->uri : "qemu:///system");
    if (conn == NULL) {
        qm__vm_failed(vm, "connecting to libvirt (is libvirtd running?)",
                      error);
        return NULL;
    }
    g_mutex_lock(&vm->mutex);
    if (vm->conn == NULL && virConnectRef(conn) == 0)
        vm->conn = conn;
    g_mutex_unlock(&vm->mutex);
    return conn;
}

/* One try.  @ret_broken: the connection did not survive it. */
static bool
run_once(call *c, bool *ret_broken, GError **error)
{
    g_autoptr(virConnect) conn = qm__vm_connect(c->vm, error);

    *ret_broken = false;
    if (conn == NULL)
        return false;
    if (c->op->run(c->vm, conn, &c->args, error))
        return true;
    *ret_broken = virConnectIsAlive(conn) != 1;
    return false;
}

/* A connection that broke while idle shows at its next use only: such a call
 * is made again, on a fresh one. */
static bool
run_call(call *c, GError **error)
{
    bool broken;
    g_autoptr(GError) why = NULL;

    if (run_once(c, &broken, &why))
        return true;
    if (broken && !c->op->once)
        return run_once(c, &broken, error);
    g_propagate_error(error, g_steal_pointer(&why));
    return false;
}

static void *
call_thread(void *data)
{
    call *c = data;
    g_autoptr(GError) why = NULL;
    bool ok = run_call(c, &why);

    g_mutex_lock(&c->mutex);
    c->ok = ok;
    c->error = g_steal_pointer(&why);
    c->done = true;
    if (c->left) {
        g_mutex_lock(&c->vm->mutex);
        if (--c->vm->stuck == 0)
            g_cond_broadcast(&c->vm->unstuck);
        g_mutex_unlock(&c->vm->mutex);
    }
    g_cond_signal(&c->ended);
    g_mutex_unlock(&c->mutex);
    call_unref(c);
    return NULL;
}

bool
qm__vm_thread(const char *what, void *(*run)(void *), void *data,
              GError **error)
{
    sigset_t all, old;
    GThread *thread;
    g_autoptr(GError) why = NULL;

    (void) sigfillset(&all);
    (void) pthread_sigmask(SIG_BLOCK, &all, &old);
    thread = g_thread_try_new("libvirt", run, data, &why);
    (void) pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (thread == NULL) {
        g_set_error(error, QM_ERROR, QM_ERROR_IO, "%s: no thread: %s", what,
                    why->message);
        return false;
    }
    g_thread_unref(thread); /* detached */
    return true;
}

static bool
timed_out(const qm_vm *vm, const char *what, const char *why, GError **error)
{
    g_set_error(error, QM_ERROR, QM_ERROR_TIMEOUT, "domain %s: %s: %s",
                vm->uuid_text, what, why);
    return false;
}

int64_t
qm__vm_real_time(int64_t deadline)
{
    int64_t left = qm__remaining(deadline), now = g_get_monotonic_time();

    return left > G_MAXINT64 - now ? G_MAXINT64 : now + left;
}

bool
qm__vm_check_stuck(qm_vm *vm, const char *what, int64_t deadline,
                   GError **error)
{
    int64_t until = qm__vm_real_time(MIN(deadline, qm__deadline_in(MOMENT)));
    bool stuck;

    g_mutex_lock(&vm->mutex);
    while (vm->stuck > 0 && g_cond_wait_until(&vm->unstuck, &vm->mutex, until))
        ;
    stuck = vm->stuck > 0;
    g_mutex_unlock(&vm->mutex);
    return !stuck ||
           timed_out(vm, what,
                     "not tried, libvirt has not answered an earlier call",
                     error);
}

static call *
call_new(qm_vm *vm, const qm__vm_op *op, const char *in)
{
    call *c = g_new0(call, 1);

    g_atomic_ref_count_init(&c->refs);
    c->vm = qm__vm_ref(vm);
    c->op = op;
    c->args.in = g_strdup(in);
    g_mutex_init(&c->mutex);
    g_cond_init(&c->ended);
    return c;
}

/* Waits for the worker; leaves it behind when it is late. */
static bool
await(call *c, int64_t deadline)
{
    int64_t until = qm__vm_real_time(deadline);
    bool done;

    g_mutex_lock(&c->mutex);
    while (!c->done && g_cond_wait_until(&c->ended, &c->mutex, until))
        ;
    done = c->done;
    if (!done) {
        c->left = true;
        g_mutex_lock(&c->vm->mutex);
        c->vm->stuck++;
        g_mutex_unlock(&c->vm->mutex);
    }
    g_mutex_unlock(&c->mutex);
    return done;
}

bool
qm__vm_call(qm_vm *vm, const qm__vm_op *op, const char *in, int64_t deadline,
            char **ret_out, uint64_t *ret_number, GError **error)
{
    call *c;
    bool ok = false;

    if (!qm__vm_check_stuck(vm, op->what, deadline, error))
        return false;
    if (qm__passed(deadline))
        return timed_out(vm, op->what, "not tried, no time is left", error);
    c = call_new(vm, op, in);
    g_atomic_ref_count_inc(&c->refs);
    if (!qm__vm_thread(op->what, call_thread, c, error)) {
        call_unref(c);
        goto out;
    }
    if (!await(c, deadline)) {
        timed_out(vm, op->what,
                  "libvirt did not answer in time; it may still act", error);
        goto out;
    }
    ok = c->ok;
    if (!ok)
        g_propagate_error(error, g_steal_pointer(&c->error));
    if (ok && ret_out != NULL)
        *ret_out = g_steal_pointer(&c->args.out);
    if (ok && ret_number != NULL)
        *ret_number = c->args.number;
out:
    call_unref(c);
    return ok;
}
