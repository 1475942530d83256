/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_CLI_XML_CHANGE_H
#define QM_CLI_XML_CHANGE_H

/*
 * Changing the domain XML in a vault.
 */
#include "reach.h"

/* A qm_right_fn; @self: qm_node.  REFUSED: the VM is in use elsewhere. */
bool cli_may_change(const qm_record *record, void *self, GError **error);
/* @ret NULL without an error: both copies are damaged, and --xml puts one
 * back. */
bool
cli_read_xml(const cli_options *o, qm_vault *vault, char **ret, GError **error);
/* Writes @xml, and that it was changed into the history.  CONFLICT: somebody
 * else has changed @old meanwhile. */
bool cli_change_xml(const cli_options *o, qm_vault *vault, const char *old,
                    const char *xml, GError **error);

#endif
