/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * One libvirt domain, as far as quickmig uses it.
 *
 * Invariant: QM_VM_NONE means that libvirt itself said that no such domain is
 * active.  Whenever it cannot be asked, or gives an answer that is not
 * understood, that is an error, never "not running".
 */
#include "config.h"
#include <string.h>
#include <uuid/uuid.h>
#include <libvirt/virterror.h>
#include "vm-internal.h"
#include "timeouts.h"

#define LOOK_AGAIN (20 * QM_MS) /* while waiting for a domain to end */
#define ASK_AGAIN  (2 * QM_S)   /* a booting guest misses power buttons */
#define ONE_CALL                                                               \
    (100 * QM_MS) /* no call is begun with less left: one                      \
                    that is late blocks the fallback */
#define CLOSE_AT_MOST QM_S

/* --- on the worker threads --- */

bool
qm__vm_lookup(qm_vm *vm, virConnectPtr conn, virDomainPtr *ret_domain,
              GError **error)
{
    virDomainPtr domain = virDomainLookupByUUID(conn, vm->uuid);

    if (domain == NULL && virGetLastErrorCode() != VIR_ERR_NO_DOMAIN)
        return qm__vm_failed(vm, "looking it up", error);
    *ret_domain = domain;
    return true;
}

static bool
to_state(const qm_vm *vm, int state, int reason, qm_vm_state *ret_state,
         GError **error)
{
    switch (state) {
    case VIR_DOMAIN_RUNNING:
    case VIR_DOMAIN_BLOCKED:
    case VIR_DOMAIN_PMSUSPENDED: /* the guest sleeps by its own will */
        *ret_state = QM_VM_RUNNING;
        return true;
    case VIR_DOMAIN_PAUSED:
        *ret_state = reason == VIR_DOMAIN_PAUSED_IOERROR ? QM_VM_IO_ERROR
                     : reason == VIR_DOMAIN_PAUSED_SHUTTING_DOWN ||
                             reason == VIR_DOMAIN_PAUSED_CRASHED
                         ? QM_VM_ENDING
                         : QM_VM_PAUSED;
        return true;
    case VIR_DOMAIN_SHUTDOWN:
    case VIR_DOMAIN_CRASHED:
        *ret_state = QM_VM_ENDING;
        return true;
    case VIR_DOMAIN_SHUTOFF:
        *ret_state = QM_VM_NONE;
        return true;
    default:
        g_set_error(error, QM_ERROR, QM_ERROR_IO,
                    "domain %s: libvirt reports the unknown state %d",
                    vm->uuid_text, state);
        return false;
    }
}

bool
qm__vm_look(qm_vm *vm, virConnectPtr conn, qm_vm_state *ret_state,
            GError **error)
{
    g_autoptr(virDomain) domain = NULL;
    int state, reason;

    if (!qm__vm_lookup(vm, conn, &domain, error))
        return false;
    if (domain == NULL) {
        *ret_state = QM_VM_NONE;
        return true;
    }
    if (virDomainGetState(domain, &state, &reason, 0) == 0)
        return to_state(vm, state, reason, ret_state, error);
    if (virGetLastErrorCode() != VIR_ERR_NO_DOMAIN)
        return qm__vm_failed(vm, "asking for its state", error);
    *ret_state = QM_VM_NONE;
    return true;
}

virDomainPtr
qm__vm_need(qm_vm *vm, virConnectPtr conn, const char *what, GError **error)
{
    virDomainPtr domain = NULL;

    if (qm__vm_lookup(vm, conn, &domain, error) && domain == NULL)
        g_set_error(error, QM_ERROR, QM_ERROR_NOT_FOUND,
                    "domain %s: %s: libvirt has no such domain", vm->uuid_text,
                    what);
    return domain;
}

static bool
run_open(qm_vm *vm, virConnectPtr conn, qm__vm_args *args, GError **error)
{
    return true; /* the connection is all that was asked for */
}

static bool
run_close(qm_vm *vm, virConnectPtr conn, qm__vm_args *args, GError **error)
{
    virConnectPtr mine;

    g_mutex_lock(&vm->mutex);
    mine = g_steal_pointer(&vm->conn);
    g_mutex_unlock(&vm->mutex);
    if (mine != NULL)
        (void) virConnectClose(mine); /* @conn still counts: nothing is sent */
    return true;
}

