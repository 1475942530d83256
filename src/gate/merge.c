/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Small requests that came together and lie side by side on the disk go to
 * the target as one command: what a command costs there and on the way, it
 * costs once.  Nothing waits for company: what is here leaves before the loop
 * does anything else.
 *
 * A request's result is its own.  If a command made of several fails, nobody
 * is told; each is sent again by itself, and the target says which it was.
 */
#include "config.h"
#include <stdlib.h>
#include <string.h>
#include "gate.h"

#define REQUEST_BYTES (16 * 1024) /* of 64 KiB: slower */
#define TOTAL_BYTES   (256 * 1024)

/* One command for several requests. */
typedef struct {
    gate *gate;
    unsigned n;
    request *requests[GATE_MERGE_MAX];
    struct iovec iov[GATE_MERGE_MAX];
} shared_command;

static bool
is_candidate(const request *r)
{
    return (r->command == NBD_CMD_READ || r->command == NBD_CMD_WRITE) &&
           r->tries == 0 && !r->fua && r->length > 0 &&
           r->length <= REQUEST_BYTES;
}

bool
merge_add(gate *g, request *r)
{
    if (!is_candidate(r))
        return false;
    if (g->n_together == GATE_MERGE_MAX)
        merge_send(g);
    g->together[g->n_together++] = r;
    return true;
}

/* Reads and writes apart, by place. */
static int
by_place(const void *a, const void *b)
{
    const request *x = *(request *const *) a, *y = *(request *const *) b;

    if (x->command != y->command)
        return x->command < y->command ? -1 : 1;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return x->sequence < y->sequence ? -1 : 1;
}

/* How many of @r, at least one, can share a command. */
static unsigned
neighbours(const gate *g, request *const *r, unsigned n)
{
    uint32_t max = MIN(TOTAL_BYTES, g->info.max_transfer);
    uint32_t length = r[0]->length;
    unsigned i = 1;

    while (i < n && r[i]->command == r[0]->command &&
           r[i]->offset == r[0]->offset + length &&
           length + r[i]->length <= max)
        length += r[i++]->length;
    return i;
}

/* FENCED and LOST are of no request in particular. */
static void
ended(void *opaque, const qm_scsi_status *status)
{
    shared_command *c = opaque;
    bool unclear =
        status->result == QM_SCSI_NO_SPACE || status->result == QM_SCSI_ERROR;

    for (unsigned i = 0; i < c->n; i++)
        if (unclear)
            queue_send_again(c->gate, c->requests[i]);
        else
            queue_answered(c->gate, c->requests[i], status);
    g_free(c);
}

static void
send_together(gate *g, request *const *r, unsigned n)
{
    static const qm_scsi_status lost = {.result = QM_SCSI_LOST};
    shared_command *c = g_new(shared_command, 1);
    qm_lun_op op = r[0]->command == NBD_CMD_READ ? QM_LUN_READ : QM_LUN_WRITE;

    c->gate = g;
    c->n = n;
    for (unsigned i = 0; i < n; i++) {
        c->requests[i] = r[i];
        c->iov[i] = (struct iovec){r[i]->buf, r[i]->length};
        queue_sent(g, r[i], 1);
    }
    if (!qm__lun_submit(g->lun, op, r[0]->offset, c->iov, (int) n, false, ended,
                        c))
        ended(c, &lost);
}

void
merge_send(gate *g)
{
    request *all[GATE_MERGE_MAX];
    unsigned n = g->n_together;

    memcpy(all, g->together, n * sizeof all[0]);
    g->n_together = 0;
    if (n > 1)
        qsort(all, n, sizeof all[0], by_place);
    for (unsigned i = 0, same; i < n; i += same) {
        same = neighbours(g, all + i, n - i);
        if (same == 1)
            queue_send(g, all[i]);
        else
            send_together(g, all + i, same);
    }
}
