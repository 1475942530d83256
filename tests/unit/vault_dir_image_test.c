/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The image in a vault that is a directory: one file for each image id.
 */
#include "config.h"
#include <sys/mman.h>
#include "vault_fixture.h"
#include "image.h"

#define LENGTH (3 * 1024 * 1024 + 77)

/* A file with @length bytes that do not repeat, at its beginning. */
static int
make_stream(size_t length)
{
    g_autofree uint32_t *data = g_new(uint32_t, length / 4 + 1);
    int fd = memfd_create("stream", MFD_CLOEXEC);

    assert_true(fd >= 0);
    for (size_t i = 0; i < length / 4 + 1; i++)
        data[i] = (uint32_t) i * 2654435761u;
    assert_int_equal(write(fd, data, length), length);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

static void
save(qm_vault *v, uint64_t image_id, size_t length)
{
    g_autoptr(qm_image_writer) w = NULL;
    int fd = make_stream(length);
    qm_store *store;

    CHECK_OK(qm__vault_image(v, image_id, true, &store, &err));
    w = qm__image_writer_new(store, fixture_uuid, image_id, QM_CODEC_LZ4);
    CHECK_OK(
        qm__image_write_from(w, fd, "head", 4, FIXTURE_SOON, NULL, NULL, &err));
    CHECK_OK(qm__image_write_last(w, FIXTURE_SOON, &err));
    assert_int_equal(close(fd), 0);
}

static bool
is_complete(qm_vault *v, uint64_t image_id)
{
    uint64_t length;
    qm_store *store;
    bool complete;

    CHECK_OK(qm__vault_image(v, image_id, false, &store, &err));
    CHECK_OK(qm__image_check(store, fixture_uuid, image_id, FIXTURE_SOON,
                             &complete, &length, &err));
    return complete;
}

static void
check_restore(qm_vault *v, uint64_t image_id, size_t length)
{
    g_autofree char *expected = g_malloc(length + 4);
    g_autofree char *found = g_malloc(length + 4);
    g_autoptr(qm_image_reader) r = NULL;
    int in = make_stream(length);
    int out = memfd_create("restored", MFD_CLOEXEC);
    qm_store *store;

    CHECK_OK(qm__vault_image(v, image_id, false, &store, &err));
    r = qm__image_reader_new(store, fixture_uuid, image_id);
    CHECK_OK(qm__image_read_to(r, out, false, FIXTURE_SOON, NULL, NULL, &err));
    memcpy(expected, "head", 4);
    assert_int_equal(pread(in, expected + 4, length, 0), length);
    assert_int_equal(lseek(out, 0, SEEK_END), length + 4);
    assert_int_equal(pread(out, found, length + 4, 0), length + 4);
    assert_memory_equal(found, expected, length + 4);
    assert_int_equal(close(in), 0);
    assert_int_equal(close(out), 0);
}

static void
image_comes_back(void **state)
{
    fixture *f = *state;
    qm_record r;
    g_autoptr(qm_vault) v = fixture_acquire(f, &r);
    g_autoptr(qm_vault) reader = fixture_open(f);

    save(v, UINT64_MAX, LENGTH);
    assert_true(fixture_exists(f, "image.18446744073709551615"));
    assert_true(is_complete(reader, UINT64_MAX));
    check_restore(reader, UINT64_MAX, LENGTH);
}

static void
writing_needs_acquire(void **state)
{
    fixture *f = *state;
    g_autoptr(qm_vault) v = fixture_open(f);
    qm_store *store = (qm_store *) f;

    CHECK_FAILS(qm__vault_image(v, 5, true, &store, &err), QM_ERROR_CONFLICT);
    assert_ptr_equal(store, f);
    assert_false(fixture_exists(f, "image.5"));
}

/* As on a LUN: what is not there reads as zeros, and is not complete. */
static void
missing_image_is_incomplete(void **state)
{
    fixture *f = *state;
    g_autoptr(qm_vault) v = fixture_open(f);
    g_autoptr(qm_image_reader) r = NULL;
    int out = memfd_create("restored", MFD_CLOEXEC);
    qm_store *store;

    assert_false(is_complete(v, 5));
    CHECK_OK(qm__vault_image(v, 5, false, &store, &err));
    r = qm__image_reader_new(store, fixture_uuid, 5);
    CHECK_FAILS(
        qm__image_read_to(r, out, false, FIXTURE_SOON, NULL, NULL, &err),
        QM_ERROR_CORRUPT);
    assert_int_equal(close(out), 0);
}

typedef struct {
    qm_vault *writer;
    int asked;
} late_writer;

static bool
write_late(void *opaque, GError **error)
{
    late_writer *l = opaque;

    if (++l->asked == 3)
        save(l->writer, 5, LENGTH);
    return true;
}

/* A target that is early waits for an image that does not exist yet. */
static void
early_reader_follows(void **state)
{
    fixture *f = *state;
    qm_record rec;
    g_autoptr(qm_vault) v = fixture_acquire(f, &rec);
    g_autoptr(qm_vault) other = fixture_open(f);
    g_autoptr(qm_image_reader) r = NULL;
    int out = memfd_create("restored", MFD_CLOEXEC);
    late_writer late = {.writer = v};
    qm_store *store;

    CHECK_OK(qm__vault_image(other, 5, false, &store, &err));
    r = qm__image_reader_new(store, fixture_uuid, 5);
    CHECK_OK(
        qm__image_read_to(r, out, true, FIXTURE_SOON, write_late, &late, &err));
    assert_int_equal(lseek(out, 0, SEEK_END), LENGTH + 4);
    assert_int_equal(close(out), 0);
}

static void
new_image_replaces_older_ones(void **state)
{
    fixture *f = *state;
    qm_record r;
    g_autoptr(qm_vault) v = fixture_acquire(f, &r);

    save(v, 5, LENGTH);
    fixture_write(f, "image.3", "stale", 5);
    fixture_write(f, "images", "not ours", 8);
    save(v, 6, 10);
    assert_false(fixture_exists(f, "image.3"));
    assert_false(fixture_exists(f, "image.5"));
    assert_true(fixture_exists(f, "images"));
    assert_false(is_complete(v, 5));
    assert_true(is_complete(v, 6));
    check_restore(v, 6, 10);
}

/* A save begun anew under the same id leaves nothing of the first. */
static void
image_begins_empty(void **state)
{
    fixture *f = *state;
    qm_record r;
    g_autoptr(qm_vault) v = fixture_acquire(f, &r);
    qm_store *store;

    save(v, 5, LENGTH);
    CHECK_OK(qm__vault_image(v, 5, true, &store, &err));
    assert_false(is_complete(v, 5));
}

/* Of a name that leads elsewhere nothing is read or written. */
static void
links_are_not_followed(void **state)
{
    fixture *f = *state;
    qm_record r;
    g_autoptr(qm_vault) v = fixture_acquire(f, &r);
    g_autofree char *victim = fixture_path(f, "victim");
    g_autofree char *link_name = fixture_path(f, "image.5");
    g_autofree char *contents = NULL;
    qm_store *store;

    fixture_write(f, "victim", "keep me", 7);
    assert_int_equal(symlink(victim, link_name), 0);
    CHECK_FAILS(qm__vault_image(v, 5, true, &store, &err), QM_ERROR_IO);
    contents = fixture_read(f, "victim", NULL);
    assert_string_equal(contents, "keep me");
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(image_comes_back),
        TEST(writing_needs_acquire),
        TEST(missing_image_is_incomplete),
        TEST(early_reader_follows),
        TEST(new_image_replaces_older_ones),
        TEST(image_begins_empty),
        TEST(links_are_not_followed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
