/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * A worker is found and ended by the process that it is, and by nothing else.
 */
#include "config.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "unit.h"
#include "runtime.h"
#include "timeouts.h"
#include "worker.h"

static const uint8_t uuid[QM_UUID_LEN] = {1, 2, 3};
static char dir[] = "/tmp/qm-worker.XXXXXX";

/* A child that is registered as the VM's worker, and waits to be killed. */
static pid_t
start_worker(const char *target)
{
    int ready[2];
    char byte;
    pid_t pid;

    assert_int_equal(pipe(ready), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (!qm__worker_register(uuid, target, NULL))
            _exit(1);
        (void) !write(ready[1], "", 1);
        for (;;)
            (void) pause();
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

static void
expect_killed(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void
test_reaped(void **state)
{
    pid_t pid = start_worker(NULL);

    assert_true(qm__worker_reap(uuid, 0));
    expect_killed(pid);
    assert_false(qm__worker_reap(uuid, 0)); /* there is none */
}

static void
test_one_that_goes_on_is_left(void **state)
{
    pid_t pid = start_worker(NULL);

    qm__worker_alive(uuid);
    assert_false(qm__worker_reap(uuid, 3600 * QM_S));
    assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
    assert_true(qm__worker_reap(uuid, 0));
    expect_killed(pid);
}

/* Its id belongs to somebody else by now. */
static void
test_another_process_is_left(void **state)
{
    g_autofree char *path = qm__vm_path(uuid, "worker");
    g_autofree char *text = NULL;
    pid_t pid = start_worker(NULL);

    text = g_strdup_printf("%d 12345 \n", (int) pid);
    assert_true(g_file_set_contents(path, text, -1, NULL));
    assert_false(qm__worker_reap(uuid, 0));
    assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
    assert_int_equal(kill(pid, SIGKILL), 0);
    expect_killed(pid);
}

static void
test_asked_to_come_to_the_end(void **state)
{
    pid_t pid;

    assert_false(qm__worker_go(uuid, "n2")); /* there is none */
    pid = start_worker("n2");
    assert_false(qm__worker_asked(uuid));
    assert_false(qm__worker_go(uuid, "n3"));
    assert_false(qm__worker_asked(uuid));
    assert_true(qm__worker_go(uuid, "n2"));
    assert_true(qm__worker_asked(uuid));
    assert_true(qm__worker_reap(uuid, 0));
    expect_killed(pid);
    /* The next one is not asked by what was left. */
    pid = start_worker("n2");
    assert_false(qm__worker_asked(uuid));
    assert_true(qm__worker_reap(uuid, 0));
    expect_killed(pid);
}

static void
test_damaged_note(void **state)
{
    g_autofree char *path = qm__vm_path(uuid, "worker");

    assert_true(g_file_set_contents(path, "-1 7 n2\n", -1, NULL));
    assert_false(qm__worker_reap(uuid, 0));
    assert_true(g_file_set_contents(path, "", -1, NULL));
    assert_false(qm__worker_reap(uuid, 0));
    assert_false(qm__worker_go(uuid, "n2"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reaped),
        cmocka_unit_test(test_one_that_goes_on_is_left),
        cmocka_unit_test(test_another_process_is_left),
        cmocka_unit_test(test_asked_to_come_to_the_end),
        cmocka_unit_test(test_damaged_note),
    };
    int failed;

    if (mkdtemp(dir) == NULL || setenv("QM_RUN_DIR", dir, 1) != 0 ||
        !qm__runtime_prepare(uuid, NULL))
        return EXIT_FAILURE;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    {
        g_autofree char *command = g_strdup_printf("rm -rf %s", dir);

        (void) !system(command);
    }
    return failed;
}
