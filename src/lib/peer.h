/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_PEER_H
#define QM_PEER_H

/*
 * A seat in the corosync process group in which quickmig's processes tell
 * each other hints.  corosync's calls wait for corosync without limit, so they
 * are made on a thread of the peer's own: none of these functions ever waits
 * for it (but for qm__peer_open()), and a corosync that hangs costs hints,
 * nothing else.
 */
#include "job.h"

typedef struct qm_peer qm_peer;

/* @daemon: this is quickmigd (seen by qm__peer_has_daemon() of the others).
 * IO: corosync is not running; TIMEOUT. */
bool
qm__peer_open(bool daemon, int64_t deadline, qm_peer **ret, GError **error);
/* Sends what is queued, waiting for it briefly (100 ms at most). */
void qm__peer_close(qm_peer *peer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(qm_peer, qm__peer_close)

/* Readable when a message waits (or the seat is lost). */
int qm__peer_fd(const qm_peer *peer);
/* Takes the next message; own ones come back, too, after everybody's order.
 * false: none.  Messages that are not understood are left out. */
bool qm__peer_next(qm_peer *peer, qm_message *ret_message);
/* Queues it.  When the queue is full the oldest PROGRESS is dropped. */
void qm__peer_send(qm_peer *peer, const qm_message *message);
/* Does a quickmigd sit on that node, as known now? */
bool qm__peer_has_daemon(qm_peer *peer, uint32_t node_id);
/* corosync is gone, or hangs: nothing comes any more; open a new one. */
bool qm__peer_lost(qm_peer *peer);

#endif
