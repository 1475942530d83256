/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Failures while an image is written or read: told at once, nothing left
 * behind, and never a last chunk after any of them.
 */
#include "config.h"
#include <signal.h>
#include "image_fixture.h"

#define LENGTH (10 * MIB + 5)
#define CHUNKS 11 /* without the last one */

typedef struct {
    fake_store *store;
    uint8_t *data;
    int fd;
} stream;

static int
set_up(void **state)
{
    stream *s = g_new0(stream, 1);

    s->store = fake_store_new(20 * MIB, MIB);
    s->data = stream_new(LENGTH, STREAM_RANDOM);
    s->fd = stream_fd(s->data, LENGTH);
    *state = s;
    return 0;
}

static int
tear_down(void **state)
{
    stream *s = *state;

    fake_store_free(s->store);
    g_free(s->data);
    close(s->fd);
    g_free(s);
    return 0;
}

static qm_image_writer *
writer_new(stream *s)
{
    memset(s->store->memory, 0, s->store->base.capacity);
    s->store->writes = s->store->flushes = s->store->services = 0;
    assert_true(lseek(s->fd, 0, SEEK_SET) == 0);
    return qm__image_writer_new(&s->store->base, image_vm, IMAGE_ID,
                                QM_CODEC_NONE);
}

/* Whoever goes on all the same does not get an image. */
static void
check_closed(stream *s, qm_image_writer *w)
{
    CHECK_FAILS(qm__image_write_from(w, s->fd, NULL, 0, SOON, NULL, NULL, &err),
                QM_ERROR_INTERNAL);
    CHECK_FAILS(qm__image_write_last(w, SOON, &err), QM_ERROR_INTERNAL);
}

static void
check_write_fails(stream *s, int code)
{
    g_autoptr(qm_image_writer) w = writer_new(s);

    CHECK_FAILS(qm__image_write_from(w, s->fd, NULL, 0, SOON, NULL, NULL, &err),
                code);
    check_closed(s, w);
    g_clear_pointer(&w, qm__image_writer_free);
    s->store->lose_at = -1;
    s->store->refuse = false;
    assert_false(image_is_complete(s->store, NULL));
}

static void
check_last_fails(stream *s, int code)
{
    g_autoptr(qm_image_writer) w = writer_new(s);

    CHECK_OK(qm__image_write_from(w, s->fd, NULL, 0, SOON, NULL, NULL, &err));
    CHECK_FAILS(qm__image_write_last(w, SOON, &err), code);
    check_closed(s, w);
}

/* --- writing ------------------------------------------------------------- */

static void
any_write_may_fail(void **state)
{
    stream *s = *state;

    for (int delayed = 0; delayed < 2; delayed++)
        for (int k = 0; k < CHUNKS; k++) {
            s->store->delayed = delayed;
            s->store->fail_write = k;
            check_write_fails(s, QM_ERROR_IO);
        }
    s->store->fail_write = CHUNKS;
    check_last_fails(s, QM_ERROR_IO);
    assert_false(image_is_complete(s->store, NULL));
}

/* The last chunk comes only after a flush of all before it has succeeded. */
static void
any_flush_may_fail(void **state)
{
    stream *s = *state;

    s->store->fail_flush = 0;
    check_last_fails(s, QM_ERROR_IO);
    assert_int_equal(s->store->writes, CHUNKS);
    assert_false(image_is_complete(s->store, NULL));
    s->store->fail_flush = 1;
    check_last_fails(s, QM_ERROR_IO);
}

static void
session_may_be_lost(void **state)
{
    stream *s = *state;

    s->store->delayed = true;
    for (int k = 0; k < 30; k++) {
        s->store->lose_at = k;
        check_write_fails(s, QM_ERROR_LOST);
    }
    s->store->refuse = true;
    check_write_fails(s, QM_ERROR_LOST);
}

