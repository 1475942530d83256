/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Prints the lifecycle table as a document (md) or as a graph (dot), so that
 * what is written about it is what it says.
 */
#include "config.h"
#include <stdio.h>
#include <string.h>
#include <quickmig/lifecycle.h>

static const char intro[] =
    "<!-- Made by \"make update-lifecycle-doc\"; do not edit. -->\n"
    "# The lifecycle, row by row\n"
    "\n"
    "Of a state's rows for an event the first one that matches decides.\n"
    "*Owner* is seen from the node that asks: itself, itself before its last\n"
    "boot, another node that surely is gone, or one that is not. *Domain* is\n"
    "what libvirt has on the node that asks; *image* tells whether the saved\n"
    "state with the record's image id has its last chunk; *restores* whether\n"
    "fewer than `restore_attempts` failed, and if not, what\n"
    "`on_restore_failure` says. A dash is for what does not matter, or does\n"
    "not change. The graph is in `lifecycle.dot`.\n";

static const char actions[] =
    "\n"
    "## What happens\n"
    "\n"
    "| word | the record is written, then |\n"
    "|---|---|\n"
    "| none | nothing: success |\n"
    "| refuse | nothing is written; an error says why |\n"
    "| again | it is decided again |\n"
    "| cold-boot | the VM boots; leftovers are destroyed before |\n"
    "| restore | the image is loaded; leftovers are destroyed before |\n"
    "| resume | the paused guest goes on |\n"
    "| open-gates | the gates let the guest's writes through |\n"
    "| take-disks | the disks are acquired, the guest is resumed |\n"
    "| save | the guest is paused, its state is streamed to the vault |\n"
    "| power-down | the guest is ended as `stop_action` says |\n"
    "| destroy | the domain on this node is destroyed |\n"
    "| destroy-first | the domain on this node was destroyed before |\n";

/* The names of a mask's bits; a dash for all of them. */
static void
print_mask(unsigned mask, unsigned all, const char *const *names)
{
    const char *separator = "";

    if ((mask & all) == all) {
        printf(" – |");
        return;
    }
    putchar(' ');
    for (unsigned i = 0; all >> i != 0; i++)
        if (mask & all & 1u << i) {
            printf("%s%s", separator, names[i]);
            separator = ", ";
        }
    printf(" |");
}

/* One more failure is counted. */
static bool
counts(const qm_transition *t)
{
    return t->event == QM_EVENT_RESTORE_FAILED && t->action != QM_ACTION_REFUSE;
}

static bool
changes(const qm_transition *t)
{
    return t->to != t->from || t->new_generation || t->new_image || counts(t);
}

static void
print_next(const qm_transition *t)
{
    if (!changes(t)) {
        printf(" – |");
        return;
    }
    printf(" %s%s%s%s |", qm_state_name(t->to),
           t->new_generation ? ", generation + 1" : "",
           t->new_image ? ", image id + 1" : "",
           counts(t) ? ", failed restores + 1" : "");
}

static void
print_row(const qm_transition *t)
{
    static const char *const owners[] = {"nobody", "self", "old boot", "gone",
                                         "alive"};
    static const char *const domains[] = {"none", "runs", "paused"};
    static const char *const images[] = {"part", "whole"};
    static const char *const restores[] = {"may", "boot", "block"};
    bool owned = t->from != QM_STATE_OFF && t->from != QM_STATE_SAVED;

    printf("| %s |", qm_event_name(t->event));
    print_mask(t->owner,
               owned ? QM_OWNER_ANY & ~QM_OWNER_NOBODY : QM_OWNER_NOBODY,
               owners);
    print_mask(t->domain, QM_DOMAIN_ANY, domains);
    print_mask(t->image, QM_IMAGE_ANY, images);
    print_mask(t->restore, QM_RESTORE_ANY, restores);
    print_next(t);
    printf(" %s | %s |\n", qm_action_name(t->action), t->why);
}

static void
print_document(const qm_transition *table, size_t n)
{
    fputs(intro, stdout);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || table[i].from != table[i - 1].from)
            printf("\n## %s\n\n"
                   "| event | owner | domain | image | restores | next | "
                   "action | why |\n"
                   "|---|---|---|---|---|---|---|---|\n",
                   qm_state_name(table[i].from));
        print_row(&table[i]);
    }
    fputs(actions, stdout);
}

/* Does an earlier row say the same of the same event? */
static bool
is_listed(const qm_transition *table, const qm_transition *t)
{
    for (; table < t; table++)
        if (table->from == t->from && table->to == t->to && changes(table) &&
            table->event == t->event &&
            table->new_generation == t->new_generation)
            return true;
    return false;
}

/* An edge's events, for rows that change owner or not. */
static void
print_edge(const qm_transition *table, size_t n, qm_state from, qm_state to,
           bool takes)
{
    bool open = false;

    for (const qm_transition *t = table; t < table + n; t++) {
        if (!changes(t) || t->from != from || t->to != to ||
            t->new_generation != takes || is_listed(table, t))
            continue;
        if (!open)
            printf("    %s -> %s [label=\"", qm_state_name(from),
                   qm_state_name(to));
        printf("%s%s", open ? "\\n" : "", qm_event_name(t->event));
        open = true;
    }
    if (open)
        printf("\"%s];\n", takes ? ", style=bold" : "");
}

static void
print_graph(const qm_transition *table, size_t n)
{
    printf("// Made by \"make update-lifecycle-doc\"; do not edit.\n"
           "// Bold: ownership changes, the generation rises.\n"
           "digraph lifecycle {\n"
           "    node [shape=box, style=rounded];\n");
    for (int from = 0; from < QM_STATE_COUNT; from++)
        for (int to = 0; to < QM_STATE_COUNT; to++)
            for (int takes = 0; takes < 2; takes++)
                print_edge(table, n, from, to, takes);
    printf("}\n");
}

int
main(int argc, char **argv)
{
    const qm_transition *table;
    size_t n;

    table = qm_lifecycle_table(&n);
    if (argc == 2 && strcmp(argv[1], "md") == 0)
        print_document(table, n);
    else if (argc == 2 && strcmp(argv[1], "dot") == 0)
        print_graph(table, n);
    else
        return 2;
    return fflush(stdout) == 0 ? 0 : 1;
}
