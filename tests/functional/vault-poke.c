/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Sets one little-endian field of a 4 KiB block in a file, and makes the
 * block's checksum right again: a vault of the future, or in another state,
 * for tests.
 *
 *     vault-poke FILE BLOCK FIELD BYTES VALUE
 *
 * BLOCK and FIELD are offsets in bytes; BYTES is 4 or 8.
 */
#include "config.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "codec.h"
#include "crc32c.h"

#define BLOCK 4096

int
main(int argc, char **argv)
{
    uint8_t buf[BLOCK];
    long at, field;
    unsigned long long value;
    FILE *f;

    if (argc != 6)
        return 2;
    at = atol(argv[2]);
    field = atol(argv[3]);
    value = strtoull(argv[5], NULL, 0);
    f = fopen(argv[1], "r+b");
    if (f == NULL || field < 0 || field > BLOCK - 12 ||
        fseek(f, at, SEEK_SET) != 0 || fread(buf, BLOCK, 1, f) != 1) {
        perror(argv[1]);
        return 1;
    }
    if (strcmp(argv[4], "8") == 0)
        qm__put64(buf + field, value);
    else
        qm__put32(buf + field, (uint32_t) value);
    qm__put32(buf + BLOCK - 4, qm__crc32c(0, buf, BLOCK - 4));
    if (fseek(f, at, SEEK_SET) != 0 || fwrite(buf, BLOCK, 1, f) != 1 ||
        fclose(f) != 0) {
        perror(argv[1]);
        return 1;
    }
    return 0;
}