/* Room for the end is kept: an image fits with its last chunk, or not. */
static void
area_may_be_full(void **state)
{
    uint64_t needed = 10 * QM_CHUNK_MAX + 49152 + QM_CHUNK_HEADER;
    stream *s = *state;
    uint64_t whole = s->store->base.capacity;

    s->store->base.capacity = needed;
    {
        g_autoptr(qm_image_writer) w = writer_new(s);

        CHECK_OK(
            qm__image_write_from(w, s->fd, NULL, 0, SOON, NULL, NULL, &err));
        CHECK_OK(qm__image_write_last(w, SOON, &err));
        assert_int_equal(qm__image_written(w), needed);
    }
    check_restore(s->store, false, s->data, LENGTH);
    for (uint64_t less = QM_CHUNK_HEADER; less < needed; less *= 3) {
        s->store->base.capacity = needed - less;
        s->store->delayed = !s->store->delayed;
        check_write_fails(s, QM_ERROR_NO_SPACE);
    }
    s->store->base.capacity = whole;
}

static void
empty_image_needs_one_block(void **state)
{
    g_autoptr(fake_store) f = fake_store_new(QM_CHUNK_HEADER, MIB);

    image_save(f, "", 0);
    assert_true(image_is_complete(f, NULL));
    check_restore(f, false, "", 0);
}

typedef struct {
    int asked, limit;
} askable;

static bool
until_limit(void *opaque, GError **error)
{
    askable *a = opaque;

    if (a->asked++ < a->limit)
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_CANCELLED, "enough");
    return false;
}

static void
writing_may_be_cancelled(void **state)
{
    stream *s = *state;

    s->store->delayed = true;
    for (int limit = 0; limit < CHUNKS + 3; limit++) {
        askable a = {.limit = limit};
        g_autoptr(qm_image_writer) w = writer_new(s);

        CHECK_FAILS(qm__image_write_from(w, s->fd, NULL, 0, SOON, until_limit,
                                         &a, &err),
                    QM_ERROR_CANCELLED);
        assert_int_equal(a.asked, limit + 1);
        check_closed(s, w);
    }
}

/* libvirt that sends nothing more: asked now and then, given up in time. */
static void
writing_ends_at_the_deadline(void **state)
{
    stream *s = *state;
    askable a = {.limit = 1000};
    g_autoptr(qm_image_writer) w = writer_new(s);
    g_autoptr(qm_image_writer) late = writer_new(s);
    int64_t began = qm__now();
    int fds[2];

    assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    CHECK_FAILS(
        qm__image_write_from(w, fds[0], "x", 1, SHORTLY, until_limit, &a, &err),
        QM_ERROR_TIMEOUT);
    assert_in_range(qm__now() - began, 120 * QM_MS, 2 * QM_S);
    assert_in_range(a.asked, 2, 100);
    check_closed(s, w);
    CHECK_FAILS(qm__image_write_from(late, s->fd, NULL, 0, 0, NULL, NULL, &err),
                QM_ERROR_TIMEOUT);
    assert_int_equal(close(fds[0]), 0);
    assert_int_equal(close(fds[1]), 0);
}

static void
source_may_fail(void **state)
{
    stream *s = *state;
    g_autoptr(qm_image_writer) w = writer_new(s);
    int dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    CHECK_FAILS(qm__image_write_from(w, dir, "x", 1, SOON, NULL, NULL, &err),
                QM_ERROR_IO);
    check_closed(s, w);
    assert_int_equal(close(dir), 0);
}

/* What is on its way when the writer goes still uses its buffers. */
static void
free_waits_for_what_is_in_flight(void **state)
{
    stream *s = *state;
    askable a = {.limit = 7};
    g_autoptr(qm_image_writer) w = writer_new(s);

    s->store->delayed = true;
    CHECK_FAILS(
        qm__image_write_from(w, s->fd, NULL, 0, SOON, until_limit, &a, &err),
        QM_ERROR_CANCELLED);
    assert_true(s->store->pending.length > 0);
    g_clear_pointer(&w, qm__image_writer_free);
    assert_int_equal(s->store->pending.length, 0);
}

static void
last_chunk_is_written_once(void **state)
{
    stream *s = *state;
    g_autoptr(qm_image_writer) w = writer_new(s);

    CHECK_OK(qm__image_write_from(w, s->fd, NULL, 0, SOON, NULL, NULL, &err));
    CHECK_OK(qm__image_write_last(w, SOON, &err));
    check_closed(s, w);
    check_restore(s->store, false, s->data, LENGTH);
}

/* --- reading ------------------------------------------------------------- */

static void
any_read_may_fail(void **state)
{
    stream *s = *state;

    image_save(s->store, s->data, LENGTH);
    for (int delayed = 0; delayed < 2; delayed++)
        for (int k = 0; k < CHUNKS; k++) {
            s->store->delayed = delayed;
            s->store->reads = 0;
            s->store->fail_read = k;
            check_restore_fails(s->store, QM_ERROR_IO);
        }
}

