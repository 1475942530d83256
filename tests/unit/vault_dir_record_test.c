/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Record, history and domain XML in a vault: two copies, of which one may be
 * lost at any time, and no older state ever comes back.
 */
#include "config.h"
#include "vault_fixture.h"

static void
write_generation(qm_vault *v, qm_record *r, uint64_t generation)
{
    r->generation = generation;
    CHECK_OK(qm_vault_write_record(v, r, &err));
}

static void
check_generation(const fixture *f, uint64_t expected)
{
    g_autoptr(qm_vault) v = fixture_open(f);
    qm_record r;

    CHECK_OK(qm_vault_read_record(v, &r, &err));
    assert_int_equal(r.generation, expected);
}

static void
writing_needs_acquire(void **state)
{
    fixture *f = *state;
    g_autoptr(qm_vault) v = fixture_open(f);
    qm_history entry = {.sequence = 5};
    qm_record r, before;

    CHECK_OK(qm_vault_read_record(v, &r, &err));
    before = r;
    CHECK_FAILS(qm_vault_write_record(v, &r, &err), QM_ERROR_CONFLICT);
    assert_memory_equal(&r, &before, sizeof r);
    CHECK_FAILS(qm_vault_append_history(v, &entry, &err), QM_ERROR_CONFLICT);
    CHECK_FAILS(qm_vault_write_xml(v, "<x/>", &err), QM_ERROR_CONFLICT);
}

static void
both_copies_are_written(void **state)
{
    fixture *f = *state;
    qm_record r;
    g_autoptr(qm_vault) v = fixture_acquire(f, &r);

    for (uint64_t i = 1; i <= 5; i++) {
        gsize l0, l1;
        g_autofree char *c0 = NULL;
        g_autofree char *c1 = NULL;

        write_generation(v, &r, i);
        assert_int_equal(r.sequence, 1 + i);
        c0 = fixture_read(f, "record.0", &l0);
        c1 = fixture_read(f, "record.1", &l1);
        assert_int_equal(l0, QM_RECORD_SIZE);
        assert_int_equal(l1, QM_RECORD_SIZE);
        assert_memory_equal(c0, c1, QM_RECORD_SIZE);
        check_generation(f, i);
    }
}

static void
one_damaged_copy_is_no_loss(void **state)
{
    static const char *const copies[] = {"record.0", "record.1"};
    fixture *f = *state;
    qm_record r;
    g_autoptr(qm_vault) v = fixture_acquire(f, &r);

    for (uint64_t i = 0; i < 6; i++) {
        write_generation(v, &r, 10 + i);
        fixture_damage(f, copies[i % 2], 200);
        check_generation(f, 10 + i);
        CHECK_OK(qm_vault_read_record(v, &r, &err));
    }
}

static void
lost_copy_is_no_loss(void **state)
{
    fixture *f = *state;
    qm_record r;
    g_autoptr(qm_vault) v = fixture_acquire(f, &r);
    g_autofree char *path = fixture_path(f, "record.0");

    write_generation(v, &r, 9);
    assert_int_equal(g_remove(path), 0);
    check_generation(f, 9);
    fixture_write(f, "record.0", "short", 5);
    check_generation(f, 9);
}

static void
both_damaged_is_told(void **state)
{
    fixture *f = *state;
    g_autoptr(qm_vault) v = fixture_open(f);
    qm_record r = {.generation = 4711};

    fixture_damage(f, "record.0", 200);
    fixture_damage(f, "record.1", 300);
    CHECK_FAILS(qm_vault_read_record(v, &r, &err), QM_ERROR_CORRUPT);
    assert_int_equal(r.generation, 4711);
    CHECK_FAILS(
        qm_vault_acquire(v, fixture_any_right, NULL, FIXTURE_SOON, &r, &err),
        QM_ERROR_CORRUPT);
}

static void
record_of_another_vm_is_told(void **state)
{
    static const uint8_t other[QM_UUID_LEN] = {0xbb};
    fixture *f = *state;
    g_autoptr(qm_vault) v = fixture_open(f);
    uint8_t buf[QM_RECORD_SIZE];
    qm_record r = {.sequence = 1};

    qm_record_out(&r, other, buf);
    fixture_write(f, "record.1", buf, sizeof buf);
    CHECK_FAILS(qm_vault_read_record(v, &r, &err), QM_ERROR_MISMATCH);
}

