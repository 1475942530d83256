/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Room for VMs when a node dies; values of a CIB where Pacemaker looks for
 * them.
 */
#include "config.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "capacity.h"
#include "cib-read.h"
#include "cluster-internal.h"

typedef struct {
    int64_t memory; /* of nodes; of VMs what they need */
    int64_t cpu;
    int node; /* VMs: where */
} row;

static qm_capacity *
world(const row *nodes, unsigned n_nodes, const row *users, unsigned n_users)
{
    qm_capacity *c = g_new0(qm_capacity, 1);

    c->nodes = g_ptr_array_new_with_free_func(g_free);
    c->users = g_ptr_array_new_with_free_func(g_free);
    for (unsigned i = 0; i < n_nodes; i++) {
        qm_capacity_node *n = g_new0(qm_capacity_node, 1);

        n->memory = nodes[i].memory;
        n->cpu = nodes[i].cpu;
        n->usable = nodes[i].node == 0;
        g_ptr_array_add(c->nodes, n);
    }
    for (unsigned i = 0; i < n_users; i++) {
        qm_capacity_user *u = g_new0(qm_capacity_user, 1);
        qm_capacity_node *n = c->nodes->pdata[users[i].node];

        u->memory = users[i].memory;
        u->cpu = users[i].cpu;
        u->node = users[i].node;
        n->memory_used += u->memory;
        n->cpu_used += u->cpu;
        g_ptr_array_add(c->users, u);
    }
    return c;
}

static void
check(const row *nodes, unsigned n_nodes, const row *users, unsigned n_users,
      int fullest, unsigned stranded)
{
    g_autoptr(qm_capacity) c = world(nodes, n_nodes, users, n_users);
    g_autoptr(GPtrArray) list = NULL;

    assert_int_equal(qm__capacity_fullest(c), fullest);
    if (fullest < 0)
        return;
    list = qm__capacity_without(c, fullest);
    assert_int_equal(list->len, stranded);
}

#define CHECK(nodes, users, fullest, stranded)                                 \
    check(nodes, G_N_ELEMENTS(nodes), users, G_N_ELEMENTS(users), fullest,     \
          stranded)

static void
who_finds_no_room(void **state)
{
    static const row three[] = {{8, 8, 0}, {8, 8, 0}, {8, 8, 0}};
    static const row one_away[] = {{8, 8, 0}, {8, 8, 1}, {8, 8, 0}};
    static const row unknown[] = {{8, 8, 0}, {-1, -1, 0}};
    static const row lonely[] = {{8, 8, 0}};
    static const row fits[] = {{4, 1, 0}, {4, 1, 0}, {4, 1, 1}, {4, 1, 2}};
    static const row tight[] = {{5, 1, 0}, {3, 1, 0}, {4, 1, 1}, {4, 1, 2}};
    static const row cpus[] = {{4, 5, 0}, {4, 1, 0}, {1, 4, 1}, {1, 4, 2}};
    /* Smallest first would block the large one's place. */
    static const row order[] = {{2, 0, 0}, {6, 0, 0}, {2, 0, 1}, {6, 0, 2}};

    CHECK(three, fits, 0, 0);
    CHECK(three, tight, 0, 1);
    CHECK(three, cpus, 0, 1);
    CHECK(three, order, 0, 0);
    CHECK(one_away, fits, 0, 1);
    CHECK(unknown, (const row[]){}, -1, 0);
    CHECK(lonely, ((const row[]){{1, 1, 0}}), 0, 1);
    CHECK(unknown, ((const row[]){{7, 1, 0}, {7, 1, 0}}), 0, 0);
}

static void
what_a_host_offers(void **state)
{
    int64_t cpu, memory;

    qm__capacity_of_host(16, UINT64_C(64) << 30, &cpu, &memory);
    assert_int_equal(cpu, 64);
    assert_int_equal(memory, 60 * 1024);
    qm__capacity_of_host(2, UINT64_C(2) << 30, &cpu, &memory);
    assert_int_equal(memory, 1536);
    qm__capacity_of_host(128, UINT64_C(1024) << 30, &cpu, &memory);
    assert_int_equal(memory, 1008 * 1024);
}

