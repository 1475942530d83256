/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_CAPACITY_H
#define QM_CAPACITY_H

/*
 * Who has room for what: utilization of nodes and resources, and what would
 * become of a node's resources if it died.  Pure.
 */
#include "xml-walk.h"

#define QM_CAPACITY_UNKNOWN (-1)

typedef struct {
    char *name;
    int64_t cpu, memory; /* capacity; UNKNOWN: not configured */
    bool usable;         /* online, not in standby or maintenance */
    int64_t cpu_used, memory_used;
} qm_capacity_node;

typedef struct {
    char *id;
    int64_t cpu, memory; /* what it needs; 0: nothing */
    int node;            /* index of where it runs; -1: nowhere */
    bool vm;             /* ours */
} qm_capacity_user;

typedef struct {
    GPtrArray *nodes; /* qm_capacity_node */
    GPtrArray *users; /* qm_capacity_user */
} qm_capacity;

/* @cib: with its status; @monitor: crm_mon's XML. */
qm_capacity *qm__capacity_read(xmlNode *cib, xmlNode *monitor);
void qm__capacity_free(qm_capacity *c);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(qm_capacity, qm__capacity_free)

/* The usable node with the most memory in use; -1: none has any. */
int qm__capacity_fullest(const qm_capacity *c);
/* What runs on node @dead and would find no room on the others, the largest
 * placed first: GPtrArray of qm_capacity_user, belonging to @c.  A node whose
 * capacity is not known has room for everything. */
GPtrArray *qm__capacity_without(const qm_capacity *c, int dead);

/* What a host with this much offers to guests: vCPUs and MiB. */
void qm__capacity_of_host(unsigned cpus, uint64_t memory, int64_t *ret_cpu,
                          int64_t *ret_memory);

#endif
