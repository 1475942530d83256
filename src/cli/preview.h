/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_CLI_PREVIEW_H
#define QM_CLI_PREVIEW_H

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

/* What Pacemaker would make of a move. */
typedef struct {
    bool arrives;      /* @resource would migrate to the node */
    char *own;         /* what would become of it; NULL: nothing */
    GPtrArray *others; /* char *: what would become of others, a line each */
} cli_preview;

/* Asks Pacemaker's simulator, on a copy of the CIB; nothing is changed.  IO,
 * TIMEOUT. */
bool cli_preview_move(const char *resource, const char *node, int64_t deadline,
                      cli_preview *ret, GError **error);
void cli_preview_clear(cli_preview *preview);
/* Reads the simulator's summary. */
void cli_preview_parse(const char *text, const char *resource, const char *node,
                       cli_preview *ret);

#endif
