/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Command lines: what is a command, which options it takes, what is refused.
 */
#include "config.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "src/cli/options.h"

static bool
handle(const cli_options *o, GString *out, GError **error)
{
    return true;
}

static const cli_command table[] = {
    {"vault create", "VAULT --xml FILE", "Create", NULL, 1, 1,
     CLI_OPT_XML_FILE | CLI_OPT_FORCE | CLI_OPT_TIMEOUT, handle},
    {"vault show", "VM", "Show", NULL, 1, 1, CLI_OPT_SHOW_XML, handle},
    {"status", "[VM]...", "Status", "Detail.", 0, G_MAXUINT,
     CLI_OPT_JSON | CLI_OPT_LIMIT | CLI_OPT_TIMEOUT | CLI_OPT_YES, handle},
    {"move", "VM NODE", "Move", NULL, 2, 2,
     CLI_OPT_MOVE_TIMEOUT | CLI_OPT_NO_PRECOPY | CLI_OPT_MODE, handle},
    {"jobs", "[VM]...", "Jobs", NULL, 0, G_MAXUINT,
     CLI_OPT_WATCH | CLI_OPT_TIMEOUT, handle},
};

static bool
find(const char *line, const char **ret_name, GError **error)
{
    g_auto(GStrv) argv = g_strsplit(line, " ", -1);
    const cli_command *command;
    unsigned words;

    if (!cli_find_command(table, G_N_ELEMENTS(table), argv, &command, &words,
                          error))
        return false;
    *ret_name = command->name;
    return true;
}

