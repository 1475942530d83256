/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Command line parsing.  A word is a command only when it matches exactly,
 * and a command takes only the options that its table entry names: a
 * mistyped word never does something else than what was meant.
 */
#include "config.h"
#include <string.h>
#include "options.h"
#include "output.h"

#define DEFAULT_TIMEOUT 10    /* seconds */
#define DEFAULT_MOVE    600   /* seconds */
#define MAX_TIMEOUT     86400 /* seconds */

G_DEFINE_QUARK(quickmig - usage - quark, cli_usage)

/* Every option there is. */
static const struct {
    cli_option_bit bit;
    const char *name;
    char letter; /* 0: none */
    GOptionArg type;
    size_t at; /* offset in cli_options */
    const char *arg;
    const char *help;
} table[] = {
#define FIELD(name) offsetof(cli_options, name)
    {CLI_OPT_XML_FILE, "xml", 0, G_OPTION_ARG_FILENAME, FIELD(xml), "FILE",
     "domain XML to read; - is standard input"},
    {CLI_OPT_SHOW_XML, "xml", 0, G_OPTION_ARG_NONE, FIELD(show_xml), NULL,
     "print the domain XML, nothing else"},
    {CLI_OPT_FORCE, "force", 0, G_OPTION_ARG_NONE, FIELD(force), NULL,
     "format over an old vault (its VM must be off) or other data"},
    {CLI_OPT_NO_CHECK, "no-check", 0, G_OPTION_ARG_NONE, FIELD(no_check), NULL,
     "do not check the disks' LUNs and the vault's size"},
    {CLI_OPT_YES, "yes", 'y', G_OPTION_ARG_NONE, FIELD(yes), NULL,
     "do not ask"},
    {CLI_OPT_LIMIT, "limit", 'n', G_OPTION_ARG_INT, FIELD(limit), "N",
     "print only the last N entries"},
    {CLI_OPT_VAULT, "vault", 0, G_OPTION_ARG_STRING, FIELD(vault), "VAULT",
     "look at this vault, not at those of the cluster's resources"},
    {CLI_OPT_CONNECT, "connect", 'c', G_OPTION_ARG_STRING, FIELD(connect),
     "URI", "libvirt that keeps the CHAP secrets (qemu:///system)"},
    {CLI_OPT_SECRET_FILE, "secret-file", 0, G_OPTION_ARG_FILENAME,
     FIELD(secret_file), "FILE",
     "file with the vault's CHAP secret, instead of libvirt's"},
    {CLI_OPT_TIMEOUT, "timeout", 0, G_OPTION_ARG_INT, FIELD(timeout), "SECONDS",
     "give up on a vault after this time (10)"},
    {CLI_OPT_MOVE_TIMEOUT, "timeout", 0, G_OPTION_ARG_INT, FIELD(move_timeout),
     "SECONDS", "give up after this time (600)"},
    {CLI_OPT_WATCH, "watch", 'w', G_OPTION_ARG_NONE, FIELD(watch), NULL,
     "go on showing them until interrupted"},
    {CLI_OPT_WATCH, "until-done", 0, G_OPTION_ARG_NONE, FIELD(until_done), NULL,
     "go on showing them until none is left"},
    {CLI_OPT_MODE, "mode", 0, G_OPTION_ARG_STRING, FIELD(mode), "MODE",
     "quick, live or auto: this time only"},
    {CLI_OPT_NO_PRECOPY, "no-precopy", 0, G_OPTION_ARG_NONE, FIELD(no_precopy),
     NULL, "ask Pacemaker at once"},
    {CLI_OPT_NEW_VAULT, "vault", 0, G_OPTION_ARG_STRING, FIELD(vault), "VAULT",
     "where the VM's vault is, or shall be made"},
    {CLI_OPT_ANYWAY, "force", 0, G_OPTION_ARG_NONE, FIELD(force), NULL,
     "in spite of doubts, and over other data in the vault"},
    {CLI_OPT_PROTECT, "restart", 0, G_OPTION_ARG_NONE, FIELD(restart), NULL,
     "shut a running guest down and start it anew"},
    {CLI_OPT_PROTECT, "stopped", 0, G_OPTION_ARG_NONE, FIELD(stopped), NULL,
     "do not start the VM"},
    {CLI_OPT_PROTECT, "dry-run", 0, G_OPTION_ARG_NONE, FIELD(dry_run), NULL,
     "change nothing, print what would be done"},
    {CLI_OPT_UNFENCED, "allow-unfenced", 0, G_OPTION_ARG_NONE,
     FIELD(allow_unfenced), NULL,
     "take disks whose target knows no reservations"},
    {CLI_OPT_NEW_DISKS, "new-disks", 0, G_OPTION_ARG_NONE, FIELD(new_disks),
     NULL, "its disks' LUNs are others now, and that is meant"},
    {CLI_OPT_PARALLEL, "parallel", 0, G_OPTION_ARG_INT, FIELD(parallel), "N",
     "so many moves at a time (2)"},
    {CLI_OPT_SCRIPT, "script", 0, G_OPTION_ARG_NONE, FIELD(script), NULL,
     "print a shell script that does the same"},
    {CLI_OPT_BASELINE, "baseline", 0, G_OPTION_ARG_NONE, FIELD(baseline), NULL,
     "the CPU that all nodes can be"},
    {CLI_OPT_BASELINE, "force", 0, G_OPTION_ARG_NONE, FIELD(force), NULL,
     "leave out nodes of which nothing is known"},
    {CLI_OPT_ALL, "all", 'a', G_OPTION_ARG_NONE, FIELD(all), NULL,
     "show also what is fine"},
    {CLI_OPT_JSON, "json", 0, G_OPTION_ARG_NONE, FIELD(json), NULL,
     "print JSON"},
    {0, "help", 'h', G_OPTION_ARG_NONE, FIELD(help), NULL, "print this help"},
#undef FIELD
};

