/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The gate's queue without a target: which requests go out in which state, in
 * which order they are sent again, and what a client is told.
 */
#include "config.h"
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "unit.h"
#include "gate.h"
#include "log.h"

#define MAX_TRANSFER 4096u

/* One command that the fake LUN got. */
typedef struct {
    qm_lun_op op;
    uint64_t offset;
    size_t length;
    bool fua;
    qm_lun_cb cb;
    void *opaque;
} sent;

typedef struct {
    gate *g;
    loop *loop;
    nbd_conn *conn;
    int peer;
} fixture;

static GArray *commands; /* sent */
static bool refuse;      /* the session is lost */
static int fake_lun;
static gate_settings settings = {.disk = (char *) "vda",
                                 .vm_name = (char *) "vm"};

bool __wrap_qm__lun_submit(qm_lun *lun, qm_lun_op op, uint64_t offset,
                           struct iovec *iov, int n_iov, bool fua, qm_lun_cb cb,
                           void *opaque);

bool
__wrap_qm__lun_submit(qm_lun *lun, qm_lun_op op, uint64_t offset,
                      struct iovec *iov, int n_iov, bool fua, qm_lun_cb cb,
                      void *opaque)
{
    sent s = {op, offset, 0, fua, cb, opaque};

    for (int i = 0; i < n_iov; i++) {
        s.length += iov[i].iov_len;
        if (op == QM_LUN_READ) /* as a target would */
            memset(iov[i].iov_base, 0, iov[i].iov_len);
    }
    if (refuse)
        return false;
    g_array_append_val(commands, s);
    return true;
}

static void
begin(fixture *f, qm_gate_state state)
{
    int fds[2];

    refuse = false;
    commands = g_array_new(FALSE, FALSE, sizeof(sent));
    f->loop = loop_new();
    f->g = gate_new(&settings, f->loop);
    f->g->state = state;
    f->g->lun = (qm_lun *) (void *) &fake_lun;
    f->g->info.max_transfer = MAX_TRANSFER;
    f->g->export = (nbd_export){.size = 1 << 20, .block_size = 512};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds),
                     0);
    f->peer = fds[1];
    f->conn =
        nbd_conn_new(fds[0], &f->g->export, f->g->pool, queue_submit, f->g);
    assert_true(nbd_conn_send(f->conn)); /* the greeting: out of the way */
    assert_int_equal(recv(f->peer, (char[64]){0}, 64, 0), NBD_GREETING_SIZE);
}

static void
finish(fixture *f)
{
    f->g->lun = NULL;
    queue_orphan(f->g, f->conn);
    nbd_conn_free(f->conn);
    gate_free(f->g);
    loop_free(f->loop);
    close(f->peer);
    g_array_free(commands, TRUE);
}

/* One of several that come together. */
static void
ask_more(fixture *f, nbd_command command, uint64_t cookie, uint64_t offset,
         uint32_t length, bool fua)
{
    request *r = request_get(f->g->pool, length);

    r->conn = f->conn;
    r->command = command;
    r->cookie = cookie;
    r->offset = offset;
    r->length = length;
    r->fua = fua;
    queue_submit(f->g, r);
}

static void
ask(fixture *f, nbd_command command, uint64_t cookie, uint64_t offset,
    uint32_t length, bool fua)
{
    ask_more(f, command, cookie, offset, length, fua);
    merge_send(f->g);
}

static sent
take(void)
{
    sent s;

    assert_true(commands->len > 0);
    s = g_array_index(commands, sent, 0);
    g_array_remove_index(commands, 0);
    return s;
}

static void
end(sent s, qm_scsi_result result, int key, int ascq)
{
    qm_scsi_status status = {result, key, ascq};

    s.cb(s.opaque, &status);
}

static void
expect_reply(fixture *f, uint64_t cookie, uint32_t error, uint32_t data)
{
    uint8_t expected[NBD_REPLY_SIZE], got[NBD_REPLY_SIZE + 65536];

    nbd_reply_out(expected, error, cookie);
    assert_true(nbd_conn_send(f->conn));
    assert_int_equal(recv(f->peer, got, NBD_REPLY_SIZE + data, 0),
                     NBD_REPLY_SIZE + data);
    assert_memory_equal(got, expected, NBD_REPLY_SIZE);
}

