/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#include "config.h"
#include <string.h>
#include "cluster-internal.h"
#include "outlook.h"
#include "output.h"
#include "timeouts.h"

#define USUAL_RATE                                                             \
    (UINT64_C(100) * 1000 * 1000) /* bytes/s: 1 Gbit/s, nearly                 \
                                   */
#define LIVE_PAUSE (100 * QM_MS)  /* as a guess, where none was measured */

static void
take_mode(cli_outlook *l, const char *cib)
{
    g_autoptr(GPtrArray) resources = NULL;

    if (!qm__cib_parse(cib, &resources, NULL))
        return; /* it was parsed before */
    for (guint i = 0; i < resources->len; i++) {
        const qm_resource *r = resources->pdata[i];

        if (g_strcmp0(r->id, l->target->resource) == 0)
            l->mode = g_strdup(r->mode);
    }
}

/* The last image, and the last pause: not necessarily of the same move. */
static void
take_history(cli_outlook *l, const GArray *entries)
{
    for (guint i = 0; i < entries->len; i++) {
        const qm_history *h = &g_array_index(entries, qm_history, i);

        if (h->from == QM_STATE_SAVING && h->to == QM_STATE_SAVED &&
            h->duration_us > 0 && h->bytes > 0) {
            l->bytes = h->bytes;
            l->rate = h->bytes * QM_S / h->duration_us;
        }
        if (h->from == QM_STATE_RESTORING && h->to == QM_STATE_RUNNING &&
            h->pause_us > 0)
            l->pause_us = h->pause_us;
    }
}

static bool
read_vm(const cli_options *o, const char *vm, const char *cib, cli_outlook *l,
        GError **error)
{
    g_autoptr(qm_vault) vault = NULL;
    g_autoptr(GArray) entries = NULL;
    g_autofree char *xml = NULL;

    if (!cli_find_target(o, vm, &l->target, error) ||
        !cli_open(o, l->target, 0, &vault, error) ||
        !qm_vault_read_record(vault, &l->record, error) ||
        !qm_vault_read_xml(vault, &xml, error) ||
        !qm__needs_parse(xml, &l->needs, error) ||
        !qm_vault_read_history(vault, &entries, error))
        return false;
    l->info = *qm_vault_get_info(vault);
    take_history(l, entries);
    take_mode(l, cib);
    if (cli_has_owner(&l->record))
        l->where = l->record.owner.name;
    return true;
}

bool
cli_outlook_read(const cli_options *o, const char *vm, cli_outlook *ret,
                 GError **error)
{
    g_autofree char *cib = NULL;

    memset(ret, 0, sizeof *ret);
    if (!qm__cib_query(cli_deadline(o), &cib, error) ||
        !qm__told_parse(cib, &ret->told, error))
        return false;
    if (!qm__rating_rules_parse(qm__told_setting(ret->told, "policy"),
                                qm__told_setting(ret->told, "weights"),
                                &ret->rules, NULL))
        ret->rules = qm__rating_rules_default;
    return vm == NULL || read_vm(o, vm, cib, ret, error);
}

void
cli_outlook_clear(cli_outlook *l)
{
    qm__told_free(l->told);
    cli_target_free(l->target);
    qm__needs_free(l->needs);
    g_free(l->mode);
}

qm_node_facts *
cli_outlook_facts(const cli_outlook *l, const char *node)
{
    const char *text = qm__told_get(l->told, node, QM_TOLD_FACTS, NULL);
    qm_node_facts *facts = NULL;

    if (text != NULL)
        (void) qm__facts_from_json(text, &facts, NULL);
    return facts;
}

void
cli_outlook_rate(const cli_outlook *l, const char *node,
                 const qm_node_facts *facts, qm_rating *ret)
{
    static const qm_needs nothing = {0};

    const char *told =
        l->target != NULL && l->target->resource != NULL
            ? qm__told_get(l->told, node, QM_TOLD_RATING, l->target->resource)
            : NULL;

    qm__rate(facts, l->needs != NULL ? l->needs : &nothing,
             g_strcmp0(l->where, node) == 0, &l->rules, ret);
    /* What Pacemaker goes by. */
    if (told != NULL)
        qm__rating_set(ret, (unsigned) g_ascii_strtoull(told, NULL, 10));
}

/* Of the last image that it wrote or read, bytes/s; 0: not known. */
static uint64_t
rate_of(const cli_outlook *l, const char *node)
{
    g_autoptr(qm_node_facts) facts =
        node != NULL ? cli_outlook_facts(l, node) : NULL;

    return facts != NULL ? (uint64_t) facts->storage_mbs * 1000 * 1000 : 0;
}

/* An image is read while it is written: the slower node counts. */
static void
find_rate(const cli_outlook *l, const char *node, cli_forecast *ret)
{
    uint64_t here = rate_of(l, l->where), there = rate_of(l, node);

    ret->from = here > 0 || there > 0 ? CLI_FROM_NODES
                : l->rate > 0         ? CLI_FROM_LAST
                                      : CLI_FROM_NOTHING;
    ret->rate = here > 0 && there > 0 ? MIN(here, there)
                : here > 0            ? here
                : there > 0           ? there
                : l->rate > 0         ? l->rate
                                      : USUAL_RATE;
}

void
cli_outlook_forecast(const cli_outlook *l, const char *node, cli_forecast *ret)
{
    *ret = (cli_forecast){
        .quick = g_strcmp0(l->mode, "quick") == 0,
        .bytes = l->bytes > 0 ? l->bytes : l->needs->memory,
    };
    find_rate(l, node, ret);
    ret->took_us = ret->bytes * QM_S / ret->rate;
    if (!ret->quick)
        ret->pause_us = l->pause_us > 0 ? l->pause_us : LIVE_PAUSE;
    else if (l->pause_us > 0 && l->rate > 0)
        ret->pause_us = (uint64_t) ((double) l->pause_us * (double) l->rate /
                                    (double) ret->rate);
    else
        ret->pause_us = ret->took_us;
}

const char *
cli_outlook_obstacle(const cli_outlook *l, const char *node)
{
    const char *resource = l->target != NULL ? l->target->resource : NULL;
    const char *why;

    if (!qm__told_is_online(l->told, node))
        return "offline, or in standby";
    if (resource == NULL ||
        g_strcmp0(qm__told_get(l->told, node, QM_TOLD_ELIGIBLE, resource),
                  "no") != 0)
        return NULL;
    why = qm__told_get(l->told, node, QM_TOLD_REASON, resource);
    return why != NULL ? why : "it says no";
}
