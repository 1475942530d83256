/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Our half of an iSCSI session, with a target made of bytes: what it sends,
 * whole, in pieces, and damaged.
 */
#include "config.h"
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "unit.h"
#include "iscsi-wire.h"

#define SN       1     /* first CmdSN and StatSN */
#define WINDOW   32    /* commands */
#define ROOM     65536 /* bytes of a caller's buffer */
#define GUARD    64    /* bytes around it that nobody may touch */
#define BURST    8192  /* immediate data */
#define PIECE    4096  /* data of one PDU to the target */
#define FILLERS  10    /* reads before the write that does not fit */
#define GOOD     0
#define CONFLICT 0x18
#define CHECK    0x02

typedef struct {
    qm_wire *w;
    int target; /* the other end */
    uint32_t stat_sn;
} session;

typedef struct {
    qm_wire_task task;
    struct iovec iov[3];
    uint8_t memory[GUARD + ROOM + GUARD];
    unsigned answered;
    qm_wire_answer answer;
} request;

static void
begin_with(session *s, uint32_t window)
{
    const qm_login_session login = {
        .terms = {.send_max = PIECE,
                  .first_burst = BURST,
                  .max_burst = ROOM,
                  .immediate = true},
        .cmd_sn = SN,
        .max_cmd_sn = SN + window - 1,
        .exp_stat_sn = SN,
    };
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    s->w = qm__wire_new(ends[0], &login, 1);
    s->target = ends[1];
    s->stat_sn = SN;
}

static void
begin(session *s)
{
    begin_with(s, WINDOW);
}

static void
end(session *s)
{
    qm__wire_free(s->w);
    close(s->target);
}

static void
on_answer(void *opaque, const qm_wire_answer *answer)
{
    request *r = opaque;

    r->answered++;
    r->answer = *answer;
}

/* Three pieces, the way a guest's memory comes. */
static request *
ask(session *s, qm_wire_way way, uint32_t length)
{
    request *r = g_new0(request, 1);
    uint8_t *data = r->memory + GUARD;
    uint32_t third = length / 3;

    memset(r->memory, 0xee, sizeof r->memory);
    if (way == QM_WIRE_WRITE)
        for (uint32_t i = 0; i < length; i++)
            data[i] = (uint8_t) (i * 7 + i / 256);
    r->iov[0] = (struct iovec){data, third};
    r->iov[1] = (struct iovec){data + third, third};
    r->iov[2] = (struct iovec){data + 2 * third, length - 2 * third};
    r->task.cdb[0] = (uint8_t) (0x80 + way);
    r->task.way = way;
    r->task.length = length;
    r->task.iov = r->iov;
    r->task.n_iov = 3;
    r->task.answered = on_answer;
    r->task.opaque = r;
    qm__wire_submit(s->w, &r->task);
    return r;
}

static void
check_guards(const request *r)
{
    for (int i = 0; i < GUARD; i++) {
        assert_int_equal(r->memory[i], 0xee);
        assert_int_equal(r->memory[GUARD + ROOM + i], 0xee);
    }
}

/* --- the target ---------------------------------------------------------- */

/* The next PDU that we sent, padding taken off; its data in @data. */
static uint32_t
take(session *s, uint8_t *bhs, uint8_t *data, uint32_t room)
{
    uint32_t length, padded;
    uint8_t all[ROOM + 4];

    assert_true(qm__wire_send(s->w));
    assert_int_equal(recv(s->target, bhs, QM_BHS, MSG_WAITALL), QM_BHS);
    length = qm__get_be24(bhs + QM_AT_LENGTH);
    padded = length + qm__pdu_pad(length);
    assert_true(length <= room && padded <= sizeof all);
    if (padded > 0)
        assert_int_equal(recv(s->target, all, padded, MSG_WAITALL), padded);
    if (length > 0)
        memcpy(data, all, length);
    return length;
}

static void
take_command(session *s, uint8_t *bhs)
{
    uint8_t data[BURST];

    (void) take(s, bhs, data, sizeof data);
    assert_int_equal(bhs[0], QM_OP_COMMAND);
}

static void
make(session *s, uint8_t *bhs, uint8_t opcode, uint8_t flags, uint32_t tag,
     uint32_t length)
{
    memset(bhs, 0, QM_BHS);
    bhs[0] = opcode;
    bhs[QM_AT_FLAGS] = flags;
    qm__put_be24(bhs + QM_AT_LENGTH, length);
    qm__set_be32(bhs + QM_AT_TAG, tag);
    qm__set_be32(bhs + QM_AT_STAT_SN, s->stat_sn);
    qm__set_be32(bhs + QM_AT_EXP_CMD_SN, SN);
    qm__set_be32(bhs + QM_AT_MAX_CMD_SN, SN + WINDOW);
}