static void
expect_silence(fixture *f)
{
    char byte;

    assert_true(nbd_conn_send(f->conn));
    assert_int_equal(recv(f->peer, &byte, 1, MSG_DONTWAIT), -1);
}

/* --- tests --- */

static void
standby_holds_writes(void **state)
{
    fixture f;

    begin(&f, QM_GATE_STANDBY);
    ask(&f, NBD_CMD_WRITE, 1, 0, 512, false);
    ask(&f, NBD_CMD_READ, 2, 0, 512, false);
    ask(&f, NBD_CMD_FLUSH, 3, 0, 0, false);
    expect_reply(&f, 3, NBD_OK, 0);
    assert_int_equal(commands->len, 1);
    end(take(), QM_SCSI_GOOD, 0, 0);
    expect_reply(&f, 2, NBD_OK, 512);
    f.g->state = QM_GATE_HOLDING;
    queue_pump(f.g);
    assert_int_equal(commands->len, 0);
    f.g->state = QM_GATE_OPEN;
    queue_pump(f.g);
    end(take(), QM_SCSI_GOOD, 0, 0);
    expect_reply(&f, 1, NBD_OK, 0);
    finish(&f);
}

static void
large_requests_are_split(void **state)
{
    fixture f;

    begin(&f, QM_GATE_OPEN);
    ask(&f, NBD_CMD_READ, 1, 512, 2 * MAX_TRANSFER + 512, false);
    assert_int_equal(commands->len, 3);
    for (unsigned i = 0; i < 3; i++) {
        sent s = take();

        assert_int_equal(s.offset, 512 + i * MAX_TRANSFER);
        assert_int_equal(s.length, i < 2 ? MAX_TRANSFER : 512);
        end(s, i == 1 ? QM_SCSI_ERROR : QM_SCSI_GOOD, 3, 0x1100);
    }
    expect_reply(&f, 1, NBD_EIO, 0);
    expect_silence(&f);
    finish(&f);
}

/* Sent again in the order of arrival, before what came later. */
static void
lost_requests_go_first(void **state)
{
    fixture f;

    begin(&f, QM_GATE_OPEN);
    for (uint64_t i = 1; i <= 3; i++)
        ask(&f, NBD_CMD_WRITE, i, i * 512, 512, false);
    assert_int_equal(commands->len, 3);
    end(g_array_index(commands, sent, 2), QM_SCSI_LOST, 0, 0);
    ask(&f, NBD_CMD_WRITE, 4, 4 * 512, 512, false); /* must not overtake */
    end(g_array_index(commands, sent, 0), QM_SCSI_LOST, 0, 0);
    end(g_array_index(commands, sent, 1), QM_SCSI_LOST, 0, 0);
    assert_int_equal(commands->len, 3);
    expect_silence(&f);
    g_array_set_size(commands, 0);
    f.g->state = QM_GATE_RECONNECTING;
    f.g->lost = false;
    queue_pump(f.g);
    assert_int_equal(commands->len, 0);
    f.g->state = QM_GATE_OPEN;
    queue_pump(f.g);
    for (uint64_t i = 1; i <= 4; i++) {
        sent s = take();

        assert_int_equal(s.offset, i * 512);
        end(s, QM_SCSI_GOOD, 0, 0);
        expect_reply(&f, i, NBD_OK, 0);
    }
    finish(&f);
}

static void
refused_by_a_lost_session(void **state)
{
    fixture f;

    begin(&f, QM_GATE_OPEN);
    refuse = true;
    ask(&f, NBD_CMD_WRITE, 1, 0, 2 * MAX_TRANSFER, false);
    assert_true(f.g->lost);
    queue_pump(f.g); /* does not spin */
    expect_silence(&f);
    assert_int_equal(f.g->n_waiting, 1);
    assert_int_equal(f.g->n_in_flight, 0);
    refuse = f.g->lost = false;
    queue_pump(f.g);
    assert_int_equal(commands->len, 2);
    end(take(), QM_SCSI_GOOD, 0, 0);
    end(take(), QM_SCSI_GOOD, 0, 0);
    expect_reply(&f, 1, NBD_OK, 0);
    finish(&f);
}