/* A write that fails half way is resolved by reading; the next one uses
 * another number, and begins with the copy that is older by then. */
static void
half_a_write_counts(void **state)
{
    fixture *f = *state;
    qm_record r;
    g_autoptr(qm_vault) v = fixture_acquire(f, &r);
    g_autofree char *block0 = fixture_path(f, "record.0.new");
    g_autofree char *block1 = fixture_path(f, "record.1.new");
    uint64_t last;

    /* Equal copies: 0 counts, 1 is written first, and counts from then on. */
    write_generation(v, &r, 1);
    last = r.sequence;
    assert_int_equal(g_mkdir(block1, 0700), 0);
    r.generation = 2;
    CHECK_FAILS(qm_vault_write_record(v, &r, &err), QM_ERROR_IO);
    assert_int_equal(r.sequence, last);
    check_generation(f, 2);
    assert_int_equal(g_rmdir(block1), 0);
    /* Now copy 1 is the older one: copy 0 must not be touched before it. */
    assert_int_equal(g_mkdir(block0, 0700), 0);
    r.generation = 3;
    CHECK_FAILS(qm_vault_write_record(v, &r, &err), QM_ERROR_IO);
    check_generation(f, 3);
    assert_int_equal(g_rmdir(block0), 0);
    write_generation(v, &r, 4);
    assert_int_equal(r.sequence, last + 3);
    check_generation(f, 4);
}

static void
records_are_told_apart_by_sequence(void **state)
{
    fixture *f = *state;
    qm_record r, old;
    g_autoptr(qm_vault) v = fixture_acquire(f, &r);

    old = r;
    write_generation(v, &r, 1);
    /* From an older copy in memory: still a new number. */
    write_generation(v, &old, 2);
    assert_true(old.sequence > r.sequence);
    check_generation(f, 2);
}

/* --- history ------------------------------------------------------------- */

static void
history_comes_back(void **state)
{
    fixture *f = *state;
    qm_record r;
    g_autoptr(qm_vault) v = fixture_acquire(f, &r);
    g_autoptr(GArray) entries = NULL;
    qm_history e = {
        .time_us = -5,
        .sequence = 2,
        .generation = UINT64_MAX,
        .from = QM_STATE_SAVING,
        .to = QM_STATE_SAVED,
        .node_id = UINT32_MAX,
        .node = "alpha",
        .bytes = UINT64_MAX,
        .duration_us = 7,
        .pause_us = 8,
        .cause = "because",
    };
    const qm_history *back;

    CHECK_OK(qm_vault_append_history(v, &e, &err));
    CHECK_OK(qm_vault_read_history(v, &entries, &err));
    assert_int_equal(entries->len, 2);
    back = &g_array_index(entries, qm_history, 1);
    assert_true(back->time_us == e.time_us && back->sequence == e.sequence &&
                back->generation == e.generation && back->from == e.from &&
                back->to == e.to && back->node_id == e.node_id &&
                back->bytes == e.bytes && back->duration_us == 7 &&
                back->pause_us == 8);
    assert_string_equal(back->node, "alpha");
    assert_string_equal(back->cause, "because");
}

static void
history_keeps_the_last_entries(void **state)
{
    fixture *f = *state;
    qm_record r;
    g_autoptr(qm_vault) v = fixture_acquire(f, &r);
    g_autoptr(GArray) entries = NULL;
    qm_history e = {0};
    uint64_t n = QM_HISTORY_SLOTS + 100;

    for (e.sequence = 2; e.sequence <= n; e.sequence++)
        CHECK_OK(qm_vault_append_history(v, &e, &err));
    CHECK_OK(qm_vault_read_history(v, &entries, &err));
    assert_int_equal(entries->len, QM_HISTORY_SLOTS);
    for (guint i = 0; i < entries->len; i++)
        assert_int_equal(g_array_index(entries, qm_history, i).sequence,
                         n - QM_HISTORY_SLOTS + 1 + i);
}

static void
damaged_entry_is_left_out(void **state)
{
    fixture *f = *state;
    qm_record r;
    g_autoptr(qm_vault) v = fixture_acquire(f, &r);
    g_autoptr(GArray) entries = NULL;
    qm_history e = {0};

    for (e.sequence = 2; e.sequence <= 10; e.sequence++)
        CHECK_OK(qm_vault_append_history(v, &e, &err));
    fixture_damage(f, "history", 5 * QM_HISTORY_SIZE + 17);
    CHECK_OK(qm_vault_read_history(v, &entries, &err));
    assert_int_equal(entries->len, 9);
    for (guint i = 0; i < entries->len; i++)
        assert_int_not_equal(g_array_index(entries, qm_history, i).sequence, 5);
}

