/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_NETMAP_H
#define QM_NETMAP_H

/*
 * Networks that have another name on some node: "n3:br5=br7 n2:lan=guests".
 * Pure.
 */
#include <stdbool.h>
#include <glib.h>
#include <quickmig/error.h>

#define QM_NETMAP_MAX 512 /* bytes of text, its end included */

typedef struct qm_netmap qm_netmap;

/* @text: words NODE:NAME=NAME_THERE; NULL: none.  INVALID: malformed, too long,
 * or a node's network named twice. */
bool qm__netmap_parse(const char *text, qm_netmap **ret, GError **error);
void qm__netmap_free(qm_netmap *map);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(qm_netmap, qm__netmap_free)

/* What the network @name is called on @node: @name where nothing else is
 * said. */
const char *
qm__netmap_find(const qm_netmap *map, const char *node, const char *name);

/*
 * Gives the interfaces in @xml the names that their networks have on @node.
 * What they are called in the vault is kept in the XML's metadata, so that a
 * domain that was mapped for one node can be mapped for the next.  INVALID: no
 * domain.
 */
bool qm__netmap_apply(const qm_netmap *map, const char *node, const char *xml,
                      char **ret_xml, GError **error);

#endif
