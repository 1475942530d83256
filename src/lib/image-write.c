/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Writing an image: from a file descriptor into the log, with several chunks
 * in flight.  The last chunk is written only after everything before it has
 * been flushed: whoever finds it, finds a whole image.
 */
#include "config.h"
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <lz4.h>
#include "crc32c.h"
#include "crash.h"
#include "image-codec.h"
#include "image-crypt.h"
#include "image.h"
#include "timeouts.h"

#define LOOK_AROUND_MS 50 /* how often keep_going is asked */
#define BOUND_MS       5  /* how often the bound is, while it holds us back */

typedef struct slot slot;

struct slot {
    qm_image_writer *writer;
    uint8_t *block;   /* header block, then payload as stored */
    uint8_t *raw;     /* room for payload before compression; NULL: never */
    bool compress;    /* payload is in raw, not in block */
    uint32_t filled;  /* bytes of raw payload */
    bool under_way;   /* in flight */
    uint64_t offset;  /* then: where it goes */
    struct iovec iov; /* then: into block */
    slot *next;       /* free list */
};

struct qm_image_writer {
    qm_store *store;
    uint8_t vm_uuid[QM_UUID_LEN];
    uint64_t image_id;
    uint64_t sequence;
    uint64_t offset;    /* where the next chunk goes, bytes */
    uint64_t raw_total; /* bytes before compression */
    uint32_t payload;   /* most payload per chunk, bytes */
    qm_codec codec;
    qm_image_cipher *cipher; /* NULL: it is not encrypted */
    GChecksum *digest;
    slot slots[QM_IMAGE_DEPTH];
    slot *free;
    slot *filling; /* taken from the free ones; NULL: none */
    unsigned in_flight;
    GError *failed; /* first error of a completed write */
    bool closed;    /* it failed, or the last chunk is there: no more comes */
    qm_image_bound bound; /* NULL: none */
    void *bound_opaque;
    int wake_fd;
    int64_t idle;                  /* µs held back, and not by the storage */
    uint64_t flush_every, flushed; /* bytes; 0: at the end */
    /* codec AUTO */
    qm_codec_choice choice;
    qm_codec_round round;
    int64_t round_began; /* 0: not yet */
    char *decision;      /* not told yet; NULL: none */
};

/* Where the stream comes from, and how long it may take. */
typedef struct {
    const uint8_t *prefix; /* what is left of it */
    size_t prefix_length;
    int fd;
    int64_t deadline;
    qm_keep_going keep_going;
    void *opaque;
} source;

qm_image_writer *
qm__image_writer_new(qm_store *store, const uint8_t *vm_uuid, uint64_t image_id,
                     qm_codec codec)
{
    qm_image_writer *w = g_new0(qm_image_writer, 1);
    uint32_t span = MIN(QM_CHUNK_MAX, store->max_transfer);

    span -= span % QM_CHUNK_HEADER;
    w->store = store;
    memcpy(w->vm_uuid, vm_uuid, QM_UUID_LEN);
    w->image_id = image_id;
    w->payload = span - QM_CHUNK_HEADER;
    w->codec = codec;
    w->digest = g_checksum_new(G_CHECKSUM_SHA256);
    for (int i = 0; i < QM_IMAGE_DEPTH; i++) {
        slot *s = &w->slots[i];

        s->writer = w;
        s->block = aligned_alloc(QM_CHUNK_HEADER, span);
        if (s->block == NULL)
            g_error("out of memory");
        if (codec != QM_CODEC_NONE)
            s->raw = g_malloc(w->payload);
        s->next = w->free;
        w->free = s;
    }
    return w;
}

static uint8_t *
slot_raw(slot *s)
{
    return s->compress ? s->raw : s->block + QM_CHUNK_HEADER;
}

static void
on_written(void *opaque, const GError *error)
{
    slot *s = opaque;
    qm_image_writer *w = s->writer;

    QM_CRASH_POINT("chunk-written");
    w->in_flight--;
    s->under_way = false;
    s->filled = 0;
    s->next = w->free;
    w->free = s;
    if (error != NULL && w->failed == NULL)
        w->failed = g_error_copy(error);
}