static void
finds_commands(void **state)
{
    static const char *const good[][2] = {
        {"vault create /v", "vault create"},
        {"vault show", "vault show"},
        {"status", "status"},
        {"status --json", "status"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
        const char *name = NULL;

        assert_true(find(good[i][0], &name, NULL));
        assert_string_equal(name, good[i][1]);
    }
}

static void
refuses_unknown_commands(void **state)
{
    static const char *const bad[][2] = {
        {"statu", "unknown command statu"},
        {"status2", "unknown command status2"},
        {"vault", "create, show is missing"},
        {"vault creat x", "unknown command vault creat"},
        {"create x", "unknown command create"},
        {"--frobnicate", "unknown option --frobnicate"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        const char *name = NULL;

        assert_false(find(bad[i][0], &name, &error));
        assert_true(error->domain == CLI_USAGE);
        assert_non_null(strstr(error->message, bad[i][1]));
    }
}

static void
refuses_no_command(void **state)
{
    char *none[] = {NULL};
    g_autoptr(GError) error = NULL;
    const cli_command *command;
    unsigned words;

    assert_false(cli_find_command(table, G_N_ELEMENTS(table), none, &command,
                                  &words, &error));
    assert_non_null(strstr(error->message, "no command"));
}

static bool
parse(unsigned i, const char *line, cli_options **ret, GError **error)
{
    g_auto(GStrv) argv = g_strsplit(line, " ", -1);

    /* An empty line splits into no words at all. */
    return cli_parse_options(&table[i], argv, ret, error);
}

static void
parses_options(void **state)
{
    g_autoptr(cli_options) o = NULL;

    assert_true(parse(0, "/v --xml vm.xml --force --timeout 3", &o, NULL));
    assert_string_equal(o->xml, "vm.xml");
    assert_true(o->force);
    assert_false(o->json);
    assert_int_equal(o->timeout, 3);
    assert_string_equal(o->args[0], "/v");
    assert_null(o->args[1]);
}

static void
options_may_come_in_any_order(void **state)
{
    g_autoptr(cli_options) o = NULL;

    assert_true(parse(2, "a --json b -n 5 c -y", &o, NULL));
    assert_true(o->json);
    assert_true(o->yes);
    assert_int_equal(o->limit, 5);
    assert_int_equal(g_strv_length(o->args), 3);
}

static void
the_same_name_is_a_flag_or_takes_a_file(void **state)
{
    g_autoptr(cli_options) o = NULL;

    assert_true(parse(1, "vm --xml", &o, NULL));
    assert_true(o->show_xml);
    assert_null(o->xml);
}

static void
two_dashes_end_the_options(void **state)
{
    g_autoptr(cli_options) o = NULL;

    assert_true(parse(2, "--json -- --vm", &o, NULL));
    assert_string_equal(o->args[0], "--vm");
    assert_null(o->args[1]);
}

static void
defaults(void **state)
{
    g_autoptr(cli_options) o = NULL;

    assert_true(parse(2, "", &o, NULL));
    assert_int_equal(o->timeout, 10);
    assert_int_equal(o->limit, 0);
    assert_null(o->args[0]);
}

static void
options_of_a_move(void **state)
{
    g_autoptr(cli_options) o = NULL;
    g_autoptr(cli_options) plain = NULL;

    assert_true(
        parse(3, "vm n2 --mode quick --timeout 30 --no-precopy", &o, NULL));
    assert_string_equal(o->mode, "quick");
    assert_int_equal(o->move_timeout, 30);
    assert_int_equal(o->timeout, 10); /* of a vault: another one */
    assert_true(o->no_precopy);
    assert_true(parse(3, "vm n2", &plain, NULL));
    assert_null(plain->mode);
    assert_int_equal(plain->move_timeout, 600);
    assert_false(plain->no_precopy);
}

static void
options_of_jobs(void **state)
{
    g_autoptr(cli_options) o = NULL;
    g_autoptr(cli_options) until = NULL;

    assert_true(parse(4, "-w a b", &o, NULL));
    assert_true(o->watch);
    assert_false(o->until_done);
    assert_int_equal(g_strv_length(o->args), 2);
    assert_true(parse(4, "--until-done", &until, NULL));
    assert_true(until->until_done);
}

static void
refuses_bad_options(void **state)
{
    static const struct {
        unsigned command;
        const char *line, *message;
    } bad[] = {
        {0, "/v --json", "--json"},   /* not this command's */
        {0, "/v --jso", "--jso"},     /* no abbreviations */
        {0, "/v --xml", "--xml"},     /* its argument is missing */
        {0, "--force", "is missing"}, /* an argument is missing */
        {0, "/v /w", "one argument too many: /w"},
        {0, "/v --timeout 0", "--timeout takes"},
        {0, "/v --timeout x", "x"},
        {2, "--limit -1", "--limit takes"},
        {3, "vm", "is missing"},
        {3, "vm n2 n3", "one argument too many: n3"},
        {3, "vm n2 --mode fast", "--mode takes quick, live or auto"},
        {3, "vm n2 --timeout 0", "--timeout takes"},
        {4, "--mode quick", "--mode"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(cli_options) o = NULL;
        g_autoptr(GError) error = NULL;

        assert_false(parse(bad[i].command, bad[i].line, &o, &error));
        assert_true(error->domain == CLI_USAGE);
        assert_non_null(strstr(error->message, bad[i].message));
        assert_null(o);
    }
}

static void
help_needs_no_arguments(void **state)
{
    g_autoptr(cli_options) o = NULL;

    assert_true(parse(0, "--help", &o, NULL));
    assert_true(o->help);
}

static void
help_lists_what_the_command_takes(void **state)
{
    g_autoptr(GString) out = g_string_new(NULL);

    cli_help_command(&table[2], out);
    assert_non_null(strstr(out->str, "Usage: quickmig status [VM]..."));
    assert_non_null(strstr(out->str, "Detail."));
    assert_non_null(strstr(out->str, "--json"));
    assert_non_null(strstr(out->str, "-n, --limit N"));
    assert_null(strstr(out->str, "--force"));
}

static void
help_lists_every_command(void **state)
{
    g_autoptr(GString) out = g_string_new(NULL);

    cli_help(table, G_N_ELEMENTS(table), out);
    for (size_t i = 0; i < G_N_ELEMENTS(table); i++)
        assert_non_null(strstr(out->str, table[i].name));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_commands),
        cmocka_unit_test(refuses_unknown_commands),
        cmocka_unit_test(refuses_no_command),
        cmocka_unit_test(parses_options),
        cmocka_unit_test(options_may_come_in_any_order),
        cmocka_unit_test(the_same_name_is_a_flag_or_takes_a_file),
        cmocka_unit_test(two_dashes_end_the_options),
        cmocka_unit_test(defaults),
        cmocka_unit_test(options_of_a_move),
        cmocka_unit_test(options_of_jobs),
        cmocka_unit_test(refuses_bad_options),
        cmocka_unit_test(help_needs_no_arguments),
        cmocka_unit_test(help_lists_what_the_command_takes),
        cmocka_unit_test(help_lists_every_command),
    };

    return cmocka_run_group_tests_name("cli_options", tests, NULL, NULL);
}
