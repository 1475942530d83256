/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Encrypted images: what was written comes back with the same secret, and only
 * as it was written.  Whoever tampers here can make checksums right.
 */
#include "config.h"
#include "codec.h"
#include "crc32c.h"
#include "image-crypt.h"
#include "image_fixture.h"

#define LENGTH (2 * QM_CHUNK_PAYLOAD + 5000)
#define SECRET "0123456789abcdef0123456789abcdef"
#define OTHER  "0123456789abcdef0123456789abcdeF"
#define LAST   (2 * QM_CHUNK_MAX + 3 * QM_CHUNK_HEADER)

typedef struct {
    fake_store *store;
    qm_image_key *key, *other;
    uint8_t *data, *log;
} image;

static void
save_with(fake_store *f, const qm_image_key *key, uint64_t id, qm_codec codec,
          const void *data, size_t length)
{
    g_autoptr(qm_image_writer) w =
        qm__image_writer_new(&f->base, image_vm, id, codec);
    int fd = stream_fd(data, length);

    CHECK_OK(qm__image_writer_encrypt(w, key, &err));
    CHECK_OK(qm__image_write_from(w, fd, NULL, 0, SOON, NULL, NULL, &err));
    CHECK_OK(qm__image_write_last(w, SOON, &err));
    assert_int_equal(close(fd), 0);
}

static bool
load_with(fake_store *f, const qm_image_key *key, int *ret_fd, GError **error)
{
    g_autoptr(qm_image_reader) r =
        qm__image_reader_new(&f->base, image_vm, IMAGE_ID);

    *ret_fd = memfd_create("restored", MFD_CLOEXEC);
    qm__image_reader_decrypt(r, key);
    return qm__image_read_to(r, *ret_fd, false, SOON, NULL, NULL, error);
}

static void
check_good(image *i, const void *expected, size_t length)
{
    int fd;

    CHECK_OK(load_with(i->store, i->key, &fd, &err));
    check_contents(fd, expected, length);
    assert_int_equal(close(fd), 0);
}

/* @good: so many bytes are handed on before it is noticed. */
static void
check_bad(image *i, const qm_image_key *key, int code, size_t good)
{
    int fd;

    CHECK_FAILS(load_with(i->store, key, &fd, &err), code);
    check_contents(fd, i->data, good);
    assert_int_equal(close(fd), 0);
    memcpy(i->store->memory, i->log, i->store->base.capacity);
}

static int
set_up(void **state)
{
    image *i = g_new0(image, 1);

    CHECK_OK(qm__image_key_new(SECRET, &i->key, &err));
    CHECK_OK(qm__image_key_new(OTHER, &i->other, &err));
    i->store = fake_store_new(8 * MIB, MIB);
    i->data = stream_new(LENGTH, STREAM_RANDOM);
    save_with(i->store, i->key, IMAGE_ID, QM_CODEC_NONE, i->data, LENGTH);
    i->log = g_memdup2(i->store->memory, i->store->base.capacity);
    *state = i;
    return 0;
}

static int
tear_down(void **state)
{
    image *i = *state;

    fake_store_free(i->store);
    qm__image_key_free(i->key);
    qm__image_key_free(i->other);
    g_free(i->data);
    g_free(i->log);
    g_free(i);
    return 0;
}

/* Makes both checksums of the chunk right again. */
static void
seal(uint8_t *header)
{
    qm__put32(header + 60,
              qm__crc32c(0, header + QM_CHUNK_HEADER, qm__get32(header + 52)));
    qm__put32(header + QM_CHUNK_HEADER - 4,
              qm__crc32c(0, header, QM_CHUNK_HEADER - 4));
}

static void
comes_back(void **state)
{
    image *i = *state;
    g_autofree uint8_t *soft = stream_new(LENGTH, STREAM_MIXED);

    assert_true(image_is_complete(i->store, NULL)); /* without any key */
    check_good(i, i->data, LENGTH);
    save_with(i->store, i->key, IMAGE_ID, QM_CODEC_LZ4, soft, LENGTH);
    check_good(i, soft, LENGTH);
    save_with(i->store, i->key, IMAGE_ID, QM_CODEC_NONE, "", 0);
    check_good(i, "", 0);
}

/* Nothing of the stream lies there, nor of the secret. */
static void
nothing_in_the_clear(void **state)
{
    image *i = *state;
    size_t capacity = i->store->base.capacity;
    g_autofree uint8_t *zero = g_malloc0(LENGTH);

    assert_null(memmem(i->log, capacity, i->data + 1000, 16));
    assert_null(memmem(i->log, capacity, SECRET, 8));
    save_with(i->store, i->key, IMAGE_ID, QM_CODEC_NONE, zero, LENGTH);
    assert_null(
        memmem(i->store->memory + QM_CHUNK_HEADER, QM_CHUNK_PAYLOAD, zero, 16));
    assert_null(memmem(i->store->memory + QM_CHUNK_MAX + QM_CHUNK_HEADER,
                       QM_CHUNK_PAYLOAD, zero, 16));
}

