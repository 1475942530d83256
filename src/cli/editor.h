/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_CLI_EDITOR_H
#define QM_CLI_EDITOR_H

/*
 * The user's editor on a private copy of a text.
 */
#include <stdbool.h>
#include <glib.h>

typedef struct cli_edit cli_edit;

/* Makes the copy (mode 0600). */
bool cli_edit_begin(const char *text, cli_edit **ret, GError **error);
/* Runs $VISUAL, else $EDITOR, else vi, and reads the copy. */
bool cli_edit_run(cli_edit *edit, char **ret_text, GError **error);
/* Shows what is wrong and asks whether to edit again; no terminal: no. */
bool cli_edit_again(cli_edit *edit, const GError *what);
/* The copy is no longer needed. */
void cli_edit_done(cli_edit *edit);
/* Frees; without done() the copy is kept, and standard error says where: what
 * somebody typed is not thrown away. */
void cli_edit_free(cli_edit *edit);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(cli_edit, cli_edit_free)

/* Asks on standard error, reads standard input: does it begin with y? */
bool cli_ask(const char *question);
/* Can anybody answer? */
bool cli_can_ask(void);

#endif
