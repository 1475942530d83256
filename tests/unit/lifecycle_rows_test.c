/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The rules that the documents promise, one by one: given this, then that.
 */
#include "config.h"
#include "unit.h"
#include "lifecycle_combos.h"

#define NOBODY QM_OWNER_NOBODY
#define SELF   QM_OWNER_SELF
#define OLD    QM_OWNER_OLD_BOOT
#define GONE   QM_OWNER_GONE
#define ALIVE  QM_OWNER_ALIVE
#define NONE   QM_DOMAIN_NONE
#define RUNS   QM_DOMAIN_RUNNING
#define PAUSED QM_DOMAIN_PAUSED
#define WHOLE  QM_IMAGE_COMPLETE
#define PART   QM_IMAGE_INCOMPLETE
#define MAY    QM_RESTORE_ALLOWED
#define BOOT   QM_RESTORE_BOOT
#define BLOCK  QM_RESTORE_BLOCK

typedef struct {
    qm_state from;
    qm_event event;
    unsigned owner, domain, image, restore; /* masks: for each of them */
    qm_state to;
    int generation; /* raised by */
    int image_id;   /* raised by */
    qm_action action;
} rule;

#define RULE(from, event, owner, domain, image, restore, to, gen, id, action)  \
    {                                                                          \
        QM_STATE_##from, QM_EVENT_##event, owner, domain, image, restore,      \
            QM_STATE_##to, gen, id, QM_ACTION_##action                         \
    }
#define D_ANY QM_DOMAIN_ANY
#define I_ANY QM_IMAGE_ANY
#define R_ANY QM_RESTORE_ANY
#define HERE  (RUNS | PAUSED)
#define MINE  (SELF | OLD | GONE)

