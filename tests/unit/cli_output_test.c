/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Tables, units and JSON, and what a hostile text in a vault can do to them:
 * nothing.
 */
#include "config.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <quickmig/error.h>
#include "src/cli/options.h"
#include "src/cli/output.h"

static void
aligns_columns(void **state)
{
    g_autoptr(cli_table) t = cli_table_new("VM|>SIZE|CAUSE");
    g_autoptr(GString) out = g_string_new(NULL);

    cli_table_row(t, "web", "5 GiB", "move", NULL);
    cli_table_row(t, "database", "12 MiB", "", NULL);
    cli_table_print(t, out);
    assert_string_equal(out->str, "VM          SIZE  CAUSE\n"
                                  "web        5 GiB  move\n"
                                  "database  12 MiB\n");
}

static void
counts_characters_not_bytes(void **state)
{
    g_autoptr(cli_table) t = cli_table_new(NULL);
    g_autoptr(GString) out = g_string_new(NULL);

    cli_table_row(t, "\303\244\303\266", "x", NULL);
    cli_table_row(t, "abc", "y", NULL);
    cli_table_print(t, out);
    assert_string_equal(out->str, "\303\244\303\266   x\nabc  y\n");
}

static void
shows_no_control_characters(void **state)
{
    g_autoptr(cli_table) t = cli_table_new(NULL);
    g_autoptr(GString) out = g_string_new(NULL);

    cli_table_row(t, "a\033[2Jb", "c\nd\t", NULL);
    cli_table_print(t, out);
    assert_string_equal(out->str, "a?[2Jb  c?d?\n");
}

static void
takes_broken_utf8(void **state)
{
    g_autoptr(cli_table) t = cli_table_new(NULL);
    g_autoptr(GString) out = g_string_new(NULL);

    cli_table_row(t, "a\377b", NULL);
    cli_table_print(t, out);
    assert_true(g_utf8_validate(out->str, -1, NULL));
}

static void
check(char *text, const char *expected)
{
    assert_string_equal(text, expected);
    g_free(text);
}

static void
formats_bytes(void **state)
{
    check(cli_bytes(0), "0 B");
    check(cli_bytes(1023), "1023 B");
    check(cli_bytes(1024), "1 KiB");
    check(cli_bytes(1536), "1.5 KiB");
    check(cli_bytes(UINT64_C(512) << 20), "512 MiB");
    check(cli_bytes(UINT64_C(3) << 40), "3 TiB");
    check(cli_bytes(UINT64_C(4096) << 40), "4096 TiB");
}

static void
formats_durations(void **state)
{
    check(cli_duration(0), "-");
    check(cli_duration(12), "<1 ms");
    check(cli_duration(20000), "20 ms");
    check(cli_duration(1330000), "1.3 s");
    check(cli_duration(150000000), "150 s");
}

static void
formats_speeds(void **state)
{
    check(cli_speed(0, 5), "-");
    check(cli_speed(5, 0), "-");
    check(cli_speed(300000000, 1000000), "300 MB/s");
}

static void
formats_no_time(void **state)
{
    check(cli_local_time(0), "-");
}

static JsonNode *
parse(const GString *text)
{
    g_autoptr(GError) error = NULL;
    JsonNode *node = json_from_string(text->str, &error);

    assert_null(error);
    assert_non_null(node);
    return node;
}

static void
prints_json(void **state)
{
    g_autoptr(JsonBuilder) b = json_builder_new();
    g_autoptr(GString) out = g_string_new(NULL);
    g_autoptr(GError) error = g_error_new(QM_ERROR, QM_ERROR_AUTH, "no \"x\"");
    g_autoptr(JsonNode) root = NULL;
    JsonObject *o;

    json_builder_begin_object(b);
    cli_json_string(b, "hostile", "a\033\"\n\377");
    cli_json_string(b, "none", NULL);
    cli_json_number(b, "large", UINT64_MAX);
    cli_json_time(b, "since", INT64_C(1700000000123456));
    cli_json_error(b, "error", error);
    cli_json_error(b, "fine", NULL);
    json_builder_end_object(b);
    cli_json_print(b, out);
    root = parse(out);
    o = json_node_get_object(root);
    assert_true(json_object_get_null_member(o, "none"));
    assert_true(json_object_get_null_member(o, "fine"));
    assert_true(json_object_get_int_member(o, "large") == INT64_MAX);
    assert_string_equal(json_object_get_string_member(o, "since"),
                        "2023-11-14T22:13:20.123456Z");
    assert_true(json_object_get_int_member(o, "since_us") ==
                INT64_C(1700000000123456));
    o = json_object_get_object_member(o, "error");
    assert_string_equal(json_object_get_string_member(o, "code"), "auth");
    assert_string_equal(json_object_get_string_member(o, "message"),
                        "no \"x\"");
}

static void
prints_a_record(void **state)
{
    qm_record r = {.state = QM_STATE_SAVED,
                   .generation = 7,
                   .owner = {.id = 2, .name = "n2"}};
    g_autoptr(JsonBuilder) b = json_builder_new();
    g_autoptr(GString) out = g_string_new(NULL);
    g_autoptr(JsonNode) root = NULL;
    JsonObject *o;

    json_builder_begin_object(b);
    cli_json_record(b, &r);
    json_builder_end_object(b);
    cli_json_print(b, out);
    root = parse(out);
    o = json_node_get_object(root);
    assert_string_equal(json_object_get_string_member(o, "state"), "SAVED");
    assert_true(json_object_get_null_member(o, "owner"));
    assert_string_equal(json_object_get_string_member(o, "last_owner"), "n2");
    assert_int_equal(json_object_get_int_member(o, "generation"), 7);
    assert_true(json_object_get_null_member(o, "since"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aligns_columns),
        cmocka_unit_test(counts_characters_not_bytes),
        cmocka_unit_test(shows_no_control_characters),
        cmocka_unit_test(takes_broken_utf8),
        cmocka_unit_test(formats_bytes),
        cmocka_unit_test(formats_durations),
        cmocka_unit_test(formats_speeds),
        cmocka_unit_test(formats_no_time),
        cmocka_unit_test(prints_json),
        cmocka_unit_test(prints_a_record),
    };

    return cmocka_run_group_tests_name("cli_output", tests, NULL, NULL);
}
