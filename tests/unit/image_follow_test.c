/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Reading an image that another process is still writing.
 */
#include "config.h"
#include <poll.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include "image_fixture.h"

#define LENGTH (6 * MIB + 777)

typedef struct {
    useconds_t before, between; /* pauses, µs */
    bool torn;
    bool cut_off; /* no last chunk */
    qm_codec codec;
} writer_habits;

/* Never more than one chunk at once, so that pauses lie between chunks. */
static void
write_slowly(fake_store *f, const writer_habits *h, const uint8_t *data)
{
    qm_image_writer *w =
        qm__image_writer_new(&f->base, image_vm, IMAGE_ID, h->codec);
    size_t piece = f->base.max_transfer / 3;
    bool ok = true;

    f->delayed = f->torn = h->torn;
    g_usleep(h->before);
    for (size_t at = 0; ok && at < LENGTH; at += piece) {
        size_t length = MIN(piece, LENGTH - at);
        int fd = stream_fd(data + at, length);

        ok = qm__image_write_from(w, fd, NULL, 0, SOON, NULL, NULL, NULL);
        close(fd);
        g_usleep(h->between);
    }
    if (ok && !h->cut_off)
        ok = qm__image_write_last(w, SOON, NULL);
    qm__image_writer_free(w);
    _exit(ok ? 0 : 1);
}

static pid_t
start_writer(fake_store *f, const writer_habits *h, const uint8_t *data)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        fake_store_forked(f);
        write_slowly(f, h, data);
    }
    return pid;
}

static void
check_writer(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void
follow(const writer_habits *h, uint32_t max_transfer, bool delayed,
       const void *remains, size_t remains_length)
{
    g_autoptr(fake_store) f = fake_store_new(20 * MIB, max_transfer);
    g_autofree uint8_t *data = stream_new(LENGTH, STREAM_MIXED);
    pid_t pid;

    if (remains != NULL)
        memcpy(f->memory, remains, remains_length);
    pid = start_writer(f, h, data);
    f->delayed = delayed;
    check_restore(f, true, data, LENGTH);
    check_writer(pid);
}

static void
slow_writer_is_followed(void **state)
{
    static const writer_habits slow = {30000, 3000, true, false, QM_CODEC_NONE};

    follow(&slow, MIB, false, NULL, 0);
    follow(&slow, MIB, true, NULL, 0);
    follow(&slow, 256 * 1024, true, NULL, 0);
}

static void
fast_writer_is_followed(void **state)
{
    static const writer_habits fast = {0, 0, true, false, QM_CODEC_LZ4};

    for (int i = 0; i < 10; i++) {
        follow(&fast, MIB, i % 2, NULL, 0);
        follow(&fast, 64 * 1024, i % 2, NULL, 0);
    }
}

/* Older images, whole ones too, and another VM's, are not taken for this. */
static void
remains_are_not_followed(void **state)
{
    static const writer_habits slow = {20000, 1000, true, false, QM_CODEC_NONE};
    g_autoptr(fake_store) old = fake_store_new(20 * MIB, MIB);
    g_autofree uint8_t *data = stream_new(9 * MIB, STREAM_RANDOM);

    image_save_as(old, IMAGE_ID - 1, QM_CODEC_NONE, data, 9 * MIB);
    follow(&slow, MIB, true, old->memory, 10 * MIB);
    old->memory[16] ^= 1;
    follow(&slow, MIB, true, old->memory, 10 * MIB);
    memset(old->memory, 0xff, 10 * MIB);
    follow(&slow, MIB, true, old->memory, 10 * MIB);
}

typedef struct {
    int asked, limit;
} patience_test;

static bool
until_limit(void *opaque, GError **error)
{
    patience_test *p = opaque;

    if (++p->asked <= p->limit)
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_CANCELLED, "enough");
    return false;
}

static void
follow_in_vain(fake_store *f, int64_t deadline, patience_test *p, int code)
{
    g_autoptr(qm_image_reader) r =
        qm__image_reader_new(&f->base, image_vm, IMAGE_ID);
    int fd = memfd_create("restored", MFD_CLOEXEC);

    CHECK_FAILS(qm__image_read_to(r, fd, true, deadline,
                                  p != NULL ? until_limit : NULL, p, &err),
                code);
    assert_int_equal(close(fd), 0);
}

static void
waiting_ends_when_asked_to(void **state)
{
    g_autoptr(fake_store) f = fake_store_new(20 * MIB, MIB);
    patience_test p = {.limit = 10};

    follow_in_vain(f, SOON, &p, QM_ERROR_CANCELLED);
    assert_int_equal(p.asked, 11);
    f->delayed = true;
    p.asked = 0;
    follow_in_vain(f, SOON, &p, QM_ERROR_CANCELLED);
}

