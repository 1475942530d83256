/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * A target that says anything: during the login, and to commands that are
 * under way.  No byte may land outside of a command's buffer.
 */
#include "config.h"
#include <sys/socket.h>
#include <unistd.h>
#include "fuzz.h"
#include "iscsi-wire.h"
#include "timeouts.h"

#define TASKS 4
#define ROOM  16384 /* bytes of a command */

typedef struct {
    qm_wire_task task;
    struct iovec iov[2];
    uint8_t *memory;
    unsigned answered;
} command;

static void
on_answer(void *opaque, const qm_wire_answer *answer)
{
    command *c = opaque;

    FUZZ_CHECK(++c->answered == 1);
    FUZZ_CHECK(answer->moved <= ROOM);
}

static void
on_done(void *opaque, bool ok, int response)
{
    FUZZ_CHECK(++*(unsigned *) opaque == 1);
}

static void
submit(qm_wire *w, command *c, qm_wire_way way)
{
    c->memory = g_malloc0(ROOM);
    c->iov[0] = (struct iovec){c->memory, ROOM / 4};
    c->iov[1] = (struct iovec){c->memory + ROOM / 4, ROOM - ROOM / 4};
    c->task.cdb[0] = (uint8_t) way;
    c->task.way = way;
    c->task.length = way == QM_WIRE_NONE ? 0 : ROOM;
    c->task.iov = c->iov;
    c->task.n_iov = 2;
    c->task.answered = on_answer;
    c->task.opaque = c;
    qm__wire_submit(w, &c->task);
}

static void
take_all(int fd)
{
    char buf[65536];

    while (recv(fd, buf, sizeof buf, MSG_DONTWAIT) > 0)
        ;
}

void
fuzz_iscsi(const uint8_t *data, size_t size)
{
    static const qm_wire_way ways[TASKS] = {QM_WIRE_READ, QM_WIRE_WRITE,
                                            QM_WIRE_READ, QM_WIRE_NONE};
    const qm_login_session login = {.terms = {.send_max = 4096,
                                              .first_burst = 8192,
                                              .max_burst = 65536,
                                              .immediate = true},
                                    .cmd_sn = 1,
                                    .max_cmd_sn = 32,
                                    .exp_stat_sn = 1};
    size_t piece = size > 0 ? 1 + data[0] * 16u : 1;
    command commands[TASKS] = {0};
    unsigned pings = 0, resets = 0;
    int ends[2];
    qm_wire *w;

    FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    w = qm__wire_new(ends[0], &login, 1);
    for (int i = 0; i < TASKS; i++)
        submit(w, &commands[i], ways[i]);
    qm__wire_ping(w, on_done, &pings);
    qm__wire_reset_lun(w, on_done, &resets);
    (void) qm__wire_send(w);
    for (size_t at = 1; at < size; at += piece) {
        size_t n = MIN(piece, size - at);

        if (send(ends[1], data + at, n, MSG_NOSIGNAL) != (ssize_t) n)
            break;
        if (!qm__wire_receive(w) || !qm__wire_send(w)) {
            FUZZ_CHECK(qm__wire_why(w)[0] != '\0');
            break;
        }
        take_all(ends[1]);
    }
    qm__wire_free(w);
    for (int i = 0; i < TASKS; i++)
        g_free(commands[i].memory);
    close(ends[1]);
}

/* A login of which the target's half is there before it begins. */
void
fuzz_login(const uint8_t *data, size_t size)
{
    const qm_login_identity identity = {.initiator = "iqn.2026-01.test:a",
                                        .target = "iqn.2026-01.test:t",
                                        .user = size > 0 && data[0] & 1 ? "user"
                                                                        : NULL,
                                        .secret = "a secret of mine"};
    qm_login_refusal refusal = {0};
    qm_login_session session;
    int ends[2];
    bool ok;

    if (size < 1 || size > 100000)
        return;
    FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    FUZZ_CHECK(send(ends[1], data + 1, size - 1, MSG_NOSIGNAL) ==
               (ssize_t) size - 1);
    FUZZ_CHECK(shutdown(ends[1], SHUT_WR) == 0);
    FUZZ_TRY(ok, qm__iscsi_login(ends[0], &identity, qm__deadline_in(QM_S),
                                 &session, &refusal, &err));
    if (ok)
        FUZZ_CHECK(session.terms.send_max > 0 && session.terms.max_burst > 0);
    else
        g_free(refusal.redirect);
    close(ends[0]);
    close(ends[1]);
}