static void
put_pdu(GByteArray *out, const uint8_t *bhs, const uint8_t *data)
{
    static const uint8_t zeros[4];
    uint32_t length = qm__get_be24(bhs + QM_AT_LENGTH);

    g_byte_array_append(out, bhs, QM_BHS);
    if (length > 0)
        g_byte_array_append(out, data, length);
    g_byte_array_append(out, zeros, qm__pdu_pad(length));
}

static void
put_data_in(session *s, GByteArray *out, uint32_t tag, uint32_t offset,
            const uint8_t *data, uint32_t length, bool last)
{
    uint8_t bhs[QM_BHS];

    make(s, bhs, QM_OP_DATA_IN,
         last ? QM_PDU_FINAL | QM_DATA_STATUS : QM_PDU_FINAL, tag, length);
    qm__set_be32(bhs + QM_AT_OFFSET, offset);
    qm__set_be32(bhs + QM_AT_TARGET_TAG, QM_TAG_NONE);
    put_pdu(out, bhs, data);
    s->stat_sn += last;
}

static void
put_response(session *s, GByteArray *out, uint32_t tag, uint8_t status,
             const uint8_t *sense, uint32_t length)
{
    uint8_t bhs[QM_BHS], data[64] = {0};

    make(s, bhs, QM_OP_RESPONSE, QM_PDU_FINAL, tag,
         sense != NULL ? length + 2 : 0);
    bhs[QM_AT_STATUS] = status;
    data[1] = (uint8_t) length;
    if (sense != NULL)
        memcpy(data + 2, sense, length);
    put_pdu(out, bhs, data);
    s->stat_sn++;
}

/* In pieces of @piece bytes; false: the session is lost. */
static bool
deliver(session *s, const GByteArray *bytes, guint piece)
{
    for (guint at = 0; at < bytes->len; at += piece) {
        guint n = MIN(piece, bytes->len - at);

        assert_int_equal(write(s->target, bytes->data + at, n), n);
        if (!qm__wire_receive(s->w))
            return false;
    }
    return true;
}

/* --- reads --------------------------------------------------------------- */

static void
read_in_pieces(guint piece)
{
    session s;
    request *a, *b;
    uint8_t bhs[QM_BHS], one[512], two[20001];
    uint32_t tag;
    g_autoptr(GByteArray) out = g_byte_array_new();

    for (size_t i = 0; i < sizeof two; i++)
        two[i] = (uint8_t) (i * 3 + i / 200);
    memset(one, 0x11, sizeof one);
    begin(&s);
    a = ask(&s, QM_WIRE_READ, sizeof one);
    b = ask(&s, QM_WIRE_READ, sizeof two);
    take_command(&s, bhs);
    assert_int_equal(bhs[QM_AT_FLAGS],
                     QM_PDU_FINAL | QM_COMMAND_READ | QM_COMMAND_SIMPLE);
    assert_int_equal(bhs[QM_AT_LUN + 1], 1);
    assert_int_equal(qm__get_be32(bhs + QM_AT_EXPECTED), sizeof one);
    assert_int_equal(qm__get_be32(bhs + QM_AT_CMD_SN), SN);
    assert_int_equal(bhs[QM_AT_CDB], 0x80 + QM_WIRE_READ);
    tag = qm__get_be32(bhs + QM_AT_TAG);
    put_data_in(&s, out, tag, 0, one, sizeof one, true);
    take_command(&s, bhs);
    assert_int_equal(qm__get_be32(bhs + QM_AT_CMD_SN), SN + 1);
    tag = qm__get_be32(bhs + QM_AT_TAG);
    put_data_in(&s, out, tag, 0, two, 17001, false);
    put_data_in(&s, out, tag, 17001, two + 17001, 3000, true);
    assert_true(deliver(&s, out, piece));
    assert_int_equal(a->answered, 1);
    assert_int_equal(b->answered, 1);
    assert_int_equal(a->answer.status, GOOD);
    assert_int_equal(a->answer.moved, sizeof one);
    assert_memory_equal(a->memory + GUARD, one, sizeof one);
    assert_int_equal(b->answer.moved, sizeof two);
    assert_memory_equal(b->memory + GUARD, two, sizeof two);
    check_guards(a);
    check_guards(b);
    g_free(a);
    g_free(b);
    end(&s);
}

