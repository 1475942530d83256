/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * A gate that was taken over by what it read must not get further than its own
 * disk, which it has anyway.  Once it serves it
 *
 *  - has one capability left: to kill the QEMU it is about to fence, which has
 *    a user of its own.  It stays root: the cluster's quorum is told to nobody
 *    else, and its locks and sockets are root's;
 *  - gains no privilege by whatever it might run;
 *  - can make only the system calls below.  Those that nothing here ever makes,
 *    but whoever got in would, kill it, with a last line in the log.  Others
 *    fail with ENOSYS, as in an older kernel: a later C library tries something
 *    new, and then what it did before.  A gate that died of that would stop a
 *    guest for nothing.
 *
 * Sanitizers do what intruders do, and so do crash points, which end the node:
 * with them there is no sandbox.
 */
#include "config.h"
#include <cap-ng.h>
#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "log.h"
#include "sandbox.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||           \
    defined(QM_CRASH_POINTS)
#define WITHOUT_SANDBOX 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define WITHOUT_SANDBOX 1
#endif
#endif

#ifndef WITHOUT_SANDBOX
#define WITHOUT_SANDBOX 0
#endif

#ifdef __s390__
#define CLONE_FLAGS SCMP_A1
#else
#define CLONE_FLAGS SCMP_A0
#endif

static const char *const allowed[] = {
    /* its work */
    "read",
    "write",
    "readv",
    "writev",
    "pread64",
    "pwrite64",
    "preadv",
    "pwritev",
    "recvmsg",
    "sendmsg",
    "recvfrom",
    "sendto",
    "recvmmsg",
    "sendmmsg",
    "close",
    "epoll_wait",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_ctl",
    "epoll_create1",
    "poll",
    "ppoll",
    "select",
    "pselect6",
    "eventfd2",
    "timerfd_create",
    "timerfd_settime",
    "timerfd_gettime",
    "signalfd4",
    "pipe2",
    "dup",
    "dup2",
    "dup3",
    "fcntl",
    "ioctl",
    "lseek",
    "fsync",
    "fdatasync",
    "ftruncate",
    "fallocate",
    "flock",
    /* sessions: the target, the cluster, the log */
    "socket",
    "socketpair",
    "connect",
    "accept4",
    "accept",
    "bind",
    "listen",
    "getsockopt",
    "setsockopt",
    "getsockname",
    "getpeername",
    "shutdown",
    "open",
    "openat",
    "openat2",
    "access",
    "faccessat",
    "faccessat2",
    "stat",
    "lstat",
    "fstat",
    "newfstatat",
    "statx",
    "statfs",
    "fstatfs",
    "readlink",
    "readlinkat",
    "getdents64",
    "getcwd",
    "mkdir",
    "mkdirat",
    "unlink",
    "unlinkat",
    "rename",
    "renameat",
    "renameat2",
    "chmod",
    "fchmod",
    "fchmodat",
    "chown",
    "fchown",
    "fchownat",
    "umask",
    /* fencing */
    "pidfd_open",
    "pidfd_send_signal",
    "kill",
    "tgkill",
    /* a process with threads */
    "brk",
    "munmap",
    "mremap",
    "madvise",
    "mlock",
    "munlock",
    "membarrier",
    "futex",
    "futex_waitv",
    "rseq",
    "set_robust_list",
    "get_robust_list",
    "sched_yield",
    "sched_getaffinity",
    "sched_getparam",
    "sched_getscheduler",
    "sched_setscheduler",
    "set_tid_address",
    "arch_prctl",
    "prctl",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "rt_sigpending",
    "rt_sigtimedwait",
    "sigaltstack",
    "restart_syscall",
    "clock_gettime",
    "clock_getres",
    "clock_nanosleep",
    "nanosleep",
    "gettimeofday",
    "time",
    "getrandom",
    "getpid",
    "gettid",
    "getppid",
    "getpgrp",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "getresuid",
    "getresgid",
    "getgroups",
    "getrlimit",
    "prlimit64",
    "getrusage",
    "sysinfo",
    "uname",
    "times",
    "getcpu",
    "exit",
    "exit_group",
};

static const char *const deadly[] = {
    /* another program, another process */
    "execve",
    "execveat",
    "fork",
    "vfork",
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "process_madvise",
    "kcmp",
    "pidfd_getfd",
    /* other rights */
    "setuid",
    "setgid",
    "setreuid",
    "setregid",
    "setresuid",
    "setresgid",
    "setgroups",
    "setfsuid",
    "setfsgid",
    "capset",
    "personality",
    /* other namespaces and roots */
    "unshare",
    "setns",
    "chroot",
    "pivot_root",
    "mount",
    "umount2",
    "open_tree",
    "move_mount",
    "fsopen",
    "fsmount",
    "fsconfig",
    "fspick",
    "mount_setattr",
    "open_by_handle_at",
    "name_to_handle_at",
    /* the kernel */
    "init_module",
    "finit_module",
    "delete_module",
    "kexec_load",
    "kexec_file_load",
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "io_uring_setup",
    "keyctl",
    "add_key",
    "request_key",
    "iopl",
    "ioperm",
    "modify_ldt",
    "reboot",
    "swapon",
    "swapoff",
    "acct",
    "quotactl",
    "sethostname",
    "setdomainname",
    "settimeofday",
    "clock_settime",
    "adjtimex",
    "clock_adjtime",
    "syslog",
    "vhangup",
    "mknod",
    "mknodat",
};

