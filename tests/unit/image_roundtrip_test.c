/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * What goes into an image comes out of it, whatever its length, however the
 * store completes, compressed or not.
 */
#include "config.h"
#include <sys/stat.h>
#include "image_fixture.h"

static const size_t lengths[] = {
    0,
    1,
    4095,
    4096,
    4097,
    65536 - QM_CHUNK_HEADER,
    65536 - QM_CHUNK_HEADER + 1,
    QM_CHUNK_PAYLOAD - 1,
    QM_CHUNK_PAYLOAD,
    QM_CHUNK_PAYLOAD + 1,
    7 * QM_CHUNK_PAYLOAD,
    13 * MIB + 12345,
};

static const uint32_t transfers[] = {64 * 1024, 100 * 1024, 512 * 1024, MIB,
                                     16 * MIB};

static void
one_way_and_back(size_t length, stream_kind kind, qm_codec codec,
                 uint32_t max_transfer, bool delayed)
{
    g_autoptr(fake_store) f = fake_store_new(20 * MIB, max_transfer);
    g_autofree uint8_t *data = stream_new(length, kind);
    uint64_t log_length;

    f->delayed = delayed;
    image_save_as(f, IMAGE_ID, codec, data, length);
    assert_int_equal(f->flushes, 2);
    assert_true(f->max_pending <= QM_IMAGE_DEPTH);
    if (delayed && length > 8 * MIB)
        assert_int_equal(f->max_pending, QM_IMAGE_DEPTH);
    assert_true(image_is_complete(f, &log_length));
    if (codec == QM_CODEC_NONE)
        assert_true(log_length > length);
    check_restore(f, false, data, length);
    check_restore(f, true, data, length);
}

static void
all_lengths(qm_codec codec, stream_kind kind, bool delayed)
{
    for (size_t i = 0; i < G_N_ELEMENTS(lengths); i++)
        for (size_t j = 0; j < G_N_ELEMENTS(transfers); j++)
            one_way_and_back(lengths[i], kind, codec, transfers[j], delayed);
}

static void
plain_at_once(void **state)
{
    all_lengths(QM_CODEC_NONE, STREAM_RANDOM, false);
}

static void
plain_out_of_order(void **state)
{
    all_lengths(QM_CODEC_NONE, STREAM_RANDOM, true);
}

static void
compressed_at_once(void **state)
{
    all_lengths(QM_CODEC_LZ4, STREAM_MIXED, false);
}

static void
compressed_out_of_order(void **state)
{
    all_lengths(QM_CODEC_LZ4, STREAM_SOFT, true);
    all_lengths(QM_CODEC_LZ4, STREAM_MIXED, true);
}

static uint64_t
log_length_of(qm_codec codec, stream_kind kind)
{
    g_autoptr(fake_store) f = fake_store_new(20 * MIB, MIB);
    g_autofree uint8_t *data = stream_new(8 * MIB, kind);
    uint64_t length;

    image_save_as(f, IMAGE_ID, codec, data, 8 * MIB);
    assert_true(image_is_complete(f, &length));
    return length;
}

/* Compression pays where it can, and costs nothing where it cannot. */
static void
compression_saves_space(void **state)
{
    uint64_t plain = log_length_of(QM_CODEC_NONE, STREAM_SOFT);

    assert_true(log_length_of(QM_CODEC_LZ4, STREAM_SOFT) < plain / 10);
    assert_true(log_length_of(QM_CODEC_LZ4, STREAM_RANDOM) <= plain);
}

static void
check_prefix(size_t prefix_length, size_t length)
{
    g_autoptr(fake_store) f = fake_store_new(20 * MIB, 64 * 1024);
    g_autofree uint8_t *data =
        stream_new(prefix_length + length, STREAM_RANDOM);
    g_autoptr(qm_image_writer) w =
        qm__image_writer_new(&f->base, image_vm, IMAGE_ID, QM_CODEC_NONE);
    int fd = stream_fd(data + prefix_length, length);

    f->delayed = true;
    CHECK_OK(qm__image_write_from(w, fd, data, prefix_length, SOON, NULL, NULL,
                                  &err));
    CHECK_OK(qm__image_write_last(w, SOON, &err));
    check_restore(f, false, data, prefix_length + length);
    assert_int_equal(close(fd), 0);
}

static void
prefix_goes_before(void **state)
{
    check_prefix(92, 0);
    check_prefix(92, 1);
    check_prefix(92, 3 * MIB);
    check_prefix(64 * 1024 - QM_CHUNK_HEADER, 5);
    check_prefix(3 * MIB + 7, 3 * MIB);
}

/* Two pieces, one image. */
static void
stream_can_be_continued(void **state)
{
    g_autoptr(fake_store) f = fake_store_new(20 * MIB, MIB);
    g_autofree uint8_t *data = stream_new(3 * MIB, STREAM_RANDOM);
    g_autoptr(qm_image_writer) w =
        qm__image_writer_new(&f->base, image_vm, IMAGE_ID, QM_CODEC_NONE);
    int first = stream_fd(data, MIB), second = stream_fd(data + MIB, 2 * MIB);

    CHECK_OK(qm__image_write_from(w, first, NULL, 0, SOON, NULL, NULL, &err));
    CHECK_OK(qm__image_write_from(w, second, NULL, 0, SOON, NULL, NULL, &err));
    CHECK_OK(qm__image_write_last(w, SOON, &err));
    check_restore(f, false, data, 3 * MIB);
    assert_int_equal(close(first), 0);
    assert_int_equal(close(second), 0);
}

