/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef GATE_STATES_H
#define GATE_STATES_H

/*
 * The gate's states as a constant table and a pure function.
 */
#include "gate-client.h"
#include "nbd-proto.h"

typedef enum {
    GATE_EVENT_ACQUIRE,      /* asked to take the reservation */
    GATE_EVENT_ACQUIRED,     /* taken, or taken again after a loss */
    GATE_EVENT_NOT_ACQUIRED, /* could not be taken */
    GATE_EVENT_OPEN,         /* asked to let writes through */
    GATE_EVENT_DRAIN,        /* asked to finish and flush */
    GATE_EVENT_DRAINED,      /* finished and flushed */
    GATE_EVENT_NOT_DRAINED,  /* the flush failed */
    GATE_EVENT_LOST,         /* the session is lost */
    GATE_EVENT_FENCE,        /* another nexus took the LUN */
    GATE_EVENT_COUNT
} gate_event;

typedef enum {
    GATE_GO,     /* to the next state */
    GATE_AFTER,  /* to the state that was kept for afterwards */
    GATE_LATER,  /* stay; the next state is kept for afterwards */
    GATE_STAY,   /* nothing changes: it is so already, or of no concern */
    GATE_REFUSE, /* not in this state */
    GATE_BUG     /* cannot happen */
} gate_verdict;

typedef struct {
    gate_verdict verdict;
    qm_gate_state next; /* GO and LATER only */
} gate_step;

/* What becomes of a client's request. */
typedef enum {
    GATE_PASS,  /* goes to the target */
    GATE_WAIT,  /* waits for another state */
    GATE_DONE,  /* succeeds at once: there is nothing to flush */
    GATE_NEVER, /* is never answered */
} gate_policy;

/* Total: every state and event has a step. */
gate_step gate_step_for(qm_gate_state state, gate_event event);
/* @command: READ, WRITE or FLUSH. */
gate_policy gate_policy_for(qm_gate_state state, nbd_command command);
/* Is the reservation ours in this state, as far as we know? */
bool gate_state_owns(qm_gate_state state);
const char *gate_event_name(gate_event event);

#endif
