/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#include "config.h"
#include <stdlib.h>
#include <json-glib/json-glib.h>
#include "facts.h"
#include "timeouts.h"

#define FORMAT       1
#define TEXT_MAX     4096 /* bytes */
#define NAME_MAX_LEN 64   /* bytes of a CPU's name */
#define OFTEN        (30 * QM_S)
#define SELDOM       (600 * QM_S)
#define LOAD_STEP    20 /* per cent */
#define MEMORY_STEP  10 /* per cent of all */

/* Every number, by name: both ways in one table. */
typedef struct {
    const char *name;
    size_t offset;
    size_t size; /* bytes */
    uint64_t max;
} field;

#define FIELD(member, most)                                                    \
    {                                                                          \
#member, offsetof(qm_node_facts, member),                              \
            sizeof((qm_node_facts *) 0)->member, most                          \
    }

static const field fields[] = {
    FIELD(cpus, 65536),
    FIELD(load, 100000),
    FIELD(memory, UINT64_C(1) << 40),
    FIELD(memory_free, UINT64_C(1) << 40),
    FIELD(storage_us, 1000000000),
    FIELD(storage_mbs, 10000000),
    FIELD(link_mbs, 10000000),
    FIELD(net_mbs, 10000000),
    FIELD(libvirt, UINT64_C(1) << 40),
    FIELD(qemu, UINT64_C(1) << 40),
};

static uint64_t
get(const qm_node_facts *facts, const field *f)
{
    const uint8_t *at = (const uint8_t *) facts + f->offset;

    return f->size == 8 ? *(const uint64_t *) (const void *) at
                        : *(const uint32_t *) (const void *) at;
}

static void
set(qm_node_facts *facts, const field *f, uint64_t value)
{
    uint8_t *at = (uint8_t *) facts + f->offset;

    if (f->size == 8)
        *(uint64_t *) (void *) at = value;
    else
        *(uint32_t *) (void *) at = (uint32_t) value;
}

char *
qm__facts_to_json(const qm_node_facts *facts)
{
    g_autoptr(JsonBuilder) b = json_builder_new();
    g_autoptr(JsonNode) root = NULL;

    json_builder_begin_object(b);
    json_builder_set_member_name(b, "v");
    json_builder_add_int_value(b, FORMAT);
    if (facts->cpu_vendor != NULL) {
        json_builder_set_member_name(b, "cpu_vendor");
        json_builder_add_string_value(b, facts->cpu_vendor);
    }
    if (facts->cpu_model != NULL) {
        json_builder_set_member_name(b, "cpu_model");
        json_builder_add_string_value(b, facts->cpu_model);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(fields); i++) {
        json_builder_set_member_name(b, fields[i].name);
        json_builder_add_int_value(b, (gint64) get(facts, &fields[i]));
    }
    json_builder_end_object(b);
    root = json_builder_get_root(b);
    return json_to_string(root, FALSE);
}

static char *
name_in(JsonObject *object, const char *member)
{
    JsonNode *node = json_object_get_member(object, member);

    return node != NULL && json_node_get_value_type(node) == G_TYPE_STRING
               ? g_strndup(json_node_get_string(node), NAME_MAX_LEN)
               : NULL;
}

bool
qm__facts_from_json(const char *text, qm_node_facts **ret, GError **error)
{
    g_autoptr(JsonNode) root = NULL;
    JsonObject *object;
    qm_node_facts *facts;

    if (strnlen(text, TEXT_MAX) < TEXT_MAX)
        root = json_from_string(text, NULL);
    if (root == NULL || !JSON_NODE_HOLDS_OBJECT(root)) {
        g_set_error(error, QM_ERROR, QM_ERROR_CORRUPT,
                    "what a node tells of itself cannot be read");
        return false;
    }
    object = json_node_get_object(root);
    facts = g_new0(qm_node_facts, 1);
    facts->cpu_vendor = name_in(object, "cpu_vendor");
    facts->cpu_model = name_in(object, "cpu_model");
    for (size_t i = 0; i < G_N_ELEMENTS(fields); i++) {
        gint64 value =
            json_object_get_int_member_with_default(object, fields[i].name, 0);

        if (value > 0 && (uint64_t) value <= fields[i].max)
            set(facts, &fields[i], (uint64_t) value);
    }
    *ret = facts;
    return true;
}

void
qm__facts_free(qm_node_facts *facts)
{
    if (facts == NULL)
        return;
    g_free(facts->cpu_vendor);
    g_free(facts->cpu_model);
    g_free(facts);
}

static bool
is_other_host(const qm_node_facts *a, const qm_node_facts *b)
{
    return g_strcmp0(a->cpu_vendor, b->cpu_vendor) != 0 ||
           g_strcmp0(a->cpu_model, b->cpu_model) != 0 || a->cpus != b->cpus ||
           a->memory != b->memory || a->libvirt != b->libvirt ||
           a->qemu != b->qemu || a->link_mbs != b->link_mbs;
}

bool
qm__facts_worth_telling(const qm_node_facts *told, const qm_node_facts *now,
                        int64_t age)
{
    uint64_t more = MAX(told->memory_free, now->memory_free);
    uint64_t less = MIN(told->memory_free, now->memory_free);
    g_autofree char *before = NULL, *after = NULL;

    if (is_other_host(told, now))
        return true;
    if (age < OFTEN)
        return false;
    if (abs((int) told->load - (int) now->load) >= LOAD_STEP ||
        (more - less) * 100 >= now->memory * MEMORY_STEP)
        return true;
    before = qm__facts_to_json(told);
    after = qm__facts_to_json(now);
    return age >= SELDOM && strcmp(before, after) != 0;
}
