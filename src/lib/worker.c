/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#include "config.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "crash.h"
#include "runtime.h"
#include "timeouts.h"
#include "worker.h"

#define NAME          "worker"
#define GO            "go"
#define GONE_AT_MOST  (2 * QM_S)
#define STAT_STARTED  22 /* field of /proc/PID/stat, counted from 1 */
#define AFTER_COMMAND 3  /* the field behind the command in parentheses */

/* When the process was started, in clock ticks since boot; with the process id
 * that names it for good.  0: there is none. */
static uint64_t
start_time(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", (int) pid);
    g_autofree char *text = NULL;
    g_auto(GStrv) fields = NULL;
    const char *rest;

    if (!g_file_get_contents(path, &text, NULL, NULL))
        return 0;
    rest = strrchr(text, ')');
    if (rest == NULL)
        return 0;
    fields = g_strsplit(rest + 2, " ", -1);
    if (g_strv_length(fields) <= STAT_STARTED - AFTER_COMMAND)
        return 0;
    return g_ascii_strtoull(fields[STAT_STARTED - AFTER_COMMAND], NULL, 10);
}

bool
qm__worker_register(const uint8_t *uuid, const char *target, GError **error)
{
    g_autofree char *path = qm__vm_path(uuid, NAME);
    g_autofree char *go = qm__vm_path(uuid, GO);
    g_autofree char *text =
        g_strdup_printf("%d %" G_GUINT64_FORMAT " %s\n", (int) getpid(),
                        start_time(getpid()), target != NULL ? target : "");
    g_autoptr(GError) why = NULL;

    (void) unlink(go); /* of a worker that was killed */
    if (g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT,
                                 0600, &why)) {
        qm__worker_alive(uuid);
        QM_CRASH_POINT("registered");
        return true;
    }
    g_set_error(error, QM_ERROR, QM_ERROR_IO, "%s", why->message);
    return false;
}

/* The file's time is that of the monotonic clock: nobody sets that one. */
void
qm__worker_alive(const uint8_t *uuid)
{
    g_autofree char *path = qm__vm_path(uuid, NAME);
    struct timespec now[2];

    (void) clock_gettime(CLOCK_MONOTONIC, &now[0]); /* cannot fail */
    now[1] = now[0];
    (void) utimensat(AT_FDCWD, path, now, AT_SYMLINK_NOFOLLOW);
}

void
qm__worker_unregister(const uint8_t *uuid)
{
    g_autofree char *path = qm__vm_path(uuid, NAME);
    g_autofree char *go = qm__vm_path(uuid, GO);

    (void) unlink(path);
    (void) unlink(go);
}

bool
qm__worker_go(const uint8_t *uuid, const char *target)
{
    g_autofree char *path = qm__vm_path(uuid, NAME);
    g_autofree char *go = qm__vm_path(uuid, GO);
    g_autofree char *text = NULL;
    g_auto(GStrv) field = NULL;
    int fd;

    if (!g_file_get_contents(path, &text, NULL, NULL))
        return false;
    field = g_strsplit(g_strchomp(text), " ", 3);
    if (g_strv_length(field) != 3 || strcmp(field[2], target) != 0)
        return false;
    fd = open(go, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return false;
    (void) close(fd);
    return true;
}

bool
qm__worker_asked(const uint8_t *uuid)
{
    g_autofree char *go = qm__vm_path(uuid, GO);

    return access(go, F_OK) == 0;
}

/* How long nothing was heard, µs; below 0: it has only just registered. */
static int64_t
silence_of(const char *path)
{
    struct timespec now;
    struct stat st;

    if (lstat(path, &st) < 0 || clock_gettime(CLOCK_MONOTONIC, &now) < 0)
        return INT64_MAX;
    return (now.tv_sec - st.st_mtim.tv_sec) * QM_S +
           (now.tv_nsec - st.st_mtim.tv_nsec) / 1000;
}

/* Only the very process that registered: ids are used again. */
static bool
kill_worker(pid_t pid, uint64_t started)
{
    int fd = (int) syscall(SYS_pidfd_open, pid, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    bool ours;

    if (fd < 0)
        return false;
    /* The id cannot change hands while the descriptor is open. */
    ours = started != 0 && start_time(pid) == started &&
           syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) == 0;
    if (ours)
        (void) poll(&p, 1, GONE_AT_MOST / QM_MS);
    (void) close(fd);
    return ours;
}

bool
qm__worker_reap(const uint8_t *uuid, int64_t silence)
{
    g_autofree char *path = qm__vm_path(uuid, NAME);
    g_autofree char *text = NULL;
    uint64_t started = 0;
    int pid = 0;
    bool killed;

    if (!g_file_get_contents(path, &text, NULL, NULL) ||
        sscanf(text, "%d %" G_GUINT64_FORMAT, &pid, &started) != 2 ||
        pid <= 0 || (silence > 0 && silence_of(path) < silence))
        return false;
    killed = kill_worker(pid, started);
    (void) unlink(path);
    return killed;
}
