/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#include "config.h"
#include <inttypes.h>
#include "eligible.h"

#define MIB      UINT64_C(1048576)
#define OVERHEAD 64 /* MiB that QEMU itself takes */

static bool
has(GStrv list, const char *word)
{
    return g_strv_contains((const char *const *) list, word);
}

static char *
check_storage(const qm_candidate *c)
{
    return g_strdup(c->storage_problem);
}

static char *
check_type(const qm_candidate *c)
{
    if (c->needs->type == NULL || c->host->types == NULL ||
        has(c->host->types, c->needs->type))
        return NULL;
    return g_strdup_printf("no domains of type %s here", c->needs->type);
}

static char *
check_machine(const qm_candidate *c)
{
    if (c->needs->machine == NULL || c->host->machines == NULL ||
        has(c->host->machines, c->needs->machine))
        return NULL;
    return g_strdup_printf("machine type %s is unknown here",
                           c->needs->machine);
}

static char *
check_vendor(const qm_candidate *c)
{
    if (!c->needs->host_cpu || c->owner == NULL ||
        c->owner->cpu_vendor == NULL || c->facts->cpu_vendor == NULL ||
        g_strcmp0(c->owner->cpu_vendor, c->facts->cpu_vendor) == 0)
        return NULL;
    return g_strdup_printf("CPU of %s here, of %s where it runs",
                           c->facts->cpu_vendor, c->owner->cpu_vendor);
}

/* A guest that was given its host's own CPU needs the very same. */
static char *
check_host_model(const qm_candidate *c)
{
    if (!c->needs->host_cpu || c->owner == NULL ||
        c->owner->cpu_model == NULL || c->facts->cpu_model == NULL ||
        g_strcmp0(c->owner->cpu_model, c->facts->cpu_model) == 0)
        return NULL;
    return g_strdup_printf("CPU %s here, %s where it runs", c->facts->cpu_model,
                           c->owner->cpu_model);
}

static char *
check_cpu(const qm_candidate *c)
{
    return c->cpu_problem != NULL ? g_strdup_printf("CPU: %s", c->cpu_problem)
                                  : NULL;
}

static char *
missing_link(const qm_candidate *c, GStrv wanted, const char *what)
{
    for (unsigned i = 0; wanted != NULL && wanted[i] != NULL; i++)
        if (c->host->links != NULL && !has(c->host->links, wanted[i]))
            return g_strdup_printf("no %s %s here", what, wanted[i]);
    return NULL;
}

static char *
check_bridges(const qm_candidate *c)
{
    return missing_link(c, c->needs->bridges, "bridge");
}

static char *
check_devices(const qm_candidate *c)
{
    return missing_link(c, c->needs->devices, "network device");
}

static char *
check_networks(const qm_candidate *c)
{
    GStrv wanted = c->needs->networks;

    for (unsigned i = 0; wanted != NULL && wanted[i] != NULL; i++)
        if (c->host->networks != NULL && !has(c->host->networks, wanted[i]))
            return g_strdup_printf("libvirt's network %s is not active here",
                                   wanted[i]);
    return NULL;
}

static char *
check_memory(const qm_candidate *c)
{
    uint64_t wanted = c->needs->memory / MIB + OVERHEAD;

    if (c->facts->memory == 0 || c->facts->memory_free >= wanted)
        return NULL;
    return g_strdup_printf("%" PRIu64 " MiB of memory are free, it needs "
                           "%" PRIu64,
                           c->facts->memory_free, wanted);
}

/* A QEMU reads what an older one has saved, not the other way round. */
static char *
check_qemu(const qm_candidate *c)
{
    uint64_t mine = c->facts->qemu;

    if (c->owner == NULL || mine == 0 || mine >= c->owner->qemu)
        return NULL;
    return g_strdup_printf("QEMU %u.%u here is older than %u.%u where it runs",
                           (unsigned) (mine / 1000000),
                           (unsigned) (mine / 1000 % 1000),
                           (unsigned) (c->owner->qemu / 1000000),
                           (unsigned) (c->owner->qemu / 1000 % 1000));
}

static char *(*const checks[])(const qm_candidate *c) = {
    check_storage,    check_type, check_machine, check_vendor,
    check_host_model, check_cpu,  check_bridges, check_devices,
    check_networks,   check_qemu, check_memory, /* last: it changes most */
};

char *
qm__ineligible(const qm_candidate *c)
{
    /* It runs here, so it can: a doubt must not drive it away. */
    for (size_t i = 0; i < G_N_ELEMENTS(checks) && !c->here; i++) {
        char *why = checks[i](c);

        if (why != NULL)
            return why;
    }
    return NULL;
}
