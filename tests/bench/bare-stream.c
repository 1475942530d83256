/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * bare-stream URL read|write OUTSTANDING MIB: what libiscsi and the target
 * can do, to compare quickmig's image stream with: 1 MiB commands from 4 MiB
 * on, nothing else.  Overwrites the LUN.  Prints one line of JSON; the rate
 * of "write" is without the flush, "flushed" with it.
 */
#include "config.h"
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>

#define CHUNK ((size_t) 1024 * 1024)
#define START ((uint64_t) 4 * 1024 * 1024)
#define SLOTS 64

typedef struct {
    struct scsi_iovec iov;
    struct stream *stream;
} slot;

typedef struct stream {
    struct iscsi_context *iscsi;
    int lun;
    bool write;
    uint32_t block; /* bytes */
    uint64_t next;  /* bytes moved or on their way */
    uint64_t total;
    unsigned in_flight;
    slot slots[SLOTS];
} stream;

_Noreturn static void
die(struct iscsi_context *iscsi, const char *what)
{
    fprintf(stderr, "bare-stream: %s: %s\n", what, iscsi_get_error(iscsi));
    exit(1);
}

static double
now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static void
on_done(struct iscsi_context *iscsi, int status, void *data, void *opaque);

static void
send_next(slot *s)
{
    stream *t = s->stream;
    uint64_t lba = (START + t->next) / t->block;
    struct scsi_task *task;

    if (t->next >= t->total)
        return;
    task = t->write
               ? scsi_cdb_write16(lba, CHUNK, (int) t->block, 0, 0, 0, 0, 0)
               : scsi_cdb_read16(lba, CHUNK, (int) t->block, 0, 0, 0, 0, 0);
    if (t->write)
        scsi_task_set_iov_out(task, &s->iov, 1);
    else
        scsi_task_set_iov_in(task, &s->iov, 1);
    if (iscsi_scsi_command_async(t->iscsi, t->lun, task, on_done, NULL, s) != 0)
        die(t->iscsi, "command");
    t->next += CHUNK;
    t->in_flight++;
}

static void
on_done(struct iscsi_context *iscsi, int status, void *data, void *opaque)
{
    slot *s = opaque;

    if (status != SCSI_STATUS_GOOD)
        die(iscsi, "transfer");
    scsi_free_scsi_task(data);
    s->stream->in_flight--;
    send_next(s);
}

static void
run(stream *t, unsigned outstanding)
{
    for (unsigned i = 0; i < outstanding; i++) {
        slot *s = &t->slots[i];

        s->stream = t;
        s->iov.iov_len = CHUNK;
        s->iov.iov_base = aligned_alloc(4096, CHUNK);
        if (s->iov.iov_base == NULL)
            abort();
        memset(s->iov.iov_base, 'a' + (int) i % 26, CHUNK);
        send_next(s);
    }
    while (t->in_flight > 0) {
        struct pollfd p = {.fd = iscsi_get_fd(t->iscsi),
                           .events = (short) iscsi_which_events(t->iscsi)};

        if (poll(&p, 1, 10000) <= 0 || iscsi_service(t->iscsi, p.revents) < 0)
            die(t->iscsi, "service");
    }
}

static void
open_lun(stream *t, const char *text)
{
    struct iscsi_url *url;
    struct scsi_task *task;
    struct scsi_readcapacity16 *capacity;

    t->iscsi = iscsi_create_context("iqn.2026-01.org.example:bench");
    url = iscsi_parse_full_url(t->iscsi, text);
    if (url == NULL)
        die(t->iscsi, text);
    iscsi_set_noautoreconnect(t->iscsi, 1);
    iscsi_set_session_type(t->iscsi, ISCSI_SESSION_NORMAL);
    iscsi_set_targetname(t->iscsi, url->target);
    t->lun = url->lun;
    if (iscsi_full_connect_sync(t->iscsi, url->portal, t->lun) != 0)
        die(t->iscsi, "login");
    iscsi_destroy_url(url);
    task = iscsi_readcapacity16_sync(t->iscsi, t->lun);
    if (task == NULL || task->status != SCSI_STATUS_GOOD ||
        (capacity = scsi_datain_unmarshall(task)) == NULL)
        die(t->iscsi, "capacity");
    t->block = capacity->block_length;
    if ((capacity->returned_lba + 1) * t->block < START + t->total) {
        fprintf(stderr, "bare-stream: the LUN is too small\n");
        exit(1);
    }
    scsi_free_scsi_task(task);
}

int
main(int argc, char **argv)
{
    stream t = {0};
    struct scsi_task *task;
    unsigned outstanding;
    double began, moved, flushed;

    if (argc != 5 ||
        (strcmp(argv[2], "read") != 0 && strcmp(argv[2], "write") != 0) ||
        (outstanding = (unsigned) atoi(argv[3])) < 1 || outstanding > SLOTS) {
        fprintf(stderr, "usage: bare-stream URL read|write OUTSTANDING MIB\n");
        return 2;
    }
    t.write = argv[2][0] == 'w';
    t.total = strtoull(argv[4], NULL, 10) * CHUNK;
    open_lun(&t, argv[1]);
    began = now();
    run(&t, outstanding);
    moved = now();
    task = iscsi_synchronizecache16_sync(t.iscsi, t.lun, 0, 0, 0, 0);
    if (task == NULL || task->status != SCSI_STATUS_GOOD)
        die(t.iscsi, "flush");
    flushed = now();
    scsi_free_scsi_task(task);
    printf("{\"what\": \"bare %s\", \"outstanding\": %u, \"mib\": %llu, "
           "\"mb_per_s\": %.0f, \"flushed_mb_per_s\": %.0f}\n",
           argv[2], outstanding, (unsigned long long) (t.total / CHUNK),
           (double) t.total / 1e6 / (moved - began),
           (double) t.total / 1e6 / (flushed - began));
    (void) iscsi_logout_sync(t.iscsi); /* measured already */
    iscsi_destroy_context(t.iscsi);
    for (unsigned i = 0; i < outstanding; i++)
        free(t.slots[i].iov.iov_base);
    return 0;
}
