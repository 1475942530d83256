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
#include "image.h"
#include "timeouts.h"

#define LOOK_AROUND_MS 50 /* how often keep_going is asked */

typedef struct slot slot;

struct slot {
    qm_image_writer *writer;
    uint8_t *block;   /* header block, then payload as stored */
    uint8_t *raw;     /* payload before compression; NULL: in block */
    uint32_t filled;  /* bytes of raw payload */
    struct iovec iov; /* into block, while in flight */
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
    GChecksum *digest;
    slot slots[QM_IMAGE_DEPTH];
    slot *free;
    unsigned in_flight;
    GError *failed; /* first error of a completed write */
};

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
    return s->raw != NULL ? s->raw : s->block + QM_CHUNK_HEADER;
}

static void
on_written(void *opaque, const GError *error)
{
    slot *s = opaque;
    qm_image_writer *w = s->writer;

    w->in_flight--;
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

/* Waits for the store or @fd (-1: none), @timeout_ms at most. */
static bool
wait_for(qm_image_writer *w, int fd, int timeout_ms, GError **error)
{
    struct pollfd p[2] = {
        {.fd = w->store->ops->get_fd(w->store),
         .events = w->store->ops->events(w->store)},
        {.fd = fd, .events = POLLIN},
    };

    if (w->in_flight == 0)
        p[0].fd = -1;
    if (poll(p, 2, timeout_ms) < 0 && errno != EINTR) {
        g_set_error(error, QM_ERROR, QM_ERROR_IO, "poll: %s",
                    g_strerror(errno));
        return false;
    }
    return p[0].fd < 0 || p[0].revents == 0 ||
           w->store->ops->service(w->store, p[0].revents, error);
}

static bool
check_time(int64_t deadline, qm_keep_going keep_going, void *opaque,
           GError **error)
{
    if (qm__passed(deadline)) {
        g_set_error(error, QM_ERROR, QM_ERROR_TIMEOUT,
                    "writing the image: not done in time");
        return false;
    }
    return keep_going == NULL || keep_going(opaque, error);
}

static bool
drain(qm_image_writer *w, int64_t deadline, GError **error)
{
    while (w->in_flight > 0) {
        if (!check_time(deadline, NULL, NULL, error) ||
            !wait_for(w, -1, LOOK_AROUND_MS, error))
            return false;
    }
    return check_failed(w, error);
}

/* Compresses where asked for and worth it; fills @chunk's lengths. */
static void
encode(qm_image_writer *w, slot *s, qm_chunk *chunk)
{
    uint8_t *out = s->block + QM_CHUNK_HEADER;
    int n = 0;

    if (w->codec == QM_CODEC_LZ4 && s->filled > QM_CHUNK_HEADER)
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
        if (s->raw != NULL)
            memcpy(out, s->raw, s->filled);
    }
}

/* Sends the slot's chunk on its way; the slot is the store's afterwards. */
static bool
submit(qm_image_writer *w, slot *s, uint32_t flags, GError **error)
{
    qm_chunk chunk = {
        .image_id = w->image_id, .sequence = w->sequence, .flags = flags};
    uint32_t span, end;

    encode(w, s, &chunk);
    chunk.payload_crc =
        qm__crc32c(0, s->block + QM_CHUNK_HEADER, chunk.stored_length);
    qm__digest_add(w->digest, &chunk);
    w->raw_total += chunk.raw_length;
    if (flags & QM_CHUNK_LAST) {
        chunk.total_length = w->raw_total;
        qm__digest_get(w->digest, chunk.digest);
    }
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
    w->in_flight++;
    if (!w->store->ops->write(w->store, w->offset, &s->iov, 1, on_written, s,
                              error)) {
        w->in_flight--;
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

    if (s != NULL)
        w->free = s->next;
    return s;
}

static void
give_back(qm_image_writer *w, slot *s)
{
    s->filled = 0;
    s->next = w->free;
    w->free = s;
}

typedef enum { FILL_MORE, FILL_FULL, FILL_EOF, FILL_ERROR } fill_result;

/* Reads what is there into the slot. */
static fill_result
fill(qm_image_writer *w, slot *s, int fd, GError **error)
{
    while (s->filled < w->payload) {
        ssize_t n = read(fd, slot_raw(s) + s->filled, w->payload - s->filled);

        if (n == 0)
            return FILL_EOF;
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return FILL_MORE;
        if (n < 0) {
            g_set_error(error, QM_ERROR, QM_ERROR_IO,
                        "reading the saved state from libvirt: %s",
                        g_strerror(errno));
            return FILL_ERROR;
        }
        s->filled += (uint32_t) n;
    }
    return FILL_FULL;
}

bool
qm__image_write_from(qm_image_writer *w, int fd, const void *prefix,
                     size_t prefix_length, int64_t deadline,
                     qm_keep_going keep_going, void *opaque, GError **error)
{
    slot *s = take_free(w);
    fill_result state = FILL_MORE;

    g_return_val_if_fail(s != NULL && prefix_length <= w->payload, false);
    if (prefix_length > 0)
        memcpy(slot_raw(s), prefix, prefix_length);
    s->filled = (uint32_t) prefix_length;
    while (state != FILL_EOF) {
        if (!check_time(deadline, keep_going, opaque, error))
            goto failed;
        if (s == NULL)
            s = take_free(w);
        if (!wait_for(w, s != NULL ? fd : -1, LOOK_AROUND_MS, error) ||
            !check_failed(w, error))
            goto failed;
        if (s == NULL)
            continue;
        state = fill(w, s, fd, error);
        if (state == FILL_ERROR)
            goto failed;
        if (state == FILL_FULL || (state == FILL_EOF && s->filled > 0)) {
            slot *full = s;

            s = NULL;
            if (!submit(w, full, 0, error)) {
                give_back(w, full);
                return false;
            }
        }
    }
    if (s != NULL)
        give_back(w, s);
    return drain(w, deadline, error);
failed:
    if (s != NULL)
        give_back(w, s);
    return false;
}

bool
qm__image_write_last(qm_image_writer *w, int64_t deadline, GError **error)
{
    slot *s;

    if (!drain(w, deadline, error) ||
        !w->store->ops->flush(w->store, deadline, error))
        return false;
    s = take_free(w);
    if (!submit(w, s, QM_CHUNK_LAST, error)) {
        give_back(w, s);
        return false;
    }
    return drain(w, deadline, error) &&
           w->store->ops->flush(w->store, deadline, error);
}

uint64_t
qm__image_written(const qm_image_writer *w)
{
    return w->offset;
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
    g_checksum_free(w->digest);
    g_clear_error(&w->failed);
    g_free(w);
}
