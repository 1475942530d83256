/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#include "config.h"
#include <stdlib.h>
#include <string.h>
#include "cpu.h"
#include "xml-walk.h"

enum { TYPE, ARCH, VENDOR, MODEL, FEATURES, N_PARTS };

/* --- one line ------------------------------------------------------------ */

static char *
text_of(const xmlNode *root, const char *name)
{
    const xmlNode *node = qm__walk_child(root, name);
    xmlChar *text = node != NULL ? xmlNodeGetContent(node) : NULL;
    char *copy = g_strdup(text != NULL ? (const char *) text : "");

    xmlFree(text);
    return copy;
}

static xmlNode *
host_model(xmlNode *root)
{
    for (xmlNode *n = root; n != NULL; n = qm__walk_next(root, n))
        if (qm__walk_is(n, "mode") && qm__walk_has(n, "name", "host-model") &&
            qm__walk_has(n, "supported", "yes"))
            return n;
    return NULL;
}

/* "a,-b"; @without: what stands before a feature that is missing. */
static char *
features(const xmlNode *cpu, const char *with, const char *without,
         const char *between)
{
    GString *list = g_string_new(NULL);

    for (xmlNode *n = cpu->children; n != NULL; n = n->next) {
        g_autofree char *name =
            qm__walk_is(n, "feature") ? qm__walk_get(n, "name") : NULL;

        if (name != NULL)
            g_string_append_printf(
                list, "%s%s%s", list->len > 0 ? between : "",
                qm__walk_has(n, "policy", "disable") ? without : with, name);
    }
    return g_string_free(list, FALSE);
}

char *
qm__cpu_line(const char *domain_capabilities)
{
    g_autoptr(xmlDoc) doc = NULL;
    g_autofree char *type = NULL, *arch = NULL, *vendor = NULL, *model = NULL;
    g_autofree char *list = NULL;
    xmlNode *root, *mode;

    if (!qm__walk_parse(domain_capabilities, "libvirt's domain capabilities",
                        &doc, NULL))
        return NULL;
    root = xmlDocGetRootElement(doc);
    mode = host_model(root);
    if (mode == NULL)
        return NULL;
    type = text_of(root, "domain");
    arch = text_of(root, "arch");
    vendor = text_of(mode, "vendor");
    model = text_of(mode, "model");
    list = features(mode, "", "-", ",");
    if (type[0] == '\0' || arch[0] == '\0' || model[0] == '\0')
        return NULL;
    return g_strjoin("/", type, arch, vendor, model, list, NULL);
}

static void
append_features(GString *xml, const char *list)
{
    g_auto(GStrv) names = g_strsplit(list, ",", -1);

    for (guint i = 0; names[i] != NULL; i++) {
        bool missing = names[i][0] == '-';
        g_autofree char *name =
            g_markup_escape_text(names[i] + (missing ? 1 : 0), -1);

        if (name[0] != '\0')
            g_string_append_printf(xml, "<feature policy='%s' name='%s'/>",
                                   missing ? "disable" : "require", name);
    }
}

bool
qm__cpu_parse(const char *line, qm_cpu *ret, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(line, "/", N_PARTS);
    g_autofree char *vendor = NULL, *model = NULL;
    g_autoptr(GString) xml = g_string_new("<cpu>");

    if (g_strv_length(parts) != N_PARTS || parts[TYPE][0] == '\0' ||
        parts[ARCH][0] == '\0' || parts[MODEL][0] == '\0') {
        g_set_error(error, QM_ERROR, QM_ERROR_CORRUPT,
                    "\"%.80s\" does not describe a CPU", line);
        return false;
    }
    vendor = g_markup_escape_text(parts[VENDOR], -1);
    model = g_markup_escape_text(parts[MODEL], -1);
    g_string_append_printf(xml, "<model fallback='forbid'>%s</model>", model);
    if (vendor[0] != '\0')
        g_string_append_printf(xml, "<vendor>%s</vendor>", vendor);
    append_features(xml, parts[FEATURES]);
    g_string_append(xml, "</cpu>");
    *ret = (qm_cpu){.type = g_strdup(parts[TYPE]),
                    .arch = g_strdup(parts[ARCH]),
                    .xml = g_strdup(xml->str)};
    return true;
}

void
qm__cpu_clear(qm_cpu *cpu)
{
    g_clear_pointer(&cpu->type, g_free);
    g_clear_pointer(&cpu->arch, g_free);
    g_clear_pointer(&cpu->xml, g_free);
}

/* --- in a domain XML ----------------------------------------------------- */

static bool
is_shape(const xmlNode *node)
{
    return node->type == XML_ELEMENT_NODE && !qm__walk_is(node, "model") &&
           !qm__walk_is(node, "vendor") && !qm__walk_is(node, "feature");
}

/* What the old one says beside what CPU it is. */
static void
keep_shape(xmlNode *cpu, xmlNode *old)
{
    xmlNode *next;

    for (xmlNode *n = old->children; n != NULL; n = next) {
        next = n->next;
        if (is_shape(n)) {
            xmlUnlinkNode(n);
            if (xmlAddChild(cpu, n) == NULL)
                g_error("out of memory");
        }
    }
}

bool
qm__cpu_set(const char *domain_xml, const char *cpu_xml, char **ret_xml,
            GError **error)
{
    g_autoptr(xmlDoc) doc = NULL;
    g_autoptr(xmlDoc) cpu_doc = NULL;
    xmlNode *root, *old, *cpu;

    if (!qm__walk_parse(domain_xml, "the domain XML", &doc, error) ||
        !qm__walk_parse(cpu_xml, "libvirt's CPU", &cpu_doc, error))
        return false;
    root = xmlDocGetRootElement(doc);
    cpu = xmlDocCopyNode(xmlDocGetRootElement(cpu_doc), doc, 1);
    if (cpu == NULL ||
        xmlSetProp(cpu, BAD_CAST "mode", BAD_CAST "custom") == NULL ||
        xmlSetProp(cpu, BAD_CAST "match", BAD_CAST "exact") == NULL)
        g_error("out of memory");
    old = qm__walk_child(root, "cpu");
    if (old != NULL) {
        keep_shape(cpu, old);
        xmlReplaceNode(old, cpu);
        xmlFreeNode(old);
    } else if (xmlAddChild(root, cpu) == NULL) {
        g_error("out of memory");
    }
    *ret_xml = qm__walk_text(doc, root);
    return true;
}

char *
qm__cpu_describe(const char *cpu_xml)
{
    g_autoptr(xmlDoc) doc = NULL;
    g_autofree char *model = NULL, *list = NULL;
    xmlNode *cpu;

    if (!qm__walk_parse(cpu_xml, "libvirt's CPU", &doc, NULL))
        return g_strdup("?");
    cpu = xmlDocGetRootElement(doc);
    model = text_of(cpu, "model");
    list = features(cpu, "", "no ", ", ");
    return list[0] != '\0' ? g_strdup_printf("%s with %s", model, list)
                           : g_steal_pointer(&model);
}
