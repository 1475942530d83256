/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The lifecycle table.  Read it row by row: the first row that matches state,
 * event, owner, domain, image and restore policy decides.  It keeps these:
 * a node acts on a record only when it owns it, or nobody does, or the owner
 * surely is gone; generation rises exactly when ownership changes; the image
 * id rises at every entry to SAVING; after the commit the source never
 * resumes; what was loaded counts only while the record is about that image.
 */
#include "config.h"
#include <string.h>
#include <quickmig/lifecycle.h>

#define OFF       QM_STATE_OFF
#define RUNNING   QM_STATE_RUNNING
#define SAVING    QM_STATE_SAVING
#define SAVED     QM_STATE_SAVED
#define RESTORING QM_STATE_RESTORING

/* Owners. */
#define ANY   QM_OWNER_ANY
#define SELF  QM_OWNER_SELF
#define OLD   QM_OWNER_OLD_BOOT
#define GONE  QM_OWNER_GONE
#define ALIVE QM_OWNER_ALIVE
#define OTHER (GONE | ALIVE)

/* Domains. */
#define D_ANY    QM_DOMAIN_ANY
#define D_NONE   QM_DOMAIN_NONE
#define D_RUN    QM_DOMAIN_RUNNING
#define D_PAUSED QM_DOMAIN_PAUSED
#define D_HERE   (D_RUN | D_PAUSED)

/* Images. */
#define I_ANY   QM_IMAGE_ANY
#define I_WHOLE QM_IMAGE_COMPLETE
#define I_PART  QM_IMAGE_INCOMPLETE

/* Restore policies. */
#define R_ANY   QM_RESTORE_ANY
#define R_MAY   QM_RESTORE_ALLOWED
#define R_BOOT  QM_RESTORE_BOOT
#define R_BLOCK QM_RESTORE_BLOCK

/* Shapes of rows: stay as it is; go on; change owner; enter SAVING. */
#define STAY(from, ev, own, dom, img, res, act, why)                           \
    {                                                                          \
        from, QM_EVENT_##ev, own, dom, img, res, from, false, false,           \
            QM_ACTION_##act, why                                               \
    }
#define GO(from, ev, own, dom, img, res, to, act, why)                         \
    {                                                                          \
        from, QM_EVENT_##ev, own, dom, img, res, to, false, false,             \
            QM_ACTION_##act, why                                               \
    }
#define TAKE(from, ev, own, dom, img, res, to, act, why)                       \
    {                                                                          \
        from, QM_EVENT_##ev, own, dom, img, res, to, true, false,              \
            QM_ACTION_##act, why                                               \
    }
#define IMAGE(from, ev, own, dom, why)                                         \
    {                                                                          \
        from, QM_EVENT_##ev, own, dom, I_ANY, R_ANY, SAVING, false, true,      \
            QM_ACTION_SAVE, why                                                \
    }
#define REFUSE(from, ev, why)                                                  \
    STAY(from, ev, ANY, D_ANY, I_ANY, R_ANY, REFUSE, why)

