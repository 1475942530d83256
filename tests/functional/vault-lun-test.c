/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Vaults on LUNs of a real target, seen by two nodes at once (each an
 * initiator with a directory for locks of its own).  QM_TEST_URLS: one LUN a
 * round, of different block sizes.  QM_TEST_TARGET: the target's process id;
 * it is killed at the end.
 */
#include "config.h"
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <stdlib.h>
#include <quickmig/vault.h>
#include "reservation.h"
#include "timeouts.h"
#include "../unit/unit.h"
#include "vault-backend.h"

#define SOON qm__deadline_in(10 * QM_S)
#define MIB  (1024 * 1024)

static const uint8_t vm_uuid[QM_UUID_LEN] = {0xbb, 1, 2};
static const char *url; /* of this round */

static bool
yes(const qm_record *record, void *opaque, GError **error)
{
    return true;
}

static qm_vault_params
node(unsigned n)
{
    static char initiators[4][64];
    g_autofree char *run = g_strdup_printf("%s/node%u", g_get_tmp_dir(), n);

    g_snprintf(initiators[n], sizeof initiators[n],
               "iqn.2026-01.org.example:node%u", n);
    g_setenv("QM_RUN_DIR", run, TRUE);
    return (qm_vault_params){
        .url = url, .initiator = initiators[n], .node_id = (uint16_t) n};
}

static qm_vault *
open_as(unsigned n)
{
    qm_vault_params params = node(n);
    qm_vault *v = NULL;

    CHECK_OK(qm_vault_open(&params, SOON, &v, &err));
    return v;
}

static void
acquire_as(unsigned n, qm_vault *v, qm_record *ret_record)
{
    (void) node(n);
    CHECK_OK(qm_vault_acquire(v, yes, NULL, SOON, ret_record, &err));
}

static qm_vault *
acquired_as(unsigned n, qm_record *ret_record)
{
    qm_vault *v = open_as(n);

    acquire_as(n, v, ret_record);
    return v;
}

static uint64_t
read_generation(qm_vault *v)
{
    qm_record r;

    CHECK_OK(qm_vault_read_record(v, &r, &err));
    return r.generation;
}

static int
format(void **state)
{
    qm_vault_params params = node(1);

    CHECK_OK(qm_vault_format(&params, vm_uuid, "vm1", "<domain/>", true, SOON,
                             &err));
    return 0;
}

/* --- contents ------------------------------------------------------------ */

static void
contents_come_back(void **state)
{
    qm_record r;
    g_autoptr(qm_vault) v = acquired_as(1, &r);
    g_autofree char *text = g_strnfill(400001, 'x');
    g_autofree char *xml = NULL;

    assert_true(qm_vault_get_info(v)->image_capacity ==
                qm_vault_get_info(v)->size - 4 * MIB);
    for (unsigned i = 0; i < 4; i++) {
        g_autofree char *copy = NULL;

        text[i] = 'y';
        CHECK_OK(qm_vault_write_xml(v, text, &err));
        CHECK_OK(qm_vault_read_xml(v, &copy, &err));
        assert_string_equal(copy, text);
    }
    r.generation = 77;
    CHECK_OK(qm_vault_write_record(v, &r, &err));
    assert_int_equal(qm__key_node(r.key), 1);
    {
        g_autoptr(qm_vault) other = open_as(2);

        assert_int_equal(read_generation(other), 77);
        CHECK_OK(qm_vault_read_xml(other, &xml, &err));
        assert_string_equal(xml, text);
    }
}

/* Entries smaller than a block leave their neighbours as they are. */
static void
history_keeps_neighbours(void **state)
{
    qm_record r;
    g_autoptr(qm_vault) v = acquired_as(1, &r);
    GArray *entries;

    for (unsigned i = 1; i <= 40; i++) {
        qm_history h = {.sequence = 1000 + i, .generation = i};

        g_snprintf(h.cause, sizeof h.cause, "entry %u", i);
        CHECK_OK(qm_vault_append_history(v, &h, &err));
    }
    CHECK_OK(qm_vault_read_history(v, &entries, &err));
    assert_true(entries->len >= 40);
    for (unsigned i = 0; i < 40; i++) {
        const qm_history *h =
            &g_array_index(entries, qm_history, entries->len - 40 + i);

        assert_int_equal(h->sequence, 1001 + i);
        assert_int_equal(h->generation, i + 1);
    }
    g_array_unref(entries);
}

