/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The interlock against double start: every row of it, and its edges.
 */
#include "config.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include "cluster-internal.h"
#include "timeouts.h"

#define T (INT64_C(1800000000) * QM_S) /* the record's time */
static const struct {
    const char *what;
    qm_seen seen;
    qm_gone expected;
} rows[] = {
    /* Nothing known. */
    {"alive member", {.member = true}, QM_GONE_NO},
    {"lost, nothing else known", {.member = false}, QM_GONE_NO},
    {"lost, fencing under way", {.fencing = true}, QM_GONE_NO},

    /* Fenced, no member. */
    {"lost, fenced later", {.fenced_us = T + 60 * QM_S}, QM_GONE_FENCED},
    {"lost, fenced 1 s later", {.fenced_us = T + QM_S}, QM_GONE_FENCED},
    {"lost, fenced, clocks 4 s apart",
     {.fenced_us = T - 4 * QM_S},
     QM_GONE_FENCED},
    {"lost, fenced long before", {.fenced_us = T - 60 * QM_S}, QM_GONE_NO},
    {"lost, fenced 5 s before", {.fenced_us = T - 5 * QM_S}, QM_GONE_NO},
    {"lost, fenced again under way, once before",
     {.fenced_us = T - 600 * QM_S, .fencing = true},
     QM_GONE_NO},

    /* Fenced, a member (not dropped yet, or back). */
    {"member, fenced a minute later",
     {.member = true, .fenced_us = T + 60 * QM_S},
     QM_GONE_FENCED},
    {"member, fenced within the skew",
     {.member = true, .fenced_us = T + 5 * QM_S},
     QM_GONE_NO},
    {"member, fenced a minute later, it says, but it is in the same boot",
     {.member = true,
      .fenced_us = T + 60 * QM_S,
      .boot_known = true,
      .boot = {1},
      .boot_time_us = T - 60 * QM_S},
     QM_GONE_NO},
    {"member, fenced before, came back, wrote",
     {.member = true, .fenced_us = T - 2 * QM_S},
     QM_GONE_NO},

    /* Released. */
    {"lost, released this generation", {.released = 7}, QM_GONE_RELEASED},
    {"member, released this generation",
     {.member = true, .released = 7},
     QM_GONE_RELEASED},
    {"lost, released an older one", {.released = 6}, QM_GONE_NO},
    {"lost, released a newer one", {.released = 8}, QM_GONE_NO},

    /* Booted since. */
    {"member, other boot since",
     {.member = true,
      .boot_known = true,
      .boot = {2},
      .boot_time_us = T + QM_S},
     QM_GONE_REBOOTED},
    {"member, same boot",
     {.member = true,
      .boot_known = true,
      .boot = {1},
      .boot_time_us = T + QM_S},
     QM_GONE_NO},
    {"member, other boot, published before the record (left over)",
     {.member = true,
      .boot_known = true,
      .boot = {2},
      .boot_time_us = T - QM_S},
     QM_GONE_NO},
    {"member, boot not published",
     {.member = true, .boot = {2}, .boot_time_us = T + QM_S},
     QM_GONE_NO},
    {"lost, other boot: nobody left to say so",
     {.boot_known = true, .boot = {2}, .boot_time_us = T + QM_S},
     QM_GONE_NO},
};

/* An hour wrong, either way; the owner was fenced at K, came back and knew it
 * when it wrote the record.  Real times: it wrote at T, this node asks at
 * T + 600. */