static void
an_administrators_capacity_stays(void **state)
{
    g_autofree char *ours = qm__capacity_value(8, 4000);

    assert_true(qm__capacity_is_ours(NULL, NULL, NULL));
    assert_true(qm__capacity_is_ours("8", "4000", ours));
    assert_false(qm__capacity_is_ours("8", "4001", ours));
    assert_false(qm__capacity_is_ours("9", "4000", ours));
    assert_false(qm__capacity_is_ours("8", "4000", NULL));
    assert_false(qm__capacity_is_ours(NULL, "4000", ours));
}

/* --- reading the CIB --- */

static const char cib[] =
    "<cib><configuration><crm_config><cluster_property_set id='s'>"
    "<nvpair id='a' name='x' value='1'/></cluster_property_set></crm_config>"
    "<rsc_defaults><meta_attributes id='ruled'><rule id='q'/>"
    "<nvpair id='b0' name='resource-stickiness' value='7'/></meta_attributes>"
    "<meta_attributes id='d'>"
    "<nvpair id='b' name='resource-stickiness' value='50'/></meta_attributes>"
    "</rsc_defaults><resources>"
    "<template id='t' class='ocf' provider='quickmig' type='VirtualMachine'>"
    "<meta_attributes id='tm'><nvpair id='c' name='allow-migrate' "
    "value='true'/></meta_attributes><operations>"
    "<op id='ts' name='stop' timeout='90s'/></operations></template>"
    "<primitive id='v' template='t'/>"
    "<group id='g'><meta_attributes id='gm'><nvpair id='e' "
    "name='resource-stickiness' value='60'/></meta_attributes>"
    "<primitive id='w' template='t'><operations>"
    "<op id='ws' name='stop'><meta_attributes id='wm'><nvpair id='f' "
    "name='timeout' value='2min'/></meta_attributes></op></operations>"
    "</primitive></group></resources></configuration></cib>";

static void
values_of_a_cib(void **state)
{
    g_autoptr(xmlDoc) doc = NULL;
    xmlNode *root, *v, *w;
    g_autofree char *x = NULL, *sv = NULL, *sw = NULL, *am = NULL;

    assert_true(qm__walk_parse(cib, "cib", &doc, NULL));
    root = xmlDocGetRootElement(doc);
    v = qm__walk_find(root, "primitive", "v");
    w = qm__walk_find(root, "primitive", "w");
    x = qm__cib_property(root, "x");
    assert_string_equal(x, "1");
    assert_null(qm__cib_property(root, "y"));
    sv = qm__cib_meta(root, v, "resource-stickiness");
    assert_string_equal(sv, "50");
    sw = qm__cib_meta(root, w, "resource-stickiness");
    assert_string_equal(sw, "60");
    am = qm__cib_meta(root, v, "allow-migrate");
    assert_string_equal(am, "true");
    assert_true(qm__cib_is_a(root, v, "ocf", "quickmig", "VirtualMachine"));
    assert_false(qm__cib_is_a(root, v, "ocf", "quickmig", "Node"));
    assert_int_equal(qm__cib_op_timeout(root, qm__cib_op(root, v, "stop")),
                     90000);
    assert_int_equal(qm__cib_op_timeout(root, qm__cib_op(root, w, "stop")),
                     120000);
    assert_null(qm__cib_op(root, v, "start"));
    assert_int_equal(qm__cib_op_timeout(root, NULL), 20000);
}

static void
times(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {{"30", 30000},    {"30s", 30000},  {" 5 min", 300000},
                 {"1500ms", 1500}, {"1h", 3600000}, {"PT5M", -1},
                 {"", -1},         {"x", -1},       {"-3s", -1},
                 {"5 weeks", -1}};

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
        assert_int_equal(qm__cib_time(cases[i].text), cases[i].ms);
    assert_true(qm__cib_bool("YES", false) && qm__cib_bool(NULL, true));
    assert_false(qm__cib_bool("0", true));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_finds_no_room),
        cmocka_unit_test(what_a_host_offers),
        cmocka_unit_test(an_administrators_capacity_stays),
        cmocka_unit_test(values_of_a_cib),
        cmocka_unit_test(times),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
