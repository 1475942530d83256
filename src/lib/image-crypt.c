/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The saved state's encryption.  AES-GCM is safe only as long as no key ever
 * meets the same nonce twice.  Why it never does:
 *
 *  - A key is used for one save only: it is derived (HKDF-SHA256) from the
 *    secret, the VM, the image id, and a salt of 128 random bits that the
 *    writer draws when it begins.  So even an image id that comes back, with a
 *    LUN that was set back to an older state of it, or two VMs with the same
 *    secret, never share a key.
 *  - Within a save the nonce is the image id and the chunk's sequence.  The
 *    cipher refuses a sequence that does not rise (`next`), so a chunk is
 *    encrypted once: one that has to be sent again is sent as it is.
 *  - The sequence has 32 bits in the nonce; the cipher refuses to go on before
 *    they wrap.
 *
 * A key encrypts less than 2^32 chunks of less than 2^20 bytes, each of less
 * than 2^16 blocks, with one tag of 128 bits each: far within GCM's bounds.
 */
#include "config.h"
#include <inttypes.h>
#include <string.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include "codec.h"
#include "image-crypt.h"

#define KEY_LEN   32 /* bytes: AES-256 */
#define NONCE_LEN 12
#define CONTEXT   "quickmig image 1" /* what the keys are for */
#define AAD_LEN   (sizeof CONTEXT + QM_UUID_LEN + 48)

struct qm_image_key {
    size_t length;
    uint8_t secret[]; /* as the administrator made it */
};

struct qm_image_cipher {
    uint8_t vm_uuid[QM_UUID_LEN];
    uint8_t salt[QM_SALT_LEN];
    uint8_t check[QM_KEY_CHECK_LEN];
    uint64_t image_id;
    uint64_t next;       /* least sequence that may be sealed */
    EVP_CIPHER_CTX *ctx; /* has the key */
    bool sealing;
};

bool
qm__image_key_new(const char *secret, qm_image_key **ret, GError **error)
{
    size_t length = strlen(secret);
    qm_image_key *key;

    if (length < QM_IMAGE_SECRET_MIN) {
        g_set_error(error, QM_ERROR, QM_ERROR_INVALID,
                    "the secret that encrypts images has %zu bytes; it needs "
                    "%d at least, such as \"openssl rand -base64 32\" makes",
                    length, QM_IMAGE_SECRET_MIN);
        return false;
    }
    key = g_malloc(sizeof *key + length);
    key->length = length;
    memcpy(key->secret, secret, length);
    *ret = key;
    return true;
}

void
qm__image_key_free(qm_image_key *key)
{
    if (key == NULL)
        return;
    explicit_bzero(key->secret, key->length);
    g_free(key);
}

static bool
failed(const char *what, GError **error)
{
    g_set_error(error, QM_ERROR, QM_ERROR_INTERNAL,
                "encryption of the image: %s failed", what);
    return false;
}

/* HKDF-SHA256: @length bytes for @use, of this save only. */
static bool
derive(const qm_image_key *key, const qm_image_cipher *c, const char *use,
       uint8_t *out, size_t length, GError **error)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_HKDF, NULL);
    EVP_KDF_CTX *ctx = kdf != NULL ? EVP_KDF_CTX_new(kdf) : NULL;
    uint8_t info[sizeof CONTEXT + QM_UUID_LEN + 8 + 16] = CONTEXT;
    uint8_t *at = info + sizeof CONTEXT;
    OSSL_PARAM params[5];
    bool ok;

    memcpy(at, c->vm_uuid, QM_UUID_LEN);
    qm__put64(at + QM_UUID_LEN, c->image_id);
    g_strlcpy((char *) at + QM_UUID_LEN + 8, use, 16);
    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
                                                 (char *) "SHA256", 0);
    params[1] = OSSL_PARAM_construct_octet_string(
        OSSL_KDF_PARAM_KEY, (void *) (uintptr_t) key->secret, key->length);
    params[2] = OSSL_PARAM_construct_octet_string(
        OSSL_KDF_PARAM_SALT, (void *) (uintptr_t) c->salt, QM_SALT_LEN);
    params[3] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info,
                                                  sizeof info);
    params[4] = OSSL_PARAM_construct_end();
    ok = ctx != NULL && EVP_KDF_derive(ctx, out, length, params) == 1;
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return ok || failed("deriving a key", error);
}

static bool
set_key(qm_image_cipher *c, const uint8_t *bytes, GError **error)
{
    c->ctx = EVP_CIPHER_CTX_new();
    if (c->ctx == NULL)
        return failed("making a cipher", error);
    return EVP_CipherInit_ex(c->ctx, EVP_aes_256_gcm(), NULL, bytes, NULL,
                             c->sealing ? 1 : 0) == 1 ||
           failed("setting the key", error);
}

static bool
set_keys(qm_image_cipher *c, const qm_image_key *key, GError **error)
{
    uint8_t bytes[KEY_LEN];
    bool ok = derive(key, c, "key", bytes, KEY_LEN, error) &&
              derive(key, c, "check", c->check, QM_KEY_CHECK_LEN, error) &&
              set_key(c, bytes, error);

    explicit_bzero(bytes, sizeof bytes);
    return ok;
}