static bool
failed(const char *what, int code, GError **error)
{
    g_set_error(error, QM_ERROR, QM_ERROR_UNSUPPORTED, "%s: %s", what,
                g_strerror(code));
    return false;
}

/* --- a forbidden call ---------------------------------------------------- */

static void
put_number(char *at, unsigned width, unsigned value)
{
    for (unsigned i = width; i-- > 0; value /= 10)
        at[i] = (char) ('0' + value % 10);
}

/* Whatever was interrupted may hold any lock: nothing but write(). */
static void
on_forbidden(int signal_number, siginfo_t *info, void *context)
{
    char line[] = "quickmig-gate[0000000]: error: system call 0000 is "
                  "forbidden: killed, as it may have been taken over\n";

    put_number(line + 14, 7, (unsigned) getpid());
    put_number(line + 43, 4, (unsigned) info->si_syscall);
    (void) !write(qm__log_fd(), line, sizeof line - 1);
    (void) signal(SIGSYS, SIG_DFL);
    (void) raise(SIGSYS); /* comes as soon as this handler returns */
}

static bool
catch_forbidden(GError **error)
{
    struct sigaction action = {.sa_sigaction = on_forbidden,
                               .sa_flags = SA_SIGINFO};

    sigemptyset(&action.sa_mask);
    return sigaction(SIGSYS, &action, NULL) == 0 ||
           failed("catching forbidden system calls", errno, error);
}

/* --- capabilities -------------------------------------------------------- */

static bool
drop_capabilities(GError **error)
{
    capng_clear(CAPNG_SELECT_BOTH);
    if (capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_KILL) !=
        0)
        return failed("choosing capabilities", EINVAL, error);
    /* The bounding set first, while it still may. */
    if (capng_apply(CAPNG_SELECT_BOTH) != 0)
        return failed("dropping capabilities", EPERM, error);
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ||
           failed("giving up new privileges", errno, error);
}

/* --- system calls -------------------------------------------------------- */

/* A name that this machine has not is none to rule. */
static bool
add_rules(scmp_filter_ctx filter, uint32_t action, const char *const *names,
          size_t n, GError **error)
{
    for (size_t i = 0; i < n; i++) {
        int number = seccomp_syscall_resolve_name(names[i]);
        int code;

        if (number == __NR_SCMP_ERROR || number < 0)
            continue;
        code = seccomp_rule_add_array(filter, action, number, 0, NULL);
        if (code < 0)
            return failed(names[i], -code, error);
    }
    return true;
}

/* Memory that was written is not run, and what is made is a thread.  clone3()
 * hides its flags in memory; without it the C library takes clone(). */
static bool
add_conditions(scmp_filter_ctx filter, GError **error)
{
    const struct {
        int call;
        uint32_t action;
        struct scmp_arg_cmp argument;
    } rules[] = {
        {SCMP_SYS(mprotect), SCMP_ACT_ALLOW,
         SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)},
        {SCMP_SYS(mprotect), SCMP_ACT_TRAP,
         SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC)},
        {SCMP_SYS(mmap), SCMP_ACT_ALLOW,
         SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)},
        {SCMP_SYS(mmap), SCMP_ACT_ALLOW,
         SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC | PROT_WRITE, PROT_EXEC)},
        {SCMP_SYS(mmap), SCMP_ACT_TRAP,
         SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC | PROT_WRITE,
                 PROT_EXEC | PROT_WRITE)},
        {SCMP_SYS(clone), SCMP_ACT_ALLOW,
         CLONE_FLAGS(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD)},
        {SCMP_SYS(clone), SCMP_ACT_TRAP,
         CLONE_FLAGS(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0)},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rules); i++) {
        int code = seccomp_rule_add_array(filter, rules[i].action,
                                          rules[i].call, 1, &rules[i].argument);

        if (code < 0)
            return failed("ruling memory and threads", -code, error);
    }
    return true;
}

static bool
filter_calls(GError **error)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    bool ok;
    int code;

    if (filter == NULL)
        return failed("making a filter", ENOMEM, error);
    /* Threads that are there already, too. */
    code = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    ok =
        (code == 0 || failed("filtering all threads", -code, error)) &&
        add_conditions(filter, error) &&
        add_rules(filter, SCMP_ACT_TRAP, deadly, G_N_ELEMENTS(deadly), error) &&
        add_rules(filter, SCMP_ACT_ALLOW, allowed, G_N_ELEMENTS(allowed),
                  error);
    if (ok) {
        code = seccomp_load(filter);
        ok = code == 0 || failed("loading the filter", -code, error);
    }
    seccomp_release(filter);
    return ok;
}

bool
gate_sandbox_enter(GError **error)
{
    return WITHOUT_SANDBOX || (drop_capabilities(error) &&
                               catch_forbidden(error) && filter_calls(error));
}