/* clang-format off */
static const qm_transition table[] = {
    /* --- OFF: runs nowhere, nothing saved ------------------------------- */
    TAKE(OFF, START, ANY, D_ANY, I_ANY, R_ANY, RUNNING, COLD_BOOT,
         "it is off: boot it"),
    STAY(OFF, STOP, ANY, D_ANY, I_ANY, R_ANY, DESTROY, "it is off"),
    STAY(OFF, PROBE, ANY, D_NONE, I_ANY, R_ANY, NONE, "it is off"),
    STAY(OFF, PROBE, ANY, D_PAUSED, I_ANY, R_ANY, DESTROY,
         "a paused leftover of a VM that is off"),
    REFUSE(OFF, PROBE, "a domain runs here although the record says OFF"),
    REFUSE(OFF, MOVE, "it is off: there is nothing to move"),
    REFUSE(OFF, COMMIT, "nothing is being saved"),
    STAY(OFF, ROLLBACK, ANY, D_NONE, I_ANY, R_ANY, NONE, "it is off"),
    REFUSE(OFF, ROLLBACK, "a domain is here although the record says OFF"),
    REFUSE(OFF, LOADED, "there is no saved state"),
    REFUSE(OFF, RESUMED, "nothing is being restored"),
    REFUSE(OFF, RESTORE_FAILED, "nothing is being restored"),
    STAY(OFF, POWERED_OFF, ANY, D_ANY, I_ANY, R_ANY, NONE, "it is off"),
    REFUSE(OFF, DISCARD, "there is no saved state"),

    /* --- RUNNING: owner runs it, or is starting it ---------------------- */
    STAY(RUNNING, START, SELF, D_RUN, I_ANY, R_ANY, OPEN_GATES,
         "it runs here"),
    STAY(RUNNING, START, SELF, D_PAUSED, I_ANY, R_ANY, RESUME,
         "it is here, paused after a save that was given up"),
    TAKE(RUNNING, START, SELF | OLD | GONE, D_ANY, I_ANY, R_ANY, RUNNING,
         COLD_BOOT, "it was lost without a saved state: boot it"),
    REFUSE(RUNNING, START, "another node runs it and is not surely gone"),
    GO(RUNNING, STOP, SELF, D_NONE, I_ANY, R_ANY, OFF, NONE,
       "it ended by itself"),
    STAY(RUNNING, STOP, SELF, D_HERE, I_ANY, R_ANY, POWER_DOWN,
         "it runs here: save it or shut it down"),
    GO(RUNNING, STOP, OLD, D_ANY, I_ANY, R_ANY, OFF, DESTROY_FIRST,
       "it was lost when this node went down"),
    STAY(RUNNING, STOP, OTHER, D_ANY, I_ANY, R_ANY, DESTROY,
         "another node owns it"),
    STAY(RUNNING, PROBE, SELF, D_HERE, I_ANY, R_ANY, NONE, "it runs here"),
    GO(RUNNING, PROBE, SELF | OLD, D_NONE, I_ANY, R_ANY, OFF, NONE,
       "no domain: crashed, shut down inside, or this node was rebooted"),
    STAY(RUNNING, PROBE, OTHER, D_NONE, I_ANY, R_ANY, NONE,
         "another node owns it"),
    STAY(RUNNING, PROBE, OTHER, D_PAUSED, I_ANY, R_ANY, DESTROY,
         "a paused leftover of a VM that another node owns"),
    REFUSE(RUNNING, PROBE, "a domain is here that this node does not own"),
    IMAGE(RUNNING, MOVE, SELF, D_HERE, "save it"),
    STAY(RUNNING, MOVE, OTHER, D_ANY, I_ANY, R_ANY, DESTROY,
         "it has moved already"),
    REFUSE(RUNNING, MOVE, "it does not run here"),
    REFUSE(RUNNING, COMMIT, "the save was given up"),
    STAY(RUNNING, ROLLBACK, SELF, D_HERE, I_ANY, R_ANY, RESUME,
         "the save was given up already"),
    GO(RUNNING, ROLLBACK, SELF, D_NONE, I_ANY, R_ANY, OFF, NONE,
       "the save was given up already, and the guest is gone"),
    REFUSE(RUNNING, ROLLBACK, "another node owns it"),
    REFUSE(RUNNING, LOADED, "it has been started elsewhere"),
    STAY(RUNNING, RESUMED, SELF, D_ANY, I_ANY, R_ANY, OPEN_GATES,
         "it runs here"),
    REFUSE(RUNNING, RESUMED, "another node owns it"),
    REFUSE(RUNNING, RESTORE_FAILED, "it has been started"),
    GO(RUNNING, POWERED_OFF, SELF, D_NONE, I_ANY, R_ANY, OFF, NONE,
       "the guest is off"),
    REFUSE(RUNNING, POWERED_OFF, "it is not this node's, or not off"),
    REFUSE(RUNNING, DISCARD, "it runs: there is no saved state"),

    /* --- SAVING: the owner is saving it; not committed ------------------ */
    GO(SAVING, START, SELF, D_HERE, I_ANY, R_ANY, RUNNING, RESUME,
       "the save was cut off: the guest goes on from its memory"),
    GO(SAVING, START, SELF | OLD | GONE, D_ANY, I_WHOLE, R_ANY, SAVED, AGAIN,
       "the image is complete: that is the commit"),
    TAKE(SAVING, START, SELF | OLD | GONE, D_ANY, I_PART, R_ANY, RUNNING,
         COLD_BOOT, "lost in the middle of a save: boot it"),
    REFUSE(SAVING, START, "another node is saving it and is not surely gone"),
    GO(SAVING, STOP, SELF, D_PAUSED, I_WHOLE, R_ANY, SAVED, DESTROY,
       "the image is complete: that is the commit"),
    GO(SAVING, STOP, SELF, D_HERE, I_ANY, R_ANY, RUNNING, POWER_DOWN,
       "the save was cut off: its image is forgotten"),
    GO(SAVING, STOP, SELF | OLD, D_ANY, I_WHOLE, R_ANY, SAVED, DESTROY_FIRST,
       "the image is complete: that is the commit"),
    GO(SAVING, STOP, SELF | OLD, D_ANY, I_PART, R_ANY, OFF, DESTROY_FIRST,
       "lost in the middle of a save"),
    STAY(SAVING, STOP, OTHER, D_ANY, I_ANY, R_ANY, DESTROY,
         "another node owns it"),
    STAY(SAVING, PROBE, SELF, D_HERE, I_ANY, R_ANY, NONE,
         "it is being saved here, or that was cut off"),
    GO(SAVING, PROBE, SELF | OLD, D_NONE, I_WHOLE, R_ANY, SAVED, NONE,
       "the image is complete: that is the commit"),
    GO(SAVING, PROBE, SELF | OLD, D_NONE, I_PART, R_ANY, OFF, NONE,
       "lost in the middle of a save"),
    STAY(SAVING, PROBE, OTHER, D_NONE | D_PAUSED, I_ANY, R_ANY, NONE,
         "another node is saving it"),
    REFUSE(SAVING, PROBE, "a domain runs here that this node does not own"),
    IMAGE(SAVING, MOVE, SELF, D_HERE, "the save was cut off: do it again"),
    REFUSE(SAVING, MOVE, "it is not here to be saved"),
    GO(SAVING, COMMIT, SELF, D_NONE | D_PAUSED, I_ANY, R_ANY, SAVED, DESTROY,
       "the commit: from here on the image is the VM"),
    REFUSE(SAVING, COMMIT, "another node owns it, or the guest runs on"),
    GO(SAVING, ROLLBACK, SELF, D_HERE, I_ANY, R_ANY, RUNNING, RESUME,
       "the save failed: the guest goes on, its image is forgotten"),
    GO(SAVING, ROLLBACK, SELF, D_NONE, I_WHOLE, R_ANY, SAVED, NONE,
       "the guest is gone and the image is complete: that is the commit"),
    GO(SAVING, ROLLBACK, SELF, D_NONE, I_PART, R_ANY, OFF, NONE,
       "lost in the middle of a save"),
    REFUSE(SAVING, ROLLBACK, "another node owns it"),
    REFUSE(SAVING, LOADED, "its image is not committed"),
    REFUSE(SAVING, RESUMED, "nothing is being restored"),
    REFUSE(SAVING, RESTORE_FAILED, "nothing is being restored"),
    GO(SAVING, POWERED_OFF, SELF, D_NONE, I_ANY, R_ANY, OFF, NONE,
       "the save failed and the guest is off"),
    REFUSE(SAVING, POWERED_OFF, "it is not this node's, or not off"),
    REFUSE(SAVING, DISCARD, "its image is not committed"),

    /* --- SAVED: the image is complete, and the only truth --------------- */
    STAY(SAVED, START, ANY, D_ANY, I_ANY, R_MAY, RESTORE, "restore it"),
    TAKE(SAVED, START, ANY, D_ANY, I_ANY, R_BOOT, RUNNING, COLD_BOOT,
         "its image could not be restored often enough: boot it"),
    REFUSE(SAVED, START, "its image could not be restored, and "
           "on_restore_failure=block: mend it, or use quickmig discard"),
    STAY(SAVED, STOP, ANY, D_ANY, I_ANY, R_ANY, DESTROY, "it is saved"),
    STAY(SAVED, PROBE, ANY, D_NONE, I_ANY, R_ANY, NONE, "it is saved"),
    STAY(SAVED, PROBE, ANY, D_PAUSED, I_ANY, R_ANY, DESTROY,
         "a paused leftover of a VM that is saved"),
    REFUSE(SAVED, PROBE, "a domain runs here although the record says SAVED"),
    STAY(SAVED, MOVE, ANY, D_ANY, I_ANY, R_ANY, DESTROY,
         "it is committed already"),
    STAY(SAVED, COMMIT, ANY, D_ANY, I_ANY, R_ANY, DESTROY,
         "it is committed already"),
    STAY(SAVED, ROLLBACK, ANY, D_NONE, I_ANY, R_ANY, NONE,
         "it is committed already"),
    REFUSE(SAVED, ROLLBACK, "it is committed: it never resumes here"),
    TAKE(SAVED, LOADED, ANY, D_PAUSED, I_WHOLE, R_ANY, RESTORING, TAKE_DISKS,
         "the image is loaded: take the disks"),
    REFUSE(SAVED, LOADED,
           "the loaded domain is gone, or of an image that was replaced"),
    REFUSE(SAVED, RESUMED, "it is saved, not restored"),
    GO(SAVED, RESTORE_FAILED, ANY, D_ANY, I_WHOLE, R_ANY, SAVED, AGAIN,
       "the image could not be restored here"),
    REFUSE(SAVED, RESTORE_FAILED, "the image was replaced meanwhile"),
    STAY(SAVED, POWERED_OFF, ANY, D_ANY, I_ANY, R_ANY, NONE, "it is saved"),
    GO(SAVED, DISCARD, ANY, D_ANY, I_ANY, R_ANY, OFF, NONE,
       "the saved state is dropped"),

    /* --- RESTORING: loaded, its disks not yet written ------------------- */
    STAY(RESTORING, START, SELF | OLD | GONE, D_ANY, I_ANY, R_MAY, RESTORE,
         "a restore was cut off before it wrote: do it again"),
    TAKE(RESTORING, START, SELF | OLD | GONE, D_ANY, I_ANY, R_BOOT, RUNNING,
         COLD_BOOT, "its image could not be restored often enough: boot it"),
    GO(RESTORING, START, SELF | OLD | GONE, D_NONE, I_ANY, R_BLOCK, SAVED,
       AGAIN, "it wrote nothing yet: the image still counts"),
    STAY(RESTORING, START, SELF | OLD | GONE, D_HERE, I_ANY, R_BLOCK, REFUSE,
         "its image could not be restored, and on_restore_failure=block: "
         "stop it, then mend it or use quickmig discard"),
    REFUSE(RESTORING, START,
           "another node is restoring it and is not surely gone"),
    GO(RESTORING, STOP, SELF | OLD, D_ANY, I_ANY, R_ANY, SAVED,
       DESTROY_FIRST, "it wrote nothing yet: the image still counts"),
    STAY(RESTORING, STOP, OTHER, D_ANY, I_ANY, R_ANY, DESTROY,
         "another node owns it"),
    STAY(RESTORING, PROBE, SELF, D_HERE, I_ANY, R_ANY, NONE,
         "it is being restored here, or that was cut off"),
    GO(RESTORING, PROBE, SELF | OLD, D_NONE, I_ANY, R_ANY, SAVED, NONE,
       "it wrote nothing yet: the image still counts"),
    STAY(RESTORING, PROBE, OTHER, D_NONE | D_PAUSED, I_ANY, R_ANY, NONE,
         "another node is restoring it"),
    REFUSE(RESTORING, PROBE, "a domain runs here that this node does not own"),
    STAY(RESTORING, MOVE, OTHER, D_ANY, I_ANY, R_ANY, DESTROY,
         "it has moved already"),
    REFUSE(RESTORING, MOVE, "it is not restored yet"),
    REFUSE(RESTORING, COMMIT, "it is committed already, and taken over"),
    REFUSE(RESTORING, ROLLBACK, "it is committed: it never resumes here"),
    TAKE(RESTORING, LOADED, SELF | OLD | GONE, D_PAUSED, I_WHOLE, R_ANY,
         RESTORING, TAKE_DISKS, "the image is loaded again: take the disks"),
    REFUSE(RESTORING, LOADED, "another node is restoring it, or another image"),
    GO(RESTORING, RESUMED, SELF, D_HERE, I_ANY, R_ANY, RUNNING, OPEN_GATES,
       "it runs here: from the first write on the image is stale"),
    REFUSE(RESTORING, RESUMED, "it was taken over, or is gone"),
    GO(RESTORING, RESTORE_FAILED, SELF | OLD | GONE, D_ANY, I_WHOLE, R_ANY,
       SAVED, AGAIN, "the image could not be restored here"),
    REFUSE(RESTORING, RESTORE_FAILED,
           "another node is restoring it, or another image"),
    REFUSE(RESTORING, POWERED_OFF, "it is being restored"),
    REFUSE(RESTORING, DISCARD, "it is being restored"),
};
/* clang-format on */

