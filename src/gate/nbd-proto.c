/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Encoding and decoding of what NBD puts on the wire.  Nothing that a client
 * sends is believed before it went through here.
 */
#include "config.h"
#include <endian.h>
#include <string.h>
#include "nbd-proto.h"

#define MAGIC_SERVER  UINT64_C(0x4e42444d41474943) /* "NBDMAGIC" */
#define MAGIC_OPTION  UINT64_C(0x49484156454f5054) /* "IHAVEOPT" */
#define MAGIC_ANSWER  UINT64_C(0x0003e889045565a9)
#define MAGIC_REQUEST UINT32_C(0x25609513)
#define MAGIC_REPLY   UINT32_C(0x67446698)

#define HANDSHAKE_FIXED_NEWSTYLE 1
#define HANDSHAKE_NO_ZEROES      2

#define INFO_EXPORT     0
#define INFO_BLOCK_SIZE 3
#define PREFERRED_BLOCK 4096 /* bytes */
#define EXPORT_PADDING  124  /* bytes of zeros after EXPORT_NAME's reply */

static uint16_t
get16(const uint8_t *p)
{
    uint16_t v;

    memcpy(&v, p, sizeof v);
    return be16toh(v);
}

static uint32_t
get32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof v);
    return be32toh(v);
}

static uint64_t
get64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof v);
    return be64toh(v);
}

static uint8_t *
put16(uint8_t *p, uint16_t v)
{
    v = htobe16(v);
    memcpy(p, &v, sizeof v);
    return p + sizeof v;
}

static uint8_t *
put32(uint8_t *p, uint32_t v)
{
    v = htobe32(v);
    memcpy(p, &v, sizeof v);
    return p + sizeof v;
}

static uint8_t *
put64(uint8_t *p, uint64_t v)
{
    v = htobe64(v);
    memcpy(p, &v, sizeof v);
    return p + sizeof v;
}

uint16_t
nbd_export_flags(const nbd_export *e)
{
    uint16_t flags =
        NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_CAN_MULTI_CONN;

    return flags | (e->read_only ? NBD_FLAG_READ_ONLY : NBD_FLAG_SEND_FUA);
}

/* --- handshake ----------------------------------------------------------- */

void
nbd_greeting_out(uint8_t *buf)
{
    buf = put64(buf, MAGIC_SERVER);
    buf = put64(buf, MAGIC_OPTION);
    put16(buf, HANDSHAKE_FIXED_NEWSTYLE | HANDSHAKE_NO_ZEROES);
}

bool
nbd_client_flags_in(const uint8_t *buf, bool *ret_no_zeroes)
{
    uint32_t flags = get32(buf);

    if (flags & ~(uint32_t) (HANDSHAKE_FIXED_NEWSTYLE | HANDSHAKE_NO_ZEROES))
        return false;
    *ret_no_zeroes = (flags & HANDSHAKE_NO_ZEROES) != 0;
    return true;
}

bool
nbd_option_in(const uint8_t *buf, nbd_option *ret_option)
{
    if (get64(buf) != MAGIC_OPTION)
        return false;
    ret_option->code = get32(buf + 8);
    ret_option->length = get32(buf + 12);
    return true;
}

bool
nbd_info_request_valid(const uint8_t *data, uint32_t length)
{
    uint32_t name, items;

    if (length < 4 + 2)
        return false;
    name = get32(data);
    if (name > NBD_NAME_MAX || name > length - 4 - 2)
        return false;
    items = get16(data + 4 + name);
    return length == 4 + name + 2 + items * 2;
}

size_t
nbd_option_reply_out(uint8_t *buf, uint32_t option, uint32_t type,
                     uint32_t length)
{
    uint8_t *p = put64(buf, MAGIC_ANSWER);

    p = put32(p, option);
    p = put32(p, type);
    return (size_t) (put32(p, length) - buf);
}

size_t
nbd_info_reply_out(uint8_t *buf, uint32_t option, const nbd_export *e)
{
    uint8_t *p = buf;

    p += nbd_option_reply_out(p, option, NBD_REP_INFO, 12);
    p = put16(p, INFO_EXPORT);
    p = put64(p, e->size);
    p = put16(p, nbd_export_flags(e));
    p += nbd_option_reply_out(p, option, NBD_REP_INFO, 14);
    p = put16(p, INFO_BLOCK_SIZE);
    p = put32(p, e->block_size);
    p = put32(p, e->block_size > PREFERRED_BLOCK ? e->block_size
                                                 : PREFERRED_BLOCK);
    p = put32(p, NBD_MAX_PAYLOAD);
    p += nbd_option_reply_out(p, option, NBD_REP_ACK, 0);
    return (size_t) (p - buf);
}

size_t
nbd_export_name_reply_out(uint8_t *buf, const nbd_export *e, bool no_zeroes)
{
    uint8_t *p = put64(buf, e->size);

    p = put16(p, nbd_export_flags(e));
    if (!no_zeroes) {
        memset(p, 0, EXPORT_PADDING);
        p += EXPORT_PADDING;
    }
    return (size_t) (p - buf);
}

/* --- transmission -------------------------------------------------------- */

bool
nbd_request_in(const uint8_t *buf, nbd_command_header *ret_request)
{
    if (get32(buf) != MAGIC_REQUEST)
        return false;
    ret_request->flags = get16(buf + 4);
    ret_request->command = get16(buf + 6);
    memcpy(&ret_request->cookie, buf + 8, 8);
    ret_request->offset = get64(buf + 16);
    ret_request->length = get32(buf + 24);
    return true;
}

static uint32_t
check_range(const nbd_command_header *r, const nbd_export *e)
{
    if (r->length == 0 || r->length > NBD_MAX_PAYLOAD ||
        r->length % e->block_size != 0 || r->offset % e->block_size != 0)
        return NBD_EINVAL;
    if (r->offset > e->size || r->length > e->size - r->offset)
        return r->command == NBD_CMD_WRITE ? NBD_ENOSPC : NBD_EINVAL;
    return NBD_OK;
}

uint32_t
nbd_request_check(const nbd_command_header *r, const nbd_export *e)
{
    if (r->flags & ~NBD_CMD_FLAG_FUA)
        return NBD_EINVAL;
    switch (r->command) {
    case NBD_CMD_READ:
        return check_range(r, e);
    case NBD_CMD_WRITE:
        return e->read_only ? NBD_EPERM : check_range(r, e);
    case NBD_CMD_FLUSH:
        return r->offset == 0 && r->length == 0 ? NBD_OK : NBD_EINVAL;
    default:
        return NBD_EINVAL;
    }
}

void
nbd_reply_out(uint8_t *buf, uint32_t error, uint64_t cookie)
{
    buf = put32(buf, MAGIC_REPLY);
    buf = put32(buf, error);
    memcpy(buf, &cookie, 8);
}
