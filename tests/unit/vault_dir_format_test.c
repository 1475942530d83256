/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Making and opening a vault: what is there already is not destroyed by
 * mistake, and image ids never come back.
 */
#include "config.h"
#include "vault_fixture.h"
#include "codec.h"
#include "crc32c.h"

static const uint8_t other_uuid[QM_UUID_LEN] = {0xbb};
static const uint8_t null_uuid[QM_UUID_LEN];

static void
check_open_fails(const fixture *f, int code)
{
    qm_vault *v = (qm_vault *) f;

    CHECK_FAILS(qm_vault_open(&f->params, FIXTURE_SOON, &v, &err), code);
    assert_ptr_equal(v, f);
}

static void
check_format_fails(const fixture *f, bool force, int code)
{
    CHECK_FAILS(qm_vault_format(&f->params, fixture_uuid, "vm1", FIXTURE_XML,
                                force, FIXTURE_SOON, &err),
                code);
}

static void
format_again(const fixture *f, const uint8_t *uuid, const char *name)
{
    CHECK_OK(qm_vault_format(&f->params, uuid, name, FIXTURE_XML, true,
                             FIXTURE_SOON, &err));
}

static void
read_record(const fixture *f, qm_record *ret_record)
{
    g_autoptr(qm_vault) v = fixture_open(f);

    CHECK_OK(qm_vault_read_record(v, ret_record, &err));
}

/* Writes a record with this state, as a VM would. */
static void
set_state(const fixture *f, qm_state state)
{
    qm_record record;
    g_autoptr(qm_vault) v = fixture_acquire(f, &record);

    record.state = state;
    record.owner = (qm_node){.id = 3, .name = "c"};
    record.image_id += 5;
    record.generation += 9;
    CHECK_OK(qm_vault_write_record(v, &record, &err));
}

static void
what_is_no_directory_is_told(void **state)
{
    fixture *f = *state;
    g_autofree char *path = fixture_path(f, "x");
    fixture nowhere = {.params = {.url = path}};
    fixture relative = {.params = {.url = "vaults/vm1"}};

    check_open_fails(&nowhere, QM_ERROR_NOT_FOUND);
    check_format_fails(&nowhere, false, QM_ERROR_NOT_FOUND);
    fixture_write(f, "x", "a file", 6);
    check_open_fails(&nowhere, QM_ERROR_NOT_FOUND);
    check_open_fails(&relative, QM_ERROR_INVALID);
}

static void
empty_directory_is_unformatted(void **state)
{
    check_open_fails(*state, QM_ERROR_UNFORMATTED);
}

static void
new_vault_is_off(void **state)
{
    fixture *f = *state;
    g_autoptr(qm_vault) v = fixture_open(f);
    const qm_vault_info *info = qm_vault_get_info(v);
    g_autoptr(GArray) history = NULL;
    g_autofree char *xml = NULL;
    uint64_t holder = 1;
    qm_record r;

    assert_memory_equal(info->uuid, fixture_uuid, QM_UUID_LEN);
    assert_string_equal(info->name, "vm1");
    assert_int_equal(info->format, 1);
    assert_true(info->size > 0 && info->image_capacity > 0);
    assert_string_equal(qm_vault_get_url(v), f->dir);
    CHECK_OK(qm_vault_read_record(v, &r, &err));
    assert_int_equal(r.state, QM_STATE_OFF);
    assert_int_equal(r.sequence, 1);
    assert_int_equal(r.generation, 0);
    assert_int_equal(r.owner.id, 0);
    assert_true(r.image_id > 0);
    CHECK_OK(qm_vault_read_xml(v, &xml, &err));
    assert_string_equal(xml, FIXTURE_XML);
    CHECK_OK(qm_vault_read_history(v, &history, &err));
    assert_int_equal(history->len, 1);
    CHECK_OK(qm_vault_read_holder(v, &holder, &err));
    assert_int_equal(holder, 0);
    assert_false(qm__vault_acquired(v));
}

static void
bad_parameters_are_refused(void **state)
{
    fixture *f = *state;
    g_autofree char *name = g_strnfill(QM_NAME_MAX, 'n');
    g_autofree char *xml = g_strnfill(QM_XML_MAX - QM_XML_HEADER + 1, 'x');

    CHECK_FAILS(qm_vault_format(&f->params, null_uuid, "vm1", FIXTURE_XML,
                                false, FIXTURE_SOON, &err),
                QM_ERROR_INVALID);
    CHECK_FAILS(qm_vault_format(&f->params, fixture_uuid, name, FIXTURE_XML,
                                false, FIXTURE_SOON, &err),
                QM_ERROR_INVALID);
    CHECK_FAILS(qm_vault_format(&f->params, fixture_uuid, "", FIXTURE_XML,
                                false, FIXTURE_SOON, &err),
                QM_ERROR_INVALID);
    CHECK_FAILS(qm_vault_format(&f->params, fixture_uuid, "vm1", "", false,
                                FIXTURE_SOON, &err),
                QM_ERROR_INVALID);
    CHECK_FAILS(qm_vault_format(&f->params, fixture_uuid, "vm1", xml, false,
                                FIXTURE_SOON, &err),
                QM_ERROR_INVALID);
    check_open_fails(f, QM_ERROR_UNFORMATTED);
}