/* clang-format off */
static const rule rules[] = {
    /* OFF, start */
    RULE(OFF, START, NOBODY, D_ANY, I_ANY, R_ANY, RUNNING, 1, 0, COLD_BOOT),
    RULE(OFF, STOP, NOBODY, D_ANY, I_ANY, R_ANY, OFF, 0, 0, DESTROY),
    /* RUNNING(A), save or move begins */
    RULE(RUNNING, MOVE, SELF, HERE, I_ANY, R_ANY, SAVING, 0, 1, SAVE),
    RULE(SAVING, MOVE, SELF, HERE, I_ANY, R_ANY, SAVING, 0, 1, SAVE),
    RULE(RUNNING, MOVE, SELF, NONE, I_ANY, R_ANY, RUNNING, 0, 0, REFUSE),
    RULE(RUNNING, MOVE, OLD, D_ANY, I_ANY, R_ANY, RUNNING, 0, 0, REFUSE),
    /* migrate_to is run twice when the DC dies */
    RULE(SAVED, MOVE, NOBODY, D_ANY, I_ANY, R_ANY, SAVED, 0, 0, DESTROY),
    RULE(RUNNING, MOVE, ALIVE | GONE, D_ANY, I_ANY, R_ANY, RUNNING, 0, 0,
         DESTROY),
    RULE(RESTORING, MOVE, ALIVE, D_ANY, I_ANY, R_ANY, RESTORING, 0, 0,
         DESTROY),
    RULE(RESTORING, MOVE, SELF, D_ANY, I_ANY, R_ANY, RESTORING, 0, 0, REFUSE),
    RULE(OFF, MOVE, NOBODY, D_ANY, I_ANY, R_ANY, OFF, 0, 0, REFUSE),
    /* the commit */
    RULE(SAVING, COMMIT, SELF, NONE | PAUSED, I_ANY, R_ANY, SAVED, 0, 0,
         DESTROY),
    RULE(SAVED, COMMIT, NOBODY, D_ANY, I_ANY, R_ANY, SAVED, 0, 0, DESTROY),
    RULE(SAVING, COMMIT, SELF, RUNS, I_ANY, R_ANY, SAVING, 0, 0, REFUSE),
    RULE(SAVING, COMMIT, OLD | GONE | ALIVE, D_ANY, I_ANY, R_ANY, SAVING, 0, 0,
         REFUSE),
    RULE(RUNNING, COMMIT, SELF, D_ANY, I_ANY, R_ANY, RUNNING, 0, 0, REFUSE),
    RULE(RESTORING, COMMIT, ALIVE, D_ANY, I_ANY, R_ANY, RESTORING, 0, 0,
         REFUSE),
    /* failed before the commit: same generation */
    RULE(SAVING, ROLLBACK, SELF, HERE, I_ANY, R_ANY, RUNNING, 0, 0, RESUME),
    RULE(RUNNING, ROLLBACK, SELF, HERE, I_ANY, R_ANY, RUNNING, 0, 0, RESUME),
    RULE(SAVING, ROLLBACK, ALIVE | GONE | OLD, D_ANY, I_ANY, R_ANY, SAVING, 0,
         0, REFUSE),
    RULE(SAVED, ROLLBACK, NOBODY, HERE, I_ANY, R_ANY, SAVED, 0, 0, REFUSE),
    RULE(RESTORING, ROLLBACK, ALIVE, D_ANY, I_ANY, R_ANY, RESTORING, 0, 0,
         REFUSE),
    RULE(RUNNING, ROLLBACK, ALIVE, D_ANY, I_ANY, R_ANY, RUNNING, 0, 0, REFUSE),
    /* SAVED, loaded on X */
    RULE(SAVED, START, NOBODY, D_ANY, I_ANY, MAY, SAVED, 0, 0, RESTORE),
    RULE(SAVED, LOADED, NOBODY, PAUSED, WHOLE, R_ANY, RESTORING, 1, 0,
         TAKE_DISKS),
    /* of an image that was replaced meanwhile */
    RULE(SAVED, LOADED, NOBODY, PAUSED, PART, R_ANY, SAVED, 0, 0, REFUSE),
    RULE(RESTORING, LOADED, MINE, PAUSED, PART, R_ANY, RESTORING, 0, 0, REFUSE),
    RULE(SAVED, RESTORE_FAILED, NOBODY, D_ANY, PART, R_ANY, SAVED, 0, 0,
         REFUSE),
    RULE(RESTORING, RESTORE_FAILED, MINE, D_ANY, PART, R_ANY, RESTORING, 0, 0,
         REFUSE),
    RULE(SAVED, LOADED, NOBODY, NONE | RUNS, I_ANY, R_ANY, SAVED, 0, 0,
         REFUSE),
    RULE(RESTORING, LOADED, MINE, PAUSED, WHOLE, R_ANY, RESTORING, 1, 0,
         TAKE_DISKS),
    RULE(RESTORING, LOADED, ALIVE, D_ANY, I_ANY, R_ANY, RESTORING, 0, 0,
         REFUSE),
    RULE(SAVING, LOADED, SELF | OLD | GONE | ALIVE, D_ANY, I_ANY, R_ANY,
         SAVING, 0, 0, REFUSE),
    RULE(RUNNING, LOADED, SELF | OLD | GONE | ALIVE, D_ANY, I_ANY, R_ANY,
         RUNNING, 0, 0, REFUSE),
    /* resumed, gates still holding writes */
    RULE(RESTORING, RESUMED, SELF, HERE, I_ANY, R_ANY, RUNNING, 0, 0,
         OPEN_GATES),
    RULE(RUNNING, RESUMED, SELF, RUNS, I_ANY, R_ANY, RUNNING, 0, 0,
         OPEN_GATES),
    RULE(RESTORING, RESUMED, OLD | GONE | ALIVE, D_ANY, I_ANY, R_ANY,
         RESTORING, 0, 0, REFUSE),
    RULE(SAVED, RESUMED, NOBODY, D_ANY, I_ANY, R_ANY, SAVED, 0, 0, REFUSE),
    /* RESTORING(X), X gone, or stop on X: the domain is destroyed first */
    RULE(RESTORING, START, MINE, D_ANY, I_ANY, MAY, RESTORING, 0, 0, RESTORE),
    RULE(RESTORING, STOP, SELF | OLD, D_ANY, I_ANY, R_ANY, SAVED, 0, 0,
         DESTROY_FIRST),
    RULE(RESTORING, STOP, GONE | ALIVE, D_ANY, I_ANY, R_ANY, RESTORING, 0, 0,
         DESTROY),
    RULE(RESTORING, PROBE, SELF | OLD, NONE, I_ANY, R_ANY, SAVED, 0, 0, NONE),
    /* restore failed */
    RULE(SAVED, RESTORE_FAILED, NOBODY, D_ANY, WHOLE, R_ANY, SAVED, 0, 0,
         AGAIN),
    RULE(RESTORING, RESTORE_FAILED, MINE, D_ANY, WHOLE, R_ANY, SAVED, 0, 0,
         AGAIN),
    RULE(RESTORING, RESTORE_FAILED, ALIVE, D_ANY, I_ANY, R_ANY, RESTORING, 0,
         0, REFUSE),
    RULE(SAVED, START, NOBODY, D_ANY, I_ANY, BOOT, RUNNING, 1, 0, COLD_BOOT),
    RULE(RESTORING, START, MINE, D_ANY, I_ANY, BOOT, RUNNING, 1, 0,
         COLD_BOOT),
    RULE(SAVED, START, NOBODY, D_ANY, I_ANY, BLOCK, SAVED, 0, 0, REFUSE),
    RULE(RESTORING, START, MINE, HERE, I_ANY, BLOCK, RESTORING, 0, 0, REFUSE),
    /* blocked, but the administrator can still discard it */
    RULE(RESTORING, START, MINE, NONE, I_ANY, BLOCK, SAVED, 0, 0, AGAIN),
    /* RUNNING(A), A is gone */
    RULE(RUNNING, START, GONE | OLD, D_ANY, I_ANY, R_ANY, RUNNING, 1, 0,
         COLD_BOOT),
    RULE(RUNNING, START, SELF, NONE, I_ANY, R_ANY, RUNNING, 1, 0, COLD_BOOT),
    RULE(RUNNING, START, SELF, RUNS, I_ANY, R_ANY, RUNNING, 0, 0, OPEN_GATES),
    RULE(RUNNING, START, SELF, PAUSED, I_ANY, R_ANY, RUNNING, 0, 0, RESUME),
    /* SAVING(A), A is gone */
    RULE(SAVING, START, GONE | OLD, D_ANY, WHOLE, R_ANY, SAVED, 0, 0, AGAIN),
    RULE(SAVING, START, SELF, NONE, WHOLE, R_ANY, SAVED, 0, 0, AGAIN),
    RULE(SAVING, START, GONE | OLD, D_ANY, PART, R_ANY, RUNNING, 1, 0,
         COLD_BOOT),
    RULE(SAVING, START, SELF, NONE, PART, R_ANY, RUNNING, 1, 0, COLD_BOOT),
    RULE(SAVING, START, SELF, HERE, I_ANY, R_ANY, RUNNING, 0, 0, RESUME),
    /* SAVING(A), A alive, but no domain */
    RULE(SAVING, STOP, SELF | OLD, NONE, WHOLE, R_ANY, SAVED, 0, 0,
         DESTROY_FIRST),
    RULE(SAVING, STOP, SELF | OLD, NONE, PART, R_ANY, OFF, 0, 0,
         DESTROY_FIRST),
    RULE(SAVING, PROBE, SELF | OLD, NONE, WHOLE, R_ANY, SAVED, 0, 0, NONE),
    RULE(SAVING, PROBE, SELF | OLD, NONE, PART, R_ANY, OFF, 0, 0, NONE),
    RULE(SAVING, ROLLBACK, SELF, NONE, WHOLE, R_ANY, SAVED, 0, 0, NONE),
    RULE(SAVING, ROLLBACK, SELF, NONE, PART, R_ANY, OFF, 0, 0, NONE),
    /* a save that was cut off here */
    RULE(SAVING, STOP, SELF, PAUSED, WHOLE, R_ANY, SAVED, 0, 0, DESTROY),
    RULE(SAVING, STOP, SELF, PAUSED, PART, R_ANY, RUNNING, 0, 0, POWER_DOWN),
    RULE(SAVING, STOP, SELF, RUNS, I_ANY, R_ANY, RUNNING, 0, 0, POWER_DOWN),
    RULE(SAVING, PROBE, SELF, HERE, I_ANY, R_ANY, SAVING, 0, 0, NONE),
    RULE(SAVING, STOP, ALIVE | GONE, D_ANY, I_ANY, R_ANY, SAVING, 0, 0,
         DESTROY),
    /* RUNNING(A), A itself finds no domain */
    RULE(RUNNING, STOP, SELF, NONE, I_ANY, R_ANY, OFF, 0, 0, NONE),
    RULE(RUNNING, STOP, OLD, D_ANY, I_ANY, R_ANY, OFF, 0, 0, DESTROY_FIRST),
    RULE(RUNNING, PROBE, SELF | OLD, NONE, I_ANY, R_ANY, OFF, 0, 0, NONE),
    /* ... or finds it */
    RULE(RUNNING, STOP, SELF, HERE, I_ANY, R_ANY, RUNNING, 0, 0, POWER_DOWN),
    RULE(RUNNING, PROBE, SELF, HERE, I_ANY, R_ANY, RUNNING, 0, 0, NONE),
    RULE(RUNNING, STOP, ALIVE | GONE, D_ANY, I_ANY, R_ANY, RUNNING, 0, 0,
         DESTROY),
    /* stop with shutdown or poweroff */
    RULE(RUNNING, POWERED_OFF, SELF, NONE, I_ANY, R_ANY, OFF, 0, 0, NONE),
    RULE(SAVING, POWERED_OFF, SELF, NONE, I_ANY, R_ANY, OFF, 0, 0, NONE),
    RULE(RUNNING, POWERED_OFF, SELF, HERE, I_ANY, R_ANY, RUNNING, 0, 0,
         REFUSE),
    RULE(RUNNING, POWERED_OFF, ALIVE | GONE | OLD, D_ANY, I_ANY, R_ANY,
         RUNNING, 0, 0, REFUSE),
    RULE(OFF, POWERED_OFF, NOBODY, D_ANY, I_ANY, R_ANY, OFF, 0, 0, NONE),
    /* discard, by the administrator */
    RULE(SAVED, DISCARD, NOBODY, D_ANY, I_ANY, R_ANY, OFF, 0, 0, NONE),
    RULE(OFF, DISCARD, NOBODY, D_ANY, I_ANY, R_ANY, OFF, 0, 0, REFUSE),
    RULE(RUNNING, DISCARD, SELF | GONE, D_ANY, I_ANY, R_ANY, RUNNING, 0, 0,
         REFUSE),
    RULE(SAVING, DISCARD, SELF | GONE, D_ANY, I_ANY, R_ANY, SAVING, 0, 0,
         REFUSE),
    RULE(RESTORING, DISCARD, SELF | GONE, D_ANY, I_ANY, R_ANY, RESTORING, 0, 0,
         REFUSE),
    /* the interlock */
    RULE(RUNNING, START, ALIVE, D_ANY, I_ANY, R_ANY, RUNNING, 0, 0, REFUSE),
    RULE(SAVING, START, ALIVE, D_ANY, I_ANY, R_ANY, SAVING, 0, 0, REFUSE),
    RULE(RESTORING, START, ALIVE, D_ANY, I_ANY, R_ANY, RESTORING, 0, 0,
         REFUSE),
    /* probes where it does not run */
    RULE(RUNNING, PROBE, ALIVE | GONE, NONE, I_ANY, R_ANY, RUNNING, 0, 0,
         NONE),
    RULE(RUNNING, PROBE, ALIVE | GONE, PAUSED, I_ANY, R_ANY, RUNNING, 0, 0,
         DESTROY),
    RULE(RUNNING, PROBE, ALIVE | GONE | OLD, RUNS, I_ANY, R_ANY, RUNNING, 0, 0,
         REFUSE),
    RULE(SAVING, PROBE, ALIVE | GONE, NONE | PAUSED, I_ANY, R_ANY, SAVING, 0,
         0, NONE),
    RULE(RESTORING, PROBE, ALIVE | GONE, NONE | PAUSED, I_ANY, R_ANY,
         RESTORING, 0, 0, NONE),
    RULE(OFF, PROBE, NOBODY, NONE, I_ANY, R_ANY, OFF, 0, 0, NONE),
    RULE(SAVED, PROBE, NOBODY, NONE, I_ANY, R_ANY, SAVED, 0, 0, NONE),
};
/* clang-format on */

