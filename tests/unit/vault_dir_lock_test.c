/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Who may write to a vault in a directory: one process at a time, with the
 * right given by the record as it is.
 */
#include "config.h"
#include <signal.h>
#include <sys/wait.h>
#include "vault_fixture.h"

#define SHORTLY qm__deadline_in(100 * QM_MS)

typedef struct {
    int asked;
    qm_record seen;
    int refuse_with; /* code; -1: allow */
} right;

static bool
ask(const qm_record *record, void *opaque, GError **error)
{
    right *r = opaque;

    r->asked++;
    r->seen = *record;
    if (r->refuse_with < 0)
        return true;
    g_set_error(error, QM_ERROR, r->refuse_with, "not yours");
    return false;
}

static void
right_is_asked_with_the_record(void **state)
{
    fixture *f = *state;
    right allow = {.refuse_with = -1};
    g_autoptr(qm_vault) v = fixture_open(f);
    qm_record r;

    CHECK_OK(qm_vault_acquire(v, ask, &allow, FIXTURE_SOON, &r, &err));
    assert_true(allow.asked >= 1);
    assert_int_equal(allow.seen.sequence, 1);
    assert_memory_equal(&allow.seen, &r, sizeof r);
    assert_true(qm__vault_acquired(v));
}

static void
refused_right_ends_it(void **state)
{
    fixture *f = *state;
    right deny = {.refuse_with = QM_ERROR_REFUSED};
    g_autoptr(qm_vault) v = fixture_open(f);
    g_autoptr(qm_vault) other = NULL;
    qm_record r = {.generation = 4711};

    CHECK_FAILS(qm_vault_acquire(v, ask, &deny, FIXTURE_SOON, &r, &err),
                QM_ERROR_REFUSED);
    assert_int_equal(r.generation, 4711);
    assert_int_equal(deny.asked, 1);
    assert_false(qm__vault_acquired(v));
    CHECK_FAILS(qm_vault_write_record(v, &r, &err), QM_ERROR_CONFLICT);
    /* Nothing is held any more. */
    other = fixture_acquire(f, &r);
}

/* Losing a race is tried again, until the deadline. */
static void
lost_race_is_tried_again(void **state)
{
    fixture *f = *state;
    right lose = {.refuse_with = QM_ERROR_CONFLICT};
    g_autoptr(qm_vault) v = fixture_open(f);
    qm_record r;

    CHECK_FAILS(
        qm_vault_acquire(v, ask, &lose, qm__deadline_in(300 * QM_MS), &r, &err),
        QM_ERROR_CONFLICT);
    assert_true(lose.asked > 1);
}

static void
acquiring_again_asks_again(void **state)
{
    fixture *f = *state;
    right allow = {.refuse_with = -1};
    qm_record r;
    g_autoptr(qm_vault) v = fixture_acquire(f, &r);

    r.generation = 7;
    CHECK_OK(qm_vault_write_record(v, &r, &err));
    CHECK_OK(qm_vault_acquire(v, ask, &allow, FIXTURE_SOON, &r, &err));
    assert_int_equal(allow.seen.generation, 7);
    CHECK_OK(qm_vault_write_record(v, &r, &err));
}

static void
second_holder_waits_in_vain(void **state)
{
    fixture *f = *state;
    right allow = {.refuse_with = -1};
    qm_record r;
    g_autoptr(qm_vault) v = fixture_acquire(f, &r);
    g_autoptr(qm_vault) other = fixture_open(f);
    int64_t began = qm__now();

    CHECK_FAILS(qm_vault_acquire(other, ask, &allow, SHORTLY, &r, &err),
                QM_ERROR_BUSY);
    assert_true(qm__now() - began >= 100 * QM_MS);
    assert_true(qm__now() - began < 2 * QM_S);
    assert_int_equal(allow.asked, 0);
    /* Reading needs no lock. */
    CHECK_OK(qm_vault_read_record(other, &r, &err));
    g_clear_pointer(&v, qm_vault_close);
    CHECK_OK(qm_vault_acquire(other, ask, &allow, SHORTLY, &r, &err));
}

/* A deadline that has passed still allows what needs no waiting. */
static void
free_vault_needs_no_time(void **state)
{
    fixture *f = *state;
    g_autoptr(qm_vault) v = fixture_open(f);
    qm_record r;

    CHECK_OK(qm_vault_acquire(v, fixture_any_right, NULL, 0, &r, &err));
}

/* Holds the vault, says so through @fd, then sleeps until it is killed. */
static void
hold(const fixture *f, int fd)
{
    qm_vault *v;
    qm_record r;

    if (qm_vault_open(&f->params, FIXTURE_SOON, &v, NULL) &&
        qm_vault_acquire(v, fixture_any_right, NULL, FIXTURE_SOON, &r, NULL) &&
        write(fd, "x", 1) == 1)
        for (;;)
            pause();
    _exit(1);
}

/* What a process held is free when it is dead, however it died. */
static void
lock_dies_with_its_process(void **state)
{
    fixture *f = *state;
    g_autoptr(qm_vault) v = fixture_open(f);
    int fds[2], status;
    qm_record r;
    pid_t pid;
    char c;

    assert_int_equal(pipe(fds), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        hold(f, fds[1]);
    assert_int_equal(read(fds[0], &c, 1), 1);
    CHECK_FAILS(qm_vault_acquire(v, fixture_any_right, NULL, SHORTLY, &r, &err),
                QM_ERROR_BUSY);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    CHECK_OK(qm_vault_acquire(v, fixture_any_right, NULL, SHORTLY, &r, &err));
    assert_int_equal(close(fds[0]), 0);
    assert_int_equal(close(fds[1]), 0);
}

/* Raises the record's generation @n times, each under the lock. */
static int
count_up(const fixture *f, int n)
{
    for (int i = 0; i < n; i++) {
        g_autoptr(qm_vault) v = NULL;
        qm_record r;

        if (!qm_vault_open(&f->params, FIXTURE_SOON, &v, NULL) ||
            !qm_vault_acquire(v, fixture_any_right, NULL,
                              qm__deadline_in(60 * QM_S), &r, NULL))
            return 1;
        r.generation++;
        if (!qm_vault_write_record(v, &r, NULL))
            return 1;
    }
    return 0;
}

/* Readers without the lock see a whole record at any moment. */
static void
no_update_is_lost(void **state)
{
    enum { WRITERS = 3, ROUNDS = 30 };
    fixture *f = *state;
    g_autoptr(qm_vault) v = fixture_open(f);
    uint64_t last = 0;
    qm_record r;
    int left = WRITERS;

    for (int i = 0; i < WRITERS; i++) {
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0)
            _exit(count_up(f, ROUNDS));
    }
    while (left > 0) {
        int status;

        CHECK_OK(qm_vault_read_record(v, &r, &err));
        assert_true(r.generation >= last);
        last = r.generation;
        if (waitpid(-1, &status, WNOHANG) <= 0)
            continue;
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        left--;
    }
    CHECK_OK(qm_vault_read_record(v, &r, &err));
    assert_int_equal(r.generation, WRITERS * ROUNDS);
    assert_int_equal(r.sequence, 1 + WRITERS * ROUNDS);
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(right_is_asked_with_the_record), TEST(refused_right_ends_it),
        TEST(lost_race_is_tried_again),       TEST(acquiring_again_asks_again),
        TEST(second_holder_waits_in_vain),    TEST(free_vault_needs_no_time),
        TEST(lock_dies_with_its_process),     TEST(no_update_is_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
