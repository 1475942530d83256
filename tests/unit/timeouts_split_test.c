/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The parts of an action's time, for every timeout that can be configured: in
 * order, and over before Pacemaker kills.
 */
#include "config.h"
#include "unit.h"
#include "timeouts.h"

#define STARTED INT64_C(123456789)

static void
check_order(int64_t action_ms)
{
    int64_t action = action_ms * QM_MS;
    qm_timeouts t;

    qm__timeouts_for(action_ms, STARTED, &t);
    if (t.action != action || STARTED >= t.work || t.work > t.fallback ||
        t.fallback >= t.end || t.end >= STARTED + action)
        fail_msg("timeout %lld ms: work %lld, fallback %lld, end %lld ms",
                 (long long) action_ms, (long long) (t.work - STARTED) / 1000,
                 (long long) (t.fallback - STARTED) / 1000,
                 (long long) (t.end - STARTED) / 1000);
    assert_true(t.call > 0 && t.call <= action / 2 && t.call <= 20 * QM_S);
}

static void
parts_are_in_order(void **state)
{
    for (int64_t ms = 1000; ms <= 3600 * 1000; ms += 100)
        check_order(ms);
    /* Too short to be of use, but still never beyond the kill. */
    for (int64_t ms = 1; ms < 1000; ms++)
        check_order(ms);
}

/* More time never means an earlier end of anything. */
static void
parts_grow_with_the_action(void **state)
{
    qm_timeouts before, t;

    qm__timeouts_for(1, STARTED, &before);
    for (int64_t ms = 2; ms < 400 * 1000; ms += 7) {
        qm__timeouts_for(ms, STARTED, &t);
        assert_true(t.work >= before.work && t.fallback >= before.fallback &&
                    t.end >= before.end && t.call >= before.call);
        before = t;
    }
}

/* The worst case of the last part, as the timeline in timeouts.c says. */
static void
the_end_has_time_to_clean_up(void **state)
{
    qm_timeouts t;

    for (int64_t s = 20; s <= 3600; s++) {
        qm__timeouts_for(s * 1000, STARTED, &t);
        assert_true(STARTED + t.action - t.fallback >= 5 * QM_S);
        assert_true(STARTED + t.action - t.fallback <= 15 * QM_S);
        assert_true(t.work - STARTED >= t.action / 3);
    }
}

static void
no_timeout_means_a_minute(void **state)
{
    qm_timeouts a, b;

    qm__timeouts_for(0, STARTED, &a);
    qm__timeouts_for(60 * 1000, STARTED, &b);
    assert_memory_equal(&a, &b, sizeof a);
    qm__timeouts_for(-5, STARTED, &a);
    assert_memory_equal(&a, &b, sizeof a);
}

static void
absurd_timeouts_do_not_overflow(void **state)
{
    qm_timeouts t;

    qm__timeouts_for(INT64_MAX, STARTED, &t);
    assert_true(STARTED < t.work && t.work <= t.fallback &&
                t.fallback < t.end && t.end < STARTED + t.action);
}

static void
transfer_time_is_bytes_by_rate(void **state)
{
    assert_true(qm__transfer_time(0, 1) == 0);
    assert_true(qm__transfer_time(1000, 1000) == QM_S);
    assert_true(qm__transfer_time(UINT64_C(1) << 40, UINT64_C(1) << 30) ==
                1024 * QM_S);
    assert_true(qm__transfer_time(1, 0) == INT64_MAX);
    assert_true(qm__transfer_time(UINT64_MAX, 1) == INT64_MAX);
    assert_true(qm__transfer_time(UINT64_MAX, UINT64_MAX) == QM_S);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_in_order),
        cmocka_unit_test(parts_grow_with_the_action),
        cmocka_unit_test(the_end_has_time_to_clean_up),
        cmocka_unit_test(no_timeout_means_a_minute),
        cmocka_unit_test(absurd_timeouts_do_not_overflow),
        cmocka_unit_test(transfer_time_is_bytes_by_rate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
