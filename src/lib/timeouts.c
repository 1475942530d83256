/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Where the time of an action goes.  Pacemaker kills an action that outlives
 * its timeout, and a killed stop gets the node fenced: so every action is
 * done, one way or another, before `end`.
 *
 *   started                                                     killed
 *     |--------------------------- action ------------------------|
 *     |------------- work -------------|---- fallback ----|-- end-|
 *
 * work      save, restore, shut down.  A save that will not make it is given
 *           up here: the guest resumes (migrate_to) or is shut down (stop).
 * fallback  the guest may still shut itself down; then it is destroyed.
 * end       destroy, write the record, stop the gates, report.
 *
 * Worst case of the last part: destroy 2 s, LUN reset 2.5 s (measured with a
 * target whose writes took that long), record 0.1 s; so 10 % of the action,
 * 5 s at least where the action is that long, 15 s at most.
 */
#include "config.h"
#include <glib.h>
#include "timeouts.h"

#define DEFAULT_ACTION (60 * QM_S)
#define MAX_ACTION     (7 * 24 * 3600 * QM_S) /* keeps sums within range */

static int64_t
clamp(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

void
qm__timeouts_for(int64_t action_ms, int64_t started, qm_timeouts *ret_timeouts)
{
    int64_t action = DEFAULT_ACTION;
    int64_t end, fallback;

    if (action_ms > 0)
        action = MIN(action_ms, MAX_ACTION / QM_MS) * QM_MS;
    end = clamp(action / 10, 5 * QM_S, 15 * QM_S);
    if (end > action / 3)
        end = action / 3;
    fallback = clamp(action / 5, 0, 60 * QM_S);
    ret_timeouts->action = action;
    ret_timeouts->end = started + action - end / 4;
    ret_timeouts->fallback = started + action - end;
    ret_timeouts->work = started + action - end - fallback;
    ret_timeouts->call =
        MIN(clamp(action / 4, 2 * QM_S, 20 * QM_S), action / 2);
}

int64_t
qm__transfer_time(uint64_t bytes, uint64_t bytes_per_s)
{
    double us;

    if (bytes_per_s == 0)
        return INT64_MAX;
    us = (double) bytes * (double) QM_S / (double) bytes_per_s;
    return us < (double) INT64_MAX ? (int64_t) us : INT64_MAX;
}
