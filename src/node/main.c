/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#include "config.h"
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <glib-unix.h>
#include "cluster.h"
#include "events.h"
#include "log.h"
#include "node.h"
#include "runtime.h"
#include "timeouts.h"
#include "harden.h"

#define EXIT_BAD_USE 2
/* The agent holds the lock for a moment when it looks who has it. */
#define SEAT_AT_MOST (2 * QM_S)
#define OPEN_AT_MOST (5 * QM_S)
#define TRY_AGAIN_S  2  /* while corosync is away */
#define SURVEY_S     30 /* between surveys */

typedef struct {
    GMainLoop *loop;
    qm_lock *lock;
    qm_peer *peer; /* NULL: corosync is away */
    guint watch;   /* of its descriptor */
    qm_moves *moves;
    qm_events *events; /* NULL: this node's name is not known yet */
    bool surveying;    /* one is under way */
    bool foreground, receive, send, survey;
} node;

static gboolean take_seat(gpointer data);

static void
leave_seat(node *n)
{
    if (n->watch != 0)
        (void) g_source_remove(n->watch);
    n->watch = 0;
    g_clear_pointer(&n->peer, qm__peer_close);
    g_clear_pointer(&n->moves, qm__moves_free);
}

static gboolean
on_message(gint fd, GIOCondition condition, gpointer data)
{
    node *n = data;
    qm_message m;

    while (qm__peer_next(n->peer, &m))
        qm__moves_handle(n->moves, &m);
    if (!qm__peer_lost(n->peer))
        return G_SOURCE_CONTINUE;
    qm__warning("corosync is gone; trying again");
    n->watch = 0;
    leave_seat(n);
    (void) g_timeout_add_seconds(TRY_AGAIN_S, take_seat, n);
    return G_SOURCE_REMOVE;
}

static bool
open_seat(node *n, GError **error)
{
    g_autoptr(qm_cluster) cluster = NULL;

    if (!qm__cluster_open(qm__deadline_in(OPEN_AT_MOST), &cluster, error) ||
        !qm__peer_open(true, qm__deadline_in(OPEN_AT_MOST), &n->peer, error))
        return false;
    n->moves = qm__moves_new(qm__cluster_self(cluster)->id);
    qm__log_set_context(NULL, qm__cluster_self(cluster)->name);
    if (n->events == NULL)
        qm__publish_host(qm__cluster_self(cluster)->name);
    if (n->events == NULL)
        n->events = qm__events_new(qm__cluster_self(cluster)->name);
    return true;
}

static gboolean
take_seat(gpointer data)
{
    node *n = data;
    g_autoptr(GError) error = NULL;

    if (!open_seat(n, &error)) {
        qm__warning("%s; trying again", error->message);
        leave_seat(n);
        return G_SOURCE_CONTINUE;
    }
    n->watch = g_unix_fd_add(qm__peer_fd(n->peer), G_IO_IN, on_message, n);
    qm__notice("ready");
    return G_SOURCE_REMOVE;
}

static void
survey_ended(GPid pid, gint status, gpointer data)
{
    ((node *) data)->surveying = false;
    g_spawn_close_pid(pid);
}

/* See survey.c; one at a time. */
static gboolean
survey(gpointer data)
{
    node *n = data;
    char program[] = "/proc/self/exe", name[] = "quickmigd";
    char option[] = "--survey";
    char *argv[] = {program, name, option, NULL};
    g_autoptr(GError) error = NULL;
    GPid pid;

    if (n->surveying || n->peer == NULL)
        return G_SOURCE_CONTINUE;
    if (g_spawn_async("/", argv, NULL,
                      G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_FILE_AND_ARGV_ZERO,
                      NULL, NULL, &pid, &error)) {
        n->surveying = true;
        (void) g_child_watch_add(pid, survey_ended, n);
    } else {
        qm__warning("no survey: %s", error->message);
    }
    return G_SOURCE_CONTINUE;
}

