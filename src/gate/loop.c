/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The slow half of the event loop.  Events are fetched one at a time, so that
 * a source may remove itself, or any other one, from its callback.
 */
#include "config.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <glib.h>
#include "loop.h"

#define DISPATCH_MAX 16 /* events before the data path gets its turn */

struct loop {
    int epoll;
};

struct loop_source {
    loop *loop;
    int fd;
    loop_ready ready;
    void *opaque;
};

loop *
loop_new(void)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);
    loop *l;

    if (fd < 0)
        return NULL;
    l = g_new(loop, 1);
    l->epoll = fd;
    return l;
}

void
loop_free(loop *l)
{
    if (l == NULL)
        return;
    close(l->epoll);
    g_free(l);
}

int
loop_fd(const loop *l)
{
    return l->epoll;
}

void
loop_dispatch(loop *l)
{
    for (int i = 0; i < DISPATCH_MAX; i++) {
        struct epoll_event e;
        loop_source *s;

        if (epoll_wait(l->epoll, &e, 1, 0) != 1)
            return;
        s = e.data.ptr;
        s->ready(s->opaque, e.events);
    }
}

static void
control(loop_source *s, int what, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = s};

    if (epoll_ctl(s->loop->epoll, what, s->fd, &e) < 0)
        g_error("epoll_ctl(%d, fd %d): %s", what, s->fd, g_strerror(errno));
}

loop_source *
loop_add(loop *l, int fd, uint32_t events, loop_ready ready, void *opaque)
{
    loop_source *s = g_new(loop_source, 1);

    s->loop = l;
    s->fd = fd;
    s->ready = ready;
    s->opaque = opaque;
    control(s, EPOLL_CTL_ADD, events);
    return s;
}

void
loop_change(loop_source *s, uint32_t events)
{
    control(s, EPOLL_CTL_MOD, events);
}

void
loop_remove(loop_source *s)
{
    if (s == NULL)
        return;
    control(s, EPOLL_CTL_DEL, 0);
    g_free(s);
}
