/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef GATE_SESSION_H
#define GATE_SESSION_H

/*
 * Logging in and acquiring, on a helper thread: one attempt is one job.  The
 * session belongs to the job from start to finish, to the loop afterwards.
 */
#include "reservation.h"
#include "settings.h"

typedef struct session_job session_job;

typedef struct {
    bool acquire;         /* take the reservation too */
    bool need_quorum;     /* only while this node is quorate */
    uint64_t generation;  /* acquire: which the record must have */
    qm_lun *lun;          /* session to go on with; NULL: log in */
    qm_lun_info expected; /* the LUN as it was; size 0: not known yet */
    int64_t deadline;
} session_order;

typedef struct {
    bool acquired;
    qm_lun *lun;   /* NULL when it failed */
    uint64_t key;  /* acquired: own reservation key */
    bool unfenced; /* acquired: without a reservation, as was allowed */
    GError *error; /* why it failed */
} session_result;

/* @done: eventfd that is written to at the end.  @settings must outlive it. */
session_job *session_start(const gate_settings *settings,
                           const session_order *order, int done);
/* Waits for the end (at once after @done) and frees the job. */
void session_finish(session_job *job, session_result *ret_result);
bool session_acquires(const session_job *job);

/*
 * The right to the disk: @record names this node, in this boot, as owner of
 * @generation, in a state in which its guest's writes belong on the disk.
 * REFUSED when not.
 */
bool session_right(const qm_record *record, uint16_t node_id,
                   const uint8_t *boot, uint64_t generation, GError **error);

#endif
