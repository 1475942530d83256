/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The control side.  A request that takes time is answered when it ends; the
 * connection waits meanwhile, the gate does not.  Who hangs up is forgotten,
 * what was asked for goes on.
 */
#include "config.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <json-glib/json-glib.h>
#include "control.h"
#include "log.h"
#include "timeouts.h"

#define LINE_MAX_BYTES  4096
#define TALKERS_MAX     32
#define ACQUIRE_DEFAULT 30000              /* ms */
#define ACQUIRE_MAX     (24 * 3600 * 1000) /* ms */

typedef enum {
    WAITS_NOT,
    WAITS_ACQUIRE, /* for GATE_ACQUIRE_ENDED */
    WAITS_DRAIN,   /* for GATE_DRAIN_ENDED */
} talker_wait;

/* One control connection. */
typedef struct {
    control *control;
    int fd;
    loop_source *source;
    char line[LINE_MAX_BYTES];
    size_t length; /* bytes of an unfinished line */
    talker_wait waits;
} talker;

struct control {
    gate *gate;
    int fd;
    loop_source *source;
    GPtrArray *talkers;
};

static void
hang_up(talker *t)
{
    g_ptr_array_remove_fast(t->control->talkers, t);
    loop_remove(t->source);
    close(t->fd);
    g_free(t);
}

/* --- replies ------------------------------------------------------------- */

static void
add_text(JsonBuilder *b, const char *name, const char *value)
{
    json_builder_set_member_name(b, name);
    json_builder_add_string_value(b, value);
}

static void
add_number(JsonBuilder *b, const char *name, uint64_t value)
{
    json_builder_set_member_name(b, name);
    json_builder_add_int_value(b, (gint64) value);
}

static JsonBuilder *
begin_reply(bool ok)
{
    JsonBuilder *b = json_builder_new();

    json_builder_begin_object(b);
    json_builder_set_member_name(b, "ok");
    json_builder_add_boolean_value(b, ok);
    return b;
}

/* A reply that does not fit into the socket's empty buffer is nobody's: the
 * talker does not read. */
