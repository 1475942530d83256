/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * What crm_simulate's summary says of a move.
 */
#include "config.h"
#include "unit.h"
#include "src/cli/preview.h"

static void
it_migrates_alone(void **state)
{
    cli_preview p;

    cli_preview_parse("Current cluster status:\n"
                      "  * web (ocf:quickmig:VirtualMachine): Started n1\n\n"
                      "Transition Summary:\n"
                      "  * Migrate    web     ( n1 -> n2 )\n\n"
                      "Executing Cluster Transition:\n"
                      "  * Resource action: web  migrate_to on n1\n",
                      "web", "n2", &p);
    assert_true(p.arrives);
    assert_string_equal(p.own, "Migrate web ( n1 -> n2 )");
    assert_int_equal(p.others->len, 0);
    cli_preview_clear(&p);
}

static void
others_are_told_of(void **state)
{
    cli_preview p;

    cli_preview_parse("Transition Summary:\n"
                      "  * Move       db      ( n2 -> n3 )\n"
                      "  * Migrate    web2    ( n1 -> n2 )\n"
                      "  * Stop       web     (   n1 )  due to node "
                      "availability\n",
                      "web", "n2", &p);
    assert_false(p.arrives);
    assert_string_equal(p.own, "Stop web ( n1 ) due to node availability");
    assert_int_equal(p.others->len, 2);
    assert_string_equal(p.others->pdata[0], "Move db ( n2 -> n3 )");
    assert_string_equal(p.others->pdata[1], "Migrate web2 ( n1 -> n2 )");
    cli_preview_clear(&p);
}

static void
elsewhere_is_not_there(void **state)
{
    cli_preview p;

    cli_preview_parse("Transition Summary:\n"
                      "  * Migrate    web     ( n1 -> n22 )\n",
                      "web", "n2", &p);
    assert_false(p.arrives);
    assert_non_null(p.own);
    cli_preview_clear(&p);
}

static void
nothing_would_happen(void **state)
{
    static const char *const texts[] = {
        "", "Transition Summary:", "Transition Summary:\n",
        "Transition Summary:\n\nExecuting\n  * Migrate web ( n1 -> n2 )\n",
        "Transition Summary:\n  *\n  * x\n  junk web ( -> n2 )\n"};

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        cli_preview p;

        cli_preview_parse(texts[i], "web", "n2", &p);
        assert_false(p.arrives);
        assert_null(p.own);
        assert_int_equal(p.others->len, 0);
        cli_preview_clear(&p);
    }
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_migrates_alone),
        cmocka_unit_test(others_are_told_of),
        cmocka_unit_test(elsewhere_is_not_there),
        cmocka_unit_test(nothing_would_happen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
