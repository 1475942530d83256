/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_IMAGE_H
#define QM_IMAGE_H

/*
 * The image: a self-describing log of chunks, readable on another host while
 * it is being written.  Chunk = header block + payload padded to it, together
 * at most QM_CHUNK_MAX.  The last chunk carries LAST, the total length and a
 * digest over all chunks; it is written only after everything before it is
 * durable and libvirt has returned success.
 */
#include <quickmig/record.h>
#include <quickmig/error.h>
#include "store.h"

#define QM_CHUNK_MAX     (1024 * 1024) /* bytes, header included */
#define QM_CHUNK_HEADER  4096          /* bytes */
#define QM_CHUNK_PAYLOAD (QM_CHUNK_MAX - QM_CHUNK_HEADER)
#define QM_IMAGE_DEPTH   6 /* commands in flight */

/* The first two are part of the format; AUTO is the writer's: each chunk as it
 * pays. */
typedef enum {
    QM_CODEC_NONE = 0,
    QM_CODEC_LZ4 = 1,
    QM_CODEC_AUTO = 255
} qm_codec;

#define QM_DIGEST_LEN 32 /* bytes: SHA-256 */
#define QM_CHUNK_LAST 1u /* flag */

/* Part of the format. */
typedef enum { QM_CIPHER_NONE = 0, QM_CIPHER_AES_256_GCM = 1 } qm_cipher;

#define QM_SALT_LEN      16 /* bytes */
#define QM_KEY_CHECK_LEN 16
#define QM_TAG_LEN       16

typedef struct {
    uint64_t image_id;
    uint64_t sequence;      /* 0, 1, 2 … */
    uint32_t raw_length;    /* bytes after decoding; at most CHUNK_PAYLOAD */
    uint32_t stored_length; /* bytes of payload in the log; likewise */
    uint32_t payload_crc;   /* CRC32C of the stored payload */
    qm_codec codec;
    uint32_t flags;
    uint64_t total_length;               /* LAST: raw bytes of all chunks */
    uint8_t digest[QM_DIGEST_LEN];       /* LAST: see qm__digest_add() */
    qm_cipher cipher;                    /* NONE: what follows is zero */
    uint8_t salt[QM_SALT_LEN];           /* of the save */
    uint8_t key_check[QM_KEY_CHECK_LEN]; /* tells a wrong secret */
    uint8_t tag[QM_TAG_LEN];             /* of header and payload */
} qm_chunk;

/* Encodes the header into @block (QM_CHUNK_HEADER bytes). */
void
qm__chunk_out(const qm_chunk *chunk, const uint8_t *vm_uuid, uint8_t *block);
/* Checks and decodes a header.  CORRUPT, MISMATCH (another VM), FORMAT. */
bool qm__chunk_in(const uint8_t *block, const uint8_t *vm_uuid,
                  qm_chunk *ret_chunk, GError **error);
/* Bytes the chunk takes in the log: header and padded payload. */
uint32_t qm__chunk_span(const qm_chunk *chunk);
/* The digest runs over lengths and CRC of every chunk in order, so that no
 * chunk of another save can stand in for one of this. */
void qm__digest_add(GChecksum *digest, const qm_chunk *chunk);
void qm__digest_get(GChecksum *digest, uint8_t *ret_digest);

/* --- writing --- */

typedef struct qm_image_writer qm_image_writer;

qm_image_writer *qm__image_writer_new(qm_store *store, const uint8_t *vm_uuid,
                                      uint64_t image_id, qm_codec codec);
/* Waits for what is in flight (its buffers are in use). */
void qm__image_writer_free(qm_image_writer *w);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(qm_image_writer, qm__image_writer_free)

struct qm_image_key; /* image-crypt.h */
/* Before the first byte: encrypts all of it.  NULL: not. */
bool qm__image_writer_encrypt(qm_image_writer *w,
                              const struct qm_image_key *key, GError **error);

/* Asked now and then by long transfers: false + error ends them. */
typedef bool (*qm_keep_going)(void *opaque, GError **error);

/* Writes @prefix, then what comes from @fd (non-blocking) until its end, into
 * the log.  NO_SPACE when the area is full; LOST, IO, TIMEOUT; @keep_going's
 * error.  After a failure the writer takes nothing more. */
bool
qm__image_write_from(qm_image_writer *w, int fd, const void *prefix,
                     size_t prefix_length, int64_t deadline,
                     qm_keep_going keep_going, void *opaque, GError **error);
/* AUTO: what was decided since the last call, with figures; NULL: nothing new.
 * Caller frees. */
char *qm__image_writer_decision(qm_image_writer *w);
/* Makes what is there durable again and again on the way, @bytes at a time; the
 * stream waits for it.  0 (default): at the end only. */
void qm__image_writer_flush_every(qm_image_writer *w, uint64_t bytes);
/* How far the log may reach for now, bytes; asked before more is taken from
 * the stream, and again when @wake_fd (-1: none) is readable.  @ret_storage
 * (true): to wait for it is to wait for the storage, as who follows does. */
typedef uint64_t (*qm_image_bound)(void *opaque, bool *ret_storage);
void qm__image_writer_bound(qm_image_writer *w, qm_image_bound bound,
                            int wake_fd, void *opaque);
/* Waits for what is in flight, flushes, writes LAST, flushes.  Once. */
bool qm__image_write_last(qm_image_writer *w, int64_t deadline, GError **error);
uint64_t qm__image_written(const qm_image_writer *w); /* bytes of the log */
/* The same, without what is in flight: so far a follower may read. */
uint64_t qm__image_landed(const qm_image_writer *w);
/* How long it was held back by what is not the storage, µs. */
int64_t qm__image_idle(const qm_image_writer *w);

/* --- reading --- */

typedef struct qm_image_reader qm_image_reader;

qm_image_reader *qm__image_reader_new(qm_store *store, const uint8_t *vm_uuid,
                                      uint64_t image_id);
void qm__image_reader_free(qm_image_reader *r);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(qm_image_reader, qm__image_reader_free)

/* The image must be encrypted with this one, which is still needed when it is
 * read; NULL (default): it must not be encrypted.  Else reading it is KEY. */
void
qm__image_reader_decrypt(qm_image_reader *r, const struct qm_image_key *key);
/* Writes the raw stream to @fd (non-blocking), up to and with the last chunk.
 * The process must ignore SIGPIPE: a reader that is gone is an error (IO).
 * @follow: a chunk that is not there yet is waited for (the writer is at
 * work) until @keep_going says no; else it is CORRUPT (truncated image). */
bool
qm__image_read_to(qm_image_reader *r, int fd, bool follow, int64_t deadline,
                  qm_keep_going keep_going, void *opaque, GError **error);
uint64_t qm__image_read_bytes(const qm_image_reader *r);
/* The log is there up to @end, bytes, they say: so far it is read ahead.  If
 * they are wrong it only takes longer. */
void qm__image_reader_is_there(qm_image_reader *r, uint64_t end);
/* @on_end is called once when all of the stream has been written to the fd, if
 * that is known before the last chunk, which only tells whether it counts. */
void qm__image_reader_on_end(qm_image_reader *r, void (*on_end)(void *),
                             void *opaque);

/* Walks the headers up to LAST: is the image with this id complete?  No is an
 * answer, not an error. */
bool qm__image_check(qm_store *store, const uint8_t *vm_uuid, uint64_t image_id,
                     int64_t deadline, bool *ret_complete, uint64_t *ret_length,
                     GError **error);

#endif
