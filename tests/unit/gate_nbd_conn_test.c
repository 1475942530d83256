/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * An NBD connection over a socket pair: however the bytes arrive, requests
 * come out whole; whatever is wrong ends the connection or gets its error.
 */
#include "config.h"
#include <endian.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "unit.h"
#include "nbd.h"

#define SIZE (64u << 20)

typedef struct {
    nbd_conn *conn;
    request_pool *pool;
    int peer;
    GPtrArray *requests; /* submitted, not answered */
} fixture;

static const nbd_export disk = {.size = SIZE, .block_size = 512};

static void
on_submit(void *opaque, request *r)
{
    if (r->command == NBD_CMD_READ)
        memset(r->buf, 0, r->length); /* as a target would */
    g_ptr_array_add(((fixture *) opaque)->requests, r);
}

static void
begin(fixture *f)
{
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds),
                     0);
    f->peer = fds[1];
    f->pool = request_pool_new();
    f->requests = g_ptr_array_new();
    f->conn = nbd_conn_new(fds[0], &disk, f->pool, on_submit, f);
}

static void
finish(fixture *f)
{
    for (guint i = 0; i < f->requests->len; i++)
        request_put(f->pool, g_ptr_array_index(f->requests, i));
    g_ptr_array_free(f->requests, TRUE);
    nbd_conn_free(f->conn);
    request_pool_free(f->pool);
    close(f->peer);
}

static void
give(fixture *f, const void *data, size_t length)
{
    assert_int_equal(send(f->peer, data, length, MSG_NOSIGNAL), length);
}

/* What the connection sent. */
static void
expect(fixture *f, const void *data, size_t length)
{
    g_autofree uint8_t *buf = g_malloc(length);

    assert_true(nbd_conn_send(f->conn));
    assert_int_equal(recv(f->peer, buf, length, MSG_WAITALL), length);
    if (data != NULL)
        assert_memory_equal(buf, data, length);
}

static void
expect_nothing(fixture *f)
{
    char byte;

    assert_true(nbd_conn_send(f->conn));
    assert_int_equal(recv(f->peer, &byte, 1, MSG_DONTWAIT), -1);
}

static size_t
put_option(uint8_t *p, uint32_t code, const void *data, uint32_t length)
{
    uint32_t v = htobe32(code), l = htobe32(length);

    memcpy(p, "IHAVEOPT", 8);
    memcpy(p + 8, &v, 4);
    memcpy(p + 12, &l, 4);
    if (length > 0)
        memcpy(p + 16, data, length);
    return 16 + length;
}

static size_t
put_request(uint8_t *p, uint16_t command, uint64_t cookie, uint64_t offset,
            uint32_t length)
{
    uint32_t magic = htobe32(0x25609513), l = htobe32(length);
    uint16_t c = htobe16(command);
    uint64_t o = htobe64(offset);

    memset(p, 0, NBD_REQUEST_SIZE);
    memcpy(p, &magic, 4);
    memcpy(p + 6, &c, 2);
    memcpy(p + 8, &cookie, 8);
    memcpy(p + 16, &o, 8);
    memcpy(p + 24, &l, 4);
    return NBD_REQUEST_SIZE;
}

static void
shake_hands(fixture *f)
{
    uint8_t buf[64] = {0, 0, 0, 3}, info[6] = {0};
    size_t n = 4 + put_option(buf + 4, NBD_OPT_GO, info, sizeof info);

    expect(f, "NBDMAGICIHAVEOPT\0\3", NBD_GREETING_SIZE);
    give(f, buf, n);
    assert_true(nbd_conn_receive(f->conn));
    expect(f, NULL, NBD_INFO_REPLY_SIZE);
    assert_true(nbd_conn_ready(f->conn));
}

static request *
pop(fixture *f)
{
    assert_true(f->requests->len > 0);
    return g_ptr_array_steal_index(f->requests, 0);
}

/* --- handshake --- */

