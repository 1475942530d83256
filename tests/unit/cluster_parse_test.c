/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * What Pacemaker's tools print, parsed: attributes and the CIB; and this
 * host's boot identity.
 */
#include "config.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include "cluster-internal.h"

static void
attribute_lines(void **state)
{
    char *value = NULL;

    assert_true(qm__attribute_value(
        "name=\"quickmig-boot\" host=\"n1\" value=\"00ff@5\"\n", &value));
    assert_string_equal(value, "00ff@5");
    g_clear_pointer(&value, g_free);
    assert_true(
        qm__attribute_value("name=\"x\" host=\"n\" value=\"\"", &value));
    assert_string_equal(value, "");
    g_clear_pointer(&value, g_free);
    assert_false(qm__attribute_value("", &value));
    assert_false(qm__attribute_value("value=\"no blank before\"", &value));
    assert_false(qm__attribute_value("name=\"x\" value=\"cut", &value));
    assert_null(value);
}

static void
boot_values(void **state)
{
    static const char *const bad[] = {
        "",
        "00",
        "00112233445566778899aabbccddeeff",
        "00112233445566778899aabbccddeeff@",
        "00112233445566778899aabbccddeeff@0",
        "00112233445566778899aabbccddeeff@-5",
        "00112233445566778899aabbccddeeff@12x",
        "00112233445566778899aabbccddeeff@99999999999999999999",
        "00112233445566778899aabbccddeef@12",
        "00112233445566778899aabbccddeefg@12",
        "00112233445566778899aabbccddeeff00@12"};
    uint8_t boot[QM_UUID_LEN] = {9};
    int64_t time_us = 3;

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
        assert_false(qm__boot_value_parse(bad[i], boot, &time_us));
    assert_int_equal(boot[0], 9); /* untouched */
    assert_int_equal(time_us, 3);
    assert_true(qm__boot_value_parse("00112233445566778899aabbccddeeff@1234567",
                                     boot, &time_us));
    assert_int_equal(boot[1], 0x11);
    assert_int_equal(boot[15], 0xff);
    assert_int_equal(time_us, 1234567);
}

#define PAIR(id, name, value)                                                  \
    "<nvpair id='" id "' name='" name "' value='" value "'/>"
#define OURS "class='ocf' provider='quickmig' type='VirtualMachine'"

