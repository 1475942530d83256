/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The disk formats of superblock, history and domain XML: not changed
 * unnoticed, and never believed when damaged.
 */
#include "config.h"
#include <string.h>
#include "unit.h"
#include "codec.h"
#include "crc32c.h"
#include "vault-format.h"

typedef struct {
    size_t offset;
    const char *bytes;
    size_t length;
} piece;

#define BYTES(offset, text)                                                    \
    {                                                                          \
        offset, text, sizeof text - 1                                          \
    }

static const qm_vault_info info = {
    .uuid = "ABCDEFGHIJKLMNO",
    .name = "vm1",
    .size = 0x0102030405060708,
};

static const piece superblock_pieces[] = {
    BYTES(0, "QMVAULT1"),
    BYTES(8, "\x01\x00\x00\x00"),
    BYTES(12, "\x00\x10\x00\x00"),
    BYTES(16, "ABCDEFGHIJKLMNO"),
    BYTES(32, "vm1"),
    BYTES(96, "\x08\x07\x06\x05\x04\x03\x02\x01"),
};

static const qm_history entry = {
    .time_us = 0x0102030405060708,
    .sequence = 0x1112131415161718,
    .generation = 0x2122232425262728,
    .from = QM_STATE_SAVING,
    .to = QM_STATE_SAVED,
    .node_id = 0x31323334,
    .node = "alpha",
    .bytes = 0x4142434445464748,
    .duration_us = 0x5152535455565758,
    .pause_us = 0x6162636465666768,
    .cause = "because",
};

static const piece history_pieces[] = {
    BYTES(0, "QMHS"),
    BYTES(4, "\x02\x00"),
    BYTES(6, "\x03\x00"),
    BYTES(8, "\x08\x07\x06\x05\x04\x03\x02\x01"),
    BYTES(16, "\x18\x17\x16\x15\x14\x13\x12\x11"),
    BYTES(24, "\x28\x27\x26\x25\x24\x23\x22\x21"),
    BYTES(32, "\x48\x47\x46\x45\x44\x43\x42\x41"),
    BYTES(40, "\x58\x57\x56\x55\x54\x53\x52\x51"),
    BYTES(48, "\x68\x67\x66\x65\x64\x63\x62\x61"),
    BYTES(56, "\x34\x33\x32\x31"),
    BYTES(64, "alpha"),
    BYTES(128, "because"),
};

static const piece xml_pieces[] = {
    BYTES(0, "QMDOMXML"),
    BYTES(8, "\x01\x00\x00\x00"),
    BYTES(12, "\x09\x00\x00\x00"),
    BYTES(16, "\x08\x07\x06\x05\x04\x03\x02\x01"),
    BYTES(24, "\x83\x92\x06\xe3"), /* CRC32C of "123456789" */
};

static void
seal(uint8_t *buf, size_t size)
{
    qm__put32(buf + size - 4, qm__crc32c(0, buf, size - 4));
}

/* @size: with the checksum in its last four bytes. */
static void
check_golden(const uint8_t *found, const piece *pieces, size_t n, size_t size)
{
    g_autofree uint8_t *expected = g_malloc0(size);

    for (size_t i = 0; i < n; i++)
        memcpy(expected + pieces[i].offset, pieces[i].bytes, pieces[i].length);
    seal(expected, size);
    assert_memory_equal(found, expected, size);
}

/* --- superblock ---------------------------------------------------------- */

static void
superblock_is_as_ever(void **state)
{
    uint8_t buf[QM_SUPERBLOCK_SIZE];
    qm_vault_info back = {0};

    memset(buf, 0xee, sizeof buf);
    qm__superblock_out(&info, buf);
    check_golden(buf, superblock_pieces, G_N_ELEMENTS(superblock_pieces),
                 sizeof buf);
    CHECK_OK(qm__superblock_in(buf, &back, &err));
    assert_memory_equal(back.uuid, info.uuid, QM_UUID_LEN);
    assert_string_equal(back.name, "vm1");
    assert_int_equal(back.format, 1);
    assert_true(back.size == info.size);
}

