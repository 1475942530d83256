/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * A process is held by a descriptor taken while its connection was open:
 * whatever is killed through it later is that process, and never another one
 * that got the same number.
 */
#include "config.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "fence.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif

static bool
fail(GError **error, const char *what, int code)
{
    g_set_error(error, QM_ERROR, QM_ERROR_IO, "cannot %s: %s", what,
                g_strerror(code));
    return false;
}

/* Without SO_PEERPIDFD: a connection that is still open after pidfd_open()
 * shows that the number was not used again in between. */
static int
open_by_number(int fd, pid_t pid)
{
    int pidfd = (int) syscall(SYS_pidfd_open, pid, 0);
    char byte;

    if (pidfd >= 0 && recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0) {
        close(pidfd);
        errno = ESRCH;
        return -1;
    }
    return pidfd;
}

static int
open_peer(int fd, pid_t pid)
{
    int pidfd;
    socklen_t length = sizeof pidfd;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &length) == 0)
        return pidfd;
    return open_by_number(fd, pid);
}

bool
fence_identify(int fd, uid_t allowed, fence_process **ret, GError **error)
{
    struct ucred peer;
    socklen_t length = sizeof peer;
    int pidfd;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
        return fail(error, "ask who connected", errno);
    if (peer.uid != 0 && peer.uid != allowed) {
        g_set_error(error, QM_ERROR, QM_ERROR_REFUSED,
                    "process %d of user %u may not connect (only users 0 and "
                    "%u may)",
                    (int) peer.pid, (unsigned) peer.uid, (unsigned) allowed);
        return false;
    }
    if (peer.pid <= 0) {
        g_set_error(error, QM_ERROR, QM_ERROR_REFUSED,
                    "the process that connected is in another PID namespace: "
                    "it could not be fenced");
        return false;
    }
    pidfd = open_peer(fd, peer.pid);
    if (pidfd < 0)
        return fail(error, "get hold of the process that connected", errno);
    *ret = g_new0(fence_process, 1);
    (*ret)->pid = peer.pid;
    (*ret)->uid = peer.uid;
    (*ret)->pidfd = pidfd;
    return true;
}

void
fence_process_free(fence_process *p)
{
    if (p == NULL)
        return;
    close(p->pidfd);
    g_free(p);
}

bool
fence_kill(fence_process *p, GError **error)
{
    if (syscall(SYS_pidfd_send_signal, p->pidfd, SIGKILL, NULL, 0) == 0 ||
        errno == ESRCH) {
        p->killed = true;
        return true;
    }
    g_set_error(error, QM_ERROR, QM_ERROR_IO, "cannot kill process %d: %s",
                (int) p->pid, g_strerror(errno));
    return false;
}
