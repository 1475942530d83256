/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_TESTS_UNIT_H
#define QM_TESTS_UNIT_H

/*
 * What the unit tests share: cmocka with its includes, and checks of calls
 * that take a GError.  Inside CHECK_OK and CHECK_FAILS the call's last
 * argument is `&err`.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <quickmig/error.h>

/* The call succeeds. */
#define CHECK_OK(call)                                                         \
    do {                                                                       \
        GError *err = NULL;                                                    \
                                                                               \
        if (!(call))                                                           \
            fail_msg("%s: %s", #call,                                          \
                     err != NULL ? err->message : "false without an error");   \
        assert_null(err);                                                      \
    } while (0)

/* The call fails with this code of QM_ERROR, and says something. */
#define CHECK_FAILS(call, expected)                                            \
    do {                                                                       \
        GError *err = NULL;                                                    \
                                                                               \
        if (call)                                                              \
            fail_msg("%s succeeded", #call);                                   \
        if (err == NULL)                                                       \
            fail_msg("%s failed without an error", #call);                     \
        if (!g_error_matches(err, QM_ERROR, expected))                         \
            fail_msg("%s: expected %s, got %s: %s", #call,                     \
                     qm_error_name(expected), qm_error_name(err->code),        \
                     err->message);                                            \
        assert_true(err->message[0] != '\0');                                  \
        g_error_free(err);                                                     \
    } while (0)

#endif
