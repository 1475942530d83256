/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_CRC32C_H
#define QM_CRC32C_H

/*
 * CRC32C (Castagnoli; RFC 3720, appendix B.4), with the CPU's instruction
 * where there is one.
 */
#include <stddef.h>
#include <stdint.h>

/* @crc: 0 to begin, or an earlier result to continue. */
uint32_t qm__crc32c(uint32_t crc, const void *data, size_t length);
/* The same without the CPU's instruction (for tests). */
uint32_t qm__crc32c_portable(uint32_t crc, const void *data, size_t length);

#endif
