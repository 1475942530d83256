/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Workers under way on this node.
 */
#include "config.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <glib.h>
#include <glib-unix.h>
#include "crash.h"
#include "log.h"
#include "node.h"

#define WORKERS_MAX 16

typedef struct {
    qm_moves *moves; /* NULL: the daemon has let go of it */
    GPid pid;
    uint8_t uuid[QM_UUID_LEN];
    uint64_t image_id; /* 0: a pre-copy */
    char *resource;    /* of a pre-copy */
} child;

struct qm_moves {
    uint32_t self;
    GPtrArray *children; /* child * */
};

qm_moves *
qm__moves_new(uint32_t self)
{
    qm_moves *moves = g_new0(qm_moves, 1);

    moves->self = self;
    moves->children = g_ptr_array_new();
    return moves;
}

void
qm__moves_free(qm_moves *moves)
{
    if (moves == NULL)
        return;
    for (guint i = 0; i < moves->children->len; i++)
        ((child *) g_ptr_array_index(moves->children, i))->moves = NULL;
    g_ptr_array_unref(moves->children);
    g_free(moves);
}

static void
child_ended(GPid pid, gint status, gpointer data)
{
    child *c = data;

    if (c->moves != NULL)
        g_ptr_array_remove_fast(c->moves->children, c);
    if (c->resource != NULL && !g_spawn_check_wait_status(status, NULL))
        qm__node_show_moving(c->resource, NULL); /* it may not have */
    g_spawn_close_pid(pid);
    g_free(c->resource);
    g_free(c);
}

static child *
find(qm_moves *moves, const uint8_t *uuid)
{
    for (guint i = 0; i < moves->children->len; i++) {
        child *c = g_ptr_array_index(moves->children, i);

        if (memcmp(c->uuid, uuid, QM_UUID_LEN) == 0)
            return c;
    }
    return NULL;
}

/* In the child: a daemon that is restarted does not take its workers along. */
static void
leave_session(gpointer data)
{
    (void) setsid();
}

/* The message goes to its standard input: it fits into the socket's buffer. */
static bool
hand_over(int fd, const qm_message *m)
{
    g_autofree char *text = qm__message_to_json(m);
    size_t length = strlen(text);

    return send(fd, text, length, MSG_NOSIGNAL) == (ssize_t) length;
}

static bool
spawn(const char *option, const qm_message *m, GPid *ret_pid, GError **error)
{
    char program[] = "/proc/self/exe", name[] = "quickmigd";
    g_autofree char *arg = g_strdup(option);
    char *argv[] = {program, name, arg, NULL};
    int fds[2];
    bool ok;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0) {
        g_set_error(error, QM_ERROR, QM_ERROR_IO, "socketpair: %s",
                    g_strerror(errno));
        return false;
    }
    QM_CRASH_POINT("offer-heard");
    ok = g_spawn_async_with_fds(
        "/", argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_FILE_AND_ARGV_ZERO,
        leave_session, NULL, ret_pid, fds[0], -1, -1, error);
    QM_CRASH_POINT("worker-spawned");
    if (ok && !hand_over(fds[1], m))
        (void) kill(*ret_pid, SIGKILL); /* it is ours, and not reaped yet */
    (void) close(fds[0]);
    (void) close(fds[1]);
    return ok;
}

static void
start(qm_moves *moves, const qm_message *m, bool send)
{
    g_autoptr(GError) error = NULL;
    child *c;
    GPid pid;

    if (moves->children->len >= WORKERS_MAX) {
        qm__warning("%s: %d moves are under way: this one goes without a "
                    "worker",
                    m->job.name, WORKERS_MAX);
        return;
    }
    if (!spawn(send ? "--send" : "--receive", m, &pid, &error)) {
        qm__warning("%s: no worker: %s", m->job.name, error->message);
        return;
    }
    c = g_new0(child, 1);
    c->moves = moves;
    c->pid = pid;
    c->image_id = send ? 0 : m->job.image_id;
    c->resource = send ? g_strdup(m->job.resource) : NULL;
    memcpy(c->uuid, m->job.uuid, QM_UUID_LEN);
    g_ptr_array_add(moves->children, c);
    (void) g_child_watch_add(pid, child_ended, c);
    qm__info("%s: worker %d %s image %" G_GUINT64_FORMAT, m->job.name,
             (int) pid, send ? "copies ahead of" : "follows", m->job.image_id);
}

void
qm__moves_handle(qm_moves *moves, const qm_message *m)
{
    bool offer = m->kind == QM_MESSAGE_OFFER && m->job.target == moves->self;
    bool precopy =
        m->kind == QM_MESSAGE_PRECOPY && m->job.source == moves->self;
    child *old;

    if (!offer && !precopy)
        return;
    old = find(moves, m->job.uuid);
    if (old != NULL && (precopy || m->job.image_id <= old->image_id)) {
        qm__info("%s: worker %d is at it already", m->job.name, (int) old->pid);
        return;
    }
    if (old != NULL)
        (void) kill(old->pid, SIGKILL); /* not reaped yet: the id is its own */
    start(moves, m, precopy);
}
