/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The actions: thin.  What they do is the engine's; how they end is OCF's:
 * 7 only when surely not running, 1 when in doubt.
 */
#include "config.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <poll.h>
#include "agent.h"
#include "health.h"
#include "log.h"
#include "settle.h"

#define RETRY_MS    500 /* how often a vault that is away is looked for */
#define AWAY_TIME   (10 * QM_S) /* a start waits for storage that is away */
#define ABSENT_TIME (3 * QM_S)  /* … that is there, but not the vault */
#define SETTLE_TIME (10 * QM_S) /* a failed move holds up the whole cluster */

static const qm_agent_action actions[] = {
    {"start", qm__do_start, 180, 0, -1, true, true},
    {"stop", qm__do_stop, 300, 0, -1, true, true},
    {"monitor", qm__do_monitor, 30, 10, 0, true, true},
    {"migrate_to", qm__do_migrate_to, 300, 0, -1, true, false},
    {"migrate_from", qm__do_migrate_from, 180, 0, -1, true, false},
    {"validate-all", qm__do_validate, 20, 0, -1, true, true},
    {"reload-agent", qm__do_reload, 20, 0, -1, true, true},
    {"meta-data", qm__metadata, 5, 0, -1, false, true},
};

const qm_agent_action *
qm__agent_actions(size_t *ret_count)
{
    *ret_count = G_N_ELEMENTS(actions);
    return actions;
}

const qm_agent_action *
qm__agent_find(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(actions); i++)
        if (strcmp(actions[i].name, name) == 0)
            return &actions[i];
    return NULL;
}

/* What a failure means to Pacemaker. */
static ocf_code
code_of(const qm_agent *a, const GError *error)
{
    if (!a->action->may_configured)
        return OCF_ERR_GENERIC; /* 5 and 6 would stop it everywhere */
    if (g_error_matches(error, QM_ERROR, QM_ERROR_FORMAT))
        return OCF_ERR_INSTALLED;
    if (a->action->run == qm__do_validate &&
        g_error_matches(error, QM_ERROR, QM_ERROR_UNSUPPORTED))
        return OCF_ERR_CONFIGURED;
    return OCF_ERR_GENERIC;
}

/* Pacemaker shows the line with this prefix as the reason of the failure. */
static void
give_reason(const char *reason)
{
    g_autofree char *line = g_strdup(reason);

    (void) fprintf(stderr, "ocf-exit-reason:%s\n",
                   g_strdelimit(line, "\r\n", ' '));
}

static ocf_code
failed(const qm_agent *a, const GError *error)
{
    qm__error("%s of %s failed: %s", a->action->name, a->resource,
              error->message);
    give_reason(error->message);
    return code_of(a, error);
}

static void
on_report(void *opaque, const char *step, const char *text)
{
    const qm_agent *a = opaque;

    qm__notice("%s: %s: %s (+%" PRIi64 " ms)", a->action->name, step, text,
               (qm__now() - a->began) / QM_MS);
}

static bool
open_engine(qm_agent *a, GError **error)
{
    qm_engine *e = &a->engine;
    const char *node;

    memset(e, 0, sizeof *e);
    e->params = a->params;
    e->action = a->action->name;
    e->resource = a->resource;
    e->began = a->began;
    e->report = on_report;
    e->report_opaque = a;
    qm__timeouts_for(a->timeout_ms, a->began, &e->t);
    if (!qm__engine_open(e, error))
        return false;
    node = qm__cluster_self(e->cluster)->name;
    qm__log_set_context(qm_vault_get_info(e->vault)->name, node);
    return true;
}

typedef bool (*engine_step)(qm_agent *a, GError **error);

/* Opens the engine, runs @step, closes.  @or_else: what a failure asks for;
 * NULL: nothing. */
