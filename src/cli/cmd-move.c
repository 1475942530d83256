/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * quickmig move: copy the guest's memory ahead, then ask Pacemaker for the
 * move, show how far it is, and leave no constraint behind.
 *
 * Everything here only asks: Pacemaker moves the VM, and the agent does it.
 * Interrupted, it cancels the move.
 */
#include "config.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "cli.h"
#include "cluster-internal.h"
#include "editor.h"
#include "moves.h"
#include "placement.h"
#include "reach.h"
#include "timeouts.h"
#include "told.h"

#define ANSWER       (3 * QM_S) /* for the source's daemon to begin */
#define SHOW_EVERY   (200 * QM_MS)
#define LOOK_EVERY   QM_S /* at the cluster, when nothing is heard */
#define CALL         (20 * QM_S)
#define AFTER_CANCEL (30 * QM_S)
#define BEGIN        (20 * QM_S) /* for Pacemaker to act */
#define RECONNECT_S  120         /* the agent's defaults */
#define DOWNTIME_MS  300

typedef struct {
    const cli_options *o;
    cli_target *target; /* resource and vault */
    qm_cluster *cluster;
    qm_peer *peer;
    GArray *moves;
    qm_job job; /* what it is about */
    int64_t began, deadline;
    bool terminal, constrained, cancelled;
    bool mode_set; /* told to the source's node */
    bool done;     /* the target has told so */
    qm_phase told; /* without a terminal: the last that was shown */
} mover;

static volatile sig_atomic_t interrupted;

static void
on_interrupt(int number)
{
    interrupted++;
}

