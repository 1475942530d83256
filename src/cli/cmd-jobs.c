/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * quickmig jobs and quickmig cancel.  Whoever runs a side of a move answers at
 * once, on every node: nothing is kept anywhere.
 */
#include "config.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "cli.h"
#include "moves.h"
#include "reach.h"
#include "timeouts.h"

/* Both sides answer within a few milliseconds, unless their machine is busy
 * with the very move. */
#define ANSWERS (600 * QM_MS)
#define REFRESH (500 * QM_MS)

static bool
ask(qm_peer *peer, GArray *moves, int64_t deadline, GError **error)
{
    static const qm_message query = {.kind = QM_MESSAGE_QUERY};

    qm__peer_send(peer, &query);
    return cli_moves_hear(moves, peer, deadline, NULL, NULL, error);
}

static bool
is_wanted(const cli_options *o, const cli_move *m)
{
    const qm_job *job = cli_move_lead(m);

    return o->args[0] == NULL ||
           g_strv_contains((const char *const *) o->args, job->name) ||
           g_strv_contains((const char *const *) o->args, job->resource);
}

static void
print_json(const cli_options *o, const GArray *moves, GString *out)
{
    g_autoptr(JsonBuilder) b = json_builder_new();

    json_builder_begin_object(b);
    json_builder_set_member_name(b, "jobs");
    json_builder_begin_array(b);
    for (guint i = 0; i < moves->len; i++)
        if (is_wanted(o, &g_array_index(moves, cli_move, i)))
            cli_move_json(b, &g_array_index(moves, cli_move, i));
    json_builder_end_array(b);
    json_builder_end_object(b);
    cli_json_print(b, out);
}

static void
print_row(cli_table *t, const cli_move *m)
{
    const qm_job *job = cli_move_lead(m);
    g_autofree char *bar = cli_move_bar(m);
    g_autofree char *bytes = cli_bytes(job->bytes);
    g_autofree char *total = cli_bytes(job->total);
    g_autofree char *rate = cli_speed(job->rate, QM_S);
    g_autofree char *dirty = cli_speed(job->dirty_rate, QM_S);
    g_autofree char *pause =
        job->phase == QM_PHASE_COPY && job->expected_pause_ms > 0
            ? g_strdup_printf("%u ms", job->expected_pause_ms)
            : g_strdup("-");
    g_autofree char *elapsed =
        cli_duration((uint64_t) job->elapsed_ms * (uint64_t) QM_MS);

    cli_table_row(t, job->name, job->source_name, job->target_name,
                  job->live ? "live" : "quick", qm__phase_name(job->phase), bar,
                  bytes, total, rate, dirty, pause, elapsed, NULL);
}

static void
print_table(const cli_options *o, const GArray *moves, GString *out)
{
    g_autoptr(cli_table) t =
        cli_table_new("VM|FROM|TO|MODE|PHASE|PROGRESS|>DONE|>OF|>SPEED|"
                      ">WRITTEN|>PAUSE|>SINCE");
    guint n = 0;

    for (guint i = 0; i < moves->len; i++)
        if (is_wanted(o, &g_array_index(moves, cli_move, i))) {
            print_row(t, &g_array_index(moves, cli_move, i));
            n++;
        }
    if (n > 0)
        cli_table_print(t, out);
    else
        g_string_append(out, "no move is under way\n");
}

/* What has ended goes with the next look. */
static void
forget_ended(GArray *moves)
{
    for (guint i = moves->len; i-- > 0;)
        if (cli_move_ended(&g_array_index(moves, cli_move, i)))
            g_array_remove_index(moves, i);
}

static void
show(const cli_options *o, const GArray *moves, bool terminal)
{
    g_autoptr(GString) text = g_string_new(NULL);

    if (o->json)
        print_json(o, moves, text);
    else
        print_table(o, moves, text);
    if (terminal)
        (void) fputs("\033[H\033[J", stdout);
    (void) fwrite(text->str, 1, text->len, stdout);
    (void) fflush(stdout);
}

/* Until it is interrupted, or nothing is left to be shown. */
static bool
watch(const cli_options *o, qm_peer *peer, GArray *moves, GError **error)
{
    bool terminal = isatty(STDOUT_FILENO) && !o->json;

    for (;;) {
        show(o, moves, terminal);
        forget_ended(moves);
        if (o->until_done && moves->len == 0)
            return true;
        if (!ask(peer, moves, qm__deadline_in(REFRESH), error))
            return false;
    }
}

