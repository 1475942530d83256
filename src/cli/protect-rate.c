/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * How fast the nodes have been when they moved other VMs: the slowest counts,
 * since any of them may have to save this one.
 */
#include "config.h"
#include "cib-read.h"
#include "facts.h"
#include "protection.h"

#define ATTRIBUTE "quickmig-facts" /* told by quickmigd */

uint64_t
cli_protection_known_rate(xmlNode *cib)
{
    uint64_t slowest = 0;
    xmlNode *n = NULL;

    while ((n = qm__cib_next(cib, n, "node_state")) != NULL) {
        g_autofree char *node = qm__walk_get(n, "uname");
        g_autofree char *text =
            node != NULL ? qm__cib_transient(cib, node, ATTRIBUTE) : NULL;
        g_autoptr(qm_node_facts) facts = NULL;
        uint64_t rate;

        if (text == NULL || !qm__facts_from_json(text, &facts, NULL))
            continue;
        rate = UINT64_C(1000000) * facts->storage_mbs;
        if (rate > 0 && (slowest == 0 || rate < slowest))
            slowest = rate;
    }
    return slowest;
}
