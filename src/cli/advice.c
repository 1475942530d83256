/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Sizes and timeouts to configure.  Pacemaker kills an action that outlives
 * its timeout, and a killed stop costs a node: so the timeouts allow for slow
 * storage, and the agent ends earlier by itself.
 */
#include "config.h"
#include <string.h>
#include "advice.h"

#define MIB UINT64_C(1048576)

/* What QEMU adds to the memory: devices, video memory, its own tables. */
#define STATE_EXTRA (64 * MIB)

#define SLOW_STORAGE 100000000 /* bytes a second, lower bound assumed */
#define BASE_TIMEOUT 60        /* seconds: login, takeover, shutdown */

/* As in the agent's meta-data: crmsh warns below them. */
#define START_TIMEOUT 180 /* seconds; migrate_from too */
#define STOP_TIMEOUT  300 /* seconds; migrate_to too */

uint64_t
cli_image_needed(uint64_t memory)
{
    /* A chunk's header takes 1/256 of it; 1/64 leaves room for rounding. */
    return memory + memory / 64 + STATE_EXTRA;
}

unsigned
cli_transfer_timeout(uint64_t memory, unsigned advised)
{
    return cli_transfer_timeout_at(memory, advised, 0);
}

unsigned
cli_transfer_timeout_at(uint64_t memory, unsigned advised, uint64_t rate)
{
    /* Half of it: moves may share the storage.  The agent keeps a fifth of an
     * action's time for its fallback. */
    uint64_t counted = rate > 0 ? MAX(rate / 2, 1) : SLOW_STORAGE;
    uint64_t seconds = BASE_TIMEOUT + memory / MAX(counted / 5 * 4, 1) + 1;

    seconds = (seconds + 9) / 10 * 10;
    return (unsigned) CLAMP(seconds, advised, 86400);
}

char *
cli_resource_id(const char *vm_name)
{
    GString *id = g_string_new(NULL);

    /* An XML ID: no digit, '.' or '-' first. */
    if (!g_ascii_isalpha(vm_name[0]) && vm_name[0] != '_')
        g_string_append(id, "vm-");
    for (const char *p = vm_name; *p != '\0'; p++)
        g_string_append_c(
            id, g_ascii_isalnum(*p) || strchr("._-", *p) != NULL ? *p : '_');
    return g_string_free(id, FALSE);
}

/* Quoted only where the shell needs it. */
static char *
quote(const char *text)
{
    for (const char *p = text; *p != '\0'; p++)
        if (!g_ascii_isalnum(*p) && strchr("._-/:@,+", *p) == NULL)
            return g_shell_quote(text);
    return g_strdup(text);
}

char *
cli_assignment(const char *name, const char *value)
{
    g_autofree char *quoted = quote(value);

    return g_strconcat(name, "=", quoted, NULL);
}

static char *
parameters(const char *vault, const char *hypervisor)
{
    g_autofree char *v = cli_assignment("vault", vault);
    g_autofree char *h =
        hypervisor != NULL ? cli_assignment("hypervisor", hypervisor) : NULL;

    return g_strconcat(v, h != NULL ? " " : NULL, h, NULL);
}

char *
cli_crm_command(const char *id, const char *vault, const char *hypervisor,
                uint64_t memory)
{
    g_autofree char *params = parameters(vault, hypervisor);
    unsigned start = cli_transfer_timeout(memory, START_TIMEOUT);
    unsigned stop = cli_transfer_timeout(memory, STOP_TIMEOUT);

    return g_strdup_printf(
        "crm configure primitive %s ocf:quickmig:VirtualMachine \\\n"
        "    params %s \\\n"
        "    op start timeout=%us interval=0 \\\n"
        "    op stop timeout=%us interval=0 \\\n"
        "    op monitor timeout=30s interval=10s \\\n"
        "    op migrate_to timeout=%us interval=0 \\\n"
        "    op migrate_from timeout=%us interval=0 \\\n"
        "    meta allow-migrate=true\n",
        id, params, start, stop, stop, start);
}

char *
cli_pcs_command(const char *id, const char *vault, const char *hypervisor,
                uint64_t memory)
{
    g_autofree char *params = parameters(vault, hypervisor);
    unsigned start = cli_transfer_timeout(memory, START_TIMEOUT);
    unsigned stop = cli_transfer_timeout(memory, STOP_TIMEOUT);

    return g_strdup_printf(
        "pcs resource create %s ocf:quickmig:VirtualMachine \\\n"
        "    %s \\\n"
        "    op start timeout=%us stop timeout=%us \\\n"
        "    monitor interval=10s timeout=30s \\\n"
        "    migrate_to timeout=%us migrate_from timeout=%us \\\n"
        "    meta allow-migrate=true\n",
        id, params, start, stop, stop, start);
}
