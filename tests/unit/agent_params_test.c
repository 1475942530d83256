/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/* The resource's parameters: what is taken, what is refused, and how. */
#include "config.h"
#include <string.h>
#include "unit.h"
#include "resource-agents/agent.h"

#define VAULT "OCF_RESKEY_vault=/srv/vaults/vm1"

static bool
read_params(qm_params *ret_params, GError **error, const char *first, ...)
{
    g_autoptr(GPtrArray) environment = g_ptr_array_new();
    va_list args;

    g_ptr_array_add(environment, (char *) "PATH=/bin");
    va_start(args, first);
    for (const char *p = first; p != NULL; p = va_arg(args, const char *))
        g_ptr_array_add(environment, (char *) p);
    va_end(args);
    g_ptr_array_add(environment, NULL);
    return qm__parameters_read((char *const *) environment->pdata, false,
                               ret_params, error);
}

/* Refused with INVALID, and the message names it. */
static void
check_refused(const char *variable, const char *named)
{
    GError *error = NULL;
    qm_params p;

    memset(&p, 0x5a, sizeof p);
    assert_false(read_params(&p, &error, VAULT, variable, NULL));
    assert_non_null(error);
    assert_true(g_error_matches(error, QM_ERROR, QM_ERROR_INVALID));
    if (strstr(error->message, named) == NULL)
        fail_msg("\"%s\" does not name %s", error->message, named);
    assert_int_equal(((unsigned char *) &p)[0], 0x5a); /* untouched */
    g_error_free(error);
}

static void
test_defaults(void **state)
{
    qm_params p;

    CHECK_OK(read_params(&p, &err, VAULT, NULL));
    assert_string_equal(p.vault, "/srv/vaults/vm1");
    assert_string_equal(p.hypervisor, "qemu:///system");
    assert_int_equal(p.stop_action, QM_STOP_SAVE);
    assert_int_equal(p.on_restore_failure, QM_FAILURE_BOOT);
    assert_int_equal(p.restore_attempts, 2);
    assert_int_equal(p.shutdown_timeout_s, 60);
    assert_int_equal(p.compress, QM_CODEC_AUTO);
    assert_int_equal(p.reconnect_limit_s, 120);
    assert_false(p.allow_unfenced);
    assert_null(p.image_secret);
    assert_int_equal(p.health_misses, 3);
    assert_int_equal(p.health_timeout_s, 5);
    assert_int_equal(p.health_grace_s, 300);
    assert_null(p.health_command);
}

#define SECRET "5ca1ab1e-0000-4000-8000-00000000beef"

/* Malformed, it must never count as "none": also not for a stop. */
static void
test_image_secret(void **state)
{
    static char *const wrong[] = {(char *) VAULT,
                                  (char *) "OCF_RESKEY_image_secret=x", NULL};
    qm_params p;

    CHECK_OK(
        read_params(&p, &err, VAULT, "OCF_RESKEY_image_secret=" SECRET, NULL));
    assert_string_equal(p.image_secret, SECRET);
    check_refused("OCF_RESKEY_image_secret=", "image_secret");
    check_refused("OCF_RESKEY_network_map=br0=br1", "network_map");
    check_refused("OCF_RESKEY_image_secret=my-key", "image_secret");
    CHECK_OK(qm__parameters_read(wrong, true, &p, &err));
    assert_string_equal(p.image_secret, "x");
}

static void
test_all_given(void **state)
{
    qm_params p;

    CHECK_OK(read_params(
        &p, &err, "OCF_RESKEY_vault=iscsi://joe@san/iqn.2026-01.x:v/1",
        "OCF_RESKEY_hypervisor=qemu+unix:///system",
        "OCF_RESKEY_stop_action=poweroff",
        "OCF_RESKEY_on_restore_failure=block", "OCF_RESKEY_restore_attempts=7",
        "OCF_RESKEY_shutdown_timeout=3600", "OCF_RESKEY_compress=lz4",
        "OCF_RESKEY_reconnect_limit=5", "OCF_RESKEY_allow_unfenced=true",
        NULL));
    assert_string_equal(p.vault, "iscsi://joe@san/iqn.2026-01.x:v/1");
    assert_string_equal(p.hypervisor, "qemu+unix:///system");
    assert_int_equal(p.stop_action, QM_STOP_POWEROFF);
    assert_int_equal(p.on_restore_failure, QM_FAILURE_BLOCK);
    assert_int_equal(p.restore_attempts, 7);
    assert_int_equal(p.shutdown_timeout_s, 3600);
    assert_int_equal(p.compress, QM_CODEC_LZ4);
    assert_int_equal(p.reconnect_limit_s, 5);
    assert_true(p.allow_unfenced);
    CHECK_OK(
        read_params(&p, &err, VAULT, "OCF_RESKEY_stop_action=shutdown", NULL));
    assert_int_equal(p.stop_action, QM_STOP_SHUTDOWN);
}

