/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/* Deadlines: never negative, never overflowing, rounded up for poll(). */
#include "config.h"
#include <limits.h>
#include "unit.h"
#include "timeouts.h"

static int64_t now;

static int64_t
fake_clock(void)
{
    return now;
}

static int
set_up(void **state)
{
    now = 0;
    qm__set_clock(fake_clock);
    return 0;
}

static int
tear_down(void **state)
{
    qm__set_clock(NULL);
    return 0;
}

static void
deadline_saturates(void **state)
{
    now = 100;
    assert_int_equal(qm__deadline_in(50), 150);
    assert_int_equal(qm__deadline_in(0), 100);
    assert_true(qm__deadline_in(INT64_MAX) == INT64_MAX);
    assert_true(qm__deadline_in(INT64_MAX - 100) == INT64_MAX);
    assert_true(qm__deadline_in(INT64_MAX - 101) == INT64_MAX - 1);
}

static void
remaining_is_never_negative(void **state)
{
    now = 100;
    assert_int_equal(qm__remaining(150), 50);
    assert_int_equal(qm__remaining(100), 0);
    assert_int_equal(qm__remaining(50), 0);
    assert_int_equal(qm__remaining(0), 0);
}

static void
milliseconds_are_rounded_up(void **state)
{
    assert_int_equal(qm__remaining_ms(0), 0);
    assert_int_equal(qm__remaining_ms(1), 1);
    assert_int_equal(qm__remaining_ms(999), 1);
    assert_int_equal(qm__remaining_ms(1000), 1);
    assert_int_equal(qm__remaining_ms(1001), 2);
    assert_int_equal(qm__remaining_ms((int64_t) INT_MAX * 1000), INT_MAX);
    assert_int_equal(qm__remaining_ms((int64_t) INT_MAX * 1000 + 1), INT_MAX);
    assert_int_equal(qm__remaining_ms(INT64_MAX), INT_MAX);
}

static void
passed_at_the_deadline(void **state)
{
    now = 100;
    assert_false(qm__passed(101));
    assert_true(qm__passed(100));
    assert_true(qm__passed(99));
    assert_false(qm__passed(INT64_MAX));
}

static void
real_clock_goes_on(void **state)
{
    int64_t before;

    qm__set_clock(NULL);
    before = qm__now();
    assert_true(before > 0);
    assert_true(qm__now() >= before);
    assert_in_range(qm__now() - g_get_monotonic_time() + QM_S, 0, QM_S);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(deadline_saturates, set_up, tear_down),
        cmocka_unit_test_setup_teardown(remaining_is_never_negative, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(milliseconds_are_rounded_up, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(passed_at_the_deadline, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(real_clock_goes_on, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