static void
check_rule(const rule *r, const combo *c)
{
    qm_decision d;

    qm_lifecycle_decide(&c->record, c->event, &c->facts, &d);
    if (d.next.state != r->to || d.row->action != r->action ||
        d.next.generation != c->record.generation + (unsigned) r->generation ||
        d.next.image_id != c->record.image_id + (unsigned) r->image_id)
        fail_msg("rule %d: %s, %s, owner %u, domain %u, image %u, restore %u "
                 "-> %s, %s: %s",
                 (int) (r - rules), qm_state_name(c->record.state),
                 qm_event_name(c->event), c->facts.owner, c->facts.domain,
                 c->facts.image, c->facts.restore, qm_state_name(d.next.state),
                 qm_action_name(d.row->action), d.row->why);
}

static void
check_combo(const combo *c, void *opaque)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rules); i++) {
        const rule *r = &rules[i];

        if (r->from == c->record.state && r->event == c->event &&
            (r->owner & c->facts.owner) && (r->domain & c->facts.domain) &&
            (r->image & c->facts.image) && (r->restore & c->facts.restore))
            check_rule(r, c);
    }
}

static void
rules_hold(void **state)
{
    combo_each(false, check_combo, NULL);
}

static void
move_keeps_its_target_until_it_ends(void **state)
{
    combo c;
    qm_decision d, e;

    combo_make(QM_STATE_RUNNING, QM_EVENT_MOVE, SELF, RUNS, PART, MAY, &c);
    qm_lifecycle_decide(&c.record, QM_EVENT_MOVE, &c.facts, &d);
    assert_int_equal(d.next.target.id, c.facts.target.id);
    assert_int_equal(d.next.image_length, 0);
    c.facts.domain = PAUSED;
    memset(&c.facts.target, 0, sizeof c.facts.target);
    c.facts.image_length = 4711;
    qm_lifecycle_decide(&d.next, QM_EVENT_COMMIT, &c.facts, &e);
    assert_int_equal(e.next.target.id, combo_other.id);
    assert_int_equal(e.next.image_length, 4711);
    qm_lifecycle_decide(&d.next, QM_EVENT_ROLLBACK, &c.facts, &e);
    assert_int_equal(e.next.target.id, 0);
    assert_int_equal(e.next.image_length, 0);
    assert_int_equal(e.next.image_id, d.next.image_id);
}