static void
longest_name_and_xml_fit(void **state)
{
    fixture *f = *state;
    g_autofree char *name = g_strnfill(QM_NAME_MAX - 1, 'n');
    g_autofree char *xml = g_strnfill(QM_XML_MAX - QM_XML_HEADER, 'x');
    g_autofree char *back = NULL;
    g_autoptr(qm_vault) v = NULL;

    CHECK_OK(qm_vault_format(&f->params, fixture_uuid, name, xml, false,
                             FIXTURE_SOON, &err));
    v = fixture_open(f);
    assert_string_equal(qm_vault_get_info(v)->name, name);
    CHECK_OK(qm_vault_read_xml(v, &back, &err));
    assert_string_equal(back, xml);
}

static void
existing_vault_needs_force(void **state)
{
    fixture *f = *state;
    qm_record before, after;

    set_state(f, QM_STATE_OFF);
    read_record(f, &before);
    check_format_fails(f, false, QM_ERROR_REFUSED);
    read_record(f, &after);
    assert_memory_equal(&before, &after, sizeof before);
    format_again(f, other_uuid, "vm2");
    read_record(f, &after);
    assert_int_equal(after.state, QM_STATE_OFF);
    assert_true(after.sequence > before.sequence);
    assert_true(after.generation >= before.generation);
    assert_true(after.image_id > before.image_id);
}

/* Another VM's past is not this one's. */
static void
history_begins_anew(void **state)
{
    fixture *f = *state;
    qm_history entry = {.sequence = 1, .cause = "old"};
    g_autoptr(GArray) history = NULL;
    g_autoptr(qm_vault) v = NULL;
    qm_record r;

    v = fixture_acquire(f, &r);
    for (; entry.sequence < 20; entry.sequence++)
        CHECK_OK(qm_vault_append_history(v, &entry, &err));
    g_clear_pointer(&v, qm_vault_close);
    format_again(f, other_uuid, "vm2");
    v = fixture_open(f);
    CHECK_OK(qm_vault_read_history(v, &history, &err));
    assert_int_equal(history->len, 1);
    assert_string_equal(g_array_index(history, qm_history, 0).cause,
                        "vault created");
}

static void
vault_in_use_is_never_replaced(void **state)
{
    static const qm_state used[] = {QM_STATE_RUNNING, QM_STATE_SAVING,
                                    QM_STATE_SAVED, QM_STATE_RESTORING};
    fixture *f = *state;

    for (size_t i = 0; i < G_N_ELEMENTS(used); i++) {
        qm_record r;

        set_state(f, used[i]);
        check_format_fails(f, true, QM_ERROR_REFUSED);
        check_format_fails(f, false, QM_ERROR_REFUSED);
        read_record(f, &r);
        assert_int_equal(r.state, used[i]);
    }
    set_state(f, QM_STATE_OFF);
    format_again(f, fixture_uuid, "vm1");
}

/* Not ours, and it may run: whoever held the lock goes first. */
static void
held_vault_is_not_replaced(void **state)
{
    fixture *f = *state;
    qm_record r;
    g_autoptr(qm_vault) v = fixture_acquire(f, &r);

    CHECK_FAILS(qm_vault_format(&f->params, fixture_uuid, "vm1", FIXTURE_XML,
                                true, qm__deadline_in(50 * QM_MS), &err),
                QM_ERROR_BUSY);
}

static void
damaged_superblock_needs_force(void **state)
{
    fixture *f = *state;
    qm_record r;

    fixture_damage(f, "superblock", 40);
    check_open_fails(f, QM_ERROR_CORRUPT);
    check_format_fails(f, false, QM_ERROR_REFUSED);
    format_again(f, fixture_uuid, "vm1");
    read_record(f, &r);
    assert_int_equal(r.state, QM_STATE_OFF);
}

static void
damaged_record_needs_force(void **state)
{
    fixture *f = *state;
    qm_record r;

    fixture_damage(f, "record.0", 40);
    fixture_damage(f, "record.1", 40);
    check_format_fails(f, false, QM_ERROR_REFUSED);
    format_again(f, fixture_uuid, "vm1");
    read_record(f, &r);
    assert_int_equal(r.state, QM_STATE_OFF);
}