static void
handshake_byte_by_byte(void **state)
{
    uint8_t buf[64] = {0, 0, 0, 3}, info[6] = {0};
    size_t n = 4 + put_option(buf + 4, NBD_OPT_GO, info, sizeof info);
    fixture f;

    begin(&f);
    for (size_t i = 0; i < n; i++) {
        assert_false(nbd_conn_ready(f.conn));
        give(&f, buf + i, 1);
        assert_true(nbd_conn_receive(f.conn));
    }
    assert_true(nbd_conn_ready(f.conn));
    finish(&f);
}

static void
options(void **state)
{
    /* LIST, structured reply, TLS, LIST with data, INFO, broken INFO */
    static const struct {
        uint32_t code, length, first_type;
        size_t answer;
    } cases[] = {
        {NBD_OPT_LIST, 0, NBD_REP_SERVER, 20 + 4 + 20},
        {8, 0, NBD_REP_ERR_UNSUP, 20},
        {5, 0, NBD_REP_ERR_UNSUP, 20},
        {NBD_OPT_LIST, 4, NBD_REP_ERR_INVALID, 20},
        {NBD_OPT_INFO, 6, NBD_REP_INFO, NBD_INFO_REPLY_SIZE},
        {NBD_OPT_GO, 5, NBD_REP_ERR_INVALID, 20},
    };
    uint8_t buf[64], zeros[16] = {0}, answer[128];
    uint32_t type;
    fixture f;

    begin(&f);
    expect(&f, NULL, NBD_GREETING_SIZE);
    give(&f, "\0\0\0\3", 4);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        give(&f, buf, put_option(buf, cases[i].code, zeros, cases[i].length));
        assert_true(nbd_conn_receive(f.conn));
        assert_true(nbd_conn_send(f.conn));
        assert_int_equal(recv(f.peer, answer, sizeof answer, 0),
                         cases[i].answer);
        memcpy(&type, answer + 12, 4);
        assert_int_equal(be32toh(type), cases[i].first_type);
        assert_false(nbd_conn_ready(f.conn));
    }
    give(&f, buf, put_option(buf, NBD_OPT_ABORT, NULL, 0));
    assert_false(nbd_conn_receive(f.conn));
    assert_true(nbd_conn_polite(f.conn));
    finish(&f);
}

static void
export_name(void **state)
{
    uint8_t buf[64] = {0, 0, 0, 1};
    size_t n = 4 + put_option(buf + 4, NBD_OPT_EXPORT_NAME, "vda", 3);
    fixture f;

    begin(&f);
    expect(&f, NULL, NBD_GREETING_SIZE);
    give(&f, buf, n);
    assert_true(nbd_conn_receive(f.conn));
    expect(&f, NULL, NBD_EXPORT_NAME_REPLY_MAX);
    expect_nothing(&f);
    assert_true(nbd_conn_ready(f.conn));
    finish(&f);
}

static void
bad_handshakes(void **state)
{
    uint8_t flags[4] = {0, 0, 0, 7}, buf[64] = {0, 0, 0, 3};
    fixture f;

    begin(&f);
    give(&f, flags, 4);
    assert_false(nbd_conn_receive(f.conn));
    finish(&f);

    begin(&f); /* an option without its magic */
    give(&f, "\0\0\0\3ihaveopt\0\0\0\7\0\0\0\0", 20);
    assert_false(nbd_conn_receive(f.conn));
    assert_false(nbd_conn_polite(f.conn));
    finish(&f);

    begin(&f); /* an option of 4 GiB */
    (void) put_option(buf + 4, NBD_OPT_GO, NULL, 0);
    memset(buf + 16, 0xff, 4);
    give(&f, buf, 20);
    assert_false(nbd_conn_receive(f.conn));
    finish(&f);
}

/* --- requests --- */

