/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_CPU_H
#define QM_CPU_H

/*
 * CPU models: what each node can give a guest, told in one line, and what all
 * of them can give.
 *
 *   kvm/x86_64/AMD/EPYC-Rome/x2apic,-svm
 *
 * domain type, architecture, vendor, model, features that come on top ("-":
 * that are missing).
 */
#include <stdbool.h>
#include <stdint.h>
#include <glib.h>
#include <quickmig/error.h>

#define QM_TOLD_CPU "quickmig-cpu" /* the node attribute with that line */

typedef struct {
    char *type, *arch;
    char *xml; /* a <cpu> as libvirt compares it */
} qm_cpu;

/* From what libvirt says of its host-model CPU; NULL: it has none.  Pure. */
char *qm__cpu_line(const char *domain_capabilities);
/* CORRUPT: no such line.  Pure. */
bool qm__cpu_parse(const char *line, qm_cpu *ret, GError **error);
void qm__cpu_clear(qm_cpu *cpu);

/* The best CPU that all of @cpus (qm_cpu *, one at least, of one type and
 * architecture) can be, as libvirt finds.  IO: there is none, or it failed. */
bool qm__cpu_baseline(const char *uri, const GPtrArray *cpus, int64_t deadline,
                      char **ret_cpu_xml, GError **error);

/* Puts it into the domain XML.  What else <cpu> says (topology, NUMA, cache)
 * stays.  Pure. */
bool qm__cpu_set(const char *domain_xml, const char *cpu_xml, char **ret_xml,
                 GError **error);
/* "EPYC-Rome with x2apic, no svm".  Pure; the caller frees. */
char *qm__cpu_describe(const char *cpu_xml);

#endif
