/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_CIB_READ_H
#define QM_CIB_READ_H

/*
 * Reading single things out of a CIB that was queried.  Pure.  Groups, clones
 * and templates are followed; rules are not evaluated: the first value of a
 * name counts.  Strings are the caller's to free; NULL: there is none.
 */
#include "xml-walk.h"

/* Of cluster_property_set. */
char *qm__cib_property(xmlNode *root, const char *name);
/* Of rsc_defaults or op_defaults (@section), without rules. */
char *qm__cib_default(xmlNode *root, const char *section, const char *name);
/* In @owner's own sets of this kind ("instance_attributes",
 * "meta_attributes", "utilization"). */
char *qm__cib_value(xmlNode *root, const xmlNode *owner, const char *kind,
                    const char *name);
/* The template that a primitive refers to. */
xmlNode *qm__cib_template(xmlNode *root, const xmlNode *primitive);
/* Of a primitive: class, provider and type, its template's included.
 * @provider NULL: any. */
bool qm__cib_is_a(xmlNode *root, const xmlNode *primitive, const char *class,
                  const char *provider, const char *type);
/* As Pacemaker takes it: the resource's own, its template's, those of the
 * group and clone that it is in, the cluster's default. */
char *qm__cib_meta(xmlNode *root, const xmlNode *primitive, const char *name);
/* Its own, or its template's. */
char *
qm__cib_utilization(xmlNode *root, const xmlNode *primitive, const char *name);
/* The operation of this name, its template's included; NULL: not configured. */
xmlNode *qm__cib_op(xmlNode *root, const xmlNode *primitive, const char *name);
/* Timeout of an operation, ms; the default's where it says none (20 s); -1:
 * cannot be read. */
int64_t qm__cib_op_timeout(xmlNode *root, const xmlNode *op);
/* "30s", "5min", "1500ms", "20": ms; -1: no such thing. */
int64_t qm__cib_time(const char *text);
/* true, yes, on, y, 1; NULL: @otherwise. */
bool qm__cib_bool(const char *text, bool otherwise);

/* The <node> of the configuration. */
xmlNode *qm__cib_node(xmlNode *root, const char *name);
/* A transient node attribute, from the status section. */
char *qm__cib_transient(xmlNode *root, const char *node, const char *attribute);

/* The next element called @name below @root; NULL at first, and at the end. */
xmlNode *qm__cib_next(xmlNode *root, xmlNode *after, const char *name);

#endif
