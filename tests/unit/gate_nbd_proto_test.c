/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * NBD on the wire: what is accepted, what is refused, and that no length is
 * believed.
 */
#include "config.h"
#include <endian.h>
#include <string.h>
#include "unit.h"
#include "nbd-proto.h"

static const nbd_export disk = {.size = 1 << 20, .block_size = 512};

static nbd_command_header
command(nbd_command c, uint64_t offset, uint32_t length)
{
    return (nbd_command_header){
        .command = (uint16_t) c, .offset = offset, .length = length};
}

static void
check(nbd_command c, uint64_t offset, uint32_t length, uint32_t expected)
{
    nbd_command_header h = command(c, offset, length);

    if (nbd_request_check(&h, &disk) != expected)
        fail_msg("command %d, %u bytes at %llu: %u, expected %u", c, length,
                 (unsigned long long) offset, nbd_request_check(&h, &disk),
                 expected);
}

static void
ranges(void **state)
{
    check(NBD_CMD_READ, 0, 512, NBD_OK);
    check(NBD_CMD_READ, (1 << 20) - 512, 512, NBD_OK);
    check(NBD_CMD_READ, 0, 1 << 20, NBD_OK);
    check(NBD_CMD_READ, 0, 0, NBD_EINVAL);
    check(NBD_CMD_READ, 1, 512, NBD_EINVAL);
    check(NBD_CMD_READ, 0, 511, NBD_EINVAL);
    check(NBD_CMD_READ, 1 << 20, 512, NBD_EINVAL);
    check(NBD_CMD_READ, UINT64_MAX - 511, 512, NBD_EINVAL);
    check(NBD_CMD_WRITE, (1 << 20) - 512, 1024, NBD_ENOSPC);
    check(NBD_CMD_WRITE, UINT64_MAX - 511, 1024, NBD_ENOSPC);
    check(NBD_CMD_WRITE, 0, NBD_MAX_PAYLOAD + 512, NBD_EINVAL);
    check(NBD_CMD_FLUSH, 0, 0, NBD_OK);
    check(NBD_CMD_FLUSH, 0, 512, NBD_EINVAL);
    check(NBD_CMD_FLUSH, 512, 0, NBD_EINVAL);
    check((nbd_command) 4, 0, 512, NBD_EINVAL); /* TRIM */
    check((nbd_command) 65535, 0, 512, NBD_EINVAL);
}

static void
flags(void **state)
{
    nbd_command_header h = command(NBD_CMD_WRITE, 0, 512);
    nbd_export read_only = disk;

    h.flags = NBD_CMD_FLAG_FUA;
    assert_int_equal(nbd_request_check(&h, &disk), NBD_OK);
    h.flags = 2;
    assert_int_equal(nbd_request_check(&h, &disk), NBD_EINVAL);
    h.flags = 0;
    read_only.read_only = true;
    assert_int_equal(nbd_request_check(&h, &read_only), NBD_EPERM);
    assert_true(nbd_export_flags(&read_only) & NBD_FLAG_READ_ONLY);
    assert_false(nbd_export_flags(&read_only) & NBD_FLAG_SEND_FUA);
    assert_false(nbd_export_flags(&disk) & NBD_FLAG_READ_ONLY);
    assert_true(nbd_export_flags(&disk) & NBD_FLAG_CAN_MULTI_CONN);
}

static void
put32(uint8_t *p, uint32_t v)
{
    v = htobe32(v);
    memcpy(p, &v, 4);
}

static void
requests(void **state)
{
    uint8_t buf[NBD_REQUEST_SIZE] = {0};
    nbd_command_header h;

    assert_false(nbd_request_in(buf, &h));
    put32(buf, 0x25609513);
    buf[5] = NBD_CMD_FLAG_FUA;
    buf[7] = NBD_CMD_WRITE;
    memcpy(buf + 8, "cookie!!", 8);
    buf[22] = 0x10; /* offset 4096 */
    put32(buf + 24, 1024);
    assert_true(nbd_request_in(buf, &h));
    assert_int_equal(h.flags, NBD_CMD_FLAG_FUA);
    assert_int_equal(h.command, NBD_CMD_WRITE);
    assert_memory_equal(&h.cookie, "cookie!!", 8);
    assert_int_equal(h.offset, 4096);
    assert_int_equal(h.length, 1024);
}

static void
replies(void **state)
{
    uint8_t buf[NBD_REPLY_SIZE];
    uint64_t cookie;

    memcpy(&cookie, "cookie!!", 8);
    nbd_reply_out(buf, NBD_EIO, cookie);
    assert_memory_equal(buf,
                        "\x67\x44\x66\x98\0\0\0\x05"
                        "cookie!!",
                        16);
}

/* Data of INFO and GO: every wrong length is found. */
static void
info_requests(void **state)
{
    uint8_t data[64] = {0};

    put32(data, 3);
    memcpy(data + 4, "abc", 3);
    data[8] = 2; /* two items */
    assert_true(nbd_info_request_valid(data, 4 + 3 + 2 + 4));
    for (uint32_t n = 0; n < sizeof data; n++)
        if (n != 4 + 3 + 2 + 4)
            assert_false(nbd_info_request_valid(data, n));
    put32(data, UINT32_MAX);
    assert_false(nbd_info_request_valid(data, sizeof data));
    put32(data, NBD_NAME_MAX + 1);
    assert_false(nbd_info_request_valid(data, sizeof data));
    put32(data, 0);
    memset(data + 4, 0, 2);
    assert_true(nbd_info_request_valid(data, 6));
}

static void
handshake(void **state)
{
    uint8_t buf[256], option[NBD_OPTION_SIZE] = "IHAVEOPT\0\0\0\x07\0\0\1\2";
    nbd_option o;
    bool no_zeroes;

    nbd_greeting_out(buf);
    assert_memory_equal(buf, "NBDMAGICIHAVEOPT\0\3", NBD_GREETING_SIZE);
    put32(buf, 3);
    assert_true(nbd_client_flags_in(buf, &no_zeroes) && no_zeroes);
    put32(buf, 1);
    assert_true(nbd_client_flags_in(buf, &no_zeroes) && !no_zeroes);
    put32(buf, 4);
    assert_false(nbd_client_flags_in(buf, &no_zeroes));
    assert_true(nbd_option_in(option, &o));
    assert_int_equal(o.code, NBD_OPT_GO);
    assert_int_equal(o.length, 0x102);
    option[0] = 'i';
    assert_false(nbd_option_in(option, &o));
    assert_int_equal(nbd_export_name_reply_out(buf, &disk, false),
                     NBD_EXPORT_NAME_REPLY_MAX);
    assert_int_equal(nbd_export_name_reply_out(buf, &disk, true), 10);
    assert_int_equal(nbd_info_reply_out(buf, NBD_OPT_GO, &disk),
                     NBD_INFO_REPLY_SIZE);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges),        cmocka_unit_test(flags),
        cmocka_unit_test(requests),      cmocka_unit_test(replies),
        cmocka_unit_test(info_requests), cmocka_unit_test(handshake),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
