/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The lifecycle table is total, has no row that is never reached, and knows
 * who the owner is.
 */
#include "config.h"
#include "unit.h"
#include "lifecycle_combos.h"

#define MAX_ROWS 256

static void
finds_a_row(const combo *c, void *opaque)
{
    const qm_transition *table;
    qm_decision d;
    size_t n;

    table = qm_lifecycle_table(&n);
    qm_lifecycle_decide(&c->record, c->event, &c->facts, &d);
    if (d.row < table || d.row >= table + n)
        fail_msg("no row: %s, %s, owner %u, domain %u, image %u, restore %u",
                 qm_state_name(c->record.state), qm_event_name(c->event),
                 c->facts.owner, c->facts.domain, c->facts.image,
                 c->facts.restore);
    assert_int_equal(d.row->from, c->record.state);
    assert_int_equal(d.row->event, c->event);
    assert_true(d.row->owner & c->facts.owner);
    assert_true(d.row->domain & c->facts.domain);
    assert_true(d.row->image & c->facts.image);
    assert_true(d.row->restore & c->facts.restore);
}

static void
every_combination_has_a_row(void **state)
{
    combo_each(false, finds_a_row, NULL);
}

/* Can only be a caller's bug: nothing is done. */
static void
is_refused(const combo *c, void *opaque)
{
    qm_decision d;

    if (c->facts.owner != QM_OWNER_NOBODY ||
        combo_is_consistent(c->record.state, c->facts.owner))
        return;
    qm_lifecycle_decide(&c->record, c->event, &c->facts, &d);
    assert_int_equal(d.row->action, QM_ACTION_REFUSE);
    assert_false(d.write);
    assert_non_null(d.row->why);
}

static void
running_without_owner_is_refused(void **state)
{
    combo_each(true, is_refused, NULL);
}

static void
mark_row(const combo *c, void *opaque)
{
    bool *reached = opaque;
    qm_decision d;
    size_t n;

    qm_lifecycle_decide(&c->record, c->event, &c->facts, &d);
    reached[d.row - qm_lifecycle_table(&n)] = true;
}

static void
every_row_is_reached(void **state)
{
    bool reached[MAX_ROWS] = {false};
    const qm_transition *table;
    size_t n;

    table = qm_lifecycle_table(&n);
    assert_true(n <= MAX_ROWS);
    combo_each(false, mark_row, reached);
    for (size_t i = 0; i < n; i++)
        if (!reached[i])
            fail_msg("row %zu is never reached: %s, %s: %s", i,
                     qm_state_name(table[i].from),
                     qm_event_name(table[i].event), table[i].why);
}

static void
rows_are_sound(void **state)
{
    const qm_transition *t;
    size_t n;

    t = qm_lifecycle_table(&n);
    for (size_t i = 0; i < n; i++, t++) {
        assert_true(t->from < QM_STATE_COUNT && t->to < QM_STATE_COUNT);
        assert_true(t->event < QM_EVENT_COUNT);
        assert_true(t->owner != 0 && (t->owner & ~QM_OWNER_ANY) == 0);
        assert_true(t->domain != 0 && (t->domain & ~QM_DOMAIN_ANY) == 0);
        assert_true(t->image != 0 && (t->image & ~QM_IMAGE_ANY) == 0);
        assert_true(t->restore != 0 && (t->restore & ~QM_RESTORE_ANY) == 0);
        assert_non_null(t->why);
        assert_true(strlen(t->why) > 0 && strlen(t->why) < QM_CAUSE_MAX);
        assert_string_not_equal(qm_action_name(t->action), "?");
        if (t->action == QM_ACTION_REFUSE)
            assert_true(t->to == t->from && !t->new_generation &&
                        !t->new_image);
    }
}

static void
nonsense_is_refused(void **state)
{
    qm_facts facts = {.self = combo_self};
    qm_record record = {.state = QM_STATE_COUNT};
    qm_decision d;

    qm_lifecycle_decide(&record, QM_EVENT_START, &facts, &d);
    assert_int_equal(d.row->action, QM_ACTION_REFUSE);
    assert_false(d.write);
    assert_memory_equal(&d.next, &record, sizeof record);
}

static qm_owner
owner_of(qm_state state, const qm_node *node, bool gone)
{
    qm_record record = {.state = state, .owner = *node};

    return qm_lifecycle_owner(&record, &combo_self, gone);
}

static void
owner_is_seen(void **state)
{
    static const qm_state owned[] = {QM_STATE_RUNNING, QM_STATE_SAVING,
                                     QM_STATE_RESTORING};

    for (int gone = 0; gone < 2; gone++) {
        assert_int_equal(owner_of(QM_STATE_OFF, &combo_self, gone),
                         QM_OWNER_NOBODY);
        assert_int_equal(owner_of(QM_STATE_SAVED, &combo_other, gone),
                         QM_OWNER_NOBODY);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(owned); i++) {
        assert_int_equal(owner_of(owned[i], &combo_self, false), QM_OWNER_SELF);
        /* A node is never gone for itself. */
        assert_int_equal(owner_of(owned[i], &combo_self, true), QM_OWNER_SELF);
        assert_int_equal(owner_of(owned[i], &combo_old, false),
                         QM_OWNER_OLD_BOOT);
        assert_int_equal(owner_of(owned[i], &combo_other, false),
                         QM_OWNER_ALIVE);
        assert_int_equal(owner_of(owned[i], &combo_other, true), QM_OWNER_GONE);
    }
}

/* A node is known by its id: names may be set anew, boots differ. */
static void
owner_is_known_by_id_and_boot(void **state)
{
    qm_node renamed = combo_self, cloned = combo_other;

    g_strlcpy(renamed.name, "renamed", sizeof renamed.name);
    memcpy(cloned.boot, combo_self.boot, QM_UUID_LEN);
    assert_int_equal(owner_of(QM_STATE_RUNNING, &renamed, false),
                     QM_OWNER_SELF);
    assert_int_equal(owner_of(QM_STATE_RUNNING, &cloned, false),
                     QM_OWNER_ALIVE);
}

static void
names_are_unique(void **state)
{
    for (int i = 0; i < QM_EVENT_COUNT; i++)
        for (int j = 0; j < i; j++)
            assert_string_not_equal(qm_event_name(i), qm_event_name(j));
    for (int i = 0; i <= QM_ACTION_DESTROY_FIRST; i++)
        for (int j = 0; j < i; j++)
            assert_string_not_equal(qm_action_name(i), qm_action_name(j));
    assert_string_equal(qm_event_name(QM_EVENT_COUNT), "?");
    assert_string_equal(qm_event_name(-1), "?");
    assert_string_equal(qm_action_name(QM_ACTION_DESTROY_FIRST + 1), "?");
    assert_string_equal(qm_state_name(QM_STATE_COUNT), "?");
    assert_string_equal(qm_state_name(QM_STATE_RESTORING), "RESTORING");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_combination_has_a_row),
        cmocka_unit_test(running_without_owner_is_refused),
        cmocka_unit_test(every_row_is_reached),
        cmocka_unit_test(rows_are_sound),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(owner_is_seen),
        cmocka_unit_test(owner_is_known_by_id_and_boot),
        cmocka_unit_test(names_are_unique),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
