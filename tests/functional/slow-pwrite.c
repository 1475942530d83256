/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Preloaded into an iSCSI target: a medium that takes its time.  A write that
 * begins with 'Z' is carried out SLOW_MS later; SLOW_MARK.begun and
 * SLOW_MARK.done (files) tell when the target has taken it off the wire, and
 * when it has landed.
 */
#include "config.h"
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

typedef ssize_t (*write_fn)(int, const void *, size_t, off64_t);

static void
mark(const char *what)
{
    const char *base = getenv("SLOW_MARK");
    char path[4096];
    int fd;

    if (base == NULL)
        return;
    (void) snprintf(path, sizeof path, "%s.%s", base, what);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
}

static ssize_t
slow_write(int fd, const void *buf, size_t length, off64_t offset)
{
    write_fn next = (write_fn) dlsym(RTLD_NEXT, "pwrite64");
    const char *ms = getenv("SLOW_MS");
    ssize_t n;

    if (length == 0 || *(const char *) buf != 'Z')
        return next(fd, buf, length, offset);
    mark("begun");
    usleep((useconds_t) (ms != NULL ? atoi(ms) : 1000) * 1000);
    n = next(fd, buf, length, offset);
    mark("done");
    return n;
}

ssize_t
pwrite64(int fd, const void *buf, size_t length, off64_t offset)
{
    return slow_write(fd, buf, length, offset);
}

#if !defined(_FILE_OFFSET_BITS) || _FILE_OFFSET_BITS != 64
ssize_t
pwrite(int fd, const void *buf, size_t length, off_t offset)
{
    return slow_write(fd, buf, length, offset);
}
#else
/* The name without 64 too, which large-file headers redirect away. */
ssize_t plain_pwrite(int fd, const void *buf, size_t length,
                     long offset) __asm__("pwrite");

ssize_t
plain_pwrite(int fd, const void *buf, size_t length, long offset)
{
    return slow_write(fd, buf, length, offset);
}
#endif
