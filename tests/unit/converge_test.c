/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * When a live save ends: a guest that is idle, one that writes, one that never
 * converges, a vault that fills up, time that runs out.
 */
#include "config.h"
#include <string.h>
#include "unit.h"
#include "converge.h"
#include "timeouts.h"

#define MIB (UINT64_C(1) << 20)

static qm_converge
fresh(unsigned limit_ms)
{
    return (qm_converge){.limits = {limit_ms, 1000 * QM_S}};
}

static qm_converge_sample
sample(uint64_t iteration, uint64_t remaining_mib)
{
    return (qm_converge_sample){.now = QM_S,
                                .total = 1000 * MIB,
                                .remaining = remaining_mib * MIB,
                                .rate = 100 * MIB,
                                .iteration = iteration,
                                .room = 4096 * MIB};
}

static void
test_begins_with_a_short_pause(void **state)
{
    qm_converge c = fresh(300);
    qm_converge_sample s = sample(1, 1000);
    const char *why;

    assert_int_equal(qm__converge(&c, &s, &why), QM_CONVERGE_ALLOW);
    assert_int_equal(c.downtime_ms, 20);
    assert_int_equal(qm__converge(&c, &s, &why), QM_CONVERGE_WAIT);
    c = fresh(5);
    assert_int_equal(qm__converge(&c, &s, &why), QM_CONVERGE_ALLOW);
    assert_int_equal(c.downtime_ms, 5);
}

static void
test_converging_is_left_alone(void **state)
{
    qm_converge c = fresh(300);
    const char *why;
    uint64_t left = 1000;

    for (uint64_t i = 1; i < 10; i++, left /= 2) {
        qm_converge_sample s = sample(i, left);

        assert_int_equal(qm__converge(&c, &s, &why),
                         i == 1 ? QM_CONVERGE_ALLOW : QM_CONVERGE_WAIT);
    }
    assert_int_equal(c.downtime_ms, 20);
}

/* 20, 40, 80, 160, 300; then three passes in vain. */
static void
test_never_converging_is_suspended(void **state)
{
    static const unsigned steps[] = {20, 40, 80, 160, 300};
    qm_converge c = fresh(300);
    const char *why;
    unsigned raised = 0, pass = 0;
    qm_converge_verdict v;

    do {
        qm_converge_sample s = sample(++pass, 500);

        v = qm__converge(&c, &s, &why);
        if (v == QM_CONVERGE_ALLOW) {
            assert_true(raised < G_N_ELEMENTS(steps));
            assert_int_equal(c.downtime_ms, steps[raised++]);
        }
        assert_true(pass < 50);
    } while (v != QM_CONVERGE_SUSPEND);
    assert_int_equal(raised, G_N_ELEMENTS(steps));
    assert_non_null(strstr(why, "downtime_limit"));
}

static void
test_vault_full(void **state)
{
    qm_converge c = fresh(300);
    qm_converge_sample s = sample(1, 200);
    const char *why;

    (void) qm__converge(&c, &s, &why);
    s = sample(2, 10);
    s.room = 1040 * MIB;
    assert_int_equal(qm__converge(&c, &s, &why), QM_CONVERGE_WAIT);
    s = sample(2, 10); /* all may have been written again */
    s.room = 1020 * MIB;
    assert_int_equal(qm__converge(&c, &s, &why), QM_CONVERGE_SUSPEND);
    assert_non_null(strstr(why, "vault"));
    /* In the first pass everything is still to be written once. */
    c = fresh(300);
    s = sample(1, 1000);
    s.room = 1001 * MIB;
    (void) qm__converge(&c, &s, &why);
    assert_int_equal(qm__converge(&c, &s, &why), QM_CONVERGE_WAIT);
}

static void
test_time_is_over(void **state)
{
    qm_converge c = fresh(300);
    qm_converge_sample s = sample(1, 1000);
    const char *why;

    s.now = 1000 * QM_S;
    assert_int_equal(qm__converge(&c, &s, &why), QM_CONVERGE_SUSPEND);
    assert_non_null(strstr(why, "time"));
}