/* --- rights -------------------------------------------------------------- */

static void
the_newer_holder_writes(void **state)
{
    qm_record ra, rb;
    g_autoptr(qm_vault) a = acquired_as(1, &ra);
    g_autoptr(qm_vault) b = NULL;
    uint64_t holder;

    ra.generation = 1;
    CHECK_OK(qm_vault_write_record(a, &ra, &err));
    b = acquired_as(2, &rb);
    assert_int_equal(rb.generation, 1);
    assert_true(qm__vault_acquired(b));
    rb.generation = 2;
    CHECK_OK(qm_vault_write_record(b, &rb, &err));
    ra.generation = 99;
    CHECK_FAILS(qm_vault_write_record(a, &ra, &err), QM_ERROR_CONFLICT);
    CHECK_FAILS(qm_vault_write_xml(a, "<x/>", &err), QM_ERROR_CONFLICT);
    assert_false(qm__vault_acquired(a));
    CHECK_OK(qm_vault_read_holder(b, &holder, &err));
    assert_int_equal(qm__key_node(holder), 2);
    assert_int_equal(read_generation(b), 2);
    acquire_as(1, a, &ra);
    assert_int_equal(ra.generation, 2);
    ra.generation = 3;
    CHECK_OK(qm_vault_write_record(a, &ra, &err));
    CHECK_FAILS(qm_vault_write_record(b, &rb, &err), QM_ERROR_CONFLICT);
}

typedef struct {
    unsigned asked;
    unsigned refuse_at;
} judge;

static bool
ask_judge(const qm_record *record, void *opaque, GError **error)
{
    judge *j = opaque;

    if (++j->asked != j->refuse_at)
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_REFUSED, "no");
    return false;
}

static void
without_the_right_nothing_is_taken(void **state)
{
    qm_record ra, rb;
    g_autoptr(qm_vault) a = acquired_as(1, &ra);
    g_autoptr(qm_vault) b = open_as(2);
    judge first = {.refuse_at = 1}, second = {.refuse_at = 2};

    (void) node(2);
    CHECK_FAILS(qm_vault_acquire(b, ask_judge, &first, SOON, &rb, &err),
                QM_ERROR_REFUSED);
    assert_int_equal(first.asked, 1);
    CHECK_FAILS(qm_vault_write_record(b, &ra, &err), QM_ERROR_CONFLICT);
    ra.generation = 11;
    CHECK_OK(qm_vault_write_record(a, &ra, &err));
    /* Refused only after it had become the holder: it may not write, and the
     * one with the right takes it back. */
    CHECK_FAILS(qm_vault_acquire(b, ask_judge, &second, SOON, &rb, &err),
                QM_ERROR_REFUSED);
    assert_int_equal(second.asked, 2);
    assert_false(qm__vault_acquired(b));
    CHECK_FAILS(qm_vault_write_record(b, &ra, &err), QM_ERROR_CONFLICT);
    CHECK_FAILS(qm_vault_write_record(a, &ra, &err), QM_ERROR_CONFLICT);
    acquire_as(1, a, &ra);
    assert_int_equal(ra.generation, 11);
    CHECK_OK(qm_vault_write_record(a, &ra, &err));
}

static void
acquired_stays_acquired(void **state)
{
    qm_record r;
    g_autoptr(qm_vault) v = acquired_as(1, &r);
    uint64_t before, after;

    CHECK_OK(qm_vault_read_holder(v, &before, &err));
    acquire_as(1, v, &r);
    CHECK_OK(qm_vault_read_holder(v, &after, &err));
    assert_true(before == after);
    CHECK_OK(qm_vault_write_record(v, &r, &err));
}

