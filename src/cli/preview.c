/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * A move on paper: the CIB as it is, with the constraint that the move would
 * make, and what crm_simulate says would follow.  So constraints, scores and
 * capacities count as they would, and other resources' fate is seen.
 */
#include "config.h"
#include <string.h>
#include <unistd.h>
#include "cli.h"
#include "cluster-internal.h"
#include "preview.h"
#include "spawn.h"

#define HEADING "Transition Summary:"

/* "  * Migrate    vm1    ( n1 -> n2 )": @ret_rest without the blanks. */
static bool
split(const char *line, char **ret_action, char **ret_name, char **ret_rest)
{
    g_auto(GStrv) words = g_strsplit_set(line, " \t", -1);
    GPtrArray *full = g_ptr_array_new();
    bool ok;

    for (char **w = words; *w != NULL; w++)
        if (**w != '\0')
            g_ptr_array_add(full, *w);
    ok = full->len >= 3 && strcmp(full->pdata[0], "*") == 0;
    if (ok) {
        g_ptr_array_add(full, NULL);
        *ret_action = g_strdup(full->pdata[1]);
        *ret_name = g_strdup(full->pdata[2]);
        *ret_rest = g_strjoinv(" ", (char **) full->pdata + 1);
    }
    g_ptr_array_unref(full);
    return ok;
}

void
cli_preview_parse(const char *text, const char *resource, const char *node,
                  cli_preview *ret)
{
    const char *from = strstr(text, HEADING);
    g_auto(GStrv) lines =
        g_strsplit(from != NULL ? from + strlen(HEADING) : "", "\n", -1);
    g_autofree char *there = g_strdup_printf("-> %s )", node);

    *ret = (cli_preview){.others = g_ptr_array_new_with_free_func(g_free)};
    /* The first is the rest of the heading's line; an empty one ends it. */
    for (char **l = lines[0] != NULL ? lines + 1 : lines;
         *l != NULL && **l != '\0'; l++) {
        g_autofree char *action = NULL, *name = NULL, *rest = NULL;

        if (!split(*l, &action, &name, &rest))
            continue;
        if (strcmp(name, resource) != 0) {
            g_ptr_array_add(ret->others, g_steal_pointer(&rest));
            continue;
        }
        ret->arrives =
            strcmp(action, "Migrate") == 0 && strstr(rest, there) != NULL;
        g_free(ret->own);
        ret->own = g_steal_pointer(&rest);
    }
}

static bool
run(const char *const *argv, int64_t deadline, char **ret_out, GError **error)
{
    g_autofree char *err = NULL;
    int code;

    if (!qm__spawn(argv, deadline, &code, ret_out, &err, error))
        return false;
    if (code == 0)
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_IO, "%s: %s (exit %d)", argv[2],
                g_strstrip(err), code);
    return false;
}

/* @file: the CIB's copy. */
static bool
simulate(const char *file, const char *resource, const char *node,
         int64_t deadline, char **ret_text, GError **error)
{
    g_autofree char *cib = g_strconcat("CIB_file=", file, NULL);
    const char *move[] = {"env",        cib,      "crm_resource",
                          "--resource", resource, "--move",
                          "--node",     node,     NULL};
    const char *ask[] = {"env",        cib, "crm_simulate", "--xml-file", file,
                         "--simulate", NULL};

    return run(move, deadline, NULL, error) &&
           run(ask, deadline, ret_text, error);
}

bool
cli_preview_move(const char *resource, const char *node, int64_t deadline,
                 cli_preview *ret, GError **error)
{
    g_autofree char *xml = NULL, *file = NULL, *text = NULL;
    int fd;
    bool ok;

    if (!qm__cib_query(deadline, &xml, error))
        return false;
    fd = g_file_open_tmp("quickmig-XXXXXX.xml", &file, error);
    if (fd < 0)
        return false;
    (void) close(fd);
    ok = g_file_set_contents_full(file, xml, -1, G_FILE_SET_CONTENTS_NONE, 0600,
                                  error) &&
         simulate(file, resource, node, deadline, &text, error);
    (void) unlink(file);
    if (ok)
        cli_preview_parse(text, resource, node, ret);
    return ok;
}

void
cli_preview_clear(cli_preview *preview)
{
    g_clear_pointer(&preview->own, g_free);
    g_clear_pointer(&preview->others, g_ptr_array_unref);
}