static void
test_pacemakers_own_are_ignored(void **state)
{
    qm_params p;

    CHECK_OK(read_params(&p, &err, VAULT, "OCF_RESKEY_CRM_meta_timeout=20000",
                         "OCF_RESKEY_CRM_meta_on_node=n1",
                         "OCF_RESKEY_CRM_meta_anything=x",
                         "OCF_RESKEY_crm_feature_set=3.16.2",
                         "OCF_RESOURCE_INSTANCE=vm1", "OCF_RESKEY", NULL));
}

static void
test_missing(void **state)
{
    GError *error = NULL;
    qm_params p;

    assert_false(read_params(&p, &error, NULL));
    assert_true(g_error_matches(error, QM_ERROR, QM_ERROR_INVALID));
    assert_non_null(strstr(error->message, "vault"));
    assert_non_null(strstr(error->message, "missing"));
    g_error_free(error);
    CHECK_FAILS(read_params(&p, &err, "OCF_RESKEY_vault=", NULL),
                QM_ERROR_INVALID);
}

static void
test_unknown(void **state)
{
    check_refused("OCF_RESKEY_config=/etc/vm.xml", "\"config\"");
    check_refused("OCF_RESKEY_vaul=x", "\"vaul\"");
    check_refused("OCF_RESKEY_vaultx=x", "\"vaultx\"");
    check_refused("OCF_RESKEY_Vault=x", "\"Vault\"");
    check_refused("OCF_RESKEY_=x", "\"\"");
}

static void
test_malformed(void **state)
{
    static const char *const bad_choices[] = {"",     "sav",           "savee",
                                              "SAVE", "save shutdown", " save"};
    static const char *const bad_numbers[] = {"",
                                              "x",
                                              "-1",
                                              "+1",
                                              "1.5",
                                              "2 ",
                                              " 2",
                                              "0x2",
                                              "2s",
                                              "0",
                                              "101",
                                              "4294967297",
                                              "99999999999999999999"};

    for (size_t i = 0; i < G_N_ELEMENTS(bad_choices); i++) {
        g_autofree char *v =
            g_strconcat("OCF_RESKEY_stop_action=", bad_choices[i], NULL);

        check_refused(v, "stop_action");
    }
    for (size_t i = 0; i < G_N_ELEMENTS(bad_numbers); i++) {
        g_autofree char *v =
            g_strconcat("OCF_RESKEY_restore_attempts=", bad_numbers[i], NULL);

        check_refused(v, "restore_attempts");
    }
    check_refused("OCF_RESKEY_on_restore_failure=ignore", "boot block");
    check_refused("OCF_RESKEY_compress=gzip", "none lz4");
    check_refused("OCF_RESKEY_hypervisor=", "hypervisor");
}

/* Every number of the table at both ends of its range and just outside. */
static void
test_ranges(void **state)
{
    size_t n;
    const qm_parameter *t = qm__parameters(&n);

    for (size_t i = 0; i < n; i++) {
        const int64_t values[] = {(int64_t) t[i].min - 1, t[i].min, t[i].max,
                                  (int64_t) t[i].max + 1};

        if (strcmp(t[i].type, "integer") != 0)
            continue;
        for (size_t j = 0; j < G_N_ELEMENTS(values); j++) {
            g_autofree char *v = g_strdup_printf(
                "OCF_RESKEY_%s=%" G_GINT64_FORMAT, t[i].name, values[j]);
            g_autofree char *range =
                g_strdup_printf("from %u to %u", t[i].min, t[i].max);
            qm_params p;

            if (j == 0 || j == 3)
                check_refused(v, range);
            else
                CHECK_OK(read_params(&p, &err, VAULT, v, NULL));
        }
    }
}

static void
test_bad_vault(void **state)
{
    qm_params p;

    CHECK_FAILS(read_params(&p, &err, "OCF_RESKEY_vault=vaults/vm1", NULL),
                QM_ERROR_INVALID);
    CHECK_FAILS(read_params(&p, &err, "OCF_RESKEY_vault=iscsi://san/x/1", NULL),
                QM_ERROR_INVALID);
    CHECK_FAILS(read_params(&p, &err,
                            "OCF_RESKEY_vault="
                            "iscsi://joe:pass@san/iqn.2026-01.x:v/1",
                            NULL),
                QM_ERROR_INVALID);
}

/* For stop: defaults instead of what is malformed; but no vault, no answer. */
static void
test_forgiving(void **state)
{
    char *bad[] = {(char *) VAULT, (char *) "OCF_RESKEY_bogus=1",
                   (char *) "OCF_RESKEY_shutdown_timeout=soon",
                   (char *) "OCF_RESKEY_stop_action=poweroff", NULL};
    char *no_vault[] = {(char *) "OCF_RESKEY_bogus=1", NULL};
    qm_params p;

    CHECK_OK(qm__parameters_read(bad, true, &p, &err));
    assert_int_equal(p.shutdown_timeout_s, 60);
    assert_int_equal(p.stop_action, QM_STOP_POWEROFF);
    CHECK_FAILS(qm__parameters_read(no_vault, true, &p, &err),
                QM_ERROR_INVALID);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_image_secret),
        cmocka_unit_test(test_all_given),
        cmocka_unit_test(test_pacemakers_own_are_ignored),
        cmocka_unit_test(test_missing),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_bad_vault),
        cmocka_unit_test(test_forgiving),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
