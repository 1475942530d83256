/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_LOG_H
#define QM_LOG_H

/*
 * Logging for the programs (the library itself never logs above debug).
 * A line goes to standard error (Pacemaker keeps it), to syslog, and to
 * $localstatedir/log/quickmig/quickmig.log where that directory exists, with
 * a wall clock in ms, program, node, VM.
 */
#include <glib.h>

typedef enum {
    QM_LOG_ERROR,
    QM_LOG_WARNING,
    QM_LOG_NOTICE,
    QM_LOG_INFO,
    QM_LOG_DEBUG
} qm_log_level;

/* @program: "VirtualMachine", "quickmig-gate".  Call once at start. */
void qm__log_init(const char *program, gboolean to_stderr);
/* Where a signal handler can write its last line; -1: nowhere. */
int qm__log_fd(void);
void qm__log_set_context(const char *vm, const char *node);
void qm__log_set_level(qm_log_level level); /* default QM_LOG_INFO */
void qm__log(qm_log_level level, const char *format, ...) G_GNUC_PRINTF(2, 3);
#define qm__error(...)   qm__log(QM_LOG_ERROR, __VA_ARGS__)
#define qm__warning(...) qm__log(QM_LOG_WARNING, __VA_ARGS__)
#define qm__notice(...)  qm__log(QM_LOG_NOTICE, __VA_ARGS__)
#define qm__info(...)    qm__log(QM_LOG_INFO, __VA_ARGS__)
#define qm__debug(...)   qm__log(QM_LOG_DEBUG, __VA_ARGS__)

#endif
