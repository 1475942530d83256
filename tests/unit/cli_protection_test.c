/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The configuration of a protected VM: what there is already, what is made,
 * and which constraints go with it.
 */
#include "config.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <quickmig/error.h>
#include "src/cli/protect.h"
#include "src/cli/protection.h"

#define GIB (UINT64_C(1) << 30)
#define BARE                                                                   \
    "<cib><configuration><resources/><constraints/></configuration></cib>"

static xmlNode *
parse(const char *text, xmlDoc **doc)
{
    assert_true(qm__walk_parse(text, "cib", doc, NULL));
    return xmlDocGetRootElement(*doc);
}

/* NULL: refused. */
static cli_protection *
plan(const char *cib, const char *name)
{
    g_autoptr(xmlDoc) doc = NULL;
    g_autoptr(GError) error = NULL;
    cli_protection *p = NULL;

    if (!cli_protection_plan(parse(cib, &doc), name, "/srv/v&1", NULL, 2,
                             4 * GIB, false, &p, &error))
        assert_true(g_error_matches(error, QM_ERROR, QM_ERROR_REFUSED));
    return p;
}

static bool
has(const char *text, const char *what)
{
    return strstr(text, what) != NULL;
}

static void
into_an_empty_cluster(void **state)
{
    g_autoptr(cli_protection) p = plan(BARE, "web");
    g_autofree char *xml = cli_protection_xml(p, false);
    g_autofree char *crm = cli_protection_crm(p);
    g_autofree char *pcs = cli_protection_pcs(p);
    g_autoptr(xmlDoc) doc = NULL;

    assert_true(p->daemon && p->stickiness);
    (void) parse(xml, &doc); /* is XML, whatever the address has in it */
    assert_true(has(xml, "value=\"/srv/v&amp;1\""));
    assert_true(has(xml, "score-attribute=\"quickmig-rating-web\""));
    assert_true(has(xml, "name=\"memory\" value=\"4096\""));
    assert_true(has(crm, "vault='/srv/v&1'") && has(pcs, "vault='/srv/v&1'"));
    assert_true(has(crm, "clone quickmigd-clone quickmigd"));
    assert_false(has(crm, "target-role"));
}

static void
what_is_there_is_used(void **state)
{
    static const char cib[] =
        "<cib><configuration><resources><clone id='mine'><primitive id='d' "
        "class='ocf' provider='quickmig' type='Node'/></clone></resources>"
        "<rsc_defaults><meta_attributes id='r'><nvpair id='s' "
        "name='resource-stickiness' value='INFINITY'/></meta_attributes>"
        "</rsc_defaults></configuration></cib>";
    g_autoptr(cli_protection) p = plan(cib, "web");
    g_autofree char *xml = cli_protection_xml(p, false);

    assert_false(p->daemon || p->stickiness);
    assert_true(has(xml, "first=\"mine\""));
    assert_false(has(xml, "type=\"Node\""));
}

static void
what_is_there_is_not_overwritten(void **state)
{
    static const char *const taken[] = {
        "<cib><resources><primitive id='web'/></resources></cib>",
        "<cib><constraints><rsc_order id='web'/></constraints></cib>",
        "<cib><resources><primitive id='x' class='ocf' provider='quickmig' "
        "type='VirtualMachine'><instance_attributes id='i'><nvpair id='v' "
        "name='vault' value='/srv/v&amp;1'/></instance_attributes></primitive>"
        "</resources></cib>",
        "<cib><resources><primitive id='quickmigd' class='ocf' "
        "provider='heartbeat' type='Dummy'/></resources></cib>",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(taken); i++)
        assert_null(plan(taken[i], "web"));
}

static void
timeouts_follow_what_was_measured(void **state)
{
    g_autoptr(cli_protection) p = plan(BARE, "web");

    assert_int_equal(p->stop, 300);
    p->memory = 64 * GIB;
    cli_protection_set_rate(p, 0);
    assert_int_equal(p->stop, 920); /* at 100 MB/s */
    cli_protection_set_rate(p, UINT64_C(1000000000));
    assert_int_equal(p->stop, 300);
    cli_protection_set_rate(p, 40000000);
    assert_true(p->stop > 4000);
    cli_protection_set_rate(p, 1); /* whatever was told */
    assert_int_equal(p->stop, 86400);
}

