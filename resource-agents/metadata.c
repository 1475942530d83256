/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The meta-data (OCF 1.1), made from the tables.
 */
#include "config.h"
#include <stdio.h>
#include <string.h>
#include "agent.h"

#define LONGDESC                                                               \
    "A virtual machine (QEMU/KVM through libvirt) whose disks lie on shared "  \
    "storage. A planned move saves the running VM to its vault on shared "     \
    "storage, hands the storage over and restores it on the other node: the "  \
    "guest pauses and is not rebooted. When a node dies, its VMs are booted "  \
    "on another one, and SCSI persistent reservations keep the dead node's "   \
    "writes out. Set meta allow-migrate=true, and configure fencing."

static void add(GString *s, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* Every argument is a string and is escaped. */
static void
add(GString *s, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_markup_vprintf_escaped(format, args);
    va_end(args);
    g_string_append(s, text);
}

static void
add_content(GString *s, const qm_parameter *p)
{
    g_auto(GStrv) choices = NULL;

    add(s, "      <content type=\"%s\"",
        strcmp(p->type, "uuid") == 0 ? "string" : p->type);
    if (p->default_value != NULL)
        add(s, " default=\"%s\"", p->default_value);
    if (p->choices == NULL) {
        add(s, "/>\n");
        return;
    }
    add(s, ">\n");
    choices = g_strsplit(p->choices, " ", -1);
    for (char **c = choices; *c != NULL; c++)
        add(s, "        <option value=\"%s\"/>\n", *c);
    add(s, "      </content>\n");
}

static void
add_parameter(GString *s, const qm_parameter *p)
{
    add(s, "    <parameter name=\"%s\"", p->name);
    if (p->unique)
        add(s, " unique-group=\"%s\"", p->name);
    add(s, " required=\"%s\" reloadable=\"%s\">\n", p->required ? "1" : "0",
        p->reloadable ? "1" : "0");
    add(s, "      <longdesc lang=\"en\">\n%s\n      </longdesc>\n",
        p->longdesc);
    add(s, "      <shortdesc lang=\"en\">%s</shortdesc>\n", p->shortdesc);
    add_content(s, p);
    add(s, "    </parameter>\n");
}

static void
add_action(GString *s, const qm_agent_action *a)
{
    add(s, "    <action name=\"%s\" timeout=\"%us\"", a->name, a->timeout_s);
    if (a->interval_s > 0)
        add(s, " interval=\"%us\"", a->interval_s);
    if (a->depth >= 0)
        add(s, " depth=\"%d\"", a->depth);
    add(s, "/>\n");
}

char *
qm__metadata_text(void)
{
    GString *s = g_string_new(NULL);
    size_t n;
    const qm_parameter *p = qm__parameters(&n);
    const qm_agent_action *a;

    add(s,
        "<?xml version=\"1.0\"?>\n"
        "<resource-agent name=\"VirtualMachine\" version=\"%s\">\n"
        "  <version>1.1</version>\n"
        "  <longdesc lang=\"en\">\n%s\n  </longdesc>\n"
        "  <shortdesc lang=\"en\">%s</shortdesc>\n"
        "  <parameters>\n",
        PACKAGE_VERSION, LONGDESC,
        "Highly available virtual machine with quick migration");
    for (size_t i = 0; i < n; i++)
        add_parameter(s, &p[i]);
    add(s, "  </parameters>\n  <actions>\n");
    a = qm__agent_actions(&n);
    for (size_t i = 0; i < n; i++)
        add_action(s, &a[i]);
    add(s, "  </actions>\n</resource-agent>\n");
    return g_string_free(s, FALSE);
}

ocf_code
qm__metadata(qm_agent *agent)
{
    g_autofree char *text = qm__metadata_text();

    return fputs(text, stdout) < 0 || fflush(stdout) != 0 ? OCF_ERR_GENERIC
                                                          : OCF_SUCCESS;
}
