/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Talking to a gate's control socket: one request, one reply, one deadline.
 * A gate that cannot be reached is not there; one that does not answer is
 * never taken for one that agreed.
 */
#include "config.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "gate-client-internal.h"
#include "runtime.h"
#include "timeouts.h"

#define REPLY_MAX 16384 /* bytes */

static const char *const state_names[QM_GATE_COUNT] = {
    [QM_GATE_STANDBY] = "standby",           [QM_GATE_ACQUIRING] = "acquiring",
    [QM_GATE_HOLDING] = "holding",           [QM_GATE_OPEN] = "open",
    [QM_GATE_RECONNECTING] = "reconnecting", [QM_GATE_DRAINING] = "draining",
    [QM_GATE_DRAINED] = "drained",           [QM_GATE_FENCED] = "fenced",
};

const char *
qm__gate_state_name(qm_gate_state state)
{
    return (unsigned) state < QM_GATE_COUNT ? state_names[state] : "?";
}

static bool
about(const char *disk, const char *what, GError **error)
{
    g_prefix_error(error, "gate of disk %s: %s: ", disk, what);
    return false;
}

/* --- one exchange -------------------------------------------------------- */

bool
qm__gate_connect(const char *path, int *ret_fd, GError **error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd, code;

    if (strlen(path) >= sizeof address.sun_path) {
        g_set_error(error, QM_ERROR, QM_ERROR_INVALID,
                    "the path of the socket %s is too long", path);
        return false;
    }
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 &&
        connect(fd, (struct sockaddr *) &address, sizeof address) == 0) {
        *ret_fd = fd;
        return true;
    }
    code = errno;
    if (fd >= 0)
        close(fd);
    g_set_error(error, QM_ERROR,
                code == ENOENT || code == ECONNREFUSED ? QM_ERROR_NOT_FOUND
                : code == EAGAIN                       ? QM_ERROR_TIMEOUT
                                                       : QM_ERROR_IO,
                "cannot connect to %s: %s", path, g_strerror(code));
    return false;
}

static bool
wait_for(int fd, short events, int64_t deadline, GError **error)
{
    struct pollfd p = {.fd = fd, .events = events};
    int n;

    do {
        n = poll(&p, 1, qm__remaining_ms(deadline));
    } while (n < 0 && errno == EINTR && !qm__passed(deadline));
    if (n > 0)
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_TIMEOUT, "no answer in time");
    return false;
}

bool
qm__gate_read_line(int fd, int64_t deadline, char **ret_line, GError **error)
{
    g_autoptr(GString) line = g_string_new(NULL);
    char buf[1024];

    while (strchr(line->str, '\n') == NULL && line->len < REPLY_MAX) {
        ssize_t n;

        if (!wait_for(fd, POLLIN, deadline, error))
            return false;
        n = read(fd, buf, sizeof buf);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (n <= 0) {
            g_set_error(error, QM_ERROR, QM_ERROR_LOST,
                        "it ended before it answered");
            return false;
        }
        g_string_append_len(line, buf, n);
    }
    *ret_line = g_strdup(line->str);
    return true;
}

static int
code_of(const char *name)
{
    for (int i = 0; i <= QM_ERROR_INTERNAL; i++)
        if (name != NULL && strcmp(name, qm_error_name(i)) == 0)
            return i;
    return QM_ERROR_INTERNAL;
}

/* The gate's own error, as it was there. */
static bool
pass_error(JsonObject *o, GError **error)
{
    const char *message =
        json_object_get_string_member_with_default(o, "message", "failed");

    g_set_error_literal(
        error, QM_ERROR,
        code_of(json_object_get_string_member_with_default(o, "error", NULL)),
        message);
    return false;
}

bool
qm__gate_parse_reply(const char *line, JsonObject **ret_reply, GError **error)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    JsonNode *root = NULL;
    JsonObject *o;

    if (json_parser_load_from_data(parser, line, -1, NULL))
        root = json_parser_get_root(parser);
    if (root == NULL || !JSON_NODE_HOLDS_OBJECT(root)) {
        g_set_error(error, QM_ERROR, QM_ERROR_CORRUPT,
                    "the reply is not a JSON object");
        return false;
    }
    o = json_node_get_object(root);
    if (!json_object_get_boolean_member_with_default(o, "ok", FALSE))
        return pass_error(o, error);
    *ret_reply = json_object_ref(o);
    return true;
}

/* A request is shorter than any socket buffer. */
static bool
send_line(int fd, const char *line, GError **error)
{
    size_t length = strlen(line);

    if (send(fd, line, length, MSG_NOSIGNAL) == (ssize_t) length)
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_LOST, "cannot send the request: %s",
                g_strerror(errno));
    return false;
}

