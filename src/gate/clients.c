/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The clients of the NBD socket.  All connections that are open at one time
 * come from one process: two QEMUs on one disk would destroy it.  A process
 * that vanished without saying good-bye (a QEMU that is about to connect
 * again) is remembered until it ends, so that it can still be fenced.
 */
#include "config.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "gate.h"
#include "log.h"

#define CONNECTIONS_MAX 16

static bool
has_ended(const fence_process *p)
{
    struct pollfd fd = {.fd = p->pidfd, .events = POLLIN};

    return poll(&fd, 1, 0) == 1;
}

static void
forget(gate *g, fence_process *p)
{
    loop_remove(p->source);
    g_ptr_array_remove_fast(g->processes, p);
    fence_process_free(p);
}

static void
process_ended(void *opaque, uint32_t events)
{
    fence_process *p = opaque;

    qm__info("disk %s: client process %d has ended%s", p->gate->settings->disk,
             (int) p->pid, p->killed ? ", as it was told to" : "");
    loop_remove(p->source); /* it stays readable */
    p->source = NULL;
    if (p->connections == 0)
        forget(p->gate, p);
}

/* The record of the process that @fresh describes; @fresh is used up. */
static fence_process *
known(gate *g, fence_process *fresh)
{
    for (guint i = 0; i < g->processes->len; i++) {
        fence_process *p = g_ptr_array_index(g->processes, i);

        if (p->pid == fresh->pid && !has_ended(p)) {
            fence_process_free(fresh);
            return p;
        }
    }
    fresh->gate = g;
    fresh->source =
        loop_add(g->loop, fresh->pidfd, EPOLLIN, process_ended, fresh);
    g_ptr_array_add(g->processes, fresh);
    return fresh;
}

static bool
may_connect(const gate *g, const fence_process *fresh, GError **error)
{
    pid_t other = clients_pid(g);
    const char *why;

    if (g->state == QM_GATE_FENCED)
        why = "this gate is fenced";
    else if (other != 0 && other != fresh->pid)
        why = "another process is connected";
    else if (g->clients->len >= CONNECTIONS_MAX)
        why = "too many connections";
    else
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_REFUSED, "process %d: %s",
                (int) fresh->pid, why);
    return false;
}

void
clients_accept(gate *g, int fd)
{
    g_autoptr(GError) why = NULL;
    fence_process *fresh;
    gate_client *c;

    if (!fence_identify(fd, g->settings->qemu_uid, &fresh, &why)) {
        close(fd);
        qm__warning("disk %s: connection refused: %s", g->settings->disk,
                    why->message);
        return;
    }
    if (!may_connect(g, fresh, &why)) {
        close(fd);
        fence_process_free(fresh);
        qm__warning("disk %s: connection refused: %s", g->settings->disk,
                    why->message);
        return;
    }
    c = g_new0(gate_client, 1);
    c->process = known(g, fresh);
    c->process->connections++;
    c->nbd = nbd_conn_new(fd, &g->export, g->pool, queue_submit, g);
    g_ptr_array_add(g->clients, c);
    qm__info("disk %s: process %d connected", g->settings->disk,
             (int) c->process->pid);
}

static void
remove_client(gate *g, gate_client *c)
{
    fence_process *p = c->process;
    bool polite = nbd_conn_polite(c->nbd) || !nbd_conn_ready(c->nbd);

    queue_orphan(g, c->nbd);
    qm__info("disk %s: process %d disconnected: %s", g->settings->disk,
             (int) p->pid, nbd_conn_why(c->nbd));
    nbd_conn_free(c->nbd);
    g_free(c);
    p->connections--;
    if (p->connections == 0 && (polite || p->source == NULL))
        forget(g, p);
}

void
clients_reap(gate *g)
{
    for (guint i = g->clients->len; i > 0; i--) {
        gate_client *c = g_ptr_array_index(g->clients, i - 1);

        if (!c->ended)
            continue;
        g_ptr_array_remove_index(g->clients, i - 1);
        remove_client(g, c);
    }
}

void
clients_kill(gate *g)
{
    for (guint i = 0; i < g->processes->len; i++) {
        fence_process *p = g_ptr_array_index(g->processes, i);
        g_autoptr(GError) why = NULL;

        if (p->killed || p->source == NULL)
            continue;
        if (fence_kill(p, &why))
            qm__log(gate_is_drained(g) ? QM_LOG_NOTICE : QM_LOG_ERROR,
                    "disk %s: QEMU (process %d) was killed, so that the "
                    "guest does not run on without its disk",
                    g->settings->disk, (int) p->pid);
        else
            qm__error("disk %s: %s: the stale guest runs on; end it by hand",
                      g->settings->disk, why->message);
    }
}

pid_t
clients_pid(const gate *g)
{
    for (guint i = 0; i < g->processes->len; i++) {
        const fence_process *p = g_ptr_array_index(g->processes, i);

        if (p->connections > 0)
            return p->pid;
    }
    return 0;
}

void
clients_free(gate *g)
{
    for (guint i = 0; i < g->clients->len; i++) {
        gate_client *c = g_ptr_array_index(g->clients, i);

        c->ended = true;
    }
    clients_reap(g);
    while (g->processes->len > 0)
        forget(g, g_ptr_array_index(g->processes, 0));
    g_ptr_array_free(g->clients, TRUE);
    g_ptr_array_free(g->processes, TRUE);
}
