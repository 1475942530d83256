/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * libvirt's event loop is GLib's default one, which the daemon runs anyway; so
 * events arrive there.  What may wait for libvirt or Pacemaker is done on
 * threads: connecting, warming libvirt's cache of capabilities (its first
 * restore would be seconds late), and reporting.
 *
 * A VM is reported only when it surely ended by itself: this node's note says
 * that it was started here, no action works on it (its lock is free), and
 * libvirt, asked anew, has no such domain or one that a failed disk paused.
 * The next monitor would find the same.
 */
#include "config.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <crm/crm.h>
#include <crm/common/ipc.h>
#include <crm/common/ipc_controld.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include "bounded.h"
#include "events.h"
#include "local.h"
#include "log.h"
#include "runtime.h"
#include "timeouts.h"
#include "vm.h"

#define URI         "qemu:///system"
#define AGAIN_S     2
#define LOOK_AFTER  (300 * QM_MS) /* for an action that has just ended it */
#define CALL_LIMIT  (5 * QM_S)
#define KEEPALIVE_S 5
#define KEEPALIVES  3
#define REPORTERS   4
#define POLL_MS     100

struct qm_events {
    char *node;
    virConnectPtr conn; /* NULL: not connected */
    GThreadPool *reporters;
    guint timer;
    bool connecting;
};

typedef struct {
    uint8_t uuid[QM_UUID_LEN];
} report;

/* --- reporting, on a thread of the pool ---------------------------------- */

typedef struct {
    char *node, *resource;
    int64_t deadline;
    bool answered, lost;
} failure;

static void
failure_clear(void *data)
{
    failure *f = data;

    g_free(f->node);
    g_free(f->resource);
}

static void
on_reply(pcmk_ipc_api_t *api, enum pcmk_ipc_event event, crm_exit_t status,
         void *data, void *opaque)
{
    failure *f = opaque;

    f->lost |= event == pcmk_ipc_event_disconnect;
    f->answered |= event == pcmk_ipc_event_reply;
}

static bool
controller_failed(int rc, GError **error)
{
    g_set_error(error, QM_ERROR, QM_ERROR_IO, "Pacemaker's controller: %s",
                pcmk_rc_str(rc));
    return false;
}

static bool
send_failure(void *box, GError **error)
{
    failure *f = box;
    pcmk_ipc_api_t *api = NULL;
    int rc = pcmk_new_ipc_api(&api, pcmk_ipc_controld);

    if (rc != pcmk_rc_ok)
        return controller_failed(rc, error);
    pcmk_register_ipc_callback(api, on_reply, f);
    rc = pcmk_connect_ipc(api, pcmk_ipc_dispatch_poll);
    if (rc == pcmk_rc_ok)
        rc = pcmk_controld_api_fail(api, f->node, f->node, f->resource, NULL,
                                    "ocf", "quickmig", "VirtualMachine");
    while (rc == pcmk_rc_ok && !f->answered && !f->lost &&
           !qm__passed(f->deadline)) {
        int polled = pcmk_poll_ipc(api, POLL_MS);

        if (polled == pcmk_rc_ok)
            pcmk_dispatch_ipc(api);
        else if (polled != EAGAIN && polled != EINTR)
            rc = polled;
    }
    pcmk_register_ipc_callback(api, NULL, NULL);
    pcmk_free_ipc_api(api);
    return rc == pcmk_rc_ok || controller_failed(rc, error);
}

static bool
tell_pacemaker(const char *node, const char *resource, GError **error)
{
    failure *f = g_atomic_rc_box_new0(failure);
    bool ok;

    f->node = g_strdup(node);
    f->resource = g_strdup(resource);
    f->deadline = qm__deadline_in(CALL_LIMIT);
    ok = qm__bounded("reporting a failure to Pacemaker", send_failure, f,
                     failure_clear, f->deadline, error);
    g_atomic_rc_box_release_full(f, failure_clear);
    return ok;
}

/* libvirt's answer, not the event's word. */
static bool
has_ended(const uint8_t *uuid, const char **ret_how)
{
    g_autoptr(qm_vm) vm = NULL;
    qm_vm_state state;

    if (!qm__vm_open(URI, uuid, qm__deadline_in(CALL_LIMIT), &vm, NULL) ||
        !qm__vm_get_state(vm, qm__deadline_in(CALL_LIMIT), &state, NULL))
        return false;
    *ret_how = state == QM_VM_NONE ? "has ended" : "is paused: a disk failed";
    return state == QM_VM_NONE || state == QM_VM_IO_ERROR;
}

static void
report_if_lost(const qm_events *events, const uint8_t *uuid,
               const qm_local *note)
{
    g_autofree char *path = qm__vm_path(uuid, "lock");
    g_autoptr(qm_lock) lock = NULL;
    g_autoptr(GError) why = NULL;
    const char *how;

    /* Whoever has the lock ends it, and knows. */
    if (!qm__lock_take(path, "looking for its end", 0, &lock, &why) ||
        !has_ended(uuid, &how))
        return;
    g_clear_pointer(&lock, qm__lock_release);
    qm__warning("VM %s %s without being asked to: telling Pacemaker",
                note->name, how);
    if (!tell_pacemaker(events->node, note->resource, &why))
        qm__warning("VM %s: %s; its next monitor will tell", note->name,
                    why->message);
}