static qm_lun *
raw_lun(unsigned n)
{
    qm_vault_params p = node(n);
    qm_url *parsed;
    qm_lun_params params = {.initiator = p.initiator, .nexus = QM_NEXUS_READER};
    qm_lun *lun = NULL;

    CHECK_OK(qm_url_parse(url, &parsed, &err));
    params.url = parsed;
    CHECK_OK(qm__lun_open(&params, SOON, &lun, &err));
    qm_url_free(parsed);
    return lun;
}

/* 29/00 on the vault means: verify the holder again. */
static void
a_reset_is_no_takeover(void **state)
{
    qm_record r;
    g_autoptr(qm_vault) reader = open_as(2);
    g_autoptr(qm_vault) v = acquired_as(1, &r);
    g_autoptr(qm_lun) lun = raw_lun(3);

    for (unsigned i = 0; i < 3; i++) {
        CHECK_OK(qm__lun_reset(lun, SOON, &err));
        r.generation = 20 + i;
        CHECK_OK(qm_vault_write_record(v, &r, &err));
        CHECK_OK(qm__lun_reset(lun, SOON, &err));
        assert_int_equal(read_generation(v), 20 + i);
        assert_int_equal(read_generation(reader), 20 + i);
        assert_true(qm__vault_acquired(v));
    }
}

/* --- image --------------------------------------------------------------- */

typedef struct {
    unsigned pending, failed;
    GError *error; /* the first */
} tally;

static void
on_done(void *opaque, const GError *error)
{
    tally *t = opaque;

    t->pending--;
    if (error != NULL && t->failed++ == 0)
        t->error = g_error_copy(error);
}

/* Until all is done; false: the session was lost. */
static bool
settle(qm_store *s, tally *t)
{
    int64_t deadline = SOON;
    bool alive = true;

    while (t->pending > 0 && alive) {
        struct pollfd p = {.fd = s->ops->get_fd(s),
                           .events = s->ops->events(s)};

        assert_false(qm__passed(deadline));
        (void) poll(&p, 1, 100);
        alive = s->ops->service(s, p.revents, NULL);
    }
    return alive;
}

static void
fill(uint8_t *buf, unsigned seed)
{
    for (unsigned i = 0; i < MIB; i += 4) {
        uint32_t v = (seed << 24) + i;

        memcpy(buf + i, &v, sizeof v);
    }
}

static void
image_streams(void **state)
{
    qm_record r;
    g_autoptr(qm_vault) a = acquired_as(1, &r);
    g_autoptr(qm_vault) b = open_as(2);
    g_autofree uint8_t *buf = g_malloc((size_t) 6 * MIB);
    g_autofree uint8_t *back = g_malloc(MIB);
    tally t = {0};
    qm_store *w, *s;

    CHECK_OK(qm__vault_image(a, 1, true, &w, &err));
    CHECK_OK(qm__vault_image(b, 1, false, &s, &err));
    assert_int_equal(w->max_transfer, MIB);
    for (unsigned i = 0; i < 6; i++) {
        uint8_t *p = buf + (size_t) i * MIB;
        struct iovec iov[2] = {{p, 4096}, {p + 4096, MIB - 4096}};

        fill(p, i);
        t.pending++;
        CHECK_OK(
            w->ops->write(w, (uint64_t) i * MIB, iov, 2, on_done, &t, &err));
    }
    assert_true(settle(w, &t));
    assert_int_equal(t.failed, 0);
    CHECK_OK(w->ops->flush(w, SOON, &err));
    for (unsigned i = 0; i < 6; i++) {
        t.pending++;
        CHECK_OK(
            s->ops->read(s, (uint64_t) i * MIB, back, MIB, on_done, &t, &err));
        assert_true(settle(s, &t));
        assert_memory_equal(back, buf + (size_t) i * MIB, MIB);
    }
    assert_int_equal(t.failed, 0);
    /* It does not reach into the areas before it. */
    assert_int_equal(read_generation(b), r.generation);
}

