/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The commands, and how one is run: one table, one place that prints errors
 * and chooses the exit code.
 */
#include "config.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <quickmig/error.h>
#include "cli.h"

#define REACH (CLI_OPT_CONNECT | CLI_OPT_SECRET_FILE | CLI_OPT_TIMEOUT)

const cli_command cli_commands[] = {
    {"vault create", "VAULT --xml FILE",
     "Format a vault for one VM and import its domain XML",
     "Checks the XML, the vault's size against the VM's memory, and that the\n"
     "disks' LUNs can be reserved; then formats, and prints the commands that\n"
     "create the cluster resource, for crm and for pcs.  Changes nothing when\n"
     "a check fails.",
     1, 1,
     REACH | CLI_OPT_XML_FILE | CLI_OPT_FORCE | CLI_OPT_NO_CHECK |
         CLI_OPT_UNFENCED | CLI_OPT_JSON,
     cli_vault_create},
    {"vault show", "VM", "Print what a vault holds", NULL, 1, 1,
     REACH | CLI_OPT_SHOW_XML | CLI_OPT_JSON, cli_vault_show},
    {"vault edit", "VM", "Change a VM's domain XML",
     "Opens $VISUAL or $EDITOR, or takes the XML from --xml.  The VM must be\n"
     "off, or run on this node.  A change takes effect at the VM's next cold\n"
     "boot; a guest that runs, or that is moved, keeps what it was started\n"
     "with.  With --new-disks the XML stays: it says that the LUNs of the "
     "VM's\n"
     "disks are others than before, though their addresses are the same.",
     1, 1,
     REACH | CLI_OPT_XML_FILE | CLI_OPT_NO_CHECK | CLI_OPT_NEW_DISKS |
         CLI_OPT_JSON,
     cli_vault_edit},
    {"vault set-cpu", "VM --baseline", "Give a VM a CPU that every node can be",
     "Finds the best CPU model that all nodes of the cluster have in common,\n"
     "by what quickmigd has told of each, and puts it into the VM's domain\n"
     "XML; topology, NUMA and cache stay.  As with vault edit it takes effect\n"
     "at the VM's next cold boot.",
     1, 1, REACH | CLI_OPT_BASELINE | CLI_OPT_JSON, cli_vault_set_cpu},
    {"status", "[VM]...", "Show every VM, its state and its owner",
     "Reads the vaults of all cluster resources, or of those that are named.\n"
     "A vault that cannot be read is a line with its error; the exit code is\n"
     "then 1.",
     0, G_MAXUINT, REACH | CLI_OPT_VAULT | CLI_OPT_JSON, cli_status},
    {"history", "[VM]", "Show past transitions of a VM, or of all",
     "Without VM: of all VMs of the cluster, in the order of time.  A vault "
     "that\n"
     "cannot be read is a warning; the exit code is then 1.",
     0, 1, REACH | CLI_OPT_LIMIT | CLI_OPT_JSON, cli_history},
    {"move", "VM [NODE]", "Move a running VM to another node",
     "With quickmigd on both nodes the guest's memory is copied first, while "
     "it\n"
     "runs; then Pacemaker is asked for the move, as crm resource move would,\n"
     "which takes well under a second.  Shows how far it is; removes its\n"
     "constraint in the end.  Interrupted (Ctrl-C), it cancels the move: the\n"
     "guest runs on where it was.  Without NODE: to the best rated one.  On a\n"
     "terminal it shows the plan and asks first.",
     1, 2,
     CLI_OPT_CONNECT | CLI_OPT_SECRET_FILE | CLI_OPT_MOVE_TIMEOUT |
         CLI_OPT_NO_PRECOPY | CLI_OPT_MODE | CLI_OPT_YES | CLI_OPT_JSON,
     cli_move_vm},
    {"hosts", "[VM]", "Show the nodes, and how well they suit a VM",
     "Stars and rating say what would be left of a node with the VM on it.\n"
     "MAY RUN says why a node cannot have it.",
     0, 1, REACH | CLI_OPT_JSON, cli_hosts},
    {"plan", "VM [NODE]", "Show what a move would be, without making it",
     "Without NODE: to the best rated one.  Exit code 4: it cannot be moved\n"
     "there now.",
     1, 2, REACH | CLI_OPT_SCRIPT | CLI_OPT_JSON, cli_plan},
    {"drain", "NODE", "Empty a node for maintenance",
     "Moves its VMs to the best rated nodes, puts it into standby, and says "
     "when\n"
     "it is safe to switch it off.",
     1, 1,
     CLI_OPT_CONNECT | CLI_OPT_SECRET_FILE | CLI_OPT_MOVE_TIMEOUT |
         CLI_OPT_PARALLEL | CLI_OPT_YES | CLI_OPT_JSON,
     cli_drain},
    {"undrain", "NODE", "Take a node out of standby", NULL, 1, 1,
     CLI_OPT_TIMEOUT | CLI_OPT_JSON, cli_undrain},
    {"jobs", "[VM]...", "Show the moves under way, on all nodes", NULL, 0,
     G_MAXUINT, CLI_OPT_WATCH | CLI_OPT_TIMEOUT | CLI_OPT_JSON, cli_jobs},
    {"cancel", "VM", "Cancel a move that is under way",
     "Before its commit the guest runs on where it was, without a restart.\n"
     "After it the move completes, and the exit code is 4.",
     1, 1, CLI_OPT_TIMEOUT | CLI_OPT_JSON, cli_cancel},
    {"protect", "VM", "Hand a VM of libvirt's to the cluster",
     "Makes its vault (or takes one that it has), takes its definition away\n"
     "from libvirt, and creates its resource, constraints and, where there is\n"
     "none, the clone of the node daemon.  --dry-run prints that as commands\n"
     "for crm and pcs.",
     1, 1,
     CLI_OPT_CONNECT | CLI_OPT_SECRET_FILE | CLI_OPT_MOVE_TIMEOUT |
         CLI_OPT_NEW_VAULT | CLI_OPT_XML_FILE | CLI_OPT_PROTECT |
         CLI_OPT_ANYWAY | CLI_OPT_NO_CHECK | CLI_OPT_UNFENCED | CLI_OPT_JSON,
     cli_protect},
    {"unprotect", "VM", "Hand a VM of the cluster's back to libvirt here",
     "Stops it, removes its resource and constraints, releases the\n"
     "reservations of its LUNs, and defines it in libvirt on this node.  It\n"
     "must be off, or run here.",
     1, 1,
     CLI_OPT_CONNECT | CLI_OPT_SECRET_FILE | CLI_OPT_MOVE_TIMEOUT |
         CLI_OPT_PROTECT | CLI_OPT_JSON,
     cli_unprotect},
    {"capacity", "", "Show who has room, and who would have none",
     "What nodes have (Pacemaker's utilization), what runs there takes, and\n"
     "which VMs would find no room if a node died; then the exit code is 5.",
     0, 0, CLI_OPT_TIMEOUT | CLI_OPT_JSON, cli_capacity},
    {"doctor", "", "Check the whole installation",
     "Looks at the cluster, this node, and every VM's resource, vault and\n"
     "LUNs; says what is wrong, what it means, and the command that mends it.\n"
     "Changes nothing.  Exit code 5: warnings; 6: errors.",
     0, 0, REACH | CLI_OPT_ALL | CLI_OPT_JSON, cli_doctor},
    {"discover", "[URI]...", "List hypervisors and VMs, protected or not",
     "Shows each VM's hardware, and what stands in the way of protecting it.\n"
     "URI: libvirt's address of a hypervisor; without one this host's.\n"
     "Changes nothing.",
     0, G_MAXUINT, REACH | CLI_OPT_JSON, cli_discover},
    {"discard", "VM", "Drop a VM's saved state",
     "The VM's next start is a cold boot; what its memory held is lost.  Only\n"
     "a VM that is SAVED has a saved state.  Asks first on a terminal, needs\n"
     "--yes otherwise.",
     1, 1, REACH | CLI_OPT_YES | CLI_OPT_JSON, cli_discard},
};
const size_t cli_n_commands = G_N_ELEMENTS(cli_commands);

