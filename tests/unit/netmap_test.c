/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Networks with another name on some node: the map, and XML that goes from
 * node to node.
 */
#include "config.h"
#include <string.h>
#include "netmap.h"
#include "unit.h"

#define MAP "n2:br5=br7  n3:br5=lan0\tn3:default=guests\n"
#define XML(a, b, metadata)                                                    \
    "<domain><name>web</name><devices>"                                        \
    "<interface type=\"bridge\"><source bridge=\"" a "\"/></interface>"        \
    "<interface type=\"user\"/>"                                               \
    "<interface type=\"network\"><source network=\"" b                         \
    "\" bridge=\"br5\"/></interface>"                                          \
    "</devices>" metadata "</domain>"
#define MEMORY(inside)                                                         \
    "<metadata><quickmig:networks "                                            \
    "xmlns:quickmig=\"urn:quickmig:networks:1\">" inside                       \
    "</quickmig:networks></metadata>"
#define FIRST "<quickmig:interface index=\"0\" name=\"br5\"/>"
#define THIRD "<quickmig:interface index=\"2\" name=\"default\"/>"

static qm_netmap *
map_new(const char *text)
{
    qm_netmap *map;

    CHECK_OK(qm__netmap_parse(text, &map, &err));
    return map;
}

static void
words(void **state)
{
    g_autoptr(qm_netmap) map = map_new(MAP);
    g_autoptr(qm_netmap) none = map_new(NULL);

    assert_string_equal(qm__netmap_find(map, "n2", "br5"), "br7");
    assert_string_equal(qm__netmap_find(map, "n3", "br5"), "lan0");
    assert_string_equal(qm__netmap_find(map, "n3", "default"), "guests");
    assert_string_equal(qm__netmap_find(map, "n2", "default"), "default");
    assert_string_equal(qm__netmap_find(map, "n1", "br5"), "br5");
    assert_string_equal(qm__netmap_find(none, "n2", "br5"), "br5");
}

static void
malformed(void **state)
{
    static const char *const texts[] = {"br5=br7",
                                        "n2:br5",
                                        ":br5=br7",
                                        "n2:=br7",
                                        "n2:br5=",
                                        "n2",
                                        "n2:br5=br7 n2:br5=br8",
                                        "n2:br5=br7 x"};
    g_autofree char *longer = g_strnfill(QM_NETMAP_MAX, ' ');
    qm_netmap *map;

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
        CHECK_FAILS(qm__netmap_parse(texts[i], &map, &err), QM_ERROR_INVALID);
    CHECK_FAILS(qm__netmap_parse(longer, &map, &err), QM_ERROR_INVALID);
}

/* Mapped for a node, then for another: each time as if at once. */
static void
from_node_to_node(void **state)
{
    static const struct {
        const char *node, *xml;
    } steps[] = {
        {"n1", XML("br5", "default", "")},
        {"n2", XML("br7", "default", MEMORY(FIRST))},
        {"n3", XML("lan0", "guests", MEMORY(FIRST THIRD))},
        {"n2", XML("br7", "default", MEMORY(FIRST))},
        {"n1", XML("br5", "default", "<metadata/>")},
        {"n3", XML("lan0", "guests", MEMORY(FIRST THIRD))},
    };
    g_autoptr(qm_netmap) map = map_new(MAP);
    g_autofree char *xml = g_strdup(XML("br5", "default", ""));

    for (size_t i = 0; i < G_N_ELEMENTS(steps); i++) {
        char *next;

        CHECK_OK(qm__netmap_apply(map, steps[i].node, xml, &next, &err));
        assert_string_equal(next, steps[i].xml);
        g_free(xml);
        xml = next;
    }
}

/* What others keep there stays, and what only looks like ours. */
static void
other_metadata(void **state)
{
#define OTHERS                                                                 \
    "<a:networks xmlns:a=\"urn:other\">"                                       \
    "<a:interface index=\"0\" name=\"wrong\"/></a:networks>"
    g_autoptr(qm_netmap) map = map_new(MAP);
    g_autofree char *there = NULL, *back = NULL;

    CHECK_OK(qm__netmap_apply(
        map, "n2", XML("br5", "default", "<metadata>" OTHERS "</metadata>"),
        &there, &err));
    assert_string_equal(there,
                        XML("br7", "default",
                            "<metadata>" OTHERS "<quickmig:networks "
                            "xmlns:quickmig=\"urn:quickmig:networks:1\">" FIRST
                            "</quickmig:networks></metadata>"));
    CHECK_OK(qm__netmap_apply(map, "n1", there, &back, &err));
    assert_string_equal(
        back, XML("br5", "default", "<metadata>" OTHERS "</metadata>"));
}

static void
no_domain(void **state)
{
    g_autoptr(qm_netmap) map = map_new(MAP);
    char *xml;

    CHECK_FAILS(qm__netmap_apply(map, "n2", "<domain/>", &xml, &err),
                QM_ERROR_INVALID);
    CHECK_FAILS(qm__netmap_apply(map, "n2", "<domain", &xml, &err),
                QM_ERROR_CORRUPT);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words),
        cmocka_unit_test(malformed),
        cmocka_unit_test(from_node_to_node),
        cmocka_unit_test(other_metadata),
        cmocka_unit_test(no_domain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