static bool
check_failed(qm_image_writer *w, GError **error)
{
    if (w->failed == NULL)
        return true;
    g_propagate_prefixed_error(error, g_error_copy(w->failed),
                               "writing the image: ");
    return false;
}

/* Waits for the store or @fd (-1: none), @timeout_ms at most.  @ret_ready:
 * @fd has something to read, or has come to its end. */
static bool
wait_for(qm_image_writer *w, int fd, int timeout_ms, bool *ret_ready,
         GError **error)
{
    struct pollfd p[2] = {{.fd = -1}, {.fd = fd, .events = POLLIN}};
    bool busy = w->in_flight > 0;

    if (busy) {
        p[0].fd = w->store->ops->get_fd(w->store);
        p[0].events = w->store->ops->events(w->store);
    }
    if (poll(p, 2, timeout_ms) < 0 && errno != EINTR) {
        g_set_error(error, QM_ERROR, QM_ERROR_IO, "poll: %s",
                    g_strerror(errno));
        return false;
    }
    *ret_ready = p[1].revents != 0;
    /* Also without an event: a store has timeouts of its own. */
    return !busy || w->store->ops->service(w->store, p[0].revents, error);
}

static bool
check_time(int64_t deadline, GError **error)
{
    if (!qm__passed(deadline))
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_TIMEOUT,
                "writing the image: not done in time");
    return false;
}

static bool
drain(qm_image_writer *w, int64_t deadline, GError **error)
{
    bool ready;

    while (w->in_flight > 0) {
        if (!check_time(deadline, error) ||
            !wait_for(w, -1, LOOK_AROUND_MS, &ready, error))
            return false;
    }
    return check_failed(w, error);
}

/* Compresses where asked for and worth it; fills @chunk's lengths. */
static void
encode(slot *s, qm_chunk *chunk)
{
    uint8_t *out = s->block + QM_CHUNK_HEADER;
    int n = 0;

    if (s->compress && s->filled > QM_CHUNK_HEADER)
        n = LZ4_compress_default((const char *) s->raw, (char *) out,
                                 (int) s->filled,
                                 (int) (s->filled - QM_CHUNK_HEADER));
    chunk->raw_length = s->filled;
    if (n > 0) {
        chunk->codec = QM_CODEC_LZ4;
        chunk->stored_length = (uint32_t) n;
    } else {
        chunk->codec = QM_CODEC_NONE;
        chunk->stored_length = s->filled;
        if (s->compress)
            memcpy(out, s->raw, s->filled);
    }
}

/* The same, measured. */
static void
encode_timed(qm_image_writer *w, slot *s, qm_chunk *chunk)
{
    int64_t before = qm__now();

    encode(s, chunk);
    w->round.raw += chunk->raw_length;
    w->round.stored += chunk->stored_length;
    if (s->compress)
        w->round.compressing += qm__now() - before;
    w->round.chunks++;
}

/* Between two chunks: has a round come to its end? */
static void
judge_codec(qm_image_writer *w)
{
    char *text;

    if (w->codec != QM_CODEC_AUTO || !qm__codec_due(&w->choice, &w->round))
        return;
    w->round.elapsed = qm__now() - w->round_began;
    qm__codec_judge(&w->choice, &w->round, &text);
    if (text != NULL) {
        g_free(w->decision);
        w->decision = text;
    }
    memset(&w->round, 0, sizeof w->round);
    w->round_began = qm__now();
}

