/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * CRC32C.  The image stream runs through it at memory speed, so the CPU's
 * instruction is used where there is one; both ways give the same result.
 */
#include "config.h"
#include <stdbool.h>
#include <string.h>
#include <glib.h>
#include "codec.h"
#include "crc32c.h"

#define POLYNOMIAL 0x82F63B78u /* reversed 0x1EDC6F41 */
#define SLICES     8
#define LANES      3
#define LANE       ((size_t) 8192) /* bytes, multiple of 8 */

typedef uint32_t slice_table[SLICES][256];

static const slice_table *
get_table(void)
{
    static slice_table table;
    static gsize ready;

    if (g_once_init_enter(&ready)) {
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t crc = i;

            for (int bit = 0; bit < 8; bit++)
                crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
            table[0][i] = crc;
        }
        for (int s = 1; s < SLICES; s++)
            for (int i = 0; i < 256; i++) {
                uint32_t crc = table[s - 1][i];

                table[s][i] = crc >> 8 ^ table[0][crc & 0xff];
            }
        g_once_init_leave(&ready, 1);
    }
    return &table;
}

uint32_t
qm__crc32c_portable(uint32_t crc, const void *data, size_t length)
{
    const slice_table *t = get_table();
    const uint8_t *p = data;

    crc = ~crc;
    for (; length >= 8; length -= 8, p += 8) {
        uint32_t low = crc ^ qm__get32(p), high = qm__get32(p + 4);

        crc = (*t)[7][low & 0xff] ^ (*t)[6][low >> 8 & 0xff] ^
              (*t)[5][low >> 16 & 0xff] ^ (*t)[4][low >> 24] ^
              (*t)[3][high & 0xff] ^ (*t)[2][high >> 8 & 0xff] ^
              (*t)[1][high >> 16 & 0xff] ^ (*t)[0][high >> 24];
    }
    for (; length > 0; length--, p++)
        crc = crc >> 8 ^ (*t)[0][(crc ^ *p) & 0xff];
    return ~crc;
}

#if defined(__x86_64__)
#include <nmmintrin.h>

static bool
has_instruction(void)
{
    return __builtin_cpu_supports("sse4.2");
}

/* What LANE zero bytes make of each byte of a CRC (which is linear). */
typedef uint32_t shift_table[4][256];

static const shift_table *
get_shift(void)
{
    static shift_table table;
    static gsize ready;

    if (g_once_init_enter(&ready)) {
        static const uint8_t zeros[LANE];

        for (int bit = 0; bit < 32; bit++) {
            uint32_t one = UINT32_C(1) << bit;
            uint32_t shifted = ~qm__crc32c_portable(~one, zeros, LANE);

            for (int i = 0; i < 256; i++)
                if (i >> bit % 8 & 1)
                    table[bit / 8][i] ^= shifted;
        }
        g_once_init_leave(&ready, 1);
    }
    return &table;
}

static uint32_t
shift(const shift_table *t, uint64_t crc)
{
    return (*t)[0][crc & 0xff] ^ (*t)[1][crc >> 8 & 0xff] ^
           (*t)[2][crc >> 16 & 0xff] ^ (*t)[3][crc >> 24 & 0xff];
}

static uint64_t
get_word(const uint8_t *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof word);
    return word;
}

/* The instruction takes three cycles, but one can begin in each: three lanes
 * side by side, put together at their end.  @crc: not inverted. */
__attribute__((target("sse4.2"))) static uint64_t
crc_of_lanes(uint64_t crc, const uint8_t *p)
{
    const shift_table *t = get_shift();
    uint64_t second = 0, third = 0;

    for (size_t i = 0; i < LANE; i += 8) {
        crc = _mm_crc32_u64(crc, get_word(p + i));
        second = _mm_crc32_u64(second, get_word(p + LANE + i));
        third = _mm_crc32_u64(third, get_word(p + 2 * LANE + i));
    }
    return shift(t, shift(t, crc) ^ second) ^ third;
}

__attribute__((target("sse4.2"))) static uint32_t
crc_by_instruction(uint32_t crc, const uint8_t *p, size_t length)
{
    uint64_t wide = ~crc;

    for (; length >= LANES * LANE; length -= LANES * LANE, p += LANES * LANE)
        wide = crc_of_lanes(wide, p);
    for (; length >= 8; length -= 8, p += 8)
        wide = _mm_crc32_u64(wide, get_word(p));
    crc = (uint32_t) wide;
    for (; length > 0; length--, p++)
        crc = _mm_crc32_u8(crc, *p);
    return ~crc;
}
#else
static bool
has_instruction(void)
{
    return false;
}

static uint32_t
crc_by_instruction(uint32_t crc, const uint8_t *p, size_t length)
{
    return qm__crc32c_portable(crc, p, length);
}
#endif

uint32_t
qm__crc32c(uint32_t crc, const void *data, size_t length)
{
    if (has_instruction())
        return crc_by_instruction(crc, data, length);
    return qm__crc32c_portable(crc, data, length);
}
