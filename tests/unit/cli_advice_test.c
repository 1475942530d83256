/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Sizes, timeouts and commands that vault create prints.
 */
#include "config.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "src/cli/advice.h"

#define GIB (UINT64_C(1) << 30)

static void
image_holds_memory_and_more(void **state)
{
    for (unsigned i = 0; i < 13; i++) {
        uint64_t memory = GIB << i >> 4;

        /* One header block a chunk of 1 MiB, and the device state. */
        assert_true(cli_image_needed(memory) >=
                    memory + memory / 255 + (16 << 20));
    }
}

static void
timeouts_follow_memory(void **state)
{
    assert_int_equal(cli_transfer_timeout(0, 180), 180);
    assert_int_equal(cli_transfer_timeout(2 * GIB, 300), 300);
    assert_int_equal(cli_transfer_timeout(64 * GIB, 300), 920);
    for (unsigned i = 1; i < 256; i++) {
        unsigned t = cli_transfer_timeout(i * GIB, 120);

        /* Four fifths of it carry the memory at 100 MB/s. */
        assert_true((t - 20) * UINT64_C(80000000) >= i * GIB);
        assert_true(t >= cli_transfer_timeout((i - 1) * GIB, 120));
        assert_int_equal(t % 10, 0);
    }
}

static void
check_id(const char *name, const char *expected)
{
    g_autofree char *id = cli_resource_id(name);

    assert_string_equal(id, expected);
}

static void
resource_ids_are_xml_ids(void **state)
{
    check_id("web", "web");
    check_id("web-1.example", "web-1.example");
    check_id("1web", "vm-1web");
    check_id("-x", "vm--x");
    check_id("my vm/\303\266", "my_vm___");
    check_id("", "vm-");
}

static void
commands_name_everything(void **state)
{
    g_autofree char *crm = cli_crm_command("web", "/srv/v", NULL, GIB);
    g_autofree char *pcs = cli_pcs_command("web", "/srv/v", NULL, GIB);
    static const char *const words[] = {
        "web",          "ocf:quickmig:VirtualMachine",
        "start",        "stop",
        "monitor",      "interval=10s",
        "migrate_to",   "migrate_from",
        "timeout=180s", "timeout=300s",
        "vault=/srv/v", "meta allow-migrate=true",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
        assert_non_null(strstr(crm, words[i]));
        assert_non_null(strstr(pcs, words[i]));
    }
    assert_null(strstr(crm, "hypervisor"));
}

static void
commands_are_quoted_for_the_shell(void **state)
{
    const char *url = "iscsi://u@h:3260/iqn.2026-01.com.example:x/1?secret=a b";
    g_autofree char *crm = cli_crm_command("web", url, "qemu+unix:///x", GIB);
    g_autofree char *pcs = cli_pcs_command("web", url, "qemu+unix:///x", GIB);

    assert_non_null(
        strstr(crm, "vault='iscsi://u@h:3260/iqn.2026-01.com.example:x/1?"
                    "secret=a b'"));
    assert_non_null(strstr(pcs, "hypervisor=qemu+unix:///x"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(image_holds_memory_and_more),
        cmocka_unit_test(timeouts_follow_memory),
        cmocka_unit_test(resource_ids_are_xml_ids),
        cmocka_unit_test(commands_name_everything),
        cmocka_unit_test(commands_are_quoted_for_the_shell),
    };

    return cmocka_run_group_tests_name("cli_advice", tests, NULL, NULL);
}
