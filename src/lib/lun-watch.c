/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * What an idle holder of a LUN does to learn early that it is none any more.
 * A target tells it with the first command after the fact (unit attention);
 * what holds the reservation is looked at as well, should it not.
 */
#include "config.h"
#include "lun-internal.h"
#include "lun-watch.h"

#define SERVICE_READ_RESERVATION 1
#define HEADER                   8  /* bytes before the descriptor */
#define RESERVATION              16 /* bytes of the descriptor */

typedef struct {
    uint8_t buf[HEADER + RESERVATION];
    struct iovec iov;
    qm_pr_poll_cb cb;
    void *opaque;
} poll_request;

static void
on_reservation(void *opaque, const qm_scsi_status *status, uint32_t received)
{
    poll_request *p = opaque;
    uint64_t holder = 0;

    if (status->result == QM_SCSI_GOOD && received >= sizeof p->buf &&
        qm__be32(p->buf + 4) >= RESERVATION)
        holder = qm__be64(p->buf + HEADER);
    p->cb(p->opaque, status, holder);
    g_free(p);
}

bool
qm__pr_poll(qm_lun *lun, qm_pr_poll_cb cb, void *opaque)
{
    poll_request *p = g_new0(poll_request, 1);
    qm_scsi_request request = {
        .cdb = {SCSI_OPCODE_PERSISTENT_RESERVE_IN,
                SERVICE_READ_RESERVATION, [8] = sizeof p->buf},
        .cdb_length = 10,
        .direction = SCSI_XFER_READ,
        .length = sizeof p->buf,
        .short_ok = true,
    };

    p->iov.iov_base = p->buf;
    p->iov.iov_len = sizeof p->buf;
    p->cb = cb;
    p->opaque = opaque;
    if (qm__scsi_submit(lun, &request, &p->iov, 1, on_reservation, p))
        return true;
    g_free(p);
    return false;
}

int64_t
qm__lun_silence(const qm_lun *lun)
{
    return lun->pinged != 0 ? MAX(qm__now() - lun->pinged, 1) : 0;
}
