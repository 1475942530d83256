/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_CRASH_H
#define QM_CRASH_H

/*
 * Crash points: places where a process, or its node, can be made to die, or a
 * process to stand still, one at each line of the protocol where something has
 * just become durable or visible.  They exist only in builds with
 * --enable-crash-points, which are for tests; in all others they are nothing at
 * all.
 *
 * The file /run/quickmig/crash names the one that is meant, in one line:
 *   POINT PROGRAM process|node|stop
 * The first process that gets there takes the file away, leaves a line in
 * /var/log/quickmig/crash.log, and dies by SIGKILL; "node": with everything in
 * its PID namespace, which is what a node of the lab is (on a machine of its
 * own that is refused); "stop": it goes on when it gets SIGCONT.
 * tests/crash/points lists them all.
 */
#ifdef QM_CRASH_POINTS

void qm__crash_point(const char *point);
/* The point PREFIX-DETAIL. */
void qm__crash_point_of(const char *prefix, const char *detail);

#define QM_CRASH_POINT(point)            qm__crash_point(point)
#define QM_CRASH_POINT_OF(point, detail) qm__crash_point_of(point, detail)

#else

#define QM_CRASH_POINT(point)            ((void) 0)
#define QM_CRASH_POINT_OF(point, detail) ((void) 0)

#endif
#endif
