/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The FIFO between libvirt and an image; see stream.h.
 *
 * Invariant: nothing here waits without a deadline, and libvirtd never waits
 * for a process that is gone, once a sweep has run.
 */
#include "config.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "stream-internal.h"
#include "timeouts.h"

#define TRY_AGAIN     2 /* ms: there is no event for "somebody opened it" */
#define SUFFIX        ".fifo"
#define MAGIC         16 /* bytes, at offset 0 */
#define AT_VERSION    16 /* 32 bits each, native order */
#define AT_FORMAT     28
#define KNOWN_VERSION 2
#define FORMAT_MAX    5 /* raw, gzip, bzip2, xz, lzop, zstd: sequential */

static const char partial[MAGIC + 1] = "LibvirtQemudPart";
static const char complete[MAGIC + 1] = "LibvirtQemudSave";

static const char *const prefixes[] = {
    [QM_FIFO_SAVE] = "save-",
    [QM_FIFO_RESTORE] = "restore-",
};

struct qm_fifo {
    char *path;
    qm_fifo_use use;
    int fd;    /* -1: not open */
    bool late; /* libvirt may still open it */
};

static bool
io_failed(const char *what, const char *path, GError **error)
{
    g_set_error(error, QM_ERROR, QM_ERROR_IO, "%s %s: %s", what, path,
                g_strerror(errno));
    return false;
}

bool
qm__fifo_new(const char *dir, qm_fifo_use use, qm_fifo **ret_fifo,
             GError **error)
{
    g_autoptr(qm_fifo) fifo = g_new0(qm_fifo, 1);

    fifo->use = use;
    fifo->fd = -1;
    for (;;) {
        fifo->path = g_strdup_printf("%s/%s%08x%08x" SUFFIX, dir, prefixes[use],
                                     g_random_int(), g_random_int());
        if (mkfifo(fifo->path, 0600) == 0)
            break;
        if (errno != EEXIST)
            return io_failed("creating the FIFO", fifo->path, error);
        g_free(fifo->path);
    }
    if (use == QM_FIFO_SAVE) {
        fifo->fd = open(fifo->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        if (fifo->fd < 0)
            return io_failed("opening the FIFO", fifo->path, error);
    }
    *ret_fifo = g_steal_pointer(&fifo);
    return true;
}

void
qm__fifo_close(qm_fifo *fifo)
{
    if (fifo->fd >= 0)
        (void) close(fifo->fd); /* a FIFO has nothing to report */
    fifo->fd = -1;
}

void
qm__fifo_release(const char *path)
{
    /* Both ends for a moment: whoever waits for a partner goes on. */
    int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);

    if (fd >= 0)
        (void) close(fd);
}

/* A save that opens the path only now would make a regular file and fill /run
 * with the VM's memory: an empty directory makes it fail. */
static void
withdraw(const char *path, qm_fifo_use use)
{
    qm__fifo_release(path);
    if (unlink(path) == 0 && use == QM_FIFO_SAVE)
        (void) mkdir(path, 0700); /* it only guards against a late libvirtd */
}

void
qm__fifo_free(qm_fifo *fifo)
{
    if (fifo == NULL)
        return;
    if (fifo->late)
        withdraw(fifo->path, fifo->use);
    else
        (void) unlink(fifo->path);
    qm__fifo_close(fifo);
    g_free(fifo->path);
    g_free(fifo);
}

const char *
qm__fifo_path(const qm_fifo *fifo)
{
    return fifo->path;
}

int
qm__fifo_fd(const qm_fifo *fifo)
{
    return fifo->fd;
}

static void
sweep_one(const char *dir, const char *name, qm_fifo_use use)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);
    struct stat s;

    if (!g_str_has_prefix(name, prefixes[use]) || lstat(path, &s) < 0)
        return;
    if (S_ISFIFO(s.st_mode))
        withdraw(path, use);
    else if (S_ISREG(s.st_mode))
        (void) unlink(path);
}

void
qm__fifo_sweep(const char *dir)
{
    g_autoptr(GDir) d = g_dir_open(dir, 0, NULL);
    const char *name;

    while (d != NULL && (name = g_dir_read_name(d)) != NULL) {
        sweep_one(dir, name, QM_FIFO_SAVE);
        sweep_one(dir, name, QM_FIFO_RESTORE);
    }
}

