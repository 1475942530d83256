/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * lun-race URL NODES ROUNDS: several nodes acquire the same LUN against each
 * other, again and again.  Who has it reads a counter and writes it back,
 * raised by one.  In the end the counter has to say how many of these writes
 * were acknowledged: had two nodes held the LUN at once, or had a write come
 * late, one would be missing.
 */
#include "config.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "reservation.h"
#include "timeouts.h"

#define BLOCK 4096
#define LIMIT (10 * QM_S)

typedef struct {
    uint32_t raised;    /* writes acknowledged */
    uint32_t conflicts; /* races lost */
    uint32_t failures;  /* anything else */
} tally;

static bool
yes(void *opaque, GError **error)
{
    return true;
}

static bool
log_in(const qm_url *url, uint16_t node, qm_lun **ret_lun, GError **error)
{
    g_autofree char *initiator =
        g_strdup_printf("iqn.2026-01.org.example:node%u", node);
    g_autofree char *run = g_strdup_printf("%s/node%u", g_get_tmp_dir(), node);
    qm_lun_params params = {.url = url,
                            .own_session = getenv("LUN_TOOL_OWN") != NULL,
                            .initiator = initiator,
                            .nexus = QM_NEXUS_WRITER,
                            .node_id = node};

    g_setenv("QM_RUN_DIR", run, TRUE);
    return qm__lun_open(&params, qm__deadline_in(LIMIT), ret_lun, error);
}

static bool
raise_counter(qm_lun *lun, GError **error)
{
    uint64_t block[BLOCK / 8] = {0};

    if (!qm__lun_read(lun, 0, block, sizeof block, qm__deadline_in(LIMIT),
                      error))
        return false;
    block[0]++;
    return qm__lun_write(lun, 0, block, sizeof block, qm__deadline_in(LIMIT),
                         error);
}

static bool
one_round(const qm_url *url, uint16_t node, uint32_t *raised, GError **error)
{
    g_autoptr(qm_lun) lun = NULL;
    uint64_t key;

    if (!log_in(url, node, &lun, error) ||
        !qm__pr_acquire(lun, node, yes, NULL, qm__deadline_in(LIMIT), &key,
                        error))
        return false;
    for (int i = 0; i < 20; i++) {
        if (!raise_counter(lun, error))
            return false;
        ++*raised;
    }
    return true;
}

static tally
compete(const qm_url *url, uint16_t node, int rounds)
{
    tally t = {0};

    for (int i = 0; i < rounds; i++) {
        g_autoptr(GError) error = NULL;

        if (one_round(url, node, &t.raised, &error))
            continue;
        if (g_error_matches(error, QM_ERROR, QM_ERROR_CONFLICT)) {
            t.conflicts++;
        } else {
            t.failures++;
            fprintf(stderr, "node %u: %s\n", node, error->message);
        }
        g_usleep((gulong) g_random_int_range(0, 3000)); /* as vault.c does */
    }
    return t;
}

static bool
check(const qm_url *url, const tally *sum)
{
    g_autoptr(qm_lun) lun = NULL;
    g_autoptr(GError) error = NULL;
    uint64_t block[BLOCK / 8] = {0};

    if (!log_in(url, 100, &lun, &error) ||
        !qm__lun_read(lun, 0, block, sizeof block, qm__deadline_in(LIMIT),
                      &error)) {
        fprintf(stderr, "lun-race: %s\n", error->message);
        return false;
    }
    printf("counter %" PRIu64 ", %u writes acknowledged, %u races lost, %u "
           "failures\n",
           block[0], sum->raised, sum->conflicts, sum->failures);
    return block[0] == sum->raised && sum->failures == 0 && sum->raised > 0;
}

int
main(int argc, char **argv)
{
    g_autoptr(qm_url) url = NULL;
    int results[2];
    tally t, sum = {0};

    if (argc != 4 || !qm_url_parse(argv[1], &url, NULL) || pipe(results) < 0) {
        fprintf(stderr, "usage: lun-race URL NODES ROUNDS\n");
        return 2;
    }
    for (int node = 1; node <= atoi(argv[2]); node++)
        if (fork() == 0) {
            t = compete(url, (uint16_t) node, atoi(argv[3]));
            _exit(write(results[1], &t, sizeof t) == sizeof t ? 0 : 1);
        }
    close(results[1]);
    while (wait(NULL) > 0)
        ;
    while (read(results[0], &t, sizeof t) == sizeof t) {
        sum.raised += t.raised;
        sum.conflicts += t.conflicts;
        sum.failures += t.failures;
    }
    return check(url, &sum) ? 0 : 1;
}
