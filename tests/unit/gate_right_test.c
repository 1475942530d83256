/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The right to a disk: all that a record can say, and the one case that has
 * it.
 */
#include "config.h"
#include <string.h>
#include "unit.h"
#include "session.h"

static const uint8_t boot[QM_UUID_LEN] = "this boot      ";

static qm_record
record(qm_state state)
{
    qm_record r = {.state = state, .generation = 7, .owner = {.id = 3}};

    memcpy(r.owner.boot, boot, sizeof boot);
    return r;
}

static void
owner_has_it(void **state)
{
    static const qm_state good[] = {QM_STATE_RUNNING, QM_STATE_SAVING,
                                    QM_STATE_RESTORING};

    for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
        qm_record r = record(good[i]);

        CHECK_OK(session_right(&r, 3, boot, 7, &err));
    }
}

static void
nobody_else_has_it(void **state)
{
    qm_record r = record(QM_STATE_RUNNING);
    uint8_t other[QM_UUID_LEN] = "another boot   ";

    CHECK_FAILS(session_right(&r, 4, boot, 7, &err), QM_ERROR_REFUSED);
    CHECK_FAILS(session_right(&r, 3, other, 7, &err), QM_ERROR_REFUSED);
    CHECK_FAILS(session_right(&r, 3, boot, 6, &err), QM_ERROR_REFUSED);
    CHECK_FAILS(session_right(&r, 3, boot, 8, &err), QM_ERROR_REFUSED);
    r = record(QM_STATE_OFF);
    CHECK_FAILS(session_right(&r, 3, boot, 7, &err), QM_ERROR_REFUSED);
    r = record(QM_STATE_SAVED);
    CHECK_FAILS(session_right(&r, 3, boot, 7, &err), QM_ERROR_REFUSED);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(owner_has_it),
        cmocka_unit_test(nobody_else_has_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
