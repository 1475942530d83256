/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * What a target's answer means for us.  Pure.  The rule that matters: what
 * tells a holder that somebody else took the LUN is never swallowed
 * (RESERVATION CONFLICT, commands aborted by another, reservations preempted,
 * a reset that it did not ask for).  Everything a healthy target says in
 * passing is sent again.
 */
#include "config.h"
#include "lun-internal.h"

#define ASC(ascq) ((ascq) >> 8 & 0xff)

enum { /* ASC << 8 | ASCQ */
       BECOMING_READY = 0x0401,
       ASYMMETRIC_TRANSITION = 0x040A,
       OPERATION_IN_PROGRESS = 0x0407,
       WRITE_PROTECTED = 0x2700,
       SPACE_ALLOCATION_FAILED = 0x2707,
       RESERVATIONS_PREEMPTED = 0x2A03,
       RESERVATIONS_RELEASED = 0x2A04,
       REGISTRATIONS_PREEMPTED = 0x2A05,
       ASC_RESET = 0x29
};

static qm_verdict
done(qm_scsi_status *status, qm_scsi_result result)
{
    status->result = result;
    return QM_VERDICT_DONE;
}

static bool
tells_of_another(int ascq)
{
    return ASC(ascq) == ASC_RESET || ascq == RESERVATIONS_PREEMPTED ||
           ascq == RESERVATIONS_RELEASED || ascq == REGISTRATIONS_PREEMPTED;
}

static qm_verdict
judge_sense(bool armed, qm_scsi_status *status)
{
    switch (status->key) {
    case SCSI_SENSE_NO_SENSE:
    case SCSI_SENSE_RECOVERED_ERROR:
        return done(status, QM_SCSI_GOOD);
    case SCSI_SENSE_UNIT_ATTENTION:
        if (armed && tells_of_another(status->ascq))
            return done(status, QM_SCSI_FENCED);
        status->result = QM_SCSI_ERROR; /* should it never end */
        return QM_VERDICT_AGAIN;
    case SCSI_SENSE_COMMAND_ABORTED:
        status->result = QM_SCSI_ERROR;
        return QM_VERDICT_AGAIN;
    case SCSI_SENSE_NOT_READY:
        status->result = QM_SCSI_ERROR;
        return status->ascq == BECOMING_READY ||
                       status->ascq == ASYMMETRIC_TRANSITION ||
                       status->ascq == OPERATION_IN_PROGRESS
                   ? QM_VERDICT_LATER
                   : QM_VERDICT_DONE;
    default:
        return done(status, status->ascq == SPACE_ALLOCATION_FAILED
                                ? QM_SCSI_NO_SPACE
                                : QM_SCSI_ERROR);
    }
}

qm_verdict
qm__scsi_judge(int status, const struct scsi_sense *sense, bool armed,
               qm_scsi_status *ret_status)
{
    *ret_status = (qm_scsi_status){.result = QM_SCSI_ERROR};
    switch (status) {
    case SCSI_STATUS_GOOD:
    case SCSI_STATUS_CONDITION_MET:
        return done(ret_status, QM_SCSI_GOOD);
    case SCSI_STATUS_RESERVATION_CONFLICT:
        return done(ret_status, QM_SCSI_FENCED);
    case SCSI_STATUS_TASK_ABORTED: /* by another initiator */
        if (armed)
            return done(ret_status, QM_SCSI_FENCED);
        return QM_VERDICT_AGAIN;
    case SCSI_STATUS_BUSY:
    case SCSI_STATUS_TASK_SET_FULL:
    case SCSI_STATUS_ACA_ACTIVE:
        return QM_VERDICT_LATER;
    case SCSI_STATUS_CHECK_CONDITION:
        ret_status->key = sense->key;
        ret_status->ascq = sense->ascq;
        return judge_sense(armed, ret_status);
    default: /* cancelled, timed out, rejected: libiscsi's own */
        return done(ret_status, QM_SCSI_LOST);
    }
}

bool
qm__scsi_fail(const qm_lun *lun, const char *what, const qm_scsi_status *status,
              GError **error)
{
    switch (status->result) {
    case QM_SCSI_FENCED:
        g_set_error(error, QM_ERROR, QM_ERROR_CONFLICT,
                    "%s %s: refused, another initiator holds or has reset it",
                    what, lun->name);
        break;
    case QM_SCSI_LOST:
        g_set_error(error, QM_ERROR, QM_ERROR_LOST, "%s %s: session lost%s%s",
                    what, lun->name, lun->why != NULL ? ": " : "",
                    lun->why != NULL ? lun->why : "");
        break;
    case QM_SCSI_NO_SPACE:
        g_set_error(error, QM_ERROR, QM_ERROR_NO_SPACE,
                    "%s %s: the target has no space left (thin provisioning)",
                    what, lun->name);
        break;
    default:
        if (status->key == 0 && status->ascq == 0) {
            g_set_error(error, QM_ERROR, QM_ERROR_IO,
                        "%s %s: the target moved less than was asked for", what,
                        lun->name);
            break;
        }
        g_set_error(
            error, QM_ERROR,
            status->ascq == WRITE_PROTECTED ? QM_ERROR_READ_ONLY : QM_ERROR_IO,
            "%s %s: the target says %s, %s (%x/%04x)", what, lun->name,
            scsi_sense_key_str(status->key), scsi_sense_ascq_str(status->ascq),
            status->key, status->ascq);
    }
    return false;
}