/* Not before the first pass is over, then at once. */
static void
test_copied_once(void **state)
{
    qm_converge c = fresh(300);
    qm_converge_sample s = sample(1, 1);
    const char *why;

    c.limits.once = true;
    assert_int_equal(qm__converge(&c, &s, &why), QM_CONVERGE_ALLOW);
    assert_int_equal(qm__converge(&c, &s, &why), QM_CONVERGE_WAIT);
    s = sample(2, 1000);
    assert_int_equal(qm__converge(&c, &s, &why), QM_CONVERGE_SUSPEND);
    assert_non_null(strstr(why, "once"));
}

/* Of what goes out in a second; but not where the guest writes much of it. */
static void
test_slow_speed(void **state)
{
    assert_int_equal(qm__converge_slow(800 * MIB, 160 * MIB, 0), 200 * MIB);
    assert_int_equal(qm__converge_slow(800 * MIB, 161 * MIB, 0), 0);
    assert_int_equal(qm__converge_slow(800 * MIB, MIB, 50 * MIB), 200 * MIB);
    assert_int_equal(qm__converge_slow(800 * MIB, MIB, 51 * MIB), 0);
    assert_int_equal(qm__converge_slow(MIB, 1, 0), 16 * MIB);
}

/* The first pass does not tell how much the guest writes; and it shall end. */
static void
test_slow_until_it_does_not_help(void **state)
{
    static const struct {
        uint64_t remaining, dirty_rate, iteration; /* MiB, MiB/s */
        bool hurry, for_good;
    } cases[] = {{12, 6, 2, false, false},
                 {13, 0, 2, true, false},
                 {3, 7, 2, true, false},
                 {1, 1, 7, true, true}};
    const char *why;

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        qm_converge c = fresh(300);
        qm_converge_sample s = sample(1, 6);

        assert_int_equal(qm__converge(&c, &s, &why), QM_CONVERGE_ALLOW);
        assert_int_equal(qm__converge(&c, &s, &why), QM_CONVERGE_WAIT);
        c.speed = 12 * MIB;
        s = sample(cases[i].iteration, cases[i].remaining);
        s.dirty_rate = cases[i].dirty_rate * MIB;
        assert_int_equal(qm__converge(&c, &s, &why),
                         cases[i].hurry ? QM_CONVERGE_HURRY : QM_CONVERGE_WAIT);
        assert_int_equal(c.speed, cases[i].hurry ? 0 : 12 * MIB);
        assert_int_equal(c.never_slow, cases[i].for_good);
        assert_int_equal(why != NULL, cases[i].hurry);
    }
}

/* 20 ms at a quarter of the speed are 5. */
static void
test_slow_allows_more(void **state)
{
    static const unsigned stretch[] = {1, 2, 4, 4, 4};
    qm_converge c = fresh(300);
    qm_converge_sample s = sample(1, 6);
    const char *why;

    assert_int_equal(qm__converge(&c, &s, &why), QM_CONVERGE_ALLOW);
    assert_int_equal(qm__converge(&c, &s, &why), QM_CONVERGE_WAIT);
    c.speed = 12 * MIB;
    for (size_t i = 0; i < G_N_ELEMENTS(stretch); i++) {
        s = sample(2 + i, 1);
        assert_int_equal(qm__converge(&c, &s, &why), i == 1 || i == 2
                                                         ? QM_CONVERGE_ALLOW
                                                         : QM_CONVERGE_WAIT);
        assert_int_equal(c.stretch, stretch[i]);
        assert_int_equal(c.downtime_ms, 20);
        assert_int_equal(qm__converge(&c, &s, &why), QM_CONVERGE_WAIT);
    }
    s = sample(2 + G_N_ELEMENTS(stretch), 1);
    assert_int_equal(qm__converge(&c, &s, &why), QM_CONVERGE_HURRY);
    assert_int_equal(c.stretch, 1);
}

static void
test_expected_pause(void **state)
{
    qm_converge_sample s = sample(2, 50);

    assert_int_equal(qm__converge_pause(&s), 500);
    s.rate = 0;
    assert_int_equal(qm__converge_pause(&s), UINT32_MAX);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_begins_with_a_short_pause),
        cmocka_unit_test(test_converging_is_left_alone),
        cmocka_unit_test(test_never_converging_is_suspended),
        cmocka_unit_test(test_vault_full),
        cmocka_unit_test(test_time_is_over),
        cmocka_unit_test(test_copied_once),
        cmocka_unit_test(test_slow_speed),
        cmocka_unit_test(test_slow_until_it_does_not_help),
        cmocka_unit_test(test_slow_allows_more),
        cmocka_unit_test(test_expected_pause),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
