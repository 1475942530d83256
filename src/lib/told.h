/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_TOLD_H
#define QM_TOLD_H

/*
 * What the nodes have told of themselves in transient attributes, out of one
 * look at the CIB.  Pure.
 *
 *   quickmig-facts          facts.h
 *   quickmig-cpu            cpu.h
 *   quickmig-eligible-RES   "here" (it runs there), "yes" or "no"
 *   quickmig-reason-RES     why not
 *   quickmig-rating-RES     0 to 100
 */
#include <quickmig/error.h>
#include <stdbool.h>

#define QM_TOLD_FACTS    "quickmig-facts"
#define QM_TOLD_ELIGIBLE "quickmig-eligible-"
#define QM_TOLD_REASON   "quickmig-reason-"
#define QM_TOLD_RATING   "quickmig-rating-"

typedef struct qm_told qm_told;

/* @cib: as cibadmin prints it. */
bool qm__told_parse(const char *cib, qm_told **ret, GError **error);
void qm__told_free(qm_told *told);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(qm_told, qm__told_free)

/* Every node of the cluster, sorted. */
const char *const *qm__told_nodes(const qm_told *told);
bool qm__told_is_online(const qm_told *told, const char *node);
/* The attribute "@prefix@name" (@name NULL: "@prefix"); NULL: not told. */
const char *qm__told_get(const qm_told *told, const char *node,
                         const char *prefix, const char *name);
/* Names of @node's attributes with @prefix, without it; the caller frees. */
GStrv qm__told_names(const qm_told *told, const char *node, const char *prefix);
/* The node that says "here"; NULL: none. */
const char *qm__told_where(const qm_told *told, const char *resource);
/* The parameter of the primitive ocf:quickmig:Node; NULL: not set. */
const char *qm__told_setting(const qm_told *told, const char *name);
/* Best rated of the nodes that are online, not "no", and not @except; NULL:
 * none.  Where nobody was rated: the first that may. */
const char *
qm__told_best(const qm_told *told, const char *resource, const char *except);

#endif
