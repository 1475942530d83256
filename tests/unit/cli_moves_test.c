/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The moves under way: what both sides tell becomes one line, in whatever
 * order it comes.
 */
#include "config.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "src/cli/moves.h"
#include "src/cli/output.h"
#include "timeouts.h"

bool __wrap_qm__peer_next(qm_peer *peer, qm_message *ret_message);
int __wrap_qm__peer_fd(const qm_peer *peer);
bool __wrap_qm__peer_lost(qm_peer *peer);

static GQueue inbox = G_QUEUE_INIT; /* qm_message *, not owned */
static bool lost;

bool
__wrap_qm__peer_next(qm_peer *peer, qm_message *ret_message)
{
    const qm_message *m = g_queue_pop_head(&inbox);

    if (m != NULL)
        *ret_message = *m;
    return m != NULL;
}

int
__wrap_qm__peer_fd(const qm_peer *peer)
{
    return -1;
}

bool
__wrap_qm__peer_lost(qm_peer *peer)
{
    return lost;
}

static qm_message
progress(uint8_t vm, qm_side side, uint64_t image_id, qm_phase phase)
{
    qm_message m = {.kind = QM_MESSAGE_PROGRESS};

    memset(m.job.uuid, vm, sizeof m.job.uuid);
    g_snprintf(m.job.name, sizeof m.job.name, "vm%u", vm);
    g_snprintf(m.job.resource, sizeof m.job.resource, "rsc%u", vm);
    g_strlcpy(m.job.source_name, "n1", sizeof m.job.source_name);
    g_strlcpy(m.job.target_name, "n2", sizeof m.job.target_name);
    m.job.side = side;
    m.job.image_id = image_id;
    m.job.phase = phase;
    m.job.live = true;
    return m;
}

/* Hears these, and no more. */
static GArray *
heard(qm_message *messages, size_t n)
{
    GArray *moves = cli_moves_new();

    lost = false;
    for (size_t i = 0; i < n; i++)
        g_queue_push_tail(&inbox, &messages[i]);
    assert_true(cli_moves_hear(moves, NULL, 0, NULL, NULL, NULL));
    return moves;
}

static void
both_sides_are_one_move(void **state)
{
    qm_message m[] = {progress(1, QM_SIDE_TARGET, 5, QM_PHASE_READY),
                      progress(2, QM_SIDE_SOURCE, 3, QM_PHASE_PAUSED),
                      progress(1, QM_SIDE_SOURCE, 5, QM_PHASE_COPY),
                      {.kind = QM_MESSAGE_QUERY}};
    g_autoptr(GArray) moves = heard(m, G_N_ELEMENTS(m));
    const cli_move *one = cli_moves_find(moves, "vm1");

    assert_int_equal(moves->len, 2);
    assert_non_null(one);
    assert_true(one->has_source && one->has_target);
    assert_ptr_equal(cli_moves_find(moves, "rsc1"), one);
    assert_null(cli_moves_find(moves, "vm"));
    assert_true(cli_move_lead(one)->phase == QM_PHASE_COPY);
    assert_false(cli_move_ended(one));
}

static void
a_newer_image_is_another_move(void **state)
{
    qm_message m[] = {progress(1, QM_SIDE_SOURCE, 5, QM_PHASE_FAILED),
                      progress(1, QM_SIDE_TARGET, 5, QM_PHASE_FAILED),
                      progress(1, QM_SIDE_SOURCE, 6, QM_PHASE_COPY),
                      progress(1, QM_SIDE_TARGET, 5, QM_PHASE_FAILED)};
    g_autoptr(GArray) moves = heard(m, G_N_ELEMENTS(m));
    const cli_move *one = cli_moves_find(moves, "vm1");

    assert_int_equal(moves->len, 1);
    assert_int_equal(one->source.image_id, 6);
    assert_false(one->has_target);
    assert_false(cli_move_ended(one));
}