/* What was sent has to be settled before a drain ends. */
static void
lost_writes_go_on_in_a_drain(void **state)
{
    fixture f;

    begin(&f, QM_GATE_OPEN);
    ask(&f, NBD_CMD_WRITE, 1, 0, 512, false);
    end(take(), QM_SCSI_LOST, 0, 0);
    f.g->lost = false;
    f.g->state = QM_GATE_DRAINING;
    ask(&f, NBD_CMD_WRITE, 2, 0, 512, false);
    queue_pump(f.g);
    assert_int_equal(commands->len, 1); /* the old one only */
    queue_drain(f.g);
    assert_int_equal(commands->len, 1); /* no flush yet */
    end(take(), QM_SCSI_GOOD, 0, 0);
    queue_drain(f.g);
    assert_int_equal(g_array_index(commands, sent, 0).op, QM_LUN_FLUSH);
    queue_drain(f.g);
    assert_int_equal(commands->len, 1);
    end(take(), QM_SCSI_GOOD, 0, 0);
    assert_int_equal(f.g->state, QM_GATE_DRAINED);
    assert_int_equal(commands->len, 0);
    finish(&f);
}

static void
failed_flush_holds(void **state)
{
    fixture f;

    begin(&f, QM_GATE_DRAINING);
    queue_drain(f.g);
    end(take(), QM_SCSI_ERROR, 4, 0x4400);
    assert_int_equal(f.g->state, QM_GATE_HOLDING);
    finish(&f);
    begin(&f, QM_GATE_DRAINING); /* a target without a cache */
    queue_drain(f.g);
    end(take(), QM_SCSI_ERROR, 5, 0x2000);
    assert_int_equal(f.g->state, QM_GATE_DRAINED);
    finish(&f);
}

/* Nothing is answered any more, nothing is sent any more. */
static void
fenced(void **state)
{
    fixture f;

    begin(&f, QM_GATE_OPEN);
    ask(&f, NBD_CMD_WRITE, 1, 0, 512, false);
    ask(&f, NBD_CMD_WRITE, 2, 512, 512, false);
    ask(&f, NBD_CMD_READ, 3, 512, 512, false);
    end(take(), QM_SCSI_FENCED, 0, 0);
    assert_non_null(f.g->fence_reason);
    end(take(), QM_SCSI_GOOD, 0, 0);
    end(take(), QM_SCSI_GOOD, 0, 0);
    ask(&f, NBD_CMD_WRITE, 4, 512, 512, false);
    ask(&f, NBD_CMD_FLUSH, 5, 0, 0, false);
    queue_pump(f.g);
    assert_int_equal(commands->len, 0);
    expect_silence(&f);
    finish(&f);
}

static void
neighbours_share_a_command(void **state)
{
    static const struct {
        qm_lun_op op;
        uint64_t offset;
        size_t length;
    } expected[] = {{QM_LUN_WRITE, 9 * 512, 512}, /* FUA: waits for nobody */
                    {QM_LUN_READ, 3 * 512, 512},
                    {QM_LUN_READ, 8 * 512, 4096},
                    {QM_LUN_READ, 16 * 512, 1024}, /* would be too long */
                    {QM_LUN_WRITE, 0, 1536}};
    fixture f;

    begin(&f, QM_GATE_OPEN);
    ask_more(&f, NBD_CMD_READ, 7, 16 * 512, 1024, false);
    for (uint64_t i = 0; i < 3; i++)
        ask_more(&f, NBD_CMD_WRITE, i, (2 - i) * 512, 512, false);
    ask_more(&f, NBD_CMD_READ, 3, 3 * 512, 512, false);
    ask_more(&f, NBD_CMD_READ, 4, 9 * 512, 3584, false);
    ask_more(&f, NBD_CMD_WRITE, 5, 9 * 512, 512, true);
    ask_more(&f, NBD_CMD_READ, 6, 8 * 512, 512, false);
    merge_send(f.g);
    assert_int_equal(f.g->n_in_flight, 8);
    assert_int_equal(commands->len, G_N_ELEMENTS(expected));
    for (guint i = 0; i < commands->len; i++) {
        sent s = g_array_index(commands, sent, i);

        assert_int_equal(s.op, expected[i].op);
        assert_int_equal(s.offset, expected[i].offset);
        assert_int_equal(s.length, expected[i].length);
    }
    end(g_array_index(commands, sent, 4), QM_SCSI_GOOD, 0, 0);
    for (uint64_t i = 3; i-- > 0;)
        expect_reply(&f, i, NBD_OK, 0);
    expect_silence(&f);
    for (guint i = 0; i < 4; i++)
        end(g_array_index(commands, sent, i), QM_SCSI_LOST, 0, 0);
    finish(&f);
}