static bool
run_get_state(qm_vm *vm, virConnectPtr conn, qm__vm_args *args, GError **error)
{
    qm_vm_state state;

    if (!qm__vm_look(vm, conn, &state, error))
        return false;
    args->number = state;
    return true;
}

static bool
run_create(qm_vm *vm, virConnectPtr conn, qm__vm_args *args, GError **error)
{
    g_autoptr(virDomain) domain = virDomainCreateXML(conn, args->in, 0);

    return domain != NULL || qm__vm_failed(vm, "starting it", error);
}

static bool
run_create_paused(qm_vm *vm, virConnectPtr conn, qm__vm_args *args,
                  GError **error)
{
    g_autoptr(virDomain) domain =
        virDomainCreateXML(conn, args->in, VIR_DOMAIN_START_PAUSED);

    return domain != NULL || qm__vm_failed(vm, "starting it", error);
}

static bool
run_suspend(qm_vm *vm, virConnectPtr conn, qm__vm_args *args, GError **error)
{
    g_autoptr(virDomain) domain = qm__vm_need(vm, conn, "suspending it", error);

    return domain != NULL && (virDomainSuspend(domain) == 0 ||
                              qm__vm_failed(vm, "suspending it", error));
}

static bool
run_resume(qm_vm *vm, virConnectPtr conn, qm__vm_args *args, GError **error)
{
    g_autoptr(virDomain) domain = qm__vm_need(vm, conn, "resuming it", error);
    int state = VIR_DOMAIN_NOSTATE;

    if (domain == NULL)
        return false;
    if (virDomainGetState(domain, &state, NULL, 0) == 0 &&
        state == VIR_DOMAIN_RUNNING)
        return true; /* libvirt would call that an error */
    return virDomainResume(domain) == 0 ||
           qm__vm_failed(vm, "resuming it", error);
}

static bool
run_destroy(qm_vm *vm, virConnectPtr conn, qm__vm_args *args, GError **error)
{
    g_autoptr(virDomain) domain = NULL;
    int code;

    if (!qm__vm_lookup(vm, conn, &domain, error))
        return false;
    if (domain == NULL || virDomainDestroy(domain) == 0)
        return true;
    code = virGetLastErrorCode();
    return code == VIR_ERR_NO_DOMAIN ||
           code == VIR_ERR_OPERATION_INVALID || /* not active (any more) */
           qm__vm_failed(vm, "destroying it", error);
}

static bool
run_shutdown(qm_vm *vm, virConnectPtr conn, qm__vm_args *args, GError **error)
{
    g_autoptr(virDomain) domain = NULL;
    int code;

    if (!qm__vm_lookup(vm, conn, &domain, error))
        return false;
    /* Not through the guest agent: libvirt waits a minute for a hung one. */
    if (domain == NULL ||
        virDomainShutdownFlags(domain, VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN) == 0)
        return true;
    code = virGetLastErrorCode();
    return code == VIR_ERR_NO_DOMAIN || code == VIR_ERR_OPERATION_INVALID ||
           qm__vm_failed(vm, "asking it to shut down", error);
}

static const qm__vm_op op_open = {"connecting to libvirt", run_open, false};
static const qm__vm_op op_close = {"closing", run_close, true};
static const qm__vm_op op_get_state = {"asking for its state", run_get_state,
                                       false};
static const qm__vm_op op_create = {"starting it", run_create, true};
static const qm__vm_op op_create_paused = {"starting it", run_create_paused,
                                           true};
static const qm__vm_op op_suspend = {"suspending it", run_suspend, false};
static const qm__vm_op op_resume = {"resuming it", run_resume, false};
static const qm__vm_op op_destroy = {"destroying it", run_destroy, false};
static const qm__vm_op op_shutdown = {"asking it to shut down", run_shutdown,
                                      false};

/* --- for callers --- */

static void
ignore_error(void *opaque, virErrorPtr error)
{
}