static gboolean
on_signal(gpointer data)
{
    g_main_loop_quit(((node *) data)->loop);
    return G_SOURCE_CONTINUE;
}

static int
serve(node *n)
{
    g_autofree char *path = g_build_filename(qm__run_dir(), "node.lock", NULL);
    g_autoptr(GError) error = NULL;

    if (!qm__runtime_prepare(NULL, &error) ||
        !qm__lock_take(path, "this node", qm__deadline_in(SEAT_AT_MOST),
                       &n->lock, &error)) {
        qm__error("%s", error->message);
        return EXIT_FAILURE;
    }
    n->loop = g_main_loop_new(NULL, FALSE);
    (void) signal(SIGPIPE, SIG_IGN);
    (void) g_unix_signal_add(SIGTERM, on_signal, n);
    (void) g_unix_signal_add(SIGINT, on_signal, n);
    if (take_seat(n) == G_SOURCE_CONTINUE)
        (void) g_timeout_add_seconds(TRY_AGAIN_S, take_seat, n);
    (void) g_timeout_add_seconds(SURVEY_S, survey, n);
    (void) survey(n);
    g_main_loop_run(n->loop);
    qm__notice("ends");
    leave_seat(n);
    qm__events_free(n->events);
    g_main_loop_unref(n->loop);
    qm__lock_release(n->lock);
    return EXIT_SUCCESS;
}

static const char help[] =
    "Usage: quickmigd [OPTION]...\n"
    "quickmig's node daemon: restores ahead of Pacemaker in planned moves, "
    "and\n"
    "reports failures at once. Run by the cluster resource ocf:quickmig:Node.\n"
    "\n"
    "  -f, --foreground  do not go to the background\n"
    "  -d, --debug       log more\n"
    "  -h, --help        print this help and exit\n"
    "  -V, --version     print the version and exit\n";

static const struct option options[] = {
    {"foreground", no_argument, NULL, 'f'}, {"debug", no_argument, NULL, 'd'},
    {"help", no_argument, NULL, 'h'},       {"version", no_argument, NULL, 'V'},
    {"receive", no_argument, NULL, 'r'},    {"send", no_argument, NULL, 's'},
    {"survey", no_argument, NULL, 'v'},     {NULL, 0, NULL, 0},
};

/* Returns -1 to go on, else the exit code. */
static int
parse_options(node *n, int argc, char **argv)
{
    int c;

    while ((c = getopt_long(argc, argv, "fdhV", options, NULL)) != -1) {
        switch (c) {
        case 'f':
            n->foreground = true;
            break;
        case 'd':
            qm__log_set_level(QM_LOG_DEBUG);
            break;
        case 'r':
            n->receive = true;
            break;
        case 's':
            n->send = true;
            break;
        case 'v':
            n->survey = true;
            break;
        case 'h':
            (void) fputs(help, stdout);
            return EXIT_SUCCESS;
        case 'V':
            (void) puts("quickmigd " PACKAGE_VERSION);
            return EXIT_SUCCESS;
        default:
            (void) fputs("Try 'quickmigd --help'.\n", stderr);
            return EXIT_BAD_USE;
        }
    }
    if (optind == argc)
        return -1;
    (void) fprintf(stderr, "quickmigd: unexpected argument \"%s\"\n",
                   argv[optind]);
    return EXIT_BAD_USE;
}

int
main(int argc, char **argv)
{
    node n = {0};
    int code = parse_options(&n, argc, argv);

    if (code >= 0)
        return code;
    qm__no_dumps();
    (void) umask(077);
    qm__log_init("quickmigd", n.foreground);
    if (n.receive || n.send)
        return qm__worker_main(n.send);
    if (n.survey)
        return qm__survey_main();
    if (!n.foreground && daemon(0, 0) < 0) {
        perror("quickmigd: cannot go to the background");
        return EXIT_FAILURE;
    }
    return serve(&n);
}
