/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * QEMU processes that libvirt does not end.
 *
 * Orphans: a failed restore left them behind and libvirt does not know them.
 * They hold the disks' image locks, so that the VM could not be started.
 * Invariant: only a process is killed that (1) lives in our PID namespace,
 * (2) has this VM's UUID and waits for a saved state (-incoming), and (3) was
 * started after our restore began: its guest has never run.
 *
 * Hung ones, of a VM that is to be destroyed: (1) and the UUID.
 */
#include "config.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <uuid/uuid.h>
#include "vm-internal.h"
#include "timeouts.h"

#define CMDLINE_MAX  (1024 * 1024)
#define GONE_IN      (5 * QM_S)
#define STAT_STARTED 22 /* field of /proc/PID/stat, counted from 1 */

int64_t
qm__boottime(void)
{
    struct timespec t = {0};

    (void) clock_gettime(CLOCK_BOOTTIME, &t); /* cannot fail */
    return t.tv_sec * QM_S + t.tv_nsec / 1000;
}

/* Reads /proc/@pid/@name, NUL-terminated. */
static char *
read_proc(const char *pid, const char *name, size_t max, size_t *ret_length)
{
    g_autofree char *path = g_build_filename("/proc", pid, name, NULL);
    g_autofree char *text = g_malloc(max + 1);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t have = 0;
    ssize_t n = 0;

    if (fd < 0)
        return NULL;
    while (have < max && (n = read(fd, text + have, max - have)) > 0)
        have += (size_t) n;
    (void) close(fd);
    if (n < 0 || have == 0)
        return NULL;
    text[have] = '\0';
    *ret_length = have;
    return g_steal_pointer(&text);
}

/* When the process was started, µs of CLOCK_BOOTTIME; 0: not known. */
static int64_t
started(const char *pid)
{
    size_t length;
    g_autofree char *stat = read_proc(pid, "stat", 4096, &length);
    const char *p = stat != NULL ? strrchr(stat, ')') : NULL;
    long hertz = sysconf(_SC_CLK_TCK);

    for (int field = 2; p != NULL && field < STAT_STARTED; field++)
        p = strchr(p + 1, ' ');
    if (p == NULL || hertz <= 0)
        return 0;
    return (int64_t) g_ascii_strtoull(p + 1, NULL, 10) * (QM_S / hertz);
}

/* A QEMU of this VM, and (@loader) one that was started to load a saved
 * state? */
static bool
is_qemu(const char *pid, const char *uuid_text, bool loader)
{
    size_t length;
    g_autofree char *text = read_proc(pid, "cmdline", CMDLINE_MAX, &length);
    bool ours = false, incoming = !loader;

    if (text == NULL)
        return false;
    for (const char *p = text; p < text + length; p += strlen(p) + 1) {
        const char *next = p + strlen(p) + 1;

        if (next < text + length && strcmp(p, "-uuid") == 0)
            ours = g_ascii_strcasecmp(next, uuid_text) == 0;
        else if (strcmp(p, "-incoming") == 0)
            incoming = true;
    }
    return ours && incoming;
}

/* In our PID namespace?  A container's processes show here, too. */
static bool
is_near(const char *pid)
{
    g_autofree char *path = g_build_filename("/proc", pid, "ns", "pid", NULL);
    g_autofree char *theirs = g_file_read_link(path, NULL);
    g_autofree char *mine = g_file_read_link("/proc/self/ns/pid", NULL);

    return mine != NULL && g_strcmp0(theirs, mine) == 0;
}

/* @since: 0: whenever it was started, and whatever it does. */
static bool
kill_if(const char *pid, const char *uuid_text, int64_t since)
{
    const int64_t tick = QM_S / 100 + 1; /* start times are cut to ticks */
    int fd = (int) syscall(SYS_pidfd_open, atoi(pid), 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    bool killed;

    if (fd < 0)
        return false;
    /* The pidfd is open: the number cannot have gone to another process. */
    killed = is_qemu(pid, uuid_text, since != 0) && is_near(pid) &&
             (since == 0 || started(pid) >= since - tick) &&
             syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) == 0;
    if (killed)
        (void) poll(&p, 1, (int) (GONE_IN / QM_MS)); /* gone, or will be */
    (void) close(fd);
    return killed;
}

static unsigned
kill_all(const char *uuid_text, int64_t since)
{
    g_autoptr(GDir) dir = g_dir_open("/proc", 0, NULL);
    const char *name;
    unsigned killed = 0;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL)
        if (g_ascii_isdigit(name[0]))
            killed += kill_if(name, uuid_text, since);
    return killed;
}

unsigned
qm__vm_kill_orphans(const char *uuid_text, int64_t since)
{
    return kill_all(uuid_text, MAX(since, 1));
}

unsigned
qm__vm_kill(const uint8_t *uuid)
{
    char text[UUID_STR_LEN];

    uuid_unparse_lower(uuid, text);
    return kill_all(text, 0);
}
