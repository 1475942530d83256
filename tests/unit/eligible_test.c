/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/* Where a VM may run: one thing wrong at a time, and what its XML asks for. */
#include "config.h"
#include <string.h>
#include "unit.h"
#include "eligible.h"

/* Literals stand for strings that nobody changes or frees here. */
#pragma GCC diagnostic ignored "-Wdiscarded-qualifiers"

#define MIB UINT64_C(1048576)

static char *types[] = {"kvm", "qemu", NULL};
static char *machines[] = {"pc-q35-7.2", "q35", NULL};
static char *links[] = {"lo", "br0", "eth1", NULL};
static char *networks[] = {"default", NULL};
static char *br0[] = {"br0", NULL};
static char *br9[] = {"br0", "br9", NULL};
static char *eth9[] = {"eth9", NULL};
static char *guests[] = {"guests", NULL};

typedef struct {
    qm_needs needs;
    qm_host host;
    qm_node_facts facts, owner;
    qm_candidate c;
} scene;

static void
begin(scene *s)
{
    memset(s, 0, sizeof *s);
    s->needs = (qm_needs){.memory = 1024 * MIB,
                          .vcpus = 2,
                          .type = "kvm",
                          .machine = "pc-q35-7.2",
                          .bridges = br0};
    s->host = (qm_host){types, machines, links, networks};
    s->facts = (qm_node_facts){.cpu_vendor = "AMD",
                               .cpu_model = "EPYC",
                               .cpus = 4,
                               .memory = 8192,
                               .memory_free = 4096,
                               .qemu = 7002000};
    s->owner = s->facts;
    s->c = (qm_candidate){.needs = &s->needs,
                          .host = &s->host,
                          .facts = &s->facts,
                          .owner = &s->owner};
}

static void
expect(const scene *s, const char *part)
{
    g_autofree char *why = qm__ineligible(&s->c);

    if (part == NULL && why != NULL)
        fail_msg("\"%s\", but it may run", why);
    if (part != NULL && (why == NULL || strstr(why, part) == NULL))
        fail_msg("\"%s\" does not say \"%s\"", why, part);
}

static void
test_fits(void **state)
{
    scene s;

    begin(&s);
    expect(&s, NULL);
    s.c.owner = NULL;
    expect(&s, NULL);
}

static void
test_each(void **state)
{
    scene s;

    begin(&s), s.needs.type = "xen", expect(&s, "type xen");
    begin(&s), s.needs.machine = "pc-q35-9.0", expect(&s, "pc-q35-9.0");
    begin(&s), s.needs.bridges = br9, expect(&s, "no bridge br9");
    begin(&s), s.needs.devices = eth9, expect(&s, "device eth9");
    begin(&s), s.needs.networks = guests, expect(&s, "network guests");
    begin(&s), s.needs.memory = 4096 * MIB, expect(&s, "4096 MiB of memory");
    begin(&s), s.facts.qemu = 6000000, expect(&s, "older than 7.2");
    begin(&s), s.c.cpu_problem = "no avx512", expect(&s, "CPU: no avx512");
    begin(&s), s.c.storage_problem = "no LUN", expect(&s, "no LUN");
}

/* Vendor and model count for a guest that has its host's own CPU only. */
static void
test_host_cpu(void **state)
{
    scene s;

    begin(&s);
    s.facts.cpu_vendor = "Intel";
    s.facts.cpu_model = "Skylake";
    expect(&s, NULL);
    s.needs.host_cpu = true;
    expect(&s, "CPU of Intel here, of AMD");
    s.facts.cpu_vendor = "AMD";
    expect(&s, "CPU Skylake here, EPYC");
    s.c.owner = NULL; /* off: it starts with whatever there is */
    expect(&s, NULL);
}

/* A doubt does not drive a VM away from where it runs. */
static void
test_here(void **state)
{
    scene s;

    begin(&s);
    s.c.here = true;
    s.needs.bridges = br9;
    s.c.storage_problem = "no LUN";
    s.facts.memory_free = 0;
    expect(&s, NULL);
}

static void
test_unknown(void **state)
{
    scene s;

    begin(&s);
    memset(&s.host, 0, sizeof s.host);
    memset(&s.facts, 0, sizeof s.facts);
    s.needs.host_cpu = true;
    expect(&s, NULL);
}

static const char xml[] =
    "<domain type='kvm'><name>a</name>"
    "<uuid>11111111-2222-3333-4444-555555555555</uuid>"
    "<memory unit='GiB'>2</memory><vcpu>3</vcpu>"
    "<os><type arch='x86_64' machine='q35'>hvm</type></os>%s<devices>"
    "<disk type='network' device='disk'><source protocol='iscsi' "
    "name='iqn.2026-01.org.example:a/1'><host name='san'/></source>"
    "<target dev='vda'/></disk>"
    "<interface type='bridge'><source bridge='br0'/></interface>"
    "<interface type='network'><source network='guests'/></interface>"
    "<interface type='direct'><source dev='eth1' mode='bridge'/></interface>"
    "<interface type='user'/></devices></domain>";

static qm_needs *
needs_of(const char *cpu)
{
    G_GNUC_BEGIN_IGNORE_DEPRECATIONS
    g_autofree char *text = g_strdup_printf(xml, cpu);
    G_GNUC_END_IGNORE_DEPRECATIONS
    qm_needs *needs = NULL;

    CHECK_OK(qm__needs_parse(text, &needs, &err));
    return needs;
}

static void
test_needs(void **state)
{
    g_autoptr(qm_needs) plain = needs_of("");
    g_autoptr(qm_needs) model =
        needs_of("<cpu mode='custom'><model>EPYC</model></cpu>");
    g_autoptr(qm_needs) host = needs_of("<cpu mode='host-passthrough'/>");
    g_autoptr(qm_needs) topology =
        needs_of("<cpu><topology sockets='1' cores='3' threads='1'/></cpu>");
    qm_needs *none = NULL;

    assert_int_equal(plain->memory, 2048 * MIB);
    assert_int_equal(plain->vcpus, 3);
    assert_string_equal(plain->type, "kvm");
    assert_string_equal(plain->arch, "x86_64");
    assert_string_equal(plain->machine, "q35");
    assert_string_equal(plain->bridges[0], "br0");
    assert_null(plain->bridges[1]);
    assert_string_equal(plain->networks[0], "guests");
    assert_string_equal(plain->devices[0], "eth1");
    assert_null(plain->cpu);
    assert_false(plain->host_cpu);
    assert_non_null(strstr(model->cpu, "<model>EPYC</model>"));
    assert_true(host->host_cpu);
    assert_null(host->cpu);
    assert_null(topology->cpu);
    assert_false(topology->host_cpu);
    CHECK_FAILS(qm__needs_parse("<domain/>", &none, &err), QM_ERROR_INVALID);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fits),     cmocka_unit_test(test_each),
        cmocka_unit_test(test_host_cpu), cmocka_unit_test(test_here),
        cmocka_unit_test(test_unknown),  cmocka_unit_test(test_needs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
