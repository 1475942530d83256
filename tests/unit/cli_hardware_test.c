/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * What stands in the way of moving a VM: one case a part.
 */
#include "config.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "src/cli/hardware.h"

#define DISK                                                                   \
    "<disk type='network' device='disk'><source protocol='iscsi' "             \
    "name='iqn.2026-01.org.example:a/1'><host name='h' port='3260'/></source>" \
    "<target dev='vda' bus='virtio'/></disk>"

/* By the name: /shared/…, /local/…, others. */
static cli_file_place
place(const char *path)
{
    if (g_str_has_prefix(path, "/shared/"))
        return CLI_FILE_SHARED;
    return g_str_has_prefix(path, "/local/") ? CLI_FILE_LOCAL
                                             : CLI_FILE_UNKNOWN;
}

static cli_hardware *
read_vm(const char *top, const char *devices)
{
    g_autofree char *xml =
        g_strdup_printf("<domain type='kvm'><name>web</name>"
                        "<uuid>11111111-1111-4111-8111-111111111111</uuid>"
                        "<memory unit='GiB'>4</memory><vcpu>2</vcpu>%s"
                        "<devices>%s</devices></domain>",
                        top, devices);
    cli_hardware *h = NULL;

    assert_true(cli_hardware_read(xml, place, &h, NULL));
    return h;
}

static const struct {
    const char *top, *devices;
    int worst; /* -1: no obstacle at all */
    const char *text;
} cases[] = {
    {"", DISK, -1, NULL},
    {"<cpu mode='custom'><model>EPYC</model></cpu>", DISK, -1, NULL},
    {"<cpu mode='host-passthrough'/>", DISK, CLI_OBSTACLE_NOTE, "equal CPUs"},
    {"<os><kernel>/boot/k</kernel></os>", DISK, CLI_OBSTACLE_NOTE, "/boot/k"},
    {"",
     "<disk type='file'><source file='/shared/a'/><target dev='vda'/></disk>",
     -1, NULL},
    {"",
     "<disk type='file'><source file='/local/a'/><target dev='vda'/></disk>",
     CLI_OBSTACLE_DOUBT, "no other node has it"},
    {"", "<disk type='file'><source file='/x'/><target dev='vda'/></disk>",
     CLI_OBSTACLE_DOUBT, "cannot be told"},
    {"", "<disk type='block'><source dev='/dev/a'/><target dev='vda'/></disk>",
     CLI_OBSTACLE_DOUBT, "block device /dev/a"},
    {"",
     "<disk type='volume'><source pool='p' volume='v'/><target dev='vda'/>"
     "</disk>",
     CLI_OBSTACLE_DOUBT, "volume p/v"},
    {"",
     "<disk type='network'><source protocol='rbd' name='p/i'/>"
     "<target dev='vda'/></disk>",
     CLI_OBSTACLE_NOTE, "rbd"},
    {"", "<disk type='nvme'><source type='pci'/><target dev='vda'/></disk>",
     CLI_OBSTACLE_BLOCK, "NVMe"},
    {"", DISK "<disk type='file' device='cdrom'><target dev='sda'/></disk>", -1,
     NULL},
    {"",
     DISK "<disk type='file' device='cdrom'><source file='/local/cd'/>"
          "<target dev='sda'/></disk>",
     CLI_OBSTACLE_DOUBT, "drive sda"},
    {"", DISK "<hostdev mode='subsystem' type='pci'/>", CLI_OBSTACLE_BLOCK,
     "<hostdev type='pci'>"},
    {"", DISK "<hostdev mode='subsystem' type='usb'/>", CLI_OBSTACLE_DOUBT,
     "USB"},
    {"", DISK "<filesystem type='mount'/>", CLI_OBSTACLE_BLOCK, "<filesystem>"},
    {"", DISK "<interface type='hostdev'/>", CLI_OBSTACLE_BLOCK,
     "<interface type='hostdev'>"},
    {"", DISK "<interface type='direct'><source dev='eth0'/></interface>",
     CLI_OBSTACLE_NOTE, "eth0"},
    {"", DISK "<tpm><backend type='emulator'/></tpm>", CLI_OBSTACLE_DOUBT,
     "TPM"},
    {"", DISK "<tpm><backend type='passthrough'/></tpm>", CLI_OBSTACLE_BLOCK,
     "TPM of this host"},
    {"", DISK "<memory model='nvdimm'/>", CLI_OBSTACLE_BLOCK, "nvdimm"},
    {"<launchSecurity type='sev'/>", DISK, CLI_OBSTACLE_BLOCK, "encrypted"},
    {"<os firmware='efi'/>", DISK, CLI_OBSTACLE_DOUBT, "UEFI"},
    {"<os><nvram>/local/v</nvram></os>", DISK, CLI_OBSTACLE_DOUBT, "/local/v"},
    {"<os><nvram>/shared/v</nvram></os>", DISK, -1, NULL},
    {"<os><nvram type='file'><source file='/local/w'/></nvram></os>", DISK,
     CLI_OBSTACLE_DOUBT, "/local/w"},
    {"", "", CLI_OBSTACLE_BLOCK, "it has no disk"},
};

