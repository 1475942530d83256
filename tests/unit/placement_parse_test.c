/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Which constraints are a move's wish, and where a resource is: read from what
 * Pacemaker's tools print.
 */
#include "config.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include "placement.h"
#include "settle.h"
#include "timeouts.h"

static const char cib[] =
    "<cib><configuration><resources>"
    "<primitive id='vm1'/><primitive id='vm2'/>"
    "<group id='g'><primitive id='vm3'/></group>"
    "</resources><constraints>"
    "<rsc_location id='cli-prefer-vm1' rsc='vm1' node='n3' score='INFINITY'/>"
    "<rsc_location id='cli-ban-vm1-on-n1' rsc='vm1' node='n1'/>"
    "<rsc_location id='cli-ban-vm1-on-n2' rsc='vm1' node='n2'/>"
    "<rsc_location id='mine' rsc='vm1' node='n2'/>"
    "<rsc_location id='cli-prefer-vm10' rsc='vm10' node='n3'/>"
    "<rsc_location id='cli-prefer-vm2' rsc='vm2'>"
    "<rule id='r' score='INFINITY' boolean-op='and'>"
    "<expression id='e' attribute='#uname' operation='eq' value='n2'/>"
    "<date_expression id='d' operation='lt' end='2026-01-01'/>"
    "</rule></rsc_location>"
    "<rsc_location id='cli-prefer-g' rsc='g' node='n2'/>"
    "</constraints></configuration></cib>";

/* "id@resource@node " of each. */
static char *
wishes(const char *resource, const char *self)
{
    g_autoptr(GPtrArray) list = NULL;
    GString *text = g_string_new(NULL);

    assert_true(qm__placement_parse_cib(cib, resource, self, &list, NULL));
    for (guint i = 0; i < list->len; i++) {
        const qm_constraint *c = list->pdata[i];

        g_string_append_printf(text, "%s@%s@%s%s ", c->id, c->resource, c->node,
                               c->ban ? "!" : "");
    }
    return g_string_free(text, FALSE);
}

static void
finds_what_sends_it_away(void **state)
{
    static const char *const cases[][3] = {
        {"vm1", "n1", "cli-prefer-vm1@vm1@n3 cli-ban-vm1-on-n1@vm1@n1! "},
        {"vm1", "n3", ""}, /* preferred here */
        {"vm2", "n1", "cli-prefer-vm2@vm2@n2 "},
        {"vm2", "n2", ""},
        {"vm3", "n1", "cli-prefer-g@g@n2 "},
        {"vm", "n1", ""},
        {"none", "n1", ""},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *found = wishes(cases[i][0], cases[i][1]);

        assert_string_equal(found, cases[i][2]);
    }
}

static void
no_xml_is_an_error(void **state)
{
    g_autoptr(GError) error = NULL;
    GPtrArray *list = NULL;
    qm_placement p;
    qm_place place;

    assert_false(qm__placement_parse_cib("<cib", "vm1", "n1", &list, &error));
    assert_true(g_error_matches(error, QM_ERROR, QM_ERROR_CORRUPT));
    assert_null(list);
    assert_false(qm__placement_parse_status("", "vm1", "n1", &p, &place, NULL));
}

#define NODE(name, flags) "<node name='" name "' id='1' " flags "/>"
#define UP                                                                     \
    "online='true' standby='false' standby_onfail='false' shutdown='false' "   \
    "maintenance='false' pending='false' unclean='false'"

static const char status[] = "<pacemaker-result><nodes>" NODE("n1", UP)
    NODE("n2", "online='true' standby='true'")
        NODE("n3",
             "online='false' "
             "unclean='true'") "</nodes><resources>"
                               "<resource id='vm1' "
                               "resource_agent='ocf:quickmig:VirtualMachine' "
                               "role='Started' managed='true' failed='false' "
                               "blocked='false' "
                               "pending='Migrating' nodes_running_on='2'>"
                               "<node name='n1'/><node name='n2'/></resource>"
                               "<group id='g'><resource id='ip' "
                               "resource_agent='ocf:heartbeat:IPaddr2' "
                               "managed='true' failed='true'/></group>"
                               "</resources></pacemaker-result>";

