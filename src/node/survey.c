/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * `quickmigd --survey`: one look at this host, and at what each VM of the
 * cluster needs; what came out is told to the cluster where it has changed
 * enough.  The daemon runs it now and then, as a process of its own: one that
 * hangs or dies hurts nobody.
 *
 * It is gentle: a few vaults are read each time, those whose copies here are
 * oldest, and attributes change seldom, since each change makes Pacemaker
 * think.
 */
#include "config.h"
#include <stdlib.h>
#include <string.h>
#include <glib/gstdio.h>
#include "cluster-internal.h"
#include "cpu.h"
#include "eligible.h"
#include "host.h"
#include "log.h"
#include "node.h"
#include "rating.h"
#include "runtime.h"
#include "survey.h"
#include "told.h"

#define AT_MOST (40 * QM_S)
#define CALL    (10 * QM_S)

typedef struct {
    char *dir;  /* /run/quickmig/survey */
    char *self; /* this node's name */
    int64_t deadline;
    qm_told *told;
    GPtrArray *vms; /* survey_vm */
    qm_host_view *view;
    qm_rating_rules rules;
} survey;

/* --- telling ------------------------------------------------------------- */

static char *
stamp_path(const survey *s, const char *attribute)
{
    return g_strconcat(s->dir, "/", attribute, ".told", NULL);
}

/* How long ago this attribute was told, µs. */
static int64_t
age(const survey *s, const char *attribute)
{
    g_autofree char *path = stamp_path(s, attribute);

    return survey_file_age(path);
}

static void
tell(const survey *s, const char *prefix, const char *name, const char *value)
{
    g_autofree char *attribute = g_strconcat(prefix, name, NULL);
    g_autofree char *path = stamp_path(s, attribute);
    const char *before = qm__told_get(s->told, s->self, prefix, name);
    g_autoptr(GError) why = NULL;

    if (g_strcmp0(before, value) == 0)
        return;
    if (!qm__cluster_tell(attribute, value,
                          MIN(qm__deadline_in(CALL), s->deadline), &why)) {
        qm__warning("%s", why->message);
        return;
    }
    (void) g_file_set_contents(path, "", 0, NULL); /* then sooner again */
}

static void
tell_facts(const survey *s)
{
    g_autofree char *text = qm__facts_to_json(s->view->facts);
    const char *before = qm__told_get(s->told, s->self, QM_TOLD_FACTS, NULL);
    g_autoptr(qm_node_facts) told = NULL;

    if (before == NULL || !qm__facts_from_json(before, &told, NULL) ||
        qm__facts_worth_telling(told, s->view->facts, age(s, QM_TOLD_FACTS)))
        tell(s, QM_TOLD_FACTS, NULL, text);
}

static void
tell_rating(const survey *s, const survey_vm *vm, bool here)
{
    const char *before =
        qm__told_get(s->told, s->self, QM_TOLD_RATING, vm->resource);
    g_autofree char *attribute =
        g_strconcat(QM_TOLD_RATING, vm->resource, NULL);
    g_autofree char *text = NULL;
    qm_rating rating;

    qm__rate(s->view->facts, vm->needs, here, &s->rules, &rating);
    text = g_strdup_printf("%u", rating.all);
    if (before == NULL ||
        qm__rating_worth_telling((unsigned) g_ascii_strtoull(before, NULL, 10),
                                 rating.all, age(s, attribute)))
        tell(s, QM_TOLD_RATING, vm->resource, text);
}

static qm_node_facts *
facts_of(const survey *s, const char *node)
{
    const char *text =
        node != NULL ? qm__told_get(s->told, node, QM_TOLD_FACTS, NULL) : NULL;
    qm_node_facts *facts = NULL;

    if (text != NULL)
        (void) qm__facts_from_json(text, &facts, NULL);
    return facts;
}

static void
tell_vm(const survey *s, guint i)
{
    const survey_vm *vm = s->vms->pdata[i];
    g_autoptr(qm_node_facts) owner =
        facts_of(s, qm__told_where(s->told, vm->resource));
    qm_candidate c = {.needs = vm->needs,
                      .host = &s->view->host,
                      .facts = s->view->facts,
                      .owner = owner,
                      .here = vm->here,
                      .cpu_problem = s->view->cpu_problems->pdata[i],
                      .storage_problem = vm->problem};
    g_autofree char *why = NULL;

    if (vm->needs == NULL) {
        /* Nothing is known of it; if it runs here, that is. */
        if (vm->here || vm->problem != NULL) {
            tell(s, QM_TOLD_ELIGIBLE, vm->resource, vm->here ? "here" : "no");
            tell(s, QM_TOLD_REASON, vm->resource,
                 vm->here ? NULL : vm->problem);
        }
        return;
    }
    why = qm__ineligible(&c);
    if (why != NULL)
        g_strdelimit(why, "\n\r\t\"", ' ');
    tell(s, QM_TOLD_ELIGIBLE, vm->resource,
         vm->here      ? "here"
         : why != NULL ? "no"
                       : "yes");
    tell(s, QM_TOLD_REASON, vm->resource, why);
    tell_rating(s, vm, vm->here);
}