static void
after_the_commit_the_target_leads(void **state)
{
    qm_message m[] = {progress(1, QM_SIDE_SOURCE, 5, QM_PHASE_COMMITTED),
                      progress(1, QM_SIDE_TARGET, 5, QM_PHASE_TAKEOVER),
                      progress(2, QM_SIDE_SOURCE, 5, QM_PHASE_CANCELLED),
                      progress(2, QM_SIDE_TARGET, 5, QM_PHASE_READY)};
    g_autoptr(GArray) moves = heard(m, G_N_ELEMENTS(m));

    assert_true(cli_move_lead(cli_moves_find(moves, "vm1"))->phase ==
                QM_PHASE_TAKEOVER);
    assert_true(cli_move_ended(cli_moves_find(moves, "vm2")));
}

static void
without_corosync_it_is_an_error(void **state)
{
    g_autoptr(GArray) moves = cli_moves_new();
    g_autoptr(GError) error = NULL;

    lost = true;
    assert_false(cli_moves_hear(moves, NULL, qm__deadline_in(5 * QM_S), NULL,
                                NULL, &error));
    assert_true(g_error_matches(error, QM_ERROR, QM_ERROR_IO));
}

static void
lines_and_bars(void **state)
{
    cli_move m = {.has_source = true};
    g_autofree char *line = NULL, *bar = NULL, *done = NULL, *full = NULL;

    m.source = progress(1, QM_SIDE_SOURCE, 5, QM_PHASE_COPY).job;
    m.source.bytes = 50 << 20;
    m.source.total = 100 << 20;
    m.source.rate = 120 * 1000 * 1000;
    m.source.dirty_rate = 7 * 1000 * 1000;
    line = cli_move_line(&m);
    assert_string_equal(line, "vm1 n1 -> n2 live, copy: 50 MiB, 120 MB/s, "
                              "guest writes 7 MB/s");
    bar = cli_move_bar(&m);
    assert_string_equal(bar, "[##########..........]  50 %");
    /* A live save may send more than the memory's size. */
    m.source.bytes = 300 << 20;
    g_free(bar);
    bar = cli_move_bar(&m);
    assert_string_equal(bar, "[###################.]  99 %");
    m.source.phase = QM_PHASE_DONE;
    m.source.pause_ms = 23;
    done = cli_move_line(&m);
    assert_string_equal(done,
                        "vm1 n1 -> n2 live, done: 300 MiB, paused for 23 ms");
    full = cli_move_bar(&m);
    assert_string_equal(full, "[####################] 100 %");
}

static void
nothing_known_is_no_progress(void **state)
{
    cli_move m = {.has_target = true};
    g_autofree char *bar = NULL;

    m.target = progress(1, QM_SIDE_TARGET, 5, QM_PHASE_READY).job;
    m.target.bytes = 5;
    bar = cli_move_bar(&m);
    assert_string_equal(bar, "[....................]   0 %");
}

static void
json_has_its_keys(void **state)
{
    static const char *const keys[] = {
        "vm",   "uuid",  "resource", "from",     "to",
        "mode", "phase", "percent",  "image_id", "source"};
    cli_move m = {.has_source = true};
    g_autoptr(JsonBuilder) b = json_builder_new();
    g_autoptr(JsonNode) root = NULL;
    JsonObject *object, *side;

    m.source = progress(1, QM_SIDE_SOURCE, 5, QM_PHASE_WAIT).job;
    m.source.expected_pause_ms = 12;
    cli_move_json(b, &m);
    root = json_builder_get_root(b);
    object = json_node_get_object(root);
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++)
        assert_true(json_object_has_member(object, keys[i]));
    assert_false(json_object_has_member(object, "target"));
    assert_string_equal(json_object_get_string_member(object, "phase"), "wait");
    assert_string_equal(json_object_get_string_member(object, "mode"), "live");
    side = json_object_get_object_member(object, "source");
    assert_int_equal(json_object_get_int_member(side, "expected_pause_ms"), 12);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_sides_are_one_move),
        cmocka_unit_test(a_newer_image_is_another_move),
        cmocka_unit_test(after_the_commit_the_target_leads),
        cmocka_unit_test(without_corosync_it_is_an_error),
        cmocka_unit_test(lines_and_bars),
        cmocka_unit_test(nothing_known_is_no_progress),
        cmocka_unit_test(json_has_its_keys),
    };

    return cmocka_run_group_tests_name("cli_moves", tests, NULL, NULL);
}
