/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The record's disk format: what is written is read back, nothing damaged is
 * believed, and the format does not change unnoticed.
 */
#include "config.h"
#include <string.h>
#include "unit.h"
#include <quickmig/record.h>
#include "codec.h"
#include "crc32c.h"

static const uint8_t vm[QM_UUID_LEN] = {0x10, 0x11, 0x12, 0x13, 0x14, 0x15,
                                        0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b,
                                        0x1c, 0x1d, 0x1e, 0x1f};
static const uint8_t other_vm[QM_UUID_LEN] = {0x20};

static const qm_record sample = {
    .state = QM_STATE_SAVING,
    .sequence = 0x0102030405060708,
    .generation = 0x1112131415161718,
    .image_id = 0x2122232425262728,
    .image_length = 0x3132333435363738,
    .owner = {.id = 0x41424344, .name = "alpha", .boot = "AAAABBBBCCCCDDD"},
    .target = {.id = 0x51525354, .name = "beta", .boot = "EEEEFFFFGGGGHHH"},
    .failed_restores = 0x61626364,
    .time_us = 0x7172737475767778,
    .fenced_us = 0x6162636465666768,
    .key = 0x8182838485868788,
    .cause = "because",
};

/* The sample as it is on disk; what is not listed is zero.  Values are part of
 * the disk format: a new format needs a new version. */
static const struct {
    size_t offset;
    const char *bytes;
    size_t length;
} golden[] = {
#define BYTES(offset, text)                                                    \
    {                                                                          \
        offset, text, sizeof text - 1                                          \
    }
    BYTES(0, "QMIGRECD"),
    BYTES(8, "\x01\x00\x00\x00"),
    BYTES(12, "\x00\x10\x00\x00"),
    BYTES(16, "\x10\x11\x12\x13\x14\x15\x16\x17"
              "\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f"),
    BYTES(32, "\x08\x07\x06\x05\x04\x03\x02\x01"),
    BYTES(40, "\x18\x17\x16\x15\x14\x13\x12\x11"),
    BYTES(48, "\x28\x27\x26\x25\x24\x23\x22\x21"),
    BYTES(56, "\x38\x37\x36\x35\x34\x33\x32\x31"),
    BYTES(64, "\x02\x00\x00\x00"),
    BYTES(68, "\x64\x63\x62\x61"),
    BYTES(72, "\x78\x77\x76\x75\x74\x73\x72\x71"),
    BYTES(80, "\x88\x87\x86\x85\x84\x83\x82\x81"),
    BYTES(88, "\x44\x43\x42\x41"),
    BYTES(96, "AAAABBBBCCCCDDD"),
    BYTES(112, "alpha"),
    BYTES(176, "\x54\x53\x52\x51"),
    BYTES(184, "EEEEFFFFGGGGHHH"),
    BYTES(200, "beta"),
    BYTES(264, "because"),
    BYTES(392, "\x68\x67\x66\x65\x64\x63\x62\x61"),
    BYTES(4092, "\xe7\xf4\xf4\x6a"),
};

static void
format_is_as_ever(void **state)
{
    uint8_t expected[QM_RECORD_SIZE] = {0};
    uint8_t buf[QM_RECORD_SIZE];

    for (size_t i = 0; i < G_N_ELEMENTS(golden); i++)
        memcpy(expected + golden[i].offset, golden[i].bytes, golden[i].length);
    memset(buf, 0xee, sizeof buf);
    qm_record_out(&sample, vm, buf);
    assert_memory_equal(buf, expected, sizeof buf);
}