static bool
is_there(const survey *s, const char *resource)
{
    for (guint i = 0; i < s->vms->len; i++)
        if (strcmp(((survey_vm *) s->vms->pdata[i])->resource, resource) == 0)
            return true;
    return false;
}

/* Of resources that the cluster has no more. */
static void
forget_old(const survey *s)
{
    static const char *const prefixes[] = {QM_TOLD_ELIGIBLE, QM_TOLD_REASON,
                                           QM_TOLD_RATING};

    for (size_t p = 0; p < G_N_ELEMENTS(prefixes); p++) {
        g_auto(GStrv) names = qm__told_names(s->told, s->self, prefixes[p]);

        for (guint i = 0; names[i] != NULL; i++)
            if (!is_there(s, names[i]))
                tell(s, prefixes[p], names[i], NULL);
    }
}

/* --- all of it ----------------------------------------------------------- */

static void
read_rules(survey *s)
{
    g_autoptr(GError) why = NULL;

    if (qm__rating_rules_parse(qm__told_setting(s->told, "policy"),
                               qm__told_setting(s->told, "weights"), &s->rules,
                               &why))
        return;
    qm__warning("%s; the default is used", why->message);
    s->rules = qm__rating_rules_default;
}

static bool
look(survey *s, GError **error)
{
    g_autoptr(qm_cluster) cluster = NULL;
    g_autoptr(GPtrArray) needs = g_ptr_array_new();
    g_autofree char *cib = NULL;

    if (!qm__runtime_prepare(NULL, error) ||
        !qm__cluster_open(qm__deadline_in(CALL), &cluster, error) ||
        !qm__cib_query(qm__deadline_in(CALL), &cib, error) ||
        !qm__told_parse(cib, &s->told, error))
        return false;
    s->self = g_strdup(qm__cluster_self(cluster)->name);
    s->dir = g_build_filename(qm__run_dir(), "survey", NULL);
    (void) g_mkdir(s->dir, 0700); /* it may be there */
    read_rules(s);
    if (!survey_vms_read(cib, s->dir, qm__cluster_self(cluster), s->deadline,
                         &s->vms, error))
        return false;
    for (guint i = 0; i < s->vms->len; i++)
        g_ptr_array_add(needs, ((survey_vm *) s->vms->pdata[i])->needs);
    return qm__host_read(NULL, needs, MIN(qm__deadline_in(CALL), s->deadline),
                         &s->view, error);
}

static void
write_metrics(const survey *s)
{
    const char *path = qm__told_setting(s->told, "metrics");
    g_autofree char *text = NULL;
    g_autoptr(GError) why = NULL;

    if (path == NULL || path[0] == '\0')
        return;
    text = survey_metrics(s->vms, s->dir, s->view->facts);
    if (!survey_metrics_write(path, text, &why))
        qm__warning("%s", why->message);
}

static void
clear(survey *s)
{
    g_free(s->dir);
    g_free(s->self);
    qm__told_free(s->told);
    if (s->vms != NULL)
        g_ptr_array_unref(s->vms);
    qm__host_view_free(s->view);
}

int
qm__survey_main(void)
{
    survey s = {.deadline = qm__deadline_in(AT_MOST)};
    g_autoptr(GError) error = NULL;
    bool ok = look(&s, &error);

    if (ok) {
        s.view->facts->storage_us = survey_latency(s.vms, s.dir);
        s.view->facts->storage_mbs = survey_rate(s.vms, s.dir);
        survey_network(s.dir, s.view->facts);
        tell_facts(&s);
        if (s.view->cpu != NULL)
            tell(&s, QM_TOLD_CPU, NULL, s.view->cpu);
        for (guint i = 0; i < s.vms->len; i++)
            tell_vm(&s, i);
        forget_old(&s);
        write_metrics(&s);
    } else {
        qm__warning("survey: %s", error->message);
    }
    clear(&s);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