static void
look(gpointer data, gpointer user)
{
    g_autofree report *r = data;
    qm_local note = {0};

    g_usleep(LOOK_AFTER);
    if (!qm__local_find_vm(r->uuid, &note))
        return; /* not ours, or stopped */
    if (note.resource != NULL && note.generation != 0)
        report_if_lost(user, r->uuid, &note);
    qm__local_clear(&note);
}

/* --- listening, in the main loop ----------------------------------------- */

static int
on_lifecycle(virConnectPtr conn, virDomainPtr domain, int event, int detail,
             void *opaque)
{
    qm_events *events = opaque;
    report *r;

    if (event != VIR_DOMAIN_EVENT_STOPPED &&
        event != VIR_DOMAIN_EVENT_CRASHED &&
        (event != VIR_DOMAIN_EVENT_SUSPENDED ||
         detail != VIR_DOMAIN_EVENT_SUSPENDED_IOERROR))
        return 0;
    r = g_new0(report, 1);
    if (virDomainGetUUID(domain, r->uuid) == 0 &&
        g_thread_pool_push(events->reporters, r, NULL))
        return 0;
    g_free(r);
    return 0;
}

typedef struct {
    qm_events *events;
    virConnectPtr conn; /* NULL: libvirtd is not there */
} connected;

static gboolean connect_again(gpointer data);

/* libvirt calls it when it has found the connection broken. */
static void
on_close(virConnectPtr conn, int reason, void *opaque)
{
    qm_events *events = opaque;

    qm__warning("libvirtd is gone; trying again");
    if (events->timer == 0)
        events->timer = g_timeout_add_seconds(AGAIN_S, connect_again, events);
}

static void
drop(qm_events *events)
{
    if (events->conn == NULL)
        return;
    (void) virConnectUnregisterCloseCallback(events->conn, on_close);
    (void) virConnectClose(events->conn);
    events->conn = NULL;
}

static gboolean
on_connected(gpointer data)
{
    g_autofree connected *c = data;
    qm_events *events = c->events;

    events->connecting = false;
    if (c->conn == NULL ||
        virConnectDomainEventRegisterAny(
            c->conn, NULL, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
            VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle), events, NULL) < 0) {
        if (c->conn != NULL)
            (void) virConnectClose(c->conn);
        return G_SOURCE_REMOVE; /* the timer goes on */
    }
    drop(events);
    events->conn = c->conn;
    (void) virConnectRegisterCloseCallback(c->conn, on_close, events, NULL);
    (void) virConnectSetKeepAlive(c->conn, KEEPALIVE_S, KEEPALIVES);
    if (events->timer != 0)
        (void) g_source_remove(events->timer);
    events->timer = 0;
    qm__info("listening to libvirt");
    return G_SOURCE_REMOVE;
}

/* On a thread: both calls may take long. */
static gpointer
connect_thread(gpointer data)
{
    connected *c = data;

    c->conn = virConnectOpen(URI);
    if (c->conn != NULL) {
        free(virConnectGetCapabilities(c->conn));
        free(virConnectGetDomainCapabilities(c->conn, NULL, NULL, NULL, NULL,
                                             0));
    }
    (void) g_idle_add(on_connected, c);
    return NULL;
}

static gboolean
connect_again(gpointer data)
{
    qm_events *events = data;
    connected *c;
    GThread *thread;

    if (events->connecting)
        return G_SOURCE_CONTINUE; /* libvirtd hangs */
    c = g_new0(connected, 1);
    c->events = events;
    thread = g_thread_try_new("libvirt", connect_thread, c, NULL);
    if (thread == NULL) {
        g_free(c);
        return G_SOURCE_CONTINUE;
    }
    g_thread_unref(thread);
    events->connecting = true;
    return G_SOURCE_CONTINUE;
}

static void
say_nothing(void *opaque, virErrorPtr error)
{
}

qm_events *
qm__events_new(const char *node)
{
    qm_events *events = g_new0(qm_events, 1);

    virSetErrorFunc(NULL, say_nothing); /* else libvirt prints them */
    (void) virEventRegisterDefaultImpl();
    events->node = g_strdup(node);
    events->reporters = g_thread_pool_new(look, events, REPORTERS, FALSE, NULL);
    events->timer = g_timeout_add_seconds(AGAIN_S, connect_again, events);
    (void) connect_again(events);
    return events;
}

/* Only at the daemon's end: threads that are out keep what they use. */
void
qm__events_free(qm_events *events)
{
    if (events == NULL)
        return;
    if (events->timer != 0)
        (void) g_source_remove(events->timer);
    events->timer = 0;
}
