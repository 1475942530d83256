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
        cmocka_unit_test(boot_unknown_in_the_record_proves_nothing),
        cmocka_unit_test(generation_zero_is_never_released),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
