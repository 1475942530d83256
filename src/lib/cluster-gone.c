/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The interlock against double start: is the node that owns a VM surely gone?
 * Invariant: without proof the answer is no, and a proof is never older than
 * the record that it is held against.
 *
 * Proofs compare times of different clocks: a record's time is its owner's,
 * the end of a fencing is taken by the fencer of the node that asks.  Clocks
 * of a cluster are synchronized; CLOCK_SKEW is what they may be apart.
 *
 * - Owner is a member, in the boot in which it wrote the record: it lives,
 *   whatever the history says of it.
 * - Owner is a member: it may have been fenced, come back, and written the
 *   record since.  So the fencing must be later than the record by more than
 *   the clocks may be apart.  (What this leaves undecided, a record younger
 *   than CLOCK_SKEW when its owner died, is decided as soon as corosync drops
 *   the owner.)
 * - Owner is no member: then it was not fenced and came back, except if it
 *   was lost once more.  The fencing may be earlier than the record by up to
 *   CLOCK_SKEW: within that time no node is fenced, boots, joins, starts a
 *   VM and is lost again.
 * - Clocks that are wrong nevertheless: the record also says which fencing its
 *   owner knew of when it became that, by the fencers' clocks, not its own.  A
 *   fencing that it knew of is no proof, whenever it was.  One that it did not
 *   know of is a proof also where the record's time lies in the future, which
 *   shows that the owner's clock or this node's is wrong.
 * - Its boot: both times are the owner's own clock.  A boot published before
 *   the record was written is a leftover of an earlier boot: no proof.
 * - Released: the owner's own word for exactly this generation; generations
 *   are not used twice.  It holds whether it is a member or has left.
 */
#include "config.h"
#include <string.h>
#include "cluster-internal.h"
#include "timeouts.h"

#define CLOCK_SKEW (5 * QM_S)
#define POLL_MIN   (50 * QM_MS)
#define POLL_MAX   (250 * QM_MS)
#define LAST_LOOK  (2 * QM_S) /* time for one on a busy host; usual: 50 ms */

static bool
is_future(int64_t time_us, const qm_seen *seen)
{
    return time_us > seen->now_us + CLOCK_SKEW;
}

static bool
boot_differs(const qm_record *record, const qm_seen *seen)
{
    return memcmp(record->owner.boot, seen->boot, QM_UUID_LEN) != 0;
}

static bool
was_fenced(const qm_record *record, const qm_seen *seen)
{
    /* Of the future: by a wrong clock, and of no use. */
    bool knew = record->fenced_us != 0 && !is_future(record->fenced_us, seen);

    if (seen->fenced_us == 0 ||
        (seen->member && seen->boot_known && !boot_differs(record, seen)) ||
        (knew && seen->fenced_us <= record->fenced_us + CLOCK_SKEW))
        return false;
    if (knew && !seen->member && is_future(record->time_us, seen))
        return true;
    if (seen->member)
        return seen->fenced_us - CLOCK_SKEW > record->time_us;
    return seen->fenced_us + CLOCK_SKEW > record->time_us;
}

static bool
was_rebooted(const qm_record *record, const qm_seen *seen)
{
    static const uint8_t unknown[QM_UUID_LEN];

    return seen->member && seen->boot_known &&
           memcmp(record->owner.boot, unknown, QM_UUID_LEN) != 0 &&
           boot_differs(record, seen) && seen->boot_time_us > record->time_us;
}

qm_gone
qm__gone_decide(const qm_record *record, const qm_seen *seen)
{
    if (was_fenced(record, seen))
        return QM_GONE_FENCED;
    if (seen->released != 0 && seen->released == record->generation)
        return QM_GONE_RELEASED;
    if (was_rebooted(record, seen))
        return QM_GONE_REBOOTED;
    return QM_GONE_NO;
}

/* Cheap evidence first; attributes (processes) only when that is no proof. A
 * member's boot may refute it. */
static bool
look(qm_cluster *c, const uint8_t *vm_uuid, const qm_record *record,
     int64_t deadline, qm_seen *seen, GError **error)
{
    const char *name = record->owner.name;

    if (!qm__fencing_history(name, deadline, &seen->fenced_us, &seen->fencing,
                             error) ||
        !qm__cluster_member_until(c, record->owner.id, deadline, &seen->member,
                                  error))
        return false;
    if (!seen->member && qm__gone_decide(record, seen) != QM_GONE_NO)
        return true;
    if (!qm__attribute_released(name, vm_uuid, deadline, &seen->released,
                                error))
        return false;
    return !seen->member ||
           qm__attribute_boot(name, deadline, &seen->boot_known, seen->boot,
                              &seen->boot_time_us, error);
}

