/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Preloaded into the programs of a node: its wall clock is QM_SKEW_S seconds
 * ahead (or behind, if below 0).  All nodes of a lab have one kernel's clock,
 * and namespaces do not shift it.
 */
#include "config.h"
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static time_t
skew(void)
{
    const char *text = getenv("QM_SKEW_S");

    return text != NULL ? atol(text) : 0;
}

int
clock_gettime(clockid_t clock, struct timespec *ret)
{
    int rc = (int) syscall(SYS_clock_gettime, clock, ret);

    if (rc == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        ret->tv_sec += skew();
    return rc;
}

int
gettimeofday(struct timeval *restrict ret, void *restrict zone)
{
    struct timespec now;

    (void) zone; /* obsolete, and NULL in all callers */
    (void) clock_gettime(CLOCK_REALTIME, &now); /* cannot fail */
    ret->tv_sec = now.tv_sec;
    ret->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t
time(time_t *ret)
{
    struct timespec now;

    (void) clock_gettime(CLOCK_REALTIME, &now); /* cannot fail */
    if (ret != NULL)
        *ret = now.tv_sec;
    return now.tv_sec;
}
