/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Reading an image, also while another host still writes it.  The log is read
 * ahead in windows with several reads in flight; a chunk is handed on only
 * after its checksum is right, and the end is believed only with the digest.
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
#include "image-crypt.h"
#include "timeouts.h"

#define LOOK_AROUND_MS 50 /* how often keep_going is asked */
#define FOLLOW_MS      2 /* how often a chunk that is not there is looked for */
#define AHEAD_FIRST    (256 * 1024) /* bytes, behind a chunk that came */
/* Bytes, behind a writer of whom nothing else is known: enough to keep a link
 * busy.  What is read before it is there is read twice. */
#define AHEAD_FOLLOW (2 * 1024 * 1024)

typedef struct {
    qm_image_reader *reader;
    uint8_t *buf;
    uint64_t offset; /* in the log, bytes */
    uint32_t length;
    bool done;
} window;

struct qm_image_reader {
    qm_store *store;
    uint8_t vm_uuid[QM_UUID_LEN];
    uint64_t image_id;
    uint64_t sequence;  /* of the next chunk */
    uint64_t position;  /* of the next chunk in the log, bytes */
    uint64_t raw_total; /* bytes handed on */
    uint32_t window_size;
    uint32_t ahead;  /* bytes to have on their way from position on */
    uint64_t there;  /* where the log ends, as far as is known; 0: unknown */
    window *windows; /* a ring, in order of offset */
    unsigned n_windows, first, count;
    uint64_t next_window; /* offset that is read next */
    unsigned in_flight;
    GError *failed;
    GChecksum *digest;
    uint8_t *bounce;         /* a chunk that lies across windows */
    uint8_t *raw;            /* a chunk after decoding */
    const qm_image_key *key; /* NULL: it must not be encrypted */
    void (*on_end)(void *);  /* NULL: nobody asks */
    void *on_end_opaque;
    uint32_t full;           /* raw bytes of the first chunk */
    bool ended;              /* all of the stream was handed on */
    qm_image_cipher *cipher; /* from the first chunk on */
    uint8_t *plain;          /* a chunk after decryption; NULL: no key */
};

static uint32_t
max_ahead(const qm_image_reader *r)
{
    return r->n_windows * r->window_size;
}

qm_image_reader *
qm__image_reader_new(qm_store *store, const uint8_t *vm_uuid, uint64_t image_id)
{
    qm_image_reader *r = g_new0(qm_image_reader, 1);

    r->store = store;
    memcpy(r->vm_uuid, vm_uuid, QM_UUID_LEN);
    r->image_id = image_id;
    r->window_size = MIN(QM_CHUNK_MAX, store->max_transfer);
    r->window_size -= r->window_size % QM_CHUNK_HEADER;
    /* Enough for a whole chunk in full windows, with a short one at each of
     * the places where read_ahead() can have stopped. */
    r->n_windows = MAX(QM_IMAGE_DEPTH, QM_CHUNK_MAX / r->window_size + 5);
    r->ahead = max_ahead(r);
    r->windows = g_new0(window, r->n_windows);
    for (unsigned i = 0; i < r->n_windows; i++) {
        r->windows[i].reader = r;
        r->windows[i].buf = aligned_alloc(QM_CHUNK_HEADER, r->window_size);
        if (r->windows[i].buf == NULL)
            g_error("out of memory");
    }
    r->bounce = g_malloc(QM_CHUNK_MAX);
    r->raw = g_malloc(QM_CHUNK_PAYLOAD);
    r->digest = g_checksum_new(G_CHECKSUM_SHA256);
    return r;
}

static void
on_read(void *opaque, const GError *error)
{
    window *w = opaque;
    qm_image_reader *r = w->reader;

    r->in_flight--;
    w->done = true;
    if (error != NULL && r->failed == NULL)
        r->failed = g_error_copy(error);
}

/* How far to read ahead: all that is known to be there, else what has proved
 * to be. */
static uint64_t
reach(const qm_image_reader *r)
{
    if (r->there > r->position)
        return MIN(r->there, r->position + max_ahead(r));
    return r->position + r->ahead;
}

/* Length of the next window to read; 0: enough is on its way.  What is needed
 * now is always read, what lies ahead in full windows only. */
static uint32_t
next_length(const qm_image_reader *r, uint32_t need)
{
    uint64_t left = r->store->capacity - r->next_window;
    uint64_t must = r->position + need, may = reach(r);
    uint32_t length = (uint32_t) MIN(r->window_size, left);

    if (r->next_window + length <= may)
        return length;
    if (r->next_window >= must)
        return 0;
    return (uint32_t) MIN(length, MAX(must, may) - r->next_window);
}