bool
cli_jobs(const cli_options *o, GString *out, GError **error)
{
    g_autoptr(GArray) moves = cli_moves_new();
    g_autoptr(qm_peer) peer = NULL;

    if (!qm__peer_open(false, cli_deadline(o), &peer, error) ||
        !ask(peer, moves, qm__deadline_in(ANSWERS), error))
        return false;
    if (o->watch || o->until_done)
        return watch(o, peer, moves, error);
    if (o->json)
        print_json(o, moves, out);
    else
        print_table(o, moves, out);
    return true;
}

/* --- cancel -------------------------------------------------------------- */

typedef struct {
    const char *name;
    uint64_t image_id;
} wanted;

/* Where the source stands; COUNT: unknown.  A source that has ended does not
 * answer any more, but a target takes over after the commit only. */
static qm_phase
source_phase(const cli_move *m)
{
    if (m == NULL)
        return QM_PHASE_COUNT;
    if (m->has_source)
        return m->source.phase;
    return m->target.phase == QM_PHASE_TAKEOVER ||
                   m->target.phase == QM_PHASE_DONE
               ? QM_PHASE_COMMITTED
               : QM_PHASE_COUNT;
}

/* It has been decided, one way or the other. */
static bool
is_decided(const GArray *moves, void *opaque)
{
    const wanted *w = opaque;
    qm_phase phase = source_phase(cli_moves_find(moves, w->name));

    return phase == QM_PHASE_COMMITTED || qm__phase_ended(phase);
}

static void
say_cancelled(const cli_options *o, const qm_job *job, GString *out)
{
    g_autoptr(JsonBuilder) b = NULL;

    if (!o->json) {
        g_string_append_printf(out, "%s stays on %s: %s\n", o->args[0],
                               job->source_name, job->text);
        return;
    }
    b = json_builder_new();
    json_builder_begin_object(b);
    cli_json_string(b, "vm", job->name);
    cli_json_bool(b, "cancelled", true);
    cli_json_string(b, "node", job->source_name);
    cli_json_string(b, "text", job->text);
    json_builder_end_object(b);
    cli_json_print(b, out);
}

static bool
say_how_it_ended(const cli_options *o, const cli_move *m, GString *out,
                 GError **error)
{
    const qm_job *job = m->has_source ? &m->source : &m->target;
    const char *name = o->args[0];

    switch (source_phase(m)) {
    case QM_PHASE_CANCELLED:
    case QM_PHASE_FAILED:
        say_cancelled(o, job, out);
        return true;
    case QM_PHASE_COMMITTED:
    case QM_PHASE_DONE:
        g_set_error(error, QM_ERROR, QM_ERROR_REFUSED,
                    "too late: the move of %s to %s is committed, and "
                    "completes",
                    name, job->target_name);
        return false;
    default:
        g_set_error(error, QM_ERROR, QM_ERROR_TIMEOUT,
                    "%s does not answer: see quickmig status %s, and the log "
                    "on %s",
                    job->source_name, name, job->source_name);
        return false;
    }
}

bool
cli_cancel(const cli_options *o, GString *out, GError **error)
{
    g_autoptr(GArray) moves = cli_moves_new();
    g_autoptr(qm_peer) peer = NULL;
    wanted w = {.name = o->args[0]};
    qm_message cancel = {.kind = QM_MESSAGE_CANCEL};
    const cli_move *m;

    if (!qm__peer_open(false, cli_deadline(o), &peer, error) ||
        !ask(peer, moves, qm__deadline_in(ANSWERS), error))
        return false;
    m = cli_moves_find(moves, w.name);
    if (m == NULL || cli_move_ended(m)) {
        g_set_error(error, QM_ERROR, QM_ERROR_NOT_FOUND,
                    "no move of %s is under way", w.name);
        return false;
    }
    cancel.job = *cli_move_lead(m);
    g_snprintf(cancel.job.text, sizeof cancel.job.text, "quickmig cancel on %s",
               g_get_host_name());
    qm__peer_send(peer, &cancel);
    if (!cli_moves_hear(moves, peer, cli_deadline(o), is_decided, &w, error))
        return false;
    return say_how_it_ended(o, cli_moves_find(moves, w.name), out, error);
}