static ocf_code
with_engine(qm_agent *a, engine_step open, engine_step step,
            void (*or_else)(qm_agent *a))
{
    g_autoptr(GError) error = NULL;
    ocf_code code = OCF_SUCCESS;

    if (!open(a, &error) || !step(a, &error)) {
        code = failed(a, error);
        if (or_else != NULL)
            or_else(a);
    } else {
        qm__info("%s done in %" PRIi64 " ms", a->action->name,
                 (qm__now() - a->began) / QM_MS);
    }
    qm__engine_close(&a->engine);
    return code;
}

static bool
start_step(qm_agent *a, GError **error)
{
    return qm__engine_start(&a->engine, error);
}

/* How long a start waits for a vault that cannot be opened for this reason.
 * A portal that answers, but has no such LUN, is about to have it, or wrong. */
static int64_t
patience_for(const GError *error)
{
    if (g_error_matches(error, QM_ERROR, QM_ERROR_IO) ||
        g_error_matches(error, QM_ERROR, QM_ERROR_LOST) ||
        g_error_matches(error, QM_ERROR, QM_ERROR_TIMEOUT))
        return AWAY_TIME;
    return g_error_matches(error, QM_ERROR, QM_ERROR_NOT_FOUND) ? ABSENT_TIME
                                                                : 0;
}

/* Storage that restarts comes back; and a start that fails at once, here and
 * on every other node, leaves the VM down until somebody cleans up. */
static bool
open_for_start(qm_agent *a, GError **error)
{
    int64_t since = qm__now();
    int code = 0;

    for (;;) {
        g_autoptr(GError) why = NULL;

        if (open_engine(a, &why))
            return true;
        if (why->code != code)
            since = qm__now();
        code = why->code;
        if (qm__now() - since >= patience_for(why) ||
            qm__now() - a->began >= AWAY_TIME || qm__passed(a->engine.t.work)) {
            g_propagate_error(error, g_steal_pointer(&why));
            return false;
        }
        qm__warning("%s: %s; trying again", a->action->name, why->message);
        qm__engine_close(&a->engine);
        (void) poll(NULL, 0, RETRY_MS);
    }
}

ocf_code
qm__do_start(qm_agent *a)
{
    return with_engine(a, open_for_start, start_step, NULL);
}

static bool
migrate_from_step(qm_agent *a, GError **error)
{
    return qm__engine_migrate_from(&a->engine, error);
}

ocf_code
qm__do_migrate_from(qm_agent *a)
{
    return with_engine(a, open_engine, migrate_from_step, NULL);
}

/* Whoever asked for this move may have said how; it is a wish like any other,
 * and not worth a failure. */
static void
ask_for_mode(qm_agent *a)
{
    g_autofree char *mode = NULL;
    g_autoptr(GError) why = NULL;

    if (!qm__cluster_get_mode(a->resource, qm__deadline_in(QM_S), &mode, &why))
        qm__warning("%s: moving it as configured: %s", a->resource,
                    why->message);
    else if (g_strcmp0(mode, "quick") == 0)
        a->engine.params.mode = QM_MODE_QUICK;
    else if (g_strcmp0(mode, "live") == 0)
        a->engine.params.mode = QM_MODE_LIVE;
    else if (g_strcmp0(mode, "auto") == 0)
        a->engine.params.mode = QM_MODE_AUTO;
}

static bool
migrate_to_step(qm_agent *a, GError **error)
{
    if (a->migrate_target == NULL) {
        g_set_error(error, QM_ERROR, QM_ERROR_INVALID,
                    "OCF_RESKEY_CRM_meta_migrate_target is not set");
        return false;
    }
    ask_for_mode(a);
    return qm__engine_migrate_to(&a->engine, a->migrate_target, error);
}

/* Is this node the VM's owner, as it was before the move, and does the guest
 * run?  Where the vault cannot be asked, libvirt and the gates can. */
