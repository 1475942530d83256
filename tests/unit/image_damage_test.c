/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Images that are damaged, cut short, mixed up or somebody else's.
 */
#include "config.h"
#include "codec.h"
#include "crc32c.h"
#include "image_fixture.h"

#define LENGTH (2 * QM_CHUNK_PAYLOAD + 5000)
#define CHUNKS 3 /* then the last one, which is empty */
#define LAST   (2 * QM_CHUNK_MAX + 3 * QM_CHUNK_HEADER)

typedef struct {
    fake_store *store;
    uint8_t *data;
    uint8_t *log; /* as it was written */
} image;

static int
set_up(void **state)
{
    image *i = g_new0(image, 1);

    i->store = fake_store_new(8 * MIB, MIB);
    i->data = stream_new(LENGTH, STREAM_RANDOM);
    image_save(i->store, i->data, LENGTH);
    i->log = g_memdup2(i->store->memory, i->store->base.capacity);
    *state = i;
    return 0;
}

static int
tear_down(void **state)
{
    image *i = *state;

    fake_store_free(i->store);
    g_free(i->data);
    g_free(i->log);
    g_free(i);
    return 0;
}

static void
mend(image *i)
{
    memcpy(i->store->memory, i->log, i->store->base.capacity);
}

/* Makes the header's checksum right again. */
static void
seal(uint8_t *header)
{
    qm__put32(header + QM_CHUNK_HEADER - 4,
              qm__crc32c(0, header, QM_CHUNK_HEADER - 4));
}

/* Not restored and not committed. */
static void
check_bad(image *i)
{
    assert_false(image_is_complete(i->store, NULL));
    check_restore_fails(i->store, QM_ERROR_CORRUPT);
    mend(i);
}

static void
untouched_is_whole(void **state)
{
    image *i = *state;
    uint64_t length;

    assert_true(image_is_complete(i->store, &length));
    assert_int_equal(length, LAST + QM_CHUNK_HEADER);
    check_restore(i->store, false, i->data, LENGTH);
}

static void
flipped_bit_in_a_header(void **state)
{
    static const uint64_t headers[] = {0, QM_CHUNK_MAX, 2 * QM_CHUNK_MAX, LAST};
    image *i = *state;

    for (size_t h = 0; h < G_N_ELEMENTS(headers); h++)
        for (size_t at = 0; at < QM_CHUNK_HEADER; at += at < 112 ? 3 : 331) {
            i->store->memory[headers[h] + at] ^= 0x10;
            check_bad(i);
        }
}

/* Seen when it is read; the commit's check looks at headers only. */
static void
flipped_bit_in_a_payload(void **state)
{
    static const uint64_t places[] = {
        QM_CHUNK_HEADER, QM_CHUNK_MAX - 1, QM_CHUNK_MAX + QM_CHUNK_HEADER + 99,
        2 * QM_CHUNK_MAX + QM_CHUNK_HEADER + 4999};
    image *i = *state;

    for (size_t p = 0; p < G_N_ELEMENTS(places); p++) {
        i->store->memory[places[p]] ^= 1;
        assert_true(image_is_complete(i->store, NULL));
        check_restore_fails(i->store, QM_ERROR_CORRUPT);
        mend(i);
    }
}

/* Nothing is handed on that was not checked before. */
static void
damage_is_not_handed_on(void **state)
{
    image *i = *state;
    g_autoptr(qm_image_reader) r =
        qm__image_reader_new(&i->store->base, image_vm, IMAGE_ID);
    int fd = memfd_create("restored", MFD_CLOEXEC);

    i->store->memory[QM_CHUNK_MAX + QM_CHUNK_HEADER + 5] ^= 1;
    CHECK_FAILS(qm__image_read_to(r, fd, false, SOON, NULL, NULL, &err),
                QM_ERROR_CORRUPT);
    check_contents(fd, i->data, QM_CHUNK_PAYLOAD);
    assert_int_equal(close(fd), 0);
}

static void
missing_chunk(void **state)
{
    image *i = *state;

    memset(i->store->memory, 0, QM_CHUNK_MAX);
    check_bad(i);
    memset(i->store->memory + QM_CHUNK_MAX, 0, QM_CHUNK_MAX);
    check_bad(i);
    memset(i->store->memory + LAST, 0, QM_CHUNK_HEADER);
    check_bad(i);
    memset(i->store->memory, 0, i->store->base.capacity);
    check_bad(i);
}

static void
exchanged_chunks(void **state)
{
    image *i = *state;

    memcpy(i->store->memory, i->log + QM_CHUNK_MAX, QM_CHUNK_MAX);
    check_bad(i);
    memcpy(i->store->memory, i->log + QM_CHUNK_MAX, QM_CHUNK_MAX);
    memcpy(i->store->memory + QM_CHUNK_MAX, i->log, QM_CHUNK_MAX);
    check_bad(i);
}

/* Chunks and the end of an older, longer image stand behind this one. */
static void
older_image_behind(void **state)
{
    image *i = *state;
    g_autofree uint8_t *old = stream_new(6 * MIB, STREAM_RANDOM);

    image_save_as(i->store, IMAGE_ID - 1, QM_CODEC_NONE, old, 6 * MIB);
    memcpy(i->store->memory, i->log, LAST + QM_CHUNK_HEADER);
    assert_true(image_is_complete(i->store, NULL));
    check_restore(i->store, false, i->data, LENGTH);
    /* Without its own end the older one's does not count. */
    image_save_as(i->store, IMAGE_ID - 1, QM_CODEC_NONE, i->data, LENGTH);
    memcpy(i->store->memory, i->log, LAST);
    check_bad(i);
}

