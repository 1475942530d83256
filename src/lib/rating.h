/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_RATING_H
#define QM_RATING_H

/*
 * How well a node suits a VM: 0 to 100, from four parts.  Pure.
 */
#include "facts.h"
#include "needs.h"

enum { QM_PART_CPU, QM_PART_MEMORY, QM_PART_DISK, QM_PART_NETWORK, QM_PARTS };

typedef enum {
    QM_POLICY_BALANCE,    /* where most is left */
    QM_POLICY_CONSOLIDATE /* where least is left, as long as it fits well */
} qm_policy;

typedef struct {
    qm_policy policy;
    unsigned weights[QM_PARTS]; /* all 0: not allowed */
} qm_rating_rules;

typedef struct {
    unsigned parts[QM_PARTS]; /* 0 to 100 */
    unsigned all;             /* weighted */
    unsigned stars;           /* 0 to 5 */
} qm_rating;

extern const qm_rating_rules qm__rating_rules_default;
const char *qm__part_name(unsigned part); /* "cpu" … */

/* "balance" or "consolidate"; "cpu=2 memory=3 disk=1 network=1".  NULL:
 * default.  INVALID. */
bool qm__rating_rules_parse(const char *policy, const char *weights,
                            qm_rating_rules *ret, GError **error);
/* @here: the VM runs on that node, so its memory and load are in the facts. */
void qm__rate(const qm_node_facts *facts, const qm_needs *needs, bool here,
              const qm_rating_rules *rules, qm_rating *ret);
/* The figure for all, and the stars that go with it. */
void qm__rating_set(qm_rating *rating, unsigned all);
/* Does the new figure deserve to be told?  @age: of the old one, µs. */
bool qm__rating_worth_telling(unsigned told, unsigned now, int64_t age);

#endif
