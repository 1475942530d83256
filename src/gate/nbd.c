/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * An NBD connection.  The data path is as short as it can be made: small
 * requests are parsed out of one buffer filled by one system call; the
 * payload of large writes goes from the socket straight to where the SCSI
 * command takes it; replies leave in batches, without a copy.
 *
 * A client may have only so much under way: beyond that nothing more is
 * parsed until replies have left.
 */
#include "config.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <glib.h>
#include "nbd.h"

#define IN_SIZE      65536 /* bytes of the input buffer */
#define IN_SMALL     4096  /* bytes read ahead between large writes */
#define LARGE        16384 /* bytes: a write worth a read of its own */
#define READ_ROUNDS  8     /* system calls before others get their turn */
#define BATCH        64    /* pieces in one sendmsg() */
#define MAX_REQUESTS 256   /* under way, of one connection */
#define MAX_BYTES    (64u * 1024 * 1024) /* of their data */
#define MAX_HELLO    (256 * 1024)        /* bytes of handshake not yet sent */

typedef enum { PHASE_FLAGS, PHASE_OPTIONS, PHASE_TRANSMISSION } conn_phase;

struct nbd_conn {
    int fd;
    conn_phase phase;
    bool no_zeroes;
    bool blocked; /* the socket takes no more for now */
    bool polite;
    const char *why; /* ended: why; else "" */
    const nbd_export *export;
    request_pool *pool;
    nbd_submit submit;
    void *opaque;

    uint8_t *in; /* IN_SIZE bytes; [in_start, in_end) is unparsed */
    size_t in_start, in_end;
    request *current; /* write whose payload is coming in */
    uint32_t got;     /* bytes of it that are there */
    uint32_t invalid; /* error that it gets, whatever it carries */
    bool large;       /* the last write was large: read little ahead */

    unsigned n_requests; /* parsed and not yet answered */
    size_t n_bytes;      /* of their data */
    GByteArray *hello;   /* handshake's answers to be sent */
    request *replies, **replies_end;
};

nbd_conn *
nbd_conn_new(int fd, const nbd_export *export, request_pool *pool,
             nbd_submit submit, void *opaque)
{
    nbd_conn *c = g_new0(nbd_conn, 1);

    /* The default size of the socket's buffers stays: what lies in larger
     * ones has left the cache when the client takes it. */
    c->fd = fd;
    c->why = "";
    c->export = export;
    c->pool = pool;
    c->submit = submit;
    c->opaque = opaque;
    c->in = g_malloc(IN_SIZE);
    c->replies_end = &c->replies;
    c->hello = g_byte_array_new();
    g_byte_array_set_size(c->hello, NBD_GREETING_SIZE);
    nbd_greeting_out(c->hello->data);
    return c;
}

void
nbd_conn_free(nbd_conn *c)
{
    if (c == NULL)
        return;
    if (c->current != NULL)
        request_put(c->pool, c->current);
    while (c->replies != NULL) {
        request *r = c->replies;

        c->replies = r->next;
        request_put(c->pool, r);
    }
    g_byte_array_free(c->hello, TRUE);
    g_free(c->in);
    close(c->fd);
    g_free(c);
}

int
nbd_conn_fd(const nbd_conn *c)
{
    return c->fd;
}

const char *
nbd_conn_why(const nbd_conn *c)
{
    return c->why;
}

bool
nbd_conn_polite(const nbd_conn *c)
{
    return c->polite;
}

bool
nbd_conn_ready(const nbd_conn *c)
{
    return c->phase == PHASE_TRANSMISSION;
}

static bool
end(nbd_conn *c, const char *why)
{
    c->why = why;
    return false;
}

/* May another request come in? */
static bool
has_room(const nbd_conn *c)
{
    return c->n_requests < MAX_REQUESTS && c->n_bytes < MAX_BYTES &&
           c->hello->len < MAX_HELLO;
}

short
nbd_conn_events(const nbd_conn *c)
{
    short events = c->current != NULL || has_room(c) ? POLLIN : 0;

    return events | (c->blocked ? POLLOUT : 0);
}

