/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The chunk header's disk format: read back as written, never believed when
 * damaged, and not changed unnoticed.
 */
#include "config.h"
#include "codec.h"
#include "crc32c.h"
#include "image_fixture.h"

static const qm_chunk sample = {
    .image_id = 0x0102030405060708,
    .sequence = 0x1112131415161718,
    .raw_length = 0x000a2223,
    .stored_length = 0x00093233,
    .payload_crc = 0x41424344,
    .codec = QM_CODEC_LZ4,
    .flags = QM_CHUNK_LAST,
    .total_length = 0x5152535455565758,
    .digest = "0123456789abcdef0123456789abcde",
};

static const struct {
    size_t offset;
    const char *bytes;
    size_t length;
} golden[] = {
#define BYTES(offset, text)                                                    \
    {                                                                          \
        offset, text, sizeof text - 1                                          \
    }
    BYTES(0, "QIMGCHNK"),
    BYTES(8, "\x01\x00\x00\x00"),
    BYTES(12, "\x01\x00\x00\x00"),
    BYTES(16, "\xaa\xbb"),
    BYTES(32, "\x08\x07\x06\x05\x04\x03\x02\x01"),
    BYTES(40, "\x18\x17\x16\x15\x14\x13\x12\x11"),
    BYTES(48, "\x23\x22\x0a\x00"),
    BYTES(52, "\x33\x32\x09\x00"),
    BYTES(56, "\x01\x00\x00\x00"),
    BYTES(60, "\x44\x43\x42\x41"),
    BYTES(64, "\x58\x57\x56\x55\x54\x53\x52\x51"),
    BYTES(72, "0123456789abcdef0123456789abcde"),
    BYTES(4092, "\x12\x5f\x4e\x0f"),
};

static void
format_is_as_ever(void **state)
{
    uint8_t expected[QM_CHUNK_HEADER] = {0};
    uint8_t block[QM_CHUNK_HEADER];

    for (size_t i = 0; i < G_N_ELEMENTS(golden); i++)
        memcpy(expected + golden[i].offset, golden[i].bytes, golden[i].length);
    memset(block, 0xee, sizeof block);
    qm__chunk_out(&sample, image_vm, block);
    assert_memory_equal(block, expected, sizeof block);
}

static void
format_of_encrypted_chunks(void **state)
{
    uint8_t plain[QM_CHUNK_HEADER], block[QM_CHUNK_HEADER];
    qm_chunk crypted = sample, back;

    crypted.cipher = QM_CIPHER_AES_256_GCM;
    memcpy(crypted.salt, "0123456789abcdef", QM_SALT_LEN);
    memcpy(crypted.key_check, "ghijklmnopqrstuv", QM_KEY_CHECK_LEN);
    memcpy(crypted.tag, "wxyzABCDEFGHIJKL", QM_TAG_LEN);
    qm__chunk_out(&sample, image_vm, plain);
    qm__chunk_out(&crypted, image_vm, block);
    assert_memory_equal(block, "QIMGCHNK\x02\x00\x00\x00", 12);
    assert_memory_equal(block + 12, plain + 12, 92);
    assert_memory_equal(block + 104,
                        "\x01\x00\x00\x00\x00\x00\x00\x00"
                        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKL",
                        56);
    CHECK_OK(qm__chunk_in(block, image_vm, &back, &err));
    assert_int_equal(back.cipher, QM_CIPHER_AES_256_GCM);
    assert_memory_equal(back.salt, crypted.salt, QM_SALT_LEN);
    assert_memory_equal(back.key_check, crypted.key_check, QM_KEY_CHECK_LEN);
    assert_memory_equal(back.tag, crypted.tag, QM_TAG_LEN);
}

static void
header_comes_back(void **state)
{
    uint8_t block[QM_CHUNK_HEADER];
    qm_chunk back;

    memset(&back, 0, sizeof back);
    qm__chunk_out(&sample, image_vm, block);
    CHECK_OK(qm__chunk_in(block, image_vm, &back, &err));
    assert_true(
        back.image_id == sample.image_id && back.sequence == sample.sequence &&
        back.raw_length == sample.raw_length &&
        back.stored_length == sample.stored_length &&
        back.payload_crc == sample.payload_crc && back.codec == sample.codec &&
        back.flags == sample.flags && back.total_length == sample.total_length);
    assert_memory_equal(back.digest, sample.digest, QM_DIGEST_LEN);
}

