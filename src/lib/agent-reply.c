/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The QEMU guest agent's JSON.  Invariant: whatever the reply, it is read
 * within its bounds, and a value of the wrong type counts as none.
 */
#include "config.h"
#include <inttypes.h>
#include <string.h>
#include <json-glib/json-glib.h>
#include "agent-reply.h"

#define REPLY_MAX 4096 /* bytes; the parser's depth is bounded by it, too */

bool
qm__agent_exec(const char *line, char **ret_command, GError **error)
{
    g_autoptr(JsonBuilder) b = json_builder_new();
    g_autoptr(JsonNode) root = NULL;
    g_autoptr(GError) why = NULL;
    g_auto(GStrv) words = NULL;

    if (!g_utf8_validate(line, -1, NULL) ||
        !g_shell_parse_argv(line, NULL, &words, &why)) {
        g_set_error(error, QM_ERROR, QM_ERROR_INVALID, "\"%s\": %s", line,
                    why != NULL ? why->message : "not UTF-8");
        return false;
    }
    json_builder_begin_object(b);
    json_builder_set_member_name(b, "execute");
    json_builder_add_string_value(b, "guest-exec");
    json_builder_set_member_name(b, "arguments");
    json_builder_begin_object(b);
    json_builder_set_member_name(b, "path");
    json_builder_add_string_value(b, words[0]);
    json_builder_set_member_name(b, "arg");
    json_builder_begin_array(b);
    for (char **w = words + 1; *w != NULL; w++)
        json_builder_add_string_value(b, *w);
    json_builder_end_array(b);
    json_builder_end_object(b);
    json_builder_end_object(b);
    root = json_builder_get_root(b);
    *ret_command = json_to_string(root, FALSE);
    return true;
}

char *
qm__agent_status(int64_t pid)
{
    return g_strdup_printf("{\"execute\":\"guest-exec-status\","
                           "\"arguments\":{\"pid\":%" PRIi64 "}}",
                           pid);
}

static bool
bad(GError **error)
{
    g_set_error(error, QM_ERROR, QM_ERROR_IO,
                "its guest agent's answer is not understood");
    return false;
}

/* The reply's "return"; it lives as long as the parser. */
static JsonObject *
result_of(JsonParser *parser, const char *reply)
{
    JsonNode *root, *result;

    if (strlen(reply) > REPLY_MAX ||
        !json_parser_load_from_data(parser, reply, -1, NULL))
        return NULL;
    root = json_parser_get_root(parser);
    if (root == NULL || !JSON_NODE_HOLDS_OBJECT(root))
        return NULL;
    result = json_object_get_member(json_node_get_object(root), "return");
    return result != NULL && JSON_NODE_HOLDS_OBJECT(result)
               ? json_node_get_object(result)
               : NULL;
}

/* NULL: none of that type. */
static JsonNode *
value_of(JsonObject *o, const char *name, GType type)
{
    JsonNode *n = json_object_get_member(o, name);

    return n != NULL && JSON_NODE_HOLDS_VALUE(n) &&
                   json_node_get_value_type(n) == type
               ? n
               : NULL;
}

bool
qm__agent_read_done(const char *reply, GError **error)
{
    g_autoptr(JsonParser) parser = json_parser_new();

    return result_of(parser, reply) != NULL || bad(error);
}

bool
qm__agent_read_pid(const char *reply, int64_t *ret_pid, GError **error)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    JsonObject *o = result_of(parser, reply);
    JsonNode *pid = o != NULL ? value_of(o, "pid", G_TYPE_INT64) : NULL;

    if (pid == NULL)
        return bad(error);
    *ret_pid = json_node_get_int(pid);
    return true;
}

bool
qm__agent_read_exit(const char *reply, bool *ret_exited, int64_t *ret_code,
                    GError **error)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    JsonObject *o = result_of(parser, reply);
    JsonNode *exited = o != NULL ? value_of(o, "exited", G_TYPE_BOOLEAN) : NULL;
    JsonNode *code;

    if (exited == NULL)
        return bad(error);
    code = value_of(o, "exitcode", G_TYPE_INT64);
    *ret_exited = json_node_get_boolean(exited);
    *ret_code = *ret_exited && code != NULL ? json_node_get_int(code) : -1;
    return true;
}
