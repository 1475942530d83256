/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_GATE_CLIENT_INTERNAL_H
#define QM_GATE_CLIENT_INTERNAL_H

/*
 * Shared by gate-client.c and gate-start.c only.
 */
#include <json-glib/json-glib.h>
#include "gate-client.h"

/* NOT_FOUND: nobody listens.  TIMEOUT: nobody accepts. */
bool qm__gate_connect(const char *path, int *ret_fd, GError **error);
/* Sends one line, reads one, passes the gate's error on. */
bool qm__gate_ask(int fd, const char *request, int64_t deadline,
                  JsonObject **ret_reply, GError **error);
bool
qm__gate_read_line(int fd, int64_t deadline, char **ret_line, GError **error);
bool
qm__gate_parse_reply(const char *line, JsonObject **ret_reply, GError **error);

#endif