static void
session_may_be_lost_while_reading(void **state)
{
    stream *s = *state;

    image_save(s->store, s->data, LENGTH);
    s->store->delayed = true;
    for (int k = 0; k < 30; k++) {
        s->store->services = 0;
        s->store->lose_at = k;
        check_restore_fails(s->store, QM_ERROR_LOST);
    }
    s->store->refuse = true;
    check_restore_fails(s->store, QM_ERROR_LOST);
}

/* Not known is not "incomplete": that would throw a good image away. */
static void
check_of_unreadable_image_is_an_error(void **state)
{
    stream *s = *state;
    uint64_t length = 4711;
    bool complete;

    image_save(s->store, s->data, LENGTH);
    for (int k = 0; k <= CHUNKS; k++) {
        s->store->reads = 0;
        s->store->fail_read = k;
        s->store->delayed = k % 2;
        CHECK_FAILS(qm__image_check(&s->store->base, image_vm, IMAGE_ID, SOON,
                                    &complete, &length, &err),
                    QM_ERROR_IO);
    }
    s->store->fail_read = -1;
    s->store->delayed = true;
    CHECK_FAILS(qm__image_check(&s->store->base, image_vm, IMAGE_ID, 0,
                                &complete, &length, &err),
                QM_ERROR_TIMEOUT);
    s->store->refuse = true;
    CHECK_FAILS(qm__image_check(&s->store->base, image_vm, IMAGE_ID, SOON,
                                &complete, &length, &err),
                QM_ERROR_LOST);
    assert_int_equal(length, 4711);
}

static void
check_read_to(stream *s, int fd, int64_t deadline, askable *a, int code)
{
    g_autoptr(qm_image_reader) r =
        qm__image_reader_new(&s->store->base, image_vm, IMAGE_ID);

    CHECK_FAILS(qm__image_read_to(r, fd, false, deadline,
                                  a != NULL ? until_limit : NULL, a, &err),
                code);
}

static void
reader_of_the_stream_may_go(void **state)
{
    stream *s = *state;
    int fds[2];

    image_save(s->store, s->data, LENGTH);
    assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(close(fds[0]), 0);
    for (int delayed = 0; delayed < 2; delayed++) {
        s->store->delayed = delayed;
        check_read_to(s, fds[1], SOON, NULL, QM_ERROR_IO);
    }
    assert_int_equal(close(fds[1]), 0);
}

/* QEMU that takes nothing more. */
static void
reading_ends_at_the_deadline(void **state)
{
    stream *s = *state;
    askable a = {.limit = 1000};
    int64_t began = qm__now();
    int fds[2];

    image_save(s->store, s->data, LENGTH);
    assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    s->store->delayed = true;
    check_read_to(s, fds[1], SHORTLY, &a, QM_ERROR_TIMEOUT);
    assert_in_range(qm__now() - began, 120 * QM_MS, 2 * QM_S);
    assert_true(a.asked >= 2);
    check_read_to(s, fds[1], 0, NULL, QM_ERROR_TIMEOUT);
    a = (askable){.limit = 5};
    check_read_to(s, fds[1], SOON, &a, QM_ERROR_CANCELLED);
    assert_int_equal(close(fds[0]), 0);
    assert_int_equal(close(fds[1]), 0);
}

static void
free_takes_null(void **state)
{
    qm__image_writer_free(NULL);
    qm__image_reader_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(any_write_may_fail),
        TEST(any_flush_may_fail),
        TEST(session_may_be_lost),
        TEST(area_may_be_full),
        cmocka_unit_test(empty_image_needs_one_block),
        TEST(writing_may_be_cancelled),
        TEST(writing_ends_at_the_deadline),
        TEST(source_may_fail),
        TEST(free_waits_for_what_is_in_flight),
        TEST(last_chunk_is_written_once),
        TEST(any_read_may_fail),
        TEST(session_may_be_lost_while_reading),
        TEST(check_of_unreadable_image_is_an_error),
        TEST(reader_of_the_stream_may_go),
        TEST(reading_ends_at_the_deadline),
        cmocka_unit_test(free_takes_null),
    };

    (void) signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
