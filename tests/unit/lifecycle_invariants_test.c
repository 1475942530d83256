/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The invariants, as properties of every decision that can be made at all.
 */
#include "config.h"
#include "unit.h"
#include "lifecycle_combos.h"

typedef bool (*property)(const combo *c, const qm_decision *d);

static void
check(const combo *c, void *opaque)
{
    property holds = *(property *) opaque;
    qm_decision d;

    qm_lifecycle_decide(&c->record, c->event, &c->facts, &d);
    if (!holds(c, &d))
        fail_msg("%s, %s, owner %u, domain %u, image %u, restore %u -> %s, "
                 "%s: %s",
                 qm_state_name(c->record.state), qm_event_name(c->event),
                 c->facts.owner, c->facts.domain, c->facts.image,
                 c->facts.restore, qm_state_name(d.next.state),
                 qm_action_name(d.row->action), d.row->why);
}

static void
for_all(property holds)
{
    combo_each(false, check, &holds);
}

static bool
same_node(const qm_node *a, const qm_node *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/* Actions that let the VM's CPUs run here, now or soon. */
static bool
runs_here(qm_action action)
{
    return action == QM_ACTION_COLD_BOOT || action == QM_ACTION_RESTORE ||
           action == QM_ACTION_RESUME || action == QM_ACTION_OPEN_GATES ||
           action == QM_ACTION_TAKE_DISKS;
}

/* --- who ----------------------------------------------------------------- */

static bool
another_owner_means_new_generation(const combo *c, const qm_decision *d)
{
    return same_node(&d->next.owner, &c->record.owner) ||
           d->next.generation == c->record.generation + 1;
}

static bool
new_generation_means_owner_self(const combo *c, const qm_decision *d)
{
    if (d->next.generation == c->record.generation)
        return !d->row->new_generation;
    return d->next.generation == c->record.generation + 1 &&
           same_node(&d->next.owner, &c->facts.self) &&
           (d->next.state == QM_STATE_RUNNING ||
            d->next.state == QM_STATE_RESTORING);
}

static bool
alive_owner_is_left_alone(const combo *c, const qm_decision *d)
{
    if (c->facts.owner != QM_OWNER_ALIVE)
        return true;
    return !d->write && (d->row->action == QM_ACTION_NONE ||
                         d->row->action == QM_ACTION_REFUSE ||
                         d->row->action == QM_ACTION_DESTROY);
}

/* What a node stops for itself only, it does not stop for a dead one: that
 * the owner is gone entitles to a start, nothing else. */
static bool
gone_owner_is_only_taken_over(const combo *c, const qm_decision *d)
{
    if (c->facts.owner != QM_OWNER_GONE || !d->write)
        return true;
    return c->event == QM_EVENT_START || c->event == QM_EVENT_LOADED ||
           c->event == QM_EVENT_RESTORE_FAILED;
}

static bool
only_the_owner_saves_and_resumes(const combo *c, const qm_decision *d)
{
    bool owned = d->row->action == QM_ACTION_SAVE ||
                 d->row->action == QM_ACTION_RESUME ||
                 d->row->action == QM_ACTION_OPEN_GATES ||
                 d->row->action == QM_ACTION_POWER_DOWN;

    return !owned || c->facts.owner == QM_OWNER_SELF;
}

static bool
running_here_means_owner_self(const combo *c, const qm_decision *d)
{
    if (!runs_here(d->row->action) || d->row->action == QM_ACTION_RESTORE)
        return true;
    return same_node(&d->next.owner, &combo_self) &&
           (d->next.state == QM_STATE_RUNNING ||
            d->next.state == QM_STATE_RESTORING);
}

/* --- the image ----------------------------------------------------------- */

static bool
image_id_rises_at_entry_to_saving(const combo *c, const qm_decision *d)
{
    bool rises = d->next.image_id == c->record.image_id + 1;
    bool enters = d->next.state == QM_STATE_SAVING && d->write;

    return rises == enters && (rises || d->next.image_id == c->record.image_id);
}

static bool
new_image_begins_empty(const combo *c, const qm_decision *d)
{
    if (d->next.image_id == c->record.image_id)
        return true;
    return d->next.image_length == 0 && d->next.failed_restores == 0 &&
           same_node(&d->next.target, &c->facts.target);
}

static bool
no_image_of_a_vm_that_runs_or_is_off(const combo *c, const qm_decision *d)
{
    static const qm_node nobody;

    if (!d->write ||
        (d->next.state != QM_STATE_RUNNING && d->next.state != QM_STATE_OFF))
        return true;
    return d->next.image_length == 0 && d->next.failed_restores == 0 &&
           same_node(&d->next.target, &nobody);
}

/* Invariant 2: only a complete image is committed, and only while no CPU
 * runs.  COMMIT itself says that the image is complete. */
static bool
commit_needs_a_still_complete_image(const combo *c, const qm_decision *d)
{
    if (c->record.state != QM_STATE_SAVING || d->next.state != QM_STATE_SAVED)
        return true;
    return (c->facts.image == QM_IMAGE_COMPLETE ||
            c->event == QM_EVENT_COMMIT) &&
           (c->facts.domain != QM_DOMAIN_RUNNING ||
            c->facts.owner != QM_OWNER_SELF) &&
           d->next.image_length == c->facts.image_length;
}

/* Invariant 4: what is committed is dropped only by success, by the
 * administrator or by policy. */
static bool
committed_image_survives(const combo *c, const qm_decision *d)
{
    qm_state from = c->record.state, to = d->next.state;

    if (from != QM_STATE_SAVED && from != QM_STATE_RESTORING)
        return true;
    if (to == QM_STATE_SAVED || to == QM_STATE_RESTORING)
        return d->next.image_id == c->record.image_id &&
               d->next.image_length == c->record.image_length &&
               d->next.failed_restores >= c->record.failed_restores;
    if (from == QM_STATE_SAVED && c->event == QM_EVENT_DISCARD)
        return to == QM_STATE_OFF;
    if (from == QM_STATE_RESTORING && c->event == QM_EVENT_RESUMED)
        return to == QM_STATE_RUNNING && c->facts.domain != QM_DOMAIN_NONE;
    return c->event == QM_EVENT_START && c->facts.restore == QM_RESTORE_BOOT &&
           to == QM_STATE_RUNNING && d->row->action == QM_ACTION_COLD_BOOT;
}

/* While an image was loaded here, another node may have run the VM and saved
 * it again: what was loaded is neither resumed nor held against that image. */
static bool
only_the_records_image_is_taken(const combo *c, const qm_decision *d)
{
    if (c->facts.image == QM_IMAGE_COMPLETE ||
        (c->event != QM_EVENT_LOADED && c->event != QM_EVENT_RESTORE_FAILED))
        return true;
    return d->row->action == QM_ACTION_REFUSE && !d->write;
}

/* After the commit the source never resumes: it only destroys. */
static bool
saved_never_resumes(const combo *c, const qm_decision *d)
{
    if (c->record.state == QM_STATE_SAVED)
        return d->row->action != QM_ACTION_RESUME &&
               d->row->action != QM_ACTION_OPEN_GATES &&
               d->row->action != QM_ACTION_SAVE &&
               d->row->action != QM_ACTION_POWER_DOWN;
    return c->record.state != QM_STATE_RESTORING ||
           d->row->action != QM_ACTION_RESUME;
}

static bool
saved_runs_only_by_restore_or_policy(const combo *c, const qm_decision *d)
{
    if (c->record.state != QM_STATE_SAVED || d->next.state != QM_STATE_RUNNING)
        return true;
    return c->event == QM_EVENT_START && c->facts.restore == QM_RESTORE_BOOT &&
           d->row->action == QM_ACTION_COLD_BOOT;
}

static bool
only_failures_count_as_failures(const combo *c, const qm_decision *d)
{
    if (d->next.failed_restores <= c->record.failed_restores)
        return true;
    return c->event == QM_EVENT_RESTORE_FAILED &&
           d->next.state == QM_STATE_SAVED &&
           d->next.failed_restores == c->record.failed_restores + 1;
}

/* --- always a way on ----------------------------------------------------- */

/* Invariant 5. */
static bool
start_is_refused_only_with_reason(const combo *c, const qm_decision *d)
{
    if (c->event != QM_EVENT_START || d->row->action != QM_ACTION_REFUSE)
        return true;
    return c->facts.owner == QM_OWNER_ALIVE ||
           ((c->record.state == QM_STATE_SAVED ||
             c->record.state == QM_STATE_RESTORING) &&
            c->facts.restore == QM_RESTORE_BLOCK);
}

static bool
start_runs_it_or_decides_again(const combo *c, const qm_decision *d)
{
    if (c->event != QM_EVENT_START || d->row->action == QM_ACTION_REFUSE)
        return true;
    return runs_here(d->row->action) ||
           (d->row->action == QM_ACTION_AGAIN && d->write);
}

/* A stop that failed gets the node fenced. */
static bool
stop_is_never_refused(const combo *c, const qm_decision *d)
{
    return c->event != QM_EVENT_STOP || d->row->action != QM_ACTION_REFUSE;
}

/* Unless it still has to end the guest, a stop leaves nothing of it here. */
static bool
stop_ends_not_owned(const combo *c, const qm_decision *d)
{
    qm_owner after;

    if (c->event != QM_EVENT_STOP || d->row->action == QM_ACTION_POWER_DOWN)
        return true;
    after = qm_lifecycle_owner(&d->next, &combo_self, false);
    return after == QM_OWNER_NOBODY ||
           (after == QM_OWNER_ALIVE && (c->facts.owner == QM_OWNER_GONE ||
                                        c->facts.owner == QM_OWNER_ALIVE));
}

/* What may run here is gone before another node may start it. */
static bool
given_up_only_when_gone(const combo *c, const qm_decision *d)
{
    bool was_owned = c->record.state == QM_STATE_RUNNING ||
                     c->record.state == QM_STATE_SAVING ||
                     c->record.state == QM_STATE_RESTORING;
    bool is_free =
        d->next.state == QM_STATE_OFF || d->next.state == QM_STATE_SAVED;

    if (!was_owned || !is_free || c->facts.domain != QM_DOMAIN_RUNNING)
        return true;
    /* A start goes on by clearing what is here; nothing stays. */
    return d->row->action == QM_ACTION_DESTROY_FIRST ||
           (d->row->action == QM_ACTION_AGAIN &&
            (c->event == QM_EVENT_START ||
             c->event == QM_EVENT_RESTORE_FAILED));
}

/* A probe changes nothing but the record of what ended by itself. */
static bool
probe_only_settles(const combo *c, const qm_decision *d)
{
    if (c->event != QM_EVENT_PROBE)
        return true;
    if (d->write &&
        (c->facts.domain != QM_DOMAIN_NONE ||
         (d->next.state != QM_STATE_OFF && d->next.state != QM_STATE_SAVED)))
        return false;
    return d->row->action == QM_ACTION_NONE ||
           d->row->action == QM_ACTION_REFUSE ||
           (d->row->action == QM_ACTION_DESTROY &&
            c->facts.domain == QM_DOMAIN_PAUSED &&
            c->facts.owner != QM_OWNER_SELF);
}

/* No domain is no reason for a probe to fail: the VM is elsewhere, or off. */
static bool
probe_without_domain_is_an_answer(const combo *c, const qm_decision *d)
{
    return c->event != QM_EVENT_PROBE || c->facts.domain != QM_DOMAIN_NONE ||
           d->row->action == QM_ACTION_NONE;
}

/* "Unsure is not stopped": a guest that runs without right is an error. */
static bool
probe_of_stray_guest_is_an_error(const combo *c, const qm_decision *d)
{
    if (c->event != QM_EVENT_PROBE || c->facts.owner == QM_OWNER_SELF ||
        c->facts.domain != QM_DOMAIN_RUNNING)
        return true;
    return d->row->action == QM_ACTION_REFUSE;
}

/* --- writing ------------------------------------------------------------- */

static bool
nothing_changes_without_write(const combo *c, const qm_decision *d)
{
    return d->write || memcmp(&d->next, &c->record, sizeof d->next) == 0;
}

static bool
refusal_writes_nothing(const combo *c, const qm_decision *d)
{
    return d->row->action != QM_ACTION_REFUSE || !d->write;
}

static bool
write_is_stamped(const combo *c, const qm_decision *d)
{
    return !d->write || (d->next.time_us == c->facts.now_us &&
                         strcmp(d->next.cause, d->row->why) == 0);
}

/* Sequence and key are the vault's business. */
static bool
sequence_and_key_are_not_touched(const combo *c, const qm_decision *d)
{
    return d->next.sequence == c->record.sequence &&
           d->next.key == c->record.key;
}

/* A write whose outcome is unknown is read again and decided again: the same
 * event must then go through. */
static bool
deciding_again_goes_through(const combo *c, const qm_decision *d)
{
    qm_facts facts = c->facts;
    qm_decision again;

    if (!d->write || d->row->action == QM_ACTION_AGAIN ||
        c->event == QM_EVENT_DISCARD)
        return true;
    facts.owner = qm_lifecycle_owner(&d->next, &combo_self, false);
    qm_lifecycle_decide(&d->next, c->event, &facts, &again);
    return again.row->action != QM_ACTION_REFUSE;
}

/* Deciding START again and again ends, in at most three steps. */
static bool
again_ends(const combo *c, const qm_decision *d)
{
    qm_decision now = *d;
    qm_facts facts = c->facts;
    int i;

    if (c->event != QM_EVENT_START)
        return true;
    for (i = 0; now.row->action == QM_ACTION_AGAIN && i < 3; i++) {
        qm_record next = now.next;

        facts.owner = qm_lifecycle_owner(&next, &combo_self, false);
        qm_lifecycle_decide(&next, c->event, &facts, &now);
    }
    return now.row->action != QM_ACTION_AGAIN;
}

#define TEST(name)                                                             \
    {                                                                          \
#name, check_property, NULL, NULL, (void *) &(property)                \
        {                                                                      \
            name                                                               \
        }                                                                      \
    }

static void
check_property(void **state)
{
    for_all(**(property **) state);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(another_owner_means_new_generation),
        TEST(new_generation_means_owner_self),
        TEST(alive_owner_is_left_alone),
        TEST(gone_owner_is_only_taken_over),
        TEST(only_the_owner_saves_and_resumes),
        TEST(running_here_means_owner_self),
        TEST(image_id_rises_at_entry_to_saving),
        TEST(new_image_begins_empty),
        TEST(no_image_of_a_vm_that_runs_or_is_off),
        TEST(commit_needs_a_still_complete_image),
        TEST(committed_image_survives),
        TEST(only_the_records_image_is_taken),
        TEST(saved_never_resumes),
        TEST(saved_runs_only_by_restore_or_policy),
        TEST(only_failures_count_as_failures),
        TEST(start_is_refused_only_with_reason),
        TEST(start_runs_it_or_decides_again),
        TEST(stop_is_never_refused),
        TEST(stop_ends_not_owned),
        TEST(given_up_only_when_gone),
        TEST(probe_only_settles),
        TEST(probe_without_domain_is_an_answer),
        TEST(probe_of_stray_guest_is_an_error),
        TEST(nothing_changes_without_write),
        TEST(refusal_writes_nothing),
        TEST(write_is_stamped),
        TEST(sequence_and_key_are_not_touched),
        TEST(deciding_again_goes_through),
        TEST(again_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
