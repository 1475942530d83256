/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#include "config.h"
#include <string.h>
#include "domxml.h"
#include "needs.h"
#include "xml-walk.h"

static void
read_cpu(qm_needs *needs, xmlDoc *doc, const xmlNode *root)
{
    xmlNode *cpu = qm__walk_child(root, "cpu");
    g_autofree char *mode = cpu != NULL ? qm__walk_get(cpu, "mode") : NULL;

    if (cpu == NULL)
        return;
    needs->host_cpu = mode != NULL && strcmp(mode, "custom") != 0;
    /* One without a model only shapes topology or NUMA. */
    if (!needs->host_cpu && qm__walk_child(cpu, "model") != NULL)
        needs->cpu = qm__walk_text(doc, cpu);
}

static void
read_machine(qm_needs *needs, const xmlNode *root)
{
    const xmlNode *os = qm__walk_child(root, "os");
    const xmlNode *type = os != NULL ? qm__walk_child(os, "type") : NULL;

    if (type == NULL)
        return;
    needs->arch = qm__walk_get(type, "arch");
    needs->machine = qm__walk_get(type, "machine");
}

static void
read_interfaces(qm_needs *needs, const xmlNode *root)
{
    g_autoptr(GStrvBuilder) bridges = g_strv_builder_new();
    g_autoptr(GStrvBuilder) networks = g_strv_builder_new();
    g_autoptr(GStrvBuilder) devices = g_strv_builder_new();
    const xmlNode *all = qm__walk_child(root, "devices");

    for (xmlNode *n = all != NULL ? all->children : NULL; n != NULL;
         n = n->next) {
        const xmlNode *source =
            qm__walk_is(n, "interface") ? qm__walk_child(n, "source") : NULL;
        g_autofree char *bridge = NULL, *network = NULL, *device = NULL;

        if (source == NULL)
            continue;
        bridge = qm__walk_get(source, "bridge");
        network = qm__walk_get(source, "network");
        device = qm__walk_get(source, "dev");
        if (network != NULL)
            g_strv_builder_add(networks, network);
        else if (bridge != NULL)
            g_strv_builder_add(bridges, bridge);
        else if (device != NULL)
            g_strv_builder_add(devices, device);
    }
    needs->bridges = g_strv_builder_end(bridges);
    needs->networks = g_strv_builder_end(networks);
    needs->devices = g_strv_builder_end(devices);
}

bool
qm__needs_parse(const char *xml, qm_needs **ret, GError **error)
{
    g_autoptr(qm_domxml) domain = NULL;
    g_autoptr(xmlDoc) doc = NULL;
    qm_needs *needs;

    if (!qm__domxml_parse(xml, &domain, error) ||
        !qm__walk_parse(xml, "the domain XML", &doc, error))
        return false;
    needs = g_new0(qm_needs, 1);
    needs->memory = domain->memory;
    needs->vcpus = domain->vcpus;
    needs->type = g_strdup(domain->type);
    read_machine(needs, xmlDocGetRootElement(doc));
    read_cpu(needs, doc, xmlDocGetRootElement(doc));
    read_interfaces(needs, xmlDocGetRootElement(doc));
    *ret = needs;
    return true;
}

void
qm__needs_free(qm_needs *needs)
{
    if (needs == NULL)
        return;
    g_free(needs->type);
    g_free(needs->arch);
    g_free(needs->machine);
    g_free(needs->cpu);
    g_strfreev(needs->bridges);
    g_strfreev(needs->networks);
    g_strfreev(needs->devices);
    g_free(needs);
}
