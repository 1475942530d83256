/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * What a cold boot can do before it owns anything: gates in standby, and the
 * domain, paused, behind them.  That takes most of a start's time, and goes on
 * beside the interlock and the taking of the vault.
 *
 * The invariant: nothing of it can write.  A gate in standby has registered
 * nowhere and holds all writes; the guest's CPUs are started by
 * qm__engine_boot() only, after vault, record and disks.  So only where every
 * disk has a gate.  Nor can it remember what the old owner has changed since:
 * only where every disk is raw, so that QEMU reads nothing of it before the
 * CPUs run (of a qcow2 it would keep tables that the old owner still writes).
 * As long as it is under way, the domain counts as not there.
 */
#include "config.h"
#include <signal.h>
#include <string.h>
#include <pthread.h>
#include "crash.h"
#include "engine.h"

struct qm_early {
    qm_engine *engine; /* the thread touches gates and domain only */
    GThread *thread;
    char *gates_xml; /* the domain's, for gates */
    GMutex mutex;    /* for what follows */
    GCond changed;
    bool gates_done, gates_ok, domain_ok;
    GError *error; /* the first */
};

static void
gates_ended(qm_early *y, bool ok)
{
    g_mutex_lock(&y->mutex);
    y->gates_done = true;
    y->gates_ok = ok;
    g_cond_signal(&y->changed);
    g_mutex_unlock(&y->mutex);
}

static gpointer
run(gpointer data)
{
    qm_early *y = data;
    qm_engine *e = y->engine;
    int64_t deadline = qm__engine_call(e, e->t.work);
    bool ok = qm__disks_standby(e, deadline, &y->error);

    gates_ended(y, ok);
    if (ok)
        y->domain_ok = qm__vm_create(e->vm, y->gates_xml, true,
                                     qm__engine_call(e, e->t.end), &y->error);
    if (y->domain_ok)
        QM_CRASH_POINT("created");
    return NULL;
}

/* Only what will probably be booted, and has left no domain here. */
static bool
is_worth_it(qm_engine *e)
{
    const qm_record *r = &e->record;
    qm_owner owner = qm_lifecycle_owner(r, qm__cluster_self(e->cluster), false);
    qm_vm_state state;

    return (r->state == QM_STATE_OFF ||
            (r->state == QM_STATE_RUNNING && owner != QM_OWNER_SELF)) &&
           qm__vm_get_state(e->vm, qm__engine_call(e, e->t.work), &state,
                            NULL) &&
           state == QM_VM_NONE && qm__engine_need_xml(e, NULL) &&
           e->dom->disks->len > 0 && e->dom->n_disks == e->dom->disks->len &&
           e->dom->plain_disks;
}

/* Signals are the main thread's business. */
static GThread *
start(qm_early *y)
{
    sigset_t all, old;
    GThread *thread;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    thread = g_thread_try_new("early", run, y, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return thread;
}

static void
early_free(qm_early *y)
{
    g_free(y->gates_xml);
    g_mutex_clear(&y->mutex);
    g_cond_clear(&y->changed);
    g_clear_error(&y->error);
    g_free(y);
}

void
qm__early_begin(qm_engine *e)
{
    qm_early *y;

    if (!is_worth_it(e))
        return;
    qm__disks_stop(e, qm__engine_call(e, e->t.work)); /* leftovers */
    if (!qm__engine_note(e, 0, NULL))
        return;
    y = g_new0(qm_early, 1);
    y->engine = e;
    g_mutex_init(&y->mutex);
    g_cond_init(&y->changed);
    if (qm__engine_boot_xml(e, &y->gates_xml, NULL))
        y->thread = start(y);
    if (y->thread != NULL)
        e->early = y;
    else
        early_free(y);
}

static void
await_end(qm_early *y)
{
    if (y->thread != NULL)
        g_thread_join(g_steal_pointer(&y->thread));
}

/* The vault's XML, read before the vault was ours, may have been edited. */
static bool
is_same_xml(qm_engine *e)
{
    g_autofree char *xml = NULL;

    return qm_vault_read_xml(e->vault, &xml, NULL) && strcmp(xml, e->xml) == 0;
}

bool
qm__early_usable(qm_engine *e)
{
    qm_early *y = e->early;
    bool ok;

    if (y == NULL)
        return false;
    g_mutex_lock(&y->mutex);
    while (!y->gates_done)
        g_cond_wait(&y->changed, &y->mutex);
    ok = y->gates_ok;
    g_mutex_unlock(&y->mutex);
    return ok && is_same_xml(e);
}

bool
qm__early_domain(qm_engine *e, GError **error)
{
    qm_early *y = e->early;
    bool ok;

    await_end(y);
    ok = y->domain_ok;
    if (!ok)
        g_propagate_error(error, g_steal_pointer(&y->error));
    e->early = NULL;
    early_free(y);
    return ok;
}

bool
qm__early_drop(qm_engine *e, GError **error)
{
    qm_early *y = e->early;

    if (y == NULL)
        return true;
    await_end(y);
    e->early = NULL;
    early_free(y);
    g_clear_pointer(&e->dom, qm__domxml_free); /* as the vault has it now */
    g_clear_pointer(&e->xml, g_free);
    return qm__engine_clear(e, e->t.end, error);
}
