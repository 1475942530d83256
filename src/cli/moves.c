/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * What is told about moves, put together.  Each side of a move tells its own
 * part, in no order that could be relied on; the image id says which of two
 * moves of a VM is the later one.
 */
#include "config.h"
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include "moves.h"
#include "output.h"
#include "timeouts.h"

#define BAR 20 /* characters */

GArray *
cli_moves_new(void)
{
    return g_array_new(FALSE, TRUE, sizeof(cli_move));
}

static cli_move *
entry_for(GArray *moves, const qm_job *job)
{
    static const cli_move none;

    for (guint i = 0; i < moves->len; i++) {
        cli_move *m = &g_array_index(moves, cli_move, i);
        const qm_job *known = m->has_source ? &m->source : &m->target;

        if (memcmp(known->uuid, job->uuid, QM_UUID_LEN) != 0)
            continue;
        /* A newer image of the same VM is another move. */
        if (job->image_id > known->image_id)
            *m = none;
        return job->image_id >= known->image_id ? m : NULL;
    }
    g_array_append_val(moves, none);
    return &g_array_index(moves, cli_move, moves->len - 1);
}

static void
note(GArray *moves, const qm_message *message)
{
    cli_move *m;

    if (message->kind != QM_MESSAGE_PROGRESS)
        return;
    m = entry_for(moves, &message->job);
    if (m == NULL)
        return;
    if (message->job.side == QM_SIDE_SOURCE) {
        m->source = message->job;
        m->has_source = true;
    } else {
        m->target = message->job;
        m->has_target = true;
    }
}

bool
cli_moves_hear(GArray *moves, qm_peer *peer, int64_t deadline,
               bool (*enough)(const GArray *moves, void *opaque), void *opaque,
               GError **error)
{
    for (;;) {
        struct pollfd p = {.fd = qm__peer_fd(peer), .events = POLLIN};
        qm_message message;

        while (qm__peer_next(peer, &message))
            note(moves, &message);
        if (qm__peer_lost(peer)) {
            g_set_error(error, QM_ERROR, QM_ERROR_IO,
                        "corosync is gone from this node");
            return false;
        }
        if (qm__passed(deadline) || (enough != NULL && enough(moves, opaque)))
            return true;
        if (poll(&p, 1, qm__remaining_ms(deadline)) < 0)
            return true; /* a signal: the caller looks */
    }
}

cli_move *
cli_moves_find(const GArray *moves, const char *name)
{
    for (guint i = 0; i < moves->len; i++) {
        cli_move *m = &g_array_index(moves, cli_move, i);
        const qm_job *job = m->has_source ? &m->source : &m->target;

        if (strcmp(job->name, name) == 0 || strcmp(job->resource, name) == 0)
            return m;
    }
    return NULL;
}

const qm_job *
cli_move_lead(const cli_move *m)
{
    if (!m->has_source)
        return &m->target;
    /* After the commit the target's side is the one that matters. */
    if (m->has_target && m->source.phase >= QM_PHASE_COMMITTED &&
        m->source.phase <= QM_PHASE_DONE)
        return &m->target;
    return &m->source;
}

bool
cli_move_ended(const cli_move *m)
{
    return qm__phase_ended(cli_move_lead(m)->phase);
}

static unsigned
percent(const cli_move *m)
{
    const qm_job *job = cli_move_lead(m);

    if (job->phase == QM_PHASE_DONE)
        return 100;
    if (job->total == 0 || job->phase < QM_PHASE_COPY)
        return 0;
    return (unsigned) MIN(99, job->bytes * 100 / job->total);
}

char *
cli_move_bar(const cli_move *m)
{
    char bar[BAR + 1];
    unsigned done = percent(m) * BAR / 100;

    memset(bar, '.', BAR);
    memset(bar, '#', done);
    bar[BAR] = '\0';
    return g_strdup_printf("[%s] %3u %%", bar, percent(m));
}

char *
cli_move_line(const cli_move *m)
{
    const qm_job *job = cli_move_lead(m);
    g_autofree char *bytes = cli_bytes(job->bytes);
    g_autofree char *speed = cli_speed(job->rate, QM_S);
    GString *line = g_string_new(NULL);

    g_string_append_printf(line, "%s %s -> %s %s, %s: %s", job->name,
                           job->source_name, job->target_name,
                           job->live ? "live" : "quick",
                           qm__phase_name(job->phase), bytes);
    if (job->phase == QM_PHASE_COPY && job->rate > 0)
        g_string_append_printf(line, ", %s", speed);
    if (job->phase == QM_PHASE_COPY && job->dirty_rate > 0)
        g_string_append_printf(line, ", guest writes %.0f MB/s",
                               (double) job->dirty_rate / 1e6);
    if (job->phase == QM_PHASE_DONE && job->pause_ms > 0)
        g_string_append_printf(line, ", paused for %u ms", job->pause_ms);
    if (job->text[0] != '\0')
        g_string_append_printf(line, ": %s", job->text);
    return g_string_free(line, FALSE);
}

static void
side_json(JsonBuilder *b, const char *key, const qm_job *job)
{
    json_builder_set_member_name(b, key);
    json_builder_begin_object(b);
    cli_json_string(b, "phase", qm__phase_name(job->phase));
    cli_json_number(b, "bytes", job->bytes);
    cli_json_number(b, "total", job->total);
    cli_json_number(b, "rate", job->rate);
    cli_json_number(b, "dirty_rate", job->dirty_rate);
    cli_json_number(b, "expected_pause_ms", job->expected_pause_ms);
    cli_json_number(b, "pause_ms", job->pause_ms);
    cli_json_number(b, "elapsed_ms", job->elapsed_ms);
    cli_json_string(b, "text", job->text);
    json_builder_end_object(b);
}

void
cli_move_json(JsonBuilder *b, const cli_move *m)
{
    const qm_job *job = cli_move_lead(m);

    json_builder_begin_object(b);
    cli_json_string(b, "vm", job->name);
    cli_json_uuid(b, "uuid", job->uuid);
    cli_json_string(b, "resource", job->resource);
    cli_json_string(b, "from", job->source_name);
    cli_json_string(b, "to", job->target_name);
    cli_json_string(b, "mode", job->live ? "live" : "quick");
    cli_json_string(b, "phase", qm__phase_name(job->phase));
    cli_json_number(b, "percent", percent(m));
    cli_json_number(b, "image_id", job->image_id);
    if (m->has_source)
        side_json(b, "source", &m->source);
    if (m->has_target)
        side_json(b, "target", &m->target);
    json_builder_end_object(b);
}
