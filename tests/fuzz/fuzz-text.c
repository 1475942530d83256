/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Texts from outside: addresses, messages of other nodes, the cluster's state,
 * the gate's configuration, the resource's parameters.
 */
#include "config.h"
#include "../../resource-agents/agent.h"
#include "../../src/gate/settings.h"
#include "agent-reply.h"
#include "cpu.h"
#include "eligible.h"
#include "facts.h"
#include "fuzz.h"
#include "job.h"
#include "told.h"

void
fuzz_url(const uint8_t *data, size_t size)
{
    g_autofree char *text = fuzz_text(data, size);
    g_autoptr(qm_url) url = NULL, again = NULL;
    bool ok;

    FUZZ_TRY(ok, qm_url_parse(text, &url, &err));
    if (!ok)
        return;
    FUZZ_CHECK((url->dir != NULL) != (url->portal != NULL));
    FUZZ_CHECK(url->dir == NULL || url->dir[0] == '/');
    FUZZ_CHECK(url->portal == NULL || url->lun <= 255);
    FUZZ_CHECK(qm_url_parse(url->text, &again, NULL));
    FUZZ_CHECK(g_strcmp0(url->iqn, again->iqn) == 0);
}

void
fuzz_message(const uint8_t *data, size_t size)
{
    g_autofree qm_message *m = g_new0(qm_message, 1),
                          *n = g_new0(qm_message, 1);
    g_autofree char *json = NULL, *twice = NULL;
    bool ok;

    FUZZ_TRY(ok, qm__message_from_json((const char *) data, size, m, &err));
    if (!ok)
        return;
    json = qm__message_to_json(m);
    FUZZ_CHECK(strlen(json) > QM_MESSAGE_MAX ||
               qm__message_from_json(json, strlen(json), n, NULL));
    if (strlen(json) > QM_MESSAGE_MAX)
        return;
    twice = qm__message_to_json(n);
    FUZZ_CHECK(strcmp(json, twice) == 0);
}

static void
look_at_node(const qm_told *told, const char *node)
{
    const char *text = qm__told_get(told, node, QM_TOLD_FACTS, NULL);
    g_auto(GStrv) names = qm__told_names(told, node, QM_TOLD_ELIGIBLE);
    const char *line = qm__told_get(told, node, QM_TOLD_CPU, NULL);
    g_autoptr(qm_node_facts) facts = NULL;
    qm_cpu cpu = {0};
    bool ok;

    (void) qm__told_is_online(told, node);
    if (line != NULL) {
        FUZZ_TRY(ok, qm__cpu_parse(line, &cpu, &err));
        qm__cpu_clear(&cpu);
    }
    for (char **n = names; *n != NULL; n++) {
        (void) qm__told_best(told, *n, node);
        (void) qm__told_where(told, *n);
    }
    if (text == NULL)
        return;
    FUZZ_TRY(ok, qm__facts_from_json(text, &facts, &err));
    if (ok) {
        g_autofree char *json = qm__facts_to_json(facts);
        g_autoptr(qm_node_facts) again = NULL;

        FUZZ_CHECK(qm__facts_from_json(json, &again, NULL));
    }
}

void
fuzz_told(const uint8_t *data, size_t size)
{
    g_autofree char *text = fuzz_text(data, size);
    g_autoptr(qm_told) told = NULL;
    g_autoptr(qm_node_facts) facts = NULL;
    bool ok;

    FUZZ_TRY(ok, qm__facts_from_json(text, &facts, &err));
    FUZZ_TRY(ok, qm__told_parse(text, &told, &err));
    if (!ok)
        return;
    for (const char *const *n = qm__told_nodes(told); *n != NULL; n++)
        look_at_node(told, *n);
    (void) qm__told_setting(told, "vaults");
}

void
fuzz_settings(const uint8_t *data, size_t size)
{
    g_autoptr(gate_settings) s = NULL;
    bool ok;

    FUZZ_TRY(ok, gate_settings_parse((const char *) data, size, &s, &err));
    if (!ok)
        return;
    FUZZ_CHECK(s->url.portal != NULL && s->url.iqn != NULL && s->url.lun >= 0 &&
               s->url.lun <= 255);
    FUZZ_CHECK(s->socket[0] == '/' && s->control[0] == '/');
    FUZZ_CHECK(s->disk != NULL && s->vm_name != NULL && s->node_id > 0);
    FUZZ_CHECK(s->read_only || s->vault != NULL);
}

/* The environment, one variable a line. */
void
fuzz_params(const uint8_t *data, size_t size)
{
    g_autofree char *text = fuzz_text(data, size);
    g_auto(GStrv) environment = g_strsplit(text, "\n", 64);
    qm_params strict, forgiving;
    bool ok;

    FUZZ_TRY(ok, qm__parameters_read(environment, false, &strict, &err));
    if (ok) {
        FUZZ_TRY(ok, qm__parameters_read(environment, true, &forgiving, &err));
        FUZZ_CHECK(ok && strcmp(strict.vault, forgiving.vault) == 0);
        return;
    }
    FUZZ_TRY(ok, qm__parameters_read(environment, true, &forgiving, &err));
}

/* A guest's answers, and the command line that it is given. */
void
fuzz_agent(const uint8_t *data, size_t size)
{
    g_autofree char *text = fuzz_text(data, size);
    g_autofree char *command = NULL;
    int64_t number;
    bool ok, exited;

    FUZZ_TRY(ok, qm__agent_read_done(text, &err));
    FUZZ_TRY(ok, qm__agent_read_pid(text, &number, &err));
    FUZZ_TRY(ok, qm__agent_read_exit(text, &exited, &number, &err));
    FUZZ_CHECK(!ok || exited || number == -1);
    FUZZ_TRY(ok, qm__agent_exec(text, &command, &err));
    FUZZ_CHECK(!ok || strchr(command, '\n') == NULL);
}