/* A whole request is in the buffer, and there is room for it. */
static bool
has_request(const nbd_conn *c)
{
    return c->phase == PHASE_TRANSMISSION && c->current == NULL &&
           c->in_end - c->in_start >= NBD_REQUEST_SIZE && has_room(c);
}

bool
nbd_conn_stalled(const nbd_conn *c)
{
    return has_request(c);
}

bool
nbd_conn_sendable(const nbd_conn *c)
{
    return !c->blocked && (c->hello->len > 0 || c->replies != NULL);
}

void
nbd_conn_unblock(nbd_conn *c)
{
    c->blocked = false;
}

/* --- handshake ----------------------------------------------------------- */

static uint8_t *
hello_room(nbd_conn *c, size_t length)
{
    guint at = c->hello->len;

    g_byte_array_set_size(c->hello, at + (guint) length);
    return c->hello->data + at;
}

static void
answer(nbd_conn *c, uint32_t option, uint32_t type, const void *data,
       uint32_t length)
{
    uint8_t *p = hello_room(c, NBD_OPTION_REPLY_SIZE + length);

    p += nbd_option_reply_out(p, option, type, length);
    if (length > 0)
        memcpy(p, data, length);
}

static void
answer_list(nbd_conn *c, const nbd_option *o)
{
    static const uint8_t nameless[4] = {0};

    if (o->length != 0) {
        answer(c, o->code, NBD_REP_ERR_INVALID, NULL, 0);
        return;
    }
    answer(c, o->code, NBD_REP_SERVER, nameless, sizeof nameless);
    answer(c, o->code, NBD_REP_ACK, NULL, 0);
}

static void
answer_info(nbd_conn *c, const nbd_option *o, const uint8_t *data)
{
    uint8_t buf[NBD_INFO_REPLY_SIZE];
    size_t n;

    if (!nbd_info_request_valid(data, o->length)) {
        answer(c, o->code, NBD_REP_ERR_INVALID, NULL, 0);
        return;
    }
    n = nbd_info_reply_out(buf, o->code, c->export);
    memcpy(hello_room(c, n), buf, n);
    if (o->code == NBD_OPT_GO)
        c->phase = PHASE_TRANSMISSION;
}

static void
answer_export_name(nbd_conn *c)
{
    uint8_t buf[NBD_EXPORT_NAME_REPLY_MAX];
    size_t n = nbd_export_name_reply_out(buf, c->export, c->no_zeroes);

    memcpy(hello_room(c, n), buf, n);
    c->phase = PHASE_TRANSMISSION;
}

/* Every export name is accepted: a gate serves one disk only. */
static bool
handle_option(nbd_conn *c, const nbd_option *o, const uint8_t *data)
{
    switch (o->code) {
    case NBD_OPT_EXPORT_NAME:
        if (o->length > NBD_NAME_MAX)
            return end(c, "export name too long");
        answer_export_name(c);
        return true;
    case NBD_OPT_ABORT:
        c->polite = true;
        return end(c, "client gave up the handshake");
    case NBD_OPT_LIST:
        answer_list(c, o);
        return true;
    case NBD_OPT_INFO:
    case NBD_OPT_GO:
        answer_info(c, o, data);
        return true;
    default: /* TLS, structured replies, contexts: not here */
        answer(c, o->code, NBD_REP_ERR_UNSUP, NULL, 0);
        return true;
    }
}

/* One step of the handshake.  @ret_more: false: not enough bytes yet. */
static bool
parse_handshake(nbd_conn *c, bool *ret_more)
{
    const uint8_t *p = c->in + c->in_start;
    size_t have = c->in_end - c->in_start;
    nbd_option o;

    *ret_more = false;
    if (c->phase == PHASE_FLAGS) {
        if (have < NBD_CLIENT_FLAGS)
            return true;
        if (!nbd_client_flags_in(p, &c->no_zeroes))
            return end(c, "unknown client flags");
        c->in_start += NBD_CLIENT_FLAGS;
        c->phase = PHASE_OPTIONS;
    } else {
        if (have < NBD_OPTION_SIZE)
            return true;
        if (!nbd_option_in(p, &o))
            return end(c, "wrong magic in an option");
        if (o.length > NBD_OPTION_MAX)
            return end(c, "option too long");
        if (have < NBD_OPTION_SIZE + o.length)
            return true;
        c->in_start += NBD_OPTION_SIZE + o.length;
        if (!handle_option(c, &o, p + NBD_OPTION_SIZE))
            return false;
    }
    *ret_more = true;
    return true;
}