static bool
runs_on(qm_engine *e, uint8_t *ret_uuid)
{
    g_autoptr(GError) why = NULL;
    qm_vm_state state;
    qm_local note;

    if (e->vm != NULL && qm_vault_read_record(e->vault, &e->record, &why)) {
        memcpy(ret_uuid, qm__engine_uuid(e), QM_UUID_LEN);
        return e->record.state == QM_STATE_RUNNING &&
               qm_lifecycle_owner(&e->record, qm__cluster_self(e->cluster),
                                  false) == QM_OWNER_SELF &&
               qm__vm_get_state(e->vm, qm__deadline_in(e->t.call), &state,
                                NULL) &&
               state == QM_VM_RUNNING;
    }
    if (!qm__engine_vouched(e, NULL) ||
        !qm__local_read(e->params.vault, &note, NULL))
        return false;
    memcpy(ret_uuid, note.uuid, QM_UUID_LEN);
    qm__local_clear(&note);
    return true;
}

/* The move was given up, and the guest runs on: let it.  Where that cannot be
 * had, Pacemaker stops and starts it, which it survives. */
static void
settle_move(qm_agent *a)
{
    qm_engine *e = &a->engine;
    int64_t deadline =
        MIN(qm__deadline_in(SETTLE_TIME), a->began + e->t.action);
    g_autoptr(GError) why = NULL;
    g_autofree char *text = NULL;
    uint8_t uuid[QM_UUID_LEN];

    if (e->cluster == NULL || !runs_on(e, uuid))
        return;
    if (qm__settle_move(e->cluster, uuid, a->resource, deadline, &text, &why))
        qm__notice("%s: %s (+%" PRIi64 " ms)", a->resource, text,
                   (qm__now() - a->began) / QM_MS);
    else
        qm__warning("%s: the move cannot be settled, Pacemaker will stop and "
                    "start the VM: %s",
                    a->resource, why->message);
}

ocf_code
qm__do_migrate_to(qm_agent *a)
{
    return with_engine(a, open_engine, migrate_to_step, settle_move);
}

/* --- stop ---------------------------------------------------------------- */

/* A vault that is away, or a libvirtd that is restarted, may be back within
 * the action's time.  @ret_vouched (NULL: no matter): it is not, but libvirt
 * and the gates vouch for a VM that runs. */
static bool
open_patiently(qm_agent *a, bool *ret_vouched, GError **error)
{
    for (;;) {
        g_autoptr(GError) why = NULL;
        g_autoptr(GError) also = NULL;

        if (open_engine(a, &why))
            return true;
        if (ret_vouched != NULL && qm__engine_vouched(&a->engine, &also)) {
            qm__warning("%s: %s; the VM runs on", a->resource, why->message);
            *ret_vouched = true;
            return true;
        }
        if (qm__passed(a->engine.t.work) ||
            !qm__engine_started_here(&a->engine) ||
            qm__engine_ended_here(&a->engine)) {
            g_propagate_error(error, g_steal_pointer(&why));
            return false;
        }
        qm__warning("%s: %s; trying again", a->action->name, why->message);
        qm__engine_close(&a->engine);
        (void) poll(NULL, 0, RETRY_MS);
    }
}

ocf_code
qm__do_stop(qm_agent *a)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GError) why = NULL;
    ocf_code code = OCF_SUCCESS;

    if (!open_patiently(a, NULL, &why)) {
        qm__error("stop of %s: %s", a->resource, why->message);
        if (!qm__engine_stop_blind(&a->engine, &error))
            code = failed(a, error);
    } else if (!qm__engine_stop(&a->engine, &error)) {
        code = failed(a, error);
    }
    qm__engine_close(&a->engine);
    return code;
}

/* --- monitor ------------------------------------------------------------- */

/* A probe is asked before anything is started: it does not wait.  But it is
 * asked, too, after a move that was settled. */