/* Each has a result of its own. */
static void
a_shared_command_fails(void **state)
{
    fixture f;

    begin(&f, QM_GATE_OPEN);
    for (uint64_t i = 0; i < 3; i++)
        ask_more(&f, NBD_CMD_WRITE, i, i * 512, 512, false);
    merge_send(f.g);
    assert_int_equal(commands->len, 1);
    end(take(), QM_SCSI_NO_SPACE, 7, 0x2707);
    expect_silence(&f);
    assert_int_equal(commands->len, 3);
    for (uint64_t i = 0; i < 3; i++) {
        sent s = take();

        assert_int_equal(s.offset, i * 512);
        assert_int_equal(s.length, 512);
        end(s, i == 1 ? QM_SCSI_NO_SPACE : QM_SCSI_GOOD, 7, 0x2707);
        expect_reply(&f, i, i == 1 ? NBD_ENOSPC : NBD_OK, 0);
    }
    assert_int_equal(f.g->n_in_flight, 0);
    finish(&f);
}

static void
a_shared_command_is_lost(void **state)
{
    fixture f;

    begin(&f, QM_GATE_OPEN);
    for (uint64_t i = 0; i < 3; i++)
        ask_more(&f, NBD_CMD_WRITE, i, i * 512, 512, false);
    refuse = true;
    merge_send(f.g);
    assert_true(f.g->lost);
    assert_int_equal(f.g->n_waiting, 3);
    assert_int_equal(f.g->n_writing, 0);
    refuse = f.g->lost = false;
    queue_pump(f.g);
    for (uint64_t i = 0; i < 3; i++) {
        sent s = take();

        assert_int_equal(s.offset, i * 512);
        end(s, QM_SCSI_GOOD, 0, 0);
        expect_reply(&f, i, NBD_OK, 0);
    }
    finish(&f);
}

static void
a_shared_command_is_fenced(void **state)
{
    fixture f;

    begin(&f, QM_GATE_OPEN);
    for (uint64_t i = 0; i < 3; i++)
        ask_more(&f, NBD_CMD_WRITE, i, i * 512, 512, false);
    merge_send(f.g);
    end(take(), QM_SCSI_FENCED, 0, 0);
    assert_non_null(f.g->fence_reason);
    assert_int_equal(f.g->n_waiting, 3);
    queue_pump(f.g);
    assert_int_equal(commands->len, 0);
    expect_silence(&f);
    finish(&f);
}

/* A standby is not an owner: a conflict is an error, not the end. */
static void
standby_is_not_fenced(void **state)
{
    fixture f;

    begin(&f, QM_GATE_STANDBY);
    ask(&f, NBD_CMD_READ, 1, 0, 512, false);
    end(take(), QM_SCSI_FENCED, 0, 0);
    assert_null(f.g->fence_reason);
    expect_reply(&f, 1, NBD_EIO, 0);
    finish(&f);
}

