/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * What is read from a domain XML, and what is refused, with a message that
 * names the culprit.
 */
#include "config.h"
#include <string.h>
#include "domxml.h"
#include "unit.h"

#define UUID            "<uuid>aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee</uuid>"
#define HEAD            "<domain type='kvm'><name>web1</name>" UUID "<memory>1024</memory>"
#define DOMAIN(devices) HEAD "<devices>" devices "</devices></domain>"
#define SOURCE(lun)                                                            \
    "<source protocol='iscsi' name='iqn.2026-01.org.example:web1/" lun "'>"    \
    "<host name='192.0.2.1'/></source>"
#define ISCSI(dev, lun)                                                        \
    "<disk type='network' device='disk'>" SOURCE(lun) "<target dev='" dev      \
                                                      "'/></disk>"
#define FILE_DISK                                                              \
    "<disk type='file'><source file='/a'/><target dev='vda'/></disk>"

static void
test_whole(void **state)
{
    static const char xml[] =
        "<?xml version='1.0'?>\n"
        "<domain type='qemu'><name> web1 </name>" UUID
        "<memory unit='MiB'>512</memory><vcpu placement='static'>4</vcpu>"
        "<devices>"
        "<disk type='file' device='cdrom'><target dev='sda'/></disk>"
        "<disk type='network' device='disk'>"
        "<source protocol='iscsi' name='iqn.2026-01.org.example:web1/3'>"
        "<host name='storage.example.org' port='3261'/></source>"
        "<auth username='web'><secret type='iscsi' usage='web-chap'/></auth>"
        "<target dev='vda'/></disk>"
        "<disk type='network'>"
        "<source protocol='iscsi' name='iqn.2026-01.org.example:web2'>"
        "<host name='2001:db8::1' port='3260'/>"
        "<auth username='x'><secret type='iscsi' "
        "uuid='11111111-2222-4333-8444-555555555555'/></auth></source>"
        "<target dev='vdb'/><readonly/></disk>"
        "<disk type='network'><source protocol='rbd' name='a/b'/>"
        "<target dev='vdc'/></disk>"
        "</devices></domain>";
    g_autoptr(qm_domxml) d = NULL;
    const qm_disk *disk;

    CHECK_OK(qm__domxml_parse(xml, &d, &err));
    assert_string_equal(d->name, "web1");
    assert_string_equal(d->type, "qemu");
    assert_int_equal(d->uuid[0], 0xaa);
    assert_int_equal(d->uuid[15], 0xee);
    assert_int_equal(d->memory, 512u << 20);
    assert_int_equal(d->vcpus, 4);
    assert_int_equal(d->n_disks, 3);
    assert_false(d->has_agent);
    assert_string_equal(d->first_disk, "vda");
    assert_int_equal(d->disks->len, 2);

    disk = g_ptr_array_index(d->disks, 0);
    assert_string_equal(disk->target, "vda");
    assert_string_equal(disk->url->portal, "storage.example.org:3261");
    assert_string_equal(disk->url->iqn, "iqn.2026-01.org.example:web1");
    assert_int_equal(disk->url->lun, 3);
    assert_string_equal(disk->url->user, "web");
    assert_string_equal(disk->url->secret, "web-chap");
    assert_false(disk->read_only);

    disk = g_ptr_array_index(d->disks, 1);
    assert_string_equal(disk->target, "vdb");
    assert_string_equal(disk->url->portal, "[2001:db8::1]:3260");
    assert_int_equal(disk->url->lun, 0);
    assert_string_equal(disk->url->secret,
                        "11111111-2222-4333-8444-555555555555");
    assert_true(disk->read_only);
}