static void
check_round_trip(const qm_record *record)
{
    uint8_t buf[QM_RECORD_SIZE];
    qm_record back;

    qm_record_out(record, vm, buf);
    memset(&back, 0xee, sizeof back);
    CHECK_OK(qm_record_in(buf, vm, &back, &err));
    assert_int_equal(back.state, record->state);
    assert_true(back.sequence == record->sequence);
    assert_true(back.generation == record->generation);
    assert_true(back.image_id == record->image_id);
    assert_true(back.image_length == record->image_length);
    assert_memory_equal(&back.owner, &record->owner, sizeof back.owner);
    assert_memory_equal(&back.target, &record->target, sizeof back.target);
    assert_int_equal(back.failed_restores, record->failed_restores);
    assert_true(back.time_us == record->time_us);
    assert_true(back.fenced_us == record->fenced_us);
    assert_true(back.key == record->key);
    assert_memory_equal(back.cause, record->cause, sizeof back.cause);
}

static void
extreme_values_come_back(void **state)
{
    qm_record low = {.time_us = INT64_MIN};
    qm_record high = {
        .state = QM_STATE_RESTORING,
        .sequence = UINT64_MAX,
        .generation = UINT64_MAX,
        .image_id = UINT64_MAX,
        .image_length = UINT64_MAX,
        .owner.id = UINT32_MAX,
        .target.id = UINT32_MAX,
        .failed_restores = UINT32_MAX,
        .time_us = INT64_MAX,
        .fenced_us = INT64_MIN,
        .key = UINT64_MAX,
    };

    memset(high.owner.name, 0xff, QM_NAME_MAX - 1);
    memset(high.owner.boot, 0xff, QM_UUID_LEN);
    memset(high.target.name, 0xff, QM_NAME_MAX - 1);
    memset(high.target.boot, 0xff, QM_UUID_LEN);
    memset(high.cause, 0xff, QM_CAUSE_MAX - 1);
    check_round_trip(&low);
    check_round_trip(&high);
    check_round_trip(&sample);
    for (int s = 0; s < QM_STATE_COUNT; s++) {
        qm_record r = sample;

        r.state = s;
        check_round_trip(&r);
    }
}

/* Names that fill their field without an end are cut, not run over. */
static void
long_texts_are_cut(void **state)
{
    qm_record r = sample, back;
    uint8_t buf[QM_RECORD_SIZE];

    memset(r.owner.name, 'o', QM_NAME_MAX);
    memset(r.target.name, 't', QM_NAME_MAX);
    memset(r.cause, 'c', QM_CAUSE_MAX);
    qm_record_out(&r, vm, buf);
    CHECK_OK(qm_record_in(buf, vm, &back, &err));
    assert_int_equal(strlen(back.owner.name), QM_NAME_MAX - 1);
    assert_int_equal(strlen(back.target.name), QM_NAME_MAX - 1);
    assert_int_equal(strlen(back.cause), QM_CAUSE_MAX - 1);
}

/* What stands behind the end of a text does not get to the disk. */
static void
nothing_leaks_behind_texts(void **state)
{
    qm_record clean = sample, dirty = sample;
    uint8_t a[QM_RECORD_SIZE], b[QM_RECORD_SIZE];

    memset(dirty.owner.name + 6, 'x', QM_NAME_MAX - 6);
    memset(dirty.cause + 8, 'x', QM_CAUSE_MAX - 8);
    qm_record_out(&clean, vm, a);
    qm_record_out(&dirty, vm, b);
    assert_memory_equal(a, b, sizeof a);
}

static void
every_flipped_bit_is_noticed(void **state)
{
    uint8_t buf[QM_RECORD_SIZE];
    qm_record untouched, back;

    memset(&untouched, 0xee, sizeof untouched);
    back = untouched;
    qm_record_out(&sample, vm, buf);
    for (size_t bit = 0; bit < QM_RECORD_SIZE * 8; bit++) {
        buf[bit / 8] ^= (uint8_t) (1u << bit % 8);
        CHECK_FAILS(qm_record_in(buf, vm, &back, &err), QM_ERROR_CORRUPT);
        buf[bit / 8] ^= (uint8_t) (1u << bit % 8);
    }
    assert_memory_equal(&back, &untouched, sizeof back);
    CHECK_OK(qm_record_in(buf, vm, &back, &err));
}

