/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Messages about moves as JSON.  Numbers are kept below 2^53 by nature (bytes,
 * ids counted from the clock in µs), so that no reader loses digits.  Unknown
 * members are passed over, so that a later version may add some.
 */
#include "config.h"
#include <string.h>
#include <json-glib/json-glib.h>
#include <uuid/uuid.h>
#include "job.h"

#define FORMAT_VERSION 1
#define NUMBER_MAX     ((INT64_C(1) << 62) - 1)

static const char *const phase_names[] = {
    [QM_PHASE_PREPARE] = "prepare",     [QM_PHASE_READY] = "ready",
    [QM_PHASE_COPY] = "copy",           [QM_PHASE_WAIT] = "wait",
    [QM_PHASE_PAUSED] = "paused",       [QM_PHASE_LOADED] = "loaded",
    [QM_PHASE_COMMITTED] = "committed", [QM_PHASE_TAKEOVER] = "takeover",
    [QM_PHASE_DONE] = "done",           [QM_PHASE_FAILED] = "failed",
    [QM_PHASE_CANCELLED] = "cancelled",
};

static const char *const kind_names[] = {
    [QM_MESSAGE_OFFER] = "offer",     [QM_MESSAGE_PROGRESS] = "progress",
    [QM_MESSAGE_CANCEL] = "cancel",   [QM_MESSAGE_QUERY] = "query",
    [QM_MESSAGE_PRECOPY] = "precopy",
};

static const char *const side_names[] = {
    [QM_SIDE_SOURCE] = "source",
    [QM_SIDE_TARGET] = "target",
};

const char *
qm__phase_name(qm_phase phase)
{
    return (unsigned) phase < QM_PHASE_COUNT ? phase_names[phase] : "?";
}

bool
qm__phase_ended(qm_phase phase)
{
    return phase >= QM_PHASE_DONE;
}

/* --- fields -------------------------------------------------------------- */

typedef enum { FIELD_U32, FIELD_U64, FIELD_TEXT } field_type;

typedef struct {
    const char *name;
    field_type type;
    size_t offset, size;
} field;

#define OF(structure, type, member)                                            \
    {                                                                          \
#member, type, offsetof(structure, member),                            \
            sizeof(((structure *) NULL)->member)                               \
    }

static const field job_fields[] = {
    OF(qm_job, FIELD_TEXT, name),
    OF(qm_job, FIELD_TEXT, resource),
    OF(qm_job, FIELD_U64, image_id),
    OF(qm_job, FIELD_U32, source),
    OF(qm_job, FIELD_U32, target),
    OF(qm_job, FIELD_TEXT, source_name),
    OF(qm_job, FIELD_TEXT, target_name),
    OF(qm_job, FIELD_U64, bytes),
    OF(qm_job, FIELD_U64, total),
    OF(qm_job, FIELD_U64, rate),
    OF(qm_job, FIELD_U64, dirty_rate),
    OF(qm_job, FIELD_U32, expected_pause_ms),
    OF(qm_job, FIELD_U32, pause_ms),
    OF(qm_job, FIELD_U32, elapsed_ms),
    OF(qm_job, FIELD_TEXT, text),
};

static const field offer_fields[] = {
    OF(qm_offer, FIELD_TEXT, vault),
    OF(qm_offer, FIELD_TEXT, hypervisor),
    OF(qm_offer, FIELD_TEXT, image_secret),
    OF(qm_offer, FIELD_TEXT, network_map),
    OF(qm_offer, FIELD_U32, reconnect_limit_s),
    OF(qm_offer, FIELD_U32, downtime_limit_ms),
    OF(qm_offer, FIELD_U32, timeout_ms),
    OF(qm_offer, FIELD_U32, allow_unfenced),
};

/* --- writing ------------------------------------------------------------- */

static void
add_text(JsonBuilder *b, const char *name, const char *value)
{
    g_autofree char *valid = g_utf8_make_valid(value, -1);

    json_builder_set_member_name(b, name);
    json_builder_add_string_value(b, valid);
}