static void say(const mover *v, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* Progress, for people: on standard error, so that --json stays alone. */
static void
say(const mover *v, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    (void) fprintf(stderr, "%s%s%s", v->terminal ? "\r\033[K" : "", text,
                   v->terminal ? "" : "\n");
    (void) fflush(stderr);
}

/* On a terminal a line that changes; else a line a phase. */
static void
show(mover *v)
{
    const cli_move *m = cli_moves_find(v->moves, v->job.name);
    g_autofree char *bar = NULL, *line = NULL;
    qm_phase phase = m != NULL ? cli_move_lead(m)->phase : QM_PHASE_COUNT;

    if (m == NULL || (!v->terminal && phase == v->told))
        return;
    v->told = phase;
    bar = cli_move_bar(m);
    line = cli_move_line(m);
    say(v, "%s%s%s", v->terminal ? bar : "", v->terminal ? " " : "", line);
}

/* --- before -------------------------------------------------------------- */

static bool
check_place(const qm_place *place, const char *node, GError **error)
{
    if (!place->found) {
        g_set_error(error, QM_ERROR, QM_ERROR_NOT_FOUND,
                    "no node of this cluster has the name %s", node);
        return false;
    }
    if (!place->online)
        return cli_refuse(error, "%s is offline", node);
    if (place->standby)
        return cli_refuse(error, "%s is in standby: crm node online %s", node,
                          node);
    return !place->unusable ||
           cli_refuse(error, "%s is in maintenance, or not usable now", node);
}

/* Is there something to move, and may it go there?  Fills in the job. */
static bool
check(mover *v, const char *node, GError **error)
{
    qm_placement at = {0};
    qm_place place = {0};
    qm_node from, to;
    bool ok = false;

    if (v->target->resource == NULL)
        return cli_refuse(error, "%s is not a resource of this cluster",
                          v->o->args[0]);
    if (!qm__placement_look(v->target->resource, node, qm__deadline_in(CALL),
                            &at, &place, error))
        return false;
    if (!at.found || !at.ours)
        (void) cli_refuse(error, "%s is not an ocf:quickmig:VirtualMachine",
                          v->target->resource);
    else if (!at.managed || at.blocked)
        (void) cli_refuse(error, "Pacemaker does not manage %s now",
                          v->target->resource);
    else if (at.nodes == NULL || at.nodes[0] == NULL)
        (void) cli_refuse(error, "%s does not run", v->target->resource);
    else if (at.nodes[1] != NULL || at.pending != NULL)
        (void) cli_refuse(error, "%s: something goes on already: %s",
                          v->target->resource,
                          at.pending != NULL ? at.pending : "active twice");
    else
        ok = check_place(&place, node, error) &&
             qm__cluster_node(v->cluster, at.nodes[0], &from, error) &&
             qm__cluster_node(v->cluster, node, &to, error);
    qm__placement_clear_look(&at);
    if (!ok)
        return false;
    v->job.source = from.id;
    v->job.target = to.id;
    g_strlcpy(v->job.source_name, from.name, sizeof v->job.source_name);
    g_strlcpy(v->job.target_name, to.name, sizeof v->job.target_name);
    return true;
}

static bool
identify(mover *v, GError **error)
{
    g_autoptr(qm_vault) vault = NULL;
    const qm_vault_info *info;

    if (!cli_open(v->o, v->target, 0, &vault, error))
        return false;
    info = qm_vault_get_info(vault);
    memcpy(v->job.uuid, info->uuid, QM_UUID_LEN);
    g_strlcpy(v->job.name, info->name, sizeof v->job.name);
    g_strlcpy(v->job.resource, v->target->resource, sizeof v->job.resource);
    return true;
}

/* --- copying ahead ------------------------------------------------------- */

static bool
is_ahead(const GArray *moves, void *opaque)
{
    const mover *v = opaque;
    const cli_move *m = cli_moves_find(moves, v->job.name);

    return interrupted || (m != NULL && m->has_source &&
                           (m->source.phase == QM_PHASE_WAIT ||
                            m->source.phase >= QM_PHASE_COMMITTED));
}

static bool
has_begun(const GArray *moves, void *opaque)
{
    const mover *v = opaque;
    const cli_move *m = cli_moves_find(moves, v->job.name);

    return interrupted || (m != NULL && m->has_source);
}

static uint32_t
number(const char *text, uint32_t otherwise)
{
    gint64 value;

    if (text == NULL ||
        !g_ascii_string_to_signed(text, 10, 1, INT32_MAX, &value, NULL))
        return otherwise;
    return (uint32_t) value;
}

/* This time's mode, else the resource's. */
static bool
may_be_live(const mover *v, const qm_resource *r)
{
    return g_strcmp0(v->o->mode != NULL ? v->o->mode : r->mode, "quick") != 0;
}

/* The resource's parameters go along.  @ret_wanted: false: it is not to be
 * moved live. */
static bool
make_offer(const mover *v, qm_offer *offer, bool *ret_wanted, GError **error)
{
    g_autoptr(GPtrArray) resources = NULL;

    *ret_wanted = false;
    if (!qm__cluster_resources(qm__deadline_in(CALL), &resources, error))
        return false;
    for (guint i = 0; i < resources->len; i++) {
        const qm_resource *r = resources->pdata[i];

        if (strcmp(r->id, v->target->resource) != 0)
            continue;
        *ret_wanted = may_be_live(v, r);
        offer->downtime_limit_ms = number(r->downtime_limit, DOWNTIME_MS);
        offer->reconnect_limit_s = number(r->reconnect_limit, RECONNECT_S);
        if (r->network_map != NULL)
            g_strlcpy(offer->network_map, r->network_map,
                      sizeof offer->network_map);
        offer->allow_unfenced = g_strcmp0(r->allow_unfenced, "true") == 0;
        if (r->image_secret != NULL)
            g_strlcpy(offer->image_secret, r->image_secret,
                      sizeof offer->image_secret);
    }
    g_strlcpy(offer->vault, v->target->vault, sizeof offer->vault);
    g_strlcpy(offer->hypervisor,
              v->target->hypervisor != NULL ? v->target->hypervisor : "",
              sizeof offer->hypervisor);
    offer->timeout_ms = (uint32_t) (qm__remaining(v->deadline) / QM_MS);
    return true;
}

/* With the guest running, and without Pacemaker waiting.  Whatever goes wrong:
 * then it is a plain move. */
static bool
copy_ahead(mover *v, GError **error)
{
    qm_message m = {.kind = QM_MESSAGE_PRECOPY, .job = v->job};
    const cli_move *move;
    bool wanted;

    if (v->o->no_precopy || !qm__peer_has_daemon(v->peer, v->job.source))
        return true;
    if (!make_offer(v, &m.offer, &wanted, error))
        return false;
    if (!wanted)
        return true;
    qm__peer_send(v->peer, &m);
    if (!cli_moves_hear(v->moves, v->peer, qm__deadline_in(ANSWER), has_begun,
                        v, error))
        return false;
    while (has_begun(v->moves, v) && !is_ahead(v->moves, v) &&
           !qm__passed(v->deadline)) {
        show(v);
        if (!cli_moves_hear(v->moves, v->peer, qm__deadline_in(SHOW_EVERY),
                            is_ahead, v, error))
            return false;
    }
    move = cli_moves_find(v->moves, v->job.name);
    if (move != NULL && move->source.phase == QM_PHASE_CANCELLED)
        return cli_refuse(error, "%s stays on %s: %s", v->job.name,
                          v->job.source_name, move->source.text);
    if (move != NULL && move->source.phase == QM_PHASE_FAILED) {
        say(v, "not copied ahead: %s%s", move->source.text,
            v->terminal ? "\n" : "");
        /* Or it would look as if the move had failed. */
        g_array_set_size(v->moves, 0);
    }
    return true;
}

/* --- the move ------------------------------------------------------------ */

static bool
is_over(const GArray *moves, void *opaque)
{
    const mover *v = opaque;
    const cli_move *m = cli_moves_find(moves, v->job.name);

    return (interrupted && !v->cancelled) || interrupted > 1 ||
           (m != NULL && m->has_target && m->target.phase == QM_PHASE_DONE);
}

static void
cancel(mover *v, const char *why)
{
    qm_message m = {.kind = QM_MESSAGE_CANCEL, .job = v->job};

    g_snprintf(m.job.text, sizeof m.job.text, "quickmig move %s", why);
    qm__peer_send(v->peer, &m);
    v->cancelled = true;
    v->deadline = qm__deadline_in(AFTER_CANCEL);
    say(v, "cancelling%s", v->terminal ? "\n" : "");
}

/* An interrupt, or the end of the time, cancels; after that it is enough. */
static bool
heed(mover *v, GError **error)
{
    if (!v->cancelled && interrupted)
        cancel(v, "was interrupted");
    else if (!v->cancelled && qm__passed(v->deadline))
        cancel(v, "took longer than its --timeout");
    if (interrupted < 2 && !qm__passed(v->deadline))
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_TIMEOUT,
                "%s has not arrived%s; see quickmig jobs", v->job.name,
                interrupted < 2 ? " in time" : ", and is not waited for");
    return false;
}

