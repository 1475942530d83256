/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_TIMEOUTS_H
#define QM_TIMEOUTS_H

/*
 * All limits derive here from the action's timeout and the token time.
 * Monotonic µs; the clock can be replaced by tests.
 */
#include <stdbool.h>
#include <stdint.h>

#define QM_MS INT64_C(1000)
#define QM_S  INT64_C(1000000)

int64_t qm__now(void);                         /* monotonic, µs */
void qm__set_clock(int64_t (*clock_us)(void)); /* tests; NULL: real */
int64_t qm__deadline_in(int64_t us);           /* qm__now() + us, saturating */
int64_t qm__remaining(int64_t deadline);       /* µs, never negative */
int qm__remaining_ms(int64_t deadline);        /* for poll(), rounded up */
bool qm__passed(int64_t deadline);

/* The parts of one action's time.  See the worst-case timeline in
 * timeouts.c. */
typedef struct {
    int64_t action;   /* whole action as Pacemaker allows it, µs */
    int64_t end;      /* deadline: be done (and have cleaned up) */
    int64_t work;     /* deadline: long transfers give up, fall back */
    int64_t fallback; /* deadline: shutdown gives up, destroy */
    int64_t call;     /* one short libvirt or storage call, µs */
} qm_timeouts;

/* @action_ms: CRM_meta_timeout; 0: 60 s. @started: when the action began. */
void
qm__timeouts_for(int64_t action_ms, int64_t started, qm_timeouts *ret_timeouts);

/* How long saving or restoring @bytes takes at @bytes_per_s, µs. */
int64_t qm__transfer_time(uint64_t bytes, uint64_t bytes_per_s);

#endif