/* --- requests ------------------------------------------------------------ */

static void
request_complete(nbd_conn *c, request *r, uint32_t error)
{
    if (error != NBD_OK)
        nbd_reply(r, error);
    else
        c->submit(c->opaque, r);
}

static request *
new_request(nbd_conn *c, const nbd_command_header *h, uint32_t data)
{
    request *r = request_get(c->pool, data);

    r->conn = c;
    r->command = (nbd_command) h->command;
    r->fua = (h->flags & NBD_CMD_FLAG_FUA) != 0;
    r->cookie = h->cookie;
    r->offset = h->offset;
    r->length = data;
    c->n_requests++;
    c->n_bytes += data;
    return r;
}

/* One request out of the buffer; the payload of a write follows later. */
static bool
parse_request(nbd_conn *c)
{
    nbd_command_header h;
    uint32_t error;
    bool carries_data, wants_data;

    if (!nbd_request_in(c->in + c->in_start, &h))
        return end(c, "wrong magic in a request");
    c->in_start += NBD_REQUEST_SIZE;
    if (h.command == NBD_CMD_DISC) {
        c->polite = true;
        return end(c, "client disconnected");
    }
    error = nbd_request_check(&h, c->export);
    carries_data = h.command == NBD_CMD_WRITE && h.length > 0;
    wants_data = h.command == NBD_CMD_READ && error == NBD_OK;
    if (carries_data && h.length > NBD_MAX_PAYLOAD)
        return end(c, "write larger than the maximum that was announced");
    if (carries_data) {
        c->current = new_request(c, &h, h.length);
        c->got = 0;
        c->invalid = error;
        c->large = h.length >= LARGE;
    } else {
        request_complete(c, new_request(c, &h, wants_data ? h.length : 0),
                         error);
    }
    return true;
}

static void
finish_payload(nbd_conn *c)
{
    request *r = c->current;

    if (r == NULL || c->got < r->length)
        return;
    c->current = NULL;
    request_complete(c, r, c->invalid);
}

/* Takes payload of the current write from the input buffer. */
static void
take_payload(nbd_conn *c)
{
    size_t n = MIN(c->current->length - c->got, c->in_end - c->in_start);

    memcpy(c->current->buf + c->got, c->in + c->in_start, n);
    c->got += (uint32_t) n;
    c->in_start += n;
    finish_payload(c);
}

static bool
parse(nbd_conn *c)
{
    bool more = true;

    while (c->phase != PHASE_TRANSMISSION && more)
        if (!parse_handshake(c, &more))
            return false;
    for (;;) {
        if (c->current != NULL && c->in_start < c->in_end)
            take_payload(c);
        if (!has_request(c))
            return true;
        if (!parse_request(c))
            return false;
    }
}

/* --- receiving ----------------------------------------------------------- */

/* Where the next bytes go: rest of a payload first, then the buffer. */
static int
input_vector(nbd_conn *c, struct iovec *iov)
{
    size_t ahead = c->large ? IN_SMALL : IN_SIZE;
    int n = 0;

    if (c->in_start > 0) {
        memmove(c->in, c->in + c->in_start, c->in_end - c->in_start);
        c->in_end -= c->in_start;
        c->in_start = 0;
    }
    if (c->current != NULL) {
        iov[n].iov_base = c->current->buf + c->got;
        iov[n++].iov_len = c->current->length - c->got;
    }
    iov[n].iov_base = c->in + c->in_end;
    iov[n].iov_len = MIN(ahead, IN_SIZE - c->in_end);
    return iov[n].iov_len > 0 ? n + 1 : n;
}

static void
account(nbd_conn *c, size_t n)
{
    if (c->current != NULL) {
        size_t payload = MIN(n, c->current->length - c->got);

        c->got += (uint32_t) payload;
        n -= payload;
        c->in_end += n;
        finish_payload(c);
    } else {
        c->in_end += n;
    }
}

