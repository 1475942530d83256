/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_IMAGE_CODEC_H
#define QM_IMAGE_CODEC_H

/*
 * Does compression pay?  It does where the way to the storage is what the
 * stream waits for, and a processor compresses faster than that way takes what
 * comes out.  So it is measured in rounds: first without; when the stream
 * waited for the storage, a few chunks are compressed on trial; then it is
 * decided, and looked at again some chunks later.  Pure arithmetic: the writer
 * measures.
 */
#include <stdbool.h>
#include <stdint.h>

/* What one round of chunks took. */
typedef struct {
    uint64_t raw, stored; /* bytes */
    int64_t elapsed;      /* µs */
    int64_t waited;       /* µs of it for the storage */
    int64_t compressing;  /* µs of it */
    unsigned chunks;
} qm_codec_round;

typedef enum {
    QM_TRY_PLAIN, /* without, measuring the way to the storage */
    QM_TRY_LZ4,   /* on trial */
    QM_USE_LZ4,
} qm_codec_phase;

/* Zeroed. */
typedef struct {
    qm_codec_phase phase;
    unsigned chunks;    /* in this round, at most; 0: not begun */
    uint64_t link_rate; /* bytes/s of the way to the storage, when it was the
                           bottleneck */
    bool told, used;    /* the last decision */
} qm_codec_choice;

/* Is it compressed in the round that begins? */
bool qm__codec_on(const qm_codec_choice *c);
/* Has the round come to its end? */
bool qm__codec_due(const qm_codec_choice *c, const qm_codec_round *round);
/* Ends the round.  @text (NULL: nothing new): the decision and its figures;
 * caller frees. */
void qm__codec_judge(qm_codec_choice *c, const qm_codec_round *round,
                     char **ret_text);

#endif
