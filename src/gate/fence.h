/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef GATE_FENCE_H
#define GATE_FENCE_H

/*
 * The processes at the other end of our sockets: who they are, and how the
 * one that runs a stale guest is ended.
 */
#include <stdbool.h>
#include <sys/types.h>
#include <quickmig/error.h>

/* One process that connected. */
typedef struct {
    pid_t pid;
    uid_t uid;
    int pidfd;            /* poll: readable when the process has ended */
    unsigned connections; /* open now */
    bool killed;
    struct gate *gate;          /* clients.c */
    struct loop_source *source; /* clients.c: NULL: it has ended */
} fence_process;

/* Who is connected at the other end of @fd.  REFUSED: uid is neither root
 * nor @allowed, or the process cannot be named (another PID namespace). */
bool fence_identify(int fd, uid_t allowed, fence_process **ret, GError **error);
void fence_process_free(fence_process *p);
/* SIGKILL.  IO. */
bool fence_kill(fence_process *p, GError **error);

#endif
