/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_HEALTH_H
#define QM_HEALTH_H

/*
 * What is known of a guest's health on this node, from one check to the next:
 * in /run/quickmig/vm/UUID/health, and of one generation, so that a start and
 * a move begin anew.
 */
#include <quickmig/error.h>
#include <quickmig/record.h>

typedef struct {
    uint64_t generation; /* of the record; what follows is about that */
    int64_t since;       /* its first check here, monotonic µs */
    bool answered;       /* it has, once at least */
    bool failed;         /* too many misses in a row */
    unsigned row;        /* misses in a row that count */
    uint64_t misses;     /* in this node's boot, of any generation */
} qm_health;

typedef enum {
    QM_HEALTH_GOOD,
    QM_HEALTH_EARLY, /* a miss that does not count: it may still boot */
    QM_HEALTH_MISS,
    QM_HEALTH_FAILED, /* one too many */
} qm_health_verdict;

/* What to tell an administrator whose VM has no channel for the agent. */
extern const char qm__health_advice[];

/* One check has ended.  Pure.  @grace: µs from the first check on. */
qm_health_verdict qm__health_step(qm_health *h, bool good, int64_t now,
                                  int64_t grace, unsigned limit);

/* No file, one that cannot be read, or of another generation: as at a start,
 * with the misses of this boot if they are known. */
void
qm__health_read(const uint8_t *uuid, uint64_t generation, qm_health *ret_h);
/* Under the VM's lock. */
bool qm__health_write(const uint8_t *uuid, const qm_health *h, GError **error);

#endif
