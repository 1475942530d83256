/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_LIVE_H
#define QM_LIVE_H

/*
 * Steers a live save while it streams: asks libvirt how far it is, allows
 * longer pauses, at last suspends the guest (converge.h decides).  On a thread
 * and a libvirt connection of its own, so that a slow answer never holds up
 * the stream.
 */
#include "converge.h"
#include "vm.h"

typedef struct qm_live qm_live;

typedef struct {
    qm_vm_progress progress;
    int64_t looked_at; /* when that was so */
    uint32_t expected_pause_ms;
    int64_t suspended_at; /* monotonic µs, by us; 0: not */
    int64_t began;        /* when libvirt's job did; 0: not known yet */
    bool slow;            /* it was slowed down, and need not be now */
    char text[160];       /* what was done last, and why; empty: nothing */
    unsigned changes;     /* raised with every new text */
} qm_live_view;

/* @held: it shall not end yet: until qm__live_release() nothing is allowed, and
 * nobody suspended but by qm__live_suspend(). */
bool qm__live_start(const char *uri, const uint8_t *uuid,
                    const qm_converge_limits *limits, bool held,
                    int64_t deadline, qm_live **ret, GError **error);
/* Ends watching (waits for a call under way, 2 s at most). */
void qm__live_free(qm_live *live);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(qm_live, qm__live_free)

/* How many bytes the vault has left. */
void qm__live_set_room(qm_live *live, uint64_t bytes);
void qm__live_release(qm_live *live);
/* Suspends the guest as soon as may be; the stream must go on meanwhile: QEMU
 * does not answer while its copying waits for a reader. */
void qm__live_suspend(qm_live *live);
/* Copies at @speed, bytes/s, until much is left again: what is in pipes and
 * helpers when QEMU pauses the guest prolongs the pause. */
void qm__live_slow_down(qm_live *live, uint64_t speed);
/* The stream has ended: nothing is asked, and nobody suspended, any more. */
void qm__live_ended(qm_live *live);
void qm__live_look(qm_live *live, qm_live_view *ret_view);

#endif
