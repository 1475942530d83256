/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * What a VM's history says of this node: counters, which only grow, kept
 * between two surveys in RESOURCE.past.  The vault's ring forgets, and other
 * nodes write to it: each node counts its own transitions, once.
 */
#include "config.h"
#include <inttypes.h>
#include <string.h>
#include "survey.h"

#define GROUP "past"

static uint64_t
get(GKeyFile *file, const char *key)
{
    return g_key_file_get_uint64(file, GROUP, key, NULL);
}

static char *
step_key(qm_state from, qm_state to)
{
    return g_strdup_printf("step_%d_%d", (int) from, (int) to);
}

static void
load(const char *path, survey_past *past)
{
    g_autoptr(GKeyFile) file = g_key_file_new();

    *past = (survey_past){0};
    if (!g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, NULL))
        return;
    past->sequence = get(file, "sequence");
    past->generation = get(file, "generation");
    past->state = (qm_state) MIN(get(file, "state"), QM_STATE_COUNT - 1);
    past->failed_restores = get(file, "failed_restores");
    past->pauses = get(file, "pauses");
    past->pause_us = get(file, "pause_us");
    past->last_pause_us = get(file, "last_pause_us");
    past->saved_bytes = get(file, "saved_bytes");
    past->restored_bytes = get(file, "restored_bytes");
    past->rate = get(file, "rate");
    past->rate_at = g_key_file_get_int64(file, GROUP, "rate_at", NULL);
    past->known = true;
    for (int from = 0; from < QM_STATE_COUNT; from++)
        for (int to = 0; to < QM_STATE_COUNT; to++) {
            g_autofree char *key = step_key((qm_state) from, (qm_state) to);

            past->steps[from][to] = get(file, key);
        }
}

static void
save(const char *path, const survey_past *past)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autofree char *text = NULL;

    g_key_file_set_uint64(file, GROUP, "sequence", past->sequence);
    g_key_file_set_uint64(file, GROUP, "generation", past->generation);
    g_key_file_set_uint64(file, GROUP, "state", past->state);
    g_key_file_set_uint64(file, GROUP, "failed_restores",
                          past->failed_restores);
    g_key_file_set_uint64(file, GROUP, "pauses", past->pauses);
    g_key_file_set_uint64(file, GROUP, "pause_us", past->pause_us);
    g_key_file_set_uint64(file, GROUP, "last_pause_us", past->last_pause_us);
    g_key_file_set_uint64(file, GROUP, "saved_bytes", past->saved_bytes);
    g_key_file_set_uint64(file, GROUP, "restored_bytes", past->restored_bytes);
    g_key_file_set_uint64(file, GROUP, "rate", past->rate);
    g_key_file_set_int64(file, GROUP, "rate_at", past->rate_at);
    for (int from = 0; from < QM_STATE_COUNT; from++)
        for (int to = 0; to < QM_STATE_COUNT; to++) {
            g_autofree char *key = step_key((qm_state) from, (qm_state) to);

            if (past->steps[from][to] > 0)
                g_key_file_set_uint64(file, GROUP, key, past->steps[from][to]);
        }
    text = g_key_file_to_data(file, NULL, NULL);
    /* What cannot be kept is counted anew: a counter may begin again. */
    (void) g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_NONE,
                                    0600, NULL);
}

void
survey_past_add(survey_past *past, const qm_history *entry)
{
    if ((unsigned) entry->from >= QM_STATE_COUNT ||
        (unsigned) entry->to >= QM_STATE_COUNT)
        return;
    past->steps[entry->from][entry->to]++;
    if (entry->bytes > 0 && entry->to == QM_STATE_SAVED)
        past->saved_bytes += entry->bytes;
    if (entry->bytes > 0 && entry->from == QM_STATE_RESTORING)
        past->restored_bytes += entry->bytes;
    if (entry->bytes > 0 && entry->duration_us > 0) {
        past->rate = entry->bytes * QM_S / entry->duration_us;
        past->rate_at = entry->time_us;
    }
    /* The pause is over where it is restored. */
    if (entry->pause_us > 0 && entry->from == QM_STATE_RESTORING) {
        past->pauses++;
        past->pause_us += entry->pause_us;
        past->last_pause_us = entry->pause_us;
    }
}

void
survey_past_read(qm_vault *vault, const qm_record *record, uint32_t node_id,
                 const char *path)
{
    g_autoptr(GArray) entries = NULL;
    survey_past past;
    uint64_t newest = 0;

    load(path, &past);
    if (!qm_vault_read_history(vault, &entries, NULL))
        return; /* the next time */
    if (record->sequence < past.sequence)
        past.sequence = 0; /* another vault */
    for (guint i = 0; i < entries->len; i++) {
        const qm_history *h = &g_array_index(entries, qm_history, i);

        if (h->sequence > past.sequence && h->node_id == node_id)
            survey_past_add(&past, h);
        newest = MAX(newest, h->sequence);
    }
    past.sequence = MAX(newest, past.sequence);
    past.generation = record->generation;
    past.state = record->state;
    past.failed_restores = record->failed_restores;
    save(path, &past);
}

bool
survey_past_get(const char *dir, const char *resource, survey_past *ret)
{
    g_autofree char *path = g_strconcat(dir, "/", resource, ".past", NULL);

    load(path, ret);
    return ret->known;
}

uint32_t
survey_rate(const GPtrArray *vms, const char *dir)
{
    uint64_t rate = 0;
    int64_t newest = 0;

    for (guint i = 0; i < vms->len; i++) {
        const survey_vm *vm = vms->pdata[i];
        survey_past past;

        if (survey_past_get(dir, vm->resource, &past) && past.rate > 0 &&
            past.rate_at > newest) {
            newest = past.rate_at;
            rate = past.rate;
        }
    }
    return (uint32_t) MIN(rate / (1000 * 1000), UINT32_MAX);
}
