/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_SPAWN_H
#define QM_SPAWN_H

/*
 * Running another program, with a deadline and without a shell.
 */
#include <stdbool.h>
#include <stdint.h>
#include <quickmig/error.h>

/* Runs @argv (NULL-terminated, searched in PATH, input from /dev/null) and
 * waits for its end.  At @deadline it is killed: TIMEOUT.  @ret_exit: its exit
 * code; death by signal is IO.  NOT_FOUND: no such program.
 * @ret_out, @ret_err (may be NULL): what it printed, up to 4 MiB; caller
 * frees. */
bool qm__spawn(const char *const *argv, int64_t deadline, int *ret_exit,
               char **ret_out, char **ret_err, GError **error);

#endif