/* Has Pacemaker come to rest, at @node, with all that was asked for? */
static bool
is_decided(const mover *v, const cli_move *m, const char *node,
           int64_t begin_by)
{
    if (strcmp(node, v->job.target_name) == 0)
        return true;
    if (m != NULL && m->has_source)
        return qm__phase_ended(m->source.phase);
    /* Its rules may not allow it. */
    return v->cancelled || qm__passed(begin_by);
}

/* What the cluster says.  @ret_settled: nothing goes on any more. */
static bool
look(const mover *v, char **ret_node, bool *ret_settled, GError **error)
{
    qm_placement at = {0};
    qm_place place = {0};

    if (!qm__placement_look(v->target->resource, v->job.target_name,
                            qm__deadline_in(CALL), &at, &place, error))
        return false;
    *ret_settled = at.pending == NULL && at.nodes != NULL &&
                   at.nodes[0] != NULL && at.nodes[1] == NULL;
    *ret_node = *ret_settled ? g_strdup(at.nodes[0]) : NULL;
    qm__placement_clear_look(&at);
    return true;
}

/* Until it is there, or Pacemaker has settled on something else. */
static bool
follow(mover *v, char **ret_node, GError **error)
{
    int64_t look_at = qm__deadline_in(LOOK_EVERY);
    int64_t begin_by = qm__deadline_in(BEGIN);

    for (;;) {
        const cli_move *m;
        bool settled = false;

        if (!heed(v, error))
            return false;
        show(v);
        if (!cli_moves_hear(v->moves, v->peer, qm__deadline_in(SHOW_EVERY),
                            v->done ? NULL : is_over, v, error))
            return false;
        m = cli_moves_find(v->moves, v->job.name);
        v->done =
            m != NULL && m->has_target && m->target.phase == QM_PHASE_DONE;
        if (!qm__passed(look_at))
            continue;
        look_at = qm__deadline_in(LOOK_EVERY);
        g_clear_pointer(ret_node, g_free);
        if (!look(v, ret_node, &settled, error))
            return false;
        if (settled && is_decided(v, m, *ret_node, begin_by))
            return true;
    }
}

