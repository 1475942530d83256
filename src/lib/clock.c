/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The monotonic clock and deadlines.  Tests replace the clock.
 */
#include "config.h"
#include <limits.h>
#include <stddef.h>
#include <glib.h>
#include "timeouts.h"

static int64_t
real_clock(void)
{
    return g_get_monotonic_time();
}

static int64_t (*current_clock)(void) = real_clock;

int64_t
qm__now(void)
{
    return current_clock();
}

void
qm__set_clock(int64_t (*clock_us)(void))
{
    current_clock = clock_us != NULL ? clock_us : real_clock;
}

int64_t
qm__deadline_in(int64_t us)
{
    int64_t now = qm__now();

    return us > INT64_MAX - now ? INT64_MAX : now + us;
}

int64_t
qm__remaining(int64_t deadline)
{
    int64_t now = qm__now();

    return deadline > now ? deadline - now : 0;
}

int
qm__remaining_ms(int64_t deadline)
{
    int64_t us = qm__remaining(deadline);
    int64_t ms = us / QM_MS + (us % QM_MS != 0);

    return ms > INT_MAX ? INT_MAX : (int) ms;
}

bool
qm__passed(int64_t deadline)
{
    return qm__now() >= deadline;
}