static void
damaged_superblock_is_noticed(void **state)
{
    uint8_t buf[QM_SUPERBLOCK_SIZE];
    qm_vault_info back;

    qm__superblock_out(&info, buf);
    for (size_t bit = 0; bit < sizeof buf * 8; bit++) {
        buf[bit / 8] ^= (uint8_t) (1u << bit % 8);
        CHECK_FAILS(qm__superblock_in(buf, &back, &err),
                    bit < 64 ? QM_ERROR_UNFORMATTED : QM_ERROR_CORRUPT);
        buf[bit / 8] ^= (uint8_t) (1u << bit % 8);
    }
}

static void
impossible_superblock_is_not_believed(void **state)
{
    uint8_t buf[QM_SUPERBLOCK_SIZE] = {0};
    qm_vault_info back;

    CHECK_FAILS(qm__superblock_in(buf, &back, &err), QM_ERROR_UNFORMATTED);
    qm__superblock_out(&info, buf);
    qm__put32(buf + 8, 2);
    seal(buf, sizeof buf);
    CHECK_FAILS(qm__superblock_in(buf, &back, &err), QM_ERROR_FORMAT);
    qm__superblock_out(&info, buf);
    qm__put32(buf + 12, 512);
    seal(buf, sizeof buf);
    CHECK_FAILS(qm__superblock_in(buf, &back, &err), QM_ERROR_CORRUPT);
    qm__superblock_out(&info, buf);
    memset(buf + 32, 'x', QM_NAME_MAX);
    seal(buf, sizeof buf);
    CHECK_FAILS(qm__superblock_in(buf, &back, &err), QM_ERROR_CORRUPT);
}

/* --- history ------------------------------------------------------------- */

static void
history_is_as_ever(void **state)
{
    uint8_t buf[QM_HISTORY_SIZE];
    qm_history back;

    memset(buf, 0xee, sizeof buf);
    memset(&back, 0, sizeof back);
    qm__history_out(&entry, buf);
    check_golden(buf, history_pieces, G_N_ELEMENTS(history_pieces), sizeof buf);
    assert_true(qm__history_in(buf, &back));
    assert_true(
        back.time_us == entry.time_us && back.sequence == entry.sequence &&
        back.generation == entry.generation && back.from == entry.from &&
        back.to == entry.to && back.node_id == entry.node_id &&
        back.bytes == entry.bytes && back.duration_us == entry.duration_us &&
        back.pause_us == entry.pause_us);
    assert_string_equal(back.node, entry.node);
    assert_string_equal(back.cause, entry.cause);
}

static void
damaged_history_is_noticed(void **state)
{
    uint8_t buf[QM_HISTORY_SIZE];
    qm_history back;

    qm__history_out(&entry, buf);
    for (size_t bit = 0; bit < sizeof buf * 8; bit++) {
        buf[bit / 8] ^= (uint8_t) (1u << bit % 8);
        assert_false(qm__history_in(buf, &back));
        buf[bit / 8] ^= (uint8_t) (1u << bit % 8);
    }
    qm__put16(buf + 4, QM_STATE_COUNT);
    seal(buf, sizeof buf);
    assert_false(qm__history_in(buf, &back));
    qm__history_out(&entry, buf);
    qm__put16(buf + 6, UINT16_MAX);
    seal(buf, sizeof buf);
    assert_false(qm__history_in(buf, &back));
}

static void
endless_texts_end(void **state)
{
    uint8_t buf[QM_HISTORY_SIZE];
    qm_history back, full = entry;

    memset(full.node, 'n', QM_NAME_MAX);
    memset(full.cause, 'c', QM_CAUSE_MAX);
    qm__history_out(&full, buf);
    assert_true(qm__history_in(buf, &back));
    assert_int_equal(strlen(back.node), QM_NAME_MAX - 1);
    assert_int_equal(strlen(back.cause), QM_CAUSE_MAX - 1);
    memset(buf + 64, 'n', QM_NAME_MAX);
    memset(buf + 128, 'c', QM_CAUSE_MAX);
    seal(buf, sizeof buf);
    assert_true(qm__history_in(buf, &back));
    assert_int_equal(strlen(back.node), QM_NAME_MAX - 1);
    assert_int_equal(strlen(back.cause), QM_CAUSE_MAX - 1);
}