/* Sends the slot's chunk on its way; the slot is the store's afterwards. */
static bool
submit(qm_image_writer *w, slot *s, uint32_t flags, GError **error)
{
    qm_chunk chunk = {
        .image_id = w->image_id, .sequence = w->sequence, .flags = flags};
    uint32_t span, end;

    encode_timed(w, s, &chunk);
    w->raw_total += chunk.raw_length;
    if (flags & QM_CHUNK_LAST)
        chunk.total_length = w->raw_total;
    if (w->cipher != NULL &&
        !qm__image_seal(w->cipher, &chunk, s->block + QM_CHUNK_HEADER, error))
        return false;
    chunk.payload_crc =
        qm__crc32c(0, s->block + QM_CHUNK_HEADER, chunk.stored_length);
    qm__digest_add(w->digest, &chunk);
    if (flags & QM_CHUNK_LAST)
        qm__digest_get(w->digest, chunk.digest);
    span = qm__chunk_span(&chunk);
    end = QM_CHUNK_HEADER + chunk.stored_length;
    memset(s->block + end, 0, span - end);
    qm__chunk_out(&chunk, w->vm_uuid, s->block);
    /* Room for the last chunk is kept free. */
    if (w->offset + span + (flags & QM_CHUNK_LAST ? 0 : QM_CHUNK_HEADER) >
        w->store->capacity) {
        g_set_error(error, QM_ERROR, QM_ERROR_NO_SPACE,
                    "the image does not fit: the vault has room for %" PRIu64
                    " bytes; make the vault larger",
                    w->store->capacity);
        return false;
    }
    s->iov = (struct iovec){s->block, span};
    s->offset = w->offset;
    s->under_way = true;
    w->in_flight++;
    if (!w->store->ops->write(w->store, w->offset, &s->iov, 1, on_written, s,
                              error)) {
        w->in_flight--;
        s->under_way = false;
        return false;
    }
    w->offset += span;
    w->sequence++;
    return true;
}

static slot *
take_free(qm_image_writer *w)
{
    slot *s = w->free;

    if (s == NULL)
        return NULL;
    w->free = s->next;
    judge_codec(w);
    s->compress = w->codec == QM_CODEC_LZ4 ||
                  (w->codec == QM_CODEC_AUTO && qm__codec_on(&w->choice));
    return s;
}

typedef enum { FILL_MORE, FILL_FULL, FILL_EOF, FILL_ERROR } fill_result;

/* Takes what is there into the slot. */
static fill_result
fill(const qm_image_writer *w, slot *s, source *from, GError **error)
{
    size_t n = MIN(from->prefix_length, w->payload - s->filled);

    if (n > 0) {
        memcpy(slot_raw(s) + s->filled, from->prefix, n);
        from->prefix += n;
        from->prefix_length -= n;
        s->filled += (uint32_t) n;
        return s->filled == w->payload ? FILL_FULL : FILL_MORE;
    }
    while (s->filled < w->payload) {
        ssize_t got =
            read(from->fd, slot_raw(s) + s->filled, w->payload - s->filled);

        if (got == 0)
            return FILL_EOF;
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return FILL_MORE;
        if (got < 0) {
            g_set_error(error, QM_ERROR, QM_ERROR_IO,
                        "reading the saved state from libvirt: %s",
                        g_strerror(errno));
            return FILL_ERROR;
        }
        s->filled += (uint32_t) got;
    }
    return FILL_FULL;
}

static bool
is_held_back(const qm_image_writer *w, bool *ret_storage)
{
    *ret_storage = true;
    return w->bound != NULL &&
           w->offset >= w->bound(w->bound_opaque, ret_storage);
}

static bool
wait_held_back(qm_image_writer *w, bool storage, GError **error)
{
    int64_t before = qm__now(), took;
    bool ready;

    if (!wait_for(w, w->wake_fd, BOUND_MS, &ready, error))
        return false;
    took = qm__now() - before;
    if (storage) {
        w->round.waited += took;
    } else {
        w->idle += took;
        w->round_began += took;
    }
    return check_failed(w, error);
}

/* What is in flight need not be part of it: the last flush is. */
static bool
flush_on_the_way(qm_image_writer *w, int64_t deadline, GError **error)
{
    if (w->flush_every == 0 || w->offset - w->flushed < w->flush_every)
        return true;
    w->flushed = w->offset;
    return w->store->ops->flush(w->store, deadline, error);
}

/* One round: waits, takes what is there, sends a chunk that is full. */
static bool
pump(qm_image_writer *w, source *from, bool *ret_end, GError **error)
{
    bool ready;
    fill_result state;
    int64_t before;
    bool storage;

    if (is_held_back(w, &storage))
        return wait_held_back(w, storage, error);
    if (w->filling == NULL)
        w->filling = take_free(w);
    ready = w->filling != NULL && from->prefix_length > 0;
    before = qm__now();
    if (!ready && !wait_for(w, w->filling != NULL ? from->fd : -1,
                            LOOK_AROUND_MS, &ready, error))
        return false;
    if (w->filling == NULL)
        w->round.waited += qm__now() - before;
    if (!check_failed(w, error))
        return false;
    if (!ready)
        return true;
    state = fill(w, w->filling, from, error);
    *ret_end = state == FILL_EOF;
    if (state == FILL_ERROR || state == FILL_MORE)
        return state == FILL_MORE;
    if (w->filling->filled == 0)
        return true;
    return submit(w, g_steal_pointer(&w->filling), 0, error) &&
           flush_on_the_way(w, from->deadline, error);
}