void
cli_options_free(cli_options *options)
{
    if (options == NULL)
        return;
    g_free(options->xml);
    g_free(options->connect);
    g_free(options->vault);
    g_free(options->secret_file);
    g_free(options->mode);
    g_strfreev(options->args);
    g_free(options);
}

static bool usage(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static bool
usage(GError **error, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    if (error != NULL)
        *error = g_error_new_valist(CLI_USAGE, 0, format, ap);
    va_end(ap);
    return false;
}

/* Does @argv begin with the words of @name?  Returns how many; 0: no. */
static unsigned
match_words(const char *name, char **argv)
{
    g_auto(GStrv) words = g_strsplit(name, " ", -1);
    unsigned n;

    for (n = 0; words[n] != NULL; n++)
        if (argv[n] == NULL || strcmp(words[n], argv[n]) != 0)
            return 0;
    return n;
}

/* "create, show, edit": what may follow @word; NULL: it begins no command. */
static char *
subcommands(const cli_command *commands, size_t n_commands, const char *word)
{
    g_autoptr(GString) list = g_string_new(NULL);
    size_t length = strlen(word);

    for (size_t i = 0; i < n_commands; i++)
        if (strncmp(commands[i].name, word, length) == 0 &&
            commands[i].name[length] == ' ')
            g_string_append_printf(list, "%s%s", list->len > 0 ? ", " : "",
                                   commands[i].name + length + 1);
    return list->len > 0 ? g_string_free(g_steal_pointer(&list), FALSE) : NULL;
}

bool
cli_find_command(const cli_command *commands, size_t n_commands, char **argv,
                 const cli_command **ret_command, unsigned *ret_words,
                 GError **error)
{
    g_autofree char *subs = NULL;

    for (size_t i = 0; i < n_commands; i++) {
        unsigned words = match_words(commands[i].name, argv);

        if (words > 0) {
            *ret_command = &commands[i];
            *ret_words = words;
            return true;
        }
    }
    if (argv[0] == NULL)
        return usage(error, "no command given; see quickmig --help");
    if (argv[0][0] == '-')
        return usage(error, "unknown option %s; see quickmig --help", argv[0]);
    subs = subcommands(commands, n_commands, argv[0]);
    if (subs != NULL && argv[1] == NULL)
        return usage(error, "%s: one of %s is missing", argv[0], subs);
    if (subs != NULL)
        return usage(error, "unknown command %s %s; %s knows %s", argv[0],
                     argv[1], argv[0], subs);
    return usage(error, "unknown command %s; see quickmig --help", argv[0]);
}

static GOptionGroup *
build_group(const cli_command *command, cli_options *options)
{
    GOptionGroup *group = g_option_group_new("", "", "", NULL, NULL);

    for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
        GOptionEntry entry[2] = {0};

        if (table[i].bit != 0 && !(command->options & table[i].bit))
            continue;
        entry[0].long_name = table[i].name;
        entry[0].short_name = table[i].letter;
        entry[0].arg = table[i].type;
        entry[0].arg_data = (char *) options + table[i].at;
        g_option_group_add_entries(group, entry);
    }
    return group;
}