/* Keeps reads on their way, @need bytes from position on at least. */
static bool
read_ahead(qm_image_reader *r, uint32_t need, GError **error)
{
    while (r->count < r->n_windows) {
        window *w = &r->windows[(r->first + r->count) % r->n_windows];

        w->offset = r->next_window;
        w->length = next_length(r, need);
        w->done = false;
        if (w->length == 0)
            break;
        r->in_flight++;
        r->count++;
        if (!r->store->ops->read(r->store, w->offset, w->buf, w->length,
                                 on_read, w, error)) {
            r->in_flight--;
            r->count--;
            return false;
        }
        r->next_window += w->length;
    }
    return true;
}

/* Waits for the store or until @fd (-1: none) can be written.  What the caller
 * did since it looked (reading the record by the same session) may have taken
 * the answers that it waits for. */
static bool
wait_for(qm_image_reader *r, int fd, int timeout_ms, GError **error)
{
    struct pollfd p[2] = {{.fd = -1}, {.fd = fd, .events = POLLOUT}};
    bool busy = r->in_flight > 0;

    if (!busy && fd < 0)
        return true;
    if (busy) {
        p[0].fd = r->store->ops->get_fd(r->store);
        p[0].events = r->store->ops->events(r->store);
    }
    if (poll(p, 2, timeout_ms) < 0 && errno != EINTR) {
        g_set_error(error, QM_ERROR, QM_ERROR_IO, "poll: %s",
                    g_strerror(errno));
        return false;
    }
    /* Also without an event: a store has timeouts of its own. */
    return !busy || r->store->ops->service(r->store, p[0].revents, error);
}

typedef struct {
    int64_t deadline;
    qm_keep_going keep_going;
    void *opaque;
} patience;

static bool
check_time(const patience *p, GError **error)
{
    if (qm__passed(p->deadline)) {
        g_set_error(error, QM_ERROR, QM_ERROR_TIMEOUT,
                    "reading the image: not done in time");
        return false;
    }
    return p->keep_going == NULL || p->keep_going(p->opaque, error);
}

/* Waits for all reads, whatever became of them. */
static bool
settle(qm_image_reader *r, const patience *p, GError **error)
{
    while (r->in_flight > 0)
        if (!check_time(p, error) || !wait_for(r, -1, LOOK_AROUND_MS, error))
            return false;
    return true;
}

/* Forgets what was read ahead; reading goes on at the next chunk. */
static bool
rewind_to_chunk(qm_image_reader *r, const patience *p, GError **error)
{
    if (!settle(r, p, error))
        return false;
    r->first = r->count = 0;
    r->next_window = r->position;
    return true;
}

/* Makes @length bytes at the next chunk available in one piece.  They are
 * valid until the next call. */
static bool
get_bytes(qm_image_reader *r, uint32_t length, const patience *p,
          const uint8_t **ret_bytes, GError **error)
{
    uint32_t have = 0;

    if (r->position + length > r->store->capacity) {
        g_set_error(error, QM_ERROR, QM_ERROR_CORRUPT,
                    "image: chunk %" PRIu64 " reaches past the vault's end",
                    r->sequence);
        return false;
    }
    while (r->count > 0 &&
           r->windows[r->first].offset + r->windows[r->first].length <=
               r->position) {
        r->first = (r->first + 1) % r->n_windows;
        r->count--;
    }
    for (unsigned i = 0; have < length; i++) {
        window *w = &r->windows[(r->first + i) % r->n_windows];
        uint64_t at;
        uint32_t n;

        if (!read_ahead(r, length, error))
            return false;
        g_assert(i < r->count);
        while (!w->done)
            if (!check_time(p, error) ||
                !wait_for(r, -1, LOOK_AROUND_MS, error))
                return false;
        if (r->failed != NULL) {
            g_propagate_prefixed_error(error, g_error_copy(r->failed),
                                       "reading the image: ");
            return false;
        }
        at = r->position + have - w->offset;
        n = (uint32_t) MIN(length - have, w->length - at);
        if (have == 0 && n == length) {
            *ret_bytes = w->buf + at;
            return true;
        }
        memcpy(r->bounce + have, w->buf + at, n);
        have += n;
    }
    *ret_bytes = r->bounce;
    return true;
}