bool
qm__image_cipher_new(const qm_image_key *key, const uint8_t *vm_uuid,
                     uint64_t image_id, qm_image_cipher **ret, GError **error)
{
    g_autoptr(qm_image_cipher) c = g_new0(qm_image_cipher, 1);

    memcpy(c->vm_uuid, vm_uuid, QM_UUID_LEN);
    c->image_id = image_id;
    c->sealing = true;
    if (RAND_bytes(c->salt, QM_SALT_LEN) != 1)
        return failed("drawing random bytes", error);
    if (!set_keys(c, key, error))
        return false;
    *ret = g_steal_pointer(&c);
    return true;
}

bool
qm__image_cipher_for(const qm_image_key *key, const uint8_t *vm_uuid,
                     const qm_chunk *first, qm_image_cipher **ret,
                     GError **error)
{
    g_autoptr(qm_image_cipher) c = g_new0(qm_image_cipher, 1);

    memcpy(c->vm_uuid, vm_uuid, QM_UUID_LEN);
    memcpy(c->salt, first->salt, QM_SALT_LEN);
    c->image_id = first->image_id;
    if (!set_keys(c, key, error))
        return false;
    if (memcmp(c->check, first->key_check, QM_KEY_CHECK_LEN) != 0) {
        g_set_error(error, QM_ERROR, QM_ERROR_KEY,
                    "image %" PRIu64 " was encrypted with another secret than "
                    "the one that image_secret names on this node; the image "
                    "is kept",
                    first->image_id);
        return false;
    }
    *ret = g_steal_pointer(&c);
    return true;
}

void
qm__image_cipher_free(qm_image_cipher *c)
{
    if (c == NULL)
        return;
    EVP_CIPHER_CTX_free(c->ctx); /* wipes the key */
    g_free(c);
}

/* What is not encrypted, but must be as it was: every field of the header that
 * says what the chunk is.  The payload's checksum and the digest follow from
 * the encrypted bytes, which the tag covers. */
static void
authenticated(const qm_image_cipher *c, const qm_chunk *chunk, uint8_t *out)
{
    uint8_t *at = out + sizeof CONTEXT + QM_UUID_LEN;

    memset(out, 0, AAD_LEN);
    memcpy(out, CONTEXT, sizeof CONTEXT);
    memcpy(out + sizeof CONTEXT, c->vm_uuid, QM_UUID_LEN);
    qm__put64(at, chunk->image_id);
    qm__put64(at + 8, chunk->sequence);
    qm__put32(at + 16, chunk->raw_length);
    qm__put32(at + 20, chunk->stored_length);
    qm__put32(at + 24, chunk->codec);
    qm__put32(at + 28, chunk->flags);
    qm__put64(at + 32, chunk->total_length);
    qm__put32(at + 40, chunk->cipher);
}

static bool
begin(qm_image_cipher *c, const qm_chunk *chunk, GError **error)
{
    uint8_t nonce[NONCE_LEN], aad[AAD_LEN];
    int n;

    qm__put64(nonce, chunk->image_id);
    qm__put32(nonce + 8, (uint32_t) chunk->sequence);
    authenticated(c, chunk, aad);
    return (EVP_CipherInit_ex(c->ctx, NULL, NULL, NULL, nonce,
                              c->sealing ? 1 : 0) == 1 &&
            EVP_CipherUpdate(c->ctx, NULL, &n, aad, sizeof aad) == 1) ||
           failed("beginning a chunk", error);
}

bool
qm__image_seal(qm_image_cipher *c, qm_chunk *chunk, uint8_t *payload,
               GError **error)
{
    int n = 0, rest = 0;

    if (chunk->sequence < c->next || chunk->sequence >= UINT32_MAX)
        return failed("counting chunks", error);
    c->next = chunk->sequence + 1;
    chunk->cipher = QM_CIPHER_AES_256_GCM;
    memcpy(chunk->salt, c->salt, QM_SALT_LEN);
    memcpy(chunk->key_check, c->check, QM_KEY_CHECK_LEN);
    if (!begin(c, chunk, error))
        return false;
    if (EVP_CipherUpdate(c->ctx, payload, &n, payload,
                         (int) chunk->stored_length) != 1 ||
        EVP_CipherFinal_ex(c->ctx, payload + n, &rest) != 1 ||
        EVP_CIPHER_CTX_ctrl(c->ctx, EVP_CTRL_GCM_GET_TAG, QM_TAG_LEN,
                            chunk->tag) != 1)
        return failed("encrypting a chunk", error);
    return true;
}

bool
qm__image_unseal(qm_image_cipher *c, const qm_chunk *chunk,
                 const uint8_t *payload, uint8_t *plain, GError **error)
{
    uint8_t tag[QM_TAG_LEN];
    int n = 0, rest = 0;

    memcpy(tag, chunk->tag, sizeof tag);
    if (!begin(c, chunk, error))
        return false;
    if (memcmp(chunk->salt, c->salt, QM_SALT_LEN) == 0 &&
        chunk->image_id == c->image_id && chunk->sequence < UINT32_MAX &&
        EVP_CipherUpdate(c->ctx, plain, &n, payload,
                         (int) chunk->stored_length) == 1 &&
        EVP_CIPHER_CTX_ctrl(c->ctx, EVP_CTRL_GCM_SET_TAG, QM_TAG_LEN, tag) ==
            1 &&
        EVP_CipherFinal_ex(c->ctx, plain + n, &rest) == 1)
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_CORRUPT,
                "it is not what was encrypted there");
    return false;
}
