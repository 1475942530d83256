/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_ISCSI_PDU_H
#define QM_ISCSI_PDU_H

/*
 * Where the fields of an iSCSI PDU are (RFC 7143, section 11).  Only what an
 * initiator without digests and without error recovery needs.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define QM_BHS          48   /* bytes of a header */
#define QM_ISID         6    /* bytes of an ISID */
#define QM_ISID_RANDOM  0x80 /* byte 0 of an ISID: 24 bits at random follow */
#define QM_TAG_NONE     UINT32_C(0xffffffff)
#define QM_PDU_FINAL    0x80 /* byte 1 */
#define QM_OP_MASK      0x3f /* byte 0 */
#define QM_OP_IMMEDIATE 0x40

enum { /* byte 0 */
       QM_OP_NOP_OUT = 0x00,
       QM_OP_COMMAND = 0x01,
       QM_OP_TASK_REQUEST = 0x02,
       QM_OP_LOGIN = 0x03,
       QM_OP_DATA_OUT = 0x05,
       QM_OP_LOGOUT = 0x06,
       QM_OP_NOP_IN = 0x20,
       QM_OP_RESPONSE = 0x21,
       QM_OP_TASK_RESPONSE = 0x22,
       QM_OP_LOGIN_RESPONSE = 0x23,
       QM_OP_DATA_IN = 0x25,
       QM_OP_LOGOUT_RESPONSE = 0x26,
       QM_OP_R2T = 0x31,
       QM_OP_ASYNC = 0x32,
       QM_OP_REJECT = 0x3f
};

enum { /* byte 1 */
       QM_COMMAND_READ = 0x40,
       QM_COMMAND_WRITE = 0x20,
       QM_COMMAND_SIMPLE = 0x01,
       QM_RESPONSE_OVERFLOW = 0x04,
       QM_RESPONSE_UNDERFLOW = 0x02,
       QM_DATA_STATUS = 0x01,
       QM_LOGIN_TRANSIT = 0x80,
       QM_LOGIN_CONTINUE = 0x40
};

enum { /* byte offsets */
       QM_AT_FLAGS = 1,
       QM_AT_RESPONSE = 2,
       QM_AT_STATUS = 3,
       QM_AT_AHS = 4,
       QM_AT_LENGTH = 5, /* 3 bytes */
       QM_AT_LUN = 8,    /* 8 bytes */
       QM_AT_TAG = 16,
       QM_AT_EXPECTED = 20,   /* command: bytes of data */
       QM_AT_TARGET_TAG = 20, /* R2T, Data-Out, NOP */
       QM_AT_CMD_SN = 24,     /* from us */
       QM_AT_EXP_STAT_SN = 28,
       QM_AT_STAT_SN = 24, /* from the target */
       QM_AT_EXP_CMD_SN = 28,
       QM_AT_MAX_CMD_SN = 32,
       QM_AT_CDB = 32,
       QM_AT_DATA_SN = 36,
       QM_AT_ASYNC_EVENT = 36,
       QM_AT_OFFSET = 40,
       QM_AT_RESIDUAL = 44,
       QM_AT_WANTED = 44, /* R2T: bytes */
       QM_AT_ISID = 8,
       QM_AT_LOGIN_CLASS = 36,
       QM_AT_LOGIN_DETAIL = 37
};

static inline uint32_t
qm__get_be24(const uint8_t *p)
{
    return (uint32_t) p[0] << 16 | (uint32_t) p[1] << 8 | p[2];
}

static inline void
qm__put_be24(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t) (v >> 16);
    p[1] = (uint8_t) (v >> 8);
    p[2] = (uint8_t) v;
}

static inline uint32_t
qm__get_be32(const uint8_t *p)
{
    return (uint32_t) p[0] << 24 | qm__get_be24(p + 1);
}

static inline void
qm__set_be32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t) (v >> 24);
    qm__put_be24(p + 1, v);
}

/* Zeros that fill @length up to whole words. */
static inline uint32_t
qm__pdu_pad(uint32_t length)
{
    return -length & 3;
}

/* Serial number arithmetic: @a is not after @b. */
static inline bool
qm__serial_le(uint32_t a, uint32_t b)
{
    return (int32_t) (b - a) >= 0;
}

/* Peripheral addressing, flat from 256 on. */
static inline void
qm__put_lun(uint8_t *bhs, int lun)
{
    bhs[QM_AT_LUN] = lun > 255 ? (uint8_t) (0x40 | lun >> 8) : 0;
    bhs[QM_AT_LUN + 1] = (uint8_t) lun;
}

#endif
