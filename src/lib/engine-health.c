/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Is the guest well?  Asked of its agent, and, where one is named, of a
 * command in it.
 *
 * A guest is silent for many reasons that are no fault of its: it is paused,
 * saved, moved, it boots.  Invariant: a miss counts only if the VM ran here,
 * with nobody at work on it, before the question and after.
 */
#include "config.h"
#include <inttypes.h>
#include <string.h>
#include "agent-reply.h"
#include "engine.h"
#include "health.h"

#define LOOK_AGAIN (100 * QM_MS) /* whether the command has ended */

/* Runs it in the guest and waits for its end. */
static bool
run_command(qm_engine *e, qm_vm *vm, int64_t deadline, GError **error)
{
    g_autofree char *command = NULL;
    g_autofree char *reply = NULL;
    g_autofree char *ask_again = NULL;
    int64_t pid, code = -1;
    bool exited = false;

    if (!qm__agent_exec(e->params.health_command, &command, error) ||
        !qm__vm_agent(vm, command, deadline, &reply, error) ||
        !qm__agent_read_pid(reply, &pid, error))
        return false;
    ask_again = qm__agent_status(pid);
    while (!exited && !qm__passed(deadline)) {
        g_autofree char *status = NULL;

        if (!qm__vm_agent(vm, ask_again, deadline, &status, error) ||
            !qm__agent_read_exit(status, &exited, &code, error))
            return false;
        if (!exited)
            g_usleep((gulong) MIN(LOOK_AGAIN, qm__remaining(deadline)));
    }
    if (exited && code == 0)
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_IO, "health_command %s",
                exited ? "failed" : "did not end in time");
    return false;
}

/* Over a connection of its own: libvirt holds back other calls meanwhile. */
static bool
ask(qm_engine *e, GError **error)
{
    int64_t deadline =
        MIN(e->t.end, qm__deadline_in(e->params.health_timeout_s * QM_S));
    g_autoptr(qm_vm) vm = NULL;
    g_autofree char *reply = NULL;

    return qm__vm_open(e->params.hypervisor, qm__engine_uuid(e), deadline, &vm,
                       error) &&
           qm__vm_agent(vm, QM_AGENT_PING, deadline, &reply, error) &&
           qm__agent_read_done(reply, error) &&
           (e->params.health_command == NULL ||
            run_command(e, vm, deadline, error));
}

/* The VM runs here in @generation, and nobody else is at work on it. */
static bool
is_undisturbed(qm_engine *e, uint64_t generation)
{
    g_autoptr(GError) ignored = NULL;
    qm_vm_state state;

    return qm__engine_try_lock(e) &&
           qm__vm_get_state(e->vm, qm__engine_call(e, e->t.end), &state,
                            &ignored) &&
           state == QM_VM_RUNNING &&
           qm_vault_read_record(e->vault, &e->record, &ignored) &&
           e->record.state == QM_STATE_RUNNING &&
           e->record.generation == generation;
}

static bool
give_verdict(qm_engine *e, const qm_health *h, qm_health_verdict verdict,
             const GError *why, GError **error)
{
    switch (verdict) {
    case QM_HEALTH_GOOD:
        return true;
    case QM_HEALTH_EARLY:
        qm__engine_report(e, "health",
                          "no answer yet, and it may still boot: "
                          "%s",
                          why->message);
        return true;
    case QM_HEALTH_MISS:
        qm__engine_report(e, "health", "miss %u of %u: %s", h->row,
                          e->params.health_misses, why->message);
        return true;
    default:
        g_set_error(error, QM_ERROR, QM_ERROR_IO,
                    "VM %s failed %u health checks in a row (health_misses="
                    "%u), the last one: %s",
                    qm_vault_get_info(e->vault)->name, h->row,
                    e->params.health_misses, why->message);
        return false;
    }
}

bool
qm__engine_health(qm_engine *e, GError **error)
{
    uint64_t generation = e->record.generation;
    g_autoptr(GError) why = NULL;
    g_autoptr(GError) ignored = NULL;
    qm_health_verdict verdict;
    qm_health before, h;
    bool good;

    if (!is_undisturbed(e, generation))
        return true;
    /* A move need not wait for a guest that is silent. */
    g_clear_pointer(&e->lock, qm__lock_release);
    good = ask(e, &why);
    if (!good && g_error_matches(why, QM_ERROR, QM_ERROR_UNSUPPORTED)) {
        g_set_error(error, QM_ERROR, QM_ERROR_UNSUPPORTED, "VM %s: %s",
                    qm_vault_get_info(e->vault)->name, qm__health_advice);
        return false;
    }
    if (!is_undisturbed(e, generation))
        return true;
    qm__health_read(qm__engine_uuid(e), generation, &before);
    h = before;
    verdict =
        qm__health_step(&h, good, qm__now(), e->params.health_grace_s * QM_S,
                        e->params.health_misses);
    /* Without a note this miss is forgotten, and nothing else. */
    if (memcmp(&h, &before, sizeof h) != 0 &&
        !qm__health_write(qm__engine_uuid(e), &h, &ignored))
        qm__engine_report(e, "health", "%s", ignored->message);
    return give_verdict(e, &h, verdict, why, error);
}
