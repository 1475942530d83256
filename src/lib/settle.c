/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * When migrate_to fails, Pacemaker knows only that much: it stops the VM on
 * both nodes and starts it again.  For a guest that runs undisturbed that is
 * the worst that can happen to it in a planned move.  What helps:
 *
 * 1. The wish goes: the constraint of the move is cleared, or Pacemaker would
 *    ask again at once.
 * 2. Pacemaker's controller on this node is told to forget the resource's
 *    history here ("refresh").  While an action of the resource is running it
 *    marks that action's history for deletion, and deletes it when the action
 *    has ended.  So the failure that follows is never recorded; instead the
 *    resource is probed, found running, and monitored again.
 * 3. That forgets, too, how the VM came here.  Where it was moved here, the
 *    node that it came from still says so in its history, and Pacemaker, which
 *    does not find the other half any more, would take that for a move cut off
 *    and restart the VM.  So that node's history of the resource is forgotten
 *    as well, and first.
 * 4. Only then may migrate_to end.  The controller answers requests of one
 *    connection in their order: its answer to a question asked after the
 *    refresh says that the refresh is in.  Nothing shorter would do: a
 *    migrate_to that ends first has failed, and a refresh that comes late
 *    stops nothing.  (The probe itself cannot be waited for: it is made when
 *    migrate_to has ended.)
 *
 * Not while this node shuts down: Pacemaker would leave with the VM running.
 * Not after the commit: the probe would say "not running", and a start could
 * follow here while the other node has the VM.  Not for ever: a reason that
 * no constraint stands for (standby, a score, utilization) is still there
 * afterwards, and asks again.  That is settled once in a while; else the VM is
 * stopped here and started elsewhere, as Pacemaker wants it.
 */
#include "config.h"
#include <errno.h>
#include <inttypes.h>
#include <crm/crm.h>
#include <crm/common/ipc.h>
#include <crm/common/ipc_controld.h>
#include "bounded.h"
#include "crash.h"
#include "placement.h"
#include "runtime.h"
#include "settle.h"
#include "timeouts.h"

#define ONCE_IN (300 * QM_S) /* without a constraint */
#define RETRY   (200 * QM_MS)
#define POLL_MS 100
#define FORGET  (2 * QM_S) /* for another node to forget it */
#define LOOK    (20 * QM_MS)

bool
qm__settle_again(int64_t settled_at, int64_t now)
{
    return settled_at <= 0 || settled_at > now || now - settled_at >= ONCE_IN;
}

/* --- refresh ------------------------------------------------------------- */

typedef struct {
    char *node, *resource;
    int64_t deadline; /* so that the thread ends, too */
    bool answered, lost;
} refresh;

static void
refresh_clear(void *data)
{
    refresh *r = data;

    g_free(r->node);
    g_free(r->resource);
}

/* The answer to the refresh itself comes when migrate_to has ended: there is
 * nobody left then to hear it. */
static void
on_event(pcmk_ipc_api_t *api, enum pcmk_ipc_event event, crm_exit_t status,
         void *data, void *opaque)
{
    const pcmk_controld_api_reply_t *reply = data;
    refresh *r = opaque;

    if (event == pcmk_ipc_event_disconnect)
        r->lost = true;
    else if (event == pcmk_ipc_event_reply && status == CRM_EX_OK &&
             reply->reply_type == pcmk_controld_reply_info)
        r->answered = true;
}

static bool
controller_failed(int rc, GError **error)
{
    g_set_error(error, QM_ERROR, QM_ERROR_IO,
                "Pacemaker's controller does not take a refresh: %s",
                pcmk_rc_str(rc));
    return false;
}

static bool
await_answer(pcmk_ipc_api_t *api, refresh *r, GError **error)
{
    while (!r->answered && !r->lost && !qm__passed(r->deadline)) {
        int rc = pcmk_poll_ipc(api, POLL_MS);

        if (rc == pcmk_rc_ok)
            pcmk_dispatch_ipc(api);
        else if (rc != EAGAIN && rc != EINTR)
            return controller_failed(rc, error);
    }
    if (r->answered)
        return true;
    return controller_failed(r->lost ? ENOTCONN : ETIME, error);
}

static bool
send_refresh(void *box, GError **error)
{
    refresh *r = box;
    pcmk_ipc_api_t *api = NULL;
    bool ok = false;
    int rc = pcmk_new_ipc_api(&api, pcmk_ipc_controld);

    if (rc != pcmk_rc_ok)
        return controller_failed(rc, error);
    pcmk_register_ipc_callback(api, on_event, r);
    rc = pcmk_connect_ipc(api, pcmk_ipc_dispatch_poll);
    if (rc == pcmk_rc_ok)
        rc = pcmk_controld_api_refresh(api, r->node, r->node, r->resource, NULL,
                                       "ocf", "quickmig", "VirtualMachine",
                                       false);
    if (rc == pcmk_rc_ok)
        rc = pcmk_controld_api_node_info(api, 0);
    if (rc == pcmk_rc_ok)
        ok = await_answer(api, r, error);
    else
        (void) controller_failed(rc, error);
    pcmk_register_ipc_callback(api, NULL, NULL);
    pcmk_free_ipc_api(api);
    return ok;
}

