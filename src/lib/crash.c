/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Dying where a test wants it.  Nothing is cleaned up or flushed on the way:
 * what is left behind is what a real crash would leave.  Only one process dies
 * for one order: whoever renames the file has it.
 */
#include "config.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>
#include <glib.h>
#include "crash.h"
#include "runtime.h"

#define LOG         QM_LOCALSTATEDIR "/log/quickmig/crash.log"
#define INITIAL_PID 0xEFFFFFFCu /* inode of the machine's PID namespace */
#define ORDER_MAX   128         /* bytes */

/* reboot(2) in a PID namespace of its own ends that namespace at once; in the
 * initial one it would reboot the machine. */
static bool
may_end_node(void)
{
    struct stat st;

    return stat("/proc/self/ns/pid", &st) == 0 && st.st_ino != INITIAL_PID;
}

static void
note(const char *point, const char *how)
{
    g_autofree char *line =
        g_strdup_printf("%s %s %d %s\n", point, program_invocation_short_name,
                        (int) getpid(), how);
    int fd = open(LOG, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0)
        return;
    (void) !write(fd, line, strlen(line)); /* the test misses it */
    (void) close(fd);
}

void
qm__crash_point(const char *point)
{
    g_autofree char *path = g_build_filename(qm__run_dir(), "crash", NULL);
    g_autofree char *taken = g_strconcat(path, ".taken", NULL);
    char order[ORDER_MAX], wanted[64], program[32], how[16];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    bool node;
    ssize_t n;

    if (fd < 0)
        return;
    n = read(fd, order, sizeof order - 1);
    (void) close(fd);
    order[MAX(n, 0)] = '\0';
    if (sscanf(order, "%63s %31s %15s", wanted, program, how) != 3 ||
        strcmp(wanted, point) != 0 ||
        strcmp(program, program_invocation_short_name) != 0)
        return;
    node = strcmp(how, "node") == 0;
    if ((node && !may_end_node()) || rename(path, taken) < 0)
        return;
    note(point, how);
    if (node)
        (void) reboot(RB_AUTOBOOT);
    (void) kill(getpid(), strcmp(how, "stop") == 0 ? SIGSTOP : SIGKILL);
}

void
qm__crash_point_of(const char *prefix, const char *detail)
{
    g_autofree char *point = g_strconcat(prefix, "-", detail, NULL);

    qm__crash_point(point);
}
