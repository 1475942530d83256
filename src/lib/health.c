/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Counting the health checks that a guest missed.  Invariant: a guest has
 * failed only after so many misses without a good answer between them, all of
 * them on this node and of one generation.
 */
#include "config.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "health.h"
#include "runtime.h"

#define NOTE "health"

const char qm__health_advice[] =
    "OCF_CHECK_LEVEL=10 asks the QEMU guest agent, and the domain has no "
    "channel for it: add <channel type='unix'><target type='virtio' "
    "name='org.qemu.guest_agent.0'/></channel> to its <devices> (quickmig "
    "vault edit), install qemu-guest-agent in the guest, and stop and start "
    "the VM; or take that check away";

qm_health_verdict
qm__health_step(qm_health *h, bool good, int64_t now, int64_t grace,
                unsigned limit)
{
    if (h->since == 0)
        h->since = now;
    if (good) {
        h->answered = true;
        h->failed = false;
        h->row = 0;
        return QM_HEALTH_GOOD;
    }
    h->misses++;
    if (!h->answered && now - h->since < grace)
        return QM_HEALTH_EARLY;
    h->row++;
    h->failed = h->row >= limit;
    return h->failed ? QM_HEALTH_FAILED : QM_HEALTH_MISS;
}

void
qm__health_read(const uint8_t *uuid, uint64_t generation, qm_health *ret_h)
{
    g_autofree char *text = qm__note_read(uuid, NOTE);
    qm_health h = {0};
    unsigned answered, failed;

    *ret_h = (qm_health){.generation = generation};
    if (text == NULL ||
        sscanf(text, "%" SCNu64 " %" SCNi64 " %u %u %u %" SCNu64, &h.generation,
               &h.since, &answered, &failed, &h.row, &h.misses) != 6)
        return;
    ret_h->misses = h.misses;
    if (h.generation != generation)
        return;
    h.answered = answered != 0;
    h.failed = failed != 0;
    *ret_h = h;
}

bool
qm__health_write(const uint8_t *uuid, const qm_health *h, GError **error)
{
    g_autofree char *text = g_strdup_printf(
        "%" PRIu64 " %" PRIi64 " %d %d %u %" PRIu64 "\n", h->generation,
        h->since, h->answered, h->failed, h->row, h->misses);

    return qm__note_write(uuid, NOTE, text, error);
}
