/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * One side of one move, in a process of its own, so that a crash hurts this
 * move only.
 */
#include "config.h"
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "engine.h"
#include "log.h"
#include "node.h"

#define TIMEOUT_DEFAULT 300000 /* ms, where the message names none */

#define SHOW_AT_MOST (2 * QM_S)

typedef struct {
    const char *what;
    int64_t began;
} worker;

static void
on_report(void *opaque, const char *step, const char *text)
{
    const worker *w = opaque;

    qm__notice("%s: %s: %s (+%" PRIi64 " ms)", w->what, step, text,
               (qm__now() - w->began) / QM_MS);
}

/* The whole of standard input. */
static bool
read_message(qm_message *ret_message, GError **error)
{
    g_autofree char *text = g_malloc(QM_MESSAGE_MAX + 1);
    size_t have = 0;
    ssize_t n;

    while (have <= QM_MESSAGE_MAX &&
           (n = read(STDIN_FILENO, text + have, QM_MESSAGE_MAX + 1 - have)) !=
               0) {
        if (n < 0 && errno != EINTR) {
            g_set_error(error, QM_ERROR, QM_ERROR_IO, "standard input: %s",
                        g_strerror(errno));
            return false;
        }
        have += n > 0 ? (size_t) n : 0;
    }
    return qm__message_from_json(text, have, ret_message, error);
}

void
qm__node_show_moving(const char *resource, const char *target)
{
    g_autoptr(GError) why = NULL;

    if (resource != NULL && *resource != '\0' &&
        !qm__cluster_show_moving(resource, target,
                                 qm__deadline_in(SHOW_AT_MOST), &why))
        qm__info("%s", why->message); /* only people would see it */
}

static void
set_params(qm_engine *e, const qm_message *m)
{
    const qm_offer *o = &m->offer;

    e->params.vault = o->vault;
    e->params.hypervisor = o->hypervisor[0] != '\0' ? o->hypervisor : NULL;
    e->params.image_secret =
        o->image_secret[0] != '\0' ? o->image_secret : NULL;
    e->params.network_map = o->network_map;
    e->params.reconnect_limit_s = o->reconnect_limit_s;
    e->params.allow_unfenced = o->allow_unfenced != 0;
    e->params.restore_attempts = 1;
    e->params.compress = QM_CODEC_AUTO;
    e->params.mode = QM_MODE_LIVE;
    e->params.downtime_limit_ms = o->downtime_limit_ms;
    e->resource = m->job.resource[0] != '\0' ? m->job.resource : NULL;
    qm__timeouts_for(o->timeout_ms != 0 ? o->timeout_ms : TIMEOUT_DEFAULT,
                     e->began, &e->t);
}

/* Pacemaker knows nothing of a copy made ahead of its move. */
static bool
copy_ahead(qm_engine *e, const qm_message *m, GError **error)
{
    bool ok;

    qm__node_show_moving(e->resource, m->job.target_name);
    ok = qm__engine_precopy(e, m->job.target_name, error);
    qm__node_show_moving(e->resource, NULL);
    return ok;
}

static bool
run(worker *w, bool send, const qm_message *m, GError **error)
{
    qm_engine e = {.action = w->what,
                   .began = w->began,
                   .report = on_report,
                   .report_opaque = w};
    bool ok;

    set_params(&e, m);
    ok = qm__engine_open(&e, error);
    if (ok) {
        qm__log_set_context(qm_vault_get_info(e.vault)->name,
                            qm__cluster_self(e.cluster)->name);
        ok = send ? copy_ahead(&e, m, error) : qm__engine_receive(&e, m, error);
    }
    qm__engine_close(&e);
    return ok;
}

int
qm__worker_main(bool send)
{
    worker w = {send ? "precopy" : "receive", qm__now()};
    g_autoptr(GError) error = NULL;
    g_autofree qm_message *m = g_new0(qm_message, 1);

    (void) signal(SIGPIPE, SIG_IGN);
    if (!read_message(m, &error) || !run(&w, send, m, &error)) {
        qm__warning("%s of %s: %s", w.what,
                    m->job.name[0] != '\0' ? m->job.name : "a VM",
                    error->message);
        return EXIT_FAILURE;
    }
    qm__info("%s of %s done in %" PRIi64 " ms", w.what, m->job.name,
             (qm__now() - w.began) / QM_MS);
    return EXIT_SUCCESS;
}
