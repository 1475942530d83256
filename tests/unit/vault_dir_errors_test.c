/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * A vault on a file system that is full or read-only, in a mount namespace of
 * the test's own.  Needs root; skipped otherwise.
 */
#include "config.h"
#include <sched.h>
#include <sys/mount.h>
#include "vault_fixture.h"

#define SMALL "size=3m"

static bool namespace_made;

static int
make_namespace(void **state)
{
    namespace_made = unshare(CLONE_NEWNS) == 0 &&
                     mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0;
    return 0;
}

/* A small file system of its own at the fixture's directory. */
static int
set_up(void **state)
{
    fixture *f;

    (void) fixture_set_up_empty(state);
    f = *state;
    if (!namespace_made ||
        mount("tmpfs", f->dir, "tmpfs", 0, SMALL ",mode=700") < 0)
        return 0;
    CHECK_OK(qm_vault_format(&f->params, fixture_uuid, "vm1", FIXTURE_XML,
                             false, FIXTURE_SOON, &err));
    return 0;
}

static int
tear_down(void **state)
{
    fixture *f = *state;

    (void) umount2(f->dir, MNT_DETACH);
    return fixture_tear_down(state);
}

static void
need_mount(const fixture *f)
{
    if (!fixture_exists(f, "superblock"))
        skip();
}

static void
make_read_only(const fixture *f)
{
    assert_int_equal(
        mount("none", f->dir, "none", MS_REMOUNT | MS_RDONLY, SMALL), 0);
}

/* Fills what is left, but for @spare bytes. */
static void
fill_up(const fixture *f, off_t spare)
{
    g_autofree char *path = fixture_path(f, "filler");
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    char block[4096] = {1};
    off_t length;

    assert_true(fd >= 0);
    while (write(fd, block, sizeof block) > 0)
        ;
    length = lseek(fd, 0, SEEK_END);
    assert_int_equal(ftruncate(fd, MAX(0, length - spare)), 0);
    assert_int_equal(close(fd), 0);
}

static void
read_only_vault_can_be_read(void **state)
{
    fixture *f = *state;
    g_autoptr(qm_vault) v = NULL;
    g_autofree char *xml = NULL;
    qm_record r;

    need_mount(f);
    make_read_only(f);
    v = fixture_open(f);
    CHECK_OK(qm_vault_read_record(v, &r, &err));
    CHECK_OK(qm_vault_read_xml(v, &xml, &err));
    CHECK_FAILS(
        qm_vault_acquire(v, fixture_any_right, NULL, FIXTURE_SOON, &r, &err),
        QM_ERROR_READ_ONLY);
    CHECK_FAILS(qm_vault_format(&f->params, fixture_uuid, "vm1", FIXTURE_XML,
                                true, FIXTURE_SOON, &err),
                QM_ERROR_READ_ONLY);
}

static void
full_vault_takes_a_record(void **state)
{
    fixture *f = *state;
    g_autoptr(qm_vault) v = NULL;
    qm_record r, after;

    need_mount(f);
    v = fixture_acquire(f, &r);
    fill_up(f, 0);
    for (r.generation = 9; r.generation < 12; r.generation++) {
        CHECK_OK(qm_vault_write_record(v, &r, &err));
        CHECK_OK(qm_vault_read_record(v, &after, &err));
        assert_int_equal(after.generation, r.generation);
    }
    CHECK_FAILS(qm_vault_write_xml(v, "<x/>", &err), QM_ERROR_NO_SPACE);
    /* Nothing half written is left. */
    assert_false(fixture_exists(f, "record.0.new"));
    assert_false(fixture_exists(f, "record.1.new"));
}

static void
on_done(void *opaque, const GError *error)
{
    int *code = opaque;

    *code = error != NULL ? error->code : -1;
}

static void
image_that_does_not_fit_is_told(void **state)
{
    fixture *f = *state;
    g_autoptr(qm_vault) v = NULL;
    g_autofree uint8_t *data = g_malloc0(1 << 20);
    struct iovec iov = {data, 1 << 20};
    qm_store *store;
    qm_record r;
    int code = 0;

    need_mount(f);
    v = fixture_acquire(f, &r);
    fill_up(f, 512 * 1024);
    CHECK_OK(qm__vault_image(v, 5, true, &store, &err));
    CHECK_OK(store->ops->write(store, 0, &iov, 1, on_done, &code, &err));
    assert_int_equal(code, QM_ERROR_NO_SPACE);
}

/* A save begins by removing what is stale: that makes room. */
static void
stale_image_makes_room(void **state)
{
    fixture *f = *state;
    g_autoptr(qm_vault) v = NULL;
    g_autofree uint8_t *data = g_malloc0(1 << 20);
    struct iovec iov = {data, 1 << 20};
    qm_store *store;
    qm_record r;

    need_mount(f);
    v = fixture_acquire(f, &r);
    for (uint64_t id = 5; id < 10; id++) {
        int code = 0;

        CHECK_OK(qm__vault_image(v, id, true, &store, &err));
        CHECK_OK(store->ops->write(store, 0, &iov, 1, on_done, &code, &err));
        assert_int_equal(code, -1);
        CHECK_OK(store->ops->flush(store, FIXTURE_SOON, &err));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(read_only_vault_can_be_read),
        TEST(full_vault_takes_a_record),
        TEST(image_that_does_not_fit_is_told),
        TEST(stale_image_makes_room),
    };

    return cmocka_run_group_tests(tests, make_namespace, NULL);
}
