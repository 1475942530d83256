/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_CLI_OPTIONS_H
#define QM_CLI_OPTIONS_H

/*
 * Command line: a table of commands, each with the options that it takes.
 * The table drives parsing, help and (through the help) the completion.
 */
#include <stdbool.h>
#include <glib.h>

/* What went wrong on the command line: exit code 2. */
#define CLI_USAGE (cli_usage_quark())
GQuark cli_usage_quark(void);

/* Values of all options; each command uses its own. */
typedef struct {
    gboolean help;
    gboolean json;
    gboolean force;    /* format over something */
    gboolean no_check; /* skip the checks of LUNs and sizes */
    gboolean yes;      /* do not ask */
    gboolean show_xml;
    gboolean dry_run, restart, stopped;
    gboolean baseline;       /* of all nodes\' CPUs */
    gboolean all;            /* what is fine, too */
    gboolean allow_unfenced; /* disks that cannot be reserved are taken */
    gboolean new_disks;      /* the disks' LUNs are others, and that is meant */
    char *xml;               /* file with a domain XML */
    char *connect;           /* libvirt URI; NULL: qemu:///system */
    char *vault;         /* vault address instead of the cluster's resources */
    char *secret_file;   /* file with the vault's CHAP secret */
    gint limit;          /* entries; 0: all */
    gint timeout;        /* seconds for each vault */
    gint move_timeout;   /* seconds for a whole move */
    gboolean watch;      /* go on showing */
    gboolean until_done; /* … until no move is left */
    char *mode;          /* of a move; NULL: as configured */
    gboolean no_precopy;
    gint parallel;   /* moves at a time; 0: default */
    gboolean script; /* print the commands that do the same */
    GStrv args;      /* what is no option */
} cli_options;

void cli_options_free(cli_options *options);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(cli_options, cli_options_free)

/* Which options a command takes, in addition to --help. */
typedef enum {
    CLI_OPT_JSON = 1 << 0,
    CLI_OPT_FORCE = 1 << 1,
    CLI_OPT_NO_CHECK = 1 << 2,
    CLI_OPT_YES = 1 << 3,
    CLI_OPT_SHOW_XML = 1 << 4,
    CLI_OPT_XML_FILE = 1 << 5,
    CLI_OPT_CONNECT = 1 << 6,
    CLI_OPT_VAULT = 1 << 7,
    CLI_OPT_SECRET_FILE = 1 << 8,
    CLI_OPT_LIMIT = 1 << 9,
    CLI_OPT_TIMEOUT = 1 << 10,
    CLI_OPT_MOVE_TIMEOUT = 1 << 11,
    CLI_OPT_WATCH = 1 << 12, /* and --until-done */
    CLI_OPT_NO_PRECOPY = 1 << 13,
    CLI_OPT_MODE = 1 << 14,
    CLI_OPT_SCRIPT = 1 << 15,
    CLI_OPT_PARALLEL = 1 << 16,
    CLI_OPT_BASELINE = 1 << 17, /* and --force */
    CLI_OPT_ALL = 1 << 24,
    CLI_OPT_PROTECT = 1 << 25, /* --dry-run, --restart, --stopped */
    CLI_OPT_NEW_VAULT = 1 << 26,
    CLI_OPT_ANYWAY = 1 << 27,
    CLI_OPT_UNFENCED = 1 << 28,
    CLI_OPT_NEW_DISKS = 1 << 29,
} cli_option_bit;

/*
 * Does the work.  What it prints on standard output it appends to @out, which
 * is printed even when it fails.
 */
typedef bool (*cli_handler)(const cli_options *options, GString *out,
                            GError **error);

typedef struct {
    const char *name;    /* exact words, "vault create" */
    const char *args;    /* for the usage line, "VAULT"; "" for none */
    const char *summary; /* one line */
    const char *detail;  /* a paragraph for --help; may be NULL */
    unsigned min_args, max_args;
    unsigned options; /* cli_option_bit */
    cli_handler handler;
} cli_command;

/*
 * Finds the command that @argv (without the program's name) begins with.
 * @ret_words: how many arguments its name takes.  Errors: CLI_USAGE.
 */
bool cli_find_command(const cli_command *commands, size_t n_commands,
                      char **argv, const cli_command **ret_command,
                      unsigned *ret_words, GError **error);

/* Parses what follows the command's name.  Errors: CLI_USAGE. */
bool cli_parse_options(const cli_command *command, char **argv,
                       cli_options **ret_options, GError **error);

/* Text of "quickmig COMMAND --help" and "quickmig --help". */
void cli_help_command(const cli_command *command, GString *out);
void cli_help(const cli_command *commands, size_t n_commands, GString *out);

#endif
