/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Pacemaker's command-line tools are its stable interface for what its public
 * headers do not offer.  Invariant: no child outlives the call, and none is
 * waited for past the deadline.
 */
#include "config.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "spawn.h"
#include "timeouts.h"

#define OUTPUT_MAX    ((gsize) 4 * 1024 * 1024) /* bytes of one stream */
#define REAP_POLL_MIN (1 * QM_MS)
#define REAP_POLL_MAX (20 * QM_MS)

typedef struct {
    int fd; /* -1: at its end */
    GString *text;
} stream;

/* One read; at the end, or when there is too much, closes. */
static void
drain(stream *s)
{
    char buf[16384];
    ssize_t n = read(s->fd, buf, sizeof buf);

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n > 0)
        g_string_append_len(s->text, buf, n);
    if (n <= 0 || s->text->len > OUTPUT_MAX) {
        close(s->fd);
        s->fd = -1;
    }
}

/* Reads both streams to their ends.  false: deadline. */
static bool
collect(stream streams[2], int64_t deadline)
{
    while (streams[0].fd >= 0 || streams[1].fd >= 0) {
        struct pollfd p[2] = {{.fd = streams[0].fd, .events = POLLIN},
                              {.fd = streams[1].fd, .events = POLLIN}};

        if (qm__passed(deadline))
            return false;
        if (poll(p, 2, qm__remaining_ms(deadline)) < 0 && errno != EINTR)
            return false;
        for (int i = 0; i < 2; i++)
            if (streams[i].fd >= 0 && p[i].revents != 0)
                drain(&streams[i]);
    }
    return true;
}

/* Usually the child is gone when its streams are at their end.
 * Returns 1: reaped, 0: deadline, -1: not our child any more. */
static int
reap(pid_t pid, int64_t deadline, int *ret_status)
{
    int64_t pause = REAP_POLL_MIN;

    for (;;) {
        pid_t got = waitpid(pid, ret_status, WNOHANG);

        if (got == pid)
            return 1;
        if (got < 0 && errno != EINTR)
            return -1;
        if (qm__passed(deadline))
            return 0;
        g_usleep((gulong) MIN(pause, qm__remaining(deadline)));
        pause = MIN(pause * 2, REAP_POLL_MAX);
    }
}

static bool
start(const char *const *argv, pid_t *ret_pid, stream streams[2],
      GError **error)
{
    g_autoptr(GError) cause = NULL;

    if (g_spawn_async_with_pipes(
            NULL, (char **) argv, NULL,
            G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL,
            ret_pid, NULL, &streams[0].fd, &streams[1].fd, &cause))
        return true;
    g_set_error(error, QM_ERROR,
                g_error_matches(cause, G_SPAWN_ERROR, G_SPAWN_ERROR_NOENT)
                    ? QM_ERROR_NOT_FOUND
                    : QM_ERROR_IO,
                "cannot run %s: %s", argv[0], cause->message);
    return false;
}

static bool
finish(const char *name, pid_t pid, bool collected, int64_t deadline,
       int *ret_exit, GError **error)
{
    int status = 0;
    int reaped = collected ? reap(pid, deadline, &status) : 0;

    if (reaped == 0) {
        (void) kill(pid, SIGKILL);
        /* SIGKILL ends it unless it hangs in the kernel: not for long. */
        (void) reap(pid, qm__deadline_in(200 * QM_MS), &status);
        g_set_error(error, QM_ERROR, QM_ERROR_TIMEOUT,
                    "%s did not end in time: the daemon that it asks hangs",
                    name);
        return false;
    }
    if (reaped < 0 || !WIFEXITED(status)) {
        g_set_error(error, QM_ERROR, QM_ERROR_IO, "%s was killed (signal %d)",
                    name, reaped < 0 ? 0 : WTERMSIG(status));
        return false;
    }
    *ret_exit = WEXITSTATUS(status);
    return true;
}

bool
qm__spawn(const char *const *argv, int64_t deadline, int *ret_exit,
          char **ret_out, char **ret_err, GError **error)
{
    stream streams[2] = {{.fd = -1}, {.fd = -1}};
    bool ok, collected;
    pid_t pid;

    if (!start(argv, &pid, streams, error))
        return false;
    for (int i = 0; i < 2; i++)
        streams[i].text = g_string_new(NULL);
    collected = collect(streams, deadline);
    for (int i = 0; i < 2; i++)
        if (streams[i].fd >= 0)
            close(streams[i].fd);
    ok = finish(argv[0], pid, collected, deadline, ret_exit, error);
    for (int i = 0; i < 2; i++) {
        char **ret = i == 0 ? ret_out : ret_err;
        char *text = g_string_free(streams[i].text, !ok || ret == NULL);

        if (text != NULL)
            *ret = text;
    }
    return ok;
}