static bool
set_mode(mover *v, GError **error)
{
    if (v->o->mode == NULL)
        return true;
    v->mode_set = true;
    return qm__cluster_set_mode(v->target->resource, v->job.source_name,
                                v->o->mode, qm__deadline_in(CALL), error);
}

static void
clear_mode(const mover *v)
{
    g_autoptr(GError) why = NULL;

    if (v->mode_set &&
        !qm__cluster_set_mode(v->target->resource, v->job.source_name, NULL,
                              qm__deadline_in(CALL), &why))
        cli_warn("%s", why->message);
}

/* No forgotten cli-prefer: but only the one that this command made. */
static void
clear(const mover *v)
{
    g_autoptr(GPtrArray) found = NULL;
    g_autoptr(GError) why = NULL;
    int64_t deadline = qm__deadline_in(CALL);

    if (!v->constrained)
        return;
    if (!qm__placement_constraints(v->target->resource, v->job.source_name,
                                   deadline, &found, &why)) {
        cli_warn("the move's constraint is left: %s", why->message);
        return;
    }
    for (guint i = 0; i < found->len; i++) {
        const qm_constraint *c = found->pdata[i];

        if (!c->ban && g_strcmp0(c->node, v->job.target_name) == 0 &&
            !qm__placement_clear(c, deadline, &why)) {
            cli_warn("constraint %s is left: %s", c->id, why->message);
            g_clear_error(&why);
        }
    }
}

static void
print_result(const mover *v, const char *node, bool moved, GString *out)
{
    const cli_move *m = cli_moves_find(v->moves, v->job.name);
    unsigned pause = m != NULL && m->has_target ? m->target.pause_ms : 0;
    uint64_t bytes = m != NULL && m->has_source ? m->source.bytes : 0;
    int64_t took = qm__now() - v->began;
    g_autofree char *size = cli_bytes(bytes);

    if (v->o->json) {
        g_autoptr(JsonBuilder) b = json_builder_new();

        json_builder_begin_object(b);
        cli_json_string(b, "vm", v->job.name);
        cli_json_string(b, "node", node);
        cli_json_bool(b, "moved", moved);
        cli_json_number(b, "pause_ms", pause);
        cli_json_number(b, "bytes", bytes);
        cli_json_number(b, "total_ms", (uint64_t) (took / QM_MS));
        json_builder_end_object(b);
        cli_json_print(b, out);
        return;
    }
    if (!moved)
        return;
    g_string_append_printf(out, "%s runs on %s", v->job.name, node);
    if (pause > 0)
        g_string_append_printf(out, "; it was paused for %u ms", pause);
    g_string_append_printf(out, " (%s, %.1f s in all)\n", size,
                           (double) took / (double) QM_S);
}