static const char *const event_names[] = {
    [QM_EVENT_START] = "start",
    [QM_EVENT_STOP] = "stop",
    [QM_EVENT_PROBE] = "probe",
    [QM_EVENT_MOVE] = "move",
    [QM_EVENT_COMMIT] = "commit",
    [QM_EVENT_ROLLBACK] = "rollback",
    [QM_EVENT_LOADED] = "loaded",
    [QM_EVENT_RESUMED] = "resumed",
    [QM_EVENT_RESTORE_FAILED] = "restore-failed",
    [QM_EVENT_POWERED_OFF] = "powered-off",
    [QM_EVENT_DISCARD] = "discard",
};

static const char *const action_names[] = {
    [QM_ACTION_NONE] = "none",
    [QM_ACTION_REFUSE] = "refuse",
    [QM_ACTION_AGAIN] = "again",
    [QM_ACTION_COLD_BOOT] = "cold-boot",
    [QM_ACTION_RESTORE] = "restore",
    [QM_ACTION_RESUME] = "resume",
    [QM_ACTION_OPEN_GATES] = "open-gates",
    [QM_ACTION_TAKE_DISKS] = "take-disks",
    [QM_ACTION_SAVE] = "save",
    [QM_ACTION_POWER_DOWN] = "power-down",
    [QM_ACTION_DESTROY] = "destroy",
    [QM_ACTION_DESTROY_FIRST] = "destroy-first",
};

