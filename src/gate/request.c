/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Requests and their buffers are used again, the most recent first: its pages
 * are mapped and still in the cache.  Buffers come in powers of two; what is
 * kept idle is bounded.
 */
#include "config.h"
#include <stdlib.h>
#include <glib.h>
#include "request.h"

#define CLASS_MIN_BITS 12 /* 4 KiB */
#define CLASSES        14 /* … 32 MiB = NBD_MAX_PAYLOAD */
#define ALIGNMENT      4096
#define IDLE_MAX       (64u * 1024 * 1024) /* bytes of idle buffers */
#define NO_BUFFER      (-1)

typedef struct free_buffer {
    struct free_buffer *next;
} free_buffer;

struct request_pool {
    request *idle; /* request objects without buffers */
    free_buffer *buffers[CLASSES];
    size_t idle_bytes;
};

G_STATIC_ASSERT((1u << (CLASS_MIN_BITS + CLASSES - 1)) == NBD_MAX_PAYLOAD);

request_pool *
request_pool_new(void)
{
    return g_new0(request_pool, 1);
}

void
request_pool_free(request_pool *pool)
{
    if (pool == NULL)
        return;
    while (pool->idle != NULL) {
        request *r = pool->idle;

        pool->idle = r->next;
        g_free(r);
    }
    for (int i = 0; i < CLASSES; i++)
        while (pool->buffers[i] != NULL) {
            free_buffer *b = pool->buffers[i];

            pool->buffers[i] = b->next;
            free(b);
        }
    g_free(pool);
}

static size_t
class_size(int c)
{
    return (size_t) 1 << (CLASS_MIN_BITS + c);
}

static int
class_of(uint32_t length)
{
    int bits = length > 1 ? 32 - __builtin_clz(length - 1) : 0;

    return bits > CLASS_MIN_BITS ? bits - CLASS_MIN_BITS : 0;
}

static uint8_t *
get_buffer(request_pool *pool, int c)
{
    free_buffer *b = pool->buffers[c];
    void *fresh;

    if (b != NULL) {
        pool->buffers[c] = b->next;
        pool->idle_bytes -= class_size(c);
        return (uint8_t *) b;
    }
    fresh = aligned_alloc(ALIGNMENT, class_size(c));
    if (fresh == NULL)
        g_error("no memory for a request of %zu bytes", class_size(c));
    return fresh;
}

request *
request_get(request_pool *pool, uint32_t length)
{
    request *r = pool->idle;

    if (r != NULL) {
        pool->idle = r->next;
        *r = (request){0};
    } else {
        r = g_new0(request, 1);
    }
    r->buf_class = NO_BUFFER;
    if (length > 0) {
        r->buf_class = class_of(length);
        r->buf = get_buffer(pool, r->buf_class);
    }
    return r;
}

void
request_put(request_pool *pool, request *r)
{
    if (r->buf_class != NO_BUFFER) {
        free_buffer *b = (free_buffer *) (void *) r->buf;

        if (pool->idle_bytes + class_size(r->buf_class) > IDLE_MAX) {
            free(b);
        } else {
            b->next = pool->buffers[r->buf_class];
            pool->buffers[r->buf_class] = b;
            pool->idle_bytes += class_size(r->buf_class);
        }
    }
    if (r->parts != &r->part)
        g_free(r->parts);
    r->next = pool->idle;
    pool->idle = r;
}
