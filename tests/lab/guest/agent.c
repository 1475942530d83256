/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) 2026 the quickmig authors
 *
 * A small guest agent on the channel org.qemu.guest_agent.0: guest-sync,
 * guest-sync-delimited, guest-ping, guest-exec (path and one argument) and
 * guest-exec-status, as qemu-ga answers them. With lab-silent {"ms": N} it
 * answers that, and then nothing for so long: what it is sent is lost.
 */
#include "guest.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NAME  "org.qemu.guest_agent.0"
#define LINE  1024
#define TRIES 100 /* 10 s */

static int64_t silent_until; /* ns, monotonic */

/* @port: a name below /sys/class/virtio-ports, such as vport2p1. */
static int
open_if_ours(const char *port)
{
    char path[300], name[64] = "";
    FILE *f;

    (void) snprintf(path, sizeof path, "/sys/class/virtio-ports/%s/name", port);
    f = fopen(path, "re");
    if (!f)
        return -1;
    if (fgets(name, sizeof name, f))
        name[strcspn(name, "\n")] = '\0';
    (void) fclose(f);
    (void) snprintf(path, sizeof path, "/dev/%s", port);
    return strcmp(name, NAME) == 0 ? open(path, O_RDWR | O_CLOEXEC) : -1;
}

static int
open_port(void)
{
    DIR *dir = opendir("/sys/class/virtio-ports");
    struct dirent *entry;
    int fd = -1;

    while (dir && fd < 0 && (entry = readdir(dir)))
        fd = open_if_ours(entry->d_name);
    if (dir)
        (void) closedir(dir);
    return fd;
}

/* The number or the string behind "key": as text; empty: there is none. */
static void
get(const char *line, const char *key, char *value, size_t size)
{
    char quoted[40];
    const char *p;
    size_t n;

    (void) snprintf(quoted, sizeof quoted, "\"%s\"", key);
    value[0] = '\0';
    p = strstr(line, quoted);
    if (!p)
        return;
    p += strlen(quoted);
    p += strspn(p, " :[");
    p += *p == '"';
    n = strcspn(p, "\",}] ");
    (void) snprintf(value, size, "%.*s", (int) n, p);
}

static void
answer_exec(const char *line, char *reply, size_t size)
{
    char path[64], arg[64], *argv[3] = {path, arg, NULL}, *envp[1] = {NULL};
    pid_t pid;

    get(line, "path", path, sizeof path);
    get(line, "arg", arg, sizeof arg);
    if (posix_spawn(&pid, path, NULL, NULL, argv, envp) == 0)
        (void) snprintf(reply, size, "{\"return\": {\"pid\": %d}}\n", pid);
    else
        (void) snprintf(reply, size,
                        "{\"error\": {\"class\": \"GenericError\", "
                        "\"desc\": \"cannot run %s\"}}\n",
                        path);
}

static void
answer_status(const char *line, char *reply, size_t size)
{
    char pid[24];
    int status = 0;

    get(line, "pid", pid, sizeof pid);
    if (waitpid((pid_t) atoi(pid), &status, WNOHANG) <= 0)
        (void) snprintf(reply, size, "{\"return\": {\"exited\": false}}\n");
    else
        (void) snprintf(reply, size,
                        "{\"return\": {\"exited\": true, \"exitcode\": %d}}\n",
                        WEXITSTATUS(status));
}

static void
answer(int fd, const char *line)
{
    char command[40], number[24], reply[256];

    if (guest_now_ns() < silent_until)
        return;
    get(line, "execute", command, sizeof command);
    get(line, "id", number, sizeof number);
    if (strcmp(command, "guest-sync") == 0)
        (void) snprintf(reply, sizeof reply, "{\"return\": %s}\n", number);
    else if (strcmp(command, "guest-sync-delimited") == 0)
        (void) snprintf(reply, sizeof reply, "\xff{\"return\": %s}\n", number);
    else if (strcmp(command, "guest-exec") == 0)
        answer_exec(line, reply, sizeof reply);
    else if (strcmp(command, "guest-exec-status") == 0)
        answer_status(line, reply, sizeof reply);
    else if (strcmp(command, "guest-ping") == 0 ||
             strcmp(command, "lab-silent") == 0)
        (void) snprintf(reply, sizeof reply, "{\"return\": {}}\n");
    else
        (void) snprintf(reply, sizeof reply,
                        "{\"error\": {\"class\": \"CommandNotFound\", "
                        "\"desc\": \"%s\"}}\n",
                        command);
    (void) !write(fd, reply, strlen(reply));
    if (strcmp(command, "lab-silent") == 0) {
        get(line, "ms", number, sizeof number);
        silent_until = guest_now_ns() + atoll(number) * 1000000LL;
        guest_print("SILENT %s ms\n", number);
    }
}

/* The ports come some time after their module. */
static int
await_port(void)
{
    int fd = -1, i;

    for (i = 0; i < TRIES && (fd = open_port()) < 0; i++)
        guest_sleep_until(guest_now_ns() + 100000000LL);
    if (fd >= 0)
        guest_print("AGENT\n");
    return fd;
}

static void *
run_agent(void *arg)
{
    int fd = await_port();
    char line[LINE];
    size_t n = 0;
    char c;

    (void) arg;
    while (fd >= 0) {
        struct pollfd p = {fd, POLLIN, 0};

        /* Without a host at the other end there is nothing to wait for. */
        (void) poll(&p, 1, -1);
        if (read(fd, &c, 1) != 1) {
            guest_sleep_until(guest_now_ns() + 100000000LL);
            continue;
        }
        if (c == '\n') {
            line[n] = '\0';
            answer(fd, line);
            n = 0;
        } else if (c != '\xff' && n < sizeof line - 1) {
            line[n++] = c;
        }
    }
    return NULL;
}

void
agent_start(void)
{
    if (access("/sys/class/virtio-ports", F_OK) == 0)
        guest_thread(run_agent, NULL);
}
