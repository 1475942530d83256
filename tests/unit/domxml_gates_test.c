/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Rewriting disks for gates: what changes, and that nothing else does.
 */
#include "config.h"
#include <string.h>
#include "domxml.h"
#include "unit.h"

#define UUID "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
#define HEAD                                                                   \
    "<domain type=\"kvm\"><name>web1</name><uuid>" UUID                        \
    "</uuid><memory>1024</memory><devices>"
#define TAIL      "</devices></domain>"
#define FILE_DISK "<disk type=\"file\"><target dev=\"vdz\"/></disk>"
#define ISCSI                                                                  \
    "<source protocol=\"iscsi\" name=\"iqn.2026-01.org.example:web1/1\">"      \
    "<host name=\"192.0.2.1\" port=\"3260\"/>"
#define NBD(dev)                                                               \
    "<host transport=\"unix\" socket=\"/run/qm/gate/" UUID "-" dev             \
    ".sock\"/><reconnect delay=\"30\"/></source>"
#define STOP "error_policy=\"stop\" rerror_policy=\"stop\""

/* Inside <devices>. */
static const struct {
    const char *before, *after;
} cases[] = {
    /* All that goes, all that stays. */
    {"<disk type=\"network\" device=\"disk\">"
     "<driver name=\"qemu\" type=\"raw\" cache=\"none\" io=\"native\" "
     "discard=\"unmap\"/>" ISCSI
     "<initiator><iqn name=\"iqn.2026-01.org.example:me\"/></initiator>"
     "<auth username=\"u\"><secret type=\"iscsi\" usage=\"s\"/></auth>"
     "</source><target dev=\"vda\" bus=\"virtio\"/><serial>42</serial>"
     "<boot order=\"1\"/></disk>",
     "<disk type=\"network\" device=\"disk\">"
     "<driver name=\"qemu\" type=\"raw\" cache=\"none\" " STOP "/>"
     "<source protocol=\"nbd\">" NBD(
         "vda") "<target dev=\"vda\" bus=\"virtio\"/><serial>42</serial>"
                "<boot order=\"1\"/></disk>"},
    /* No driver; credentials beside the source. */
    {"<disk type=\"network\">" ISCSI "</source>"
     "<auth username=\"u\"><secret type=\"iscsi\" usage=\"s\"/></auth>"
     "<target dev=\"sda\"/><readonly/></disk>",
     "<disk type=\"network\"><driver name=\"qemu\" type=\"raw\" " STOP "/>"
     "<source protocol=\"nbd\">" NBD(
         "sda") "<target dev=\"sda\"/><readonly/></disk>"},
    /* The user's own policies, format and encryption. */
    {"<disk type=\"network\">"
     "<driver name=\"qemu\" type=\"qcow2\" error_policy=\"report\"/>" ISCSI
     "<slices><slice type=\"storage\" offset=\"0\" size=\"512\"/></slices>"
     "<encryption format=\"luks\"><secret type=\"passphrase\" usage=\"p\"/>"
     "</encryption></source><target dev=\"vda\"/></disk>",
     "<disk type=\"network\">"
     "<driver name=\"qemu\" type=\"qcow2\" error_policy=\"report\" "
     "rerror_policy=\"stop\"/><source protocol=\"nbd\">"
     "<slices><slice type=\"storage\" offset=\"0\" size=\"512\"/></slices>"
     "<encryption format=\"luks\"><secret type=\"passphrase\" usage=\"p\"/>"
     "</encryption>" NBD("vda") "<target dev=\"vda\"/></disk>"},
    /* Not for a gate: not touched. */
    {FILE_DISK "<disk type=\"network\" device=\"cdrom\">" ISCSI
               "</source><target dev=\"sda\"/></disk>"
               "<disk type=\"network\"><driver io=\"native\"/>"
               "<source protocol=\"rbd\" name=\"p/i\"/>"
               "<target dev=\"vdb\"/></disk><interface type=\"bridge\"/>",
     FILE_DISK "<disk type=\"network\" device=\"cdrom\">" ISCSI
               "</source><target dev=\"sda\"/></disk>"
               "<disk type=\"network\"><driver io=\"native\"/>"
               "<source protocol=\"rbd\" name=\"p/i\"/>"
               "<target dev=\"vdb\"/></disk><interface type=\"bridge\"/>"},
};

static void
test_disks(void **state)
{
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *xml = g_strconcat(HEAD, cases[i].before, TAIL, NULL);
        g_autofree char *expected =
            g_strconcat(HEAD, cases[i].after, TAIL, NULL);
        g_autofree char *out = NULL, *again = NULL;

        CHECK_OK(qm__domxml_for_gates(xml, &out, &err));
        assert_string_equal(g_strchomp(out), expected);
        /* What is rewritten already stays as it is. */
        CHECK_OK(qm__domxml_for_gates(out, &again, &err));
        assert_string_equal(g_strchomp(again), expected);
    }
}

static void
test_rest_is_kept(void **state)
{
    static const char xml[] =
        "<domain xmlns:qemu=\"http://libvirt.org/schemas/domain/qemu/1.0\" "
        "type=\"kvm\">\n  <name>gr\xc3\xbc\xc3\x9f &amp; &lt;a&gt;</name>\n"
        "  <uuid>" UUID "</uuid>\n  <memory>1</memory>\n"
        "  <metadata><a:x xmlns:a=\"urn:a\"><a:disk/></a:x></metadata>\n"
        "  <devices>\n    <!-- system -->\n    " FILE_DISK "\n  </devices>\n"
        "  <qemu:commandline>\n    <qemu:arg value=\"-foo\"/>\n"
        "  </qemu:commandline>\n</domain>";
    g_autofree char *out = NULL;

    CHECK_OK(qm__domxml_for_gates(xml, &out, &err));
    assert_string_equal(g_strchomp(out), xml);
}

static void
test_refused(void **state)
{
    char *out = (void *) 1;

    CHECK_FAILS(qm__domxml_for_gates("<domain/>", &out, &err),
                QM_ERROR_INVALID);
    CHECK_FAILS(qm__domxml_for_gates(HEAD TAIL, &out, &err), QM_ERROR_INVALID);
    assert_ptr_equal(out, (void *) 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_disks),
        cmocka_unit_test(test_rest_is_kept),
        cmocka_unit_test(test_refused),
    };

    g_setenv("QM_RUN_DIR", "/run/qm", TRUE);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
