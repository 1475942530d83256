/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/* What a guest's agent is asked, and what is made of any answer. */
#include "config.h"
#include <string.h>
#include <glib.h>
#include "agent-reply.h"
#include "unit.h"

static void
test_command(void **state)
{
    g_autofree char *command = NULL;
    g_autofree char *status = qm__agent_status(81);
    char *untouched = NULL;

    CHECK_OK(
        qm__agent_exec("/bin/sh -c 'test -e \"/a b\"' x\\ y", &command, &err));
    assert_string_equal(command,
                        "{\"execute\":\"guest-exec\",\"arguments\":{\"path\":"
                        "\"/bin/sh\",\"arg\":[\"-c\",\"test -e \\\"/a b\\\"\","
                        "\"x y\"]}}");
    assert_string_equal(status, "{\"execute\":\"guest-exec-status\","
                                "\"arguments\":{\"pid\":81}}");
    CHECK_FAILS(qm__agent_exec("", &untouched, &err), QM_ERROR_INVALID);
    CHECK_FAILS(qm__agent_exec("a 'b", &untouched, &err), QM_ERROR_INVALID);
    CHECK_FAILS(qm__agent_exec("a\xff", &untouched, &err), QM_ERROR_INVALID);
    assert_null(untouched);
}

static void
test_good(void **state)
{
    int64_t number = 0;
    bool exited = true;

    CHECK_OK(qm__agent_read_done("{\"return\": {}}", &err));
    CHECK_OK(qm__agent_read_pid("{\"return\":{\"pid\":81}}", &number, &err));
    assert_int_equal(number, 81);
    CHECK_OK(qm__agent_read_exit("{\"return\":{\"exited\":false}}", &exited,
                                 &number, &err));
    assert_false(exited);
    CHECK_OK(
        qm__agent_read_exit("{\"return\":{\"exited\":true,\"exitcode\":3}}",
                            &exited, &number, &err));
    assert_true(exited);
    assert_int_equal(number, 3);
    CHECK_OK(qm__agent_read_exit("{\"return\":{\"exited\":true,\"signal\":9}}",
                                 &exited, &number, &err));
    assert_true(exited);
    assert_int_equal(number, -1);
    CHECK_OK(
        qm__agent_read_exit("{\"return\":{\"exited\":true,\"exitcode\":\"0\"}}",
                            &exited, &number, &err));
    assert_int_equal(number, -1);
}

static void
test_nonsense(void **state)
{
    static const char *const replies[] = {
        "",
        " ",
        "{",
        "[]",
        "1",
        "null",
        "{}",
        "{\"return\":1}",
        "{\"return\":[]}",
        "{\"return\":null}",
        "{\"error\":{\"class\":\"x\"}}",
        "{\"return\":{\"pid\":\"1\",\"exited\":1}}",
        "{\"return\":{\"pid\":{},\"exited\":[]}}",
        "{\"return\":{\"pid\":true,\"exited\":\"true\"}}",
    };
    g_autofree char *deep = g_strnfill(1000000, '[');
    int64_t number = 5;
    bool exited = true;

    for (size_t i = 0; i < G_N_ELEMENTS(replies); i++) {
        CHECK_FAILS(qm__agent_read_pid(replies[i], &number, &err), QM_ERROR_IO);
        CHECK_FAILS(qm__agent_read_exit(replies[i], &exited, &number, &err),
                    QM_ERROR_IO);
        if (strstr(replies[i], "pid") == NULL)
            CHECK_FAILS(qm__agent_read_done(replies[i], &err), QM_ERROR_IO);
    }
    CHECK_FAILS(qm__agent_read_done(deep, &err), QM_ERROR_IO);
    assert_int_equal(number, 5);
    assert_true(exited);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_command),
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_nonsense),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