static void
add_number(JsonBuilder *b, const char *name, uint64_t value)
{
    json_builder_set_member_name(b, name);
    json_builder_add_int_value(b, (gint64) MIN(value, (uint64_t) NUMBER_MAX));
}

/* Zeros and empty texts are left out. */
static void
add_fields(JsonBuilder *b, const field *fields, size_t n, const void *from)
{
    for (size_t i = 0; i < n; i++) {
        const char *at = (const char *) from + fields[i].offset;
        uint64_t value = 0;

        if (fields[i].type == FIELD_TEXT) {
            if (at[0] != '\0')
                add_text(b, fields[i].name, at);
            continue;
        }
        if (fields[i].type == FIELD_U32) {
            uint32_t narrow;

            memcpy(&narrow, at, sizeof narrow);
            value = narrow;
        } else {
            memcpy(&value, at, sizeof value);
        }
        if (value != 0)
            add_number(b, fields[i].name, value);
    }
}

static bool
has_offer(qm_message_kind kind)
{
    return kind == QM_MESSAGE_OFFER || kind == QM_MESSAGE_PRECOPY;
}

char *
qm__message_to_json(const qm_message *m)
{
    g_autoptr(JsonBuilder) b = json_builder_new();
    g_autoptr(JsonGenerator) generator = json_generator_new();
    g_autoptr(JsonNode) root = NULL;
    char uuid[UUID_STR_LEN];

    uuid_unparse_lower(m->job.uuid, uuid);
    json_builder_begin_object(b);
    add_number(b, "quickmig", FORMAT_VERSION);
    add_text(b, "kind", kind_names[m->kind]);
    add_text(b, "uuid", uuid);
    add_text(b, "side", side_names[m->job.side]);
    add_text(b, "phase", phase_names[m->job.phase]);
    json_builder_set_member_name(b, "live");
    json_builder_add_boolean_value(b, m->job.live);
    add_fields(b, job_fields, G_N_ELEMENTS(job_fields), &m->job);
    if (has_offer(m->kind))
        add_fields(b, offer_fields, G_N_ELEMENTS(offer_fields), &m->offer);
    json_builder_end_object(b);
    root = json_builder_get_root(b);
    json_generator_set_root(generator, root);
    return json_generator_to_data(generator, NULL);
}

/* --- reading ------------------------------------------------------------- */

static bool
bad(const char *what, const char *member, GError **error)
{
    g_set_error(error, QM_ERROR, QM_ERROR_CORRUPT, "message: %s%s%s", what,
                member != NULL ? ": " : "", member != NULL ? member : "");
    return false;
}

/* NULL: it is not there.  @ret_ok: false: it is of another type. */
static JsonNode *
value_of(JsonObject *o, const char *name, GType type, bool *ret_ok)
{
    JsonNode *node = json_object_get_member(o, name);

    *ret_ok = node == NULL || (JSON_NODE_HOLDS_VALUE(node) &&
                               json_node_get_value_type(node) == type);
    return node;
}

static bool
get_text(JsonObject *o, const char *name, char *to, size_t size, GError **error)
{
    bool ok;
    JsonNode *node = value_of(o, name, G_TYPE_STRING, &ok);
    const char *text = "";

    if (!ok)
        return bad("not a text", name, error);
    if (node != NULL)
        text = json_node_get_string(node);
    if (strlen(text) >= size)
        return bad("too long", name, error);
    for (const char *c = text; *c != '\0'; c++)
        if ((unsigned char) *c < ' ' || *c == 0x7f)
            return bad("control characters", name, error);
    g_strlcpy(to, text, size);
    return true;
}

static bool
get_number(JsonObject *o, const char *name, uint64_t max, uint64_t *ret,
           GError **error)
{
    bool ok;
    JsonNode *node = value_of(o, name, G_TYPE_INT64, &ok);
    gint64 value = 0;

    if (!ok)
        return bad("not a number", name, error);
    if (node != NULL)
        value = json_node_get_int(node);
    if (value < 0 || (uint64_t) value > max)
        return bad("out of range", name, error);
    *ret = (uint64_t) value;
    return true;
}