static void
test_reads(void **state)
{
    static const guint pieces[] = {1, 3, 47, 48, 49, 560, 4096, 100000};

    for (size_t i = 0; i < G_N_ELEMENTS(pieces); i++)
        read_in_pieces(pieces[i]);
}

/* --- writes -------------------------------------------------------------- */

static void
test_write_asked_for(void **state)
{
    session s;
    const uint32_t length = 3 * PIECE;
    uint8_t bhs[QM_BHS], r2t[QM_BHS];
    g_autofree uint8_t *data = g_malloc(ROOM);
    g_autoptr(GByteArray) out = g_byte_array_new();
    g_autofree request *r = NULL;
    uint32_t tag;

    begin(&s);
    r = ask(&s, QM_WIRE_WRITE, length);
    assert_int_equal(take(&s, bhs, data, ROOM), PIECE); /* immediate */
    assert_memory_equal(data, r->memory + GUARD, PIECE);
    tag = qm__get_be32(bhs + QM_AT_TAG);
    make(&s, r2t, QM_OP_R2T, QM_PDU_FINAL, tag, 0);
    qm__set_be32(r2t + QM_AT_TARGET_TAG, 0x4711);
    qm__set_be32(r2t + QM_AT_OFFSET, PIECE);
    qm__set_be32(r2t + QM_AT_WANTED, 2 * PIECE);
    put_pdu(out, r2t, NULL);
    assert_true(deliver(&s, out, 5));
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(take(&s, bhs, data, ROOM), PIECE);
        assert_int_equal(bhs[0], QM_OP_DATA_OUT);
        assert_int_equal(bhs[QM_AT_FLAGS], i == 1 ? QM_PDU_FINAL : 0);
        assert_int_equal(qm__get_be32(bhs + QM_AT_TARGET_TAG), 0x4711);
        assert_int_equal(qm__get_be32(bhs + QM_AT_DATA_SN), i);
        assert_int_equal(qm__get_be32(bhs + QM_AT_OFFSET), (1 + i) * PIECE);
        assert_memory_equal(data, r->memory + GUARD + (1 + i) * PIECE, PIECE);
    }
    g_byte_array_set_size(out, 0);
    put_response(&s, out, tag, GOOD, NULL, 0);
    assert_true(deliver(&s, out, 7));
    assert_int_equal(r->answered, 1);
    assert_int_equal(r->answer.moved, length);
    end(&s);
}

/* The conflict comes while data is still on its way: the rest of the PDU that
 * has begun follows, from a copy, and the session goes on. */
static void
test_conflict_early(void **state)
{
    session s;
    int small = 2048;
    uint8_t bhs[QM_BHS];
    g_autofree uint8_t *data = g_malloc(ROOM);
    g_autoptr(GByteArray) out = g_byte_array_new();
    g_autofree request *next = NULL;
    request *r, *filler[FILLERS];
    uint8_t expected[PIECE];

    begin(&s);
    assert_int_equal(setsockopt(qm__wire_fd(s.w), SOL_SOCKET, SO_SNDBUF, &small,
                                sizeof small),
                     0);
    for (int i = 0; i < FILLERS; i++) /* until the socket is full */
        filler[i] = ask(&s, QM_WIRE_READ, 512);
    r = ask(&s, QM_WIRE_WRITE, PIECE);
    memcpy(expected, r->memory + GUARD, PIECE);
    assert_true(qm__wire_send(s.w));
    assert_true(qm__wire_sendable(s.w));
    put_response(&s, out, r->task.tag, CONFLICT, NULL, 0);
    assert_true(deliver(&s, out, out->len));
    assert_int_equal(r->answered, 1);
    assert_int_equal(r->answer.status, CONFLICT);
    memset(r, 0x55, sizeof *r);
    g_free(r); /* the caller's again */
    next = ask(&s, QM_WIRE_READ, 512);
    for (int i = 0; i < FILLERS; i++)
        assert_int_equal(take(&s, bhs, data, ROOM), 0);
    assert_int_equal(recv(s.target, bhs, QM_BHS, MSG_WAITALL), QM_BHS);
    for (uint32_t at = 0; at < PIECE;) {
        ssize_t n = recv(s.target, data + at, PIECE - at, 0);

        if (n > 0)
            at += (uint32_t) n;
        assert_true(qm__wire_send(s.w));
    }
    assert_memory_equal(data, expected, PIECE);
    take_command(&s, bhs);
    assert_int_equal(qm__get_be32(bhs + QM_AT_TAG), next->task.tag);
    end(&s);
    for (int i = 0; i < FILLERS; i++)
        g_free(filler[i]);
}

