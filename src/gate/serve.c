/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The gate's loop.  One thread, and nothing in it waits but poll(): the LUN
 * and the clients' sockets are polled directly, everything else hides behind
 * one descriptor.  What callbacks find out (session lost, fenced) is acted on
 * here, when nobody uses the LUN.
 */
#include "config.h"
#include <errno.h>
#include <poll.h>
#include "gate.h"
#include "log.h"
#include "lun-watch.h"
#include "timeouts.h"

#define TICK          (1 * QM_S)
#define SILENCE_LIMIT (5 * QM_S)  /* a ping not answered: session lost */
#define HANG_MARGIN   (5 * QM_S)  /* beyond the reconnect limit */
#define STUCK_LIMIT   (60 * QM_S) /* one command, of a target that answers */

/* --- every second -------------------------------------------------------- */

static void
holder_seen(void *opaque, const qm_scsi_status *status, uint64_t holder)
{
    gate *g = opaque;

    g->polling = false;
    if (status->result == QM_SCSI_LOST)
        g->lost = true;
    if (!gate_state_owns(g->state))
        return;
    if (status->result == QM_SCSI_FENCED)
        gate_must_fence(g, "another node has taken the reservation");
    else if (status->result == QM_SCSI_GOOD && holder != g->key)
        gate_must_fence(g, holder != 0 ? "another node holds the reservation"
                                       : "the reservation is gone");
}

/* An idle guest has to learn of its end too. */
static void
poll_holder(gate *g)
{
    if (g->polling || g->unfenced || !gate_state_owns(g->state))
        return;
    g->polling = qm__pr_poll(g->lun, holder_seen, g);
    g->lost = !g->polling;
}

static void
check_silence(gate *g)
{
    const char *why = NULL;

    if (qm__lun_silence(g->lun) > SILENCE_LIMIT)
        why = "the target does not answer";
    else if (qm__lun_oldest(g->lun) > STUCK_LIMIT)
        why = "the target answers, but does not end a command";
    else
        qm__lun_ping(g->lun);
    if (why == NULL)
        return;
    qm__warning("disk %s: %s", g->settings->disk, why);
    qm__lun_fail(g->lun);
    g->lost = true;
}

static void
tick(gate *g)
{
    if (g->lun != NULL && !g->lost) {
        poll_holder(g);
        check_silence(g);
    }
    /* The helper ends by itself at the limit, unless something hangs it. */
    if (g->state == QM_GATE_RECONNECTING &&
        qm__now() > g->give_up_at + HANG_MARGIN)
        gate_must_fence(g, "not taken again in time: an attempt hangs");
    if (g->state == QM_GATE_FENCED)
        clients_kill(g); /* one that could not be killed before */
}

/* --- the loop ------------------------------------------------------------ */

#define FD_SLOW    0
#define FD_LUN     1
#define FD_CLIENTS 2
#define FD_MAX     (FD_CLIENTS + 16)

static gate_client *
client_at(const gate *g, guint i)
{
    return g_ptr_array_index(g->clients, i);
}

static nfds_t
fill(gate *g, struct pollfd *fds)
{
    guint n = MIN(g->clients->len, (guint) (FD_MAX - FD_CLIENTS));

    fds[FD_SLOW] = (struct pollfd){loop_fd(g->loop), POLLIN, 0};
    fds[FD_LUN] = (struct pollfd){-1, 0, 0};
    if (g->lun != NULL) {
        fds[FD_LUN].fd = qm__lun_fd(g->lun);
        fds[FD_LUN].events = qm__lun_events(g->lun);
    }
    for (guint i = 0; i < n; i++) {
        const gate_client *c = client_at(g, i);

        fds[FD_CLIENTS + i].fd = nbd_conn_fd(c->nbd);
        fds[FD_CLIENTS + i].revents = 0;
        fds[FD_CLIENTS + i].events =
            g->state == QM_GATE_FENCED ? 0 : nbd_conn_events(c->nbd);
    }
    return FD_CLIENTS + n;
}

/* Requests found room after they had been read: no event will tell. */
static bool
is_stalled(const gate *g)
{
    for (guint i = 0; i < g->clients->len; i++)
        if (nbd_conn_stalled(client_at(g, i)->nbd))
            return g->state != QM_GATE_FENCED;
    return false;
}

/* How long the loop may sleep, ms. */
static int
patience(const gate *g)
{
    int64_t until = g->tick_at;
    int ms, due;

    if (is_stalled(g))
        return 0;
    if (g->job == NULL && g->retry_at != 0 && g->retry_at < until)
        until = g->retry_at;
    ms = qm__remaining_ms(until);
    due = g->lun != NULL ? qm__lun_timeout(g->lun) : -1;
    return due >= 0 ? MIN(ms, due) : ms;
}

static void
serve_lun(gate *g, short revents)
{
    if (g->lun != NULL && !qm__lun_service(g->lun, revents))
        g->lost = true;
}

static void
serve_client(gate *g, gate_client *c, short revents)
{
    if ((revents & (POLLHUP | POLLERR)) && !(revents & POLLIN))
        c->ended = true;
    else if (g->state != QM_GATE_FENCED &&
             ((revents & POLLIN) || nbd_conn_stalled(c->nbd)))
        c->ended = !nbd_conn_receive(c->nbd);
    merge_send(g);
    if (revents & POLLOUT)
        nbd_conn_unblock(c->nbd);
}

/* What was submitted goes out now, what is answered too. */
static void
send_all(gate *g)
{
    if (g->lun != NULL && !g->lost && (qm__lun_events(g->lun) & POLLOUT))
        serve_lun(g, POLLOUT);
    if (g->fence_reason != NULL || g->state == QM_GATE_FENCED)
        return;
    for (guint i = 0; i < g->clients->len; i++) {
        gate_client *c = client_at(g, i);

        if (!c->ended && nbd_conn_sendable(c->nbd))
            c->ended = !nbd_conn_send(c->nbd);
    }
}

static void
on_time(gate *g, int64_t now)
{
    if (now >= g->tick_at) {
        g->tick_at = now + TICK;
        tick(g);
    }
}

static void
run_once(gate *g)
{
    struct pollfd fds[FD_MAX];
    nfds_t n = fill(g, fds);

    if (poll(fds, n, patience(g)) < 0) {
        if (errno != EINTR)
            g_error("poll: %s", g_strerror(errno));
        return;
    }
    if (fds[FD_LUN].revents != 0)
        serve_lun(g, fds[FD_LUN].revents);
    for (guint i = 0; i + FD_CLIENTS < n; i++)
        serve_client(g, client_at(g, i), fds[FD_CLIENTS + i].revents);
    clients_reap(g); /* before an order that asks who is connected */
    if (fds[FD_SLOW].revents != 0)
        loop_dispatch(g->loop);
    send_all(g);
    on_time(g, qm__now());
    if (g->lost)
        gate_session_lost(g);
    if (g->fence_reason != NULL)
        gate_fence(g);
    if (g->state == QM_GATE_DRAINING)
        queue_drain(g);
    gate_drive_session(g, qm__now());
}

void
gate_run(gate *g)
{
    while (!g->quit)
        run_once(g);
}