static bool
check_header(const uint8_t *header, GError **error)
{
    uint32_t version, format;

    memcpy(&version, header + AT_VERSION, sizeof(version));
    memcpy(&format, header + AT_FORMAT, sizeof(format));
    if (memcmp(header, partial, MAGIC) == 0 && version == KNOWN_VERSION &&
        format <= FORMAT_MAX)
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_UNSUPPORTED,
                "libvirt's stream begins with \"%.*s\", version %u, format "
                "%u, which quickmig does not know; is snapshot_image_format "
                "in qemu.conf one of raw, gzip, bzip2, xz, lzop, zstd?",
                MAGIC, (const char *) header, version, format);
    return false;
}

/* An empty file takes the FIFO's place, for libvirt's second header. */
static bool
replace(qm_fifo *fifo, GError **error)
{
    g_autofree char *file = g_strconcat(fifo->path, SUFFIX, NULL);
    int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0)
        return io_failed("creating", file, error);
    (void) close(fd);
    if (rename(file, fifo->path) == 0)
        return true;
    io_failed("renaming", file, error);
    (void) unlink(file);
    return false;
}

/* Reads what is there.  @have: bytes so far. */
static bool
read_some(qm_fifo *fifo, uint8_t *header, size_t *have, GError **error)
{
    ssize_t n = read(fifo->fd, header + *have, QM_SAVE_HEADER - *have);

    if (n > 0) {
        *have += (size_t) n;
        return true;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n < 0)
        return io_failed("reading libvirt's stream from", fifo->path, error);
    g_set_error(error, QM_ERROR, QM_ERROR_IO,
                "libvirt ended its stream before the header was complete");
    return false;
}

static bool
job_ended(GError **error)
{
    g_set_error(error, QM_ERROR, QM_ERROR_IO,
                "libvirt's call ended before it opened the FIFO");
    return false;
}

static bool
too_late(const char *what, GError **error)
{
    g_set_error(error, QM_ERROR, QM_ERROR_TIMEOUT, "libvirt did not %s in time",
                what);
    return false;
}

bool
qm__fifo_take(qm_fifo *fifo, int job_fd, int64_t deadline, uint8_t *ret_header,
              GError **error)
{
    uint8_t header[QM_SAVE_HEADER];
    size_t have = 0;

    fifo->late = true;
    while (have < sizeof(header)) {
        struct pollfd p[2] = {{.fd = fifo->fd, .events = POLLIN},
                              {.fd = job_fd, .events = POLLIN}};

        if (qm__passed(deadline))
            return too_late("begin to save", error);
        /* A FIFO that nobody has opened yet shows no hang-up. */
        if (poll(p, 2, qm__remaining_ms(deadline)) < 0 && errno != EINTR)
            return io_failed("waiting for", fifo->path, error);
        if (p[0].revents != 0) {
            if (!read_some(fifo, header, &have, error))
                return false;
        } else if (p[1].revents != 0) {
            fifo->late = false;
            return job_ended(error);
        }
    }
    if (!check_header(header, error) || !replace(fifo, error))
        return false;
    (void) fcntl(fifo->fd, F_SETPIPE_SZ, QM__PIPE_SIZE); /* only for speed */
    fifo->late = false;
    memcpy(header, complete, MAGIC);
    memcpy(ret_header, header, sizeof(header));
    return true;
}

bool
qm__fifo_open_writer(const char *path, int job_fd, int64_t deadline,
                     int *ret_fd, bool *ret_ended, GError **error)
{
    struct pollfd p = {.fd = job_fd, .events = POLLIN};
    int fd;

    *ret_ended = false;
    while ((fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC)) < 0) {
        if (errno != ENXIO && errno != EINTR)
            return io_failed("opening the FIFO", path, error);
        if (qm__passed(deadline))
            return too_late("begin to restore", error);
        if (poll(&p, 1, TRY_AGAIN) > 0) {
            *ret_ended = true;
            return job_ended(error);
        }
    }
    *ret_fd = fd;
    return true;
}

bool
qm__fifo_connect(qm_fifo *fifo, int job_fd, int64_t deadline, GError **error)
{
    bool ended = false;
    int fd;

    fifo->late = true;
    if (!qm__fifo_open_writer(fifo->path, job_fd, deadline, &fd, &ended,
                              error)) {
        fifo->late = !ended;
        return false;
    }
    fifo->late = false;
    (void) fcntl(fd, F_SETPIPE_SZ, QM__PIPE_SIZE); /* only for speed */
    if (qm__pump_start(fifo->path, fd, job_fd, deadline, &fifo->fd, error))
        return true;
    (void) close(fd);
    return false;
}