const char *
qm_event_name(qm_event event)
{
    return (unsigned) event < QM_EVENT_COUNT ? event_names[event] : "?";
}

const char *
qm_action_name(qm_action action)
{
    return (unsigned) action < G_N_ELEMENTS(action_names) ? action_names[action]
                                                          : "?";
}

const qm_transition *
qm_lifecycle_table(size_t *ret_rows)
{
    *ret_rows = G_N_ELEMENTS(table);
    return table;
}

qm_owner
qm_lifecycle_owner(const qm_record *record, const qm_node *self,
                   bool owner_gone)
{
    if (record->state == OFF || record->state == SAVED)
        return QM_OWNER_NOBODY;
    if (record->owner.id == self->id)
        return memcmp(record->owner.boot, self->boot, QM_UUID_LEN) == 0 ? SELF
                                                                        : OLD;
    return owner_gone ? GONE : ALIVE;
}

static const qm_transition *
find_row(const qm_record *record, qm_event event, const qm_facts *facts)
{
    static const qm_transition unknown = {.action = QM_ACTION_REFUSE,
                                          .why = "no rule for this: a bug"};

    for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
        const qm_transition *t = &table[i];

        if (t->from == record->state && t->event == event &&
            (t->owner & facts->owner) && (t->domain & facts->domain) &&
            (t->image & facts->image) && (t->restore & facts->restore))
            return t;
    }
    return &unknown;
}