static void
test_memory_units(void **state)
{
    static const struct {
        const char *element;
        uint64_t bytes; /* 0: refused */
    } cases[] = {
        {"<memory>2048</memory>", 2048 * 1024},
        {"<memory> 2048\n</memory>", 2048 * 1024},
        {"<memory unit='b'>4096</memory>", 4096},
        {"<memory unit='KB'>3</memory>", 3000},
        {"<memory unit='k'>3</memory>", 3072},
        {"<memory unit='GiB'>2</memory>", UINT64_C(2) << 30},
        {"<memory unit='G'>2</memory>", UINT64_C(2) << 30},
        {"<memory unit='TB'>1</memory>", UINT64_C(1000000000000)},
        {"<memory unit='TiB'>99999999999</memory>", 0}, /* overflows */
        {"<memory unit='furlong'>1</memory>", 0},
        {"<memory>0</memory>", 0},
        {"<memory>-1</memory>", 0},
        {"<memory>much</memory>", 0},
        {"<memory/>", 0},
        {"", 0},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(qm_domxml) d = NULL;
        g_autofree char *xml =
            g_strdup_printf("<domain type='kvm'><name>a</name>" UUID
                            "%s<devices>" FILE_DISK "</devices></domain>",
                            cases[i].element);

        if (cases[i].bytes == 0) {
            CHECK_FAILS(qm__domxml_parse(xml, &d, &err), QM_ERROR_INVALID);
            continue;
        }
        CHECK_OK(qm__domxml_parse(xml, &d, &err));
        assert_int_equal(d->memory, cases[i].bytes);
        assert_int_equal(d->vcpus, 1);
    }
}

static void
test_refused(void **state)
{
    static const struct {
        const char *xml;
        const char *says;
    } cases[] = {
        {"", "line"},
        {"<domain", "line 1"},
        {"<network/>", "<network>"},
        {"<domain><name>a</name></domain>", "type"},
        {"<domain type='kvm'>" UUID "</domain>", "<name>"},
        {"<domain type='kvm'><name>a</name></domain>", "<uuid> is missing"},
        {"<domain type='kvm'><name>a</name><uuid>1-2</uuid></domain>",
         "\"1-2\""},
        {"<domain type='kvm'><name>a</name>"
         "<uuid>00000000-0000-0000-0000-000000000000</uuid></domain>",
         "no UUID"},
        {"<domain type='kvm'><name>a</name>" UUID "<vcpu>0</vcpu></domain>",
         "<vcpu>"},
        {HEAD "</domain>", "<devices>"},
        {DOMAIN(""), "no disk"},
        {DOMAIN("<disk device='cdrom'><target dev='sda'/></disk>"), "no disk"},
        {DOMAIN("<disk type='file'/>"), "<target"},
        {DOMAIN("<disk type='file'><target dev='../x'/></disk>"), "<target"},
        {DOMAIN(FILE_DISK FILE_DISK), "target vda"},
        {DOMAIN(ISCSI("vda", "1") ISCSI("vdb", "1")), "vda and vdb"},
        {DOMAIN(ISCSI("vda", "300")), "vda"},
        {DOMAIN("<disk type='network' device='lun'>" SOURCE(
             "1") "<target dev='sdb'/></disk>"),
         "sdb: device='lun'"},
        {DOMAIN("<disk type='network'>" SOURCE(
             "1") "<target dev='vdb'/><shareable/></disk>"),
         "vdb"},
        {DOMAIN("<disk type='network'><source protocol='iscsi' "
                "name='iqn.2026-01.a:b/1'/><target dev='vda'/></disk>"),
         "<host>"},
        {DOMAIN("<disk type='network'><source protocol='iscsi' "
                "name='iqn.2026-01.a:b/1'><host name='a'/><host name='b'/>"
                "</source><target dev='vda'/></disk>"),
         "several <host>"},
        {DOMAIN("<disk type='network'><source protocol='nbd'/>" SOURCE(
             "1") "<target dev='vda'/></disk>"),
         "several <source>"},
        {DOMAIN(FILE_DISK "</devices><devices>" ISCSI("vda", "1")),
         "several <devices>"},
        {DOMAIN("<disk type='network'><source protocol='iscsi'>"
                "<host name='a'/></source><target dev='vda'/></disk>"),
         "vda"},
        {DOMAIN("<disk type='volume'><source pool='p' volume='v' "
                "mode='direct'/><target dev='vda'/></disk>"),
         "mode='direct'"},
        {DOMAIN(FILE_DISK "<hostdev mode='subsystem' type='pci'/>"), "'pci'"},
        {DOMAIN(FILE_DISK "<hostdev mode='subsystem' type='mdev'/>"), "'mdev'"},
        {DOMAIN(FILE_DISK "<interface type='hostdev'/>"), "'hostdev'"},
        {"<!DOCTYPE domain [<!ENTITY a 'b'>]>" DOMAIN(FILE_DISK), "DOCTYPE"},
        {"<!DOCTYPE d [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>"
         "<domain type='&a;'/>",
         ""},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        qm_domxml *d = (void *) 1;
        g_autoptr(GError) error = NULL;

        assert_false(qm__domxml_parse(cases[i].xml, &d, &error));
        assert_ptr_equal(d, (void *) 1);
        if (!g_error_matches(error, QM_ERROR, QM_ERROR_INVALID) ||
            strstr(error->message, cases[i].says) == NULL)
            fail_msg("%s: expected \"%s\", got: %s", cases[i].xml,
                     cases[i].says, error->message);
    }
}