#define HOUR (3600 * QM_S)
#define K    (T - 600 * QM_S)
static const struct {
    const char *what;
    int64_t record_us, knew_us, fenced_us, now_us;
    bool member;
    qm_gone expected;
} clocks[] = {
    {"right, fenced", T, K, T + 599 * QM_S, T + 600 * QM_S, false,
     QM_GONE_FENCED},
    {"right, lost, not fenced again", T, K, K, T + 600 * QM_S, false,
     QM_GONE_NO},
    {"owner ahead, fenced", T + HOUR, K, T + 599 * QM_S, T + 600 * QM_S, false,
     QM_GONE_FENCED},
    {"owner ahead, fenced for the first time", T + HOUR, QM_FENCED_NEVER,
     T + 599 * QM_S, T + 600 * QM_S, false, QM_GONE_FENCED},
    {"owner ahead, lost, not fenced again", T + HOUR, K, K, T + 600 * QM_S,
     false, QM_GONE_NO},
    {"owner ahead, never fenced", T + HOUR, QM_FENCED_NEVER, 0, T + 600 * QM_S,
     false, QM_GONE_NO},
    {"owner ahead, fenced, not dropped yet", T + HOUR, K, T + 599 * QM_S,
     T + 600 * QM_S, true, QM_GONE_NO},
    {"owner ahead, an old record that does not say", T + HOUR, 0,
     T + 599 * QM_S, T + 600 * QM_S, false, QM_GONE_NO},
    {"owner behind, fenced", T - HOUR, K, T + 599 * QM_S, T + 600 * QM_S, false,
     QM_GONE_FENCED},
    {"owner behind, lost, not fenced again", T - HOUR, K, K, T + 600 * QM_S,
     false, QM_GONE_NO},
    {"owner behind, a member, fenced before", T - HOUR, K, K, T + 600 * QM_S,
     true, QM_GONE_NO},
    {"this node behind, fenced for the first time", T, QM_FENCED_NEVER,
     T + 599 * QM_S - HOUR, T + 600 * QM_S - HOUR, false, QM_GONE_FENCED},
    {"this node behind, lost, not fenced again", T, K, K - HOUR,
     T + 600 * QM_S - HOUR, false, QM_GONE_NO},
    {"this node ahead, fenced", T, K, T + 599 * QM_S + HOUR,
     T + 600 * QM_S + HOUR, false, QM_GONE_FENCED},
    {"the former fencer ahead, fenced by another", T, K + HOUR, T + 599 * QM_S,
     T + 600 * QM_S, false, QM_GONE_FENCED},
    {"the former fencer behind, not fenced again", T, K - HOUR, K,
     T + 600 * QM_S, false, QM_GONE_NO},
};

static const qm_record record = {.state = QM_STATE_RUNNING,
                                 .generation = 7,
                                 .time_us = T,
                                 .owner = {.id = 1, .name = "n1", .boot = {1}}};

static void
every_row(void **state)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        qm_gone got = qm__gone_decide(&record, &rows[i].seen);

        if (got != rows[i].expected)
            fail_msg("%s: %d instead of %d", rows[i].what, got,
                     rows[i].expected);
    }
}

static void
every_wrong_clock(void **state)
{
    for (size_t i = 0; i < G_N_ELEMENTS(clocks); i++) {
        qm_record told = record;
        qm_seen seen = {.member = clocks[i].member,
                        .fenced_us = clocks[i].fenced_us,
                        .now_us = clocks[i].now_us};
        qm_gone got;

        told.time_us = clocks[i].record_us;
        told.fenced_us = clocks[i].knew_us;
        got = qm__gone_decide(&told, &seen);
        if (got != clocks[i].expected)
            fail_msg("%s: %d instead of %d", clocks[i].what, got,
                     clocks[i].expected);
    }
}

static void
boot_unknown_in_the_record_proves_nothing(void **state)
{
    qm_record old = record;
    const qm_seen seen = {.member = true,
                          .boot_known = true,
                          .boot = {2},
                          .boot_time_us = T + QM_S};

    old.owner.boot[0] = 0;
    assert_int_equal(qm__gone_decide(&old, &seen), QM_GONE_NO);
}

static void
generation_zero_is_never_released(void **state)
{
    qm_record fresh = record;
    const qm_seen seen = {.released = 0};

    fresh.generation = 0;
    assert_int_equal(qm__gone_decide(&fresh, &seen), QM_GONE_NO);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row),
        cmocka_unit_test(every_wrong_clock),
        cmocka_unit_test(boot_unknown_in_the_record_proves_nothing),
        cmocka_unit_test(generation_zero_is_never_released),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
