/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef GATE_GATE_H
#define GATE_GATE_H

/*
 * The gate: everything that one disk's process knows.  One thread touches it;
 * the session helper (session.h) gets copies.
 */
#include "fence.h"
#include "loop.h"
#include "nbd.h"
#include "session.h"
#include "states.h"

typedef struct gate gate;

#define GATE_MERGE_MAX 32 /* requests in one command */

/* A data connection. */
typedef struct {
    nbd_conn *nbd;
    fence_process *process; /* in gate.processes */
    bool ended;             /* to be removed */
} gate_client;

/* Tells the control side that something ended. @error: NULL on success. */
typedef enum { GATE_ACQUIRE_ENDED, GATE_DRAIN_ENDED } gate_news;
typedef void (*gate_notify)(void *opaque, gate_news news, const GError *error);

typedef struct {
    uint64_t reads, writes, flushes; /* completed requests */
    uint64_t read_bytes, written_bytes;
    uint64_t read_us, write_us, flush_us; /* from arrival to answer, summed */
    uint64_t reconnects, errors;
} gate_counters;

struct gate {
    const gate_settings *settings;
    loop *loop;

    qm_gate_state state;
    qm_gate_state after; /* ACQUIRING, RECONNECTING: what comes then */
    char *reason;        /* last trouble; FENCED: why.  NULL: none */
    int64_t warned_at;   /* of such trouble */
    int warned_of;       /* its kind: an error code */
    uint64_t generation; /* acquired, or being acquired */
    uint64_t key;        /* own reservation key; 0: none */
    bool quit;           /* the loop ends */

    /* session */
    qm_lun *lun; /* NULL: lost, or with the helper */
    bool lost;   /* it is: nothing more can be sent on it */
    qm_lun_info info;
    session_job *job; /* NULL: the helper is idle */
    int job_done;     /* eventfd */
    loop_source *job_source;
    int64_t retry_at;   /* no job before; µs */
    int64_t give_up_at; /* ACQUIRING, RECONNECTING: deadline, µs */
    unsigned failures;  /* jobs in a row */
    char *fence_reason; /* to be fenced as soon as nobody uses the LUN */
    bool polling;       /* a look at the reservation is under way */
    bool unfenced;      /* the target knows none, and that was accepted */
    int64_t tick_at;    /* next gate_tick(), µs */

    /* requests: queue.c */
    request_pool *pool;
    request *waiting, **waiting_end; /* by sequence */
    request *in_flight;              /* newest first */
    uint64_t sequence;
    unsigned n_in_flight, n_waiting;   /* requests */
    unsigned n_writing;                /* in flight: writes and flushes */
    unsigned n_orphans;                /* in flight, their client is gone */
    bool flushing;                     /* the drain's flush is under way */
    request *together[GATE_MERGE_MAX]; /* merge.c: came together */
    unsigned n_together;

    /* clients: clients.c */
    nbd_export export;
    GPtrArray *clients;   /* gate_client */
    GPtrArray *processes; /* fence_process, connected or to be remembered */

    gate_counters counters;
    gate_notify notify;
    void *notify_opaque;
};

/* --- gate.c -------------------------------------------------------------- */

gate *gate_new(const gate_settings *settings, loop *l);
void gate_free(gate *g);
/* Logs in for the first time; blocks until @deadline. */
bool gate_first_login(gate *g, int64_t deadline, GError **error);

/* Orders from the control side.  *ret_ended: done at once, no news follow. */
bool gate_acquire(gate *g, uint64_t generation, bool hold, int64_t deadline,
                  bool *ret_ended, GError **error);
bool gate_open(gate *g, GError **error);
bool gate_drain(gate *g, bool *ret_ended, GError **error);

/* All was written and flushed, and the guest stands still: that another node
 * takes the disk is what was planned. */
bool gate_is_drained(const gate *g);
/* The last trouble, for who asks for the gate's status. */
void gate_set_reason(gate *g, const char *why);
/* Keeps @why; acts on it outside of the LUN's callbacks. */
void gate_must_fence(gate *g, const char *why);
/* Runs the state machine; false: refused in this state. */
bool gate_event_happened(gate *g, gate_event event, const char *why);
/* queue.c: the drain's flush came back. */
void gate_drain_ended(gate *g, bool ok);

/* The session is lost: drops it; requests in flight wait again. */
void gate_session_lost(gate *g);
/* Another nexus has the LUN (g->fence_reason): the end. */
void gate_fence(gate *g);
/* Starts what the state needs of the session helper. */
void gate_drive_session(gate *g, int64_t now);

/* --- serve.c ------------------------------------------------------------- */

/* Serves until g->quit. */
void gate_run(gate *g);

/* --- queue.c ------------------------------------------------------------- */

void queue_init(gate *g);
/* nbd_submit: a request from a client.  @opaque: the gate.  Leaves with the
 * next merge_send(), which must come before anything else happens. */
void queue_submit(void *opaque, request *r);
/* Sends what may be sent now. */
void queue_pump(gate *g);
/* @conn ends: its waiting requests go, those in flight become orphans. */
void queue_orphan(gate *g, const nbd_conn *conn);
/* Flushes once nothing that writes is in flight. */
void queue_drain(gate *g);

/* For merge.c.  @r goes to the target now, by itself. */
void queue_send(gate *g, request *r);
/* @r is on its way in @n commands. */
void queue_sent(gate *g, request *r, unsigned n);
/* One of its commands came back. */
void queue_answered(gate *g, request *r, const qm_scsi_status *status);
/* Its command came back, but what became of @r is not known. */
void queue_send_again(gate *g, request *r);

/* --- merge.c ------------------------------------------------------------- */

/* @r leaves with merge_send().  false: it can share no command. */
bool merge_add(gate *g, request *r);
/* Sends what was added. */
void merge_send(gate *g);

/* --- clients.c ----------------------------------------------------------- */

/* Takes a new connection. */
void clients_accept(gate *g, int fd);
/* Removes those that ended. */
void clients_reap(gate *g);
void clients_kill(gate *g);
pid_t clients_pid(const gate *g); /* 0: none is connected */
void clients_free(gate *g);

#endif
