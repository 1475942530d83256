/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) 2026 the quickmig authors
 *
 * Memory with a pattern from which every lost or stale page can be told.
 *
 * Pages are rewritten round robin, so what page i must hold follows from the
 * position of the writer alone: version "round", plus one if i was passed
 * already. A save that loses a dirtied page therefore shows, even when the
 * page that it brings back is an intact older version.
 */
#include "guest.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#define WORDS (GUEST_BLOCK / sizeof(uint64_t))
/* Rates are kept in slices; each costs QEMU a wake-up. */
#define DIRTY_NS    10000000LL
#define VERIFY_NS   50000000LL
#define MAX_REPORTS 8

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Under the lock: */
static uint64_t *memory;
static uint64_t n_pages;
static uint64_t round_no; /* complete rounds of the writer */
static uint64_t position; /* the page that it rewrites next */
static struct mem_counters counters;

static uint64_t
seed_of(uint64_t page, uint64_t version)
{
    uint64_t x = (version << 32 | page) * 0x9E3779B97F4A7C15ULL;

    x ^= x >> 29;
    return x * 0xBF58476D1CE4E5B9ULL;
}

/* Words that do not compress, from one addition each: cheap under TCG. */
static void
page_fill(uint64_t page, uint64_t version)
{
    volatile uint64_t *p = memory + page * WORDS;
    uint64_t value = seed_of(page, version);
    size_t i;

    for (i = 0; i < WORDS; i++, value += 0xD1B54A32D192ED03ULL)
        p[i] = value;
}

static bool
page_is(uint64_t page, uint64_t version)
{
    const volatile uint64_t *p = memory + page * WORDS;
    uint64_t value = seed_of(page, version), diff = 0;
    size_t i;

    for (i = 0; i < WORDS; i++, value += 0xD1B54A32D192ED03ULL)
        diff |= p[i] ^ value;
    return diff == 0;
}

static uint64_t
expected_version(uint64_t page)
{
    return round_no + (page < position ? 1 : 0);
}

static void
verify_page(uint64_t page)
{
    uint64_t version = expected_version(page);

    if (page_is(page, version))
        return;
    if (counters.bad++ < MAX_REPORTS)
        guest_print("CORRUPT page=%llu version=%llu stale=%d\n",
                    (unsigned long long) page, (unsigned long long) version,
                    version > 0 && page_is(page, version - 1));
}

static uint64_t
pages_per_slice(long mib_per_s, int64_t slice_ns)
{
    return (uint64_t) mib_per_s * 256 * (uint64_t) slice_ns / 1000000000LL;
}

static void *
run_dirty(void *arg)
{
    uint64_t todo = pages_per_slice(*(const long *) arg, DIRTY_NS), i;
    int64_t next = guest_now_ns();

    for (;;) {
        for (i = 0; i < todo; i++) {
            pthread_mutex_lock(&lock);
            page_fill(position, round_no + 1);
            if (++position == n_pages) {
                position = 0;
                round_no++;
            }
            counters.dirtied++;
            pthread_mutex_unlock(&lock);
        }
        guest_sleep_until(next += DIRTY_NS);
        if (guest_now_ns() > next + 20 * DIRTY_NS)
            next = guest_now_ns(); /* too slow for the rate: do not race */
    }
    return NULL;
}

static void *
run_verify(void *arg)
{
    uint64_t todo = pages_per_slice(*(const long *) arg, VERIFY_NS);
    uint64_t page = 0, i;
    int64_t next = guest_now_ns();

    for (;;) {
        for (i = 0; i < todo; i++) {
            pthread_mutex_lock(&lock);
            verify_page(page);
            if (++page == n_pages) {
                page = 0;
                counters.passes++;
            }
            pthread_mutex_unlock(&lock);
        }
        guest_sleep_until(next += VERIFY_NS);
        if (guest_now_ns() > next + 4 * VERIFY_NS)
            next = guest_now_ns();
    }
    return NULL;
}

int
memory_start(const struct guest_config *config)
{
    uint64_t i;

    if (config->fill <= 0)
        return 0;
    n_pages = (uint64_t) config->fill * 256;
    memory = mmap(NULL, n_pages * GUEST_BLOCK, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return -1;
    for (i = 0; i < n_pages; i++)
        page_fill(i, 0);
    if (config->dirty > 0)
        guest_thread(run_dirty, (void *) &config->dirty);
    if (config->verify > 0)
        guest_thread(run_verify, (void *) &config->verify);
    return 0;
}

struct mem_counters
memory_counters(void)
{
    struct mem_counters c;

    pthread_mutex_lock(&lock);
    c = counters;
    pthread_mutex_unlock(&lock);
    return c;
}
