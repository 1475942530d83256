/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_CONVERGE_H
#define QM_CONVERGE_H

/*
 * When does a live save end?  QEMU pauses the guest by itself as soon as what
 * is left fits into the allowed pause.  A guest that writes faster than its
 * memory can be streamed never gets there: so the allowed pause is raised step
 * by step up to the administrator's limit, and at last the guest is suspended.
 * What a guest that writes little has left at the end of a pass is copied
 * slowly: what lies in pipes and helpers when QEMU pauses it, target included,
 * prolongs the pause.
 * A pure function of what libvirt tells, so that every case can be tested.
 */
#include <stdbool.h>
#include <stdint.h>

#define QM_CONVERGE_FIRST_MS 20u /* pause that is tried first */

/* What is allowed.  Times in µs. */
typedef struct {
    unsigned downtime_limit_ms; /* the longest pause that is welcome */
    int64_t until;              /* be done copying (a deadline) */
    bool once;                  /* one pass, and the rest paused */
} qm_converge_limits;

typedef struct {
    int64_t now;
    uint64_t total;      /* bytes of memory */
    uint64_t remaining;  /* bytes of this pass that are not sent */
    uint64_t rate;       /* bytes/s that go out */
    uint64_t dirty_rate; /* bytes/s that the guest writes */
    uint64_t iteration;  /* passes over the memory, from 1 */
    uint64_t room;       /* bytes left in the vault */
} qm_converge_sample;

/* Zeroed but for limits. */
typedef struct {
    qm_converge_limits limits;
    unsigned downtime_ms; /* allowed now; 0: not begun */
    unsigned stretch;     /* so many times as long, at the slow speed */
    uint64_t iteration;   /* the last one that was judged */
    uint64_t remaining;   /* when it began */
    unsigned in_vain;     /* iterations at the limit that did not help */
    bool never_slow;      /* it was in vain */
    uint64_t speed;       /* bytes/s it is limited to, by you; 0: not */
} qm_converge;

typedef enum {
    QM_CONVERGE_WAIT,
    QM_CONVERGE_ALLOW,   /* allow QEMU downtime_ms * stretch */
    QM_CONVERGE_HURRY,   /* limit its speed no longer, and allow the same */
    QM_CONVERGE_SUSPEND, /* it does not converge: pause the guest now */
} qm_converge_verdict;

/* @ret_why: for ALLOW, HURRY and SUSPEND, the reason in static words. */
qm_converge_verdict
qm__converge(qm_converge *c, const qm_converge_sample *s, const char **ret_why);

/* Is it time to slow down, at the end of a pass that went at @rate?  The speed,
 * bytes/s; 0: not yet, or not at all, since the guest writes. */
uint64_t
qm__converge_slow(uint64_t rate, uint64_t remaining, uint64_t dirty_rate);

/* How long the guest would be paused if it were now, ms. */
uint32_t qm__converge_pause(const qm_converge_sample *s);

#endif