static char *
wall_clock(int64_t time_us)
{
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_local(time_us / QM_S);

    return time != NULL ? g_date_time_format(time, "%F %T")
                        : g_strdup("an unknown time");
}

static char *
explain(const qm_record *record, const qm_seen *seen, qm_gone gone)
{
    g_autofree char *fenced = wall_clock(seen->fenced_us);
    g_autofree char *since = wall_clock(record->time_us);
    const char *name = record->owner.name;

    switch (gone) {
    case QM_GONE_FENCED:
        return g_strdup_printf("%s was fenced at %s", name, fenced);
    case QM_GONE_RELEASED:
        return g_strdup_printf("%s has released generation %" G_GUINT64_FORMAT,
                               name, record->generation);
    case QM_GONE_REBOOTED:
        return g_strdup_printf("%s was booted since %s", name, since);
    case QM_GONE_NO:
        break;
    }
    if (seen->fencing)
        return g_strdup_printf("fencing of %s is under way", name);
    if (seen->member)
        return g_strdup_printf("%s is a member of the cluster and was neither "
                               "fenced nor booted since %s",
                               name, since);
    return g_strdup_printf("%s is lost, but was not fenced since %s: fence "
                           "it, or switch it off and say so with "
                           "stonith_admin --confirm %s",
                           name, since, name);
}

/* This node asks about itself: only its boot counts. */
static bool
is_self(qm_cluster *c, const qm_record *record, bool *ret_gone, char **ret_why)
{
    const qm_node *self = qm__cluster_self(c);
    bool same = memcmp(record->owner.boot, self->boot, QM_UUID_LEN) == 0;

    if (record->owner.id != self->id)
        return false;
    *ret_gone = !same;
    *ret_why = g_strdup_printf("%s is this node, in %s boot", self->name,
                               same ? "this" : "an earlier");
    return true;
}

static bool
has_owner(const qm_record *record, GError **error)
{
    if (record->owner.id != 0 && record->owner.name[0] != '\0')
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_INVALID,
                "the record (%s, generation %" G_GUINT64_FORMAT
                ") names no owner",
                qm_state_name(record->state), record->generation);
    return false;
}

static bool
gone_now(qm_cluster *c, const uint8_t *vm_uuid, const qm_record *record,
         int64_t deadline, qm_seen *seen, bool *ret_gone, char **ret_why,
         GError **error)
{
    qm_gone gone;

    *seen = (qm_seen){.now_us = g_get_real_time()};
    if (!has_owner(record, error))
        return false;
    if (is_self(c, record, ret_gone, ret_why))
        return true;
    if (!look(c, vm_uuid, record, deadline, seen, error)) {
        g_prefix_error(error,
                       "cannot tell whether %s is gone: ", record->owner.name);
        return false;
    }
    gone = qm__gone_decide(record, seen);
    *ret_gone = gone != QM_GONE_NO;
    *ret_why = explain(record, seen, gone);
    return true;
}

bool
qm__cluster_own_fencing(qm_cluster *c, int64_t deadline, int64_t *ret_fenced_us,
                        GError **error)
{
    int64_t fenced;
    bool fencing;

    if (!qm__fencing_history(qm__cluster_self(c)->name, deadline, &fenced,
                             &fencing, error))
        return false;
    *ret_fenced_us = fenced != 0 ? fenced : QM_FENCED_NEVER;
    return true;
}

bool
qm__cluster_owner_gone(qm_cluster *c, const uint8_t *vm_uuid,
                       const qm_record *record, int64_t deadline,
                       bool *ret_gone, char **ret_why, GError **error)
{
    qm_seen seen;

    return gone_now(c, vm_uuid, record, deadline, &seen, ret_gone, ret_why,
                    error);
}

/* Not before its deadline does a "no" count while fencing is under way; the
 * lag bounds the rest. */
bool
qm__cluster_wait_gone(qm_cluster *c, const uint8_t *vm_uuid,
                      const qm_record *record, int64_t deadline, bool *ret_gone,
                      char **ret_why, GError **error)
{
    int64_t lag_end = qm__deadline_in(qm__cluster_lag(c));
    int64_t pause = POLL_MIN;

    for (;;) {
        g_autofree char *why = NULL;
        qm_seen seen;
        bool gone;

        if (!gone_now(c, vm_uuid, record, deadline, &seen, &gone, &why, error))
            return false;
        if (gone || record->owner.id == qm__cluster_self(c)->id ||
            (qm__passed(lag_end) && !seen.fencing) ||
            qm__remaining(deadline) < POLL_MAX + LAST_LOOK) {
            *ret_gone = gone;
            *ret_why = g_steal_pointer(&why);
            return true;
        }
        g_usleep((gulong) pause);
        pause = MIN(pause * 2, POLL_MAX);
    }
}
