/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Reading the configuration.  A member that is missing, of the wrong type or
 * out of range ends the start: nothing is guessed, except what has a default.
 */
#include "config.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <json-glib/json-glib.h>
#include <uuid/uuid.h>
#include "runtime.h"
#include "settings.h"

#define INPUT_MAX         (64 * 1024) /* bytes */
#define RECONNECT_DEFAULT 120         /* s */
#define RECONNECT_MAX     86400       /* s */
#define LUN_MAX           255

typedef struct {
    JsonObject *object;
    GError **error;
    bool ok; /* no member was bad so far */
} reader;

static void
bad(reader *r, const char *name, const char *what)
{
    if (r->ok)
        g_set_error(r->error, QM_ERROR, QM_ERROR_INVALID,
                    "the gate's configuration: \"%s\" %s", name, what);
    r->ok = false;
}

static JsonNode *
member(reader *r, const char *name, GType type)
{
    JsonNode *n = json_object_get_member(r->object, name);

    if (n == NULL || JSON_NODE_HOLDS_NULL(n))
        return NULL;
    if (!JSON_NODE_HOLDS_VALUE(n) || json_node_get_value_type(n) != type) {
        bad(r, name, "has the wrong type");
        return NULL;
    }
    return n;
}

static char *
text(reader *r, const char *name, bool required)
{
    JsonNode *n = member(r, name, G_TYPE_STRING);

    if (n != NULL && *json_node_get_string(n) != '\0')
        return g_strdup(json_node_get_string(n));
    if (required)
        bad(r, name, "is missing");
    return NULL;
}

static int64_t
number(reader *r, const char *name, int64_t min, int64_t max, int64_t absent)
{
    JsonNode *n = member(r, name, G_TYPE_INT64);
    int64_t v = n != NULL ? json_node_get_int(n) : absent;

    if (v < min || v > max)
        bad(r, name, n != NULL ? "is out of range" : "is missing");
    return v;
}

static bool
boolean(reader *r, const char *name, bool absent)
{
    JsonNode *n = member(r, name, G_TYPE_BOOLEAN);

    return n != NULL ? json_node_get_boolean(n) : absent;
}

static char *
path(reader *r, const char *name, char *absent)
{
    char *p = text(r, name, false);

    if (p == NULL)
        return absent;
    g_free(absent);
    if (!g_path_is_absolute(p))
        bad(r, name, "is not an absolute path");
    return p;
}

static void
read_lun(reader *r, gate_settings *s)
{
    s->url.portal = text(r, "portal", true);
    s->url.iqn = text(r, "iqn", true);
    s->url.lun = (int) number(r, "lun", 0, LUN_MAX, -1);
    s->url.user = text(r, "user", false);
    s->secret = text(r, "secret", false);
    s->url.text = g_strdup_printf("iscsi://%s/%s/%d", s->url.portal, s->url.iqn,
                                  s->url.lun);
    if ((s->url.user != NULL) != (s->secret != NULL))
        bad(r, "secret", "and \"user\" belong together");
}

static void
read_paths(reader *r, gate_settings *s)
{
    s->socket = path(r, "socket", qm__gate_socket(s->vm_uuid, s->disk));
    s->control = path(r, "control", qm__gate_control(s->vm_uuid, s->disk));
    s->lock = g_strconcat(s->control, ".lock", NULL);
}

static void
read_members(reader *r, gate_settings *s)
{
    g_autofree char *uuid = text(r, "vm_uuid", true);

    if (uuid != NULL && uuid_parse(uuid, s->vm_uuid) != 0)
        bad(r, "vm_uuid", "is not a UUID");
    s->vm_name = text(r, "vm_name", true);
    s->disk = text(r, "disk", true);
    s->read_only = boolean(r, "read_only", false);
    s->vault = text(r, "vault", !s->read_only);
    s->vault_secret = text(r, "vault_secret", false);
    s->initiator = text(r, "initiator", false);
    s->node_id = (uint16_t) number(r, "node_id", 1, UINT16_MAX, 0);
    s->qemu_uid = (uid_t) number(r, "qemu_uid", 0, UINT32_MAX - 1, -1);
    s->qemu_gid = (gid_t) number(r, "qemu_gid", 0, UINT32_MAX - 1, -1);
    s->reconnect_limit_s = (unsigned) number(r, "reconnect_limit_s", 1,
                                             RECONNECT_MAX, RECONNECT_DEFAULT);
    s->check_quorum = boolean(r, "check_quorum", true);
    s->allow_unfenced = boolean(r, "allow_unfenced", false);
    read_lun(r, s);
    if (r->ok)
        read_paths(r, s);
}

bool
gate_settings_parse(const char *json, size_t length, gate_settings **ret,
                    GError **error)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autoptr(gate_settings) s = g_new0(gate_settings, 1);
    g_autoptr(GError) why = NULL;
    reader r = {.error = error, .ok = true};
    JsonNode *root;

    /* The parser's message may quote the input, and with it a secret. */
    if (!json_parser_load_from_data(parser, json, (gssize) length, &why) ||
        (root = json_parser_get_root(parser)) == NULL ||
        !JSON_NODE_HOLDS_OBJECT(root)) {
        g_set_error(error, QM_ERROR, QM_ERROR_INVALID,
                    "the gate's configuration is not a JSON object");
        return false;
    }
    r.object = json_node_get_object(root);
    read_members(&r, s);
    if (!r.ok)
        return false;
    *ret = g_steal_pointer(&s);
    return true;
}

static bool
read_all(int fd, char *buf, size_t size, size_t *ret_length, GError **error)
{
    size_t length = 0;

    while (length < size) {
        ssize_t n = read(fd, buf + length, size - length);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            g_set_error(error, QM_ERROR, QM_ERROR_IO,
                        "cannot read the gate's configuration from standard "
                        "input: %s",
                        g_strerror(errno));
            return false;
        }
        if (n == 0) {
            *ret_length = length;
            return true;
        }
        length += (size_t) n;
    }
    g_set_error(error, QM_ERROR, QM_ERROR_INVALID,
                "the gate's configuration is larger than %d bytes", INPUT_MAX);
    return false;
}

bool
gate_settings_read(int fd, gate_settings **ret, GError **error)
{
    g_autofree char *buf = g_malloc(INPUT_MAX);
    size_t length;
    bool ok = read_all(fd, buf, INPUT_MAX, &length, error) &&
              gate_settings_parse(buf, length, ret, error);

    explicit_bzero(buf, INPUT_MAX);
    return ok;
}

static void
wipe(char *secret)
{
    if (secret != NULL)
        explicit_bzero(secret, strlen(secret));
    g_free(secret);
}

void
gate_settings_free(gate_settings *s)
{
    if (s == NULL)
        return;
    wipe(s->secret);
    wipe(s->vault_secret);
    g_free(s->vm_name);
    g_free(s->disk);
    g_free(s->url.text);
    g_free(s->url.portal);
    g_free(s->url.iqn);
    g_free(s->url.user);
    g_free(s->vault);
    g_free(s->initiator);
    g_free(s->socket);
    g_free(s->control);
    g_free(s->lock);
    g_free(s);
}