static bool
copy_stream(qm_image_writer *w, source *from, GError **error)
{
    bool end = false, ready;

    while (!end || w->in_flight > 0)
        if (!check_time(from->deadline, error) ||
            (from->keep_going != NULL &&
             !from->keep_going(from->opaque, error)) ||
            !(end ? wait_for(w, -1, LOOK_AROUND_MS, &ready, error)
                  : pump(w, from, &end, error)))
            return false;
    return check_failed(w, error);
}

/* After a failure nothing follows: above all no last chunk. */
static bool
check_open(const qm_image_writer *w, GError **error)
{
    if (!w->closed)
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_INTERNAL,
                "image %" PRIu64 " is closed for writing", w->image_id);
    return false;
}

bool
qm__image_write_from(qm_image_writer *w, int fd, const void *prefix,
                     size_t prefix_length, int64_t deadline,
                     qm_keep_going keep_going, void *opaque, GError **error)
{
    source from = {prefix, prefix_length, fd, deadline, keep_going, opaque};

    w->round_began = qm__now();
    if (!check_open(w, error))
        return false;
    w->closed = !copy_stream(w, &from, error);
    return !w->closed;
}

bool
qm__image_write_last(qm_image_writer *w, int64_t deadline, GError **error)
{
    slot *s;

    if (!check_open(w, error))
        return false;
    w->closed = true;
    if (!drain(w, deadline, error) ||
        !w->store->ops->flush(w->store, deadline, error))
        return false;
    s = w->filling != NULL ? g_steal_pointer(&w->filling) : take_free(w);
    if (!submit(w, s, QM_CHUNK_LAST, error) || !drain(w, deadline, error))
        return false;
    QM_CRASH_POINT("last-written");
    return w->store->ops->flush(w->store, deadline, error);
}

bool
qm__image_writer_encrypt(qm_image_writer *w, const qm_image_key *key,
                         GError **error)
{
    return key == NULL || qm__image_cipher_new(key, w->vm_uuid, w->image_id,
                                               &w->cipher, error);
}

void
qm__image_writer_flush_every(qm_image_writer *w, uint64_t bytes)
{
    w->flush_every = bytes;
}

void
qm__image_writer_bound(qm_image_writer *w, qm_image_bound bound, int wake_fd,
                       void *opaque)
{
    w->bound = bound;
    w->wake_fd = wake_fd;
    w->bound_opaque = opaque;
}

char *
qm__image_writer_decision(qm_image_writer *w)
{
    return g_steal_pointer(&w->decision);
}

uint64_t
qm__image_written(const qm_image_writer *w)
{
    return w->offset;
}

uint64_t
qm__image_landed(const qm_image_writer *w)
{
    uint64_t landed = w->offset;

    for (int i = 0; i < QM_IMAGE_DEPTH; i++)
        if (w->slots[i].under_way)
            landed = MIN(landed, w->slots[i].offset);
    return landed;
}

int64_t
qm__image_idle(const qm_image_writer *w)
{
    return w->idle;
}

void
qm__image_writer_free(qm_image_writer *w)
{
    g_autoptr(GError) ignored = NULL;

    if (w == NULL)
        return;
    /* The buffers belong to the store until their callbacks have come; a
     * store that is lost has made them all. */
    if (!drain(w, qm__deadline_in(2 * QM_S), &ignored) && w->in_flight > 0)
        return; /* better a leak than a write from freed memory */
    for (int i = 0; i < QM_IMAGE_DEPTH; i++) {
        free(w->slots[i].block);
        g_free(w->slots[i].raw);
    }
    qm__image_cipher_free(w->cipher);
    g_checksum_free(w->digest);
    g_clear_error(&w->failed);
    g_free(w->decision);
    g_free(w);
}