static bool
open_to_look(qm_agent *a, bool *ret_vouched, GError **error)
{
    if (!a->probe)
        return open_patiently(a, ret_vouched, error);
    if (open_engine(a, error))
        return true;
    *ret_vouched = qm__engine_vouched(&a->engine, NULL);
    if (*ret_vouched)
        g_clear_error(error);
    return *ret_vouched;
}

/* What the XML lacks is the same on every node. */
static ocf_code
check_health(qm_agent *a)
{
    g_autoptr(GError) error = NULL;

    if (a->probe || a->depth < 10 || qm__engine_health(&a->engine, &error))
        return OCF_SUCCESS;
    (void) failed(a, error);
    return g_error_matches(error, QM_ERROR, QM_ERROR_UNSUPPORTED)
               ? OCF_ERR_CONFIGURED
               : OCF_ERR_GENERIC;
}

ocf_code
qm__do_monitor(qm_agent *a)
{
    g_autoptr(GError) error = NULL;
    ocf_code code = OCF_SUCCESS;
    bool running = false, vouched = false;

    if (!open_to_look(a, &vouched, &error) ||
        (!vouched &&
         !qm__engine_monitor(&a->engine, a->probe, &running, &error)))
        code = failed(a, error);
    else if (!vouched)
        code = running ? check_health(a) : OCF_NOT_RUNNING;
    qm__engine_close(&a->engine);
    return code;
}

/* --- validate-all, reload-agent ------------------------------------------ */

/* The longest of save and restore, at the rate measured last. */
static void
advise_timeouts(qm_agent *a)
{
    qm_engine *e = &a->engine;
    uint64_t rate = qm__engine_rate(e);
    int64_t need;

    if (rate == 0)
        return;
    need = 2 * qm__transfer_time(e->dom->memory, rate) / QM_S + 60;
    if (a->timeout_ms > 0 && a->timeout_ms / 1000 < need)
        qm__warning("%s: at %.0f MB/s (measured) the timeouts of start, stop, "
                    "migrate_to and migrate_from should be at least %" PRIi64
                    " s for %" PRIu64 " MiB of memory; this action has %" PRIi64
                    " s",
                    a->resource, (double) rate / 1e6, need,
                    e->dom->memory >> 20, a->timeout_ms / 1000);
}

static bool
validate_step(qm_agent *a, GError **error)
{
    qm_engine *e = &a->engine;
    const qm_vault_info *info = qm_vault_get_info(e->vault);

    if (!qm__engine_need_xml(e, error))
        return false;
    if (info->image_capacity < e->dom->memory) {
        g_set_error(error, QM_ERROR, QM_ERROR_NO_SPACE,
                    "vault %s has room for %" PRIu64 " MiB, the VM's memory "
                    "is %" PRIu64 " MiB; make the vault larger",
                    qm_vault_get_url(e->vault), info->image_capacity >> 20,
                    e->dom->memory >> 20);
        return false;
    }
    advise_timeouts(a);
    if (e->dom->has_agent)
        return true;
    if (e->params.health_command != NULL) {
        g_set_error(error, QM_ERROR, QM_ERROR_UNSUPPORTED, "VM %s: %s",
                    info->name, qm__health_advice);
        return false;
    }
    qm__notice("%s: %s", a->resource, qm__health_advice);
    return true;
}

ocf_code
qm__do_validate(qm_agent *a)
{
    /* Check level 0 looks at the parameters only: they have been read. */
    return a->depth < 10 ? OCF_SUCCESS
                         : with_engine(a, open_engine, validate_step, NULL);
}

/* The one parameter that a stop must know even if it is told none. */
static bool
note_secret(const qm_agent *a, GError **error)
{
    g_autoptr(GError) why = NULL;
    qm_local note;
    bool ok;

    if (!qm__local_read(a->params.vault, &note, &why)) {
        if (g_error_matches(why, QM_ERROR, QM_ERROR_NOT_FOUND))
            return true; /* nothing of it runs here */
        g_propagate_error(error, g_steal_pointer(&why));
        return false;
    }
    g_free(note.image_secret);
    note.image_secret = g_strdup(a->params.image_secret);
    ok = qm__local_write(a->params.vault, &note, error);
    qm__local_clear(&note);
    return ok;
}

