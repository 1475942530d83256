/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_PACE_H
#define QM_PACE_H

/*
 * How far may a save run ahead of the target that follows it, while the guest
 * runs?  What the target has not loaded when QEMU pauses the guest prolongs the
 * pause: near the end it has to be close; before, distance is what keeps both
 * sides busy.  Nobody knows when the end comes: QEMU goes over what is zero
 * within no time, and says what is left only now and then.  So the distance is
 * bounded by a part of what is left; at the last the target is awaited; and as
 * long as its QEMU has not started, QEMU here is kept from ending at all, by a
 * writer that waits while there is much to be written.
 *
 * Each message costs, so the target does not tell all the time where it is, but
 * when it has come to a mark.  A pure function of bytes and times.
 */
#include <stdbool.h>
#include <stdint.h>

/* Zeroed but for began. */
typedef struct {
    int64_t began;
    uint64_t left;     /* bytes, as QEMU said last, */
    uint64_t left_at;  /* when so many were written: a change, */
    int64_t looked_at; /* and when it said so */
    bool warm;         /* the target's QEMU takes what comes */
    uint64_t mark;     /* bytes written: where the target is awaited; 0: none */
    uint64_t next_mark; /* bytes left, when the next is set; 0: no more */
    bool stays;         /* until it has come there */
} qm_pace;

typedef struct {
    int64_t now;
    uint64_t written;  /* bytes */
    uint64_t landed;   /* the same, without what is in flight */
    uint64_t followed; /* bytes that the target has taken, as it said last */
    bool slow;         /* QEMU was told to copy slowly */
} qm_pace_sample;

typedef enum {
    QM_PACE_GO,
    QM_PACE_FAR,  /* wait: the target is too far behind */
    QM_PACE_COLD, /* wait: its QEMU has not started */
} qm_pace_verdict;

/* QEMU said at @now that @left bytes were left, when @written were written. */
void qm__pace_look(qm_pace *p, uint64_t left, uint64_t written, int64_t now);
/* Bytes left by now, at most. */
uint64_t qm__pace_left(const qm_pace *p, uint64_t written);
/* Of a target that follows.  @ret_mark: there is a new one, for it to hear. */
qm_pace_verdict qm__pace(qm_pace *p, const qm_pace_sample *s, bool *ret_mark);
/* Its QEMU has not started yet; there is a limit to how long it is awaited. */
bool qm__pace_is_cold(qm_pace *p, uint64_t followed, int64_t now);
/* It has come to the last mark that was set. */
bool qm__pace_has_come(const qm_pace *p, uint64_t followed);

#endif
