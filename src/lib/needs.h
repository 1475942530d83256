/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_NEEDS_H
#define QM_NEEDS_H

/*
 * What a VM needs of a host, from its domain XML.  Pure.
 */
#include <stdbool.h>
#include <stdint.h>
#include <glib.h>
#include <quickmig/error.h>

typedef struct {
    uint64_t memory; /* bytes */
    unsigned vcpus;
    char *type;    /* "kvm", "qemu" */
    char *arch;    /* "x86_64"; NULL: not said */
    char *machine; /* "pc-q35-7.2"; NULL: not said */
    char *cpu;     /* the <cpu> element; NULL: none, or the host's own CPU */
    bool host_cpu; /* host-passthrough, host-model, maximum: as where it runs */
    GStrv bridges, networks, devices; /* of its interfaces */
} qm_needs;

/* INVALID: not a domain. */
bool qm__needs_parse(const char *xml, qm_needs **ret, GError **error);
void qm__needs_free(qm_needs *needs);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(qm_needs, qm__needs_free)

#endif
