/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/* Ratings over a table of nodes; what is told, and how often. */
#include "config.h"
#include <string.h>
#include "unit.h"
#include "rating.h"
#include "timeouts.h"

/* Literals stand for strings that nobody changes or frees here. */
#pragma GCC diagnostic ignored "-Wdiscarded-qualifiers"

static const qm_needs needs = {.memory = UINT64_C(1) << 30, .vcpus = 2};

typedef struct {
    const char *what;
    qm_node_facts facts;
    bool here;
    qm_policy policy;
    unsigned cpu, memory, disk, network, all, stars;
} row;

static const row table[] = {
    {"an idle node",
     {.cpus = 4,
      .memory = 10240,
      .memory_free = 10240,
      .storage_us = 100,
      .link_mbs = 1000},
     false,
     QM_POLICY_BALANCE,
     88,
     90,
     100,
     100,
     92,
     5},
    {"where it runs",
     {.cpus = 4,
      .load = 50,
      .memory = 10240,
      .memory_free = 5120,
      .storage_us = 100,
      .link_mbs = 1000,
      .net_mbs = 500},
     true,
     QM_POLICY_BALANCE,
     50,
     50,
     100,
     50,
     57,
     3},
    {"a busy node",
     {.cpus = 2,
      .load = 100,
      .memory = 10240,
      .memory_free = 1024,
      .storage_us = 50000,
      .link_mbs = 100,
      .net_mbs = 100},
     false,
     QM_POLICY_BALANCE,
     0,
     0,
     0,
     0,
     0,
     0},
    {"nothing is known",
     {.cpus = 0},
     false,
     QM_POLICY_BALANCE,
     50,
     50,
     50,
     50,
     50,
     3},
    {"to be filled up",
     {.cpus = 4,
      .load = 60,
      .memory = 10240,
      .memory_free = 4096,
      .storage_us = 100,
      .link_mbs = 1000,
      .net_mbs = 400},
     false,
     QM_POLICY_CONSOLIDATE,
     91,
     88,
     100,
     50,
     85,
     4},
    {"too full to be filled up",
     {.cpus = 4,
      .load = 95,
      .memory = 10240,
      .memory_free = 1024,
      .storage_us = 100,
      .link_mbs = 1000,
      .net_mbs = 400},
     false,
     QM_POLICY_CONSOLIDATE,
     0,
     0,
     100,
     50,
     21,
     1},
};

static void
test_table(void **state)
{
    for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
        const row *r = &table[i];
        qm_rating_rules rules = qm__rating_rules_default;
        qm_rating got;

        rules.policy = r->policy;
        qm__rate(&r->facts, &needs, r->here, &rules, &got);
        if (got.parts[QM_PART_CPU] != r->cpu ||
            got.parts[QM_PART_MEMORY] != r->memory ||
            got.parts[QM_PART_DISK] != r->disk ||
            got.parts[QM_PART_NETWORK] != r->network || got.all != r->all ||
            got.stars != r->stars)
            fail_msg("%s: %u %u %u %u, %u, %u stars", r->what, got.parts[0],
                     got.parts[1], got.parts[2], got.parts[3], got.all,
                     got.stars);
    }
}

static void
test_rules(void **state)
{
    qm_rating_rules rules;

    CHECK_OK(qm__rating_rules_parse(NULL, NULL, &rules, &err));
    assert_int_equal(rules.policy, QM_POLICY_BALANCE);
    assert_int_equal(rules.weights[QM_PART_MEMORY], 3);
    CHECK_OK(
        qm__rating_rules_parse("consolidate", "cpu=0 disk=7", &rules, &err));
    assert_int_equal(rules.policy, QM_POLICY_CONSOLIDATE);
    assert_int_equal(rules.weights[QM_PART_CPU], 0);
    assert_int_equal(rules.weights[QM_PART_DISK], 7);
    CHECK_FAILS(qm__rating_rules_parse("random", NULL, &rules, &err),
                QM_ERROR_INVALID);
    CHECK_FAILS(qm__rating_rules_parse(NULL, "cpu", &rules, &err),
                QM_ERROR_INVALID);
    CHECK_FAILS(qm__rating_rules_parse(NULL, "gpu=1", &rules, &err),
                QM_ERROR_INVALID);
    CHECK_FAILS(qm__rating_rules_parse(NULL, "cpu=101", &rules, &err),
                QM_ERROR_INVALID);
    CHECK_FAILS(qm__rating_rules_parse(NULL, "cpu=0 memory=0 disk=0 network=0",
                                       &rules, &err),
                QM_ERROR_INVALID);
}

static void
test_no_churn(void **state)
{
    assert_false(qm__rating_worth_telling(50, 100, 29 * QM_S));
    assert_true(qm__rating_worth_telling(50, 60, 30 * QM_S));
    assert_false(qm__rating_worth_telling(50, 59, 599 * QM_S));
    assert_true(qm__rating_worth_telling(50, 53, 600 * QM_S));
    assert_false(qm__rating_worth_telling(50, 52, 9000 * QM_S));
}

static void
test_facts_churn(void **state)
{
    const qm_node_facts told = {
        .cpus = 2, .load = 10, .memory = 10000, .memory_free = 5000, .qemu = 7};
    qm_node_facts now = told;

    assert_false(qm__facts_worth_telling(&told, &now, 9000 * QM_S));
    now.load = 29;
    now.memory_free = 4001;
    assert_false(qm__facts_worth_telling(&told, &now, 599 * QM_S));
    assert_true(qm__facts_worth_telling(&told, &now, 600 * QM_S));
    now.memory_free = 4000;
    assert_false(qm__facts_worth_telling(&told, &now, 29 * QM_S));
    assert_true(qm__facts_worth_telling(&told, &now, 30 * QM_S));
    now = told;
    now.qemu = 8; /* another host, as good as */
    assert_true(qm__facts_worth_telling(&told, &now, 0));
}

static void
test_facts_text(void **state)
{
    qm_node_facts facts = {.cpu_vendor = "AMD",
                           .cpus = 2,
                           .load = 10,
                           .memory = 10000,
                           .memory_free = 5000,
                           .storage_us = 310,
                           .link_mbs = 1250,
                           .libvirt = 9000000,
                           .qemu = 7002000};
    g_autofree char *text = qm__facts_to_json(&facts);
    g_autofree char *again = NULL;
    g_autoptr(qm_node_facts) back = NULL;
    g_autoptr(qm_node_facts) odd = NULL;
    qm_node_facts *none = NULL;

    CHECK_OK(qm__facts_from_json(text, &back, &err));
    again = qm__facts_to_json(back);
    assert_string_equal(text, again);
    assert_null(back->cpu_model);
    CHECK_OK(qm__facts_from_json(
        "{\"v\":2,\"cpus\":-1,\"load\":99999999999,\"new\":{},"
        "\"cpu_vendor\":7,\"memory\":5}",
        &odd, &err));
    assert_int_equal(odd->cpus, 0);
    assert_int_equal(odd->load, 0);
    assert_null(odd->cpu_vendor);
    assert_int_equal(odd->memory, 5);
    CHECK_FAILS(qm__facts_from_json("", &none, &err), QM_ERROR_CORRUPT);
    CHECK_FAILS(qm__facts_from_json("[1]", &none, &err), QM_ERROR_CORRUPT);
    CHECK_FAILS(qm__facts_from_json("{\"v\":1", &none, &err), QM_ERROR_CORRUPT);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),      cmocka_unit_test(test_rules),
        cmocka_unit_test(test_no_churn),   cmocka_unit_test(test_facts_churn),
        cmocka_unit_test(test_facts_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
