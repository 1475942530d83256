/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Which processes count as left behind by a failed restore.  This program is
 * its own QEMU: started with arguments, it waits to be killed.
 */
#include "config.h"
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uuid/uuid.h>
#include "timeouts.h"
#include "unit.h"
#include "vm-internal.h"

#define OURS   "aaaaaaaa-bbbb-4ccc-8ddd-e7e7e7e7e7e7"
#define OTHERS "aaaaaaaa-bbbb-4ccc-8ddd-e8e8e8e8e8e8"

static const char *self;

/* Returns when it has been executed. */
static pid_t
start(const char *uuid, const char *last)
{
    int ready[2];
    char byte;
    pid_t pid;

    assert_int_equal(pipe(ready), 0);
    pid = fork();
    if (pid == 0) {
        dup2(ready[1], 1);
        execl(self, "qemu", "-S", "-uuid", uuid, last, "defer", NULL);
        _exit(1);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

static void
need_pidfd(void)
{
    int fd = (int) syscall(SYS_pidfd_open, getpid(), 0);

    if (fd < 0)
        skip(); /* old valgrinds do not know it */
    close(fd);
}

static bool
is_alive(pid_t pid)
{
    return waitpid(pid, NULL, WNOHANG) == 0;
}

static void
end(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void
test_kill(void **state)
{
    int64_t since = qm__boottime();
    pid_t orphan, other, running;

    need_pidfd();
    orphan = start(OURS, "-incoming");
    other = start(OTHERS, "-incoming");
    running = start(OURS, "-daemonize");
    assert_int_equal(qm__vm_kill_orphans(OURS, since), 1);
    assert_false(is_alive(orphan));
    assert_true(is_alive(other));
    assert_true(is_alive(running));
    assert_int_equal(qm__vm_kill_orphans(OURS, since), 0);
    end(other);
    end(running);
}

/* One that was there before our restore began is not ours. */
static void
test_older(void **state)
{
    pid_t older = start(OURS, "-incoming");
    int64_t since = qm__boottime() + QM_S; /* start times are cut to ticks */

    assert_int_equal(qm__vm_kill_orphans(OURS, since), 0);
    assert_true(is_alive(older));
    end(older);
}

/* The last resort makes no difference, but for the VM. */
static void
test_last_resort(void **state)
{
    pid_t loader, other, running;
    uuid_t uuid;

    need_pidfd();
    assert_int_equal(uuid_parse(OURS, uuid), 0);
    loader = start(OURS, "-incoming");
    other = start(OTHERS, "-incoming");
    running = start(OURS, "-daemonize");
    assert_int_equal(qm__vm_kill(uuid), 2);
    assert_false(is_alive(loader));
    assert_false(is_alive(running));
    assert_true(is_alive(other));
    assert_int_equal(qm__vm_kill(uuid), 0);
    end(other);
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kill),
        cmocka_unit_test(test_older),
        cmocka_unit_test(test_last_resort),
    };

    if (argc > 1) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void) !write(1, "x", 1);
        pause();
        return 0;
    }
    self = argv[0];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