static void
every_part(void **state)
{
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(cli_hardware) h = read_vm(cases[i].top, cases[i].devices);
        bool said = cases[i].text == NULL;

        if (cases[i].worst < 0) {
            if (h->obstacles->len != 0)
                print_error("case %zu\n", i);
            assert_int_equal(h->obstacles->len, 0);
            continue;
        }
        assert_true(h->obstacles->len > 0);
        assert_int_equal(cli_hardware_worst(h), cases[i].worst);
        for (guint k = 0; k < h->obstacles->len; k++) {
            const cli_obstacle *o = h->obstacles->pdata[k];

            said = said || strstr(o->text, cases[i].text) != NULL;
        }
        if (!said)
            print_error("case %zu does not say \"%s\"\n", i, cases[i].text);
        assert_true(said);
    }
}

static void
reads_the_hardware(void **state)
{
    g_autoptr(cli_hardware) h =
        read_vm("<os><type machine='q35'>hvm</type></os>",
                DISK "<interface type='bridge'><source bridge='br0'/>"
                     "<mac address='52:54:00:00:00:01'/><model type='virtio'/>"
                     "</interface>");
    const cli_hw_disk *disk = h->disks->pdata[0];
    const cli_hw_nic *nic = h->nics->pdata[0];

    assert_string_equal(h->name, "web");
    assert_int_equal(h->vcpus, 2);
    assert_true(h->memory == UINT64_C(4) << 30);
    assert_string_equal(h->machine, "q35");
    assert_null(h->firmware);
    assert_string_equal(disk->kind, "iscsi");
    assert_true(disk->gated && !disk->drive);
    assert_string_equal(nic->source, "br0");
    assert_string_equal(nic->mac, "52:54:00:00:00:01");
}

static void
worst_comes_first(void **state)
{
    g_autoptr(cli_hardware) h =
        read_vm("<cpu mode='host-passthrough'/><os firmware='efi'/>",
                DISK "<filesystem type='mount'/>");
    int before = CLI_OBSTACLE_BLOCK;

    assert_int_equal(h->obstacles->len, 3);
    for (guint i = 0; i < h->obstacles->len; i++) {
        const cli_obstacle *o = h->obstacles->pdata[i];

        assert_true((int) o->kind <= before);
        before = (int) o->kind;
    }
}

static void
no_xml(void **state)
{
    cli_hardware *h = NULL;
    g_autoptr(GError) error = NULL;

    assert_false(cli_hardware_read("<domain", place, &h, &error));
    assert_null(h);
    assert_non_null(error);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_part),
        cmocka_unit_test(reads_the_hardware),
        cmocka_unit_test(worst_comes_first),
        cmocka_unit_test(no_xml),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
