/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The CIB is changed with Pacemaker's own tool, which checks what it is given;
 * what comes of a change is looked at until it is there.
 */
#include "config.h"
#include <poll.h>
#include <string.h>
#include "cib-read.h"
#include "cluster-internal.h"
#include "protect.h"
#include "spawn.h"
#include "timeouts.h"

#define CALL    (30 * QM_S)
#define LOOK_MS 300

/* OCF 1.1 */
#define OCF_ERR_INSTALLED 5
#define OCF_NOT_RUNNING   7

#define NO_SUCH    105 /* CRM_EX_NOSUCH */
#define NO_SUCH_XP 6   /* ENXIO, as cibadmin 2.1 has it */

bool
cli_cib_read(const cli_options *o, xmlDoc **ret_doc, xmlNode **ret_root,
             GError **error)
{
    g_autofree char *text = NULL;

    if (!qm__cib_query(cli_deadline(o), &text, error) ||
        !qm__walk_parse(text, "the cluster's configuration", ret_doc, error))
        return false;
    *ret_root = xmlDocGetRootElement(*ret_doc);
    return true;
}

bool
cli_monitor_read(const cli_options *o, xmlDoc **ret_doc, xmlNode **ret_root,
                 GError **error)
{
    static const char *const argv[] = {"crm_mon", "--one-shot",
                                       "--output-as=xml", "--inactive", NULL};
    g_autofree char *text = NULL;
    int code;

    if (!qm__spawn(argv, cli_deadline(o), &code, &text, NULL, error))
        return false;
    if (code != 0) {
        g_set_error(error, QM_ERROR, QM_ERROR_IO,
                    "Pacemaker does not answer on this node (crm_mon, exit "
                    "%d)",
                    code);
        return false;
    }
    if (!qm__walk_parse(text, "the cluster's state", ret_doc, error))
        return false;
    *ret_root = xmlDocGetRootElement(*ret_doc);
    return true;
}

static bool
run(const char *const *argv, int64_t deadline, bool may_be_gone,
    const char *what, GError **error)
{
    g_autofree char *out = NULL, *err = NULL;
    int code;

    if (!qm__spawn(argv, deadline, &code, &out, &err, error)) {
        g_prefix_error(error, "cannot %s: ", what);
        return false;
    }
    if (code == 0 || (may_be_gone && (code == NO_SUCH || code == NO_SUCH_XP)))
        return true;
    g_strdelimit(g_strstrip(err), "\r\n", ' ');
    g_set_error(error, QM_ERROR, QM_ERROR_IO, "%s: cannot %s: %s (exit %d)",
                argv[0], what, *err != '\0' ? err : "no reason given", code);
    return false;
}

static bool
change(const char *const *argv, bool may_be_gone, const char *what,
       GError **error)
{
    return run(argv, qm__deadline_in(CALL), may_be_gone, what, error);
}

bool
cli_cib_apply(const char *xml, GError **error)
{
    const char *argv[] = {"cibadmin",
                          "--modify",
                          "--allow-create",
                          "--scope",
                          "configuration",
                          "--sync-call",
                          "--xml-text",
                          xml,
                          NULL};

    return change(argv, false, "change the cluster's configuration", error);
}

bool
cli_cib_remove(const char *element, const char *id, GError **error)
{
    g_autofree char *path =
        g_strdup_printf("/cib/configuration//%s[@id='%s']", element, id);
    const char *argv[] = {"cibadmin", "--delete",    "--force", "--xpath",
                          path,       "--sync-call", NULL};

    return change(argv, true, "remove it from the cluster's configuration",
                  error);
}

bool
cli_resource_set(const char *id, bool meta, const char *name, const char *value,
                 GError **error)
{
    const char *argv[] = {"crm_resource",
                          "--resource",
                          id,
                          "--set-parameter",
                          name,
                          "--parameter-value",
                          value,
                          meta ? "--meta" : NULL,
                          NULL};

    return change(argv, false, "set a parameter of the resource", error);
}

bool
cli_resource_unset(const char *id, const char *name, GError **error)
{
    const char *argv[] = {
        "crm_resource", "--resource", id,  "--delete-parameter",
        name,           "--meta",     NULL};

    return change(argv, false, "remove a parameter of the resource", error);
}

/* --- probes -------------------------------------------------------------- */

