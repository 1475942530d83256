/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * A line has the promised form, is one line, respects the level, and goes
 * nowhere without a log directory.
 */
#include "config.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <glib/gstdio.h>
#include "log.h"

static char *path;

static char *
logged(void)
{
    char *text = NULL;

    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    assert_int_equal(truncate(path, 0), 0);
    return text;
}

static void
line_has_time_program_node_vm_and_level(void **state)
{
    g_autofree char *text = NULL;

    qm__log_set_context("vm1", "n1");
    errno = ENOENT;
    qm__notice("saved %d bytes", 7);
    assert_int_equal(errno, ENOENT);
    text = logged();
    assert_true(g_regex_match_simple(
        "^\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d\\.\\d{3} "
        "VirtualMachine\\[\\d+\\] n1 vm1: notice: saved 7 bytes\\n$",
        text, 0, 0));
    qm__log_set_context(NULL, NULL);
    qm__error("x");
    g_free(text);
    text = logged();
    assert_true(g_str_has_suffix(text, "] error: x\n"));
}

static void
file_is_private(void **state)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777u, 0600);
}

static void
foreign_text_stays_on_one_line(void **state)
{
    g_autofree char *text = NULL;
    g_autofree char *longer = g_strnfill(5000, 'x');

    qm__error("bad\nname\r\033[2J\n");
    qm__error("%s", longer);
    text = logged();
    assert_ptr_equal(strchr(text, '\r'), NULL);
    assert_ptr_equal(strchr(text, '\033'), NULL);
    assert_non_null(strstr(text, "bad name"));
    assert_true(g_str_has_suffix(text, "x\n"));
    assert_true(strlen(text) < 4096);
}

static void
debug_needs_the_level(void **state)
{
    g_autofree char *text = NULL;

    qm__debug("hidden");
    qm__log_set_level(QM_LOG_DEBUG);
    qm__debug("shown");
    qm__log_set_level(QM_LOG_INFO);
    text = logged();
    assert_null(strstr(text, "hidden"));
    assert_non_null(strstr(text, "shown"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(line_has_time_program_node_vm_and_level),
        cmocka_unit_test(file_is_private),
        cmocka_unit_test(foreign_text_stays_on_one_line),
        cmocka_unit_test(debug_needs_the_level),
    };
    g_autofree char *dir = g_dir_make_tmp("qm-log-XXXXXX", NULL);
    g_autofree char *missing = g_build_filename(dir, "no/such.log", NULL);
    int rc;

    path = g_build_filename(dir, "quickmig.log", NULL);
    g_setenv("QM_LOG_FILE", missing, TRUE);
    qm__log_init("VirtualMachine", FALSE);
    qm__error("goes nowhere");
    g_setenv("QM_LOG_FILE", path, TRUE);
    qm__log_init("VirtualMachine", FALSE);
    rc = cmocka_run_group_tests(tests, NULL, NULL);
    (void) g_unlink(path);
    (void) g_rmdir(dir);
    g_free(path);
    return rc;
}
