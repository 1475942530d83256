/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) 2026 the quickmig authors
 *
 * PID 1 of the lab guest: a guest that shows, on its serial console and on
 * its disks, whether a move kept its memory and its writes. Console lines:
 *   BOOT boot=ID ...    READY boot=ID   DISK ...   SHUTDOWN boot=ID
 *   TICK boot=ID n=N us=MONOTONIC pass=P bad=B dirty=MIB disk=SEQ[,SEQ...]
 *   CORRUPT ...   DISKERR ...
 */
#define _GNU_SOURCE
#include "guest.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

char guest_boot_id[37];
static struct guest_config config;

int64_t
guest_now_ns(void)
{
    struct timespec t;

    (void) clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

void
guest_sleep_until(int64_t ns)
{
    struct timespec t = {ns / 1000000000LL, ns % 1000000000LL};

    (void) clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

void
guest_print(const char *fmt, ...)
{
    char line[256];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (n > 0)
        (void) !write(1, line,
                      (size_t) n < sizeof line ? (size_t) n : sizeof line - 1);
}

void
guest_thread(void *(*run)(void *), void *arg)
{
    pthread_attr_t attr;
    pthread_t thread;

    (void) pthread_attr_init(&attr);
    (void) pthread_attr_setstacksize(&attr, 64 * 1024);
    if (pthread_create(&thread, &attr, run, arg) != 0)
        guest_print("FATAL cannot create a thread\n");
}

static void
read_file(const char *path, char *buf, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, buf, size - 1);

    buf[n > 0 ? n : 0] = '\0';
    buf[strcspn(buf, "\n")] = '\0';
    if (fd >= 0)
        close(fd);
}

static void
mount_all(void)
{
    (void) mkdir("/proc", 0755);
    (void) mkdir("/sys", 0755);
    (void) mkdir("/dev", 0755);
    (void) mount("proc", "/proc", "proc", 0, NULL);
    (void) mount("sys", "/sys", "sysfs", 0, NULL);
    (void) mount("dev", "/dev", "devtmpfs", 0, NULL);
}

static void
open_console(void)
{
    struct termios t;
    int fd = open("/dev/console", O_RDWR);

    (void) dup2(fd, 0);
    (void) dup2(fd, 1);
    (void) dup2(fd, 2);
    if (tcgetattr(1, &t) == 0) {
        t.c_oflag &= ~(tcflag_t) OPOST; /* no carriage returns in the log */
        (void) tcsetattr(1, TCSANOW, &t);
    }
}

/* /modules lists the files in the order of their dependencies. */
static void
load_modules(void)
{
    char path[128];
    FILE *list = fopen("/modules", "re");
    int fd;

    while (list && fgets(path, sizeof path, list)) {
        path[strcspn(path, "\n")] = '\0';
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || syscall(SYS_finit_module, fd, "", 0) < 0)
            guest_print("NOMODULE %s\n", path);
        if (fd >= 0)
            close(fd);
    }
    if (list)
        (void) fclose(list);
}

static void
set_option(const char *key, const char *value)
{
    const struct {
        const char *key;
        long *value;
    } numbers[] = {
        {"tick", &config.tick},   {"fill", &config.fill},
        {"dirty", &config.dirty}, {"verify", &config.verify},
        {"disk", &config.disk},   {"other", &config.other},
    };
    size_t i;

    if (strcmp(key, "ip") == 0)
        (void) snprintf(config.ip, sizeof config.ip, "%s", value);
    for (i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (strcmp(key, numbers[i].key) == 0)
            *numbers[i].value = atol(value);
    }
}

static void
read_config(void)
{
    char line[2048], *word, *save = NULL, *equals;

    config = (struct guest_config){.tick = 50, .verify = 20, .disk = 100};
    read_file("/proc/cmdline", line, sizeof line);
    for (word = strtok_r(line, " ", &save); word;
         word = strtok_r(NULL, " ", &save)) {
        equals = strchr(word, '=');
        if (!equals)
            continue;
        *equals = '\0';
        set_option(word, equals + 1);
    }
}

/* All the rest is one process, so that nothing ever empties the TLB of an
 * emulated processor, and QEMU makes it as large as what is used in between.
 * With the RAM size of --live-safe it looks through all of it for each page
 * when a save begins: seconds, which no guest with many processes has.  Before
 * there are threads. */
static void
start_other(void)
{
    int64_t next = guest_now_ns();

    if (config.other <= 0 || fork() != 0)
        return;
    for (;;)
        guest_sleep_until(next += config.other * 1000000LL);
}

static void
print_tick(uint64_t n)
{
    struct mem_counters m = memory_counters();
    char seqs[100] = "";
    size_t len = 0;
    int i;

    for (i = 0; i < disk_count(); i++)
        len += (size_t) snprintf(seqs + len, sizeof seqs - len, "%s%llu",
                                 i ? "," : "",
                                 (unsigned long long) disk_synced(i));
    guest_print("TICK boot=%s n=%llu us=%lld pass=%llu bad=%llu dirty=%llu "
                "disk=%s\n",
                guest_boot_id, (unsigned long long) n,
                (long long) guest_now_ns() / 1000,
                (unsigned long long) m.passes, (unsigned long long) m.bad,
                (unsigned long long) m.dirtied / 256, seqs);
}

static void *
run_ticks(void *arg)
{
    int64_t period = config.tick * 1000000LL, next = guest_now_ns();
    uint64_t n = 0;

    (void) arg;
    for (;;) {
        print_tick(++n);
        guest_sleep_until(next += period);
        if (guest_now_ns() > next + period)
            next = guest_now_ns();
    }
    return NULL;
}

int
main(int argc, char **argv)
{
    if (getpid() != 1) /* a command that the agent runs: how it shall end */
        return argc > 1 ? atoi(argv[1]) : 0;
    mount_all();
    open_console();
    read_file("/proc/sys/kernel/random/boot_id", guest_boot_id,
              sizeof guest_boot_id);
    read_config();
    guest_print("BOOT boot=%s fill=%ld dirty=%ld\n", guest_boot_id, config.fill,
                config.dirty);
    load_modules();
    if (config.ip[0] && net_up("eth0", config.ip) < 0)
        guest_print("NONET %s\n", config.ip);
    start_other();
    if (memory_start(&config) < 0)
        guest_print("FATAL not enough memory for fill=%ld\n", config.fill);
    (void) disk_start(&config);
    agent_start();
    guest_print("READY boot=%s\n", guest_boot_id);
    if (config.tick > 0)
        guest_thread(run_ticks, NULL);

    power_wait_button();
    disk_stop();
    sync();
    guest_print("SHUTDOWN boot=%s\n", guest_boot_id);
    (void) tcdrain(1);
    (void) reboot(RB_POWER_OFF);
    return 1;
}
