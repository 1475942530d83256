/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#include "config.h"
#include <glib.h>
#include "image-codec.h"
#include "timeouts.h"

#define FIRST_CHUNKS 12 /* of the first round: 12 MiB */
#define TRIAL_CHUNKS 6
#define USE_CHUNKS   128 /* until it is looked at again */
#define BOUND_SHARE  2   /* half of the time for the storage: it is the limit */
#define WORTH        1.1 /* how much faster it has to be */

static double
per_second(uint64_t bytes, int64_t us)
{
    return (double) bytes * (double) QM_S / (double) MAX(us, 1);
}

bool
qm__codec_on(const qm_codec_choice *c)
{
    return c->phase != QM_TRY_PLAIN;
}

bool
qm__codec_due(const qm_codec_choice *c, const qm_codec_round *round)
{
    return round->chunks >= (c->chunks != 0 ? c->chunks : FIRST_CHUNKS);
}

static void
go(qm_codec_choice *c, qm_codec_phase phase, unsigned chunks)
{
    c->phase = phase;
    c->chunks = chunks;
}

static void
tell(qm_codec_choice *c, bool use, char *text, char **ret_text)
{
    if (c->told && c->used == use) {
        g_free(text);
        return;
    }
    c->told = true;
    c->used = use;
    *ret_text = text;
}

static void
judge_plain(qm_codec_choice *c, const qm_codec_round *r, char **ret_text)
{
    if (r->waited >= r->elapsed / BOUND_SHARE) {
        c->link_rate = (uint64_t) per_second(r->stored, r->elapsed);
        go(c, QM_TRY_LZ4, TRIAL_CHUNKS);
        return;
    }
    go(c, QM_TRY_PLAIN, USE_CHUNKS);
    tell(c, false,
         g_strdup_printf("not compressed: the storage takes %.0f MB/s and is "
                         "not what it waits for",
                         per_second(r->stored, r->elapsed) / 1e6),
         ret_text);
}

static void
judge_lz4(qm_codec_choice *c, const qm_codec_round *r, char **ret_text)
{
    double cpu = per_second(r->raw, r->compressing);
    double ratio = (double) r->stored / (double) MAX(r->raw, 1);
    double link = (double) c->link_rate;
    double with = MIN(cpu, link / MAX(ratio, 0.001));
    bool use = with > link * WORTH;

    go(c, use ? QM_USE_LZ4 : QM_TRY_PLAIN, USE_CHUNKS);
    tell(c, use,
         g_strdup_printf("%s: the storage takes %.0f MB/s, lz4 makes %.0f %% "
                         "of it at %.0f MB/s",
                         use ? "lz4" : "not compressed", link / 1e6,
                         ratio * 100, cpu / 1e6),
         ret_text);
}

void
qm__codec_judge(qm_codec_choice *c, const qm_codec_round *round,
                char **ret_text)
{
    *ret_text = NULL;
    if (c->phase == QM_TRY_PLAIN)
        judge_plain(c, round, ret_text);
    else
        judge_lz4(c, round, ret_text);
}
