/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_AGENT_REPLY_H
#define QM_AGENT_REPLY_H

/*
 * Commands for the QEMU guest agent, and what it answers.  Pure.  A guest may
 * answer anything: what is not as it should be is an error.
 */
#include <stdbool.h>
#include <stdint.h>
#include <quickmig/error.h>

#define QM_AGENT_PING "{\"execute\":\"guest-ping\"}"

/* A command line as guest-exec; quotes group words.  INVALID: it is none. */
bool qm__agent_exec(const char *line, char **ret_command, GError **error);
/* guest-exec-status; the caller frees. */
char *qm__agent_status(int64_t pid);

/* Any answer that is no error. */
bool qm__agent_read_done(const char *reply, GError **error);
/* Of guest-exec. */
bool qm__agent_read_pid(const char *reply, int64_t *ret_pid, GError **error);
/* Of guest-exec-status.  @ret_code: -1: by a signal. */
bool qm__agent_read_exit(const char *reply, bool *ret_exited, int64_t *ret_code,
                         GError **error);

#endif
