/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_CLI_PROTECT_H
#define QM_CLI_PROTECT_H

/*
 * What protect and unprotect share: changes of the CIB, and waiting for what
 * Pacemaker makes of them.
 */
#include "placement.h"
#include "protection.h"
#include "reach.h"

/* The CIB as it is.  @ret_doc owns @ret_root. */
bool cli_cib_read(const cli_options *o, xmlDoc **ret_doc, xmlNode **ret_root,
                  GError **error);
/* What crm_mon sees. */
bool cli_monitor_read(const cli_options *o, xmlDoc **ret_doc,
                      xmlNode **ret_root, GError **error);
/* Adds and changes what <configuration> in @xml has: one change. */
bool cli_cib_apply(const char *xml, GError **error);
/* Removes one element of the configuration; gone already: success. */
bool cli_cib_remove(const char *element, const char *id, GError **error);

/* A parameter, or a meta attribute, of a resource. */
bool cli_resource_set(const char *id, bool meta, const char *name,
                      const char *value, GError **error);

/* Removes a meta attribute. */
bool cli_resource_unset(const char *id, const char *name, GError **error);

/* Until every node that is online has looked for the resource, which must be
 * nowhere: REFUSED, with the node and what it said. */
bool cli_await_probes(const cli_options *o, const char *id, int64_t deadline,
                      GError **error);
/* The pure part.  @ret_done: all have looked. */
bool
cli_judge_probes(xmlNode *cib, const char *id, bool *ret_done, GError **error);

typedef enum {
    CLI_AWAIT_STARTED,
    CLI_AWAIT_STOPPED,
} cli_await;

/* Until the resource is active on one node, or nowhere, and nothing goes on;
 * its failure ends the wait.  @ret_node: where; NULL when stopped. */
bool cli_await_resource(const char *id, cli_await what, int64_t deadline,
                        char **ret_node, GError **error);

/* Until Pacemaker has done all that the configuration as it is asks for: a
 * parameter that was changed has been told to its resource.  A stop is called
 * with the parameters that the resource was told last. */
bool cli_await_applied(int64_t deadline, GError **error);

#endif