static void
constraints_that_go_with_it(void **state)
{
    static const char cib[] =
        "<cib><constraints>"
        "<rsc_location id='quickmig-web' rsc='web'/>"
        "<rsc_location id='cli-prefer-web' rsc='web'/>"
        "<rsc_location id='cli-ban-web-on-n1' rsc='web'/>"
        "<rsc_order id='quickmigd-before-web' first='c' then='web'/>"
        "<rsc_order id='quickmigd-after-web' first='web' then='c'/>"
        "<rsc_colocation id='col' rsc='db' with-rsc='web'/>"
        "<rsc_order id='set'><resource_set id='s'><resource_ref id='web'/>"
        "</resource_set></rsc_order>"
        "<rsc_location id='quickmig-web2' rsc='web2'/>"
        "<rsc_location id='other' rsc='db'/></constraints>"
        "<tags><tag id='t'><obj_ref id='web'/></tag></tags></cib>";
    g_autoptr(xmlDoc) doc = NULL;
    g_auto(GStrv) own = NULL, foreign = NULL;
    g_autofree char *a = NULL, *b = NULL;

    cli_protection_constraints(parse(cib, &doc), "web", &own, &foreign);
    a = g_strjoinv(" ", own);
    b = g_strjoinv(" ", foreign);
    assert_string_equal(a, "quickmig-web cli-prefer-web cli-ban-web-on-n1 "
                           "quickmigd-before-web quickmigd-after-web");
    assert_string_equal(b, "col set t");
}

#define STATE(name, ops)                                                       \
    "<node_state uname='" name "' crmd='online' join='member'><lrm>"           \
    "<lrm_resource id='web'>" ops "</lrm_resource></lrm></node_state>"
#define PROBE(status, rc)                                                      \
    "<lrm_rsc_op operation='monitor' interval='0' op-status='" status          \
    "' rc-code='" rc "' exit-reason='a domain runs'/>"

static void
nobody_has_it(void **state)
{
    static const struct {
        const char *states;
        int result; /* 1: done; 0: not yet; -1: refused */
    } cases[] = {
        {STATE("n1", PROBE("0", "7")) STATE("n2", PROBE("0", "7")), 1},
        {STATE("n1", PROBE("0", "7")) STATE("n2", PROBE("0", "5")), 1},
        {STATE("n1", PROBE("0", "7")) STATE("n2", ""), 0},
        {STATE("n1", PROBE("-1", "193")) STATE("n2", PROBE("0", "7")), 0},
        {STATE("n1", PROBE("0", "7")) STATE("n2", PROBE("4", "1")), -1},
        {STATE("n1", "") STATE("n2", PROBE("0", "0")), -1},
        {STATE("n1", PROBE("0", "7")) "<node_state uname='n2' "
                                      "crmd='offline' join='down'/>",
         1},
        {STATE("n1", "<lrm_rsc_op operation='start' interval='0' "
                     "op-status='0' rc-code='7'/>"),
         0},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text =
            g_strdup_printf("<cib><status>%s</status></cib>", cases[i].states);
        g_autoptr(xmlDoc) doc = NULL;
        g_autoptr(GError) error = NULL;
        bool done;
        bool ok = cli_judge_probes(parse(text, &doc), "web", &done, &error);

        assert_int_equal(ok ? done : -1, cases[i].result);
        assert_true(ok || strstr(error->message, "n2 already: a domain runs") ||
                    strstr(error->message, "n1"));
    }
}

static void
the_slowest_node_counts(void **state)
{
    static const char cib[] =
        "<cib><status><node_state uname='n1'><transient_attributes>"
        "<instance_attributes id='a'><nvpair id='f' name='quickmig-facts' "
        "value='%s'/></instance_attributes></transient_attributes>"
        "</node_state></status></cib>";
    g_autofree char *broken = g_strdup_printf(cib, "nonsense");
    g_autoptr(xmlDoc) none = NULL, bad = NULL;

    assert_int_equal(cli_protection_known_rate(parse(BARE, &none)), 0);
    assert_int_equal(cli_protection_known_rate(parse(broken, &bad)), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(into_an_empty_cluster),
        cmocka_unit_test(what_is_there_is_used),
        cmocka_unit_test(what_is_there_is_not_overwritten),
        cmocka_unit_test(timeouts_follow_what_was_measured),
        cmocka_unit_test(constraints_that_go_with_it),
        cmocka_unit_test(nobody_has_it),
        cmocka_unit_test(the_slowest_node_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
