/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) 2026 the quickmig authors
 *
 * labns: the namespaces of a lab node.
 *
 * A lab is a tree of PID namespaces: the switch is the root, the nodes are its
 * children, so that killing the switch's PID 1 ends all processes of a lab,
 * and killing a node's PID 1 is that node's power loss.
 *
 * Invariants: a namespace's PID 1 holds a lock on its lock file as long as it
 * lives, so "which PID?" has an answer that cannot be stale; PID 1 reaps at
 * once; nothing outside delays the end of a namespace (a process entered by
 * "exec" dies with its parent and is reaped whatever happens).
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NODE_NAMESPACES                                                        \
    (CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWPID)

static const char usage[] =
    "usage: labns spawn [--into PID] LOCKFILE CMD...\n"
    "         new namespaces (below those of PID) whose PID 1 runs CMD and\n"
    "         then only reaps; prints PID 1 as seen from here\n"
    "         (output of CMD goes to stderr)\n"
    "       labns exec PID|LOCKFILE CMD...\n"
    "                                run CMD in all namespaces of PID, or of\n"
    "                                the PID 1 that holds LOCKFILE\n"
    "       labns pid LOCKFILE       print the PID 1 that holds LOCKFILE\n"
    "       labns kill PID MS        SIGKILL PID, wait until it is dead\n"
    "       labns wait PID MS        wait until PID is dead\n";

static pid_t exec_child; /* for forwarding of signals; set once before use */

static int
pidfd_of(pid_t pid)
{
    return (int) syscall(SYS_pidfd_open, pid, 0);
}

static pid_t
parse_pid(const char *text)
{
    char *end;
    long pid;

    errno = 0;
    pid = strtol(text, &end, 10);
    if (errno || *end || end == text || pid <= 0)
        errx(2, "not a process id: '%s'", text);
    return (pid_t) pid;
}

/* The PID, in our own PID namespace, that holds the lock; 0 if nobody. */
static pid_t
lock_holder(const char *path)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = open(path, O_RDWR | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 || fcntl(fd, F_GETLK, &lock) < 0)
        err(1, "%s", path);
    close(fd);
    return lock.l_type == F_UNLCK ? 0 : lock.l_pid;
}

static int
take_lock(const char *path)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0 || fcntl(fd, F_SETLK, &lock) < 0)
        err(1, "cannot lock %s", path);
    return fd;
}

/* PID 1 of the new namespaces. "ready" is closed when the lock is held. */
static void
run_init(const char *lockfile, char **argv, int ready)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    pid_t child;

    (void) setsid();
    if (null < 0 || dup2(null, 0) < 0 || dup2(2, 1) < 0)
        err(1, "/dev/null"); /* our caller's stdout may be a pipe */
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        err(1, "making mounts private");
    (void) take_lock(lockfile); /* held until death, so never closed */
    close(ready);

    child = fork();
    if (child < 0)
        err(1, "fork");
    if (child == 0) {
        execvp(argv[0], argv);
        err(127, "%s", argv[0]);
    }
    for (;;) {
        if (waitpid(-1, NULL, 0) < 0 && errno == ECHILD)
            pause(); /* until an entered process leaves us an orphan */
    }
}

static void
enter(pid_t pid, int flags)
{
    int fd = pidfd_of(pid);

    if (fd < 0)
        err(1, "process %d", (int) pid);
    if (setns(fd, flags) < 0)
        err(1, "entering the namespaces of %d", (int) pid);
    close(fd);
}

static void
on_signal(int sig)
{
    (void) sig; /* only there so that pause() returns */
}

/*
 * Three processes: we (outside), a middle one (inside the parent's PID
 * namespace, with the new namespaces unshared), PID 1. The middle one ends at
 * once, so that PID 1 belongs to the parent namespace's reaper, not to us.
 */
