/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * stream URL format|save|load MIB [memory|pipe [encrypted]]: an image through
 * quickmig's own reader and writer, as an action would.  The guest's state is a
 * file in memory (save) or nothing (load: /dev/null); or it comes and goes
 * through a pipe of libvirt's kind, whose other end is a thread.  Overwrites
 * the LUN. Prints one line of JSON; a save ends with its flushes.
 */
#include "config.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "image-crypt.h"
#include "timeouts.h"
#include "vault-backend.h"

#define MIB       ((size_t) 1 << 20)
#define PIECE     (64 * 1024) /* QEMU's channels write about as much */
#define INITIATOR "iqn.2026-01.org.example:bench"
#define IMAGE_ID  7
#define SECRET    "not a secret: a benchmark's, 0123456789"

static const uint8_t uuid[QM_UUID_LEN] = {'b', 'e', 'n', 'c', 'h'};

typedef struct {
    int fd;
    uint8_t *data; /* NULL: read and forget */
    size_t length;
} peer;

/* Of this thread, µs: what our side of it costs. */
static int64_t
cpu_time(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t) t.tv_sec * QM_S + t.tv_nsec / 1000;
}

static void
die(const char *what, const GError *error)
{
    fprintf(stderr, "stream: %s: %s\n", what,
            error != NULL ? error->message : g_strerror(errno));
    exit(1);
}

static int64_t
soon(void)
{
    return qm__deadline_in(300 * QM_S);
}

static qm_vault_params
params_of(const char *url)
{
    return (qm_vault_params){.url = url, .initiator = INITIATOR, .node_id = 1};
}

static void
format(const char *url)
{
    qm_vault_params p = params_of(url);
    g_autoptr(GError) error = NULL;

    if (!qm_vault_format(&p, uuid, "bench", "<domain/>", true, soon(), &error))
        die("format", error);
}

static bool
yes(const qm_record *record, void *opaque, GError **error)
{
    return true;
}

/* Neither zeros nor noise: half of it compresses. */
static uint8_t *
make_data(size_t length, int *ret_fd)
{
    int fd = memfd_create("state", 0);
    uint8_t *data;

    if (fd < 0 || ftruncate(fd, (off_t) length) < 0)
        die("memory file", NULL);
    data = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED)
        die("memory file", NULL);
    for (size_t i = 0; i + 4 <= length; i += 8) {
        uint32_t noise = (uint32_t) (i * 2654435761u) ^ (uint32_t) (i >> 7);

        memcpy(data + i, &noise, sizeof noise);
    }
    *ret_fd = fd;
    return data;
}

static void *
run_peer(void *opaque)
{
    static uint8_t sink[PIECE];
    peer *p = opaque;

    while (p->length > 0) {
        size_t n = MIN(p->length, PIECE);
        ssize_t done =
            p->data != NULL ? write(p->fd, p->data, n) : read(p->fd, sink, n);

        if (done <= 0)
            break;
        p->length -= (size_t) done;
        if (p->data != NULL)
            p->data += done;
    }
    close(p->fd);
    return NULL;
}

/* Our end of a pipe to a thread, non-blocking. */
static int
through_pipe(peer *p, pthread_t *ret_thread)
{
    bool saving = p->data != NULL;
    int ends[2], mine;

    if (pipe(ends) < 0)
        die("pipe", NULL);
    mine = ends[saving ? 0 : 1];
    p->fd = ends[saving ? 1 : 0];
    (void) fcntl(mine, F_SETPIPE_SZ, (int) MIB); /* as stream.c does */
    if (fcntl(mine, F_SETFL, O_NONBLOCK) < 0 ||
        pthread_create(ret_thread, NULL, run_peer, p) != 0)
        die("pipe", NULL);
    return mine;
}

static void
transfer(qm_vault *v, bool saving, int fd, bool encrypted)
{
    g_autoptr(qm_image_key) key = NULL;
    g_autoptr(GError) error = NULL;
    qm_store *store;

    if (encrypted && !qm__image_key_new(SECRET, &key, &error))
        die("key", error);
    if (!qm__vault_image(v, IMAGE_ID, saving, &store, &error))
        die("image", error);
    if (saving) {
        g_autoptr(qm_image_writer) w =
            qm__image_writer_new(store, uuid, IMAGE_ID, QM_CODEC_NONE);

        if (!qm__image_writer_encrypt(w, key, &error) ||
            !qm__image_write_from(w, fd, NULL, 0, soon(), NULL, NULL, &error) ||
            !qm__image_write_last(w, soon(), &error))
            die("save", error);
    } else {
        g_autoptr(qm_image_reader) r =
            qm__image_reader_new(store, uuid, IMAGE_ID);

        qm__image_reader_decrypt(r, key);
        if (!qm__image_read_to(r, fd, false, soon(), NULL, NULL, &error))
            die("load", error);
    }
}

static void
measure(const char *url, bool saving, size_t length, bool use_pipe,
        bool encrypted)
{
    qm_vault_params params = params_of(url);
    g_autoptr(qm_vault) v = NULL;
    g_autoptr(GError) error = NULL;
    peer p = {.length = length + MIB}; /* a load: to the end */
    pthread_t thread;
    qm_record record;
    int fd = -1;
    int64_t took, cpu;

    if (!qm_vault_open(&params, soon(), &v, &error) ||
        (saving && !qm_vault_acquire(v, yes, NULL, soon(), &record, &error)))
        die("vault", error);
    qm__vault_set_deadline(v, soon());
    if (saving)
        p.data = make_data(length, &fd), p.length = length;
    else
        fd = open("/dev/null", O_WRONLY);
    took = qm__now();
    cpu = cpu_time();
    if (use_pipe)
        fd = through_pipe(&p, &thread);
    transfer(v, saving, fd, encrypted);
    cpu = cpu_time() - cpu;
    close(fd);
    if (use_pipe)
        (void) pthread_join(thread, NULL);
    took = qm__now() - took;
    printf("{\"what\": \"%s\", \"through\": \"%s%s\", \"mib\": %zu, "
           "\"mb_per_s\": %.0f, \"cpu_ms\": %.0f}\n",
           saving ? "save" : "load", use_pipe ? "pipe" : "memory",
           encrypted ? " encrypted" : "", length / MIB,
           (double) length / (double) took, (double) cpu / 1000);
}

int
main(int argc, char **argv)
{
    bool saving;

    (void) signal(SIGPIPE, SIG_IGN);
    if (argc == 3 && strcmp(argv[2], "format") == 0) {
        format(argv[1]);
        return 0;
    }
    if (argc < 4) {
        fprintf(stderr,
                "usage: stream URL format\n"
                "       stream URL save|load MIB [memory|pipe [encrypted]]\n");
        return 2;
    }
    saving = strcmp(argv[2], "save") == 0;
    measure(argv[1], saving, strtoull(argv[3], NULL, 10) * MIB,
            argc > 4 && strcmp(argv[4], "pipe") == 0,
            argc > 5 && strcmp(argv[5], "encrypted") == 0);
    return 0;
}
