/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_GATE_CLIENT_H
#define QM_GATE_CLIENT_H

/*
 * Starting quickmig-gate processes and talking to their control sockets: one
 * JSON object a line, request and reply.
 *
 * Requests:  {"do":"status"}
 *            {"do":"acquire","generation":G,"hold":true,"timeout_ms":N}
 *            {"do":"open"} {"do":"drain"} {"do":"quit","force":false}
 * Replies:   {"ok":true, …} or {"ok":false,"error":"code","message":"…"}
 * "status" replies {"ok":true,"state":"standby|acquiring|holding|open|
 *   reconnecting|draining|drained|fenced","generation":G,"key":"0x…",
 *   "pid":P,"lun":"iscsi://…","serial":"…","size":N (of the LUN as it is now),
 *   "unfenced":false,"client_pid":P,"clients":N,"in_flight":N,
 *   "waiting":N,"reads":N,"writes":N,"flushes":N,"errors":N,"read_bytes":N,
 *   "written_bytes":N,"read_us":N,"write_us":N,"flush_us":N (from arrival to
 *   answer, all together),"reconnects":N,"reason":"…"}; it answers at once,
 *   whatever the network does.
 * "acquire" and "drain" are answered when they have ended; asked again they
 *   wait for the same end.  Who already owns that generation has succeeded.
 * "quit" is refused (busy) while a guest could be writing, unless forced.
 *
 * The gate's configuration, on its standard input: {"vm_uuid":"…",
 *   "vm_name":"…","disk":"vda","portal":"host:port","iqn":"…","lun":N,
 *   "user":"…","secret":"…","read_only":false,"vault":"…",
 *   "vault_secret":"…","node_id":N,"qemu_uid":N,"qemu_gid":N} and optionally
 *   "initiator", "socket", "control" (paths), "reconnect_limit_s",
 *   "allow_unfenced" (true: a target without reservations is taken),
 *   "check_quorum" (false: not in a cluster).
 * It reports on standard output {"ok":true,"pid":P,"already":false} as soon
 *   as it serves, or {"ok":false,…}, and goes to the background.
 */
#include <sys/types.h>
#include "domxml.h"

typedef enum {
    QM_GATE_STANDBY,      /* logged in, unregistered: reads only */
    QM_GATE_ACQUIRING,    /* taking the reservation */
    QM_GATE_HOLDING,      /* owner; guest's writes wait */
    QM_GATE_OPEN,         /* owner; all goes through */
    QM_GATE_RECONNECTING, /* session lost; requests wait */
    QM_GATE_DRAINING,     /* no new writes; in flight finish, flush */
    QM_GATE_DRAINED,      /* nothing in flight, flushed; writes wait */
    QM_GATE_FENCED,       /* for good */
    QM_GATE_COUNT
} qm_gate_state;

const char *qm__gate_state_name(qm_gate_state state);

typedef struct {
    qm_gate_state state;
    uint64_t generation, key;
    pid_t pid, client_pid; /* 0: none */
    uint64_t reconnects, written_bytes, read_bytes;
    uint64_t reads, writes, flushes, errors; /* requests that ended */
    uint64_t read_us, write_us, flush_us;    /* that they took, summed */
    bool unfenced;    /* the target knows no reservations */
    char serial[64];  /* of the LUN; "" unknown */
    uint64_t size;    /* of the LUN, bytes */
    char lun[512];    /* what it serves, iscsi://portal/iqn/lun */
    char reason[256]; /* fenced: why; else the last trouble */
} qm_gate_status;

typedef struct {
    uint8_t vm_uuid[QM_UUID_LEN];
    const char *vm_name;
    const qm_disk *disk;
    const char *disk_secret; /* CHAP; NULL: none */
    const char *vault_url;
    const char *vault_secret; /* CHAP; NULL: none */
    uint16_t node_id;
    uid_t qemu_uid;
    gid_t qemu_gid;
    unsigned reconnect_limit_s; /* give up (fence) after */
    bool allow_unfenced;        /* take a target without reservations */
} qm_gate_config;

/* Starts a gate in standby (configuration as JSON on its standard input, so
 * that secrets are in no argv) unless one for this disk and LUN runs already,
 * and waits until it serves.  A gate that is fenced, or serves another LUN,
 * is replaced (BUSY: a guest is connected).  Errors: the gate's own.
 * QM_GATE_PROGRAM in the environment: another program (tests). */
bool
qm__gate_start(const qm_gate_config *config, int64_t deadline, GError **error);
bool qm__gate_get_status(const uint8_t *uuid, const char *disk,
                         int64_t deadline, qm_gate_status *ret_status,
                         GError **error); /* NOT_FOUND: no gate runs */
/* Take the reservation.  @hold: keep the guest's writes waiting. */
bool
qm__gate_acquire(const uint8_t *uuid, const char *disk, uint64_t generation,
                 bool hold, int64_t deadline, GError **error);
bool qm__gate_open(const uint8_t *uuid, const char *disk, int64_t deadline,
                   GError **error);
/* Finish what is in flight, flush, accept no more writes. */
bool qm__gate_drain(const uint8_t *uuid, const char *disk, int64_t deadline,
                    GError **error);
/* End it; kills it when it does not answer.  No gate: success.  BUSY: a guest
 * is connected. */
bool qm__gate_stop(const uint8_t *uuid, const char *disk, int64_t deadline,
                   GError **error);

#endif