/* A new connection waits until the old one's writes cannot land any more. */
static void
orphans_come_first(void **state)
{
    fixture f;
    nbd_conn *old;
    int fds[2];

    begin(&f, QM_GATE_OPEN);
    ask(&f, NBD_CMD_WRITE, 1, 0, 512, false);
    f.g->fence_reason = NULL;
    queue_orphan(f.g, f.conn);
    assert_int_equal(f.g->n_orphans, 1);
    old = f.conn;
    nbd_conn_free(old);
    close(f.peer);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds),
                     0);
    f.peer = fds[1];
    f.conn = nbd_conn_new(fds[0], &f.g->export, f.g->pool, queue_submit, f.g);
    assert_true(nbd_conn_send(f.conn));
    assert_int_equal(recv(f.peer, (char[64]){0}, 64, 0), NBD_GREETING_SIZE);
    ask(&f, NBD_CMD_WRITE, 2, 0, 512, false);
    assert_int_equal(commands->len, 1);
    end(take(), QM_SCSI_GOOD, 0, 0);
    assert_int_equal(f.g->n_orphans, 0);
    assert_int_equal(commands->len, 1);
    end(take(), QM_SCSI_GOOD, 0, 0);
    expect_reply(&f, 2, NBD_OK, 0);
    expect_silence(&f);
    finish(&f);
}

static void
waiting_requests_go_with_their_client(void **state)
{
    fixture f;

    begin(&f, QM_GATE_STANDBY);
    ask(&f, NBD_CMD_WRITE, 1, 0, 512, false);
    ask(&f, NBD_CMD_WRITE, 2, 0, 512, false);
    assert_int_equal(f.g->n_waiting, 2);
    queue_orphan(f.g, f.conn);
    assert_int_equal(f.g->n_waiting, 0);
    ask(&f, NBD_CMD_WRITE, 3, 0, 512, false); /* the list is still sound */
    assert_int_equal(f.g->n_waiting, 1);
    finish(&f);
}

static void
fua(void **state)
{
    fixture f;

    begin(&f, QM_GATE_OPEN);
    f.g->info.fua = true;
    ask(&f, NBD_CMD_WRITE, 1, 0, 512, true);
    assert_true(g_array_index(commands, sent, 0).fua);
    end(take(), QM_SCSI_GOOD, 0, 0);
    expect_reply(&f, 1, NBD_OK, 0);
    f.g->info.fua = false; /* the target knows no FUA: a flush follows */
    ask(&f, NBD_CMD_WRITE, 1, 0, 512, true);
    assert_false(g_array_index(commands, sent, 0).fua);
    assert_int_equal(g_array_index(commands, sent, 0).op, QM_LUN_WRITE);
    end(take(), QM_SCSI_GOOD, 0, 0);
    expect_silence(&f);
    assert_int_equal(g_array_index(commands, sent, 0).op, QM_LUN_FLUSH);
    end(take(), QM_SCSI_GOOD, 0, 0);
    expect_reply(&f, 1, NBD_OK, 0);
    /* lost between the two: both again */
    ask(&f, NBD_CMD_WRITE, 2, 0, 512, true);
    end(take(), QM_SCSI_GOOD, 0, 0);
    end(take(), QM_SCSI_LOST, 0, 0);
    f.g->lost = false;
    queue_pump(f.g);
    assert_int_equal(g_array_index(commands, sent, 0).op, QM_LUN_WRITE);
    end(take(), QM_SCSI_GOOD, 0, 0);
    end(take(), QM_SCSI_GOOD, 0, 0);
    expect_reply(&f, 2, NBD_OK, 0);
    finish(&f);
}

static void
no_space(void **state)
{
    fixture f;

    begin(&f, QM_GATE_OPEN);
    ask(&f, NBD_CMD_WRITE, 1, 0, 512, false);
    end(take(), QM_SCSI_NO_SPACE, 7, 0x2707);
    expect_reply(&f, 1, NBD_ENOSPC, 0);
    finish(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(standby_holds_writes),
        cmocka_unit_test(large_requests_are_split),
        cmocka_unit_test(lost_requests_go_first),
        cmocka_unit_test(refused_by_a_lost_session),
        cmocka_unit_test(lost_writes_go_on_in_a_drain),
        cmocka_unit_test(failed_flush_holds),
        cmocka_unit_test(fenced),
        cmocka_unit_test(neighbours_share_a_command),
        cmocka_unit_test(a_shared_command_fails),
        cmocka_unit_test(a_shared_command_is_lost),
        cmocka_unit_test(a_shared_command_is_fenced),
        cmocka_unit_test(standby_is_not_fenced),
        cmocka_unit_test(orphans_come_first),
        cmocka_unit_test(waiting_requests_go_with_their_client),
        cmocka_unit_test(fua),
        cmocka_unit_test(no_space),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