static bool
damaged(const qm_image_reader *r, const char *what, GError **error)
{
    g_set_error(error, QM_ERROR, QM_ERROR_CORRUPT,
                "image %" PRIu64 " is damaged or cut short at chunk %" PRIu64
                ": %s",
                r->image_id, r->sequence, what);
    return false;
}

static bool
decode(qm_image_reader *r, const qm_chunk *c, const uint8_t *payload,
       const uint8_t **ret_raw, GError **error)
{
    int n;

    if (c->codec == QM_CODEC_NONE) {
        *ret_raw = payload;
        return true;
    }
    n = LZ4_decompress_safe((const char *) payload, (char *) r->raw,
                            (int) c->stored_length, QM_CHUNK_PAYLOAD);
    if (n < 0 || (uint32_t) n != c->raw_length)
        return damaged(r, "it does not decompress", error);
    *ret_raw = r->raw;
    return true;
}

static bool
wrong_key(const qm_image_reader *r, const char *what, GError **error)
{
    g_set_error(error, QM_ERROR, QM_ERROR_KEY, "image %" PRIu64 " %s",
                r->image_id, what);
    return false;
}

/* Whoever can write to the vault must not be able to offer memory of their own
 * making: with a secret only what it encrypted is taken.  No failure here means
 * that the image is damaged. */
static bool
check_key(qm_image_reader *r, const qm_chunk *c, GError **error)
{
    if (c->cipher == QM_CIPHER_NONE)
        return r->key == NULL ||
               wrong_key(r,
                         "is not encrypted, but image_secret is set: it is "
                         "kept; if it is known to be right, it is restored "
                         "without image_secret",
                         error);
    if (r->key == NULL)
        return wrong_key(r,
                         "is encrypted, and the resource has no image_secret: "
                         "it is kept",
                         error);
    return r->cipher != NULL ||
           qm__image_cipher_for(r->key, r->vm_uuid, c, &r->cipher, error);
}

/* @payload: as it lies there; then as it was before encryption. */
static bool
decrypt(qm_image_reader *r, const qm_chunk *c, const uint8_t **payload,
        GError **error)
{
    g_autoptr(GError) why = NULL;

    if (!check_key(r, c, error))
        return false;
    if (c->cipher == QM_CIPHER_NONE)
        return true;
    if (!qm__image_unseal(r->cipher, c, *payload, r->plain, &why))
        return damaged(r, why->message, error);
    *payload = r->plain;
    return true;
}

/* The next chunk, whole and checked.  CORRUPT: it is not there (yet). */
static bool
next_chunk(qm_image_reader *r, const patience *p, qm_chunk *ret_chunk,
           const uint8_t **ret_payload, GError **error)
{
    const uint8_t *bytes;
    qm_chunk c;
    g_autoptr(GError) why = NULL;

    if (!get_bytes(r, QM_CHUNK_HEADER, p, &bytes, error))
        return false;
    if (!qm__chunk_in(bytes, r->vm_uuid, &c, &why))
        return damaged(r, why->message, error);
    if (c.image_id != r->image_id || c.sequence != r->sequence)
        return damaged(r, "what stands there is of another image", error);
    if (!get_bytes(r, qm__chunk_span(&c), p, &bytes, error))
        return false;
    if (qm__crc32c(0, bytes + QM_CHUNK_HEADER, c.stored_length) !=
        c.payload_crc)
        return damaged(r, "checksum is wrong", error);
    *ret_chunk = c;
    *ret_payload = bytes + QM_CHUNK_HEADER;
    return true;
}

/* The same, but waits for a chunk that the writer has yet to write. */
static bool
follow_chunk(qm_image_reader *r, bool follow, const patience *p,
             qm_chunk *ret_chunk, const uint8_t **ret_payload, GError **error)
{
    bool napped = false;

    for (;;) {
        g_autoptr(GError) why = NULL;

        if (next_chunk(r, p, ret_chunk, ret_payload, &why)) {
            /* Reading ahead of a writer that is waited for reads what is not
             * there, twice. */
            if (!napped)
                r->ahead = MIN(MAX(4 * r->ahead, AHEAD_FIRST),
                               follow ? MIN(AHEAD_FOLLOW, max_ahead(r))
                                      : max_ahead(r));
            return true;
        }
        if (!follow || !g_error_matches(why, QM_ERROR, QM_ERROR_CORRUPT)) {
            g_propagate_error(error, g_steal_pointer(&why));
            return false;
        }
        /* The writer has been caught up with: no more than the next header is
         * looked at until it is there, the writer needs the storage more. */
        r->ahead = 0;
        r->there = 0;
        napped = true;
        (void) poll(NULL, 0, FOLLOW_MS); /* a nap; a signal may shorten it */
        if (!check_time(p, error) || !rewind_to_chunk(r, p, error))
            return false;
    }
}