/* The same bytes, the same id, the same place: all of it differs, so no key
 * met a nonce twice. */
static void
no_stream_of_keys_twice(void **state)
{
    image *i = *state;
    size_t same = 0;

    save_with(i->store, i->key, IMAGE_ID, QM_CODEC_NONE, i->data, LENGTH);
    for (size_t at = 0; at < QM_CHUNK_PAYLOAD; at++)
        same += i->store->memory[QM_CHUNK_HEADER + at] ==
                i->log[QM_CHUNK_HEADER + at];
    assert_true(same < QM_CHUNK_PAYLOAD / 100);
    assert_memory_not_equal(i->store->memory + 112, i->log + 112, QM_SALT_LEN);
    /* The second chunk of equal bytes is not the first one. */
    for (size_t at = same = 0; at < QM_CHUNK_PAYLOAD; at++)
        same += (i->log[QM_CHUNK_HEADER + at] ^ i->data[at]) ==
                (i->log[QM_CHUNK_MAX + QM_CHUNK_HEADER + at] ^
                 i->data[QM_CHUNK_PAYLOAD + at]);
    assert_true(same < QM_CHUNK_PAYLOAD / 100);
}

static void
a_sequence_is_sealed_once(void **state)
{
    image *i = *state;
    g_autoptr(qm_image_cipher) c = NULL;
    qm_chunk chunk = {.image_id = IMAGE_ID, .stored_length = 16};
    uint8_t payload[16] = {0};

    CHECK_OK(qm__image_cipher_new(i->key, image_vm, IMAGE_ID, &c, &err));
    CHECK_OK(qm__image_seal(c, &chunk, payload, &err));
    CHECK_FAILS(qm__image_seal(c, &chunk, payload, &err), QM_ERROR_INTERNAL);
    chunk.sequence = 7;
    CHECK_OK(qm__image_seal(c, &chunk, payload, &err));
    chunk.sequence = 6;
    CHECK_FAILS(qm__image_seal(c, &chunk, payload, &err), QM_ERROR_INTERNAL);
    chunk.sequence = UINT32_MAX;
    CHECK_FAILS(qm__image_seal(c, &chunk, payload, &err), QM_ERROR_INTERNAL);
}

static void
wrong_secret(void **state)
{
    image *i = *state;
    qm_image_key *none = NULL;

    check_bad(i, i->other, QM_ERROR_KEY, 0);
    check_bad(i, NULL, QM_ERROR_KEY, 0);
    CHECK_FAILS(qm__image_key_new("short", &none, &err), QM_ERROR_INVALID);
    assert_null(none);
}

/* Somebody offers memory of their own making. */
static void
in_the_clear_with_a_secret(void **state)
{
    image *i = *state;

    image_save(i->store, i->data, LENGTH);
    check_bad(i, i->key, QM_ERROR_KEY, 0);
    /* From the second chunk on. */
    image_save(i->store, i->data, LENGTH);
    memcpy(i->store->memory, i->log, QM_CHUNK_MAX);
    check_bad(i, i->key, QM_ERROR_KEY, QM_CHUNK_PAYLOAD);
}

static void
tampered(void **state)
{
    /* sequence is noticed before, as is the image id */
    static const size_t fields[] = {48, 52, 112, 127, 144, 159};
    image *i = *state;
    uint8_t *second = i->store->memory + QM_CHUNK_MAX;

    for (size_t at = 0; at < QM_CHUNK_PAYLOAD; at += 99991) {
        second[QM_CHUNK_HEADER + at] ^= 1;
        seal(second);
        check_bad(i, i->key, QM_ERROR_CORRUPT, QM_CHUNK_PAYLOAD);
    }
    for (size_t f = 0; f < G_N_ELEMENTS(fields); f++) {
        second[fields[f]] ^= 1;
        seal(second);
        check_bad(i, i->key, QM_ERROR_CORRUPT, QM_CHUNK_PAYLOAD);
    }
    /* A payload that says that it is to be decompressed. */
    qm__put32(second + 56, QM_CODEC_LZ4);
    seal(second);
    check_bad(i, i->key, QM_ERROR_CORRUPT, QM_CHUNK_PAYLOAD);
    /* An end before the end. */
    qm__put32(second + 12, QM_CHUNK_LAST);
    seal(second);
    check_bad(i, i->key, QM_ERROR_CORRUPT, QM_CHUNK_PAYLOAD);
    /* One that says it were another VM's is none at all. */
    second[16] ^= 1;
    seal(second);
    check_bad(i, i->key, QM_ERROR_CORRUPT, QM_CHUNK_PAYLOAD);
}

/* Chunk @to is replaced by @from, which then claims to be @to. */
static void
swap_in(image *i, const uint8_t *from, unsigned to)
{
    uint8_t *at = i->store->memory + (size_t) to * QM_CHUNK_MAX;

    memcpy(at, from, QM_CHUNK_MAX);
    qm__put64(at + 32, IMAGE_ID);
    qm__put64(at + 40, to);
    seal(at);
}

