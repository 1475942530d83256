/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The protocol's safety steps, for "without this one": read by the model and
 * by the program around it.  What each one is: the place where it is asked
 * for, STEP(NAME), and doc/model.md.
 */
#ifndef QM_MODEL_STEPS_H
#define QM_MODEL_STEPS_H

/* Reservations. */
#define LUN_RESET        1
#define COMPARE          2
#define RIGHT_AFTER_LOOK 3
#define VERIFY           4
#define OTHERS_OUT       5
#define READ_AGAIN       6
#define DISKS_FIRST      7
#define GATE_RIGHT       8
#define GATE_QUORUM      9

/* The record. */
#define INTERLOCK       20
#define FENCED_SINCE    21
#define RELEASED_WHICH  22
#define IMAGE_ID        23
#define ROLLBACK_FIRST  26
#define ASK_UNKNOWN     27
#define RESTORING_STATE 28
#define WHICH_IMAGE     29

/* The image. */
#define LAST_AFTER_PAUSE 40
#define LAST_AT_COMMIT   41
#define FLUSH            42
#define KEEP_MEMORY      43

/* Actions on a node. */
#define GATES_HOLD     60
#define DESTROY_BEFORE 61
#define TOMBSTONE      62
#define WORKER_IMAGE   64
#define STOP_BARRIER   65
#define WORKER_RIGHT   66
#define CLEAR_BEFORE   67

#endif
