/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * What a target's answer means: to a holder, and to everybody else.
 */
#include "config.h"
#include "lun-internal.h"
#include "unit.h"

#define CHECK SCSI_STATUS_CHECK_CONDITION

enum { GOOD, FENCED, LOST, NO_SPACE, ERROR, AGAIN, LATER };

static const struct {
    int status, key, ascq;
    int other, holder; /* outcomes */
} rows[] = {
    {SCSI_STATUS_GOOD, 0, 0, GOOD, GOOD},
    {SCSI_STATUS_CONDITION_MET, 0, 0, GOOD, GOOD},
    {SCSI_STATUS_RESERVATION_CONFLICT, 0, 0, FENCED, FENCED},
    {SCSI_STATUS_TASK_ABORTED, 0, 0, AGAIN, FENCED},
    {SCSI_STATUS_BUSY, 0, 0, LATER, LATER},
    {SCSI_STATUS_TASK_SET_FULL, 0, 0, LATER, LATER},
    {SCSI_STATUS_ACA_ACTIVE, 0, 0, LATER, LATER},
    {SCSI_STATUS_CANCELLED, 0, 0, LOST, LOST},
    {SCSI_STATUS_TIMEOUT, 0, 0, LOST, LOST},
    {SCSI_STATUS_ERROR, 0, 0, LOST, LOST},
    {0x7f, 0, 0, LOST, LOST},
    {CHECK, 0, 0, GOOD, GOOD},
    {CHECK, 1, 0x1700, GOOD, GOOD},
    /* unit attentions that tell a holder of another */
    {CHECK, 6, 0x2900, AGAIN, FENCED}, /* reset */
    {CHECK, 6, 0x2902, AGAIN, FENCED},
    {CHECK, 6, 0x2907, AGAIN, FENCED}, /* nexus loss */
    {CHECK, 6, 0x2A03, AGAIN, FENCED}, /* reservations preempted */
    {CHECK, 6, 0x2A04, AGAIN, FENCED}, /* reservations released */
    {CHECK, 6, 0x2A05, AGAIN, FENCED}, /* registrations preempted */
    /* and those that do not */
    {CHECK, 6, 0x2A01, AGAIN, AGAIN}, /* mode parameters changed */
    {CHECK, 6, 0x2A09, AGAIN, AGAIN}, /* capacity changed */
    {CHECK, 6, 0x3F0E, AGAIN, AGAIN}, /* LUNs changed */
    {CHECK, 6, 0x2A06, AGAIN, AGAIN}, /* asymmetric access changed */
    {CHECK, 6, 0x2800, AGAIN, AGAIN}, /* not ready to ready */
    {CHECK, 0xB, 0x4400, AGAIN, AGAIN},
    {CHECK, 2, 0x0401, LATER, LATER},
    {CHECK, 2, 0x040A, LATER, LATER},
    {CHECK, 2, 0x3A00, ERROR, ERROR},
    {CHECK, 7, 0x2707, NO_SPACE, NO_SPACE},
    {CHECK, 7, 0x2700, ERROR, ERROR},
    {CHECK, 3, 0x1100, ERROR, ERROR},
    {CHECK, 4, 0x4400, ERROR, ERROR},
    {CHECK, 5, 0x2000, ERROR, ERROR},
    /* the same codes under another sense key are no unit attention */
    {CHECK, 5, 0x2A03, ERROR, ERROR},
};

static int
outcome(qm_verdict verdict, const qm_scsi_status *status)
{
    static const int results[] = {
        [QM_SCSI_GOOD] = GOOD,   [QM_SCSI_FENCED] = FENCED,
        [QM_SCSI_LOST] = LOST,   [QM_SCSI_NO_SPACE] = NO_SPACE,
        [QM_SCSI_ERROR] = ERROR,
    };

    switch (verdict) {
    case QM_VERDICT_AGAIN:
        return AGAIN;
    case QM_VERDICT_LATER:
        return LATER;
    default:
        return results[status->result];
    }
}

static void
every_row(void **state)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct scsi_sense sense = {.key = rows[i].key, .ascq = rows[i].ascq};
        qm_scsi_status status;
        int other = outcome(
            qm__scsi_judge(rows[i].status, &sense, false, &status), &status);
        int holder = outcome(
            qm__scsi_judge(rows[i].status, &sense, true, &status), &status);

        if (other != rows[i].other || holder != rows[i].holder)
            fail_msg("status %x, %x/%04x: %d and %d, expected %d and %d",
                     rows[i].status, rows[i].key, rows[i].ascq, other, holder,
                     rows[i].other, rows[i].holder);
        if (rows[i].status == CHECK) {
            assert_int_equal(status.key, rows[i].key);
            assert_int_equal(status.ascq, rows[i].ascq);
        }
    }
}

/* A unit attention or an abort that never ends is an error at last. */
static void
endless_repetition_is_an_error(void **state)
{
    struct scsi_sense sense = {.key = 6, .ascq = 0x3F0E};
    qm_scsi_status status;

    (void) qm__scsi_judge(CHECK, &sense, true, &status);
    assert_int_equal(status.result, QM_SCSI_ERROR);
}

static void
errors_have_codes(void **state)
{
    static const struct {
        qm_scsi_status status;
        int code;
    } cases[] = {
        {{QM_SCSI_FENCED, 0, 0}, QM_ERROR_CONFLICT},
        {{QM_SCSI_LOST, 0, 0}, QM_ERROR_LOST},
        {{QM_SCSI_NO_SPACE, 7, 0x2707}, QM_ERROR_NO_SPACE},
        {{QM_SCSI_ERROR, 7, 0x2700}, QM_ERROR_READ_ONLY},
        {{QM_SCSI_ERROR, 3, 0x1100}, QM_ERROR_IO},
        {{QM_SCSI_ERROR, 0, 0}, QM_ERROR_IO},
    };
    char name[] = "LUN 1 of x at y";
    qm_lun lun = {.name = name};

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
        CHECK_FAILS(qm__scsi_fail(&lun, "reading", &cases[i].status, &err),
                    cases[i].code);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row),
        cmocka_unit_test(endless_repetition_is_an_error),
        cmocka_unit_test(errors_have_codes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