static bool
ask_for_refresh(const char *node, const char *resource, int64_t deadline,
                GError **error)
{
    refresh *r = g_atomic_rc_box_new0(refresh);
    bool ok;

    r->node = g_strdup(node);
    r->resource = g_strdup(resource);
    r->deadline = deadline;
    ok = qm__bounded("asking Pacemaker's controller for a refresh",
                     send_refresh, r, refresh_clear, deadline, error);
    g_atomic_rc_box_release_full(r, refresh_clear);
    return ok;
}

/* --- the wish ------------------------------------------------------------ */

static bool
clear_all(const GPtrArray *constraints, int64_t deadline, GError **error)
{
    for (guint i = 0; i < constraints->len; i++)
        if (!qm__placement_clear(constraints->pdata[i], deadline, error))
            return false;
    return true;
}

/* May it be settled?  Notes that it is. */
static bool
may_settle(const uint8_t *uuid, const GPtrArray *constraints, GError **error)
{
    int64_t now = qm__now(), before = qm__settled_get(uuid);

    if (constraints->len == 0 && !qm__settle_again(before, now)) {
        g_set_error(error, QM_ERROR, QM_ERROR_REFUSED,
                    "a move was given up %" PRIi64 " s ago, and no constraint "
                    "asks for this one: what asks for it (standby, scores, "
                    "utilization) would go on asking",
                    (now - before) / QM_S);
        return false;
    }
    return qm__settled_set(uuid, now, error);
}

/* The CIB has no master while the cluster elects a new coordinator, which is
 * what happens when a move's target dies: so more than once. */
static bool
clear_wish(const uint8_t *uuid, const char *resource, const char *self,
           int64_t deadline, char **ret_text, GError **error)
{
    g_autoptr(GPtrArray) constraints = NULL;
    g_autoptr(GString) text = g_string_new(NULL);
    g_autoptr(GError) why = NULL;

    if (!qm__placement_constraints(resource, self, deadline, &constraints,
                                   error) ||
        !may_settle(uuid, constraints, error))
        return false;
    while (!clear_all(constraints, deadline, &why)) {
        if (qm__remaining(deadline) < RETRY) {
            g_propagate_error(error, g_steal_pointer(&why));
            return false;
        }
        g_clear_error(&why);
        g_usleep(RETRY);
    }
    for (guint i = 0; i < constraints->len; i++) {
        const qm_constraint *c = constraints->pdata[i];

        g_string_append_printf(text, "%s%s", i > 0 ? ", " : "", c->id);
    }
    *ret_text = g_string_free(g_steal_pointer(&text), FALSE);
    return true;
}

/* A node that does not answer is about to be fenced, and its history goes with
 * it.  So this is no reason to give up: the worst is a restart. */
static void
forget_arrival(const char *self, const char *resource, int64_t deadline)
{
    g_auto(GStrv) nodes = NULL;
    int64_t until = MIN(deadline, qm__deadline_in(FORGET));

    if (!qm__placement_arrivals(resource, self, until, &nodes, NULL))
        return;
    for (char **node = nodes; *node != NULL; node++)
        (void) ask_for_refresh(*node, resource, until, NULL);
    /* Until the configuration that the coordinator works with says so. */
    while (nodes[0] != NULL && !qm__passed(until)) {
        g_usleep(LOOK);
        g_clear_pointer(&nodes, g_strfreev);
        if (!qm__placement_arrivals(resource, self, until, &nodes, NULL))
            return;
    }
}

bool
qm__settle_move(qm_cluster *c, const uint8_t *uuid, const char *resource,
                int64_t deadline, char **ret_text, GError **error)
{
    const char *self = qm__cluster_self(c)->name;
    g_autofree char *cleared = NULL;
    bool leaving;

    if (!qm__cluster_shutting_down(c, deadline, &leaving, error))
        return false;
    if (leaving) {
        g_set_error(error, QM_ERROR, QM_ERROR_REFUSED,
                    "this node is shutting down");
        return false;
    }
    if (!clear_wish(uuid, resource, self, deadline, &cleared, error))
        return false;
    QM_CRASH_POINT("wish-cleared");
    forget_arrival(self, resource, deadline);
    if (!ask_for_refresh(self, resource, deadline, error))
        return false;
    QM_CRASH_POINT("refreshed");
    *ret_text = g_strdup_printf("the VM stays: Pacemaker will look again; %s%s",
                                *cleared != '\0' ? "cleared the constraint "
                                                 : "no constraint",
                                cleared);
    return true;
}
