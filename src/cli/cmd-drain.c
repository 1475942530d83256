/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * quickmig drain and undrain: a node is emptied for maintenance.  Each VM is
 * moved by a `quickmig move` of its own, to the best rated node, a few at a
 * time; then the node goes into standby, which moves what came meanwhile; and
 * only when nothing of ours is left there it is called safe.
 */
#include "config.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cli.h"
#include "cluster.h"
#include "editor.h"
#include "reach.h"
#include "spawn.h"
#include "timeouts.h"

#define PARALLEL 2 /* moves at a time */
#define STANDBY  (20 * QM_S)

typedef struct {
    const cli_look *look;
    GPid pid; /* 0: not begun, or over */
    bool begun, moved;
} job;

typedef struct {
    const cli_options *o;
    const char *node;
    GPtrArray *looks;
    GArray *jobs; /* job: the VMs that run on the node */
    unsigned running, failed;
} drain;

static volatile sig_atomic_t interrupted;

static void
on_interrupt(int number)
{
    interrupted = 1;
}

/* --- who is there -------------------------------------------------------- */

static const char *
name_of(const cli_look *look)
{
    return look->error == NULL ? look->info.name : look->target->resource;
}

/* It runs there, or is on its way from there. */
static bool
is_on(const cli_look *look, const char *node)
{
    return look->error == NULL && cli_has_owner(&look->record) &&
           strcmp(look->record.owner.name, node) == 0;
}

/* @ret_unknown: a vault that cannot be read; NULL: none. */
static bool
look_around(drain *d, const cli_look **ret_unknown, GError **error)
{
    g_autoptr(GPtrArray) targets = NULL;

    g_clear_pointer(&d->looks, g_ptr_array_unref);
    if (!cli_all_targets(d->o, &targets, error))
        return false;
    d->looks = g_ptr_array_new_with_free_func((GDestroyNotify) cli_look_free);
    while (targets->len > 0)
        g_ptr_array_add(d->looks,
                        cli_look_new(g_ptr_array_steal_index(targets, 0)));
    cli_look_all(d->o, d->looks);
    *ret_unknown = NULL;
    g_array_set_size(d->jobs, 0);
    for (guint i = 0; i < d->looks->len; i++) {
        job j = {.look = d->looks->pdata[i]};

        if (j.look->error != NULL)
            *ret_unknown = j.look;
        else if (is_on(j.look, d->node))
            g_array_append_val(d->jobs, j);
    }
    return true;
}

/* --- moving -------------------------------------------------------------- */

static bool
begin(const drain *d, job *j, GError **error)
{
    char program[] = "/proc/self/exe", name[] = "quickmig", move[] = "move",
         yes[] = "--yes";
    char timeout[] = "--timeout";
    g_autofree char *vm = g_strdup(j->look->target->resource);
    g_autofree char *limit = g_strdup_printf("%d", d->o->move_timeout);
    char *argv[] = {program, name, move, vm, yes, timeout, limit, NULL};
    /* Its progress would be mixed with that of the others. */
    GSpawnFlags flags = G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_FILE_AND_ARGV_ZERO |
                        G_SPAWN_CHILD_INHERITS_STDIN |
                        (d->o->json ? G_SPAWN_STDOUT_TO_DEV_NULL : 0);

    j->begun = true;
    return g_spawn_async(NULL, argv, NULL, flags, NULL, NULL, &j->pid, error);
}

static void
begin_more(drain *d, unsigned parallel)
{
    for (guint i = 0; i < d->jobs->len && d->running < parallel; i++) {
        job *j = &g_array_index(d->jobs, job, i);
        g_autoptr(GError) why = NULL;

        if (j->begun || interrupted)
            continue;
        if (begin(d, j, &why)) {
            d->running++;
        } else {
            cli_warn("%s: %s", name_of(j->look), why->message);
            d->failed++;
        }
    }
}

static void
note_end(drain *d, GPid pid, int status)
{
    for (guint i = 0; i < d->jobs->len; i++) {
        job *j = &g_array_index(d->jobs, job, i);

        if (j->pid != pid)
            continue;
        j->pid = 0;
        j->moved = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        d->running--;
        d->failed += !j->moved;
        return;
    }
}

/* An interrupt of this program alone is passed on; each move cancels. */
static void
pass_on(const drain *d)
{
    for (guint i = 0; i < d->jobs->len; i++) {
        const job *j = &g_array_index(d->jobs, job, i);

        if (j->pid != 0)
            (void) kill(j->pid, SIGINT);
    }
}

static void
move_all(drain *d)
{
    unsigned parallel =
        d->o->parallel > 0 ? (unsigned) d->o->parallel : PARALLEL;
    bool passed_on = false;

    begin_more(d, parallel);
    while (d->running > 0) {
        int status;
        pid_t pid = waitpid(-1, &status, 0);

        if (pid > 0)
            note_end(d, pid, status);
        else if (errno != EINTR)
            return;
        if (interrupted && !passed_on) {
            pass_on(d);
            passed_on = true;
        }
        begin_more(d, parallel);
    }
}

