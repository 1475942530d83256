/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The gate's state table: total, and true to what it is there for.
 */
#include "config.h"
#include "unit.h"
#include "states.h"

static void
table_is_total(void **state)
{
    for (int s = 0; s < QM_GATE_COUNT; s++)
        for (int e = 0; e < GATE_EVENT_COUNT; e++) {
            gate_step step = gate_step_for(s, e);

            if (step.verdict == GATE_GO || step.verdict == GATE_LATER)
                assert_true((unsigned) step.next < QM_GATE_COUNT);
            else
                assert_int_equal(step.next, QM_GATE_COUNT);
            assert_true((unsigned) step.verdict <= GATE_BUG);
        }
    assert_int_equal(gate_step_for(QM_GATE_COUNT, 0).verdict, GATE_BUG);
    assert_int_equal(gate_step_for(0, GATE_EVENT_COUNT).verdict, GATE_BUG);
}

static void
fenced_is_for_good(void **state)
{
    for (int e = 0; e < GATE_EVENT_COUNT; e++) {
        gate_verdict v = gate_step_for(QM_GATE_FENCED, e).verdict;

        assert_true(v == GATE_STAY || v == GATE_REFUSE);
    }
    for (int c = NBD_CMD_READ; c <= NBD_CMD_FLUSH; c++)
        assert_int_equal(gate_policy_for(QM_GATE_FENCED, c), GATE_NEVER);
}

/* Every state that believes to own the LUN can be fenced and can lose it. */
static void
owners_can_lose(void **state)
{
    for (int s = 0; s < QM_GATE_COUNT; s++) {
        gate_step fence = gate_step_for(s, GATE_EVENT_FENCE);
        gate_step lost = gate_step_for(s, GATE_EVENT_LOST);

        if (!gate_state_owns(s))
            continue;
        assert_int_equal(fence.verdict, GATE_GO);
        assert_int_equal(fence.next, QM_GATE_FENCED);
        assert_int_equal(lost.verdict, GATE_GO);
        assert_int_equal(lost.next, QM_GATE_RECONNECTING);
    }
}

static void
only_open_writes(void **state)
{
    for (int s = 0; s < QM_GATE_COUNT; s++)
        assert_int_equal(gate_policy_for(s, NBD_CMD_WRITE) == GATE_PASS,
                         s == QM_GATE_OPEN);
}

/* Without the session nothing passes; a flush is never claimed to be done
 * where something could have been written and not flushed. */
static void
policies_are_safe(void **state)
{
    for (int s = 0; s < QM_GATE_COUNT; s++) {
        gate_policy read = gate_policy_for(s, NBD_CMD_READ);

        if (s == QM_GATE_ACQUIRING || s == QM_GATE_RECONNECTING)
            assert_int_equal(read, GATE_WAIT);
        assert_true(read != GATE_DONE);
        assert_true(gate_policy_for(s, NBD_CMD_WRITE) != GATE_DONE);
        if (gate_policy_for(s, NBD_CMD_FLUSH) == GATE_DONE)
            assert_true(s == QM_GATE_STANDBY || s == QM_GATE_DRAINED);
        assert_int_equal(gate_policy_for(s, NBD_CMD_DISC), GATE_NEVER);
    }
}

/* OPEN is reached by an order, or by coming back to it; never by itself. */
static void
open_needs_an_order(void **state)
{
    for (int s = 0; s < QM_GATE_COUNT; s++)
        for (int e = 0; e < GATE_EVENT_COUNT; e++) {
            gate_step step = gate_step_for(s, e);

            if (step.next == QM_GATE_OPEN)
                assert_int_equal(e, GATE_EVENT_OPEN);
            if (step.verdict == GATE_AFTER)
                assert_int_equal(e, GATE_EVENT_ACQUIRED);
        }
}

static void
names(void **state)
{
    for (int s = 0; s < QM_GATE_COUNT; s++)
        assert_string_not_equal(qm__gate_state_name(s), "?");
    for (int e = 0; e < GATE_EVENT_COUNT; e++)
        assert_string_not_equal(gate_event_name(e), "?");
    assert_string_equal(qm__gate_state_name(QM_GATE_COUNT), "?");
    assert_string_equal(gate_event_name(GATE_EVENT_COUNT), "?");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_is_total),
        cmocka_unit_test(fenced_is_for_good),
        cmocka_unit_test(owners_can_lose),
        cmocka_unit_test(only_open_writes),
        cmocka_unit_test(policies_are_safe),
        cmocka_unit_test(open_needs_an_order),
        cmocka_unit_test(names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
