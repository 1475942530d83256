/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_XML_WALK_H
#define QM_XML_WALK_H

/*
 * Reading what Pacemaker's tools and libvirt print: elements and attributes.
 */
#include <stdbool.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <quickmig/error.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC(xmlDoc, xmlFreeDoc)

/* CORRUPT: not XML.  @what: "… as printed by cibadmin", for the message. */
bool qm__walk_parse(const char *text, const char *what, xmlDoc **ret_doc,
                    GError **error);
/* An element of this name? */
bool qm__walk_is(const xmlNode *node, const char *name);
/* Attribute; NULL: none.  The caller frees. */
char *qm__walk_get(const xmlNode *node, const char *name);
bool qm__walk_has(const xmlNode *node, const char *name, const char *value);
/* The first child element of that name; NULL: none. */
xmlNode *qm__walk_child(const xmlNode *node, const char *name);
/* The element as text; the caller frees. */
char *qm__walk_text(xmlDoc *doc, xmlNode *node);
/* The next node in document order below @root; NULL: no more. */
xmlNode *qm__walk_next(const xmlNode *root, xmlNode *node);
/* The first element of that name and id, @root included; NULL: none. */
xmlNode *qm__walk_find(xmlNode *root, const char *name, const char *id);

#endif
