/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/* Which of the two copies of the record counts. */
#include "config.h"
#include <string.h>
#include "unit.h"
#include <quickmig/record.h>
#include "codec.h"
#include "crc32c.h"

static const uint8_t vm[QM_UUID_LEN] = {1};
static const uint8_t other_vm[QM_UUID_LEN] = {2};

typedef struct {
    uint8_t copy[2][QM_RECORD_SIZE];
} copies;

static void
make(copies *c, uint64_t sequence0, uint64_t sequence1)
{
    qm_record r0 = {.sequence = sequence0, .generation = 1000};
    qm_record r1 = {.sequence = sequence1, .generation = 1001};

    qm_record_out(&r0, vm, c->copy[0]);
    qm_record_out(&r1, vm, c->copy[1]);
}

static void
check_picked(const copies *c, int expected)
{
    qm_record r;
    int copy = -1;

    CHECK_OK(qm_record_pick(c->copy[0], c->copy[1], vm, &r, &copy, &err));
    assert_int_equal(copy, expected);
    assert_int_equal(r.generation, 1000 + expected);
    CHECK_OK(qm_record_pick(c->copy[0], c->copy[1], vm, &r, NULL, &err));
    assert_int_equal(r.generation, 1000 + expected);
}

static void
check_refused(const copies *c, int code)
{
    qm_record r = {.generation = 4711};
    int copy = 77;

    CHECK_FAILS(qm_record_pick(c->copy[0], c->copy[1], vm, &r, &copy, &err),
                code);
    assert_int_equal(r.generation, 4711);
    assert_int_equal(copy, 77);
}

static void
higher_sequence_counts(void **state)
{
    copies c;

    make(&c, 7, 8);
    check_picked(&c, 1);
    make(&c, 8, 7);
    check_picked(&c, 0);
    make(&c, 8, 8);
    check_picked(&c, 0);
    make(&c, 0, UINT64_MAX);
    check_picked(&c, 1);
    make(&c, UINT64_MAX, UINT64_MAX - 1);
    check_picked(&c, 0);
}

/* A write that was torn at any byte costs only the copy being written. */
static void
torn_copy_does_not_count(void **state)
{
    for (int torn = 0; torn < 2; torn++)
        for (size_t at = 0; at < QM_RECORD_SIZE; at += 4) {
            copies c, old;

            make(&old, torn == 0 ? 6 : 7, torn == 0 ? 7 : 6);
            make(&c, torn == 0 ? 8 : 7, torn == 0 ? 7 : 8);
            memcpy(c.copy[torn] + at, old.copy[torn] + at, QM_RECORD_SIZE - at);
            if (memcmp(c.copy[torn], old.copy[torn], QM_RECORD_SIZE) == 0)
                continue; /* nothing of the new one is there yet */
            check_picked(&c, 1 - torn);
        }
}

static void
never_written_copy_does_not_count(void **state)
{
    copies c;

    make(&c, 1, 1);
    memset(c.copy[0], 0, QM_RECORD_SIZE);
    check_picked(&c, 1);
    make(&c, 1, 1);
    memset(c.copy[1], 0, QM_RECORD_SIZE);
    check_picked(&c, 0);
}

static void
both_damaged_is_an_error(void **state)
{
    copies c;

    make(&c, 7, 8);
    c.copy[0][100] ^= 1;
    c.copy[1][200] ^= 1;
    check_refused(&c, QM_ERROR_CORRUPT);
    memset(&c, 0, sizeof c);
    check_refused(&c, QM_ERROR_CORRUPT);
}

/* A copy of another VM is no torn write: something is wrong. */
static void
copy_of_another_vm_is_an_error(void **state)
{
    qm_record r = {.sequence = 1};

    for (int which = 0; which < 2; which++) {
        copies c;

        make(&c, 7, 8);
        qm_record_out(&r, other_vm, c.copy[which]);
        check_refused(&c, QM_ERROR_MISMATCH);
        c.copy[1 - which][100] ^= 1;
        check_refused(&c, QM_ERROR_MISMATCH);
    }
}

static void
copy_of_a_newer_version_is_an_error(void **state)
{
    for (int which = 0; which < 2; which++) {
        copies c;

        make(&c, 7, 8);
        qm__put32(c.copy[which] + 8, 2);
        qm__put32(c.copy[which] + QM_RECORD_SIZE - 4,
                  qm__crc32c(0, c.copy[which], QM_RECORD_SIZE - 4));
        check_refused(&c, QM_ERROR_FORMAT);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(higher_sequence_counts),
        cmocka_unit_test(torn_copy_does_not_count),
        cmocka_unit_test(never_written_copy_does_not_count),
        cmocka_unit_test(both_damaged_is_an_error),
        cmocka_unit_test(copy_of_another_vm_is_an_error),
        cmocka_unit_test(copy_of_a_newer_version_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
