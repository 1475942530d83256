/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The gate's configuration: complete, wrong in each member, and never quoted
 * in an error where a secret could be.
 */
#include "config.h"
#include <string.h>
#include <unistd.h>
#include "unit.h"
#include "settings.h"

#define GOOD                                                                   \
    "{\"vm_uuid\":\"00000000-0000-0000-0000-000000000001\","                   \
    "\"vm_name\":\"vm\",\"disk\":\"vda\",\"portal\":\"host:3260\","            \
    "\"iqn\":\"iqn.2026-01.x:y\",\"lun\":1,\"user\":\"u\","                    \
    "\"secret\":\"SESAME\",\"vault\":\"/vault\",\"node_id\":3,"                \
    "\"qemu_uid\":64055,\"qemu_gid\":64055}"

static bool
parse(const char *json, gate_settings **ret, GError **error)
{
    return gate_settings_parse(json, strlen(json), ret, error);
}

static void
complete(void **state)
{
    g_autoptr(gate_settings) s = NULL;

    CHECK_OK(parse(GOOD, &s, &err));
    assert_string_equal(s->url.text, "iscsi://host:3260/iqn.2026-01.x:y/1");
    assert_string_equal(s->secret, "SESAME");
    assert_int_equal(s->qemu_uid, 64055);
    assert_int_equal(s->reconnect_limit_s, 120);
    assert_true(s->check_quorum);
    assert_false(s->read_only);
    assert_true(g_str_has_suffix(
        s->socket, "/gate/00000000-0000-0000-0000-000000000001-vda.sock"));
    assert_true(g_str_has_suffix(s->lock, ".control.lock"));
}

/* GOOD with @from replaced by @to is refused, without telling the secret. */
static void
refused(const char *from, const char *to)
{
    g_auto(GStrv) parts = g_strsplit(GOOD, from, 2);
    g_autofree char *json = g_strjoinv(to, parts);
    g_autoptr(GError) why = NULL;
    gate_settings *s = NULL;

    assert_int_equal(g_strv_length(parts), 2);
    if (parse(json, &s, &why))
        fail_msg("accepted: %s", json);
    assert_true(g_error_matches(why, QM_ERROR, QM_ERROR_INVALID));
    assert_null(strstr(why->message, "SESAME"));
    assert_null(s);
}

static void
wrong_members(void **state)
{
    refused("00000000-0000-0000-0000-000000000001", "zero");
    refused("\"vm_name\":\"vm\"", "\"vm_name\":5");
    refused("\"vm_name\":\"vm\",", "");
    refused("\"vda\"", "\"\"");
    refused("\"portal\":\"host:3260\",", "");
    refused("\"lun\":1", "\"lun\":256");
    refused("\"lun\":1", "\"lun\":\"1\"");
    refused("\"lun\":1", "\"lun\":-1");
    refused("\"lun\":1,", "");
    refused("\"user\":\"u\",", "");
    refused("\"secret\":\"SESAME\",", "");
    refused("\"vault\":\"/vault\",", "");
    refused("\"node_id\":3", "\"node_id\":0");
    refused("\"node_id\":3", "\"node_id\":65536");
    refused("\"qemu_uid\":64055,", "");
    refused("\"qemu_gid\":64055", "\"qemu_gid\":1.5");
    refused("\"lun\":1", "\"lun\":1,\"socket\":\"relative\"");
    refused("\"lun\":1", "\"lun\":1,\"reconnect_limit_s\":0");
    refused("\"lun\":1", "\"lun\":1,\"read_only\":\"yes\"");
    refused("{", "");
    refused("{", "[");
}

static void
from_a_descriptor(void **state)
{
    g_autoptr(gate_settings) s = NULL;
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], GOOD, strlen(GOOD)), strlen(GOOD));
    close(fds[1]);
    CHECK_OK(gate_settings_read(fds[0], &s, &err));
    CHECK_FAILS(gate_settings_read(fds[0], &s, &err), QM_ERROR_INVALID);
    close(fds[0]);
    CHECK_FAILS(gate_settings_read(fds[0], &s, &err), QM_ERROR_IO);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(complete),
        cmocka_unit_test(wrong_members),
        cmocka_unit_test(from_a_descriptor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
