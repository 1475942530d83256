/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_DOMXML_INTERNAL_H
#define QM_DOMXML_INTERNAL_H

/*
 * Shared by domxml.c and domxml-gates.c only.
 */
#include <libxml/tree.h>
#include "domxml.h"

G_DEFINE_AUTOPTR_CLEANUP_FUNC(xmlDoc, xmlFreeDoc)

/* Parses @xml and checks it; @ret_doc is freed by the caller. */
bool qm__domxml_load(const char *xml, xmlDocPtr *ret_doc, qm_domxml **ret,
                     GError **error);
/* The next element called @name among @node and its siblings; NULL: none. */
xmlNodePtr qm__xml_find(xmlNodePtr node, const char *name);
/* Attribute or NULL; the caller frees it with g_free(). */
char *qm__xml_attribute(xmlNodePtr node, const char *name);
/* Does the attribute have this value? */
bool qm__xml_is(xmlNodePtr node, const char *name, const char *value);
/* A hard disk that QEMU would reach over iSCSI by itself? */
bool qm__xml_is_gated(xmlNodePtr disk);

#endif