static void
one_entry_is_found_or_not(void **state)
{
    fixture *f = *state;
    qm_record r;
    g_autoptr(qm_vault) v = fixture_acquire(f, &r);
    qm_history e = {0}, found;

    for (e.sequence = 2; e.sequence <= 10; e.sequence++)
        CHECK_OK(qm_vault_append_history(v, &e, &err));
    fixture_damage(f, "history", 5 * QM_HISTORY_SIZE + 17);
    assert_true(qm__vault_history_at(v, 10, &found));
    assert_int_equal(found.sequence, 10);
    assert_false(qm__vault_history_at(v, 5, &found));
    assert_false(qm__vault_history_at(v, 11, &found));
    assert_false(qm__vault_history_at(v, 10 + QM_HISTORY_SLOTS, &found));
}

/* --- domain XML ---------------------------------------------------------- */

static void
check_xml(const fixture *f, const char *expected)
{
    g_autoptr(qm_vault) v = fixture_open(f);
    g_autofree char *xml = NULL;

    CHECK_OK(qm_vault_read_xml(v, &xml, &err));
    assert_string_equal(xml, expected);
}

static void
xml_is_replaced(void **state)
{
    fixture *f = *state;
    qm_record r;
    g_autoptr(qm_vault) v = fixture_acquire(f, &r);
    g_autofree char *long_xml = g_strnfill(200000, 'x');

    CHECK_OK(qm_vault_write_xml(v, long_xml, &err));
    check_xml(f, long_xml);
    CHECK_OK(qm_vault_write_xml(v, "<short/>", &err));
    check_xml(f, "<short/>");
    CHECK_OK(qm_vault_write_xml(v, "<next/>", &err));
    check_xml(f, "<next/>");
    CHECK_FAILS(qm_vault_write_xml(v, "", &err), QM_ERROR_INVALID);
    check_xml(f, "<next/>");
}

/* Whichever copy goes bad: an older XML must not come back. */
static void
damaged_xml_copy_is_no_loss(void **state)
{
    static const char *const copies[] = {"domain.xml.0", "domain.xml.1"};

    for (size_t i = 0; i < G_N_ELEMENTS(copies); i++)
        for (size_t at = 0; at < QM_XML_HEADER + 6; at += 5) {
            fixture *f = *state;
            qm_record r;
            g_autoptr(qm_vault) v = fixture_acquire(f, &r);

            CHECK_OK(qm_vault_write_xml(v, "<new/>", &err));
            fixture_damage(f, copies[i], at);
            check_xml(f, "<new/>");
        }
}

static void
both_xml_copies_damaged_is_told(void **state)
{
    fixture *f = *state;
    g_autoptr(qm_vault) v = fixture_open(f);
    char *xml = (char *) f;
    qm_record r;

    fixture_damage(f, "domain.xml.0", 70);
    fixture_damage(f, "domain.xml.1", 0);
    CHECK_FAILS(qm_vault_read_xml(v, &xml, &err), QM_ERROR_CORRUPT);
    assert_ptr_equal(xml, f);
    CHECK_OK(
        qm_vault_acquire(v, fixture_any_right, NULL, FIXTURE_SOON, &r, &err));
    CHECK_OK(qm_vault_write_xml(v, "<mended/>", &err));
    check_xml(f, "<mended/>");
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(writing_needs_acquire),
        TEST(both_copies_are_written),
        TEST(one_damaged_copy_is_no_loss),
        TEST(lost_copy_is_no_loss),
        TEST(both_damaged_is_told),
        TEST(record_of_another_vm_is_told),
        TEST(half_a_write_counts),
        TEST(records_are_told_apart_by_sequence),
        TEST(history_comes_back),
        TEST(history_keeps_the_last_entries),
        TEST(damaged_entry_is_left_out),
        TEST(one_entry_is_found_or_not),
        TEST(xml_is_replaced),
        TEST(damaged_xml_copy_is_no_loss),
        TEST(both_xml_copies_damaged_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