G_DEFINE_QUARK(quickmig - findings - quark, cli_findings)

void
cli_warn(const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, format);
    text = g_strdup_vprintf(format, ap);
    va_end(ap);
    g_printerr("quickmig: warning: %s\n", text);
}

bool
cli_refuse(GError **error, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    if (error != NULL)
        *error = g_error_new_valist(QM_ERROR, QM_ERROR_REFUSED, format, ap);
    va_end(ap);
    return false;
}

int
cli_exit_code(const GError *error)
{
    if (error == NULL)
        return CLI_EXIT_OK;
    if (error->domain == CLI_USAGE)
        return CLI_EXIT_USAGE;
    if (error->domain == CLI_FINDINGS)
        return error->code;
    if (error->domain != QM_ERROR)
        return CLI_EXIT_FAILURE;
    switch ((qm_error_code) error->code) {
    case QM_ERROR_NOT_FOUND:
    case QM_ERROR_UNFORMATTED:
        return CLI_EXIT_NOT_FOUND;
    case QM_ERROR_REFUSED:
    case QM_ERROR_BUSY:
    case QM_ERROR_CONFLICT:
    case QM_ERROR_FOREIGN:
    case QM_ERROR_MISMATCH:
    case QM_ERROR_CANCELLED:
        return CLI_EXIT_REFUSED;
    default:
        return CLI_EXIT_FAILURE;
    }
}

/* The error as the document on standard output, for --json. */
static void
print_json_error(const GError *error, GString *out)
{
    g_autoptr(JsonBuilder) b = json_builder_new();

    json_builder_begin_object(b);
    cli_json_error(b, "error", error);
    json_builder_end_object(b);
    cli_json_print(b, out);
}

static int
finish(const GString *out, const GError *error)
{
    /* As it is: g_print() would convert it. */
    (void) fwrite(out->str, 1, out->len, stdout);
    if (fflush(stdout) != 0) {
        g_printerr("quickmig: cannot write to standard output\n");
        return CLI_EXIT_FAILURE;
    }
    if (error != NULL)
        g_printerr("quickmig: %s\n", error->message);
    return cli_exit_code(error);
}

static void
run_command(const cli_command *command, char **argv, GString *out,
            GError **error)
{
    g_autoptr(cli_options) options = NULL;
    g_autoptr(GError) e = NULL;

    if (!cli_parse_options(command, argv, &options, error))
        return;
    if (options->help) {
        cli_help_command(command, out);
        return;
    }
    if (command->handler(options, out, &e))
        return;
    if (options->json && out->len == 0)
        print_json_error(e, out);
    g_propagate_error(error, g_steal_pointer(&e));
}

int
cli_run(char **argv)
{
    g_autoptr(GString) out = g_string_new(NULL);
    g_autoptr(GError) error = NULL;
    const cli_command *command;
    unsigned words;

    if (argv[0] != NULL && argv[1] == NULL &&
        (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0))
        cli_help(cli_commands, cli_n_commands, out);
    else if (argv[0] != NULL && argv[1] == NULL &&
             strcmp(argv[0], "--version") == 0)
        g_string_append(out, "quickmig " PACKAGE_VERSION "\n");
    else if (cli_find_command(cli_commands, cli_n_commands, argv, &command,
                              &words, &error))
        run_command(command, argv + words, out, &error);
    return finish(out, error);
}
