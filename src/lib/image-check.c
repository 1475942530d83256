/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Is an image complete?  Only its headers are read, one after the other.
 */
#include "config.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include "image.h"
#include "timeouts.h"

#define LOOK_AROUND_MS 50
#define SETTLE         (2 * QM_S) /* for an answer that nobody waits for */

typedef struct {
    qm_store *store;
    uint8_t *block; /* QM_CHUNK_HEADER bytes, the store's until done */
    bool done;
    GError *failed;
    uint64_t sequence, position, raw_total; /* of the next chunk; bytes */
    GChecksum *digest;
} walker;

static void
on_read(void *opaque, const GError *error)
{
    walker *w = opaque;

    w->done = true;
    if (error != NULL)
        w->failed = g_error_copy(error);
}

static bool
await(walker *w, int64_t deadline, GError **error)
{
    while (!w->done) {
        struct pollfd p = {.fd = w->store->ops->get_fd(w->store),
                           .events = w->store->ops->events(w->store)};

        if (qm__passed(deadline)) {
            g_set_error(error, QM_ERROR, QM_ERROR_TIMEOUT,
                        "reading the image: not done in time");
            return false;
        }
        if (poll(&p, 1, LOOK_AROUND_MS) < 0 && errno != EINTR) {
            g_set_error(error, QM_ERROR, QM_ERROR_IO, "poll: %s",
                        g_strerror(errno));
            return false;
        }
        if (!w->store->ops->service(w->store, p.revents, error))
            return false;
    }
    return true;
}

static bool
read_header(walker *w, int64_t deadline, GError **error)
{
    w->done = false;
    if (!w->store->ops->read(w->store, w->position, w->block, QM_CHUNK_HEADER,
                             on_read, w, error)) {
        w->done = true;
        return false;
    }
    if (!await(w, deadline, error))
        return false;
    if (w->failed == NULL)
        return true;
    g_propagate_error(error, g_error_copy(w->failed));
    return false;
}

static bool
is_right(const walker *w, const qm_chunk *last)
{
    uint8_t digest[QM_DIGEST_LEN];

    qm__digest_get(w->digest, digest);
    return last->total_length == w->raw_total &&
           memcmp(digest, last->digest, QM_DIGEST_LEN) == 0;
}

/* Up to the last chunk, or to where the image is cut off. */
static bool
walk(walker *w, const uint8_t *vm_uuid, uint64_t image_id, int64_t deadline,
     bool *ret_complete, GError **error)
{
    qm_chunk c = {0};

    *ret_complete = false;
    while (!(c.flags & QM_CHUNK_LAST)) {
        if (w->position + QM_CHUNK_HEADER > w->store->capacity)
            return true;
        if (!read_header(w, deadline, error))
            return false;
        if (!qm__chunk_in(w->block, vm_uuid, &c, NULL) ||
            c.image_id != image_id || c.sequence != w->sequence ||
            qm__chunk_span(&c) > w->store->capacity - w->position)
            return true;
        w->raw_total += c.raw_length;
        qm__digest_add(w->digest, &c);
        w->position += qm__chunk_span(&c);
        w->sequence++;
    }
    *ret_complete = is_right(w, &c);
    return true;
}

static void
walker_free(walker *w)
{
    g_autoptr(GError) ignored = NULL;

    g_checksum_free(w->digest);
    if (!w->done && !await(w, qm__deadline_in(SETTLE), &ignored) && !w->done)
        return; /* better a leak than a read into freed memory */
    g_clear_error(&w->failed);
    free(w->block);
    g_free(w);
}

bool
qm__image_check(qm_store *store, const uint8_t *vm_uuid, uint64_t image_id,
                int64_t deadline, bool *ret_complete, uint64_t *ret_length,
                GError **error)
{
    walker *w = g_new0(walker, 1);
    bool ok;

    w->store = store;
    w->done = true;
    w->digest = g_checksum_new(G_CHECKSUM_SHA256);
    w->block = aligned_alloc(QM_CHUNK_HEADER, QM_CHUNK_HEADER);
    if (w->block == NULL)
        g_error("out of memory");
    ok = walk(w, vm_uuid, image_id, deadline, ret_complete, error);
    if (ok)
        *ret_length = w->position;
    walker_free(w);
    return ok;
}
