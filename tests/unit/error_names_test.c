/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/* The errors' names are complete, unique and fit for JSON. */
#include "config.h"
#include <string.h>
#include "unit.h"

static void
every_code_has_its_name(void **state)
{
    for (int i = 0; i <= QM_ERROR_KEY; i++) {
        const char *name = qm_error_name(i);

        assert_non_null(name);
        assert_string_not_equal(name, "unknown");
        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz-"),
                         strlen(name));
        for (int j = 0; j < i; j++)
            assert_string_not_equal(name, qm_error_name(j));
    }
    assert_string_equal(qm_error_name(QM_ERROR_NOT_FOUND), "not-found");
}

static void
out_of_range_is_unknown(void **state)
{
    assert_string_equal(qm_error_name(-1), "unknown");
    assert_string_equal(qm_error_name(QM_ERROR_KEY + 1), "unknown");
    assert_string_equal(qm_error_name(INT32_MAX), "unknown");
}

static void
domain_has_its_name(void **state)
{
    assert_string_equal(g_quark_to_string(QM_ERROR), "qm-error-quark");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_its_name),
        cmocka_unit_test(out_of_range_is_unknown),
        cmocka_unit_test(domain_has_its_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