static void
reply(talker *t, JsonBuilder *b)
{
    g_autoptr(JsonGenerator) generator = json_generator_new();
    g_autoptr(JsonNode) root = NULL;
    g_autofree char *text = NULL;
    g_autofree char *line = NULL;

    json_builder_end_object(b);
    root = json_builder_get_root(b);
    json_generator_set_root(generator, root);
    text = json_generator_to_data(generator, NULL);
    line = g_strconcat(text, "\n", NULL);
    t->waits = WAITS_NOT;
    if (send(t->fd, line, strlen(line), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        qm__debug("control connection: %s", g_strerror(errno));
    g_object_unref(b);
}

static void
reply_error(talker *t, const GError *error)
{
    JsonBuilder *b = begin_reply(false);

    add_text(b, "error",
             error->domain == QM_ERROR ? qm_error_name(error->code)
                                       : "internal");
    add_text(b, "message", error->message);
    reply(t, b);
}

static void
reply_result(talker *t, const GError *error)
{
    if (error != NULL)
        reply_error(t, error);
    else
        reply(t, begin_reply(true));
}

/* --- requests ------------------------------------------------------------ */

static int64_t
get_number(JsonObject *o, const char *name, int64_t absent)
{
    JsonNode *n = json_object_get_member(o, name);

    if (n == NULL || !JSON_NODE_HOLDS_VALUE(n) ||
        json_node_get_value_type(n) != G_TYPE_INT64)
        return absent;
    return json_node_get_int(n);
}

static bool
get_boolean(JsonObject *o, const char *name)
{
    JsonNode *n = json_object_get_member(o, name);

    return n != NULL && JSON_NODE_HOLDS_VALUE(n) &&
           json_node_get_value_type(n) == G_TYPE_BOOLEAN &&
           json_node_get_boolean(n);
}

static bool
do_status(talker *t, JsonObject *o, GError **error)
{
    const gate *g = t->control->gate;
    JsonBuilder *b = begin_reply(true);
    char key[24];

    g_snprintf(key, sizeof key, "0x%" PRIx64, g->key);
    add_text(b, "state", qm__gate_state_name(g->state));
    add_number(b, "generation", g->generation);
    add_text(b, "key", key);
    add_number(b, "pid", (uint64_t) getpid());
    add_text(b, "lun", g->settings->url.text);
    add_text(b, "serial", g->info.serial);
    add_number(b, "size", g->info.size);
    json_builder_set_member_name(b, "unfenced");
    json_builder_add_boolean_value(b, g->unfenced);
    add_number(b, "client_pid", (uint64_t) clients_pid(g));
    add_number(b, "clients", g->clients->len);
    add_number(b, "in_flight", g->n_in_flight);
    add_number(b, "waiting", g->n_waiting);
    add_number(b, "reads", g->counters.reads);
    add_number(b, "writes", g->counters.writes);
    add_number(b, "flushes", g->counters.flushes);
    add_number(b, "errors", g->counters.errors);
    add_number(b, "read_bytes", g->counters.read_bytes);
    add_number(b, "written_bytes", g->counters.written_bytes);
    add_number(b, "read_us", g->counters.read_us);
    add_number(b, "write_us", g->counters.write_us);
    add_number(b, "flush_us", g->counters.flush_us);
    add_number(b, "reconnects", g->counters.reconnects);
    add_text(b, "reason", g->reason != NULL ? g->reason : "");
    reply(t, b);
    return true;
}

static bool
do_acquire(talker *t, JsonObject *o, GError **error)
{
    int64_t generation = get_number(o, "generation", 0);
    int64_t ms = get_number(o, "timeout_ms", ACQUIRE_DEFAULT);
    bool ended;

    if (generation <= 0 || ms <= 0) {
        g_set_error(error, QM_ERROR, QM_ERROR_INVALID,
                    "acquire: \"generation\" and \"timeout_ms\" have to be "
                    "positive");
        return false;
    }
    if (!gate_acquire(
            t->control->gate, (uint64_t) generation, get_boolean(o, "hold"),
            qm__deadline_in(MIN(ms, ACQUIRE_MAX) * QM_MS), &ended, error))
        return false;
    if (ended)
        reply_result(t, NULL);
    else
        t->waits = WAITS_ACQUIRE;
    return true;
}

static bool
do_open(talker *t, JsonObject *o, GError **error)
{
    if (!gate_open(t->control->gate, error))
        return false;
    reply_result(t, NULL);
    return true;
}

static bool
do_drain(talker *t, JsonObject *o, GError **error)
{
    bool ended;

    if (!gate_drain(t->control->gate, &ended, error))
        return false;
    if (ended)
        reply_result(t, NULL);
    else
        t->waits = WAITS_DRAIN;
    return true;
}

/* A client means a guest, unless this gate writes for nobody. */
static bool
do_quit(talker *t, JsonObject *o, GError **error)
{
    gate *g = t->control->gate;
    bool serves = g->state != QM_GATE_STANDBY && g->state != QM_GATE_DRAINED &&
                  g->state != QM_GATE_FENCED;

    if (serves && clients_pid(g) != 0 && !get_boolean(o, "force")) {
        g_set_error(error, QM_ERROR, QM_ERROR_BUSY,
                    "process %d is connected and the gate is %s: end the "
                    "guest first",
                    (int) clients_pid(g), qm__gate_state_name(g->state));
        return false;
    }
    g->quit = true;
    qm__notice("disk %s: asked to quit while %s", g->settings->disk,
               qm__gate_state_name(g->state));
    reply_result(t, NULL);
    return true;
}

static const struct {
    const char *name;
    bool (*handler)(talker *t, JsonObject *o, GError **error);
} requests[] = {
    {"status", do_status}, {"acquire", do_acquire}, {"open", do_open},
    {"drain", do_drain},   {"quit", do_quit},
};

static bool
handle(talker *t, JsonObject *o, GError **error)
{
    JsonNode *n = json_object_get_member(o, "do");
    const char *what = NULL;

    if (n != NULL && JSON_NODE_HOLDS_VALUE(n) &&
        json_node_get_value_type(n) == G_TYPE_STRING)
        what = json_node_get_string(n);
    for (size_t i = 0; what != NULL && i < G_N_ELEMENTS(requests); i++)
        if (strcmp(what, requests[i].name) == 0)
            return requests[i].handler(t, o, error);
    g_set_error(error, QM_ERROR, QM_ERROR_INVALID, "unknown request");
    return false;
}

static void
handle_line(talker *t, const char *line, size_t length)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autoptr(GError) error = NULL;
    JsonNode *root = NULL;

    if (json_parser_load_from_data(parser, line, (gssize) length, NULL))
        root = json_parser_get_root(parser);
    if (root == NULL || !JSON_NODE_HOLDS_OBJECT(root))
        g_set_error(&error, QM_ERROR, QM_ERROR_INVALID,
                    "the request is not a JSON object");
    else
        (void) handle(t, json_node_get_object(root), &error);
    if (error != NULL)
        reply_error(t, error);
}

/* --- connections --------------------------------------------------------- */

/* One line; the next one is looked at when this one is answered. */
static bool
next_line(talker *t)
{
    char *end = memchr(t->line, '\n', t->length);
    size_t n;

    if (end == NULL || t->waits != WAITS_NOT)
        return false;
    n = (size_t) (end - t->line);
    handle_line(t, t->line, n);
    t->length -= n + 1;
    memmove(t->line, end + 1, t->length);
    return true;
}

static void
talker_ready(void *opaque, uint32_t events)
{
    talker *t = opaque;
    ssize_t n = 0;

    if (t->length < sizeof t->line)
        n = recv(t->fd, t->line + t->length, sizeof t->line - t->length,
                 MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) { /* gone, or a line that does not end */
        hang_up(t);
        return;
    }
    t->length += (size_t) n;
    while (next_line(t))
        ;
}

static void
news(void *opaque, gate_news what, const GError *error)
{
    control *c = opaque;
    talker_wait waits =
        what == GATE_ACQUIRE_ENDED ? WAITS_ACQUIRE : WAITS_DRAIN;

    for (guint i = 0; i < c->talkers->len; i++) {
        talker *t = g_ptr_array_index(c->talkers, i);

        if (t->waits != waits)
            continue;
        reply_result(t, error);
        while (next_line(t))
            ;
    }
}

static void
accept_talker(void *opaque, uint32_t events)
{
    control *c = opaque;
    int fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    g_autoptr(GError) why = NULL;
    fence_process *process;
    talker *t;

    if (fd < 0)
        return;
    if (c->talkers->len >= TALKERS_MAX ||
        !fence_identify(fd, 0, &process, &why)) {
        qm__warning("control connection refused: %s",
                    why != NULL ? why->message : "too many");
        close(fd);
        return;
    }
    fence_process_free(process);
    t = g_new0(talker, 1);
    t->control = c;
    t->fd = fd;
    t->source = loop_add(c->gate->loop, fd, EPOLLIN, talker_ready, t);
    g_ptr_array_add(c->talkers, t);
}

control *
control_new(gate *g, int fd)
{
    control *c = g_new0(control, 1);

    c->gate = g;
    c->fd = fd;
    c->talkers = g_ptr_array_new();
    c->source = loop_add(g->loop, fd, EPOLLIN, accept_talker, c);
    g->notify = news;
    g->notify_opaque = c;
    return c;
}

void
control_free(control *c)
{
    if (c == NULL)
        return;
    c->gate->notify = NULL;
    while (c->talkers->len > 0)
        hang_up(g_ptr_array_index(c->talkers, 0));
    g_ptr_array_free(c->talkers, TRUE);
    loop_remove(c->source);
    close(c->fd);
    g_free(c);
}
