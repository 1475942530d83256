/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef GATE_NBD_PROTO_H
#define GATE_NBD_PROTO_H

/*
 * The NBD protocol on the wire, fixed newstyle, as far as the gate speaks it:
 * pure functions on buffers, no sockets, no state.  All numbers on the wire
 * are big endian.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NBD_GREETING_SIZE 18   /* bytes */
#define NBD_CLIENT_FLAGS  4    /* bytes: the client's answer to the greeting */
#define NBD_OPTION_SIZE   16   /* bytes: header of an option request */
#define NBD_OPTION_MAX    8192 /* bytes of option data that we accept */
#define NBD_REQUEST_SIZE  28   /* bytes */
#define NBD_REPLY_SIZE    16   /* bytes: simple reply */
#define NBD_NAME_MAX      4096 /* bytes of an export name, by the protocol */
#define NBD_MAX_PAYLOAD   (32u * 1024 * 1024) /* bytes of one read or write */

/* Transmission flags. */
#define NBD_FLAG_HAS_FLAGS      0x001
#define NBD_FLAG_READ_ONLY      0x002
#define NBD_FLAG_SEND_FLUSH     0x004
#define NBD_FLAG_SEND_FUA       0x008
#define NBD_FLAG_CAN_MULTI_CONN 0x100

#define NBD_CMD_FLAG_FUA 0x1

/* Errors as they go over the wire. */
enum {
    NBD_OK = 0,
    NBD_EPERM = 1,
    NBD_EIO = 5,
    NBD_EINVAL = 22,
    NBD_ENOSPC = 28,
};

typedef enum {
    NBD_OPT_EXPORT_NAME = 1,
    NBD_OPT_ABORT = 2,
    NBD_OPT_LIST = 3,
    NBD_OPT_INFO = 6,
    NBD_OPT_GO = 7,
} nbd_option_code;

typedef enum {
    NBD_CMD_READ = 0,
    NBD_CMD_WRITE = 1,
    NBD_CMD_DISC = 2,
    NBD_CMD_FLUSH = 3,
} nbd_command;

#define NBD_REP_ACK         1u
#define NBD_REP_SERVER      2u
#define NBD_REP_INFO        3u
#define NBD_REP_ERR_UNSUP   0x80000001u
#define NBD_REP_ERR_INVALID 0x80000003u
#define NBD_REP_ERR_TOO_BIG 0x80000009u

/* What is served. */
typedef struct {
    uint64_t size;       /* bytes */
    uint32_t block_size; /* bytes: smallest unit of a request */
    bool read_only;
} nbd_export;

typedef struct {
    uint32_t code;   /* nbd_option_code, or one that we do not know */
    uint32_t length; /* bytes of data that follow */
} nbd_option;

typedef struct {
    uint16_t flags;
    uint16_t command; /* nbd_command, or one that we do not know */
    uint64_t cookie;  /* opaque; as on the wire */
    uint64_t offset;  /* bytes */
    uint32_t length;  /* bytes */
} nbd_command_header;

uint16_t nbd_export_flags(const nbd_export *e);

/* @buf: NBD_GREETING_SIZE bytes. */
void nbd_greeting_out(uint8_t *buf);
/* false: flags that we do not know.  @ret_no_zeroes: the client wants no
 * padding after the reply to EXPORT_NAME. */
bool nbd_client_flags_in(const uint8_t *buf, bool *ret_no_zeroes);

/* false: wrong magic.  @buf: NBD_OPTION_SIZE bytes. */
bool nbd_option_in(const uint8_t *buf, nbd_option *ret_option);
/* Checks the data of INFO and GO: name and list of wanted items. */
bool nbd_info_request_valid(const uint8_t *data, uint32_t length);

/* The header of an option reply is written to @buf, followed by @length bytes
 * from the caller.  Returns the header's size. */
size_t nbd_option_reply_out(uint8_t *buf, uint32_t option, uint32_t type,
                            uint32_t length);
#define NBD_OPTION_REPLY_SIZE 20 /* bytes */
/* Every reply to INFO or GO: export, block size, ACK.  @buf: at least
 * NBD_INFO_REPLY_SIZE bytes.  Returns the bytes used. */
size_t nbd_info_reply_out(uint8_t *buf, uint32_t option, const nbd_export *e);
#define NBD_INFO_REPLY_SIZE (3 * NBD_OPTION_REPLY_SIZE + 12 + 14)
/* Reply to EXPORT_NAME. */
size_t
nbd_export_name_reply_out(uint8_t *buf, const nbd_export *e, bool no_zeroes);
#define NBD_EXPORT_NAME_REPLY_MAX 134 /* bytes */

/* false: wrong magic.  @buf: NBD_REQUEST_SIZE bytes. */
bool nbd_request_in(const uint8_t *buf, nbd_command_header *ret_request);
/* What is wrong with the request: NBD_OK or the error for the reply. */
uint32_t nbd_request_check(const nbd_command_header *r, const nbd_export *e);
/* @buf: NBD_REPLY_SIZE bytes. */
void nbd_reply_out(uint8_t *buf, uint32_t error, uint64_t cookie);

#endif
