/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Reservation keys: whose they are, and that no two are the same.
 */
#include "config.h"
#include "reservation.h"
#include "unit.h"

static void
key_tells_its_node(void **state)
{
    static const uint16_t nodes[] = {1, 2, 255, 256, 0xffff};

    for (size_t i = 0; i < G_N_ELEMENTS(nodes); i++) {
        uint64_t key = 0;

        CHECK_OK(qm__key_draw(nodes[i], NULL, 0, &key, &err));
        assert_true(qm__key_is_ours(key));
        assert_int_equal(qm__key_node(key), nodes[i]);
        assert_int_not_equal(key & 0xffffffff, 0);
    }
}

static void
foreign_keys_are_seen(void **state)
{
    static const uint64_t foreign[] = {0,
                                       1,
                                       0x1234,
                                       UINT64_MAX,
                                       UINT64_C(0x514C000100000001),
                                       UINT64_C(0x0000514D00010001)};

    for (size_t i = 0; i < G_N_ELEMENTS(foreign); i++)
        assert_false(qm__key_is_ours(foreign[i]));
    assert_true(qm__key_is_ours(UINT64_C(0x514D000100000001)));
}

static void
keys_are_drawn_anew(void **state)
{
    uint64_t listed[64];

    for (size_t i = 0; i < G_N_ELEMENTS(listed); i++) {
        CHECK_OK(qm__key_draw(7, listed, i, &listed[i], &err));
        for (size_t j = 0; j < i; j++)
            assert_true(listed[i] != listed[j]);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_tells_its_node),
        cmocka_unit_test(foreign_keys_are_seen),
        cmocka_unit_test(keys_are_drawn_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
