/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_ELIGIBLE_H
#define QM_ELIGIBLE_H

/*
 * May a VM run on a host?  A table of checks over what was found out.  Pure.
 */
#include "facts.h"
#include "needs.h"

/* What a host has, beyond its facts. */
typedef struct {
    GStrv types;    /* "kvm", "qemu" */
    GStrv machines; /* of the host's own architecture */
    GStrv links;    /* network interfaces, bridges among them */
    GStrv networks; /* active ones of libvirt's; NULL: not known */
} qm_host;

typedef struct {
    const qm_needs *needs;
    const qm_host *host;
    const qm_node_facts *facts;
    const qm_node_facts *owner;  /* of the node that it runs on; NULL: none, or
                               not known */
    bool here;                   /* it runs on this very host */
    const char *cpu_problem;     /* libvirt's words; NULL: none */
    const char *storage_problem; /* NULL: none */
} qm_candidate;

/* Why not, in one line; NULL: it may.  What is not known does not count. */
char *qm__ineligible(const qm_candidate *c);

#endif
