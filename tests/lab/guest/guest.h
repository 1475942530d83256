/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) 2026 the quickmig authors
 *
 * The parts of the lab guest's init. One line of the serial console is one
 * write(2), so that lines of several threads do not mix.
 */
#ifndef LAB_GUEST_H
#define LAB_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#define GUEST_BLOCK     4096
#define GUEST_MAX_DISKS 4

/* From the kernel's command line, e.g. "fill=64 dirty=10". */
struct guest_config {
    char ip[32]; /* ADDR/PREFIX for eth0, empty: no network */
    long tick;   /* ms between two ticks */
    long fill;   /* MiB of memory with a checkable pattern */
    long dirty;  /* MiB/s of it that are rewritten */
    long verify; /* MiB/s of it that are checked */
    long disk;   /* ms between two blocks of the disk log */
    long other;  /* ms between two runs of another process, 0: none */
};

struct mem_counters {
    uint64_t passes;  /* completed verification passes over all memory */
    uint64_t bad;     /* pages found wrong, ever */
    uint64_t dirtied; /* pages rewritten, ever */
};

extern char guest_boot_id[37]; /* written once, before threads start */

/* init.c */
int64_t guest_now_ns(void);
void guest_sleep_until(int64_t ns);
void guest_print(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void guest_thread(void *(*run)(void *), void *arg);

/* memory.c */
int memory_start(const struct guest_config *config);
struct mem_counters memory_counters(void);

/* disk.c */
int disk_start(const struct guest_config *config);
int disk_count(void);
uint64_t disk_synced(int disk); /* last fsynced sequence number, 0: none */
void disk_stop(void);           /* returns when no write is under way */

/* net.c */
int net_up(const char *interface, const char *address);

/* agent.c */
void agent_start(void);

/* power.c */
void power_wait_button(void); /* returns when the power button was pressed */

#endif