/* --- standby ------------------------------------------------------------- */

static bool
run(const char *const *argv, int64_t deadline, GError **error)
{
    g_autofree char *err = NULL;
    int code;

    if (!qm__spawn(argv, deadline, &code, NULL, &err, error))
        return false;
    if (code == 0)
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_IO, "%s: %s (exit %d)", argv[0],
                g_strstrip(err), code);
    return false;
}

static bool
set_standby(const char *node, bool on, GError **error)
{
    const char *argv[] = {
        "crm_attribute", "--type",  "nodes",    "--node",          node,
        "--name",        "standby", "--update", on ? "on" : "off", NULL};

    return run(argv, qm__deadline_in(STANDBY), error);
}

static bool
await_rest(const drain *d, GError **error)
{
    g_autofree char *limit =
        g_strdup_printf("--timeout=%d", d->o->move_timeout);
    const char *argv[] = {"crm_resource", "--wait", limit, NULL};

    return run(argv, qm__deadline_in((d->o->move_timeout + 10) * QM_S), error);
}

/* --- drain --------------------------------------------------------------- */

static bool
confirm(const drain *d, GError **error)
{
    g_autofree char *question = g_strdup_printf(
        "Move %u VMs off %s and put it into standby?", d->jobs->len, d->node);

    if (d->o->yes)
        return true;
    if (cli_can_ask() && cli_ask(question))
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_REFUSED,
                "not confirmed; without a terminal use --yes");
    return false;
}

static bool
refuse_rest(const drain *d, const cli_look *unknown, GError **error)
{
    if (d->jobs->len > 0)
        g_set_error(error, QM_ERROR, QM_ERROR_REFUSED,
                    "%s is NOT safe to switch off: %s is still there", d->node,
                    name_of(g_array_index(d->jobs, job, 0).look));
    else
        g_set_error(error, QM_ERROR, QM_ERROR_REFUSED,
                    "%s may NOT be safe to switch off: the vault of %s cannot "
                    "be read: %s",
                    d->node, name_of(unknown), unknown->error->message);
    return false;
}

static void
print_done(const drain *d, guint moved, GString *out)
{
    if (d->o->json) {
        g_autoptr(JsonBuilder) b = json_builder_new();

        json_builder_begin_object(b);
        cli_json_string(b, "node", d->node);
        cli_json_number(b, "moved", moved);
        cli_json_bool(b, "safe", true);
        json_builder_end_object(b);
        cli_json_print(b, out);
        return;
    }
    g_string_append_printf(out,
                           "%s is in standby and runs no VM: it is safe to "
                           "switch it off\n",
                           d->node);
}

static bool
empty(drain *d, GString *out, GError **error)
{
    const cli_look *unknown;
    guint n;

    if (!look_around(d, &unknown, error) || !confirm(d, error))
        return false;
    n = d->jobs->len;
    move_all(d);
    if (interrupted || d->failed > 0) {
        g_set_error(error, QM_ERROR,
                    interrupted ? QM_ERROR_CANCELLED : QM_ERROR_REFUSED,
                    "%s is not drained: %s; it is not in standby", d->node,
                    interrupted ? "interrupted" : "a VM could not be moved");
        return false;
    }
    if (!set_standby(d->node, true, error) || !await_rest(d, error) ||
        !look_around(d, &unknown, error))
        return false;
    if (d->jobs->len > 0 || unknown != NULL)
        return refuse_rest(d, unknown, error);
    print_done(d, n, out);
    return true;
}

static bool
check_node(const cli_options *o, GError **error)
{
    g_autoptr(qm_cluster) cluster = NULL;
    qm_node node;

    return qm__cluster_open(cli_deadline(o), &cluster, error) &&
           qm__cluster_node(cluster, o->args[0], &node, error);
}

bool
cli_drain(const cli_options *o, GString *out, GError **error)
{
    drain d = {.o = o, .node = o->args[0]};
    struct sigaction action = {.sa_handler = on_interrupt};
    bool ok;

    if (!check_node(o, error))
        return false;
    d.jobs = g_array_new(FALSE, FALSE, sizeof(job));
    (void) sigaction(SIGINT, &action, NULL);
    (void) sigaction(SIGTERM, &action, NULL);
    ok = empty(&d, out, error);
    g_array_unref(d.jobs);
    g_clear_pointer(&d.looks, g_ptr_array_unref);
    return ok;
}

bool
cli_undrain(const cli_options *o, GString *out, GError **error)
{
    if (!check_node(o, error) || !set_standby(o->args[0], false, error))
        return false;
    if (!o->json)
        g_string_append_printf(out, "%s takes VMs again\n", o->args[0]);
    return true;
}
