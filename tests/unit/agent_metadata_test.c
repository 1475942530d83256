/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/* The meta-data: well formed, and the same as the tables and the parser. */
#include "config.h"
#include <stdlib.h>
#include <string.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include "unit.h"
#include "resource-agents/agent.h"

static int
parse(void **state)
{
    g_autofree char *text = qm__metadata_text();

    *state = xmlReadMemory(text, (int) strlen(text), NULL, NULL,
                           XML_PARSE_NONET | XML_PARSE_NOERROR);
    return *state == NULL;
}

static int
drop(void **state)
{
    xmlFreeDoc(*state);
    xmlCleanupParser();
    return 0;
}

static xmlNode *
next_named(xmlNode *node, const char *name)
{
    while (node != NULL && (node->type != XML_ELEMENT_NODE ||
                            strcmp((const char *) node->name, name) != 0))
        node = node->next;
    return node;
}

static xmlNode *
child(xmlNode *parent, const char *name)
{
    xmlNode *node = next_named(parent->children, name);

    if (node == NULL)
        fail_msg("<%s> has no <%s>", (const char *) parent->name, name);
    return node;
}

/* The attribute's value; "" without one.  Caller frees. */
static char *
attribute(xmlNode *node, const char *name)
{
    xmlChar *value = xmlGetProp(node, (const xmlChar *) name);
    char *copy = g_strdup(value != NULL ? (const char *) value : "");

    xmlFree(value);
    return copy;
}

static void
check_attribute(xmlNode *node, const char *name, const char *expected)
{
    g_autofree char *value = attribute(node, name);

    assert_string_equal(value, expected);
}

static void
check_text(xmlNode *parent, const char *name)
{
    xmlNode *node = child(parent, name);
    xmlChar *text = xmlNodeGetContent(node);

    check_attribute(node, "lang", "en");
    assert_true(strlen(g_strstrip((char *) text)) > 5);
    xmlFree(text);
}

static void
check_choices(xmlNode *content, const char *choices)
{
    g_auto(GStrv) expected = g_strsplit(choices, " ", -1);
    xmlNode *option = next_named(content->children, "option");

    for (char **c = expected; *c != NULL; c++) {
        assert_non_null(option);
        check_attribute(option, "value", *c);
        option = next_named(option->next, "option");
    }
    assert_null(option);
}

static void
check_parameter(xmlNode *node, const qm_parameter *p)
{
    xmlNode *content = child(node, "content");

    check_attribute(node, "name", p->name);
    check_attribute(node, "required", p->required ? "1" : "0");
    check_attribute(node, "reloadable", p->reloadable ? "1" : "0");
    check_attribute(node, "unique-group", p->unique ? p->name : "");
    check_attribute(node, "unique", ""); /* OCF 1.0's word */
    check_text(node, "longdesc");
    check_text(node, "shortdesc");
    check_attribute(content, "type",
                    strcmp(p->type, "uuid") == 0 ? "string" : p->type);
    check_attribute(content, "default",
                    p->default_value != NULL ? p->default_value : "");
    if (p->choices != NULL)
        check_choices(content, p->choices);
}

static void
test_root(void **state)
{
    xmlNode *root = xmlDocGetRootElement(*state);
    xmlChar *version = xmlNodeGetContent(child(root, "version"));

    assert_string_equal((const char *) root->name, "resource-agent");
    check_attribute(root, "name", "VirtualMachine");
    check_attribute(root, "version", PACKAGE_VERSION);
    assert_string_equal((const char *) version, "1.1");
    xmlFree(version);
    check_text(root, "longdesc");
    check_text(root, "shortdesc");
}

static void
test_parameters(void **state)
{
    xmlNode *parent = child(xmlDocGetRootElement(*state), "parameters");
    xmlNode *node = next_named(parent->children, "parameter");
    size_t n;
    const qm_parameter *p = qm__parameters(&n);

    for (size_t i = 0; i < n; i++) {
        assert_non_null(node);
        check_parameter(node, &p[i]);
        node = next_named(node->next, "parameter");
    }
    assert_null(node);
}

static void
test_actions(void **state)
{
    static const char *const mandatory[] = {
        "start",        "stop",       "monitor",      "meta-data",
        "validate-all", "migrate_to", "migrate_from", "reload-agent"};
    xmlNode *parent = child(xmlDocGetRootElement(*state), "actions");
    xmlNode *node = next_named(parent->children, "action");
    size_t n;
    const qm_agent_action *a = qm__agent_actions(&n);

    assert_int_equal(n, G_N_ELEMENTS(mandatory));
    for (size_t i = 0; i < G_N_ELEMENTS(mandatory); i++)
        assert_non_null(qm__agent_find(mandatory[i]));
    for (size_t i = 0; i < n; i++) {
        g_autofree char *timeout = g_strdup_printf("%us", a[i].timeout_s);

        assert_non_null(node);
        check_attribute(node, "name", a[i].name);
        check_attribute(node, "timeout", timeout);
        if (strcmp(a[i].name, "monitor") == 0) {
            check_attribute(node, "interval", "10s");
            check_attribute(node, "depth", "0");
        } else {
            check_attribute(node, "interval", "");
        }
        node = next_named(node->next, "action");
    }
    assert_null(node);
}

/* Of a parameter without a default. */
static const char *
example(const char *name)
{
    if (strcmp(name, "network_map") == 0)
        return "n1:br0=br1";
    return strcmp(name, "image_secret") == 0
               ? "5ca1ab1e-0000-4000-8000-00000000beef"
               : "/srv/vaults/vm1";
}

/* What the meta-data calls a default or a choice the parser takes. */
static void
test_defaults_parse(void **state)
{
    xmlNode *parent = child(xmlDocGetRootElement(*state), "parameters");

    for (xmlNode *node = next_named(parent->children, "parameter");
         node != NULL; node = next_named(node->next, "parameter")) {
        g_autofree char *name = attribute(node, "name");
        g_autofree char *value = attribute(child(node, "content"), "default");
        g_autofree char *variable = g_strdup_printf(
            "OCF_RESKEY_%s=%s", name, *value != '\0' ? value : example(name));
        char *environment[] = {(char *) "OCF_RESKEY_vault=/srv/vaults/vm1",
                               variable, NULL};
        qm_params p;

        CHECK_OK(qm__parameters_read(environment, false, &p, &err));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_root),
        cmocka_unit_test(test_parameters),
        cmocka_unit_test(test_actions),
        cmocka_unit_test(test_defaults_parse),
    };

    return cmocka_run_group_tests(tests, parse, drop);
}