static void
older_image_alone(void **state)
{
    image *i = *state;

    image_save_as(i->store, IMAGE_ID - 1, QM_CODEC_NONE, i->data, LENGTH);
    check_bad(i);
    image_save_as(i->store, IMAGE_ID + 1, QM_CODEC_NONE, i->data, LENGTH);
    check_bad(i);
}

static void
another_vms_image(void **state)
{
    image *i = *state;

    for (int c = 0; c <= CHUNKS; c++) {
        uint8_t *header =
            i->store->memory + (c == CHUNKS ? LAST : c * QM_CHUNK_MAX);

        header[16] ^= 1;
        seal(header);
    }
    check_bad(i);
}

/* A chunk of another save of the same length, even if it claims this one's
 * id: the digest tells. */
static void
foreign_chunk_in_the_middle(void **state)
{
    image *i = *state;
    g_autofree uint8_t *other = g_memdup2(i->data, LENGTH);

    other[QM_CHUNK_PAYLOAD + 1] ^= 1;
    image_save(i->store, other, LENGTH);
    memcpy(i->store->memory, i->log, QM_CHUNK_MAX);
    memcpy(i->store->memory + 2 * QM_CHUNK_MAX, i->log + 2 * QM_CHUNK_MAX,
           i->store->base.capacity - 2 * QM_CHUNK_MAX);
    check_bad(i);
}

static void
wrong_total(void **state)
{
    image *i = *state;

    qm__put64(i->store->memory + LAST + 64, LENGTH + 1);
    seal(i->store->memory + LAST);
    check_bad(i);
    i->store->memory[LAST + 72] ^= 1; /* digest */
    seal(i->store->memory + LAST);
    check_bad(i);
}

static void
early_end(void **state)
{
    image *i = *state;

    qm__put32(i->store->memory + QM_CHUNK_MAX + 12, QM_CHUNK_LAST);
    seal(i->store->memory + QM_CHUNK_MAX);
    check_bad(i);
}

/* A chunk that says it is compressed, with a right checksum, but is not. */
static void
nonsense_to_decompress(void **state)
{
    image *i = *state;
    uint8_t *header = i->store->memory;

    qm__put32(header + 56, QM_CODEC_LZ4);
    seal(header);
    check_restore_fails(i->store, QM_ERROR_CORRUPT);
    memset(header + QM_CHUNK_HEADER, 0xff, QM_CHUNK_PAYLOAD);
    qm__put32(header + 60,
              qm__crc32c(0, header + QM_CHUNK_HEADER, QM_CHUNK_PAYLOAD));
    seal(header);
    check_restore_fails(i->store, QM_ERROR_CORRUPT);
    /* Nothing stored, much claimed. */
    qm__put32(header + 52, 0);
    qm__put32(header + 60, 0);
    seal(header);
    check_restore_fails(i->store, QM_ERROR_CORRUPT);
}

/* Decompresses, but to another length than the header says. */
static void
wrong_raw_length(void **state)
{
    image *i = *state;
    g_autofree uint8_t *soft = stream_new(LENGTH, STREAM_SOFT);

    image_save_as(i->store, IMAGE_ID, QM_CODEC_LZ4, soft, LENGTH);
    check_restore(i->store, false, soft, LENGTH);
    qm__put32(i->store->memory + 48, QM_CHUNK_PAYLOAD - 1);
    seal(i->store->memory);
    check_bad(i);
}

/* The area ends in the middle of a chunk, or right where the end should be. */
static void
area_too_small(void **state)
{
    static const uint64_t capacities[] = {QM_CHUNK_HEADER, QM_CHUNK_MAX,
                                          QM_CHUNK_MAX + QM_CHUNK_HEADER,
                                          LAST - QM_CHUNK_HEADER, LAST};
    image *i = *state;
    uint64_t whole = i->store->base.capacity, length;

    for (size_t c = 0; c < G_N_ELEMENTS(capacities); c++) {
        i->store->base.capacity = capacities[c];
        assert_false(image_is_complete(i->store, &length));
        assert_true(length <= capacities[c]);
        check_restore_fails(i->store, QM_ERROR_CORRUPT);
    }
    i->store->base.capacity = LAST + QM_CHUNK_HEADER;
    assert_true(image_is_complete(i->store, NULL));
    check_restore(i->store, false, i->data, LENGTH);
    i->store->base.capacity = whole;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(untouched_is_whole),
        TEST(flipped_bit_in_a_header),
        TEST(flipped_bit_in_a_payload),
        TEST(damage_is_not_handed_on),
        TEST(missing_chunk),
        TEST(exchanged_chunks),
        TEST(older_image_behind),
        TEST(older_image_alone),
        TEST(another_vms_image),
        TEST(foreign_chunk_in_the_middle),
        TEST(wrong_total),
        TEST(early_end),
        TEST(nonsense_to_decompress),
        TEST(wrong_raw_length),
        TEST(area_too_small),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