/* The node's probe of the resource that has ended; NULL: none yet. */
static xmlNode *
find_probe(xmlNode *state, const char *id)
{
    xmlNode *history = qm__walk_find(state, "lrm_resource", id);

    for (xmlNode *op = history != NULL ? history->children : NULL; op != NULL;
         op = op->next)
        if (qm__walk_is(op, "lrm_rsc_op") &&
            qm__walk_has(op, "operation", "monitor") &&
            qm__walk_has(op, "interval", "0") &&
            !qm__walk_has(op, "op-status", "-1"))
            return op;
    return NULL;
}

/* Not there, or nothing there that could run it. */
static bool
is_nowhere(const xmlNode *probe)
{
    return qm__walk_has(probe, "rc-code", G_STRINGIFY(OCF_NOT_RUNNING)) ||
           qm__walk_has(probe, "rc-code", G_STRINGIFY(OCF_ERR_INSTALLED));
}

bool
cli_judge_probes(xmlNode *cib, const char *id, bool *ret_done, GError **error)
{
    xmlNode *state = NULL;

    *ret_done = true;
    while ((state = qm__cib_next(cib, state, "node_state")) != NULL) {
        g_autofree char *node = qm__walk_get(state, "uname");
        g_autofree char *why = NULL;
        xmlNode *probe;

        if (!qm__walk_has(state, "crmd", "online") ||
            !qm__walk_has(state, "join", "member"))
            continue;
        probe = find_probe(state, id);
        if (probe == NULL) {
            *ret_done = false;
            continue;
        }
        if (is_nowhere(probe))
            continue;
        why = qm__walk_get(probe, "exit-reason");
        g_set_error(error, QM_ERROR, QM_ERROR_REFUSED,
                    "it may run on %s already: %s", node,
                    why != NULL && *why != '\0' ? why : "its probe failed");
        return false;
    }
    return true;
}

bool
cli_await_probes(const cli_options *o, const char *id, int64_t deadline,
                 GError **error)
{
    bool done = false;

    do {
        g_autoptr(xmlDoc) doc = NULL;
        xmlNode *root;

        if (!cli_cib_read(o, &doc, &root, error) ||
            !cli_judge_probes(root, id, &done, error))
            return false;
    } while (!done && !qm__passed(deadline) && poll(NULL, 0, LOOK_MS) == 0);
    if (!done)
        g_set_error(error, QM_ERROR, QM_ERROR_TIMEOUT,
                    "not every node has looked for %s in time", id);
    return done;
}

/* --- waiting ------------------------------------------------------------- */

/* 1: it is there.  0: not yet.  -1: it will not be. */
static int
judge(const qm_placement *at, cli_await what, const char *id, GError **error)
{
    unsigned n = at->nodes != NULL ? g_strv_length(at->nodes) : 0;

    if (what == CLI_AWAIT_STOPPED)
        return !at->found || (n == 0 && at->pending == NULL) ? 1
               : at->blocked                                 ? -1
                                                             : 0;
    if (at->found && n == 1 && at->pending == NULL && !at->failed)
        return 1;
    if (at->found && (at->blocked || (at->failed && at->pending == NULL))) {
        g_set_error(error, QM_ERROR, QM_ERROR_IO,
                    "%s has failed to start; crm_mon -1rf shows why", id);
        return -1;
    }
    return 0;
}

bool
cli_await_resource(const char *id, cli_await what, int64_t deadline,
                   char **ret_node, GError **error)
{
    int result = 0;

    do {
        qm_placement at = {0};
        qm_place place = {0};

        if (!qm__placement_look(id, "", deadline, &at, &place, error))
            return false;
        result = judge(&at, what, id, error);
        if (result > 0 && what == CLI_AWAIT_STARTED && ret_node != NULL)
            *ret_node = g_strdup(at.nodes[0]);
        qm__placement_clear_look(&at);
    } while (result == 0 && !qm__passed(deadline) &&
             poll(NULL, 0, LOOK_MS) == 0);
    if (result == 0)
        g_set_error(error, QM_ERROR, QM_ERROR_TIMEOUT,
                    "%s has not %s in time; see crm_mon -1rf", id,
                    what == CLI_AWAIT_STARTED ? "started" : "stopped");
    else if (result < 0 && error != NULL && *error == NULL)
        g_set_error(error, QM_ERROR, QM_ERROR_IO,
                    "%s is blocked; crm_mon -1rf shows why", id);
    return result > 0;
}

bool
cli_await_applied(int64_t deadline, GError **error)
{
    static const char *const argv[] = {"crm_resource", "--wait", NULL};

    return run(argv, deadline, false, "wait until the cluster is at rest",
               error);
}
