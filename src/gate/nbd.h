/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef GATE_NBD_H
#define GATE_NBD_H

/*
 * One NBD connection: handshake, then requests in and replies out, on a
 * non-blocking socket that the caller polls.  Knows nothing of iSCSI.
 */
#include "request.h"

/* A valid request: the receiver owns it until nbd_reply(). */
typedef void (*nbd_submit)(void *opaque, request *r);

/* Takes @fd.  @export must outlive the connection. */
nbd_conn *nbd_conn_new(int fd, const nbd_export *export, request_pool *pool,
                       nbd_submit submit, void *opaque);
/* Closes.  Requests that were submitted and not replied to must have got
 * conn = NULL before.  NULL ok. */
void nbd_conn_free(nbd_conn *c);

int nbd_conn_fd(const nbd_conn *c);
/* POLLIN, POLLOUT: what it waits for. */
short nbd_conn_events(const nbd_conn *c);
/* A request is there that found no room before: call nbd_conn_receive(). */
bool nbd_conn_stalled(const nbd_conn *c);
/* Something is to be sent, and the socket is not known to be full. */
bool nbd_conn_sendable(const nbd_conn *c);
/* The socket takes more again (POLLOUT). */
void nbd_conn_unblock(nbd_conn *c);
/* Reads what has come.  false: the connection has ended (nbd_conn_why()). */
bool nbd_conn_receive(nbd_conn *c);
/* Sends replies, as many as go.  false: the connection has ended. */
bool nbd_conn_send(nbd_conn *c);
/* Why it ended; "" while it has not. */
const char *nbd_conn_why(const nbd_conn *c);
/* It ended with NBD_CMD_DISC or NBD_OPT_ABORT: the client meant it. */
bool nbd_conn_polite(const nbd_conn *c);
/* The handshake is over: it may send requests. */
bool nbd_conn_ready(const nbd_conn *c);

/* Answers @r; sent with the next nbd_conn_send().  r->conn must be set. */
void nbd_reply(request *r, uint32_t error);

#endif