static void
swapped(void **state)
{
    image *i = *state;
    g_autofree uint8_t *older = NULL;

    swap_in(i, i->log + QM_CHUNK_MAX, 0);
    check_bad(i, i->key, QM_ERROR_CORRUPT, 0);
    swap_in(i, i->log, 1);
    check_bad(i, i->key, QM_ERROR_CORRUPT, QM_CHUNK_PAYLOAD);
    /* The same place of another image, of the same VM and secret. */
    save_with(i->store, i->key, IMAGE_ID - 1, QM_CODEC_NONE, i->data, LENGTH);
    older = g_memdup2(i->store->memory, i->store->base.capacity);
    memcpy(i->store->memory, i->log, i->store->base.capacity);
    swap_in(i, older + QM_CHUNK_MAX, 1);
    check_bad(i, i->key, QM_ERROR_CORRUPT, QM_CHUNK_PAYLOAD);
    /* All of an older image, which claims to be this one. */
    swap_in(i, older, 0);
    check_bad(i, i->key, QM_ERROR_KEY, 0);
}

static void
truncated(void **state)
{
    image *i = *state;

    memset(i->store->memory + LAST, 0, QM_CHUNK_HEADER);
    check_bad(i, i->key, QM_ERROR_CORRUPT, LENGTH);
    /* Its end, moved to the front. */
    memcpy(i->store->memory + QM_CHUNK_MAX, i->log + LAST, QM_CHUNK_HEADER);
    qm__put64(i->store->memory + QM_CHUNK_MAX + 40, 1);
    qm__put64(i->store->memory + QM_CHUNK_MAX + 64, QM_CHUNK_PAYLOAD);
    seal(i->store->memory + QM_CHUNK_MAX);
    check_bad(i, i->key, QM_ERROR_CORRUPT, QM_CHUNK_PAYLOAD);
}

/* One field of a header is changed; nothing else would notice. */
static void
header_is_authenticated(void **state)
{
    image *i = *state;
    const qm_chunk original = {.image_id = IMAGE_ID,
                               .sequence = 3,
                               .raw_length = 64,
                               .stored_length = 32,
                               .codec = QM_CODEC_LZ4,
                               .total_length = 100};
    qm_chunk changed[7];
    uint8_t payload[32] = "of the guest's memory", plain[32];
    g_autoptr(qm_image_cipher) writer = NULL, reader = NULL;
    qm_chunk chunk = original;

    CHECK_OK(qm__image_cipher_new(i->key, image_vm, IMAGE_ID, &writer, &err));
    CHECK_OK(qm__image_seal(writer, &chunk, payload, &err));
    CHECK_OK(qm__image_cipher_for(i->key, image_vm, &chunk, &reader, &err));
    CHECK_OK(qm__image_unseal(reader, &chunk, payload, plain, &err));
    assert_string_equal((char *) plain, "of the guest's memory");
    for (size_t c = 0; c < G_N_ELEMENTS(changed); c++)
        changed[c] = chunk;
    changed[0].sequence++;
    changed[1].raw_length++;
    changed[2].stored_length--;
    changed[3].codec = QM_CODEC_NONE;
    changed[4].flags = QM_CHUNK_LAST;
    changed[5].total_length++;
    changed[6].cipher = QM_CIPHER_NONE;
    for (size_t c = 0; c < G_N_ELEMENTS(changed); c++)
        CHECK_FAILS(qm__image_unseal(reader, &changed[c], payload, plain, &err),
                    QM_ERROR_CORRUPT);
    CHECK_OK(qm__image_unseal(reader, &chunk, payload, plain, &err));
}

/* Another VM with the same secret: its image is not taken, not even where
 * header and image id were made to fit. */
static void
another_vm(void **state)
{
    static const uint8_t other_vm[QM_UUID_LEN] = {0xaa, 0xbc};
    image *i = *state;
    g_autoptr(qm_image_writer) w = qm__image_writer_new(
        &i->store->base, other_vm, IMAGE_ID, QM_CODEC_NONE);
    int fd = stream_fd(i->data, LENGTH);

    CHECK_OK(qm__image_writer_encrypt(w, i->key, &err));
    CHECK_OK(qm__image_write_from(w, fd, NULL, 0, SOON, NULL, NULL, &err));
    CHECK_OK(qm__image_write_last(w, SOON, &err));
    assert_int_equal(close(fd), 0);
    memcpy(i->store->memory + 16, image_vm, QM_UUID_LEN);
    seal(i->store->memory);
    check_bad(i, i->key, QM_ERROR_KEY, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(comes_back),
        TEST(nothing_in_the_clear),
        TEST(no_stream_of_keys_twice),
        TEST(a_sequence_is_sealed_once),
        TEST(wrong_secret),
        TEST(in_the_clear_with_a_secret),
        TEST(tampered),
        TEST(swapped),
        TEST(truncated),
        TEST(header_is_authenticated),
        TEST(another_vm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
