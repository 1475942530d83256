/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) 2026 the quickmig authors
 *
 * The disk log: numbered, checksummed blocks, each of them synced before the
 * next is written and before its number is shown on the console. So after any
 * failure the disk must hold an unbroken log up to at least the number last
 * seen there, and no block of an earlier boot after one of a later boot.
 * Block n of the log lies at block (n - 1) modulo the size of the disk.
 */
#define _GNU_SOURCE
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <linux/fs.h>
#include <unistd.h>

#define MAGIC       0x31474F4C4B534451ULL /* "QDSKLOG1" in memory */
#define SCAN_BLOCKS 64

/* Little-endian, as is the machine; tests/lab/disklog reads it. */
struct block {
    uint64_t magic;
    uint64_t seq; /* from 1 */
    int64_t mono_ns;
    char boot_id[40]; /* text, zero-padded */
    uint32_t crc;     /* CRC-32 of the block with this field zero */
    uint32_t pad;
    uint64_t fill[(GUEST_BLOCK - 72) / 8];
};
_Static_assert(sizeof(struct block) == GUEST_BLOCK, "block layout");

struct disk {
    const char *name;
    int fd;
    uint64_t n_blocks;
    int64_t period_ns;
    struct block *buffer; /* SCAN_BLOCKS blocks, aligned for O_DIRECT */
    uint64_t next_seq;    /* owned by the disk's thread */
    uint64_t synced;      /* under the lock */
    bool writing;         /* under the lock */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t idle = PTHREAD_COND_INITIALIZER;
static bool stopping; /* under the lock */
static struct disk disks[GUEST_MAX_DISKS];
static int n_disks;
static uint32_t crc_table[256];

static void
crc_init(void)
{
    uint32_t i, k, c;

    for (i = 0; i < 256; i++) {
        for (c = i, k = 0; k < 8; k++)
            c = c & 1 ? c >> 1 ^ 0xEDB88320U : c >> 1;
        crc_table[i] = c;
    }
}

static uint32_t
block_crc(const struct block *b)
{
    const unsigned char *p = (const unsigned char *) b;
    const size_t at = offsetof(struct block, crc);
    uint32_t c = ~0U;
    size_t i;

    for (i = 0; i < sizeof *b; i++)
        c = c >> 8 ^ crc_table[(c ^ (i - at < 4 ? 0 : p[i])) & 0xFF];
    return ~c;
}

static bool
block_valid(const struct block *b)
{
    return b->magic == MAGIC && b->seq > 0 && b->crc == block_crc(b);
}

static void
block_make(struct block *b, uint64_t seq)
{
    size_t i;

    memset(b, 0, sizeof *b);
    b->magic = MAGIC;
    b->seq = seq;
    b->mono_ns = guest_now_ns();
    memcpy(b->boot_id, guest_boot_id, sizeof guest_boot_id);
    for (i = 0; i < sizeof b->fill / sizeof b->fill[0]; i++)
        b->fill[i] = seq * 0x9E3779B97F4A7C15ULL + i;
    b->crc = block_crc(b);
}

/* The log ends before the first block that does not follow its predecessor. */
static int
find_end(struct disk *d)
{
    uint64_t at = 0, last = 0;
    ssize_t got, i;

    while (at < d->n_blocks) {
        got = pread(d->fd, d->buffer, SCAN_BLOCKS * GUEST_BLOCK,
                    (off_t) (at * GUEST_BLOCK));
        if (got < GUEST_BLOCK)
            return -1;
        for (i = 0; i < got / GUEST_BLOCK; i++, at++) {
            const struct block *b = &d->buffer[i];

            if (!block_valid(b) || (at > 0 && b->seq != last + 1))
                goto out;
            last = b->seq;
        }
    }
out:
    d->next_seq = last + 1;
    d->synced = last;
    return 0;
}

static bool
enter_write(struct disk *d)
{
    pthread_mutex_lock(&lock);
    d->writing = !stopping;
    pthread_mutex_unlock(&lock);
    return d->writing;
}

static void
leave_write(struct disk *d, bool ok)
{
    pthread_mutex_lock(&lock);
    d->writing = false;
    if (ok)
        d->synced = d->next_seq++;
    pthread_cond_broadcast(&idle);
    pthread_mutex_unlock(&lock);
}

static void
append(struct disk *d)
{
    off_t at = (off_t) ((d->next_seq - 1) % d->n_blocks * GUEST_BLOCK);
    ssize_t n;

    block_make(d->buffer, d->next_seq);
    errno = 0;
    n = pwrite(d->fd, d->buffer, GUEST_BLOCK, at);
    if (n == GUEST_BLOCK && fsync(d->fd) == 0) {
        leave_write(d, true);
        return;
    }
    guest_print("DISKERR disk=%s seq=%llu n=%zd errno=%d\n", d->name,
                (unsigned long long) d->next_seq, n, errno);
    leave_write(d, false);
}

static void *
run_log(void *arg)
{
    struct disk *d = arg;
    int64_t next = guest_now_ns();

    for (;;) {
        if (enter_write(d))
            append(d);
        guest_sleep_until(next += d->period_ns);
        if (guest_now_ns() > next + d->period_ns)
            next = guest_now_ns();
    }
    return NULL;
}

static int
disk_open(struct disk *d, const char *name)
{
    uint64_t bytes;
    char path[32];

    (void) snprintf(path, sizeof path, "/dev/%s", name);
    d->name = name;
    d->fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
    if (d->fd < 0)
        return -1;
    if (ioctl(d->fd, BLKGETSIZE64, &bytes) < 0 ||
        posix_memalign((void **) &d->buffer, GUEST_BLOCK,
                       SCAN_BLOCKS * GUEST_BLOCK) != 0)
        return -1;
    d->n_blocks = bytes / GUEST_BLOCK;
    return find_end(d);
}

int
disk_start(const struct guest_config *config)
{
    static const char *const names[GUEST_MAX_DISKS] = {"vda", "vdb", "vdc",
                                                       "vdd"};
    struct disk *d;

    crc_init();
    while (n_disks < GUEST_MAX_DISKS) {
        d = &disks[n_disks];
        if (disk_open(d, names[n_disks]) < 0)
            break;
        d->period_ns = config->disk * 1000000LL;
        guest_print("DISK disk=%s blocks=%llu next=%llu\n", d->name,
                    (unsigned long long) d->n_blocks,
                    (unsigned long long) d->next_seq);
        n_disks++;
        if (config->disk > 0)
            guest_thread(run_log, d);
    }
    return n_disks;
}

int
disk_count(void)
{
    return n_disks;
}

uint64_t
disk_synced(int disk)
{
    uint64_t seq;

    pthread_mutex_lock(&lock);
    seq = disks[disk].synced;
    pthread_mutex_unlock(&lock);
    return seq;
}

void
disk_stop(void)
{
    int i;

    pthread_mutex_lock(&lock);
    stopping = true;
    for (i = 0; i < n_disks; i++) {
        while (disks[i].writing)
            pthread_cond_wait(&idle, &lock);
    }
    pthread_mutex_unlock(&lock);
}
