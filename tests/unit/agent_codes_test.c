/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * How actions end.  Nothing here reaches a cluster: the vault is a directory
 * that does not exist, and whatever comes first fails.
 */
#include "config.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <glib/gstdio.h>
#include "unit.h"
#include "resource-agents/agent.h"

#define VAULT  "OCF_RESKEY_vault=/nonexistent/quickmig/vault"
#define TARGET "OCF_RESKEY_CRM_meta_migrate_target=n2"
#define SHORT  "OCF_RESKEY_CRM_meta_timeout=3000"

static ocf_code
run(const char *action, const char *variable)
{
    char *environment[] = {(char *) VAULT, (char *) TARGET, (char *) SHORT,
                           (char *) variable, NULL};

    return qm__agent_run(action, environment);
}

static void
test_unknown_actions(void **state)
{
    static const char *const names[] = {
        "",       "sta",      "star",    "startx",      "Start",
        "start ", "stop1",    "migrate", "migrate_to2", "status",
        "meta",   "validate", "reload"};

    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        assert_null(qm__agent_find(names[i]));
        assert_int_equal(run(names[i], NULL), OCF_ERR_UNIMPLEMENTED);
    }
}

static void
test_names_are_exact(void **state)
{
    size_t n;
    const qm_agent_action *a = qm__agent_actions(&n);

    for (size_t i = 0; i < n; i++) {
        g_autofree char *less = g_strndup(a[i].name, strlen(a[i].name) - 1);
        g_autofree char *more = g_strconcat(a[i].name, "x", NULL);

        assert_ptr_equal(qm__agent_find(a[i].name), &a[i]);
        assert_null(qm__agent_find(less));
        assert_null(qm__agent_find(more));
    }
}

/* 5 and 6 from a move would stop the VM on all nodes. */
static void
test_moves_never_answer_5_or_6(void **state)
{
    static const char *const variables[] = {NULL, "OCF_RESKEY_compress=gzip",
                                            "OCF_RESKEY_bogus=1",
                                            "OCF_RESKEY_vault2=x"};

    for (size_t i = 0; i < G_N_ELEMENTS(variables); i++) {
        assert_int_equal(run("migrate_to", variables[i]), OCF_ERR_GENERIC);
        assert_int_equal(run("migrate_from", variables[i]), OCF_ERR_GENERIC);
    }
}

static void
test_malformed_parameter(void **state)
{
    static const char *const names[] = {"start", "monitor", "validate-all",
                                        "reload-agent"};

    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        assert_int_equal(run(names[i], "OCF_RESKEY_compress=gzip"),
                         OCF_ERR_CONFIGURED);
        assert_int_equal(run(names[i], "OCF_RESKEY_bogus=1"),
                         OCF_ERR_CONFIGURED);
    }
}

/* A typo must not end in a failed stop: that gets the node fenced. */
static void
test_stop_with_malformed_parameter(void **state)
{
    char *no_vault[] = {(char *) SHORT, NULL};
    char *bad_vault[] = {(char *) SHORT, (char *) "OCF_RESKEY_vault=x", NULL};

    assert_int_equal(run("stop", NULL), OCF_SUCCESS); /* never started */
    assert_int_equal(run("stop", "OCF_RESKEY_compress=gzip"), OCF_SUCCESS);
    assert_int_equal(run("stop", "OCF_RESKEY_bogus=1"), OCF_SUCCESS);
    assert_int_equal(qm__agent_run("stop", no_vault), OCF_SUCCESS);
    assert_int_equal(qm__agent_run("stop", bad_vault), OCF_SUCCESS);
}

static void
test_validate(void **state)
{
    char *none[] = {NULL};

    assert_int_equal(run("validate-all", NULL), OCF_SUCCESS);
    assert_int_equal(run("validate-all", "OCF_CHECK_LEVEL=0"), OCF_SUCCESS);
    assert_int_equal(run("validate-all", "OCF_CHECK_LEVEL=10"),
                     OCF_ERR_GENERIC); /* level 10 looks at the vault */
    assert_int_equal(qm__agent_run("validate-all", none), OCF_ERR_CONFIGURED);
}

static void
test_unsure_is_not_stopped(void **state)
{
    assert_int_equal(run("monitor", NULL), OCF_ERR_GENERIC);
    assert_int_equal(run("monitor", "OCF_RESKEY_CRM_meta_interval=10000"),
                     OCF_ERR_GENERIC);
    assert_int_equal(run("start", NULL), OCF_ERR_GENERIC);
}

static int
private_run_dir(void **state)
{
    char *dir = g_dir_make_tmp("qm-agent-XXXXXX", NULL);

    *state = dir;
    return dir == NULL || setenv("QM_RUN_DIR", dir, 1) != 0;
}

static int
remove_run_dir(void **state)
{
    (void) g_rmdir(*state); /* nothing was made in it */
    g_free(*state);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unknown_actions),
        cmocka_unit_test(test_names_are_exact),
        cmocka_unit_test(test_moves_never_answer_5_or_6),
        cmocka_unit_test(test_malformed_parameter),
        cmocka_unit_test(test_stop_with_malformed_parameter),
        cmocka_unit_test(test_validate),
        cmocka_unit_test(test_unsure_is_not_stopped),
    };

    return cmocka_run_group_tests(tests, private_run_dir, remove_run_dir);
}