bool
qm__gate_ask(int fd, const char *request, int64_t deadline,
             JsonObject **ret_reply, GError **error)
{
    g_autofree char *line = NULL;

    return send_line(fd, request, error) &&
           qm__gate_read_line(fd, deadline, &line, error) &&
           qm__gate_parse_reply(line, ret_reply, error);
}

/* Connects, asks, hangs up. */
static bool
ask_once(const uint8_t *uuid, const char *disk, const char *request,
         int64_t deadline, JsonObject **ret_reply, GError **error)
{
    g_autofree char *path = qm__gate_control(uuid, disk);
    bool ok;
    int fd;

    if (!qm__gate_connect(path, &fd, error))
        return false;
    ok = qm__gate_ask(fd, request, deadline, ret_reply, error);
    close(fd);
    return ok;
}

/* --- requests ------------------------------------------------------------ */

static qm_gate_state
state_of(const char *name)
{
    for (int i = 0; i < QM_GATE_COUNT; i++)
        if (strcmp(name, state_names[i]) == 0)
            return (qm_gate_state) i;
    return QM_GATE_COUNT;
}

static uint64_t
number(JsonObject *o, const char *name)
{
    return (uint64_t) json_object_get_int_member_with_default(o, name, 0);
}

static const char *
text(JsonObject *o, const char *name)
{
    return json_object_get_string_member_with_default(o, name, "");
}

bool
qm__gate_get_status(const uint8_t *uuid, const char *disk, int64_t deadline,
                    qm_gate_status *ret_status, GError **error)
{
    g_autoptr(JsonObject) o = NULL;
    qm_gate_state state;

    if (!ask_once(uuid, disk, "{\"do\":\"status\"}\n", deadline, &o, error))
        return about(disk, "status", error);
    state = state_of(text(o, "state"));
    if (state == QM_GATE_COUNT) {
        g_set_error(error, QM_ERROR, QM_ERROR_CORRUPT, "unknown state \"%s\"",
                    text(o, "state"));
        return about(disk, "status", error);
    }
    *ret_status = (qm_gate_status){
        .state = state,
        .generation = number(o, "generation"),
        .key = g_ascii_strtoull(text(o, "key"), NULL, 16),
        .pid = (pid_t) number(o, "pid"),
        .client_pid = (pid_t) number(o, "client_pid"),
        .reconnects = number(o, "reconnects"),
        .written_bytes = number(o, "written_bytes"),
        .read_bytes = number(o, "read_bytes"),
        .reads = number(o, "reads"),
        .writes = number(o, "writes"),
        .flushes = number(o, "flushes"),
        .errors = number(o, "errors"),
        .read_us = number(o, "read_us"),
        .write_us = number(o, "write_us"),
        .flush_us = number(o, "flush_us"),
        .unfenced =
            json_object_get_boolean_member_with_default(o, "unfenced", FALSE),
        .size = number(o, "size"),
    };
    g_strlcpy(ret_status->serial, text(o, "serial"), sizeof ret_status->serial);
    g_strlcpy(ret_status->lun, text(o, "lun"), sizeof ret_status->lun);
    g_strlcpy(ret_status->reason, text(o, "reason"), sizeof ret_status->reason);
    return true;
}

bool
qm__gate_acquire(const uint8_t *uuid, const char *disk, uint64_t generation,
                 bool hold, int64_t deadline, GError **error)
{
    g_autofree char *request =
        g_strdup_printf("{\"do\":\"acquire\",\"generation\":%" G_GUINT64_FORMAT
                        ",\"hold\":%s,\"timeout_ms\":%d}\n",
                        generation, hold ? "true" : "false",
                        MAX(qm__remaining_ms(deadline), 1));
    g_autoptr(JsonObject) reply = NULL;

    return ask_once(uuid, disk, request, deadline, &reply, error) ||
           about(disk, "acquire", error);
}

bool
qm__gate_open(const uint8_t *uuid, const char *disk, int64_t deadline,
              GError **error)
{
    g_autoptr(JsonObject) reply = NULL;

    return ask_once(uuid, disk, "{\"do\":\"open\"}\n", deadline, &reply,
                    error) ||
           about(disk, "open", error);
}

bool
qm__gate_drain(const uint8_t *uuid, const char *disk, int64_t deadline,
               GError **error)
{
    g_autoptr(JsonObject) reply = NULL;

    return ask_once(uuid, disk, "{\"do\":\"drain\"}\n", deadline, &reply,
                    error) ||
           about(disk, "drain", error);
}