static bool
check_values(const cli_command *command, const cli_options *options,
             GError **error)
{
    unsigned n = g_strv_length(options->args);

    if (options->help)
        return true;
    if (n < command->min_args)
        return usage(error, "%s: %.*s is missing; see quickmig %s --help",
                     command->name, (int) strcspn(command->args, " "),
                     command->args, command->name);
    if (n > command->max_args)
        return usage(error, "%s: one argument too many: %s", command->name,
                     options->args[command->max_args]);
    if (options->timeout < 1 || options->timeout > MAX_TIMEOUT ||
        options->move_timeout < 1 || options->move_timeout > MAX_TIMEOUT)
        return usage(error, "%s: --timeout takes 1 to %d seconds",
                     command->name, MAX_TIMEOUT);
    if (options->mode != NULL && strcmp(options->mode, "quick") != 0 &&
        strcmp(options->mode, "live") != 0 &&
        strcmp(options->mode, "auto") != 0)
        return usage(error, "%s: --mode takes quick, live or auto",
                     command->name);
    if (options->limit < 0)
        return usage(error, "%s: --limit takes a number from 0", command->name);
    return true;
}

bool
cli_parse_options(const cli_command *command, char **argv,
                  cli_options **ret_options, GError **error)
{
    g_autoptr(cli_options) options = g_new0(cli_options, 1);
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GError) e = NULL;
    g_autofree char *program = g_strdup("quickmig");
    g_autoptr(GPtrArray) args = g_ptr_array_new();
    g_auto(GStrv) rest = NULL;

    options->timeout = DEFAULT_TIMEOUT;
    options->move_timeout = DEFAULT_MOVE;
    g_option_context_set_help_enabled(context, FALSE);
    g_option_context_set_main_group(context, build_group(command, options));
    /* GLib takes the first argument for the program's name. */
    g_ptr_array_add(args, program);
    for (; *argv != NULL; argv++)
        g_ptr_array_add(args, *argv);
    g_ptr_array_add(args, NULL);
    rest = g_strdupv((char **) args->pdata);
    if (!g_option_context_parse_strv(context, &rest, &e))
        return usage(error, "%s: %s; see quickmig %s --help", command->name,
                     e->message, command->name);
    options->args = g_strdupv(rest + 1);
    /* GLib leaves a separating "--" in place when something follows it. */
    if (options->args[0] != NULL && strcmp(options->args[0], "--") == 0) {
        g_free(options->args[0]);
        memmove(options->args, options->args + 1,
                g_strv_length(options->args + 1) * sizeof(char *) +
                    sizeof(char *));
    }
    if (!check_values(command, options, error))
        return false;
    *ret_options = g_steal_pointer(&options);
    return true;
}

static void
help_options(unsigned bits, GString *out)
{
    g_autoptr(cli_table) t = cli_table_new(NULL);

    for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
        g_autofree char *left = NULL;
        char letter[5] = "    ";

        if (table[i].bit != 0 && !(bits & table[i].bit))
            continue;
        if (table[i].letter != 0)
            g_snprintf(letter, sizeof letter, "-%c, ", table[i].letter);
        left = g_strdup_printf("  %s--%s%s%s", letter, table[i].name,
                               table[i].arg != NULL ? " " : "",
                               table[i].arg != NULL ? table[i].arg : "");
        cli_table_row(t, left, table[i].help, NULL);
    }
    cli_table_print(t, out);
}

void
cli_help_command(const cli_command *command, GString *out)
{
    g_string_append_printf(out, "Usage: quickmig %s%s%s [OPTION]...\n\n%s.\n",
                           command->name, command->args[0] != '\0' ? " " : "",
                           command->args, command->summary);
    if (command->detail != NULL)
        g_string_append_printf(out, "\n%s\n", command->detail);
    g_string_append(out, "\nOptions:\n");
    help_options(command->options, out);
}

void
cli_help(const cli_command *commands, size_t n_commands, GString *out)
{
    g_autoptr(cli_table) t = cli_table_new(NULL);

    g_string_append(out, "Usage: quickmig COMMAND [ARGUMENT]... [OPTION]...\n"
                         "\n"
                         "Looks after the vaults of highly available virtual "
                         "machines.\n"
                         "\nCommands:\n");
    for (size_t i = 0; i < n_commands; i++) {
        g_autofree char *left =
            g_strdup_printf("  %s %s", commands[i].name, commands[i].args);

        cli_table_row(t, left, commands[i].summary, NULL);
    }
    cli_table_print(t, out);
    g_string_append(
        out, "\nVM is a resource, a VM's name or a vault's address:\n"
             "  iscsi://[user@]host[:port]/iqn/lun[?secret=NAME], or an "
             "absolute directory.\n"
             "\nOptions:\n"
             "  -h, --help     print this help; quickmig COMMAND --help for a "
             "command's\n"
             "      --version  print the version\n"
             "\nSee quickmig(8).\n");
}
