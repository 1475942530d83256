/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * CPU models: libvirt's words, the line that is told, and the domain XML.
 */
#include "config.h"
#include <string.h>
#include "cpu.h"
#include "unit.h"

#define LINE "kvm/x86_64/AMD/EPYC-Rome/x2apic,-svm"
#define CPU                                                                    \
    "<cpu><model fallback='forbid'>EPYC-Rome</model><vendor>AMD</vendor>"      \
    "<feature policy='require' name='x2apic'/>"                                \
    "<feature policy='disable' name='svm'/></cpu>"

static void
line(void **state)
{
    g_autofree char *told = qm__cpu_line(
        "<domainCapabilities><domain>kvm</domain><arch>x86_64</arch><cpu>"
        "<mode name='host-passthrough' supported='yes'/>"
        "<mode name='host-model' supported='yes'>"
        "<model fallback='forbid'>EPYC-Rome</model><vendor>AMD</vendor>"
        "<maxphysaddr mode='passthrough'/>"
        "<feature policy='require' name='x2apic'/>"
        "<feature policy='disable' name='svm'/></mode>"
        "<mode name='custom' supported='yes'><model>qemu64</model></mode>"
        "</cpu></domainCapabilities>");
    g_autofree char *none = qm__cpu_line(
        "<domainCapabilities><domain>kvm</domain><arch>x86_64</arch><cpu>"
        "<mode name='host-model' supported='no'/></cpu></domainCapabilities>");

    assert_string_equal(told, LINE);
    assert_null(none);
    assert_null(qm__cpu_line("no XML"));
}

static void
parsed(void **state)
{
    static const char *const bad[] = {
        "",          "kvm",          "kvm/x86_64/AMD/EPYC", "/x86_64/A/B/c",
        "kvm//A/B/", "kvm/x/AMD//c",
    };
    qm_cpu cpu;

    CHECK_OK(qm__cpu_parse(LINE, &cpu, &err));
    assert_string_equal(cpu.type, "kvm");
    assert_string_equal(cpu.arch, "x86_64");
    assert_string_equal(cpu.xml, CPU);
    qm__cpu_clear(&cpu);
    /* Whoever can write an attribute does not write XML. */
    CHECK_OK(qm__cpu_parse("qemu/x86_64//a<b>/x'/>", &cpu, &err));
    assert_string_equal(cpu.xml,
                        "<cpu><model fallback='forbid'>a&lt;b&gt;</model>"
                        "<feature policy='require' name='x&apos;/&gt;'/>"
                        "</cpu>");
    qm__cpu_clear(&cpu);
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
        CHECK_FAILS(qm__cpu_parse(bad[i], &cpu, &err), QM_ERROR_CORRUPT);
}

static void
put(const char *before, const char *after)
{
    g_autofree char *xml = NULL;

    CHECK_OK(qm__cpu_set(before, "<cpu><model>M</model></cpu>", &xml, &err));
    assert_string_equal(xml, after);
}

static void
in_domain_xml(void **state)
{
    char *xml;

    put("<domain><name>a</name></domain>",
        "<domain><name>a</name>"
        "<cpu mode=\"custom\" match=\"exact\"><model>M</model></cpu></domain>");
    put("<domain><cpu mode=\"host-passthrough\" migratable=\"on\">"
        "<topology sockets=\"1\"/><feature name=\"x\"/><model>N</model>"
        "<numa><cell id=\"0\"/></numa></cpu><name>a</name></domain>",
        "<domain><cpu mode=\"custom\" match=\"exact\"><model>M</model>"
        "<topology sockets=\"1\"/><numa><cell id=\"0\"/></numa></cpu>"
        "<name>a</name></domain>");
    CHECK_FAILS(qm__cpu_set("<domain", "<cpu/>", &xml, &err), QM_ERROR_CORRUPT);
    CHECK_FAILS(qm__cpu_set("<domain/>", "", &xml, &err), QM_ERROR_CORRUPT);
}

static void
described(void **state)
{
    g_autofree char *all = qm__cpu_describe(CPU);
    g_autofree char *bare =
        qm__cpu_describe("<cpu><model>Westmere</model></cpu>");

    assert_string_equal(all, "EPYC-Rome with x2apic, no svm");
    assert_string_equal(bare, "Westmere");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(line),
        cmocka_unit_test(parsed),
        cmocka_unit_test(in_domain_xml),
        cmocka_unit_test(described),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
