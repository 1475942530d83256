/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * A save and the target that follows it: one whose QEMU has not started, one
 * that is slow, a guest that is mostly zeros, the last of a pass.
 */
#include "config.h"
#include "unit.h"
#include "pace.h"
#include "timeouts.h"

#define MIB (UINT64_C(1) << 20)

/* All of @written has landed. */
static qm_pace_verdict
ask(qm_pace *p, int64_t now, uint64_t written, uint64_t followed,
    bool *ret_mark)
{
    qm_pace_sample s = {.now = now,
                        .written = written,
                        .landed = written,
                        .followed = followed};

    return qm__pace(p, &s, ret_mark);
}

static void
test_a_cold_target_is_awaited(void **state)
{
    qm_pace p = {.began = QM_S};
    bool mark;

    qm__pace_look(&p, 96 * MIB, 0, QM_S);
    assert_int_equal(ask(&p, QM_S, 5 * MIB, 0, &mark), QM_PACE_GO);
    assert_false(mark);
    assert_int_equal(ask(&p, QM_S, 6 * MIB, 0, &mark), QM_PACE_COLD);
    assert_true(mark);
    assert_int_equal(p.mark, 6 * MIB);
    assert_int_equal(ask(&p, 2 * QM_S, 6 * MIB, 3 * MIB, &mark), QM_PACE_COLD);
    assert_false(mark);
    assert_false(qm__pace_has_come(&p, 3 * MIB));
    assert_int_equal(ask(&p, 3 * QM_S, 6 * MIB, 6 * MIB, &mark), QM_PACE_GO);
    assert_true(qm__pace_has_come(&p, 6 * MIB));
    /* It says nothing new: once warm, always warm. */
    assert_int_equal(ask(&p, 3 * QM_S, 7 * MIB, 6 * MIB, &mark), QM_PACE_GO);
}

static void
test_not_for_ever(void **state)
{
    qm_pace p = {.began = QM_S};
    bool mark;

    qm__pace_look(&p, 96 * MIB, 0, QM_S);
    assert_int_equal(ask(&p, 10 * QM_S, 7 * MIB, 0, &mark), QM_PACE_COLD);
    assert_int_equal(ask(&p, 11 * QM_S, 7 * MIB, 0, &mark), QM_PACE_GO);
    assert_false(qm__pace_is_cold(&p, 0, 11 * QM_S));
}

/* Nor while much is left, if that is known. */
static void
test_a_large_guest_goes_on(void **state)
{
    qm_pace p = {.began = QM_S};
    bool mark;

    qm__pace_look(&p, 1000 * MIB, 8 * MIB, QM_S);
    assert_int_equal(ask(&p, QM_S + 40 * QM_MS, 10 * MIB, 0, &mark),
                     QM_PACE_GO);
    assert_true(mark);
    assert_int_equal(ask(&p, QM_S + 40 * QM_MS, 20 * MIB, 0, &mark),
                     QM_PACE_GO);
    assert_false(mark);
    /* What was so long ago may be zeros that are over. */
    assert_int_equal(ask(&p, QM_S + 50 * QM_MS, 20 * MIB, 0, &mark),
                     QM_PACE_COLD);
    qm__pace_look(&p, 1000 * MIB, 20 * MIB, 2 * QM_S);
    assert_int_equal(ask(&p, 2 * QM_S, 20 * MIB, 0, &mark), QM_PACE_GO);
    qm__pace_look(&p, 128 * MIB, 20 * MIB, 2 * QM_S);
    assert_int_equal(ask(&p, 2 * QM_S, 20 * MIB, 0, &mark), QM_PACE_COLD);
}

/* Goes over a pass of @total without zeros; the target takes one byte of
 * @slowness.  What it says it says at marks.  Returns the largest distance with
 * no more than @near left. */
static uint64_t
follow(uint64_t total, unsigned slowness, uint64_t near, unsigned *ret_marks)
{
    qm_pace p = {.warm = true};
    uint64_t written = 0, taken = 0, said = 0, most = 0;
    int64_t now = QM_S;
    unsigned stuck = 0;

    *ret_marks = 0;
    qm__pace_look(&p, total, 0, now);
    while (written < total) {
        bool mark;
        qm_pace_verdict verdict = ask(&p, now, written, said, &mark);

        *ret_marks += mark;
        if (p.mark != 0 && taken >= p.mark)
            said = MAX(said, p.mark);
        if (verdict == QM_PACE_GO)
            written += MIB;
        taken = MIN(written, taken + MIB / slowness);
        if (total - written <= near)
            most = MAX(most, written - taken);
        stuck = verdict == QM_PACE_GO ? 0 : stuck + 1;
        assert_true(stuck < 300 * slowness);
        now += QM_MS;
    }
    return most;
}