static void
other_contents_are_no_record(void **state)
{
    uint8_t buf[QM_RECORD_SIZE] = {0};
    qm_record back;

    CHECK_FAILS(qm_record_in(buf, vm, &back, &err), QM_ERROR_CORRUPT);
    memset(buf, 0xff, sizeof buf);
    CHECK_FAILS(qm_record_in(buf, vm, &back, &err), QM_ERROR_CORRUPT);
}

/* Changes a field and makes the checksum right again. */
static void
patch(uint8_t *buf, size_t offset, uint32_t value)
{
    qm_record_out(&sample, vm, buf);
    qm__put32(buf + offset, value);
    qm__put32(buf + QM_RECORD_SIZE - 4, qm__crc32c(0, buf, QM_RECORD_SIZE - 4));
}

static void
another_vm_is_told(void **state)
{
    uint8_t buf[QM_RECORD_SIZE];
    qm_record back;

    qm_record_out(&sample, other_vm, buf);
    CHECK_FAILS(qm_record_in(buf, vm, &back, &err), QM_ERROR_MISMATCH);
    CHECK_OK(qm_record_in(buf, other_vm, &back, &err));
}

static void
another_version_is_told(void **state)
{
    uint8_t buf[QM_RECORD_SIZE];
    qm_record back;

    patch(buf, 8, 2);
    CHECK_FAILS(qm_record_in(buf, vm, &back, &err), QM_ERROR_FORMAT);
    patch(buf, 8, UINT32_MAX);
    CHECK_FAILS(qm_record_in(buf, vm, &back, &err), QM_ERROR_FORMAT);
    patch(buf, 8, 0);
    CHECK_FAILS(qm_record_in(buf, vm, &back, &err), QM_ERROR_FORMAT);
}

/* Values that no writer of this version writes, with a right checksum. */
static void
impossible_values_are_not_believed(void **state)
{
    static const struct {
        size_t offset;
        uint32_t value;
    } patches[] = {
        {0, 0x12345678},          /* magic */
        {12, 0},                  /* length */
        {12, QM_RECORD_SIZE + 1}, /* length */
        {64, QM_STATE_COUNT},     /* state */
        {64, UINT32_MAX},         /* state */
        {112 + 60, 0x78787878},   /* owner's name does not end */
        {200 + 60, 0x78787878},   /* target's name does not end */
        {264 + 124, 0x78787878},  /* cause does not end */
        {88, 0},                  /* SAVING, owned by nobody */
    };
    uint8_t buf[QM_RECORD_SIZE];
    qm_record back;

    for (size_t i = 0; i < G_N_ELEMENTS(patches); i++) {
        patch(buf, patches[i].offset, patches[i].value);
        CHECK_FAILS(qm_record_in(buf, vm, &back, &err), QM_ERROR_CORRUPT);
    }
}

static void
owner_is_needed_where_there_is_one(void **state)
{
    for (int s = 0; s < QM_STATE_COUNT; s++) {
        qm_record r = {.state = s}, back;
        uint8_t buf[QM_RECORD_SIZE];

        qm_record_out(&r, vm, buf);
        if (s == QM_STATE_OFF || s == QM_STATE_SAVED)
            CHECK_OK(qm_record_in(buf, vm, &back, &err));
        else
            CHECK_FAILS(qm_record_in(buf, vm, &back, &err), QM_ERROR_CORRUPT);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(format_is_as_ever),
        cmocka_unit_test(extreme_values_come_back),
        cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(nothing_leaks_behind_texts),
        cmocka_unit_test(every_flipped_bit_is_noticed),
        cmocka_unit_test(other_contents_are_no_record),
        cmocka_unit_test(another_vm_is_told),
        cmocka_unit_test(another_version_is_told),
        cmocka_unit_test(impossible_values_are_not_believed),
        cmocka_unit_test(owner_is_needed_where_there_is_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