static int
cmd_spawn(int argc, char **argv)
{
    pid_t into = 0, middle, init;
    const char *lockfile;
    int ready[2];
    char byte;

    if (argc > 2 && strcmp(argv[1], "--into") == 0) {
        into = parse_pid(argv[2]);
        argc -= 2;
        argv += 2;
    }
    if (argc < 3)
        errx(2, "%s", usage);
    lockfile = argv[1];
    if (pipe2(ready, O_CLOEXEC) < 0)
        err(1, "pipe");
    if (into)
        enter(into, CLONE_NEWPID);

    middle = fork();
    if (middle < 0)
        err(1, "fork");
    if (middle == 0) {
        struct sigaction sa = {.sa_handler = on_signal};

        close(ready[0]);
        (void) sigaction(SIGCHLD, &sa, NULL);
        if (unshare(NODE_NAMESPACES) < 0)
            err(1, "unshare");
        init = fork();
        if (init < 0)
            err(1, "fork");
        if (init == 0)
            run_init(lockfile, argv + 2, ready[1]);
        _exit(0);
    }
    close(ready[1]);
    (void) waitpid(middle, NULL, 0);
    (void) !read(ready[0], &byte, 1); /* EOF: locked, or dead */

    init = lock_holder(lockfile);
    if (init <= 0)
        errx(1, "%s: PID 1 did not come up", lockfile);
    printf("%d\n", (int) init);
    return 0;
}

static void
forward(int sig)
{
    if (exec_child > 0)
        (void) kill(exec_child, sig);
}

static int
wait_exit_code(pid_t child)
{
    int status;

    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR)
            err(1, "waitpid");
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* The PID that the text gives, or that holds the lock file that it names. */
static pid_t
pid_or_holder(const char *text)
{
    pid_t pid;

    if (text[0] != '/')
        return parse_pid(text);
    pid = lock_holder(text);
    if (pid <= 0)
        errx(1, "%s: not running", text);
    return pid;
}

/*
 * Unlike nsenter we never stop ourselves when the child is stopped (a frozen
 * node could then not be killed: its PID 1 would wait for us to reap).
 */
static int
cmd_exec(int argc, char **argv)
{
    struct sigaction sa = {.sa_handler = forward};
    char cwd[4096];

    if (argc < 3)
        errx(2, "%s", usage);
    if (!getcwd(cwd, sizeof cwd))
        strcpy(cwd, "/");
    enter(pid_or_holder(argv[1]), NODE_NAMESPACES);
    if (chdir(cwd) < 0 && chdir("/") < 0)
        err(1, "chdir");

    exec_child = fork();
    if (exec_child < 0)
        err(1, "fork");
    if (exec_child == 0) {
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        execvp(argv[2], argv + 2);
        err(errno == ENOENT ? 127 : 126, "%s", argv[2]);
    }
    (void) sigaction(SIGTERM, &sa, NULL);
    (void) sigaction(SIGINT, &sa, NULL);
    (void) sigaction(SIGHUP, &sa, NULL);
    return wait_exit_code(exec_child);
}

static int
cmd_pid(int argc, char **argv)
{
    pid_t pid;

    if (argc != 2)
        errx(2, "%s", usage);
    pid = lock_holder(argv[1]);
    if (pid <= 0)
        return 1;
    printf("%d\n", (int) pid);
    return 0;
}

/* A PID 1 becomes waitable only when its whole namespace has ended. */
static int
cmd_wait(int argc, char **argv, bool do_kill)
{
    struct pollfd p = {.events = POLLIN};
    int n;

    if (argc != 3)
        errx(2, "%s", usage);
    p.fd = pidfd_of(parse_pid(argv[1]));
    if (p.fd < 0 && errno == ESRCH)
        return 0;
    if (p.fd < 0)
        err(1, "process %s", argv[1]);
    if (do_kill && syscall(SYS_pidfd_send_signal, p.fd, SIGKILL, NULL, 0) < 0 &&
        errno != ESRCH)
        err(1, "killing %s", argv[1]);
    n = poll(&p, 1, atoi(argv[2]));
    if (n < 0)
        err(1, "poll");
    if (n == 0)
        errx(1, "process %s did not end in %s ms", argv[1], argv[2]);
    return 0;
}

int
main(int argc, char **argv)
{
    const char *cmd = argc > 1 ? argv[1] : "";

    if (strcmp(cmd, "spawn") == 0)
        return cmd_spawn(argc - 1, argv + 1);
    if (strcmp(cmd, "exec") == 0)
        return cmd_exec(argc - 1, argv + 1);
    if (strcmp(cmd, "pid") == 0)
        return cmd_pid(argc - 1, argv + 1);
    if (strcmp(cmd, "wait") == 0)
        return cmd_wait(argc - 1, argv + 1, false);
    if (strcmp(cmd, "kill") == 0)
        return cmd_wait(argc - 1, argv + 1, true);
    fputs(usage, stderr);
    return strcmp(cmd, "--help") == 0 ? 0 : 2;
}