typedef struct {
    const uint8_t *data;
    size_t length;
    int fd;
} pipe_end;

/* Writes in odd pieces, with pauses, then closes. */
static void *
feed(void *opaque)
{
    pipe_end *p = opaque;
    size_t piece = 1;

    for (size_t done = 0; done < p->length; piece = piece * 3 % 70001) {
        ssize_t n = write(p->fd, p->data + done, MIN(piece, p->length - done));

        g_assert(n > 0);
        done += (size_t) n;
        if (piece % 7 == 0)
            g_usleep(200);
    }
    g_assert(close(p->fd) == 0);
    return NULL;
}

static void *
swallow(void *opaque)
{
    pipe_end *p = opaque;
    uint8_t *found = g_malloc(p->length + 1);
    size_t have = 0;
    ssize_t n;

    while ((n = read(p->fd, found + have,
                     MIN(5000 + have % 99991, p->length + 1 - have))) > 0) {
        have += (size_t) n;
        if (have % 5 == 0)
            g_usleep(200);
    }
    g_assert(have == p->length && memcmp(found, p->data, have) == 0);
    g_free(found);
    g_assert(close(p->fd) == 0);
    return NULL;
}

static void
make_pipe(int *ret_ours, int *ret_theirs, bool read_end_is_ours)
{
    int fds[2], ours;

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    ours = read_end_is_ours ? fds[0] : fds[1];
    assert_int_equal(fcntl(ours, F_SETFL, O_NONBLOCK), 0);
    *ret_ours = ours;
    *ret_theirs = read_end_is_ours ? fds[1] : fds[0];
}

/* As with libvirt: slow pipes on both sides. */
static void
through_slow_pipes(void **state)
{
    size_t length = 5 * MIB + 321;
    g_autoptr(fake_store) f = fake_store_new(20 * MIB, 256 * 1024);
    g_autofree uint8_t *data = stream_new(length, STREAM_MIXED);
    g_autoptr(qm_image_writer) w =
        qm__image_writer_new(&f->base, image_vm, IMAGE_ID, QM_CODEC_LZ4);
    g_autoptr(qm_image_reader) r =
        qm__image_reader_new(&f->base, image_vm, IMAGE_ID);
    pipe_end end = {data, length, -1};
    GThread *thread;
    int fd;

    f->delayed = true;
    make_pipe(&fd, &end.fd, true);
    thread = g_thread_new("feed", feed, &end);
    CHECK_OK(qm__image_write_from(w, fd, NULL, 0, SOON, NULL, NULL, &err));
    g_thread_join(thread);
    assert_int_equal(close(fd), 0);
    CHECK_OK(qm__image_write_last(w, SOON, &err));
    make_pipe(&fd, &end.fd, false);
    thread = g_thread_new("swallow", swallow, &end);
    CHECK_OK(qm__image_read_to(r, fd, false, SOON, NULL, NULL, &err));
    assert_int_equal(close(fd), 0);
    g_thread_join(thread);
    assert_int_equal(qm__image_read_bytes(r), qm__image_written(w));
}

typedef struct {
    char *path;
    const char *text;
} late_writer;

static void *
open_late(void *opaque)
{
    late_writer *l = opaque;
    int fd;

    g_usleep(150 * 1000);
    fd = open(l->path, O_WRONLY | O_CLOEXEC);
    g_assert(fd >= 0);
    g_assert(write(fd, l->text, strlen(l->text)) == (ssize_t) strlen(l->text));
    g_assert(close(fd) == 0);
    return NULL;
}

/* A FIFO that nobody has opened for writing yet is not at its end. */
static void
fifo_without_writer_is_waited_for(void **state)
{
    g_autofree char *dir = g_dir_make_tmp("quickmig-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "fifo", NULL);
    g_autoptr(fake_store) f = fake_store_new(20 * MIB, MIB);
    g_autoptr(qm_image_writer) w =
        qm__image_writer_new(&f->base, image_vm, IMAGE_ID, QM_CODEC_NONE);
    late_writer late = {path, "hello"};
    GThread *thread;
    int fd;

    assert_int_equal(mkfifo(path, 0600), 0);
    fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(fd >= 0);
    thread = g_thread_new("late", open_late, &late);
    CHECK_OK(qm__image_write_from(w, fd, NULL, 0, SOON, NULL, NULL, &err));
    g_thread_join(thread);
    CHECK_OK(qm__image_write_last(w, SOON, &err));
    check_restore(f, false, "hello", 5);
    assert_int_equal(close(fd), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

/* A store that has something to do without an event gets its turn. */
static void
store_is_served_without_events(void **state)
{
    g_autoptr(fake_store) f = fake_store_new(20 * MIB, MIB);
    g_autofree uint8_t *data = stream_new(2 * MIB, STREAM_RANDOM);

    f->delayed = f->quiet = true;
    image_save(f, data, 2 * MIB);
    check_restore(f, false, data, 2 * MIB);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_at_once),
        cmocka_unit_test(plain_out_of_order),
        cmocka_unit_test(compressed_at_once),
        cmocka_unit_test(compressed_out_of_order),
        cmocka_unit_test(compression_saves_space),
        cmocka_unit_test(prefix_goes_before),
        cmocka_unit_test(stream_can_be_continued),
        cmocka_unit_test(through_slow_pipes),
        cmocka_unit_test(fifo_without_writer_is_waited_for),
        cmocka_unit_test(store_is_served_without_events),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
