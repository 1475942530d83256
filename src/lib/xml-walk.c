/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * XML of Pacemaker's tools.  Nothing is fetched and nothing is expanded: it
 * comes from a program of this host, but names in it are anybody's.
 */
#include "config.h"
#include <string.h>
#include "xml-walk.h"

bool
qm__walk_parse(const char *text, const char *what, xmlDoc **ret_doc,
               GError **error)
{
    g_autoptr(xmlDoc) doc =
        xmlReadMemory(text, (int) strlen(text), "input", NULL,
                      XML_PARSE_NONET | XML_PARSE_NOERROR |
                          XML_PARSE_NOWARNING | XML_PARSE_HUGE);

    if (doc == NULL || xmlDocGetRootElement(doc) == NULL) {
        g_set_error(error, QM_ERROR, QM_ERROR_CORRUPT, "cannot parse %s", what);
        return false;
    }
    *ret_doc = g_steal_pointer(&doc);
    return true;
}

bool
qm__walk_is(const xmlNode *node, const char *name)
{
    return node->type == XML_ELEMENT_NODE &&
           strcmp((const char *) node->name, name) == 0;
}

char *
qm__walk_get(const xmlNode *node, const char *name)
{
    xmlChar *value = xmlGetNoNsProp(node, (const xmlChar *) name);
    char *copy = g_strdup((const char *) value);

    xmlFree(value);
    return copy;
}

bool
qm__walk_has(const xmlNode *node, const char *name, const char *value)
{
    g_autofree char *found = qm__walk_get(node, name);

    return g_strcmp0(found, value) == 0;
}

xmlNode *
qm__walk_child(const xmlNode *node, const char *name)
{
    for (xmlNode *n = node->children; n != NULL; n = n->next)
        if (qm__walk_is(n, name))
            return n;
    return NULL;
}

char *
qm__walk_text(xmlDoc *doc, xmlNode *node)
{
    xmlBuffer *buffer = xmlBufferCreate();
    char *text = NULL;

    if (buffer != NULL && xmlNodeDump(buffer, doc, node, 0, 0) >= 0)
        text = g_strdup((const char *) xmlBufferContent(buffer));
    xmlBufferFree(buffer);
    return text;
}

xmlNode *
qm__walk_next(const xmlNode *root, xmlNode *node)
{
    xmlNode *next = node->children;

    while (next == NULL && node != root) {
        next = node->next;
        node = node->parent;
    }
    return next;
}

xmlNode *
qm__walk_find(xmlNode *root, const char *name, const char *id)
{
    for (xmlNode *n = root; n != NULL; n = qm__walk_next(root, n))
        if (qm__walk_is(n, name) && qm__walk_has(n, "id", id))
            return n;
    return NULL;
}