static void
cause_is_the_callers_or_the_rows(void **state)
{
    combo c;
    qm_decision d;

    combo_make(QM_STATE_OFF, QM_EVENT_START, NOBODY, NONE, PART, MAY, &c);
    qm_lifecycle_decide(&c.record, c.event, &c.facts, &d);
    assert_string_equal(d.next.cause, d.row->why);
    c.facts.cause = "because";
    qm_lifecycle_decide(&c.record, c.event, &c.facts, &d);
    assert_string_equal(d.next.cause, "because");
}

/* A long cause is cut, never inside a character, and stays one line. */
static void
cause_is_cut_to_fit(void **state)
{
    g_autofree char *plain = g_strnfill(1000, 'x');
    g_autoptr(GString) wide = g_string_new("a");
    combo c;
    qm_decision d;

    combo_make(QM_STATE_OFF, QM_EVENT_START, NOBODY, NONE, PART, MAY, &c);
    c.facts.cause = plain;
    qm_lifecycle_decide(&c.record, c.event, &c.facts, &d);
    assert_int_equal(strlen(d.next.cause), QM_CAUSE_MAX - 1);
    for (int i = 0; i < 200; i++)
        g_string_append(wide, "\u20ac");
    c.facts.cause = wide->str;
    qm_lifecycle_decide(&c.record, c.event, &c.facts, &d);
    assert_int_equal(strlen(d.next.cause), 1 + 42 * 3);
    assert_true(g_utf8_validate(d.next.cause, -1, NULL));
    c.facts.cause = "two\nlines\tof \xff rubbish";
    qm_lifecycle_decide(&c.record, c.event, &c.facts, &d);
    assert_string_equal(d.next.cause, "two lines of ");
}

/* What stood in the longer cause before is gone, byte for byte. */
static void
cause_leaves_no_rest(void **state)
{
    static const char zeros[QM_CAUSE_MAX];
    combo c;
    qm_decision d;

    combo_make(QM_STATE_OFF, QM_EVENT_START, NOBODY, NONE, PART, MAY, &c);
    memset(c.record.cause, 'x', QM_CAUSE_MAX - 1);
    c.facts.cause = "y";
    qm_lifecycle_decide(&c.record, c.event, &c.facts, &d);
    assert_memory_equal(d.next.cause + 1, zeros, QM_CAUSE_MAX - 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_hold),
        cmocka_unit_test(move_keeps_its_target_until_it_ends),
        cmocka_unit_test(cause_is_the_callers_or_the_rows),
        cmocka_unit_test(cause_is_cut_to_fit),
        cmocka_unit_test(cause_leaves_no_rest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