static void
other_data_needs_force(void **state)
{
    static const char *const names[] = {"superblock", "record.0", "record.1"};
    char data[4096] = {0};

    data[1080] = 0x53; /* as ext4 has it */
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        fixture f;

        fixture_new(&f);
        fixture_write(&f, names[i], data, sizeof data);
        check_open_fails(&f, QM_ERROR_UNFORMATTED);
        check_format_fails(&f, false, QM_ERROR_REFUSED);
        format_again(&f, fixture_uuid, "vm1");
        fixture_free(&f);
    }
}

/* The version, and the checksum made right again. */
static void
patch_version(const fixture *f, const char *name, size_t size)
{
    gsize length;
    g_autofree char *contents = fixture_read(f, name, &length);
    uint8_t *buf = (uint8_t *) contents;

    assert_int_equal(length, size);
    qm__put32(buf + 8, 2);
    qm__put32(buf + size - 4, qm__crc32c(0, buf, size - 4));
    fixture_write(f, name, contents, length);
}

static void
newer_vault_is_left_alone(void **state)
{
    fixture *f = *state;

    patch_version(f, "superblock", QM_SUPERBLOCK_SIZE);
    check_open_fails(f, QM_ERROR_FORMAT);
    check_format_fails(f, false, QM_ERROR_FORMAT);
    check_format_fails(f, true, QM_ERROR_FORMAT);
}

static void
newer_record_is_left_alone(void **state)
{
    fixture *f = *state;

    patch_version(f, "record.0", QM_RECORD_SIZE);
    check_format_fails(f, true, QM_ERROR_FORMAT);
}

/* Not even when nothing is left that says which were used. */
static void
image_ids_never_come_back(void **state)
{
    fixture *f = *state;
    uint64_t last = 0;

    for (int i = 0; i < 6; i++) {
        qm_record r;

        read_record(f, &r);
        assert_true(r.image_id > last);
        set_state(f, QM_STATE_OFF);
        read_record(f, &r);
        last = r.image_id;
        if (i % 3 == 0)
            fixture_damage(f, "superblock", 100);
        if (i % 3 == 1) {
            fixture_damage(f, "record.0", 100);
            fixture_damage(f, "record.1", 100);
        }
        format_again(f, fixture_uuid, "vm1");
    }
}

/* Cut off anywhere, it is no vault; and can be made again by force. */
static void
half_made_vault_is_none(void **state)
{
    static const char *const steps[] = {"domain.xml.0.new", "record.1.new",
                                        "record.0.new"};

    for (size_t i = 0; i < G_N_ELEMENTS(steps); i++) {
        fixture f;
        g_autofree char *obstacle = NULL;

        fixture_new(&f);
        format_again(&f, fixture_uuid, "vm1");
        obstacle = fixture_path(&f, steps[i]);
        assert_int_equal(g_mkdir(obstacle, 0700), 0);
        check_format_fails(&f, true, QM_ERROR_IO);
        check_open_fails(&f, QM_ERROR_UNFORMATTED);
        assert_int_equal(g_rmdir(obstacle), 0);
        format_again(&f, fixture_uuid, "vm1");
        fixture_free(&f);
    }
}

static void
close_takes_null(void **state)
{
    qm_vault_close(NULL);
}

#define ON_VAULT(test)                                                         \
    cmocka_unit_test_setup_teardown(test, fixture_set_up, fixture_tear_down)
#define ON_EMPTY(test)                                                         \
    cmocka_unit_test_setup_teardown(test, fixture_set_up_empty,                \
                                    fixture_tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EMPTY(what_is_no_directory_is_told),
        ON_EMPTY(empty_directory_is_unformatted),
        ON_VAULT(new_vault_is_off),
        ON_EMPTY(bad_parameters_are_refused),
        ON_EMPTY(longest_name_and_xml_fit),
        ON_VAULT(existing_vault_needs_force),
        ON_VAULT(history_begins_anew),
        ON_VAULT(vault_in_use_is_never_replaced),
        ON_VAULT(held_vault_is_not_replaced),
        ON_VAULT(damaged_superblock_needs_force),
        ON_VAULT(damaged_record_needs_force),
        cmocka_unit_test(other_data_needs_force),
        ON_VAULT(newer_vault_is_left_alone),
        ON_VAULT(newer_record_is_left_alone),
        ON_VAULT(image_ids_never_come_back),
        cmocka_unit_test(half_made_vault_is_none),
        cmocka_unit_test(close_takes_null),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