static void
sees_a_resource(void **state)
{
    qm_placement p;
    qm_place place;

    assert_true(
        qm__placement_parse_status(status, "vm1", "n1", &p, &place, NULL));
    assert_true(p.found && p.ours && p.managed && !p.failed && !p.blocked);
    assert_string_equal(p.pending, "Migrating");
    assert_int_equal(g_strv_length(p.nodes), 2);
    assert_string_equal(p.nodes[1], "n2");
    assert_true(place.found && place.online);
    assert_false(place.standby || place.unusable);
    qm__placement_clear_look(&p);
}

static void
sees_one_that_is_off(void **state)
{
    qm_placement p;
    qm_place place;

    assert_true(
        qm__placement_parse_status(status, "ip", "n2", &p, &place, NULL));
    assert_true(p.found && !p.ours && p.failed);
    assert_null(p.pending);
    assert_int_equal(g_strv_length(p.nodes), 0);
    assert_true(place.online && place.standby);
    qm__placement_clear_look(&p);
}

static void
sees_what_is_not_there(void **state)
{
    qm_placement p;
    qm_place place;

    assert_true(
        qm__placement_parse_status(status, "vm9", "n9", &p, &place, NULL));
    assert_false(p.found || place.found);
    qm__placement_clear_look(&p);
    assert_true(
        qm__placement_parse_status(status, "vm1", "n3", &p, &place, NULL));
    assert_true(place.found && !place.online && place.unusable);
    qm__placement_clear_look(&p);
}

#define OP(operation, target)                                                  \
    "<lrm_rsc_op operation='" operation "' migrate_target='" target "'/>"
#define HISTORY(node, resource, ops)                                           \
    "<node_state crmd='online' uname='" node                                   \
    "'><lrm><lrm_resources><lrm_resource id='" resource "'>" ops               \
    "</lrm_resource></lrm_resources></lrm></node_state>"

static void
finds_where_it_came_from(void **state)
{
    static const char history[] =
        "<cib><status>" HISTORY("n1", "vm1", OP("migrate_to", "n2"))
            HISTORY("n2", "vm1", OP("migrate_from", "n2"))
                HISTORY("n3", "vm2", OP("migrate_to", "n2")) "</status></cib>";
    g_auto(GStrv) nodes = NULL;
    g_auto(GStrv) none = NULL;

    assert_true(
        qm__placement_parse_arrivals(history, "vm1", "n2", &nodes, NULL));
    assert_int_equal(g_strv_length(nodes), 1);
    assert_string_equal(nodes[0], "n1");
    /* Its own history says that it went. */
    assert_true(
        qm__placement_parse_arrivals(history, "vm1", "n1", &none, NULL));
    assert_int_equal(g_strv_length(none), 0);
}

static void
settles_once_in_a_while(void **state)
{
    assert_true(qm__settle_again(0, 5 * QM_S));
    assert_false(qm__settle_again(5 * QM_S, 5 * QM_S));
    assert_false(qm__settle_again(5 * QM_S, 304 * QM_S));
    assert_true(qm__settle_again(5 * QM_S, 305 * QM_S));
    /* Not of this boot. */
    assert_true(qm__settle_again(900 * QM_S, 305 * QM_S));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_sends_it_away),
        cmocka_unit_test(no_xml_is_an_error),
        cmocka_unit_test(sees_a_resource),
        cmocka_unit_test(sees_one_that_is_off),
        cmocka_unit_test(sees_what_is_not_there),
        cmocka_unit_test(finds_where_it_came_from),
        cmocka_unit_test(settles_once_in_a_while),
    };

    return cmocka_run_group_tests_name("placement", tests, NULL, NULL);
}
