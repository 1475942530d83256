/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * A store in memory for tests.  It checks what the contract asks of callers:
 * alignment, length, range, one outstanding use of a buffer at a time.
 */
#include "config.h"
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>
#include "fake_store.h"

#define HEADER 4096 /* what a torn write lands at once, bytes */

typedef struct {
    bool write;
    uint64_t offset;
    uint8_t *buf;
    size_t length;
    int fail; /* code; -1: success */
    qm_store_cb cb;
    void *opaque;
} request;

static fake_store *
from_base(qm_store *s)
{
    return (fake_store *) ((char *) s - offsetof(fake_store, base));
}

static void
carry_out(fake_store *f, const request *q)
{
    if (q->fail >= 0)
        return;
    if (q->write)
        memcpy(f->memory + q->offset, q->buf, q->length);
    else
        memcpy(q->buf, f->memory + q->offset, q->length);
}

static void
complete(const request *q)
{
    g_autoptr(GError) error = NULL;

    if (q->fail >= 0)
        g_set_error(&error, QM_ERROR, q->fail, "as the test wants");
    q->cb(q->opaque, error);
}

static void
announce(fake_store *f)
{
    uint64_t n = 1;

    if (!f->quiet)
        g_assert(write(f->event, &n, sizeof n) == sizeof n);
}

static void
check_request(const fake_store *f, const request *q)
{
    g_assert(q->length > 0 && q->length <= f->base.max_transfer);
    g_assert(q->offset % f->base.align == 0);
    g_assert(q->length % f->base.align == 0);
    g_assert(q->offset + q->length <= f->base.capacity);
    for (const GList *l = f->pending.head; l != NULL; l = l->next) {
        const request *p = l->data;

        g_assert(q->buf + q->length <= p->buf || p->buf + p->length <= q->buf);
    }
}

static bool
submit(fake_store *f, const request *q, GError **error)
{
    check_request(f, q);
    if (f->refuse) {
        g_set_error(error, QM_ERROR, QM_ERROR_LOST, "session lost");
        return false;
    }
    if (!f->delayed) {
        carry_out(f, q);
        complete(q);
        return true;
    }
    if (f->torn && q->write && q->fail < 0)
        memcpy(f->memory + q->offset, q->buf, MIN(HEADER, q->length));
    g_queue_push_tail(&f->pending, g_memdup2(q, sizeof *q));
    f->max_pending = MAX(f->max_pending, f->pending.length);
    announce(f);
    return true;
}

static bool
fake_write(qm_store *s, uint64_t offset, const struct iovec *iov, int n_iov,
           qm_store_cb cb, void *opaque, GError **error)
{
    fake_store *f = from_base(s);
    request q = {true, offset, iov->iov_base, iov->iov_len, -1, cb, opaque};

    g_assert(n_iov == 1);
    if ((int) f->writes++ == f->fail_write)
        q.fail = QM_ERROR_IO;
    return submit(f, &q, error);
}

static bool
fake_read(qm_store *s, uint64_t offset, void *buf, uint32_t length,
          qm_store_cb cb, void *opaque, GError **error)
{
    fake_store *f = from_base(s);
    request q = {false, offset, buf, length, -1, cb, opaque};

    if ((int) f->reads++ == f->fail_read)
        q.fail = QM_ERROR_IO;
    f->bytes_read += length;
    return submit(f, &q, error);
}

static bool
fake_flush(qm_store *s, int64_t deadline, GError **error)
{
    fake_store *f = from_base(s);

    /* What is still on its way is not made durable. */
    g_assert(f->pending.length == 0);
    if ((int) f->flushes++ != f->fail_flush)
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_IO, "flush failed");
    return false;
}

static int
fake_get_fd(qm_store *s)
{
    return from_base(s)->event;
}

static short
fake_events(qm_store *s)
{
    return POLLIN;
}

static void
lose(fake_store *f)
{
    request *q;

    while ((q = g_queue_pop_head(&f->pending)) != NULL) {
        q->fail = QM_ERROR_LOST;
        complete(q);
        g_free(q);
    }
}

static bool
fake_service(qm_store *s, short revents, GError **error)
{
    fake_store *f = from_base(s);
    uint64_t n;
    request *q;

    if ((int) f->services++ == f->lose_at) {
        lose(f);
        g_set_error(error, QM_ERROR, QM_ERROR_LOST, "session lost");
        return false;
    }
    if (f->pending.length > 0 && (f->quiet || f->services % 3 == 0)) {
        q = g_queue_pop_nth(&f->pending,
                            g_rand_int(f->random) % f->pending.length);
        carry_out(f, q);
        complete(q);
        g_free(q);
    }
    if (f->pending.length == 0 && (revents & POLLIN))
        g_assert(read(f->event, &n, sizeof n) == sizeof n);
    return true;
}

static const qm_store_ops ops = {
    .write = fake_write,
    .read = fake_read,
    .flush = fake_flush,
    .get_fd = fake_get_fd,
    .events = fake_events,
    .service = fake_service,
};

void
fake_store_forked(fake_store *f)
{
    g_assert(close(f->event) == 0);
    f->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    g_assert(f->event >= 0);
}

fake_store *
fake_store_new(uint64_t capacity, uint32_t max_transfer)
{
    fake_store *f = g_new0(fake_store, 1);

    f->base = (qm_store){&ops, capacity, 4096, max_transfer};
    f->memory = mmap(NULL, capacity, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    g_assert(f->memory != MAP_FAILED);
    f->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    g_assert(f->event >= 0);
    g_queue_init(&f->pending);
    f->random = g_rand_new_with_seed(20260101);
    f->fail_write = f->fail_read = f->fail_flush = f->lose_at = -1;
    return f;
}

void
fake_store_free(fake_store *f)
{
    g_assert(f->pending.length == 0);
    g_assert(munmap(f->memory, f->base.capacity) == 0);
    g_assert(close(f->event) == 0);
    g_rand_free(f->random);
    g_free(f);
}