bool
qm__vm_open(const char *uri, const uint8_t *uuid, int64_t deadline,
            qm_vm **ret_vm, GError **error)
{
    static gsize once;
    g_autoptr(qm_vm) vm = g_new0(qm_vm, 1);

    if (g_once_init_enter(&once)) {
        virSetErrorFunc(NULL, ignore_error); /* else libvirt prints them */
        g_once_init_leave(&once, 1);
    }
    g_atomic_ref_count_init(&vm->refs);
    g_mutex_init(&vm->mutex);
    g_cond_init(&vm->unstuck);
    vm->uri = g_strdup(uri);
    memcpy(vm->uuid, uuid, QM_UUID_LEN);
    uuid_unparse_lower(vm->uuid, vm->uuid_text);
    if (!qm__vm_call(vm, &op_open, NULL, deadline, NULL, NULL, error))
        return false;
    *ret_vm = g_steal_pointer(&vm);
    return true;
}

void
qm__vm_close(qm_vm *vm)
{
    bool open;

    if (vm == NULL)
        return;
    g_mutex_lock(&vm->mutex);
    open =
        vm->conn != NULL && vm->stuck == 0 && virConnectIsAlive(vm->conn) == 1;
    g_mutex_unlock(&vm->mutex);
    if (open) /* closing waits for the daemon: also with a deadline */
        (void) qm__vm_call(vm, &op_close, NULL, qm__deadline_in(CLOSE_AT_MOST),
                           NULL, NULL, NULL);
    qm__vm_unref(vm);
}

bool
qm__vm_get_state(qm_vm *vm, int64_t deadline, qm_vm_state *ret_state,
                 GError **error)
{
    uint64_t state;

    if (!qm__vm_call(vm, &op_get_state, NULL, deadline, NULL, &state, error))
        return false;
    *ret_state = (qm_vm_state) state;
    return true;
}

bool
qm__vm_create(qm_vm *vm, const char *xml, bool paused, int64_t deadline,
              GError **error)
{
    return qm__vm_call(vm, paused ? &op_create_paused : &op_create, xml,
                       deadline, NULL, NULL, error);
}

bool
qm__vm_suspend(qm_vm *vm, int64_t deadline, GError **error)
{
    return qm__vm_call(vm, &op_suspend, NULL, deadline, NULL, NULL, error);
}

bool
qm__vm_resume(qm_vm *vm, int64_t deadline, GError **error)
{
    return qm__vm_call(vm, &op_resume, NULL, deadline, NULL, NULL, error);
}

/* Looks until the domain is gone or @until.  @ret_gone: which. */
static bool
wait_gone(qm_vm *vm, int64_t until, int64_t deadline, bool *ret_gone,
          GError **error)
{
    qm_vm_state state;

    for (;;) {
        if (!qm__vm_get_state(vm, deadline, &state, error))
            return false;
        *ret_gone = state == QM_VM_NONE;
        if (*ret_gone || qm__remaining(until) < LOOK_AGAIN)
            return true;
        g_usleep(LOOK_AGAIN);
    }
}

bool
qm__vm_destroy(qm_vm *vm, int64_t deadline, GError **error)
{
    bool gone;

    if (!qm__vm_call(vm, &op_destroy, NULL, deadline, NULL, NULL, error) ||
        !wait_gone(vm, deadline - ONE_CALL, deadline, &gone, error))
        return false;
    if (!gone)
        g_set_error(error, QM_ERROR, QM_ERROR_TIMEOUT,
                    "domain %s: was destroyed, but libvirt still lists it",
                    vm->uuid_text);
    return gone;
}

bool
qm__vm_shutdown(qm_vm *vm, int64_t deadline, GError **error)
{
    bool gone = false;

    while (!gone && qm__remaining(deadline) > ONE_CALL) {
        int64_t until = MIN(qm__deadline_in(ASK_AGAIN), deadline - ONE_CALL);

        if (!qm__vm_call(vm, &op_shutdown, NULL, deadline, NULL, NULL, error) ||
            !wait_gone(vm, until, deadline, &gone, error))
            return false;
    }
    if (!gone)
        g_set_error(error, QM_ERROR, QM_ERROR_TIMEOUT,
                    "domain %s: the guest did not shut down in time",
                    vm->uuid_text);
    return gone;
}
