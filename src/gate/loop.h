/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef GATE_LOOP_H
#define GATE_LOOP_H

/*
 * Descriptors that are rarely ready (listeners, control connections, the
 * helper's eventfd, process descriptors, signals), gathered behind one epoll
 * descriptor, so that the data path polls one descriptor for all of them.
 */
#include <stdbool.h>
#include <stdint.h>

typedef struct loop loop;
typedef struct loop_source loop_source;
/* @events: EPOLLIN, EPOLLOUT, EPOLLHUP … */
typedef void (*loop_ready)(void *opaque, uint32_t events);

loop *loop_new(void); /* NULL: errno */
void loop_free(loop *l);
int loop_fd(const loop *l); /* readable when a source is ready */
/* Calls what is ready, one after the other. */
void loop_dispatch(loop *l);

/* @fd stays the caller's.  Never fails (no memory ends the program). */
loop_source *
loop_add(loop *l, int fd, uint32_t events, loop_ready ready, void *opaque);
void loop_change(loop_source *s, uint32_t events);
/* Before @fd is closed.  NULL ok. */
void loop_remove(loop_source *s);

#endif