static void
image_has_an_end(void **state)
{
    qm_record r;
    g_autoptr(qm_vault) v = acquired_as(1, &r);
    g_autofree uint8_t *buf = g_malloc0(MIB);
    struct iovec iov = {buf, MIB};
    tally t = {.pending = 1};
    qm_store *s;

    CHECK_OK(qm__vault_image(v, 1, true, &s, &err));
    CHECK_OK(s->ops->write(s, s->capacity - MIB, &iov, 1, on_done, &t, &err));
    assert_true(settle(s, &t));
    assert_int_equal(t.failed, 0);
    CHECK_FAILS(
        s->ops->write(s, s->capacity - MIB + 4096, &iov, 1, on_done, &t, &err),
        QM_ERROR_NO_SPACE);
}

static void
image_of_a_fenced_writer_fails(void **state)
{
    qm_record r;
    g_autoptr(qm_vault) a = acquired_as(1, &r);
    g_autoptr(qm_vault) b = NULL;
    g_autoptr(qm_vault) c = NULL;
    g_autofree uint8_t *buf = g_malloc0(MIB);
    struct iovec iov = {buf, MIB};
    tally t = {.pending = 1};
    qm_store *s;

    CHECK_OK(qm__vault_image(a, 1, true, &s, &err));
    b = acquired_as(2, &r);
    CHECK_OK(s->ops->write(s, 0, &iov, 1, on_done, &t, &err));
    assert_true(settle(s, &t));
    assert_int_equal(t.failed, 1);
    assert_true(g_error_matches(t.error, QM_ERROR, QM_ERROR_CONFLICT));
    g_error_free(t.error);
    assert_false(qm__vault_acquired(a));
    c = open_as(3);
    CHECK_FAILS(qm__vault_image(c, 1, true, &s, &err), QM_ERROR_CONFLICT);
}

/* Run last. */
static void
a_dead_target_is_a_lost_session(void **state)
{
    qm_record r;
    g_autoptr(qm_vault) v = acquired_as(1, &r);
    g_autofree uint8_t *buf = g_malloc0(MIB);
    struct iovec iov = {buf, MIB};
    const char *pid = g_getenv("QM_TEST_TARGET");
    tally t = {0};
    qm_store *s;

    CHECK_OK(qm__vault_image(v, 1, true, &s, &err));
    for (; t.pending < 4; t.pending++)
        CHECK_OK(s->ops->write(s, 0, &iov, 1, on_done, &t, &err));
    assert_int_equal(kill(atoi(pid), SIGKILL), 0);
    while (settle(s, &t)) /* some may have got through */
        for (; t.pending < 4; t.pending++)
            if (!s->ops->write(s, 0, &iov, 1, on_done, &t, NULL))
                break;
    assert_int_equal(t.pending, 0);
    assert_true(t.failed > 0);
    assert_true(g_error_matches(t.error, QM_ERROR, QM_ERROR_LOST));
    g_error_free(t.error);
    assert_false(qm__vault_acquired(v));
    CHECK_FAILS(qm_vault_write_record(v, &r, &err), QM_ERROR_LOST);
    CHECK_FAILS(qm_vault_read_record(v, &r, &err), QM_ERROR_LOST);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(contents_come_back, format),
        cmocka_unit_test_setup(history_keeps_neighbours, format),
        cmocka_unit_test_setup(the_newer_holder_writes, format),
        cmocka_unit_test_setup(without_the_right_nothing_is_taken, format),
        cmocka_unit_test_setup(acquired_stays_acquired, format),
        cmocka_unit_test_setup(a_reset_is_no_takeover, format),
        cmocka_unit_test_setup(image_streams, format),
        cmocka_unit_test_setup(image_has_an_end, format),
        cmocka_unit_test_setup(image_of_a_fenced_writer_fails, format),
    };
    const struct CMUnitTest last[] = {
        cmocka_unit_test_setup(a_dead_target_is_a_lost_session, format),
    };
    const char *all = g_getenv("QM_TEST_URLS");
    g_auto(GStrv) urls = g_strsplit(all != NULL ? all : "", " ", -1);
    int failed = all == NULL;

    for (char **p = urls; *p != NULL; p++) {
        print_message("on %s\n", *p);
        url = *p;
        failed += cmocka_run_group_tests(tests, NULL, NULL);
    }
    return failed + cmocka_run_group_tests(last, NULL, NULL);
}
