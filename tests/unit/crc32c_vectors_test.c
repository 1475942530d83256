/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * CRC32C against RFC 3720, appendix B.4, and the CPU's instruction against
 * the portable way.
 */
#include "config.h"
#include <string.h>
#include "unit.h"
#include "crc32c.h"

typedef uint32_t (*crc_fn)(uint32_t crc, const void *data, size_t length);

static const crc_fn ways[] = {qm__crc32c, qm__crc32c_portable};

static void
rfc_vectors(void **state)
{
    static const uint8_t read_command[48] = {
        [0] = 0x01,  0xc0,        [16] = 0x14, [22] = 0x04,
        [27] = 0x14, [31] = 0x18, 0x28,        [40] = 0x02,
    };
    uint8_t buf[32];

    for (size_t i = 0; i < G_N_ELEMENTS(ways); i++) {
        crc_fn crc = ways[i];

        memset(buf, 0, sizeof buf);
        assert_int_equal(crc(0, buf, sizeof buf), 0x8a9136aa);
        memset(buf, 0xff, sizeof buf);
        assert_int_equal(crc(0, buf, sizeof buf), 0x62a8ab43);
        for (size_t j = 0; j < sizeof buf; j++)
            buf[j] = (uint8_t) j;
        assert_int_equal(crc(0, buf, sizeof buf), 0x46dd794e);
        for (size_t j = 0; j < sizeof buf; j++)
            buf[j] = (uint8_t) (31 - j);
        assert_int_equal(crc(0, buf, sizeof buf), 0x113fdb5c);
        assert_int_equal(crc(0, read_command, sizeof read_command), 0xd9963a56);
        assert_int_equal(crc(0, "123456789", 9), 0xe3069283);
        assert_int_equal(crc(0, "", 0), 0);
    }
}

/* Bit by bit, as the polynomial says. */
static uint32_t
by_bits(const uint8_t *p, size_t length)
{
    uint32_t crc = UINT32_MAX;

    for (; length > 0; length--, p++) {
        crc ^= *p;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
    }
    return ~crc;
}

static void
fill(uint8_t *buf, size_t length)
{
    uint32_t x = 2463534242;

    for (size_t i = 0; i < length; i++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        buf[i] = (uint8_t) x;
    }
}

static void
all_lengths_and_alignments(void **state)
{
    uint8_t buf[16 + 300];

    fill(buf, sizeof buf);
    for (size_t start = 0; start < 16; start++)
        for (size_t length = 0; length <= 300; length++) {
            uint32_t expected = by_bits(buf + start, length);

            assert_int_equal(qm__crc32c(0, buf + start, length), expected);
            assert_int_equal(qm__crc32c_portable(0, buf + start, length),
                             expected);
        }
}

static void
continued_anywhere(void **state)
{
    uint8_t buf[257];
    uint32_t whole;

    fill(buf, sizeof buf);
    whole = by_bits(buf, sizeof buf);
    for (size_t i = 0; i < G_N_ELEMENTS(ways); i++)
        for (size_t j = 0; j < G_N_ELEMENTS(ways); j++)
            for (size_t at = 0; at <= sizeof buf; at++)
                assert_int_equal(
                    ways[j](ways[i](0, buf, at), buf + at, sizeof buf - at),
                    whole);
}

static void
large_buffers_agree(void **state)
{
    size_t length = (1 << 20) + 13;
    g_autofree uint8_t *buf = g_malloc(length);

    fill(buf, length);
    assert_int_equal(qm__crc32c(0, buf, length),
                     qm__crc32c_portable(0, buf, length));
}

/* Around the places where lanes are put together. */
static void
lanes_are_put_together(void **state)
{
    static const size_t lanes = 3 * 8192;
    g_autofree uint8_t *buf = g_malloc(3 * lanes + 32);

    fill(buf, 3 * lanes + 32);
    for (size_t n = 1; n <= 3; n++)
        for (size_t length = n * lanes - 17; length <= n * lanes + 17; length++)
            for (uint32_t seed = 0; seed < 2; seed++)
                assert_int_equal(qm__crc32c(seed, buf + 5, length),
                                 qm__crc32c_portable(seed, buf + 5, length));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc_vectors),
        cmocka_unit_test(all_lengths_and_alignments),
        cmocka_unit_test(continued_anywhere),
        cmocka_unit_test(large_buffers_agree),
        cmocka_unit_test(lanes_are_put_together),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
