/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The table of the gate's states.  FENCED has no way out, and no state lets a
 * write through but OPEN.
 */
#include "config.h"
#include "states.h"

/* clang-format off */
#define GO(state)    { GATE_GO, QM_GATE_##state }
#define LATER(state) { GATE_LATER, QM_GATE_##state }
#define AFTER        { GATE_AFTER, QM_GATE_COUNT }
#define STAY         { GATE_STAY, QM_GATE_COUNT }
#define REFUSE       { GATE_REFUSE, QM_GATE_COUNT }
#define BUG          { GATE_BUG, QM_GATE_COUNT }

static const gate_step steps[QM_GATE_COUNT][GATE_EVENT_COUNT] = {
    /* ACQUIRE, ACQUIRED, NOT_ACQUIRED, OPEN, DRAIN, DRAINED, NOT_DRAINED,
     * LOST, FENCE */
    [QM_GATE_STANDBY] = {
        GO(ACQUIRING), BUG, BUG, REFUSE, STAY, BUG, BUG,
        STAY, STAY },
    [QM_GATE_ACQUIRING] = {
        STAY, AFTER, GO(STANDBY), REFUSE, REFUSE, BUG, BUG,
        STAY, GO(FENCED) },
    [QM_GATE_HOLDING] = {
        GO(ACQUIRING), BUG, BUG, GO(OPEN), GO(DRAINING), BUG, BUG,
        GO(RECONNECTING), GO(FENCED) },
    [QM_GATE_OPEN] = {
        GO(ACQUIRING), BUG, BUG, STAY, GO(DRAINING), BUG, BUG,
        GO(RECONNECTING), GO(FENCED) },
    [QM_GATE_RECONNECTING] = {
        STAY, AFTER, BUG, LATER(OPEN), LATER(DRAINING), BUG, BUG,
        STAY, GO(FENCED) },
    [QM_GATE_DRAINING] = {
        REFUSE, BUG, BUG, GO(OPEN), STAY, GO(DRAINED), GO(HOLDING),
        GO(RECONNECTING), GO(FENCED) },
    [QM_GATE_DRAINED] = {
        GO(ACQUIRING), BUG, BUG, GO(OPEN), STAY, BUG, BUG,
        GO(RECONNECTING), GO(FENCED) },
    [QM_GATE_FENCED] = {
        REFUSE, STAY, STAY, REFUSE, REFUSE, STAY, STAY,
        STAY, STAY },
};

static const gate_policy policies[QM_GATE_COUNT][3] = {
    /*                          read        write       flush */
    [QM_GATE_STANDBY] =      { GATE_PASS,  GATE_WAIT,  GATE_DONE },
    [QM_GATE_ACQUIRING] =    { GATE_WAIT,  GATE_WAIT,  GATE_WAIT },
    [QM_GATE_HOLDING] =      { GATE_PASS,  GATE_WAIT,  GATE_WAIT },
    [QM_GATE_OPEN] =         { GATE_PASS,  GATE_PASS,  GATE_PASS },
    [QM_GATE_RECONNECTING] = { GATE_WAIT,  GATE_WAIT,  GATE_WAIT },
    [QM_GATE_DRAINING] =     { GATE_PASS,  GATE_WAIT,  GATE_WAIT },
    [QM_GATE_DRAINED] =      { GATE_PASS,  GATE_WAIT,  GATE_DONE },
    [QM_GATE_FENCED] =       { GATE_NEVER, GATE_NEVER, GATE_NEVER },
};
/* clang-format on */

static const char *const event_names[GATE_EVENT_COUNT] = {
    [GATE_EVENT_ACQUIRE] = "acquire",
    [GATE_EVENT_ACQUIRED] = "acquired",
    [GATE_EVENT_NOT_ACQUIRED] = "not acquired",
    [GATE_EVENT_OPEN] = "open",
    [GATE_EVENT_DRAIN] = "drain",
    [GATE_EVENT_DRAINED] = "drained",
    [GATE_EVENT_NOT_DRAINED] = "not drained",
    [GATE_EVENT_LOST] = "session lost",
    [GATE_EVENT_FENCE] = "fenced",
};

gate_step
gate_step_for(qm_gate_state state, gate_event event)
{
    static const gate_step bug = BUG;

    if ((unsigned) state >= QM_GATE_COUNT ||
        (unsigned) event >= GATE_EVENT_COUNT)
        return bug;
    return steps[state][event];
}

gate_policy
gate_policy_for(qm_gate_state state, nbd_command command)
{
    switch (command) {
    case NBD_CMD_READ:
        return policies[state][0];
    case NBD_CMD_WRITE:
        return policies[state][1];
    case NBD_CMD_FLUSH:
        return policies[state][2];
    case NBD_CMD_DISC:
        break;
    }
    return GATE_NEVER;
}

bool
gate_state_owns(qm_gate_state state)
{
    return state == QM_GATE_HOLDING || state == QM_GATE_OPEN ||
           state == QM_GATE_DRAINING || state == QM_GATE_DRAINED;
}

const char *
gate_event_name(gate_event event)
{
    return (unsigned) event < GATE_EVENT_COUNT ? event_names[event] : "?";
}
