/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_TESTS_FAKE_STORE_H
#define QM_TESTS_FAKE_STORE_H

/*
 * An image area in memory, shared with child processes, that behaves as badly
 * as a test wants: completes late and out of order, tears writes, fails,
 * loses its session.
 */
#include "store.h"

typedef struct {
    qm_store base;
    uint8_t *memory;
    int event; /* eventfd: something is pending */
    GQueue pending;
    GRand *random;

    bool delayed;   /* complete from service() only, in random order */
    bool quiet;     /* ... and without an event that announces it */
    bool torn;      /* of a delayed write the header lands at once */
    int fail_write; /* this write, counted from 0, fails; -1: none */
    int fail_read;
    int lose_at; /* this service() call loses the session; -1: none */
    int fail_flush;
    bool refuse; /* submits fail */

    unsigned writes, reads, flushes, services, max_pending;
    uint64_t bytes_read;
} fake_store;

fake_store *fake_store_new(uint64_t capacity, uint32_t max_transfer);
/* In a child process, before it uses the store: the memory stays shared. */
void fake_store_forked(fake_store *f);
/* Nothing may be pending any more. */
void fake_store_free(fake_store *f);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(fake_store, fake_store_free)

#endif