static void
test_the_distance_is_bounded(void **state)
{
    unsigned marks;

    assert_true(follow(1000 * MIB, 3, 1000 * MIB, &marks) > 64 * MIB);
    assert_in_range(marks, 20, 40);
    assert_in_range(follow(1000 * MIB, 3, 128 * MIB, &marks), MIB, 33 * MIB);
    assert_in_range(follow(1000 * MIB, 3, 32 * MIB, &marks), MIB, 9 * MIB);
    /* The last mark is at 8 MiB, and it was awaited there. */
    assert_in_range(follow(1000 * MIB, 3, 7 * MIB, &marks), MIB, 8 * MIB);
    /* One that keeps up holds nobody up. */
    assert_int_equal(follow(1000 * MIB, 1, 1000 * MIB, &marks), 0);
    assert_in_range(follow(4 * MIB, 3, 4 * MIB, &marks), 2 * MIB, 3 * MIB);
    assert_int_equal(marks, 0);
}

/* QEMU was over what is zero before anybody looked. */
static void
test_zeros(void **state)
{
    qm_pace p = {.warm = true};
    bool mark;

    qm__pace_look(&p, 1000 * MIB, 0, QM_S);
    assert_int_equal(ask(&p, QM_S, 100 * MIB, 50 * MIB, &mark), QM_PACE_GO);
    qm__pace_look(&p, 500 * MIB, 100 * MIB, QM_S);
    assert_int_equal(ask(&p, QM_S, 100 * MIB, 50 * MIB, &mark), QM_PACE_GO);
    assert_true(mark);
    qm__pace_look(&p, 20 * MIB, 101 * MIB, QM_S);
    assert_int_equal(ask(&p, QM_S, 101 * MIB, 50 * MIB, &mark), QM_PACE_FAR);
    assert_int_equal(ask(&p, QM_S, 101 * MIB, 100 * MIB, &mark), QM_PACE_GO);
    assert_true(mark);
}

static void
test_nothing_is_on_its_way_at_the_last(void **state)
{
    qm_pace p = {.warm = true};
    qm_pace_sample s = {.now = QM_S, .written = 90 * MIB, .landed = 88 * MIB};
    bool mark;

    qm__pace_look(&p, 10 * MIB, 80 * MIB, QM_S);
    p.next_mark = 8 * MIB;
    assert_int_equal(qm__pace(&p, &s, &mark), QM_PACE_FAR);
    assert_false(mark);
    s.landed = s.written;
    assert_int_equal(qm__pace(&p, &s, &mark), QM_PACE_FAR);
    assert_true(mark);
    s.followed = 90 * MIB;
    assert_int_equal(qm__pace(&p, &s, &mark), QM_PACE_GO);
    assert_int_equal(p.next_mark, 0);
    /* A QEMU that copies slowly is not held up: the target keeps up. */
    qm__pace_look(&p, 9 * MIB, 91 * MIB, QM_S);
    s = (qm_pace_sample){QM_S, 93 * MIB, 93 * MIB, 90 * MIB, true};
    p.next_mark = 8 * MIB;
    assert_int_equal(qm__pace(&p, &s, &mark), QM_PACE_GO);
    assert_true(mark);
}

static void
test_a_new_pass_has_marks_of_its_own(void **state)
{
    qm_pace p = {.warm = true};

    qm__pace_look(&p, 100 * MIB, 0, QM_S);
    assert_int_equal(p.next_mark, 100 * MIB - 100 * MIB / 8);
    qm__pace_look(&p, 40 * MIB, 60 * MIB, QM_S);
    assert_int_equal(qm__pace_left(&p, 65 * MIB), 35 * MIB);
    assert_int_equal(qm__pace_left(&p, 165 * MIB), 0);
    qm__pace_look(&p, 60 * MIB, 100 * MIB, QM_S);
    assert_int_equal(p.next_mark, 60 * MIB - 60 * MIB / 8);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_cold_target_is_awaited),
        cmocka_unit_test(test_not_for_ever),
        cmocka_unit_test(test_a_large_guest_goes_on),
        cmocka_unit_test(test_the_distance_is_bounded),
        cmocka_unit_test(test_zeros),
        cmocka_unit_test(test_nothing_is_on_its_way_at_the_last),
        cmocka_unit_test(test_a_new_pass_has_marks_of_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