static void
waiting_ends_at_the_deadline(void **state)
{
    g_autoptr(fake_store) f = fake_store_new(20 * MIB, MIB);
    int64_t began = qm__now();

    follow_in_vain(f, SHORTLY, NULL, QM_ERROR_TIMEOUT);
    assert_true(qm__now() - began >= 120 * QM_MS);
    assert_true(qm__now() - began < 2 * QM_S);
    follow_in_vain(f, 0, NULL, QM_ERROR_TIMEOUT);
}

/* A writer that died before its last chunk: all that came is not enough. */
static void
writer_that_died_is_not_believed(void **state)
{
    static const writer_habits dies = {0, 0, false, true, QM_CODEC_NONE};
    g_autoptr(fake_store) f = fake_store_new(20 * MIB, MIB);
    g_autofree uint8_t *data = stream_new(LENGTH, STREAM_RANDOM);

    check_writer(start_writer(f, &dies, data));
    assert_false(image_is_complete(f, NULL));
    follow_in_vain(f, SHORTLY, NULL, QM_ERROR_TIMEOUT);
    check_restore_fails(f, QM_ERROR_CORRUPT);
}

/* Waiting must not take the storage away from the writer. */
static void
waiting_costs_little(void **state)
{
    static const writer_habits dies = {0, 0, false, true, QM_CODEC_NONE};
    g_autoptr(fake_store) f = fake_store_new(40 * MIB, MIB);
    g_autofree uint8_t *data = stream_new(LENGTH, STREAM_RANDOM);

    follow_in_vain(f, qm__deadline_in(200 * QM_MS), NULL, QM_ERROR_TIMEOUT);
    assert_true(f->reads > 10);
    assert_true(f->bytes_read < 2 * MIB);
    check_writer(start_writer(f, &dies, data));
    f->bytes_read = 0;
    follow_in_vain(f, qm__deadline_in(200 * QM_MS), NULL, QM_ERROR_TIMEOUT);
    assert_true(f->bytes_read < 24 * MIB);
}

/* The reader that keeps up reads little more than what is written. */
static void
following_reads_little_twice(void **state)
{
    static const writer_habits slow = {20000, 4000, true, false, QM_CODEC_NONE};
    g_autoptr(fake_store) f = fake_store_new(40 * MIB, MIB);
    g_autofree uint8_t *data = stream_new(LENGTH, STREAM_RANDOM);
    pid_t pid = start_writer(f, &slow, data);

    check_restore(f, true, data, LENGTH);
    check_writer(pid);
    /* Without restraint: eighty times. */
    assert_true(f->bytes_read < 10 * LENGTH);
}

typedef struct {
    fake_store *store;
    const qm_image_reader *reader;
    uint64_t position;
} other_use;

/* What else is done on the session takes the answers to reads under way, while
 * the reader waits for one. */
static bool
take_answers(void *opaque, GError **error)
{
    other_use *use = opaque;
    qm_store *s = &use->store->base;
    struct pollfd p = {.fd = s->ops->get_fd(s), .events = POLLIN};
    uint64_t before = use->position;

    use->position = qm__image_read_bytes(use->reader);
    while (before == use->position && poll(&p, 1, 0) > 0)
        if (!s->ops->service(s, POLLIN, error))
            return false;
    return true;
}

/* Then nothing is left to wait for: each wait in vain is 50 ms. */
static void
answers_taken_elsewhere_are_not_awaited(void **state)
{
    const size_t length = 36 * MIB;
    g_autoptr(fake_store) f = fake_store_new(40 * MIB, 64 * 1024);
    g_autofree uint8_t *data = stream_new(length, STREAM_RANDOM);
    g_autoptr(qm_image_reader) r =
        qm__image_reader_new(&f->base, image_vm, IMAGE_ID);
    int fd = memfd_create("restored", MFD_CLOEXEC);
    other_use use = {f, r, 0};

    image_save(f, data, length);
    f->delayed = true;
    CHECK_OK(qm__image_read_to(r, fd, false, qm__deadline_in(QM_S),
                               take_answers, &use, &err));
    check_contents(fd, data, length);
    assert_int_equal(close(fd), 0);
}

static void
count(void *opaque)
{
    ++*(int *) opaque;
}

/* Reads what is there of an image, and how it ends. */
static void
read_up_to(fake_store *f, const uint8_t *data, size_t length, int code,
           int expected)
{
    g_autoptr(qm_image_reader) r =
        qm__image_reader_new(&f->base, image_vm, IMAGE_ID);
    int fd = memfd_create("restored", MFD_CLOEXEC), ends = 0;

    qm__image_reader_on_end(r, count, &ends);
    CHECK_FAILS(qm__image_read_to(r, fd, true, SHORTLY, NULL, NULL, &err),
                code);
    assert_int_equal(ends, expected);
    check_contents(fd, data, length);
    assert_int_equal(close(fd), 0);
}

