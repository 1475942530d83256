/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_TESTS_IMAGE_FIXTURE_H
#define QM_TESTS_IMAGE_FIXTURE_H

/*
 * Streams of known contents into an image and out of it again.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "fake_store.h"
#include "image.h"
#include "timeouts.h"
#include "unit.h"

#define IMAGE_ID UINT64_C(0x1122334455667788)
#define MIB      (1024 * 1024)
#define SOON     qm__deadline_in(20 * QM_S)
#define SHORTLY  qm__deadline_in(120 * QM_MS)

static const uint8_t image_vm[QM_UUID_LEN] = {0xaa, 0xbb};

typedef enum { STREAM_RANDOM, STREAM_SOFT, STREAM_MIXED } stream_kind;

/* Bytes that compress badly, well, or now this and now that. */
static inline uint8_t *
stream_new(size_t length, stream_kind kind)
{
    uint8_t *data = g_malloc(length + 1);
    uint32_t x = 2463534242;

    for (size_t i = 0; i < length; i++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        data[i] = kind == STREAM_SOFT || (kind == STREAM_MIXED && i >> 20 & 1)
                      ? (uint8_t) (i >> 10)
                      : (uint8_t) x;
    }
    return data;
}

/* A file that holds @data, to be read from its beginning. */
static inline int
stream_fd(const void *data, size_t length)
{
    int fd = memfd_create("stream", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_true(write(fd, data, length) == (ssize_t) length);
    assert_true(lseek(fd, 0, SEEK_SET) == 0);
    return fd;
}

static inline void
image_save_as(fake_store *f, uint64_t image_id, qm_codec codec,
              const void *data, size_t length)
{
    g_autoptr(qm_image_writer) w =
        qm__image_writer_new(&f->base, image_vm, image_id, codec);
    int fd = stream_fd(data, length);

    CHECK_OK(qm__image_write_from(w, fd, NULL, 0, SOON, NULL, NULL, &err));
    CHECK_OK(qm__image_write_last(w, SOON, &err));
    assert_int_equal(close(fd), 0);
}

static inline void
image_save(fake_store *f, const void *data, size_t length)
{
    image_save_as(f, IMAGE_ID, QM_CODEC_NONE, data, length);
}

static inline void
check_contents(int fd, const void *expected, size_t length)
{
    g_autofree uint8_t *found = g_malloc(length + 1);

    assert_true(lseek(fd, 0, SEEK_END) == (off_t) length);
    assert_true(pread(fd, found, length, 0) == (ssize_t) length);
    if (memcmp(found, expected, length) != 0)
        fail_msg("%zu bytes came back changed", length);
}

static inline void
check_restore(fake_store *f, bool follow, const void *expected, size_t length)
{
    g_autoptr(qm_image_reader) r =
        qm__image_reader_new(&f->base, image_vm, IMAGE_ID);
    int fd = memfd_create("restored", MFD_CLOEXEC);

    CHECK_OK(qm__image_read_to(r, fd, follow, SOON, NULL, NULL, &err));
    check_contents(fd, expected, length);
    assert_int_equal(close(fd), 0);
}

static inline void
check_restore_fails(fake_store *f, int code)
{
    g_autoptr(qm_image_reader) r =
        qm__image_reader_new(&f->base, image_vm, IMAGE_ID);
    int fd = memfd_create("restored", MFD_CLOEXEC);

    CHECK_FAILS(qm__image_read_to(r, fd, false, SOON, NULL, NULL, &err), code);
    assert_int_equal(close(fd), 0);
}

static inline bool
image_is_complete(fake_store *f, uint64_t *ret_length)
{
    uint64_t length;
    bool complete;

    CHECK_OK(qm__image_check(&f->base, image_vm, IMAGE_ID, SOON, &complete,
                             &length, &err));
    if (ret_length != NULL)
        *ret_length = length;
    return complete;
}

#endif