static bool
carry_out(mover *v, GString *out, GError **error)
{
    g_autofree char *node = NULL;
    const cli_move *m;
    bool moved;

    if (!copy_ahead(v, error))
        return false;
    if (interrupted) {
        cancel(v, "was interrupted");
    } else {
        v->constrained = true;
        if (!set_mode(v, error) ||
            !qm__placement_move(v->target->resource, v->job.target_name,
                                qm__deadline_in(CALL), error)) {
            cancel(v, "failed"); /* what is copied ahead is of no use */
            return false;
        }
    }
    if (!follow(v, &node, error))
        return false;
    if (v->terminal)
        say(v, "%s", "");
    moved = strcmp(node, v->job.target_name) == 0;
    print_result(v, node, moved, out);
    m = cli_moves_find(v->moves, v->job.name);
    return moved ||
           cli_refuse(
               error, "%s runs on %s: %s", v->job.name, node,
               m != NULL && m->has_source && m->source.text[0] != '\0'
                   ? m->source.text
                   : "Pacemaker did not move it; see its constraints and "
                     "scores (crm_simulate -sL)");
}

/* The node that was named, or the best rated one. */
static bool
choose(mover *v, char **ret_node, GError **error)
{
    const char *resource = v->target->resource, *best;
    g_autofree char *cib = NULL;
    g_autoptr(qm_told) told = NULL;

    *ret_node = g_strdup(v->o->args[1]);
    if (*ret_node != NULL || resource == NULL)
        return true;
    if (!qm__cib_query(qm__deadline_in(CALL), &cib, error) ||
        !qm__told_parse(cib, &told, error))
        return false;
    best = qm__told_best(told, resource, qm__told_where(told, resource));
    if (best == NULL)
        return cli_refuse(error,
                          "no other node may have %s: see quickmig hosts",
                          v->o->args[0]);
    say(v, "%s goes to %s, the best rated%s", v->o->args[0], best,
        v->terminal ? "\n" : "");
    *ret_node = g_strdup(best);
    return true;
}

/* Somebody who looks is shown what it will be, and asked; a script is not. */
static bool
confirm(const mover *v, char *node, GError **error)
{
    char *args[] = {v->o->args[0], node, NULL};
    cli_options planned = *v->o;

    planned.args = args;
    return v->o->yes || !cli_can_ask() || cli_plan_confirm(&planned, error);
}

bool
cli_move_vm(const cli_options *o, GString *out, GError **error)
{
    g_autoptr(cli_target) target = NULL;
    g_autoptr(qm_cluster) cluster = NULL;
    g_autoptr(GArray) moves = cli_moves_new();
    g_autoptr(qm_peer) peer = NULL;
    mover v = {.o = o, .moves = moves, .terminal = isatty(STDERR_FILENO)};
    struct sigaction action = {.sa_handler = on_interrupt};
    g_autofree char *node = NULL;
    bool ok;

    v.began = qm__now();
    v.deadline = qm__deadline_in(o->move_timeout * QM_S);
    if (!cli_find_target(o, o->args[0], &target, error) ||
        !qm__cluster_open(cli_deadline(o), &cluster, error) ||
        !qm__peer_open(false, cli_deadline(o), &peer, error))
        return false;
    v.target = target;
    v.cluster = cluster;
    v.peer = peer;
    if (!choose(&v, &node, error) || !check(&v, node, error))
        return false;
    if (strcmp(v.job.source_name, v.job.target_name) == 0) {
        g_string_append_printf(out, "%s runs on %s already\n", o->args[0],
                               node);
        return true;
    }
    if (!confirm(&v, node, error) || !identify(&v, error))
        return false;
    v.told = QM_PHASE_COUNT;
    (void) sigaction(SIGINT, &action, NULL);
    (void) sigaction(SIGTERM, &action, NULL);
    ok = carry_out(&v, out, error);
    clear(&v);
    clear_mode(&v);
    return ok;
}