/* --- domain XML ---------------------------------------------------------- */

static uint8_t *
make_xml(const char *text, size_t *ret_length)
{
    uint8_t *buf = NULL;

    CHECK_OK(qm__xml_out(text, 0x0102030405060708, &buf, ret_length, &err));
    return buf;
}

static void
xml_is_as_ever(void **state)
{
    g_autofree char *back = NULL;
    uint64_t sequence = 0;
    size_t length;
    g_autofree uint8_t *buf = make_xml("123456789", &length);

    assert_int_equal(length, QM_XML_HEADER + 9);
    check_golden(buf, xml_pieces, G_N_ELEMENTS(xml_pieces), QM_XML_HEADER);
    assert_memory_equal(buf + QM_XML_HEADER, "123456789", 9);
    assert_int_equal(qm__xml_length(buf, &sequence), 9);
    assert_true(sequence == 0x0102030405060708);
    CHECK_OK(qm__xml_in(buf, length, &back, &err));
    assert_string_equal(back, "123456789");
}

static void
damaged_xml_is_noticed(void **state)
{
    size_t length;
    g_autofree uint8_t *buf = make_xml("<domain/>", &length);
    char *back = NULL;

    for (size_t bit = 0; bit < length * 8; bit++) {
        buf[bit / 8] ^= (uint8_t) (1u << bit % 8);
        CHECK_FAILS(qm__xml_in(buf, length, &back, &err), QM_ERROR_CORRUPT);
        buf[bit / 8] ^= (uint8_t) (1u << bit % 8);
    }
    for (size_t shorter = 0; shorter < length; shorter++)
        CHECK_FAILS(qm__xml_in(buf, shorter, &back, &err), QM_ERROR_CORRUPT);
    assert_null(back);
}

/* Lengths that would lead a reader astray, with a right checksum. */
static void
absurd_xml_length_is_not_believed(void **state)
{
    static const uint32_t lengths[] = {0, QM_XML_MAX - QM_XML_HEADER + 1,
                                       INT32_MAX, UINT32_MAX};
    uint64_t sequence;
    size_t length;
    g_autofree uint8_t *buf = make_xml("<domain/>", &length);
    char *back;

    for (size_t i = 0; i < G_N_ELEMENTS(lengths); i++) {
        qm__put32(buf + 12, lengths[i]);
        seal(buf, QM_XML_HEADER);
        assert_int_equal(qm__xml_length(buf, &sequence), 0);
        CHECK_FAILS(qm__xml_in(buf, length, &back, &err), QM_ERROR_CORRUPT);
    }
    qm__put32(buf + 12, 10);
    seal(buf, QM_XML_HEADER);
    CHECK_FAILS(qm__xml_in(buf, length, &back, &err), QM_ERROR_CORRUPT);
}

static void
xml_with_a_hole_is_not_believed(void **state)
{
    size_t length;
    g_autofree uint8_t *buf = make_xml("<domain/>", &length);
    char *back;

    buf[QM_XML_HEADER + 4] = '\0';
    qm__put32(buf + 24, qm__crc32c(0, buf + QM_XML_HEADER, 9));
    seal(buf, QM_XML_HEADER);
    CHECK_FAILS(qm__xml_in(buf, length, &back, &err), QM_ERROR_CORRUPT);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(superblock_is_as_ever),
        cmocka_unit_test(damaged_superblock_is_noticed),
        cmocka_unit_test(impossible_superblock_is_not_believed),
        cmocka_unit_test(history_is_as_ever),
        cmocka_unit_test(damaged_history_is_noticed),
        cmocka_unit_test(endless_texts_end),
        cmocka_unit_test(xml_is_as_ever),
        cmocka_unit_test(damaged_xml_is_noticed),
        cmocka_unit_test(absurd_xml_length_is_not_believed),
        cmocka_unit_test(xml_with_a_hole_is_not_believed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
