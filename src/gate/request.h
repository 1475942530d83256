/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef GATE_REQUEST_H
#define GATE_REQUEST_H

/*
 * One request of a client, from its arrival to its reply, and the pool that
 * keeps the buffers.  Single-threaded, as everything on the data path.
 */
#include <sys/uio.h>
#include "nbd-proto.h"

typedef struct request request;
typedef struct nbd_conn nbd_conn;

/* One SCSI command's share of a request. */
typedef struct {
    struct gate *gate;
    request *request;
    struct iovec iov;
    uint64_t offset; /* bytes, on the LUN */
} request_part;

struct request {
    request *next;  /* on the list it is on */
    nbd_conn *conn; /* who waits for it; NULL: gone, nobody does */
    uint8_t *buf;   /* data; NULL when there is none */
    int buf_class;  /* pool's class of @buf */
    nbd_command command;
    bool fua;
    uint64_t cookie;
    uint64_t offset; /* bytes */
    uint32_t length; /* bytes */

    /* nbd.c: the reply */
    uint32_t error;
    uint32_t sent; /* bytes of header and data that are out */
    uint8_t header[NBD_REPLY_SIZE];

    /* queue.c: how far it is */
    request *prev;       /* in flight: doubly linked */
    uint64_t sequence;   /* order of arrival */
    int64_t arrived;     /* when, µs */
    request_part *parts; /* &part, or allocated */
    request_part part;
    unsigned parts_left; /* commands in flight */
    unsigned tries;      /* how often it was sent */
    bool lost;           /* outcome unknown: has to be sent again */
    bool again;          /* shared a command that failed: again, alone */
    bool flushing;       /* the flush that stands in for FUA is under way */
};

typedef struct request_pool request_pool;

request_pool *request_pool_new(void);
/* Every request must have been put back.  NULL ok. */
void request_pool_free(request_pool *pool);
/* @length: bytes of data that it needs room for; 0: no buffer. */
request *request_get(request_pool *pool, uint32_t length);
void request_put(request_pool *pool, request *r);

#endif
