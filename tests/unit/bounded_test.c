/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * A call or a program that hangs ends in TIMEOUT, in time, and leaves nothing
 * behind that its user could trip over.
 */
#include "config.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bounded.h"
#include "spawn.h"
#include "timeouts.h"

typedef struct {
    int hang;    /* read end: blocks until the test closes the other one */
    int cleared; /* write end: told when the box is freed */
    int answer;
} box;

static void
box_clear(void *data)
{
    box *b = data;

    if (b->cleared >= 0)
        (void) !write(b->cleared, "c", 1);
}

static bool
answers(void *data, GError **error)
{
    ((box *) data)->answer = 42;
    return true;
}

static bool
fails(void *data, GError **error)
{
    g_set_error(error, QM_ERROR, QM_ERROR_CONFLICT, "lost");
    return false;
}

static bool
hangs(void *data, GError **error)
{
    char c;

    (void) !read(((box *) data)->hang, &c, 1);
    ((box *) data)->answer = 42; /* late: the box must still be there */
    return true;
}

static box *
box_new(void)
{
    box *b = g_atomic_rc_box_new0(box);

    b->cleared = -1;
    return b;
}

static void
call_gives_its_result(void **state)
{
    g_autoptr(GError) error = NULL;
    box *b = box_new();

    assert_true(qm__bounded("x", answers, b, box_clear,
                            qm__deadline_in(5 * QM_S), &error));
    assert_int_equal(b->answer, 42);
    assert_false(qm__bounded("x", fails, b, box_clear, INT64_MAX, &error));
    assert_true(g_error_matches(error, QM_ERROR, QM_ERROR_CONFLICT));
    g_atomic_rc_box_release_full(b, box_clear);
}

static void
call_that_hangs_is_left_behind(void **state)
{
    g_autoptr(GError) error = NULL;
    box *b = box_new();
    int hang[2], cleared[2];
    int64_t began = qm__now();
    char c = 0;

    assert_int_equal(pipe(hang), 0);
    assert_int_equal(pipe(cleared), 0);
    b->hang = hang[0];
    b->cleared = cleared[1];
    assert_false(qm__bounded("asking it", hangs, b, box_clear,
                             qm__deadline_in(50 * QM_MS), &error));
    assert_true(g_error_matches(error, QM_ERROR, QM_ERROR_TIMEOUT));
    assert_non_null(strstr(error->message, "asking it"));
    assert_true(qm__now() - began < 2 * QM_S);
    g_atomic_rc_box_release_full(b, box_clear);
    close(hang[1]); /* it comes back after all, and frees the box */
    assert_int_equal(read(cleared[0], &c, 1), 1);
    assert_int_equal(c, 'c');
    close(hang[0]);
    close(cleared[0]);
    close(cleared[1]);
}

static void
program_gives_code_and_output(void **state)
{
    const char *argv[] = {"sh", "-c", "echo out; echo err >&2; exit 3", NULL};
    const char *silent[] = {"true", NULL};
    g_autofree char *out = NULL, *err = NULL;
    int code = -1;

    assert_true(
        qm__spawn(argv, qm__deadline_in(5 * QM_S), &code, &out, &err, NULL));
    assert_int_equal(code, 3);
    assert_string_equal(out, "out\n");
    assert_string_equal(err, "err\n");
    assert_true(
        qm__spawn(silent, qm__deadline_in(5 * QM_S), &code, NULL, NULL, NULL));
    assert_int_equal(code, 0);
}

static void
program_that_hangs_is_killed(void **state)
{
    const char *argv[] = {"sleep", "1000", NULL};
    const char *closed[] = {"sh", "-c", "exec >&- 2>&-; exec sleep 1000", NULL};
    g_autoptr(GError) error = NULL;
    char *out = NULL;
    int64_t began = qm__now();
    int code = -1;

    assert_false(qm__spawn(argv, qm__deadline_in(50 * QM_MS), &code, &out, NULL,
                           &error));
    assert_true(g_error_matches(error, QM_ERROR, QM_ERROR_TIMEOUT));
    g_clear_error(&error);
    assert_false(qm__spawn(closed, qm__deadline_in(50 * QM_MS), &code, &out,
                           NULL, &error));
    assert_true(g_error_matches(error, QM_ERROR, QM_ERROR_TIMEOUT));
    assert_true(qm__now() - began < 5 * QM_S);
    assert_null(out);
    assert_int_equal(code, -1);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child left */
    assert_int_equal(errno, ECHILD);
}

static void
program_that_dies_or_does_not_exist(void **state)
{
    const char *dies[] = {"sh", "-c", "kill -9 $$", NULL};
    const char *missing[] = {"quickmig-no-such-program", NULL};
    g_autoptr(GError) error = NULL;
    int code;

    assert_false(
        qm__spawn(dies, qm__deadline_in(5 * QM_S), &code, NULL, NULL, &error));
    assert_true(g_error_matches(error, QM_ERROR, QM_ERROR_IO));
    g_clear_error(&error);
    assert_false(qm__spawn(missing, qm__deadline_in(5 * QM_S), &code, NULL,
                           NULL, &error));
    assert_true(g_error_matches(error, QM_ERROR, QM_ERROR_NOT_FOUND));
}

static void
program_that_prints_for_ever_is_cut(void **state)
{
    const char *argv[] = {"yes", NULL};
    g_autoptr(GError) error = NULL;
    int code;

    /* Its stream is closed at the limit: SIGPIPE ends it. */
    assert_false(
        qm__spawn(argv, qm__deadline_in(20 * QM_S), &code, NULL, NULL, &error));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(call_gives_its_result),
        cmocka_unit_test(call_that_hangs_is_left_behind),
        cmocka_unit_test(program_gives_code_and_output),
        cmocka_unit_test(program_that_hangs_is_killed),
        cmocka_unit_test(program_that_dies_or_does_not_exist),
        cmocka_unit_test(program_that_prints_for_ever_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