static void
every_flipped_bit_is_noticed(void **state)
{
    uint8_t block[QM_CHUNK_HEADER];
    qm_chunk back;

    qm__chunk_out(&sample, image_vm, block);
    for (size_t bit = 0; bit < QM_CHUNK_HEADER * 8; bit++) {
        block[bit / 8] ^= (uint8_t) (1u << bit % 8);
        CHECK_FAILS(qm__chunk_in(block, image_vm, &back, &err),
                    QM_ERROR_CORRUPT);
        block[bit / 8] ^= (uint8_t) (1u << bit % 8);
    }
    CHECK_OK(qm__chunk_in(block, image_vm, &back, &err));
}

/* Values that no writer of this version writes, with a right checksum. */
static void
impossible_values_are_not_believed(void **state)
{
    static const struct {
        size_t offset;
        uint32_t value;
        int code;
    } patches[] = {
        {8, 3, QM_ERROR_FORMAT},                      /* version */
        {8, 2, QM_ERROR_CORRUPT},                     /* without a cipher */
        {104, 1, QM_ERROR_CORRUPT},                   /* cipher */
        {104, UINT32_MAX, QM_ERROR_CORRUPT},          /* cipher */
        {12, 2, QM_ERROR_CORRUPT},                    /* flags */
        {12, 0x80000001, QM_ERROR_CORRUPT},           /* flags */
        {16, 0, QM_ERROR_MISMATCH},                   /* VM */
        {48, QM_CHUNK_PAYLOAD + 1, QM_ERROR_CORRUPT}, /* raw length */
        {48, UINT32_MAX, QM_ERROR_CORRUPT},           /* raw length */
        {52, 0x000a2224, QM_ERROR_CORRUPT},           /* stored > raw */
        {52, UINT32_MAX, QM_ERROR_CORRUPT},           /* stored length */
        {56, QM_CODEC_NONE, QM_ERROR_CORRUPT},        /* stored < raw */
        {56, QM_CODEC_LZ4 + 1, QM_ERROR_CORRUPT},     /* codec */
        {56, UINT32_MAX, QM_ERROR_CORRUPT},           /* codec */
    };
    uint8_t block[QM_CHUNK_HEADER];
    qm_chunk back;

    for (size_t i = 0; i < G_N_ELEMENTS(patches); i++) {
        qm__chunk_out(&sample, image_vm, block);
        qm__put32(block + patches[i].offset, patches[i].value);
        qm__put32(block + QM_CHUNK_HEADER - 4,
                  qm__crc32c(0, block, QM_CHUNK_HEADER - 4));
        CHECK_FAILS(qm__chunk_in(block, image_vm, &back, &err),
                    patches[i].code);
    }
}

static void
span_is_whole_blocks(void **state)
{
    qm_chunk c = {.stored_length = 0};

    assert_int_equal(qm__chunk_span(&c), QM_CHUNK_HEADER);
    c.stored_length = 1;
    assert_int_equal(qm__chunk_span(&c), 2 * QM_CHUNK_HEADER);
    c.stored_length = QM_CHUNK_HEADER;
    assert_int_equal(qm__chunk_span(&c), 2 * QM_CHUNK_HEADER);
    c.stored_length = QM_CHUNK_PAYLOAD;
    assert_int_equal(qm__chunk_span(&c), QM_CHUNK_MAX);
}

static void
get_digest(const qm_chunk *chunks, int n, uint8_t *ret_digest)
{
    GChecksum *digest = g_checksum_new(G_CHECKSUM_SHA256);

    for (int i = 0; i < n; i++)
        qm__digest_add(digest, &chunks[i]);
    qm__digest_get(digest, ret_digest);
    g_checksum_free(digest);
}

/* Whatever is exchanged, left out or changed shows in the digest. */
static void
digest_tells_chunks_apart(void **state)
{
    uint8_t expected[QM_DIGEST_LEN], found[QM_DIGEST_LEN];
    qm_chunk c[2] = {sample, sample};

    c[1].sequence++;
    get_digest(c, 2, expected);
    get_digest(c, 1, found);
    assert_memory_not_equal(found, expected, QM_DIGEST_LEN);
    c[1].payload_crc ^= 1;
    get_digest(c, 2, found);
    assert_memory_not_equal(found, expected, QM_DIGEST_LEN);
    c[1].payload_crc ^= 1;
    c[1].raw_length--;
    get_digest(c, 2, found);
    assert_memory_not_equal(found, expected, QM_DIGEST_LEN);
    c[1].raw_length++;
    get_digest(c, 2, found);
    assert_memory_equal(found, expected, QM_DIGEST_LEN);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(format_is_as_ever),
        cmocka_unit_test(format_of_encrypted_chunks),
        cmocka_unit_test(header_comes_back),
        cmocka_unit_test(every_flipped_bit_is_noticed),
        cmocka_unit_test(impossible_values_are_not_believed),
        cmocka_unit_test(span_is_whole_blocks),
        cmocka_unit_test(digest_tells_chunks_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