static void
test_accepted(void **state)
{
    static const char *const cases[] = {
        DOMAIN(FILE_DISK "<hostdev mode='subsystem' type='usb'/>"),
        DOMAIN("<disk type='file'><target dev='vda'/><shareable/></disk>"),
        DOMAIN(ISCSI("vda", "1") ISCSI("vdb", "2")),
        /* A CD that QEMU reads by itself: nobody writes it. */
        DOMAIN(FILE_DISK "<disk type='network' device='cdrom'>" SOURCE(
            "9") "<target dev='sda'/></disk>"),
        "<!-- mine --> <domain xmlns:q='http://libvirt.org/schemas/domain/qemu/"
        "1.0' type='kvm'><name>a</name>" UUID "<memory>1</memory><devices>"
        "<!-- <disk/> -->" FILE_DISK "</devices><q:commandline/></domain>",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(qm_domxml) d = NULL;

        CHECK_OK(qm__domxml_parse(cases[i], &d, &err));
        assert_true(d->n_disks > 0);
    }
}

static void
test_too_long(void **state)
{
    g_autofree char *space = g_strnfill(QM_XML_MAX, ' ');
    g_autofree char *xml = g_strconcat(DOMAIN(FILE_DISK), space, NULL);
    g_autofree char *deep = g_strnfill(QM_XML_MAX - 1, '<');
    g_autoptr(qm_domxml) d = NULL;

    CHECK_FAILS(qm__domxml_parse(xml, &d, &err), QM_ERROR_INVALID);
    xml[QM_XML_MAX] = '\0';
    CHECK_OK(qm__domxml_parse(xml, &d, &err));
    g_clear_pointer(&d, qm__domxml_free);
    CHECK_FAILS(qm__domxml_parse(deep, &d, &err), QM_ERROR_INVALID);
}

/* Only of these QEMU reads nothing when it opens them. */
static void
test_plain(void **state)
{
#define DISK(inside, source)                                                   \
    "<disk type='network'>" inside                                             \
    "<source protocol='iscsi' name='iqn.2026-01.org.example:a/1'>"             \
    "<host name='192.0.2.1'/>" source "</source><target dev='vda'/></disk>"
    static const struct {
        const char *disk;
        bool plain;
    } cases[] = {
        {DISK("", ""), true},
        {DISK("<driver name='qemu'/>", ""), true},
        {DISK("<driver name='qemu' type='raw'/>", ""), true},
        {DISK("<driver name='qemu' type='qcow2'/>", ""), false},
        {DISK("<encryption format='luks'/>", ""), false},
        {DISK("", "<encryption format='luks'/>"), false},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *xml =
            g_strconcat("<domain type='kvm'><name>a</name>"
                        "<uuid>aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee</uuid>"
                        "<memory>1024</memory><devices>",
                        cases[i].disk, "</devices></domain>", NULL);
        g_autoptr(qm_domxml) d = NULL;

        CHECK_OK(qm__domxml_parse(xml, &d, &err));
        assert_int_equal(d->plain_disks, cases[i].plain);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),   cmocka_unit_test(test_memory_units),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_plain),   cmocka_unit_test(test_too_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