static void
test_sense(void **state)
{
    static const uint8_t sense[18] = {0x70, 0, 6, [12] = 0x2a, [13] = 3};
    session s;
    uint8_t bhs[QM_BHS];
    g_autoptr(GByteArray) out = g_byte_array_new();
    g_autofree request *r = NULL;

    begin(&s);
    r = ask(&s, QM_WIRE_WRITE, 512);
    take_command(&s, bhs);
    put_response(&s, out, r->task.tag, CHECK, sense, sizeof sense);
    assert_true(deliver(&s, out, 1));
    assert_int_equal(r->answer.status, CHECK);
    assert_memory_equal(r->answer.sense, sense, sizeof sense);
    end(&s);
}

/* --- the session --------------------------------------------------------- */

static void
test_window(void **state)
{
    session s;
    request *r[4];
    uint8_t bhs[QM_BHS];
    g_autoptr(GByteArray) out = g_byte_array_new();

    begin_with(&s, 2);
    for (int i = 0; i < 4; i++)
        r[i] = ask(&s, QM_WIRE_NONE, 0);
    take_command(&s, bhs);
    take_command(&s, bhs);
    assert_false(qm__wire_sendable(s.w));
    put_response(&s, out, r[0]->task.tag, GOOD, NULL, 0);
    assert_true(deliver(&s, out, out->len));
    for (uint32_t i = 2; i < 4; i++) {
        take_command(&s, bhs);
        assert_int_equal(qm__get_be32(bhs + QM_AT_CMD_SN), SN + i);
    }
    end(&s);
    for (int i = 0; i < 4; i++)
        g_free(r[i]);
}

static void
on_done(void *opaque, bool ok, int response)
{
    *(int *) opaque = ok ? response : -1;
}

static void
test_calls(void **state)
{
    session s;
    int ping = 77, reset = 77, left = 77;
    uint8_t bhs[QM_BHS], answer[QM_BHS];
    g_autoptr(GByteArray) out = g_byte_array_new();

    begin(&s);
    qm__wire_ping(s.w, on_done, &ping);
    (void) take(&s, bhs, NULL, 0);
    assert_int_equal(bhs[0], QM_OP_NOP_OUT | QM_OP_IMMEDIATE);
    make(&s, answer, QM_OP_NOP_IN, QM_PDU_FINAL, qm__get_be32(bhs + QM_AT_TAG),
         0);
    put_pdu(out, answer, NULL);
    qm__wire_reset_lun(s.w, on_done, &reset);
    (void) take(&s, bhs, NULL, 0);
    assert_int_equal(bhs[QM_AT_FLAGS], QM_PDU_FINAL | 5);
    make(&s, answer, QM_OP_TASK_RESPONSE, QM_PDU_FINAL,
         qm__get_be32(bhs + QM_AT_TAG), 0);
    answer[QM_AT_RESPONSE] = 5;
    put_pdu(out, answer, NULL);
    assert_true(deliver(&s, out, 9));
    assert_int_equal(ping, 0);
    assert_int_equal(reset, 5);
    qm__wire_ping(s.w, on_done, &left);
    end(&s);
    assert_int_equal(left, -1);
}

static void
test_pong(void **state)
{
    session s;
    uint8_t bhs[QM_BHS];
    g_autoptr(GByteArray) out = g_byte_array_new();

    begin(&s);
    make(&s, bhs, QM_OP_NOP_IN, QM_PDU_FINAL, QM_TAG_NONE, 0);
    qm__set_be32(bhs + QM_AT_TARGET_TAG, 0x1234);
    put_pdu(out, bhs, NULL);
    assert_true(deliver(&s, out, out->len));
    (void) take(&s, bhs, NULL, 0);
    assert_int_equal(bhs[0], QM_OP_NOP_OUT | QM_OP_IMMEDIATE);
    assert_int_equal(qm__get_be32(bhs + QM_AT_TARGET_TAG), 0x1234);
    assert_int_equal(qm__get_be32(bhs + QM_AT_TAG), QM_TAG_NONE);
    end(&s);
}

/* --- what ends a session ------------------------------------------------- */

typedef struct {
    const char *what;
    uint8_t opcode, flags;
    int at; /* field that is wrong; 0: none */
    uint32_t value;
    uint32_t length;
} bad_pdu;