static const char cib[] =
    "<cib><configuration><resources>"
    "<primitive id='vm1' " OURS
    "><instance_attributes id='a'>" PAIR("p1", "vault", "iscsi://10.0.0.1/iqn.x:y/1") PAIR(
        "p2", "hypervisor",
        "qemu:///system") "</instance_attributes>"
                          "<meta_attributes id='m'>" PAIR(
                              "p3", "vault",
                              "not this") "</meta_"
                                          "attributes></primitive>"
                                          "<primitive id='ip' class='ocf' "
                                          "provider='heartbeat' "
                                          "type='IPaddr2'/>"
                                          "<primitive id='old' class='ocf' "
                                          "provider='heartbeat' "
                                          "type='VirtualMachine'/>"
                                          "<group id='g'><primitive "
                                          "id='vm2' " OURS
                                          "><instance_attributes id='b'>" PAIR(
                                              "p4", "vault",
                                              "/vaults/vm2") "</"
                                                             "instance_"
                                                             "attributes></"
                                                             "primitive>"
                                                             "</group>"
                                                             "<template "
                                                             "id='t' " OURS
                                                             "><instance_"
                                                             "attributes "
                                                             "id='c'>" PAIR(
                                                                 "p5",
                                                                 "hypervisor",
                                                                 "test:///"
                                                                 "default")
                                                                 PAIR(
                                                                     "p6",
                                                                     "vault",
                                                                     "/vaults/"
                                                                     "none") "<"
                                                                             "/"
                                                                             "i"
                                                                             "n"
                                                                             "s"
                                                                             "t"
                                                                             "a"
                                                                             "n"
                                                                             "c"
                                                                             "e"
                                                                             "_"
                                                                             "a"
                                                                             "t"
                                                                             "t"
                                                                             "r"
                                                                             "i"
                                                                             "b"
                                                                             "u"
                                                                             "t"
                                                                             "e"
                                                                             "s"
                                                                             ">"
                                                                             "<"
                                                                             "/"
                                                                             "t"
                                                                             "e"
                                                                             "m"
                                                                             "p"
                                                                             "l"
                                                                             "a"
                                                                             "t"
                                                                             "e"
                                                                             ">"
                                                                             "<"
                                                                             "c"
                                                                             "l"
                                                                             "o"
                                                                             "n"
                                                                             "e"
                                                                             " "
                                                                             "i"
                                                                             "d"
                                                                             "="
                                                                             "'"
                                                                             "c"
                                                                             "l"
                                                                             "'"
                                                                             ">"
                                                                             "<"
                                                                             "p"
                                                                             "r"
                                                                             "i"
                                                                             "m"
                                                                             "i"
                                                                             "t"
                                                                             "i"
                                                                             "v"
                                                                             "e"
                                                                             " "
                                                                             "i"
                                                                             "d"
                                                                             "="
                                                                             "'"
                                                                             "v"
                                                                             "m"
                                                                             "3"
                                                                             "'"
                                                                             " "
                                                                             "t"
                                                                             "e"
                                                                             "m"
                                                                             "p"
                                                                             "l"
                                                                             "a"
                                                                             "t"
                                                                             "e"
                                                                             "="
                                                                             "'"
                                                                             "t"
                                                                             "'"
                                                                             ">"
                                                                             "<"
                                                                             "i"
                                                                             "n"
                                                                             "s"
                                                                             "t"
                                                                             "a"
                                                                             "n"
                                                                             "c"
                                                                             "e"
                                                                             "_"
                                                                             "a"
                                                                             "t"
                                                                             "t"
                                                                             "r"
                                                                             "i"
                                                                             "b"
                                                                             "u"
                                                                             "t"
                                                                             "e"
                                                                             "s"
                                                                             " "
                                                                             "i"
                                                                             "d"
                                                                             "="
                                                                             "'"
                                                                             "d"
                                                                             "'"
                                                                             ">" PAIR(
                                                                                 "p7",
                                                                                 "vault",
                                                                                 "/vaults/vm&amp;3") "</instance_attributes></primitive></clone>"
                                                                                                     "<primitive id='vm4' " OURS
                                                                                                     "><instance_attributes id-ref='b'/>"
                                                                                                     "</primitive>"
                                                                                                     "<primitive id='vm5' " OURS
                                                                                                     "/>"
                                                                                                     "<primitive id='vm6' template='missing'/>"
                                                                                                     "</resources></configuration></cib>";

static void
check(GPtrArray *list, guint i, const char *id, const char *vault,
      const char *hypervisor)
{
    const qm_resource *r = g_ptr_array_index(list, i);

    assert_string_equal(r->id, id);
    assert_int_equal(g_strcmp0(r->vault, vault), 0);
    assert_int_equal(g_strcmp0(r->hypervisor, hypervisor), 0);
}

static void
resources_in_groups_clones_templates(void **state)
{
    g_autoptr(GPtrArray) list = NULL;

    assert_true(qm__cib_parse(cib, &list, NULL));
    assert_int_equal(list->len, 5);
    check(list, 0, "vm1", "iscsi://10.0.0.1/iqn.x:y/1", "qemu:///system");
    check(list, 1, "vm2", "/vaults/vm2", NULL);
    check(list, 2, "vm3", "/vaults/vm&3", "test:///default");
    check(list, 3, "vm4", "/vaults/vm2", NULL);
    check(list, 4, "vm5", NULL, NULL);
}

static void
broken_configuration_is_an_error(void **state)
{
    g_autoptr(GPtrArray) list = NULL;
    g_autoptr(GError) error = NULL;

    assert_false(qm__cib_parse("<cib><prim", &list, &error));
    assert_true(g_error_matches(error, QM_ERROR, QM_ERROR_CORRUPT));
    g_clear_error(&error);
    assert_false(qm__cib_parse("", &list, &error));
    g_clear_error(&error);
    assert_true(qm__cib_parse("<cib/>", &list, &error));
    assert_int_equal(list->len, 0);
}

static void
boot_identity_stays_within_a_boot(void **state)
{
    static const uint8_t zero[QM_UUID_LEN];
    uint8_t one[QM_UUID_LEN] = {0}, two[QM_UUID_LEN] = {0};

    assert_true(qm__boot_identity(one, NULL));
    assert_true(qm__boot_identity(two, NULL));
    assert_memory_equal(one, two, QM_UUID_LEN);
    assert_memory_not_equal(one, zero, QM_UUID_LEN);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attribute_lines),
        cmocka_unit_test(boot_values),
        cmocka_unit_test(resources_in_groups_clones_templates),
        cmocka_unit_test(broken_configuration_is_an_error),
        cmocka_unit_test(boot_identity_stays_within_a_boot),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