/* One line that fits, cut between characters. */
static void
set_cause(qm_record *record, const char *cause)
{
    const char *end;

    memset(record->cause, 0, sizeof record->cause);
    g_strlcpy(record->cause, cause, sizeof record->cause);
    if (!g_utf8_validate(record->cause, -1, &end))
        record->cause[end - record->cause] = '\0';
    g_strdelimit(record->cause, "\r\n\t", ' ');
}

static void
compute_next(const qm_record *now, const qm_transition *row,
             const qm_facts *facts, qm_record *next)
{
    *next = *now;
    next->state = row->to;
    next->time_us = facts->now_us;
    set_cause(next, facts->cause != NULL ? facts->cause : row->why);
    if (row->new_generation) {
        next->generation++;
        next->owner = facts->self;
        next->fenced_us = facts->fenced_us;
    }
    if (row->new_image) {
        next->image_id++;
        next->image_length = 0;
        next->failed_restores = 0;
        next->target = facts->target;
    }
    if (row->from == SAVING && row->to == SAVED)
        next->image_length = facts->image_length;
    if (row->event == QM_EVENT_RESTORE_FAILED &&
        next->failed_restores < UINT32_MAX)
        next->failed_restores++;
    if (row->to == RUNNING || row->to == OFF) {
        next->failed_restores = 0;
        next->image_length = 0;
        memset(&next->target, 0, sizeof next->target);
    }
}

void
qm_lifecycle_decide(const qm_record *record, qm_event event,
                    const qm_facts *facts, qm_decision *ret_decision)
{
    const qm_transition *row = find_row(record, event, facts);

    ret_decision->row = row;
    ret_decision->write =
        row->to != row->from || row->new_generation || row->new_image ||
        (event == QM_EVENT_RESTORE_FAILED && row->action != QM_ACTION_REFUSE);
    if (ret_decision->write)
        compute_next(record, row, facts, &ret_decision->next);
    else
        ret_decision->next = *record;
}
