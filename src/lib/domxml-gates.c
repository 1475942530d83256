/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Rewriting a domain XML so that its iSCSI disks go through gates.
 *
 * Invariant: in the result, no hard disk is reached over iSCSI by QEMU, and
 * no credentials are left.  Everything else is as the user wrote it.
 */
#include "config.h"
#include <string.h>
#include <libxml/xmlsave.h>
#include "domxml-internal.h"
#include "runtime.h"

/* For how long QEMU holds the guest's requests and tries to connect again
 * after its gate died, seconds.  Then the error policy stops the guest; when
 * the gate is back, it can be resumed.  libvirt up to 9.0 does not know the
 * element and ignores it: there the guest is stopped at once. */
#define RECONNECT_S "30"

/* The only children of <source> that say something of the data on the disk,
 * not of how to reach it. */
static const char *const kept[] = {"encryption", "slices"};

static bool
is_kept(const xmlNode *node)
{
    for (size_t i = 0; i < G_N_ELEMENTS(kept); i++)
        if (strcmp((const char *) node->name, kept[i]) == 0)
            return true;
    return false;
}

static void
remove_node(xmlNodePtr node)
{
    xmlUnlinkNode(node);
    xmlFreeNode(node);
}

static void
set_attribute(xmlNodePtr node, const char *name, const char *value)
{
    if (xmlSetProp(node, BAD_CAST name, BAD_CAST value) == NULL)
        g_error("out of memory");
}

static xmlNodePtr
add_child(xmlNodePtr parent, const char *name)
{
    xmlNodePtr child = xmlNewChild(parent, NULL, BAD_CAST name, NULL);

    if (child == NULL)
        g_error("out of memory");
    return child;
}

static void
clear_source(xmlNodePtr source)
{
    xmlNodePtr next;

    while (source->properties != NULL)
        (void) xmlRemoveProp(source->properties);
    for (xmlNodePtr n = source->children; n != NULL; n = next) {
        next = n->next;
        if (!is_kept(n))
            remove_node(n);
    }
}

static void
rewrite_source(xmlNodePtr source, const char *socket)
{
    xmlNodePtr child;

    clear_source(source);
    set_attribute(source, "protocol", "nbd");
    child = add_child(source, "host");
    set_attribute(child, "transport", "unix");
    set_attribute(child, "socket", socket);
    child = add_child(source, "reconnect");
    set_attribute(child, "delay", RECONNECT_S);
}

/* A guest whose disk fails stops, instead of seeing the error: it can go on
 * when the disk is back, or elsewhere. */
static void
rewrite_driver(xmlNodePtr disk)
{
    static const char *const policies[] = {"error_policy", "rerror_policy"};
    xmlNodePtr driver = qm__xml_find(disk->children, "driver");

    if (driver == NULL) {
        driver = xmlNewNode(NULL, BAD_CAST "driver");
        if (driver == NULL ||
            xmlAddPrevSibling(qm__xml_find(disk->children, "source"), driver) ==
                NULL)
            g_error("out of memory");
        set_attribute(driver, "name", "qemu");
        set_attribute(driver, "type", "raw");
    }
    /* Of host files and devices only. */
    (void) xmlUnsetProp(driver, BAD_CAST "io");
    /* The gate has no TRIM. */
    (void) xmlUnsetProp(driver, BAD_CAST "discard");
    for (size_t i = 0; i < G_N_ELEMENTS(policies); i++)
        if (xmlHasProp(driver, BAD_CAST policies[i]) == NULL)
            set_attribute(driver, policies[i], "stop");
}

static void
rewrite_disk(xmlNodePtr disk, const uint8_t *uuid)
{
    xmlNodePtr target = qm__xml_find(disk->children, "target");
    xmlNodePtr auth = qm__xml_find(disk->children, "auth");
    g_autofree char *dev = qm__xml_attribute(target, "dev");
    g_autofree char *socket = qm__gate_socket(uuid, dev);

    if (auth != NULL)
        remove_node(auth);
    rewrite_source(qm__xml_find(disk->children, "source"), socket);
    rewrite_driver(disk);
}

static char *
to_text(xmlDocPtr doc)
{
    xmlBufferPtr buffer = xmlBufferCreate();
    xmlSaveCtxtPtr save;
    char *text;

    if (buffer == NULL)
        g_error("out of memory");
    save = xmlSaveToBuffer(buffer, "UTF-8", XML_SAVE_NO_DECL);
    if (save == NULL || xmlSaveDoc(save, doc) < 0 || xmlSaveClose(save) < 0)
        g_error("out of memory");
    text = g_strdup((const char *) xmlBufferContent(buffer));
    xmlBufferFree(buffer);
    return text;
}

bool
qm__domxml_for_gates(const char *xml, char **ret_xml, GError **error)
{
    g_autoptr(qm_domxml) d = NULL;
    g_autoptr(xmlDoc) doc = NULL;
    xmlNodePtr disk;

    if (!qm__domxml_load(xml, &doc, &d, error))
        return false;
    disk =
        qm__xml_find(xmlDocGetRootElement(doc)->children, "devices")->children;
    while ((disk = qm__xml_find(disk, "disk")) != NULL) {
        if (qm__xml_is_gated(disk))
            rewrite_disk(disk, d->uuid);
        disk = disk->next;
    }
    *ret_xml = to_text(doc);
    return true;
}