static bool
check_last(qm_image_reader *r, const qm_chunk *c, GError **error)
{
    uint8_t digest[QM_DIGEST_LEN];

    qm__digest_get(r->digest, digest);
    if (c->total_length != r->raw_total ||
        memcmp(digest, c->digest, QM_DIGEST_LEN) != 0)
        return damaged(r, "length or digest is wrong", error);
    return true;
}

static bool
write_out(qm_image_reader *r, int fd, const uint8_t *data, uint32_t length,
          const patience *p, GError **error)
{
    while (length > 0) {
        ssize_t n = write(fd, data, length);

        if (n >= 0) {
            data += n;
            length -= (uint32_t) n;
        } else if (errno != EAGAIN && errno != EINTR) {
            g_set_error(error, QM_ERROR, QM_ERROR_IO,
                        "handing the saved state to libvirt: %s",
                        g_strerror(errno));
            return false;
        } else if (!check_time(p, error) ||
                   !wait_for(r, fd, LOOK_AROUND_MS, error)) {
            return false;
        }
    }
    return true;
}

/* The writer fills each chunk: one that is shorter than the first is the
 * stream's end, and the last one brings nothing more. */
static void
look_for_end(qm_image_reader *r, const qm_chunk *c)
{
    if (c->sequence == 0)
        r->full = c->raw_length;
    if (c->raw_length < r->full && r->on_end != NULL) {
        r->on_end(r->on_end_opaque);
        r->on_end = NULL;
        r->full = 0;
        r->ended = true;
    }
}

bool
qm__image_read_to(qm_image_reader *r, int fd, bool follow, int64_t deadline,
                  qm_keep_going keep_going, void *opaque, GError **error)
{
    patience p = {deadline, keep_going, opaque};

    if (follow)
        r->ahead = 0; /* nothing has proved to be there */
    for (;;) {
        qm_chunk c;
        const uint8_t *payload, *raw;

        if (!check_time(&p, error) ||
            !follow_chunk(r, follow, &p, &c, &payload, error) ||
            !decrypt(r, &c, &payload, error) ||
            !decode(r, &c, payload, &raw, error))
            return false;
        if (r->ended && c.raw_length > 0)
            return damaged(r, "it goes on after its end", error);
        r->raw_total += c.raw_length;
        qm__digest_add(r->digest, &c);
        if (c.flags & QM_CHUNK_LAST && !check_last(r, &c, error))
            return false;
        if (!write_out(r, fd, raw, c.raw_length, &p, error))
            return false;
        look_for_end(r, &c);
        r->position += qm__chunk_span(&c);
        r->sequence++;
        if (c.flags & QM_CHUNK_LAST)
            return true;
    }
}

void
qm__image_reader_decrypt(qm_image_reader *r, const qm_image_key *key)
{
    r->key = key;
    if (key != NULL && r->plain == NULL)
        r->plain = g_malloc(QM_CHUNK_PAYLOAD);
}

uint64_t
qm__image_read_bytes(const qm_image_reader *r)
{
    return r->position;
}

void
qm__image_reader_is_there(qm_image_reader *r, uint64_t end)
{
    r->there = end;
}

void
qm__image_reader_on_end(qm_image_reader *r, void (*on_end)(void *),
                        void *opaque)
{
    r->on_end = on_end;
    r->on_end_opaque = opaque;
}

void
qm__image_reader_free(qm_image_reader *r)
{
    patience p = {qm__deadline_in(2 * QM_S), NULL, NULL};
    g_autoptr(GError) ignored = NULL;

    if (r == NULL)
        return;
    if (!settle(r, &p, &ignored) && r->in_flight > 0)
        return; /* better a leak than a read into freed memory */
    for (unsigned i = 0; i < r->n_windows; i++)
        free(r->windows[i].buf);
    g_free(r->windows);
    g_free(r->bounce);
    g_free(r->raw);
    qm__image_cipher_free(r->cipher);
    g_free(r->plain);
    g_checksum_free(r->digest);
    g_clear_error(&r->failed);
    g_free(r);
}