static const bad_pdu bad[] = {
    {"reject", QM_OP_REJECT, 0x80, 0, 0, 0},
    {"unknown", 0x3e, 0x80, 0, 0, 0},
    {"a login's answer", QM_OP_LOGIN_RESPONSE, 0x80, 0, 0, 0},
    {"too much", QM_OP_DATA_IN, 0x80, 0, 0, 513},
    {"beyond the end", QM_OP_DATA_IN, 0x80, QM_AT_OFFSET, 512, 1},
    {"out of order", QM_OP_DATA_IN, 0x80, QM_AT_OFFSET, 4, 4},
    {"nobody's data", QM_OP_DATA_IN, 0x80, QM_AT_TAG, 0xbeef, 4},
    {"nobody's answer", QM_OP_RESPONSE, 0x80, QM_AT_TAG, 0xbeef, 0},
    {"R2T for a read", QM_OP_R2T, 0x80, QM_AT_WANTED, 512, 0},
    {"a reset's answer", QM_OP_TASK_RESPONSE, 0x80, 0, 0, 0},
    {"a ping's answer", QM_OP_NOP_IN, 0x80, 0, 0, 0},
    {"a huge answer", QM_OP_RESPONSE, 0x80, 0, 0, 20000},
    {"async: dropped", QM_OP_ASYNC, 0x80, QM_AT_ASYNC_EVENT, 2u << 24, 0},
};

static void
test_bad(void **state)
{
    static const uint8_t data[20004];

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        session s;
        uint8_t bhs[QM_BHS];
        g_autoptr(GByteArray) out = g_byte_array_new();
        g_autofree request *r = NULL;

        begin(&s);
        r = ask(&s, QM_WIRE_READ, 512);
        take_command(&s, bhs);
        make(&s, bhs, bad[i].opcode, bad[i].flags, r->task.tag, bad[i].length);
        if (bad[i].at != 0)
            qm__set_be32(bhs + bad[i].at, bad[i].value);
        put_pdu(out, bhs, data);
        if (deliver(&s, out, out->len))
            fail_msg("%s: the session goes on", bad[i].what);
        assert_int_equal(r->answered, 0);
        assert_string_not_equal(qm__wire_why(s.w), "");
        check_guards(r);
        end(&s);
    }
}

static void
test_closed(void **state)
{
    session s;

    begin(&s);
    assert_int_equal(shutdown(s.target, SHUT_WR), 0);
    assert_false(qm__wire_receive(s.w));
    assert_string_not_equal(qm__wire_why(s.w), "");
    end(&s);
}

/* Any bytes: each task ends once at most, nothing outside is touched. */
static void
test_damage(void **state)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(20261123);

    for (int round = 0; round < 3000; round++) {
        session s;
        request *r[3];
        uint8_t bhs[QM_BHS], data[4096];
        g_autoptr(GByteArray) out = g_byte_array_new();

        memset(data, round, sizeof data);
        begin(&s);
        r[0] = ask(&s, QM_WIRE_READ, 4096);
        r[1] = ask(&s, QM_WIRE_WRITE, 2 * BURST);
        r[2] = ask(&s, QM_WIRE_READ, 700);
        put_data_in(&s, out, r[0]->task.tag, 0, data, 4096, true);
        make(&s, bhs, QM_OP_R2T, QM_PDU_FINAL, r[1]->task.tag, 0);
        qm__set_be32(bhs + QM_AT_OFFSET, PIECE);
        qm__set_be32(bhs + QM_AT_WANTED, PIECE);
        put_pdu(out, bhs, NULL);
        put_data_in(&s, out, r[2]->task.tag, 0, data, 700, true);
        put_response(&s, out, r[1]->task.tag, GOOD, NULL, 0);
        for (int i = g_rand_int_range(rand, 1, 6); i > 0; i--)
            out->data[g_rand_int_range(rand, 0, (gint32) out->len)] =
                (uint8_t) g_rand_int(rand);
        assert_true(qm__wire_send(s.w));
        while (recv(s.target, data, sizeof data, 0) > 0)
            ;
        (void) deliver(&s, out, (guint) g_rand_int_range(rand, 1, 6000));
        end(&s);
        for (int i = 0; i < 3; i++) {
            assert_true(r[i]->answered <= 1);
            check_guards(r[i]);
            g_free(r[i]);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads),
        cmocka_unit_test(test_write_asked_for),
        cmocka_unit_test(test_conflict_early),
        cmocka_unit_test(test_sense),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_pong),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_closed),
        cmocka_unit_test(test_damage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
