/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The gate's control socket: lines of any kind, split anywhere.  The gate
 * behind it is a stand-in, so that nothing logs in anywhere.
 */
#include "config.h"
#include <sys/socket.h>
#include "../../src/gate/control.c"
#include "fuzz.h"

bool
gate_acquire(gate *g, uint64_t generation, bool hold, int64_t deadline,
             bool *ret_ended, GError **error)
{
    FUZZ_CHECK(generation > 0 && generation <= INT64_MAX);
    g->generation = generation;
    *ret_ended = generation % 2 == 0;
    return true;
}

bool
gate_open(gate *g, GError **error)
{
    g_set_error(error, QM_ERROR, QM_ERROR_INVALID, "not now");
    return false;
}

bool
gate_drain(gate *g, bool *ret_ended, GError **error)
{
    *ret_ended = false;
    return true;
}

pid_t
clients_pid(const gate *g)
{
    return 0;
}

static void
take_all(int fd)
{
    char buf[65536];

    while (recv(fd, buf, sizeof buf, MSG_DONTWAIT) > 0)
        ;
}

void
fuzz_control(const uint8_t *data, size_t size)
{
    char disk_name[] = "vda", text[] = "iscsi://h:1/iqn.x/0";
    const gate_settings settings = {.disk = disk_name, .url = {.text = text}};
    gate g = {.settings = &settings, .loop = loop_new()};
    size_t piece = size > 0 ? 1 + (data[0] & 0x7f) * 32u : 1;
    int nobody[2], ends[2]; /* nobody connects */
    g_autoptr(GPtrArray) clients = g_ptr_array_new();
    control *c;
    talker *t = g_new0(talker, 1);

    g.clients = clients;
    FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, nobody) == 0);
    c = control_new(&g, nobody[0]);
    t->control = c;
    t->fd = ends[0];
    t->source = loop_add(g.loop, t->fd, EPOLLIN, talker_ready, t);
    g_ptr_array_add(c->talkers, t);
    for (size_t at = 1; at < size && c->talkers->len > 0; at += piece) {
        size_t n = MIN(piece, size - at);

        if (send(ends[1], data + at, n, MSG_NOSIGNAL) != (ssize_t) n)
            break;
        loop_dispatch(g.loop);
        take_all(ends[1]);
        if (data[0] & 0x80) {
            news(c, GATE_ACQUIRE_ENDED, NULL);
            news(c, GATE_DRAIN_ENDED, NULL);
        }
    }
    control_free(c);
    loop_free(g.loop);
    close(nobody[1]);
    close(ends[1]);
}
