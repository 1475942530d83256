/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_IMAGE_CRYPT_H
#define QM_IMAGE_CRYPT_H

/*
 * Encryption of a saved state: AES-256-GCM, each chunk by itself.  A chunk
 * proves that it was written with the key, for this VM, this image, this
 * place in it, with these lengths; LAST proves where the image ends.
 */
#include "image.h"

/* What is made of the administrator's secret.  It is read only, and may be
 * used by many writers and readers. */
typedef struct qm_image_key qm_image_key;

#define QM_IMAGE_SECRET_MIN 32 /* bytes */

/* INVALID: too short to be a key.  @secret can be wiped afterwards. */
bool qm__image_key_new(const char *secret, qm_image_key **ret, GError **error);
void qm__image_key_free(qm_image_key *key); /* wipes it */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(qm_image_key, qm__image_key_free)

/* One save, or one reading of it. */
typedef struct qm_image_cipher qm_image_cipher;

/* For writing: draws the salt of this save. */
bool
qm__image_cipher_new(const qm_image_key *key, const uint8_t *vm_uuid,
                     uint64_t image_id, qm_image_cipher **ret, GError **error);
/* For reading what @first, the image's first chunk, begins.  KEY: it was
 * written with another secret. */
bool qm__image_cipher_for(const qm_image_key *key, const uint8_t *vm_uuid,
                          const qm_chunk *first, qm_image_cipher **ret,
                          GError **error);
void qm__image_cipher_free(qm_image_cipher *c); /* wipes it */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(qm_image_cipher, qm__image_cipher_free)

/* Encrypts chunk->stored_length bytes of @payload where they are, and fills in
 * cipher, salt, check and tag; the other fields of @chunk that a header holds
 * must be final but for checksum and digest.  Sequences must rise. */
bool qm__image_seal(qm_image_cipher *c, qm_chunk *chunk, uint8_t *payload,
                    GError **error);
/* Decrypts into @plain.  CORRUPT: not what was written there. */
bool qm__image_unseal(qm_image_cipher *c, const qm_chunk *chunk,
                      const uint8_t *payload, uint8_t *plain, GError **error);

#endif
