/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * From an image to a libvirt that may open its file twice.
 *
 * libvirt up to 11.1 restores from a file that it opens once.  Later ones
 * first open it for header and XML only, close it, and open it again, from the
 * start.  So the beginning is kept until it is clear which kind this is: when
 * the reader goes away, the beginning is sent once more, to whoever opens the
 * path next; when it has read beyond the XML, it will stay.
 *
 * Invariant: whoever opens the path gets the stream from its first byte, and
 * nobody waits for ever in an open of it: it is gone once it is not needed.
 */
#include "config.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "stream-internal.h"
#include "timeouts.h"

#define PIECE      (64 * 1024)
#define KEPT_MAX   (4 * 1024 * 1024) /* more XML than libvirt ever writes */
#define LOOK_AGAIN 2 /* ms, while the reader takes the last bytes */

typedef struct {
    char *path;
    int in;  /* the image's reader writes the other end */
    int out; /* the FIFO; -1: lost */
    int job; /* readable when libvirt's call has ended */
    int64_t deadline;
    GByteArray *sent; /* what may have to be sent again */
} pump;

static void
pump_free(pump *p)
{
    /* The path first: who opens it now finds nothing, who waits goes on. */
    qm__fifo_release(p->path);
    (void) unlink(p->path);
    if (p->out >= 0)
        (void) close(p->out);
    (void) close(p->in);
    (void) close(p->job);
    g_byte_array_unref(p->sent);
    g_free(p->path);
    g_free(p);
}

static void
set_blocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    (void) fcntl(fd, F_SETFL, flags & ~O_NONBLOCK); /* cannot fail */
}

static bool
put(int fd, const uint8_t *data, size_t length)
{
    while (length > 0) {
        ssize_t n = write(fd, data, length);

        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0) {
            data += n;
            length -= (size_t) n;
        }
    }
    return true;
}

/* Bytes of header and XML; as long as that is not known: no end. */
static uint64_t
beginning(const pump *p)
{
    uint32_t length;

    if (p->sent->len < QM_SAVE_HEADER)
        return UINT64_MAX;
    memcpy(&length, p->sent->data + QM__AT_DATA_LEN, sizeof(length));
    return QM_SAVE_HEADER + (uint64_t) length;
}

/* Of what was sent, how much was read. */
static uint64_t
consumed(const pump *p)
{
    int unread = 0;

    if (ioctl(p->out, FIONREAD, &unread) < 0)
        unread = 0;
    return p->sent->len - MIN(p->sent->len, (guint) unread);
}

static bool
is_hung_up(int fd)
{
    struct pollfd p = {.fd = fd};

    return poll(&p, 1, 0) > 0 && (p.revents & POLLERR) != 0;
}

/* The reader went away after the beginning: from the start, for the next. */
static bool
start_again(pump *p)
{
    bool ended;

    (void) close(p->out);
    p->out = -1;
    if (!qm__fifo_open_writer(p->path, p->job, p->deadline, &p->out, &ended,
                              NULL))
        return false; /* libvirt's call has failed, or will */
    set_blocking(p->out);
    (void) fcntl(p->out, F_SETPIPE_SZ, QM__PIPE_SIZE); /* only for speed */
    return put(p->out, p->sent->data, p->sent->len);
}

/* The stream ends before the reader has shown of which kind it is. */
static bool
finish_early(pump *p)
{
    while (!is_hung_up(p->out)) {
        struct pollfd job = {.fd = p->job, .events = POLLIN};

        if (consumed(p) == p->sent->len || qm__passed(p->deadline))
            return true; /* it waits for more: let it see the end */
        if (poll(&job, 1, LOOK_AGAIN) > 0)
            return false;
    }
    return start_again(p);
}

/* Passes on the beginning.  @ret_more: the stream goes on. */
static bool
pass_beginning(pump *p, bool *ret_more)
{
    g_autofree uint8_t *buf = g_malloc(PIECE);

    *ret_more = true;
    while (consumed(p) <= MIN(beginning(p), KEPT_MAX)) {
        ssize_t n = read(p->in, buf, PIECE);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            *ret_more = false;
            return finish_early(p);
        }
        g_byte_array_append(p->sent, buf, (guint) n);
        if (!put(p->out, buf, (size_t) n))
            return start_again(p);
    }
    return true;
}

static void *
pump_thread(void *data)
{
    pump *p = data;
    bool more;

    if (pass_beginning(p, &more) && more) {
        (void) unlink(p->path); /* nobody will open it again */
        while (splice(p->in, NULL, p->out, NULL, QM__PIPE_SIZE,
                      SPLICE_F_MOVE | SPLICE_F_MORE) > 0)
            ;
    }
    pump_free(p); /* the image's reader sees a broken pipe, libvirt the end */
    return NULL;
}

/* Takes the FIFO's place under its path, for a second open. */
static bool
renew(const char *path)
{
    g_autofree char *new = g_strconcat(path, ".2", NULL);

    if (mkfifo(new, 0600) < 0)
        return false;
    if (rename(new, path) == 0)
        return true;
    (void) unlink(new);
    return false;
}

static bool
start_thread(pump *p, GError **error)
{
    sigset_t all, old;
    GThread *thread;

    (void) sigfillset(&all); /* SIGPIPE too: the thread looks at EPIPE */
    (void) pthread_sigmask(SIG_BLOCK, &all, &old);
    thread = g_thread_try_new("pump", pump_thread, p, error);
    (void) pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (thread != NULL)
        g_thread_unref(thread); /* detached: it ends with either side */
    return thread != NULL;
}

bool
qm__pump_start(const char *path, int fifo_fd, int job_fd, int64_t deadline,
               int *ret_fd, GError **error)
{
    int ends[2], job = fcntl(job_fd, F_DUPFD_CLOEXEC, 0);
    g_autoptr(GError) why = NULL;
    pump *p;

    if (job < 0 || pipe2(ends, O_CLOEXEC) < 0) {
        g_set_error(error, QM_ERROR, QM_ERROR_IO,
                    "a pipe to libvirt's FIFO: %s", g_strerror(errno));
        if (job >= 0)
            (void) close(job);
        return false;
    }
    (void) fcntl(ends[1], F_SETFL, O_NONBLOCK);         /* cannot fail */
    (void) fcntl(ends[1], F_SETPIPE_SZ, QM__PIPE_SIZE); /* only for speed */
    set_blocking(fifo_fd);
    p = g_new0(pump, 1);
    p->path = g_strdup(path);
    p->in = ends[0];
    p->out = fifo_fd;
    p->job = job;
    p->deadline = deadline;
    p->sent = g_byte_array_new();
    if (renew(path) && start_thread(p, &why)) {
        *ret_fd = ends[1];
        return true;
    }
    g_set_error(error, QM_ERROR, QM_ERROR_IO, "a way to libvirt's FIFO: %s",
                why != NULL ? why->message : g_strerror(errno));
    p->out = -1; /* stays the caller's */
    pump_free(p);
    (void) close(ends[1]);
    return false;
}
