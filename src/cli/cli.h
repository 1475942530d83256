/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_CLI_H
#define QM_CLI_H

/*
 * The program quickmig without its main().
 */
#include "options.h"
#include "output.h"

/* Exit codes; see quickmig(8). */
enum {
    CLI_EXIT_OK = 0,
    CLI_EXIT_FAILURE = 1,
    CLI_EXIT_USAGE = 2,
    CLI_EXIT_NOT_FOUND = 3,
    CLI_EXIT_REFUSED = 4,
    CLI_EXIT_WARNINGS = 5,
    CLI_EXIT_ERRORS = 6
};

/* An error that is the result of a look: its code is the exit code. */
#define CLI_FINDINGS (cli_findings_quark())
GQuark cli_findings_quark(void);

/* Runs one command line (without the program's name); prints what it has to
 * say and returns the exit code. */
int cli_run(char **argv);
/* The exit code for @error; NULL: success. */
int cli_exit_code(const GError *error);
/* "quickmig: warning: …" on standard error. */
void cli_warn(const char *format, ...) G_GNUC_PRINTF(1, 2);
/* REFUSED, with this message; false. */
bool cli_refuse(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

extern const cli_command cli_commands[];
extern const size_t cli_n_commands;

bool cli_vault_create(const cli_options *o, GString *out, GError **error);
bool cli_vault_show(const cli_options *o, GString *out, GError **error);
bool cli_vault_edit(const cli_options *o, GString *out, GError **error);
bool cli_vault_set_cpu(const cli_options *o, GString *out, GError **error);
bool cli_status(const cli_options *o, GString *out, GError **error);
bool cli_history(const cli_options *o, GString *out, GError **error);
bool cli_drain(const cli_options *o, GString *out, GError **error);
bool cli_undrain(const cli_options *o, GString *out, GError **error);
bool cli_hosts(const cli_options *o, GString *out, GError **error);
bool cli_plan(const cli_options *o, GString *out, GError **error);
/* Shows the plan on standard error, and asks.  REFUSED: no, or it cannot be. */
bool cli_plan_confirm(const cli_options *o, GError **error);
bool cli_jobs(const cli_options *o, GString *out, GError **error);
bool cli_cancel(const cli_options *o, GString *out, GError **error);
bool cli_move_vm(const cli_options *o, GString *out, GError **error);
bool cli_protect(const cli_options *o, GString *out, GError **error);
bool cli_unprotect(const cli_options *o, GString *out, GError **error);
bool cli_capacity(const cli_options *o, GString *out, GError **error);
bool cli_doctor(const cli_options *o, GString *out, GError **error);
bool cli_discover(const cli_options *o, GString *out, GError **error);
bool cli_discard(const cli_options *o, GString *out, GError **error);

#endif
