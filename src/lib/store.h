/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_STORE_H
#define QM_STORE_H

/*
 * The image area of a vault as a byte-addressed, asynchronous store.  The
 * caller drives it from its own loop in libiscsi's manner: fd, events,
 * service.  Offsets and lengths are multiples of `align`.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>
#include <quickmig/error.h>

typedef struct qm_store qm_store;

/* Called from service() (or from submit itself).  @error: NULL on success. */
typedef void (*qm_store_cb)(void *opaque, const GError *error);

typedef struct {
    /* Buffers stay valid and untouched until the callback.  false: it will
     * not be called. */
    bool (*write)(qm_store *s, uint64_t offset, const struct iovec *iov,
                  int n_iov, qm_store_cb cb, void *opaque, GError **error);
    bool (*read)(qm_store *s, uint64_t offset, void *buf, uint32_t length,
                 qm_store_cb cb, void *opaque, GError **error);
    bool (*flush)(qm_store *s, int64_t deadline, GError **error);
    int (*get_fd)(qm_store *s);   /* -1: nothing to poll */
    short (*events)(qm_store *s); /* POLLIN, POLLOUT */
    /* Called now and then while something is outstanding, also without an
     * event (@revents 0).  false: the session is lost; every outstanding
     * callback has been made with an error. */
    bool (*service)(qm_store *s, short revents, GError **error);
} qm_store_ops;

struct qm_store {
    const qm_store_ops *ops;
    uint64_t capacity;     /* bytes */
    uint32_t align;        /* bytes: 512 … 4096 */
    uint32_t max_transfer; /* bytes per command; at least 64 KiB */
};

#endif
