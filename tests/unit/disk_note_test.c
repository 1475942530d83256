/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * What a vault notes of disks: not changed unnoticed, not believed when
 * damaged or of another VM; and when a LUN counts as the same.
 */
#include "config.h"
#include <string.h>
#include "unit.h"
#include "codec.h"
#include "crc32c.h"
#include "disk-note.h"
#include "lun.h"

static const uint8_t vm[QM_UUID_LEN] = "ABCDEFGHIJKLMNO";
static const uint8_t other_vm[QM_UUID_LEN] = "abcdefghijklmno";

static GArray *
some_notes(guint n)
{
    GArray *notes = g_array_new(FALSE, TRUE, sizeof(qm_disk_note));

    for (guint i = 0; i < n; i++) {
        qm_disk_note note = {.size = 0x0102030405060708 + i,
                             .where = 0x11121314};

        g_snprintf(note.target, sizeof note.target, "vd%u", i);
        g_strlcpy(note.serial, "beaf11", sizeof note.serial);
        g_array_append_val(notes, note);
    }
    return notes;
}

static void
encode(guint n, uint8_t *buf)
{
    g_autoptr(GArray) notes = some_notes(n);

    qm__disk_notes_out(notes, vm, buf);
}

static guint
decoded(const uint8_t *buf, const uint8_t *uuid)
{
    g_autoptr(GArray) notes = qm__disk_notes_in(buf, uuid);

    return notes->len;
}

static void
format_is_as_documented(void **state)
{
    uint8_t buf[QM_DISKS_SIZE];

    encode(2, buf);
    assert_memory_equal(buf, "QMDISKS1\x01\0\0\0\x02\0\0\0", 16);
    assert_memory_equal(buf + 16, vm, QM_UUID_LEN);
    assert_string_equal((char *) buf + 64, "vd0");
    assert_string_equal((char *) buf + 96, "beaf11");
    assert_memory_equal(buf + 160, "\x08\x07\x06\x05\x04\x03\x02\x01", 8);
    assert_memory_equal(buf + 168, "\x14\x13\x12\x11", 4);
    assert_string_equal((char *) buf + 192, "vd1");
    assert_int_equal(qm__get32(buf + QM_DISKS_SIZE - 4),
                     qm__crc32c(0, buf, QM_DISKS_SIZE - 4));
}

static void
comes_back(void **state)
{
    uint8_t buf[QM_DISKS_SIZE];
    g_autoptr(GArray) was = some_notes(3);
    g_autoptr(GArray) is = NULL;

    qm__disk_notes_out(was, vm, buf);
    is = qm__disk_notes_in(buf, vm);
    assert_int_equal(is->len, 3);
    for (guint i = 0; i < 3; i++) {
        const qm_disk_note *a = &g_array_index(was, qm_disk_note, i);
        const qm_disk_note *b = &g_array_index(is, qm_disk_note, i);

        assert_string_equal(a->target, b->target);
        assert_string_equal(a->serial, b->serial);
        assert_true(a->size == b->size && a->where == b->where);
    }
    encode(QM_DISK_NOTES_MAX, buf);
    assert_int_equal(decoded(buf, vm), QM_DISK_NOTES_MAX);
    encode(QM_DISK_NOTES_MAX + 1, buf); /* the last one is left out */
    assert_int_equal(decoded(buf, vm), QM_DISK_NOTES_MAX);
    encode(0, buf);
    assert_int_equal(decoded(buf, vm), 0);
}

static void
damage_counts_as_nothing(void **state)
{
    uint8_t good[QM_DISKS_SIZE], buf[QM_DISKS_SIZE];

    encode(2, good);
    assert_int_equal(decoded(good, other_vm), 0);
    memset(buf, 0, sizeof buf);
    assert_int_equal(decoded(buf, vm), 0);
    for (size_t i = 0; i < 256; i++) {
        memcpy(buf, good, sizeof buf);
        buf[i] ^= 0x40;
        assert_int_equal(decoded(buf, vm), 0);
    }
}

/* The checksum fits, what it covers does not. */
static void
nonsense_is_left_out(void **state)
{
    uint8_t buf[QM_DISKS_SIZE];

    encode(2, buf);
    memset(buf + 64, 'x', 32); /* a name without an end */
    qm__put32(buf + QM_DISKS_SIZE - 4, qm__crc32c(0, buf, QM_DISKS_SIZE - 4));
    assert_int_equal(decoded(buf, vm), 1);
    qm__put32(buf + 12, QM_DISK_NOTES_MAX + 1);
    qm__put32(buf + QM_DISKS_SIZE - 4, qm__crc32c(0, buf, QM_DISKS_SIZE - 4));
    assert_int_equal(decoded(buf, vm), 0);
}

static void
address_without_portal(void **state)
{
    assert_int_equal(qm__disk_where("iqn.x:a", 1),
                     qm__disk_where("iqn.x:a", 1));
    assert_int_not_equal(qm__disk_where("iqn.x:a", 1),
                         qm__disk_where("iqn.x:a", 2));
    assert_int_not_equal(qm__disk_where("iqn.x:a", 1),
                         qm__disk_where("iqn.x:b", 1));
}

static void
same_lun(void **state)
{
    assert_true(qm__lun_same("s", 10, "s", 10));
    assert_true(qm__lun_same("s", 10, "s", 11)); /* has grown */
    assert_false(qm__lun_same("s", 10, "s", 9));
    assert_false(qm__lun_same("s", 10, "t", 10));
    assert_false(qm__lun_same("s", 10, "", 10));
    assert_true(qm__lun_same("", 10, "", 10));
    assert_false(qm__lun_same("", 10, "", 11)); /* nobody can tell */
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(format_is_as_documented),
        cmocka_unit_test(comes_back),
        cmocka_unit_test(damage_counts_as_nothing),
        cmocka_unit_test(nonsense_is_left_out),
        cmocka_unit_test(address_without_portal),
        cmocka_unit_test(same_lun),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
