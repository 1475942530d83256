/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_VM_INTERNAL_H
#define QM_VM_INTERNAL_H

/*
 * Shared by vm.c, vm-call.c, vm-job.c and vm-host.c only.
 */
#include <libvirt/libvirt.h>
#include "vm.h"

/* Shared by its user and by the threads that work for it: who lets go of it
 * last frees it.  A thread that hangs in libvirt keeps it for good. */
struct qm_vm {
    gatomicrefcount refs;
    char *uri; /* NULL: qemu:///system */
    uint8_t uuid[QM_UUID_LEN];
    char uuid_text[37];
    GMutex mutex;       /* for what follows; never held across a call */
    virConnectPtr conn; /* NULL: none yet; one reference */
    unsigned stuck;     /* calls that missed their deadline, still out */
    GCond unstuck;      /* it is 0 again */
};

qm_vm *qm__vm_ref(qm_vm *vm);
void qm__vm_unref(qm_vm *vm);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(virConnect, virConnectClose)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(virDomain, virDomainFree)

/* What goes into a call and comes out of it.  Owned by the call: it outlives
 * a caller who stopped waiting. */
typedef struct {
    char *in;        /* NULL: nothing */
    char *out;       /* NULL: nothing; wiped when freed */
    uint64_t number; /* whatever the call says */
} qm__vm_args;

typedef bool (*qm__vm_fn)(qm_vm *vm, virConnectPtr conn, qm__vm_args *args,
                          GError **error);

typedef struct {
    const char *what; /* for messages: "suspending the domain" */
    qm__vm_fn run;    /* on the worker thread */
    bool once;        /* must not be repeated on a fresh connection */
} qm__vm_op;

/* Runs @op on a thread of its own until @deadline.  @in is copied; @ret_out
 * (wiped by qm__secret_free()) and @ret_number may be NULL. */
bool
qm__vm_call(qm_vm *vm, const qm__vm_op *op, const char *in, int64_t deadline,
            char **ret_out, uint64_t *ret_number, GError **error);
/* false + TIMEOUT when an earlier call hangs.  Gives it a moment, but not
 * beyond @deadline: it may be about to come back. */
bool qm__vm_check_stuck(qm_vm *vm, const char *what, int64_t deadline,
                        GError **error);
/* @deadline on the clock of g_cond_wait_until(). */
int64_t qm__vm_real_time(int64_t deadline);
/* Starts a detached thread that takes no signals. */
bool qm__vm_thread(const char *what, void *(*run)(void *), void *data,
                   GError **error);
/* On a worker thread: the connection, opened anew where it broke; the caller
 * closes it. */
virConnectPtr qm__vm_connect(qm_vm *vm, GError **error);
/* Turns libvirt's last error of this thread into a GError; returns false. */
bool qm__vm_failed(const qm_vm *vm, const char *what, GError **error);

/* On a worker thread: the domain.  NULL without an error: libvirt says that
 * there is none. */
bool qm__vm_lookup(qm_vm *vm, virConnectPtr conn, virDomainPtr *ret_domain,
                   GError **error);
/* On a worker thread: the domain, which must be there (NOT_FOUND). @what: what
 * it is for, for the message. */
virDomainPtr
qm__vm_need(qm_vm *vm, virConnectPtr conn, const char *what, GError **error);
/* On a worker thread: its state.  No domain: QM_VM_NONE. */
bool qm__vm_look(qm_vm *vm, virConnectPtr conn, qm_vm_state *ret_state,
                 GError **error);

/* Kills QEMU processes of this VM which wait for a saved state since @since
 * (µs of CLOCK_BOOTTIME) or later: what a failed restore left behind without
 * libvirt knowing.  Returns how many it killed. */
unsigned qm__vm_kill_orphans(const char *uuid_text, int64_t since);
int64_t qm__boottime(void); /* µs */

#endif