static void
write_part(qm_image_writer *w, const uint8_t *data, size_t length)
{
    int fd = stream_fd(data, length);

    CHECK_OK(qm__image_write_from(w, fd, NULL, 0, SOON, NULL, NULL, &err));
    assert_int_equal(close(fd), 0);
}

/* The stream's end is told before the last chunk is there; after it there must
 * be nothing but that. */
static void
end_is_told_before_the_last_chunk(void **state)
{
    g_autoptr(fake_store) f = fake_store_new(20 * MIB, MIB);
    g_autofree uint8_t *data = stream_new(LENGTH, STREAM_RANDOM);
    g_autoptr(qm_image_writer) w =
        qm__image_writer_new(&f->base, image_vm, IMAGE_ID, QM_CODEC_NONE);

    write_part(w, data, 2 * QM_CHUNK_PAYLOAD);
    read_up_to(f, data, 2 * QM_CHUNK_PAYLOAD, QM_ERROR_TIMEOUT, 0);
    write_part(w, data + 2 * QM_CHUNK_PAYLOAD, 777);
    read_up_to(f, data, 2 * QM_CHUNK_PAYLOAD + 777, QM_ERROR_TIMEOUT, 1);
    write_part(w, data, 777);
    read_up_to(f, data, 2 * QM_CHUNK_PAYLOAD + 777, QM_ERROR_CORRUPT, 1);
}

typedef struct {
    const qm_image_writer *w;
    bool storage;  /* it waits for the storage */
    int64_t until; /* it is held back; 0: not begun */
} hold;

static uint64_t
held_back(void *opaque, bool *ret_storage)
{
    hold *h = opaque;

    if (qm__image_written(h->w) < 2 * MIB)
        return UINT64_MAX;
    if (h->until == 0)
        h->until = qm__deadline_in(300 * QM_MS);
    *ret_storage = h->storage;
    return qm__passed(h->until) ? UINT64_MAX : 0;
}

/* What is decided after a wait of 300 ms. */
static char *
decision_after(bool storage)
{
    const size_t length = 36 * MIB;
    g_autoptr(fake_store) f = fake_store_new(40 * MIB, MIB);
    g_autofree uint8_t *data = stream_new(length, STREAM_SOFT);
    g_autoptr(qm_image_writer) w =
        qm__image_writer_new(&f->base, image_vm, IMAGE_ID, QM_CODEC_AUTO);
    hold h = {w, storage, 0};

    qm__image_writer_bound(w, held_back, -1, &h);
    write_part(w, data, length);
    assert_true(h.until != 0 && qm__passed(h.until));
    assert_true(storage ? qm__image_idle(w) == 0
                        : qm__image_idle(w) >= 250 * QM_MS);
    return qm__image_writer_decision(w);
}

/* A target that is not ready says nothing of the storage; one that is slow to
 * read does. */
static void
waiting_counts_where_it_is_for_the_storage(void **state)
{
    g_autofree char *slow = decision_after(true);
    g_autofree char *not_ready = decision_after(false);

    assert_non_null(slow);
    assert_non_null(not_ready);
    assert_non_null(strstr(slow, "lz4: the storage takes"));
    assert_non_null(strstr(not_ready, "is not what it waits for"));
}

static void
on_alarm(int number)
{
}

/* Signals shorten naps and nothing else. */
static void
signals_do_no_harm(void **state)
{
    static const writer_habits slow = {50000, 5000, true, false, QM_CODEC_NONE};
    const struct sigaction handler = {.sa_handler = on_alarm};
    const struct itimerval often = {{0, 20000}, {0, 20000}}, never = {{0}, {0}};
    g_autoptr(fake_store) f = fake_store_new(20 * MIB, MIB);
    g_autofree uint8_t *data = stream_new(LENGTH, STREAM_MIXED);
    pid_t pid = start_writer(f, &slow, data);

    f->delayed = true;
    assert_int_equal(sigaction(SIGALRM, &handler, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    check_restore(f, true, data, LENGTH);
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    check_writer(pid);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slow_writer_is_followed),
        cmocka_unit_test(fast_writer_is_followed),
        cmocka_unit_test(remains_are_not_followed),
        cmocka_unit_test(waiting_ends_when_asked_to),
        cmocka_unit_test(waiting_ends_at_the_deadline),
        cmocka_unit_test(writer_that_died_is_not_believed),
        cmocka_unit_test(waiting_costs_little),
        cmocka_unit_test(following_reads_little_twice),
        cmocka_unit_test(answers_taken_elsewhere_are_not_awaited),
        cmocka_unit_test(end_is_told_before_the_last_chunk),
        cmocka_unit_test(waiting_counts_where_it_is_for_the_storage),
        cmocka_unit_test(signals_do_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