/* @ret_more: the socket may hold more. */
static bool
receive_once(nbd_conn *c, bool *ret_more)
{
    struct iovec iov[2];
    int n_iov = input_vector(c, iov);
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = (size_t) n_iov};
    size_t room = iov[0].iov_len + (n_iov > 1 ? iov[1].iov_len : 0);
    ssize_t n;

    *ret_more = false;
    if (n_iov == 0)
        return true;
    n = recvmsg(c->fd, &m, MSG_DONTWAIT);
    if (n == 0)
        return end(c, "client closed the connection");
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ||
               end(c, "cannot receive from the client");
    account(c, (size_t) n);
    *ret_more = (size_t) n == room;
    return parse(c);
}

bool
nbd_conn_receive(nbd_conn *c)
{
    bool more = true;

    if (!parse(c)) /* what waited for room */
        return false;
    for (int i = 0; i < READ_ROUNDS && more; i++) {
        if (c->current == NULL && !has_room(c))
            return true;
        if (!receive_once(c, &more))
            return false;
    }
    return true;
}

/* --- replies ------------------------------------------------------------- */

void
nbd_reply(request *r, uint32_t error)
{
    nbd_conn *c = r->conn;

    r->error = error;
    r->sent = 0;
    r->next = NULL;
    nbd_reply_out(r->header, error, r->cookie);
    *c->replies_end = r;
    c->replies_end = &r->next;
}

static size_t
reply_length(const request *r)
{
    bool data = r->command == NBD_CMD_READ && r->error == NBD_OK;

    return NBD_REPLY_SIZE + (data ? r->length : 0);
}

/* The pieces of @r that are still to be sent. */
static int
reply_vector(const request *r, struct iovec *iov)
{
    size_t length = reply_length(r), skip = r->sent;
    int n = 0;

    if (skip < NBD_REPLY_SIZE) {
        iov[n].iov_base = (void *) (r->header + skip);
        iov[n++].iov_len = NBD_REPLY_SIZE - skip;
        skip = NBD_REPLY_SIZE;
    }
    if (length > skip) {
        iov[n].iov_base = r->buf + (skip - NBD_REPLY_SIZE);
        iov[n++].iov_len = length - skip;
    }
    return n;
}

static void
replies_sent(nbd_conn *c, size_t n)
{
    while (n > 0) {
        request *r = c->replies;
        size_t rest = reply_length(r) - r->sent;

        if (n < rest) {
            r->sent += (uint32_t) n;
            return;
        }
        n -= rest;
        c->replies = r->next;
        if (c->replies == NULL)
            c->replies_end = &c->replies;
        c->n_requests--;
        c->n_bytes -= r->length;
        request_put(c->pool, r);
    }
}

/* Sends @iov; @ret_sent: bytes.  Short or nothing: the socket is full. */
static bool
send_vector(nbd_conn *c, struct iovec *iov, int n, size_t *ret_sent)
{
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = (size_t) n};
    ssize_t sent = sendmsg(c->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    size_t total = 0;

    for (int i = 0; i < n; i++)
        total += iov[i].iov_len;
    if (sent < 0 && errno != EAGAIN && errno != EINTR)
        return end(c, "cannot send to the client");
    *ret_sent = sent > 0 ? (size_t) sent : 0;
    c->blocked = *ret_sent < total;
    return true;
}

static bool
send_hello(nbd_conn *c)
{
    struct iovec iov = {c->hello->data, c->hello->len};
    size_t sent;

    if (!send_vector(c, &iov, 1, &sent))
        return false;
    if (sent > 0)
        g_byte_array_remove_range(c->hello, 0, (guint) sent);
    return true;
}

bool
nbd_conn_send(nbd_conn *c)
{
    c->blocked = false;
    if (c->hello->len > 0 && !send_hello(c))
        return false;
    while (c->replies != NULL && !c->blocked) {
        struct iovec iov[BATCH];
        size_t sent;
        int n = 0;

        for (request *r = c->replies; r != NULL && n + 2 <= BATCH; r = r->next)
            n += reply_vector(r, iov + n);
        if (!send_vector(c, iov, n, &sent))
            return false;
        replies_sent(c, sent);
    }
    return true;
}