ocf_code
qm__do_reload(qm_agent *a)
{
    g_autoptr(GError) error = NULL;

    /* Every action reads its parameters anew: there is nothing to reload. */
    if (!note_secret(a, &error))
        return failed(a, error);
    qm__notice("%s: parameters reloaded", a->resource);
    return OCF_SUCCESS;
}

/* --- dispatch ------------------------------------------------------------ */

static const char *
get(char *const *environment, const char *name)
{
    return g_environ_getenv((char **) environment, name);
}

static int64_t
get_number(char *const *environment, const char *name)
{
    const char *text = get(environment, name);
    gint64 value;

    if (text == NULL ||
        !g_ascii_string_to_signed(text, 10, 0, INT32_MAX, &value, NULL))
        return 0;
    return value;
}

/* What the note of @vault knows. */
static GStrv
environment_from_note(char *const *environment, const char *vault)
{
    GStrv result = g_environ_setenv(g_strdupv((char **) environment),
                                    "OCF_RESKEY_vault", vault, TRUE);
    qm_local note;

    if (!qm__local_read(vault, &note, NULL))
        return result;
    if (note.image_secret != NULL)
        result = g_environ_setenv(result, "OCF_RESKEY_image_secret",
                                  note.image_secret, FALSE);
    qm__local_clear(&note);
    return result;
}

/* A stop that fails gets the node fenced: neither a typo nor a resource that
 * was deleted while it ran may do that.  What the resource started here is
 * known to this node; nothing: there is nothing to stop. */
static ocf_code
stop_without_params(qm_agent *a, char *const *environment)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *vault = NULL;
    g_auto(GStrv) with_vault = NULL;

    if (qm__parameters_read(environment, true, &a->params, &error))
        return a->action->run(a);
    g_clear_error(&error);
    if (!qm__local_find(a->resource, &vault, &error))
        return failed(a, error);
    if (vault == NULL) {
        qm__notice("%s: it started no VM on this node: nothing to stop",
                   a->resource);
        return OCF_SUCCESS;
    }
    with_vault = environment_from_note(environment, vault);
    if (!qm__parameters_read(with_vault, true, &a->params, &error))
        return failed(a, error);
    return a->action->run(a);
}

static ocf_code
run_with_params(qm_agent *a, char *const *environment)
{
    g_autoptr(GError) error = NULL;

    if (qm__parameters_read(environment, false, &a->params, &error))
        return a->action->run(a);
    qm__error("%s: %s", a->resource, error->message);
    if (a->action->run == qm__do_stop)
        return stop_without_params(a, environment);
    give_reason(error->message);
    return a->action->may_configured ? OCF_ERR_CONFIGURED : OCF_ERR_GENERIC;
}

ocf_code
qm__agent_run(const char *name, char *const *environment)
{
    qm_agent a = {.action = qm__agent_find(name), .began = qm__now()};

    if (a.action == NULL) {
        qm__error("unknown action \"%s\"", name);
        return OCF_ERR_UNIMPLEMENTED;
    }
    a.resource = get(environment, "OCF_RESOURCE_INSTANCE");
    if (a.resource == NULL)
        a.resource = "VirtualMachine";
    a.migrate_target = get(environment, "OCF_RESKEY_CRM_meta_migrate_target");
    a.timeout_ms = get_number(environment, "OCF_RESKEY_CRM_meta_timeout");
    a.probe = get_number(environment, "OCF_RESKEY_CRM_meta_interval") == 0;
    a.depth = (unsigned) get_number(environment, "OCF_CHECK_LEVEL");
    qm__log_set_context(a.resource, NULL);
    return a.action->needs_params ? run_with_params(&a, environment)
                                  : a.action->run(&a);
}
