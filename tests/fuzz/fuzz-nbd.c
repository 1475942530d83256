/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * A client of the gate that sends anything, in pieces of any length.  The
 * first byte says how long the pieces are and when requests are answered.
 */
#include "config.h"
#include <sys/socket.h>
#include <unistd.h>
#include "../../src/gate/nbd.h"
#include "fuzz.h"

#define SIZE (64u << 20)

typedef struct {
    GPtrArray *requests; /* submitted, not answered */
} disk;

static const nbd_export export = {.size = SIZE, .block_size = 512};

static void
on_submit(void *opaque, request *r)
{
    disk *d = opaque;

    FUZZ_CHECK(r->offset <= SIZE && r->length <= SIZE - r->offset);
    FUZZ_CHECK(r->offset % 512 == 0 && r->length % 512 == 0);
    FUZZ_CHECK(r->length <= NBD_MAX_PAYLOAD);
    FUZZ_CHECK(r->length == 0 || r->buf != NULL);
    if (r->length > 0) { /* all of it may be touched */
        r->buf[0] ^= 1;
        r->buf[r->length - 1] ^= 1;
    }
    g_ptr_array_add(d->requests, r);
}

static void
answer(disk *d, uint8_t how)
{
    while (d->requests->len > 0) {
        request *r = g_ptr_array_remove_index_fast(
            d->requests, how & 2 ? 0 : d->requests->len - 1);

        nbd_reply(r, how & 4 ? NBD_EIO : NBD_OK);
    }
}

/* What it says is not looked at, but taken. */
static bool
drain(nbd_conn *c, int peer)
{
    char buf[65536];

    for (int i = 0; i < 64 && nbd_conn_sendable(c); i++) {
        if (!nbd_conn_send(c))
            return false;
        while (recv(peer, buf, sizeof buf, MSG_DONTWAIT) > 0)
            ;
        nbd_conn_unblock(c);
    }
    return true;
}

static bool
feed(disk *d, nbd_conn *c, int peer, const uint8_t *data, size_t size)
{
    uint8_t how = size > 0 ? data[0] : 0;
    size_t piece = how & 1 ? 4096 : 1 + (how >> 3);

    for (size_t at = 1; at < size; at += piece) {
        size_t n = MIN(piece, size - at);

        if (send(peer, data + at, n, MSG_NOSIGNAL) != (ssize_t) n)
            return false;
        if (!nbd_conn_receive(c))
            return false;
        if (!(how & 0x40))
            answer(d, how);
        if (!drain(c, peer))
            return false;
    }
    return true;
}

void
fuzz_nbd(const uint8_t *data, size_t size)
{
    int ends[2];
    disk d = {g_ptr_array_new()};
    request_pool *pool = request_pool_new();
    nbd_conn *c;

    FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    c = nbd_conn_new(ends[0], &export, pool, on_submit, &d);
    if (feed(&d, c, ends[1], data, size))
        answer(&d, 0);
    else
        FUZZ_CHECK(nbd_conn_why(c)[0] != '\0');
    for (guint i = 0; i < d.requests->len; i++) {
        request *r = g_ptr_array_index(d.requests, i);

        r->conn = NULL;
        request_put(pool, r);
    }
    nbd_conn_free(c);
    request_pool_free(pool);
    g_ptr_array_free(d.requests, TRUE);
    close(ends[1]);
}
