/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * lun-stress URL ROUNDS: takeovers under load.  In each round an old owner
 * writes to all blocks with 32 commands in flight; a new one acquires the LUN
 * and, at once, stamps every block.  When the old owner has been told that it
 * is fenced, every block must still carry the new owner's stamp.
 */
#include "config.h"
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "reservation.h"
#include "timeouts.h"

#define BLOCKS 256 /* of 4 KiB */
#define BLOCK  4096
#define DEPTH  32
#define LIMIT  (20 * QM_S)

static bool
yes(void *opaque, GError **error)
{
    return true;
}

_Noreturn static void
die(const char *what, const GError *error)
{
    fprintf(stderr, "lun-stress: %s: %s\n", what,
            error != NULL ? error->message : "failed");
    exit(1);
}

static qm_lun *
acquire(const qm_url *url, uint16_t node)
{
    g_autofree char *initiator =
        g_strdup_printf("iqn.2026-01.org.example:node%u", node);
    g_autofree char *run = g_strdup_printf("%s/node%u", g_get_tmp_dir(), node);
    qm_lun_params params = {.url = url,
                            .own_session = getenv("LUN_TOOL_OWN") != NULL,
                            .initiator = initiator,
                            .nexus = QM_NEXUS_WRITER,
                            .node_id = node};
    g_autoptr(GError) error = NULL;
    qm_lun *lun;
    uint64_t key;

    g_setenv("QM_RUN_DIR", run, TRUE); /* each has its own locks */
    if (!qm__lun_open(&params, qm__deadline_in(LIMIT), &lun, &error) ||
        !qm__pr_acquire(lun, node, yes, NULL, qm__deadline_in(LIMIT), &key,
                        &error))
        die("acquire", error);
    return lun;
}

/* --- the old owner ------------------------------------------------------- */

typedef struct owner owner;

typedef struct {
    owner *owner;
    struct iovec iov;
} slot;

struct owner {
    qm_lun *lun;
    slot slots[DEPTH];
    unsigned next; /* block */
    uint64_t acknowledged;
    qm_scsi_result end;
    char block[BLOCK];
};

static void on_written(void *opaque, const qm_scsi_status *status);

static void
write_next(slot *s)
{
    owner *o = s->owner;
    uint64_t offset = (uint64_t) (o->next++ % BLOCKS) * BLOCK;

    s->iov = (struct iovec){.iov_base = o->block, .iov_len = BLOCK};
    if (!qm__lun_submit(o->lun, QM_LUN_WRITE, offset, &s->iov, 1, false,
                        on_written, s))
        o->end = QM_SCSI_LOST;
}

static void
on_written(void *opaque, const qm_scsi_status *status)
{
    slot *s = opaque;

    if (status->result == QM_SCSI_GOOD)
        s->owner->acknowledged++;
    else
        s->owner->end = status->result;
    if (s->owner->end == QM_SCSI_GOOD)
        write_next(s);
}

/* Exit code 0: fenced, as it should be. */
static void
old_owner(const qm_url *url, int ready)
{
    owner o = {.lun = acquire(url, 1), .end = QM_SCSI_GOOD};
    int64_t deadline = qm__deadline_in(LIMIT);
    bool told = false;

    memset(o.block, 'A', sizeof o.block);
    for (int i = 0; i < DEPTH; i++) {
        o.slots[i].owner = &o;
        write_next(&o.slots[i]);
    }
    while (o.end == QM_SCSI_GOOD && !qm__passed(deadline)) {
        struct pollfd p = {.fd = qm__lun_fd(o.lun),
                           .events = qm__lun_events(o.lun)};

        (void) poll(&p, 1, 1000);
        (void) qm__lun_service(o.lun, p.revents);
        if (!told && o.acknowledged > BLOCKS)
            told = write(ready, "r", 1) == 1; /* well under way */
    }
    printf("  old owner: %" PRIu64 " writes acknowledged, then %s\n",
           o.acknowledged,
           o.end == QM_SCSI_FENCED ? "fenced" : "something else");
    fflush(stdout);
    _exit(o.end == QM_SCSI_FENCED ? 0 : 1);
}

/* --- the new one --------------------------------------------------------- */

static unsigned
count_stale(qm_lun *lun)
{
    g_autofree char *all = g_malloc(BLOCKS * BLOCK);
    g_autoptr(GError) error = NULL;
    unsigned stale = 0;

    if (!qm__lun_read(lun, 0, all, BLOCKS * BLOCK, qm__deadline_in(LIMIT),
                      &error))
        die("reading back", error);
    for (unsigned i = 0; i < BLOCKS * BLOCK; i += 512)
        stale += all[i] != 'B' || all[i + 511] != 'B';
    return stale;
}

static int
one_round(const qm_url *url, int64_t *ret_us)
{
    g_autofree char *stamp = g_malloc(BLOCKS * BLOCK);
    g_autoptr(GError) error = NULL;
    int ready[2], status = 1;
    int64_t began;
    unsigned stale;
    char byte;
    qm_lun *lun;
    pid_t child;

    memset(stamp, 'B', BLOCKS * BLOCK);
    if (pipe(ready) < 0 || (child = fork()) < 0)
        die("fork", NULL);
    if (child == 0)
        old_owner(url, ready[1]);
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 1)
        die("the old owner does not write", NULL);
    close(ready[0]);
    began = qm__now();
    lun = acquire(url, 2);
    *ret_us = qm__now() - began;
    if (!qm__lun_write(lun, 0, stamp, BLOCKS * BLOCK, qm__deadline_in(LIMIT),
                       &error))
        die("the new owner's write", error);
    stale = count_stale(lun);
    if (waitpid(child, &status, 0) != child || status != 0)
        die("the old owner was not told that it is fenced", NULL);
    stale += count_stale(lun);
    qm__lun_close(lun);
    return (int) stale;
}

int
main(int argc, char **argv)
{
    g_autoptr(qm_url) url = NULL;
    g_autoptr(GError) error = NULL;
    int64_t us, worst = 0;

    if (argc != 3 || !qm_url_parse(argv[1], &url, &error))
        die("usage: lun-stress URL ROUNDS", error);
    for (int i = 0; i < atoi(argv[2]); i++) {
        int stale = one_round(url, &us);

        worst = MAX(worst, us);
        if (stale != 0) {
            printf("round %d: %d stale sectors\n", i, stale);
            return 1;
        }
    }
    printf("%s takeovers, no stale block; slowest login and acquire %" PRId64
           " us\n",
           argv[2], worst);
    return 0;
}
