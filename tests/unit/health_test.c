/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/* Which missed health checks count, what is kept of them, and for how long. */
#include "config.h"
#include <stdlib.h>
#include <string.h>
#include <glib.h>
#include <glib/gstdio.h>
#include "health.h"
#include "runtime.h"
#include "timeouts.h"
#include "unit.h"

#define GRACE (100 * QM_S)

static const uint8_t vm[QM_UUID_LEN] = {1, 2, 3, 4, 5, 6, 7, 8,
                                        9, 8, 7, 6, 5, 4, 3, 2};

/* g: good answer, m: miss; what each is worth: G good, E early, M counts,
 * F failed.  Ten seconds between two checks. */
static void
test_sequences(void **state)
{
    static const struct {
        unsigned limit;
        const char *checks, *worth;
    } rows[] = {
        {3, "ggg", "GGG"},
        {3, "gmmgmmgmm", "GMMGMMGMM"},
        {3, "gmmm", "GMMF"},
        {3, "gmmmmg", "GMMFFG"},
        {3, "gmmmgmm", "GMMFGMM"},
        {1, "gm", "GF"},
        {3, "mmmg", "EEEG"},
        {3, "mmmgmmm", "EEEGMMF"},
        /* The grace is over 100 s after the first check. */
        {2, "mmmmmmmmmmmmm", "EEEEEEEEEEMFF"},
    };
    static const char names[] = {'G', 'E', 'M', 'F'};

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        qm_health h = {.generation = 1};
        char worth[32] = "";
        uint64_t misses = 0;

        for (size_t n = 0; rows[i].checks[n] != '\0'; n++) {
            bool good = rows[i].checks[n] == 'g';

            worth[n] = names[qm__health_step(
                &h, good, (int64_t) (1 + n * 10) * QM_S, GRACE, rows[i].limit)];
            misses += !good;
            assert_int_equal(h.misses, misses);
            assert_int_equal(h.failed, worth[n] == 'F');
        }
        assert_string_equal(worth, rows[i].worth);
    }
}

static void
test_no_grace(void **state)
{
    qm_health h = {0};

    assert_int_equal(qm__health_step(&h, false, QM_S, 0, 2), QM_HEALTH_MISS);
    assert_int_equal(qm__health_step(&h, false, QM_S, 0, 2), QM_HEALTH_FAILED);
}

static void
test_note(void **state)
{
    qm_health h, written = {.generation = 7,
                            .since = 12345678901,
                            .answered = true,
                            .failed = true,
                            .row = 4,
                            .misses = 9};
    g_autofree char *path = qm__vm_path(vm, "health");
    GStatBuf st;

    qm__health_read(vm, 7, &h);
    assert_int_equal(h.generation, 7);
    assert_int_equal(h.since, 0);
    assert_int_equal(h.misses, 0);
    CHECK_OK(qm__runtime_prepare(vm, &err));
    CHECK_OK(qm__health_write(vm, &written, &err));
    assert_int_equal(g_stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    qm__health_read(vm, 7, &h);
    assert_int_equal(h.since, written.since);
    assert_true(h.answered && h.failed);
    assert_int_equal(h.row, 4);
    assert_int_equal(h.misses, 9);
    /* Started or moved since: only the sum of this boot is left. */
    qm__health_read(vm, 8, &h);
    assert_int_equal(h.generation, 8);
    assert_int_equal(h.since, 0);
    assert_false(h.answered || h.failed);
    assert_int_equal(h.row, 0);
    assert_int_equal(h.misses, 9);
    assert_true(g_file_set_contents(path, "7 rubbish", -1, NULL));
    qm__health_read(vm, 7, &h);
    assert_int_equal(h.generation, 7);
    assert_false(h.failed);
    assert_int_equal(h.misses, 0);
}

static int
setup(void **state)
{
    char *dir = g_dir_make_tmp("qm-health-XXXXXX", NULL);

    if (dir == NULL)
        return -1;
    *state = dir;
    g_autofree char *run = g_build_filename(dir, "run", NULL);
    return g_setenv("QM_RUN_DIR", run, TRUE) ? 0 : -1;
}

static int
teardown(void **state)
{
    g_autofree char *command = g_strdup_printf("rm -rf '%s'", (char *) *state);

    g_free(*state);
    return system(command);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sequences),
        cmocka_unit_test(test_no_grace),
        cmocka_unit_test(test_note),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
