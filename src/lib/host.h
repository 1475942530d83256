/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_HOST_H
#define QM_HOST_H

/*
 * What this host is and has, by its libvirt and its kernel.
 */
#include "eligible.h"

typedef struct {
    qm_node_facts *facts; /* without storage */
    qm_host host;
    char *cpu;               /* as qm__cpu_line(); NULL: not known */
    GPtrArray *cpu_problems; /* char *, for each CPU that was asked for */
} qm_host_view;

/* @cpus: <cpu> elements and the type and arch that they are for, as qm_needs;
 * those without one get no problem.  Changes nothing.  IO, TIMEOUT. */
bool qm__host_read(const char *uri, const GPtrArray *needs, int64_t deadline,
                   qm_host_view **ret, GError **error);
void qm__host_view_free(qm_host_view *view);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(qm_host_view, qm__host_view_free)

#endif