static void
write_in_pieces(void **state)
{
    static const size_t sizes[] = {1, 7, 4096, 5000, 65536, 100000};
    uint32_t length = 200 * 1024;
    g_autofree uint8_t *buf = g_malloc(2 * (length + NBD_REQUEST_SIZE));
    size_t n = 0;

    for (int i = 0; i < 2; i++) {
        n += put_request(buf + n, NBD_CMD_WRITE, (uint64_t) i, 512, length);
        for (uint32_t j = 0; j < length; j++)
            buf[n++] = (uint8_t) (j * 7 + j / 251 + (uint32_t) i);
    }
    for (size_t k = 0; k < G_N_ELEMENTS(sizes); k++) {
        fixture f;

        begin(&f);
        shake_hands(&f);
        for (size_t at = 0; at < n; at += sizes[k]) {
            give(&f, buf + at, MIN(sizes[k], n - at));
            assert_true(nbd_conn_receive(f.conn));
        }
        assert_int_equal(f.requests->len, 2);
        for (int i = 0; i < 2; i++) {
            request *r = pop(&f);

            assert_int_equal(r->cookie, i);
            assert_int_equal(r->length, length);
            assert_memory_equal(r->buf,
                                buf + NBD_REQUEST_SIZE +
                                    (size_t) i * (length + NBD_REQUEST_SIZE),
                                length);
            nbd_reply(r, NBD_OK);
        }
        expect(&f, NULL, 2 * NBD_REPLY_SIZE);
        expect_nothing(&f);
        finish(&f);
    }
}

static void
read_with_data(void **state)
{
    uint8_t buf[NBD_REQUEST_SIZE], answer[NBD_REPLY_SIZE + 1024];
    fixture f;
    request *r;

    begin(&f);
    shake_hands(&f);
    give(&f, buf, put_request(buf, NBD_CMD_READ, 42, 1024, 1024));
    assert_true(nbd_conn_receive(f.conn));
    r = pop(&f);
    assert_int_equal(r->offset, 1024);
    memset(r->buf, 'x', 1024);
    nbd_reply(r, NBD_OK);
    nbd_reply_out(answer, NBD_OK, 42);
    memset(answer + NBD_REPLY_SIZE, 'x', 1024);
    expect(&f, answer, sizeof answer);
    /* an error carries no data */
    give(&f, buf, put_request(buf, NBD_CMD_READ, 43, 1024, 1024));
    assert_true(nbd_conn_receive(f.conn));
    nbd_reply(pop(&f), NBD_EIO);
    nbd_reply_out(answer, NBD_EIO, 43);
    expect(&f, answer, NBD_REPLY_SIZE);
    expect_nothing(&f);
    finish(&f);
}

static void
invalid_requests(void **state)
{
    uint8_t buf[NBD_REQUEST_SIZE + 100] = {0}, answer[NBD_REPLY_SIZE];
    fixture f;

    begin(&f);
    shake_hands(&f);
    give(&f, buf, put_request(buf, NBD_CMD_READ, 1, 1, 512));
    assert_true(nbd_conn_receive(f.conn));
    nbd_reply_out(answer, NBD_EINVAL, 1);
    expect(&f, answer, sizeof answer);
    /* the payload of a bad write is taken, and then refused */
    put_request(buf, NBD_CMD_WRITE, 2, 0, 100);
    give(&f, buf, sizeof buf);
    assert_true(nbd_conn_receive(f.conn));
    nbd_reply_out(answer, NBD_EINVAL, 2);
    expect(&f, answer, sizeof answer);
    give(&f, buf, put_request(buf, 77, 3, 0, 512));
    assert_true(nbd_conn_receive(f.conn));
    nbd_reply_out(answer, NBD_EINVAL, 3);
    expect(&f, answer, sizeof answer);
    assert_int_equal(f.requests->len, 0);
    finish(&f);
}

static void
ends_by_request(const uint8_t *data, size_t length, bool polite)
{
    fixture f;

    begin(&f);
    shake_hands(&f);
    give(&f, data, length);
    assert_false(nbd_conn_receive(f.conn));
    assert_int_equal(nbd_conn_polite(f.conn), polite);
    assert_string_not_equal(nbd_conn_why(f.conn), "");
    finish(&f);
}

