/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The chunk header's disk format.  A header is believed only when magic,
 * checksum, version, VM and every length are right; what stood in the image
 * area before (older images, another VM) never passes for this image.
 */
#include "config.h"
#include <string.h>
#include "codec.h"
#include "crc32c.h"
#include "image.h"

#define MAGIC          UINT64_C(0x4b4e4843474d4951) /* "QIMGCHNK" */
#define FORMAT_VERSION 1
#define FORMAT_CRYPTED 2 /* who does not know it must not think it damaged */

enum {
    AT_MAGIC = 0,
    AT_VERSION = 8,
    AT_FLAGS = 12,
    AT_UUID = 16,
    AT_IMAGE_ID = 32,
    AT_SEQUENCE = 40,
    AT_RAW = 48,
    AT_STORED = 52,
    AT_CODEC = 56,
    AT_PAYLOAD_CRC = 60,
    AT_TOTAL = 64,
    AT_DIGEST = 72,
    AT_CIPHER = 104,
    AT_SALT = 112,
    AT_KEY_CHECK = 128,
    AT_TAG = 144,
    AT_CRC = QM_CHUNK_HEADER - 4
};

void
qm__chunk_out(const qm_chunk *chunk, const uint8_t *vm_uuid, uint8_t *block)
{
    memset(block, 0, QM_CHUNK_HEADER);
    qm__put64(block + AT_MAGIC, MAGIC);
    qm__put32(block + AT_VERSION, chunk->cipher == QM_CIPHER_NONE
                                      ? FORMAT_VERSION
                                      : FORMAT_CRYPTED);
    qm__put32(block + AT_FLAGS, chunk->flags);
    memcpy(block + AT_UUID, vm_uuid, QM_UUID_LEN);
    qm__put64(block + AT_IMAGE_ID, chunk->image_id);
    qm__put64(block + AT_SEQUENCE, chunk->sequence);
    qm__put32(block + AT_RAW, chunk->raw_length);
    qm__put32(block + AT_STORED, chunk->stored_length);
    qm__put32(block + AT_CODEC, chunk->codec);
    qm__put32(block + AT_PAYLOAD_CRC, chunk->payload_crc);
    qm__put64(block + AT_TOTAL, chunk->total_length);
    memcpy(block + AT_DIGEST, chunk->digest, QM_DIGEST_LEN);
    qm__put32(block + AT_CIPHER, chunk->cipher);
    memcpy(block + AT_SALT, chunk->salt, QM_SALT_LEN);
    memcpy(block + AT_KEY_CHECK, chunk->key_check, QM_KEY_CHECK_LEN);
    memcpy(block + AT_TAG, chunk->tag, QM_TAG_LEN);
    qm__put32(block + AT_CRC, qm__crc32c(0, block, AT_CRC));
}

static bool
corrupt(const char *what, GError **error)
{
    g_set_error(error, QM_ERROR, QM_ERROR_CORRUPT, "chunk header: %s", what);
    return false;
}

static bool
check_version(uint32_t version, GError **error)
{
    if (version == FORMAT_VERSION || version == FORMAT_CRYPTED)
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_FORMAT,
                "chunk header: format version %u, this program knows %u to %u",
                version, FORMAT_VERSION, FORMAT_CRYPTED);
    return false;
}

/* The version says whether there are any. */
static bool
get_cipher(const uint8_t *block, qm_chunk *c)
{
    uint32_t cipher = qm__get32(block + AT_CIPHER);

    memcpy(c->salt, block + AT_SALT, QM_SALT_LEN);
    memcpy(c->key_check, block + AT_KEY_CHECK, QM_KEY_CHECK_LEN);
    memcpy(c->tag, block + AT_TAG, QM_TAG_LEN);
    c->cipher = qm__get32(block + AT_VERSION) == FORMAT_CRYPTED
                    ? QM_CIPHER_AES_256_GCM
                    : QM_CIPHER_NONE;
    return cipher == (uint32_t) c->cipher;
}

bool
qm__chunk_in(const uint8_t *block, const uint8_t *vm_uuid, qm_chunk *ret_chunk,
             GError **error)
{
    qm_chunk c = {0};
    uint32_t codec;

    if (qm__get64(block + AT_MAGIC) != MAGIC)
        return corrupt("not there (bad magic)", error);
    if (qm__get32(block + AT_CRC) != qm__crc32c(0, block, AT_CRC))
        return corrupt("checksum is wrong", error);
    if (!check_version(qm__get32(block + AT_VERSION), error))
        return false;
    if (memcmp(block + AT_UUID, vm_uuid, QM_UUID_LEN) != 0) {
        g_set_error(error, QM_ERROR, QM_ERROR_MISMATCH,
                    "chunk header: it belongs to another VM");
        return false;
    }
    c.flags = qm__get32(block + AT_FLAGS);
    c.image_id = qm__get64(block + AT_IMAGE_ID);
    c.sequence = qm__get64(block + AT_SEQUENCE);
    c.raw_length = qm__get32(block + AT_RAW);
    c.stored_length = qm__get32(block + AT_STORED);
    c.payload_crc = qm__get32(block + AT_PAYLOAD_CRC);
    c.total_length = qm__get64(block + AT_TOTAL);
    memcpy(c.digest, block + AT_DIGEST, QM_DIGEST_LEN);
    codec = qm__get32(block + AT_CODEC);
    if (codec != QM_CODEC_NONE && codec != QM_CODEC_LZ4)
        return corrupt("unknown codec", error);
    c.codec = (qm_codec) codec;
    if (!get_cipher(block, &c))
        return corrupt("unknown cipher", error);
    if (c.raw_length > QM_CHUNK_PAYLOAD || c.stored_length > c.raw_length ||
        (c.codec == QM_CODEC_NONE && c.stored_length != c.raw_length) ||
        (c.flags & ~QM_CHUNK_LAST) != 0)
        return corrupt("lengths or flags are wrong", error);
    *ret_chunk = c;
    return true;
}

uint32_t
qm__chunk_span(const qm_chunk *chunk)
{
    uint32_t payload = chunk->stored_length + QM_CHUNK_HEADER - 1;

    return QM_CHUNK_HEADER + payload / QM_CHUNK_HEADER * QM_CHUNK_HEADER;
}

void
qm__digest_add(GChecksum *digest, const qm_chunk *chunk)
{
    uint8_t fields[24];

    qm__put64(fields, chunk->sequence);
    qm__put32(fields + 8, chunk->raw_length);
    qm__put32(fields + 12, chunk->stored_length);
    qm__put32(fields + 16, chunk->payload_crc);
    qm__put32(fields + 20, chunk->codec);
    g_checksum_update(digest, fields, sizeof fields);
}

void
qm__digest_get(GChecksum *digest, uint8_t *ret_digest)
{
    gsize length = QM_DIGEST_LEN;

    g_checksum_get_digest(digest, ret_digest, &length);
}