static bool
get_fields(JsonObject *o, const field *fields, size_t n, void *to,
           GError **error)
{
    for (size_t i = 0; i < n; i++) {
        const field *f = &fields[i];
        char *at = (char *) to + f->offset;
        uint64_t value = 0;
        uint32_t narrow;

        if (f->type == FIELD_TEXT) {
            if (!get_text(o, f->name, at, f->size, error))
                return false;
            continue;
        }
        if (!get_number(o, f->name,
                        f->type == FIELD_U32 ? UINT32_MAX
                                             : (uint64_t) NUMBER_MAX,
                        &value, error))
            return false;
        narrow = (uint32_t) value;
        if (f->type == FIELD_U32)
            memcpy(at, &narrow, sizeof narrow);
        else
            memcpy(at, &value, sizeof value);
    }
    return true;
}

static bool
get_choice(JsonObject *o, const char *name, const char *const *choices,
           unsigned n, unsigned *ret, GError **error)
{
    char text[32];

    if (!get_text(o, name, text, sizeof text, error))
        return false;
    for (unsigned i = 0; i < n; i++)
        if (strcmp(choices[i], text) == 0) {
            *ret = i;
            return true;
        }
    return bad("unknown value", name, error);
}

static bool
check_version(JsonObject *o, GError **error)
{
    uint64_t version;

    if (!get_number(o, "quickmig", (uint64_t) NUMBER_MAX, &version, error))
        return false;
    if (version == 0)
        return bad("not of quickmig", NULL, error);
    if (version == FORMAT_VERSION)
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_FORMAT,
                "message: format version %" G_GUINT64_FORMAT
                ", this program knows %d",
                version, FORMAT_VERSION);
    return false;
}

static bool
read_object(JsonObject *o, qm_message *m, GError **error)
{
    char uuid[UUID_STR_LEN];
    unsigned kind, side, phase;
    bool ok;
    JsonNode *live = value_of(o, "live", G_TYPE_BOOLEAN, &ok);

    if (!check_version(o, error) ||
        !get_choice(o, "kind", kind_names, QM_MESSAGE_COUNT, &kind, error) ||
        !get_choice(o, "side", side_names, G_N_ELEMENTS(side_names), &side,
                    error) ||
        !get_choice(o, "phase", phase_names, QM_PHASE_COUNT, &phase, error) ||
        !get_text(o, "uuid", uuid, sizeof uuid, error))
        return false;
    if (uuid_parse(uuid, m->job.uuid) != 0)
        return bad("not a UUID", "uuid", error);
    if (!ok)
        return bad("neither true nor false", "live", error);
    m->kind = (qm_message_kind) kind;
    m->job.side = (qm_side) side;
    m->job.phase = (qm_phase) phase;
    m->job.live = live != NULL && json_node_get_boolean(live);
    return get_fields(o, job_fields, G_N_ELEMENTS(job_fields), &m->job,
                      error) &&
           (!has_offer(m->kind) ||
            get_fields(o, offer_fields, G_N_ELEMENTS(offer_fields), &m->offer,
                       error));
}

bool
qm__message_from_json(const char *text, size_t length, qm_message *ret_message,
                      GError **error)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autofree qm_message *m = g_new0(qm_message, 1);
    JsonNode *root;

    if (length > QM_MESSAGE_MAX)
        return bad("too long", NULL, error);
    if (!json_parser_load_from_data(parser, text, (gssize) length, NULL))
        return bad("not JSON", NULL, error);
    root = json_parser_get_root(parser);
    if (root == NULL || !JSON_NODE_HOLDS_OBJECT(root))
        return bad("not an object", NULL, error);
    if (!read_object(json_node_get_object(root), m, error))
        return false;
    *ret_message = *m;
    return true;
}