static void
ends(void **state)
{
    uint8_t buf[NBD_REQUEST_SIZE];
    fixture f;

    ends_by_request(buf, put_request(buf, NBD_CMD_DISC, 0, 0, 0), true);
    ends_by_request(
        buf, put_request(buf, NBD_CMD_WRITE, 0, 0, NBD_MAX_PAYLOAD + 512),
        false);
    put_request(buf, NBD_CMD_READ, 0, 0, 512);
    buf[0]++;
    ends_by_request(buf, sizeof buf, false);

    begin(&f);
    shake_hands(&f);
    shutdown(f.peer, SHUT_RDWR);
    assert_false(nbd_conn_receive(f.conn));
    assert_false(nbd_conn_polite(f.conn));
    finish(&f);
}

/* A client that asks for everything at once gets as much as there is room
 * for; the rest is not lost. */
static void
flood(void **state)
{
    enum { N = 2000 };
    g_autofree uint8_t *buf = g_malloc(N * NBD_REQUEST_SIZE);
    unsigned answered = 0;
    fixture f;
    size_t n = 0;

    begin(&f);
    shake_hands(&f);
    for (unsigned i = 0; i < N; i++)
        n += put_request(buf + n, NBD_CMD_READ, i, 0, 512);
    give(&f, buf, n);
    while (answered < N) {
        assert_true(nbd_conn_receive(f.conn));
        assert_true(f.requests->len > 0 && f.requests->len <= 256);
        if (f.requests->len == 256)
            assert_false(nbd_conn_events(f.conn) & POLLIN);
        while (f.requests->len > 0) {
            request *r = pop(&f);

            assert_int_equal(r->cookie, answered++);
            nbd_reply(r, NBD_OK);
            expect(&f, NULL, NBD_REPLY_SIZE + 512);
        }
    }
    assert_false(nbd_conn_stalled(f.conn));
    assert_true(nbd_conn_events(f.conn) & POLLIN);
    finish(&f);
}

/* A client that does not read blocks nobody but itself. */
static void
slow_reader(void **state)
{
    uint8_t buf[NBD_REQUEST_SIZE];
    uint32_t length = 32u << 20;
    g_autofree uint8_t *data = g_malloc(length + NBD_REPLY_SIZE);
    size_t got = 0;
    fixture f;
    request *r;

    begin(&f);
    shake_hands(&f);
    give(&f, buf, put_request(buf, NBD_CMD_READ, 9, 0, length));
    assert_true(nbd_conn_receive(f.conn));
    r = pop(&f);
    memset(r->buf, 'y', length);
    nbd_reply(r, NBD_OK);
    while (got < length + NBD_REPLY_SIZE) {
        ssize_t k;

        assert_true(nbd_conn_send(f.conn));
        k = recv(f.peer, data + got, length + NBD_REPLY_SIZE - got, 0);
        assert_true(k > 0);
        got += (size_t) k;
        if (got < length + NBD_REPLY_SIZE) {
            assert_true(nbd_conn_events(f.conn) & POLLOUT);
            nbd_conn_unblock(f.conn);
        }
    }
    for (uint32_t i = 0; i < length; i++)
        if (data[NBD_REPLY_SIZE + i] != 'y')
            fail_msg("byte %u", i);
    assert_false(nbd_conn_events(f.conn) & POLLOUT);
    finish(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handshake_byte_by_byte),
        cmocka_unit_test(options),
        cmocka_unit_test(export_name),
        cmocka_unit_test(bad_handshakes),
        cmocka_unit_test(write_in_pieces),
        cmocka_unit_test(read_with_data),
        cmocka_unit_test(invalid_requests),
        cmocka_unit_test(ends),
        cmocka_unit_test(flood),
        cmocka_unit_test(slow_reader),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
