/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * When compression pays: slow and fast storage, memory that compresses and
 * memory that does not, a slow processor; and that it is looked at again.
 */
#include "config.h"
#include <string.h>
#include "unit.h"
#include "image-codec.h"
#include "timeouts.h"

#define MB UINT64_C(1000000)

/* @link, @lz4: MB/s; @ratio: per cent. */
typedef struct {
    uint64_t link, lz4, ratio;
    bool bound; /* the storage is what it waits for */
} world;

static qm_codec_round
run_round(const qm_codec_choice *c, const world *w)
{
    qm_codec_round r = {0};

    while (!qm__codec_due(c, &r)) {
        uint64_t stored = qm__codec_on(c) ? MB * w->ratio / 100 : MB;
        int64_t cpu = qm__codec_on(c) ? (int64_t) (QM_S / (int64_t) w->lz4) : 0;
        int64_t link = (int64_t) (stored / w->link);

        r.chunks++;
        r.raw += MB;
        r.stored += stored;
        r.compressing += cpu;
        r.elapsed += MAX(link, cpu);
        r.waited += w->bound ? MAX(link - cpu, 0) : 0;
        assert_true(r.chunks < 1000);
    }
    return r;
}

/* What is decided after @rounds of them; @ret_told: how often it was said. */
static bool
decide(qm_codec_choice *c, const world *w, int rounds, int *ret_told)
{
    *ret_told = 0;
    for (int i = 0; i < rounds; i++) {
        qm_codec_round r = run_round(c, w);
        char *text;

        qm__codec_judge(c, &r, &text);
        *ret_told += text != NULL;
        g_free(text);
    }
    return qm__codec_on(c);
}

static void
test_slow_storage_and_soft_memory(void **state)
{
    qm_codec_choice c = {0};
    const world w = {.link = 110, .lz4 = 600, .ratio = 40, .bound = true};
    int told;

    assert_true(decide(&c, &w, 2, &told));
    assert_int_equal(told, 1);
    assert_true(decide(&c, &w, 10, &told));
    assert_int_equal(told, 0); /* nothing new */
}

static void
test_memory_that_does_not_compress(void **state)
{
    qm_codec_choice c = {0};
    const world w = {.link = 110, .lz4 = 600, .ratio = 100, .bound = true};
    int told;

    assert_false(decide(&c, &w, 2, &told));
    assert_int_equal(told, 1);
}

static void
test_fast_storage(void **state)
{
    qm_codec_choice c = {0};
    const world w = {.link = 1200, .lz4 = 600, .ratio = 40, .bound = true};
    const world idle = {.link = 1200, .lz4 = 600, .ratio = 40, .bound = false};
    int told;

    assert_false(decide(&c, &w, 2, &told));
    memset(&c, 0, sizeof c);
    assert_false(decide(&c, &idle, 1, &told));
    assert_int_equal(told, 1);
}

static void
test_slow_processor(void **state)
{
    qm_codec_choice c = {0};
    const world w = {.link = 110, .lz4 = 115, .ratio = 40, .bound = true};
    int told;

    assert_false(decide(&c, &w, 2, &told));
}

/* The first megabytes tell little about the rest. */
static void
test_changes_its_mind(void **state)
{
    qm_codec_choice c = {0};
    const world hard = {.link = 110, .lz4 = 600, .ratio = 100, .bound = true};
    const world soft = {.link = 110, .lz4 = 600, .ratio = 30, .bound = true};
    int told;

    assert_false(decide(&c, &hard, 2, &told));
    assert_true(decide(&c, &soft, 2, &told));
    assert_int_equal(told, 1);
    assert_false(decide(&c, &hard, 1, &told));
    assert_int_equal(told, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slow_storage_and_soft_memory),
        cmocka_unit_test(test_memory_that_does_not_compress),
        cmocka_unit_test(test_fast_storage),
        cmocka_unit_test(test_slow_processor),
        cmocka_unit_test(test_changes_its_mind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
