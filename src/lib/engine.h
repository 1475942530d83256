/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_ENGINE_H
#define QM_ENGINE_H

/*
 * What it takes to start, stop, watch and move one VM on this node: the
 * vault, the libvirt domain, the gates and the cluster, brought together
 * under the lifecycle table.  One engine serves one action.
 */
#include "cluster.h"
#include "domxml.h"
#include "gate-client.h"
#include "hints.h"
#include "image-crypt.h"
#include "live.h"
#include "local.h"
#include "runtime.h"
#include "timeouts.h"
#include "vault-backend.h"
#include "vm.h"

typedef enum { QM_STOP_SAVE, QM_STOP_SHUTDOWN, QM_STOP_POWEROFF } qm_stop;
typedef enum { QM_FAILURE_BOOT, QM_FAILURE_BLOCK } qm_failure;
typedef enum { QM_MODE_AUTO, QM_MODE_QUICK, QM_MODE_LIVE } qm_mode;

/* The resource's parameters.  Strings belong to the caller. */
typedef struct {
    const char *vault;
    const char *hypervisor;
    qm_stop stop_action;
    qm_failure on_restore_failure;
    unsigned restore_attempts;
    unsigned shutdown_timeout_s;
    qm_codec compress;
    unsigned reconnect_limit_s;
    bool allow_unfenced; /* disks: a target without reservations is taken */
    qm_mode mode;
    unsigned downtime_limit_ms;
    const char *image_secret; /* UUID of a libvirt secret; NULL: none */
    const char *network_map;  /* see netmap.h; NULL: none */
    unsigned health_misses;
    unsigned health_timeout_s;
    unsigned health_grace_s;
    const char *health_command; /* NULL: none */
} qm_params;

/* How the guest's memory gets into the vault. */
typedef enum {
    QM_COPY_PAUSED, /* the guest is paused from the beginning */
    QM_COPY_ONCE,   /* it runs on while all of its memory is copied once */
    QM_COPY_LIVE,   /* it runs on until what is left is little */
} qm_copy;

/* One step done, for the log.  @step: one word; @text: with figures. */
typedef void (*qm_report)(void *opaque, const char *step, const char *text);

typedef struct qm_early qm_early;

typedef struct {
    qm_params params;
    qm_timeouts t;
    const char *action;   /* "start" */
    const char *resource; /* the cluster resource's id; NULL: none */
    qm_report report;
    void *report_opaque;

    qm_cluster *cluster;
    qm_vault *vault;
    qm_url *url;
    char *vault_secret;      /* CHAP; NULL: none */
    qm_image_key *image_key; /* NULL: not yet, or none */
    qm_vm *vm;
    GArray *disk_notes; /* qm_disk_note; NULL: not read */
    bool disks_new;     /* they say what the vault does not yet */
    qm_domxml *dom;     /* parsed from the vault's XML; NULL: not yet */
    char *xml;          /* the vault's XML */
    qm_right_fn right;  /* of the last acquire */
    qm_lock *lock;      /* the VM's node lock; NULL: not taken */
    qm_record record;   /* as read or written last */
    /* Its owner is surely gone, which does not change any more: of this
     * record only.  NULL: not proved. */
    char *gone_why;
    qm_record gone;
    int64_t began;     /* the action, monotonic µs */
    int64_t fenced_us; /* qm_record's; 0: not asked yet */
    int64_t paused_at; /* the guest was suspended, monotonic µs; 0: no */
    qm_hints *hints;   /* of a move; NULL: none */
    qm_live *live;     /* of a live save under way; NULL: none */
    qm_early *early;   /* a boot that is being prepared; NULL: none */
    qm_copy copy;
    bool precopy; /* a move that waits for migrate_to before its end */
    bool last_save_known;
    qm_history last_save; /* zero: there was none */
} qm_engine;

/* --- engine.c ------------------------------------------------------------ */

/* Connects to cluster, vault and libvirt (no domain XML yet). */
bool qm__engine_open(qm_engine *e, GError **error);
void qm__engine_close(qm_engine *e);
/* Reads and parses the vault's domain XML once. */
bool qm__engine_need_xml(qm_engine *e, GError **error);
/* Reads the secret of encrypted images once, where the resource has one. */
bool qm__engine_need_key(qm_engine *e, GError **error);
/* A new connection to libvirt, after a call that did not come back. */
bool qm__engine_reconnect(qm_engine *e, const uint8_t *uuid, GError **error);
/* What to do with a quickmigd worker that holds the VM's lock. */
typedef enum {
    QM_WORKER_REAP, /* end it */
    QM_WORKER_WAIT, /* let it come to its end, unless it has stalled */
} qm_worker_rule;
/* Takes the VM's node lock. */
bool qm__engine_lock(qm_engine *e, qm_worker_rule rule, int64_t deadline,
                     GError **error);
/* Takes it if it is free: an action under way must not hold up a look. */
bool qm__engine_try_lock(qm_engine *e);
/* Reads this node's own fencing once, for a record that it will own. */
void qm__engine_need_fencing(qm_engine *e);
/* Sets the marker of an action under way; done: it came to its end. */
bool qm__engine_mark(qm_engine *e, GError **error);
void qm__engine_done(qm_engine *e);
void qm__engine_report(qm_engine *e, const char *step, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
const uint8_t *qm__engine_uuid(const qm_engine *e);
/* Deadline of one short call within @limit. */
int64_t qm__engine_call(const qm_engine *e, int64_t limit);
/* Half of what is left: for what goes on trying, when something has to come
 * after it in case it fails. */
int64_t qm__engine_half(const qm_engine *e);

/* Fills @facts for @record and what @event needs: owner, domain, image,
 * policy. */
bool qm__engine_facts(qm_engine *e, const qm_record *record, qm_event event,
                      qm_facts *facts, GError **error);
/* Is @record's owner, another node, surely gone?  @wait: as
 * qm__cluster_wait_gone(). */
bool qm__engine_owner_gone(qm_engine *e, const qm_record *record, bool wait,
                           bool *ret_gone, char **ret_why, GError **error);
/* Acquires the vault; @right decides with the record as it is now. */
bool qm__engine_acquire(qm_engine *e, qm_right_fn right, int64_t deadline,
                        GError **error);
/* Right of an owner: the record is this node's, or nobody's. */
bool qm__right_own(const qm_record *record, void *engine, GError **error);

/* Figures that go into the history with a transition. */
typedef struct {
    uint64_t bytes; /* of the image; COMMIT: goes into the record */
    int64_t duration_us;
    int64_t pause_us;
    const qm_node *target; /* MOVE; NULL: none */
    const char *cause;     /* NULL: the row's own words */
    uint64_t image_id;     /* LOADED, RESTORE_FAILED: of what was loaded here */
} qm_figures;

/* Decides on the record as known, and writes what comes next.  Needs the
 * vault acquired.  When the write's outcome is unknown: acquires, reads and
 * decides again.  REFUSED with the row's reason. */
bool qm__engine_transition(qm_engine *e, qm_event event,
                           const qm_figures *figures, int64_t deadline,
                           qm_decision *ret_decision, GError **error);

/* --- engine-identity.c ---------------------------------------------------- */

/* Is what the disk's gate has logged in to the LUN that the vault notes?
 * MISMATCH.  A disk of which nothing is noted passes, and is kept in mind. */
bool qm__disk_check_identity(qm_engine *e, const qm_disk *disk,
                             int64_t deadline, GError **error);
/* All disks', whose gates have been started. */
bool qm__disks_check_identity(qm_engine *e, int64_t deadline, GError **error);
/* Notes what is new in the vault, which is acquired.  That it fails is only
 * reported. */
void qm__disks_note_identity(qm_engine *e);

/* --- engine-disks.c: all gates of the VM --------------------------------- */

bool qm__disks_standby(qm_engine *e, int64_t deadline, GError **error);
bool
qm__disks_acquire(qm_engine *e, bool hold, int64_t deadline, GError **error);
bool qm__disks_open(qm_engine *e, int64_t deadline, GError **error);
bool qm__disks_drain(qm_engine *e, int64_t deadline, GError **error);
/* Opens all gates.  Starts those that died, and waits until QEMU is back at
 * them: requests that it had not got answered are repeated, nothing is lost.
 * Only while the record lets the guest write. */
bool qm__disks_mend(qm_engine *e, int64_t deadline, GError **error);
void qm__disks_stop(qm_engine *e, int64_t deadline);
/* "disk vda: write of … failed: …": what the gates say about failed requests;
 * NULL: nothing.  Caller frees. */
char *qm__disks_trouble(qm_engine *e, int64_t deadline);
/* All gates owner of this generation and able to serve? */
bool qm__disks_check(qm_engine *e, uint64_t generation, int64_t deadline,
                     GError **error);

/* --- engine-early.c: a boot, prepared before it is known whether it comes - */

/* Begins, where that makes sense, with what needs no right.  From here on only
 * the functions below touch gates and domain, until one of the last two. */
void qm__early_begin(qm_engine *e);
/* The vault is acquired: is everything prepared as it has to be?  false: use
 * drop(). */
bool qm__early_usable(qm_engine *e);
/* Waits for the domain: it is there, paused. */
bool qm__early_domain(qm_engine *e, GError **error);
/* Nothing of it is left afterwards. */
bool qm__early_drop(qm_engine *e, GError **error);

/* --- the actions --------------------------------------------------------- */

bool qm__engine_start(qm_engine *e, GError **error);
bool qm__engine_migrate_from(qm_engine *e, GError **error);
bool qm__engine_migrate_to(qm_engine *e, const char *target, GError **error);
/* The source's side, ahead of migrate_to: copies the guest's memory while it
 * runs, and waits until migrate_to asks for the end; without it, a minute at
 * most.  REFUSED: it cannot be moved live. */
bool qm__engine_precopy(qm_engine *e, const char *target, GError **error);
/* The target's side of a move, ahead of migrate_from: follows the image while
 * it is written, and takes over when it is committed. */
bool qm__engine_receive(qm_engine *e, const qm_message *offer, GError **error);
bool qm__engine_stop(qm_engine *e, GError **error);
/* For a stop whose engine could not be opened, because the vault is away: was
 * the VM started here in this boot at all? */
bool qm__engine_started_here(qm_engine *e);
/* The same: it was, and libvirt does not have it any more.  Then there is
 * nothing that waiting for the vault could save. */
bool qm__engine_ended_here(qm_engine *e);
/* Ends what runs here and publishes "released generation g" instead of
 * writing it.  Never started here: success. */
bool qm__engine_stop_blind(qm_engine *e, GError **error);
/* The vault is away: do libvirt and all gates vouch for a running VM? */
bool qm__engine_vouched(qm_engine *e, GError **error);
/* @ret_running: false: surely not running here. */
bool
qm__engine_monitor(qm_engine *e, bool probe, bool *ret_running, GError **error);

/* After a monitor that saw it run: does the guest answer?  UNSUPPORTED: it has
 * no channel for that.  Other errors: it failed, as the parameters have it. */
bool qm__engine_health(qm_engine *e, GError **error);

/* --- parts of actions ---------------------------------------------------- */

/* Destroys the domain; kills its QEMU where that hangs. */
bool qm__engine_destroy(qm_engine *e, const uint8_t *uuid, int64_t deadline,
                        GError **error);
/* Destroys a domain that must not be here, and ends its gates. */
bool qm__engine_clear(qm_engine *e, int64_t deadline, GError **error);
/* Record RUNNING is written: take the disks and boot. */
bool qm__engine_boot(qm_engine *e, GError **error);
/* The vault's XML as this node's libvirt gets it for a boot. */
bool qm__engine_boot_xml(qm_engine *e, char **ret_xml, GError **error);
/* Load the image, take over, resume.  @ret_bad_image: the image itself is at
 * fault (or QEMU refuses it), so that trying again is counted. */
bool qm__engine_restore(qm_engine *e, bool *ret_bad_image, GError **error);
/* Where following an image ends: looked at while it is followed.  NULL: the
 * image is complete already. */
typedef struct {
    qm_keep_going keep_going;
    void *opaque;
    qm_image_reader **reader; /* for its position; set while it reads */
} qm_following;
/* A load under way.  Zeroed; afterwards: qm__engine_load_clear(). */
typedef struct {
    struct qm_fifo *fifo;
    qm_vm_job *job;
    uint64_t image_id;
    uint64_t bytes; /* of the log */
    int64_t began;
    bool bad_image; /* it failed through the image, or QEMU refuses it */
} qm_load;
/* Hands the image to libvirt up to its last byte; QEMU need not have taken it
 * yet.  Failed: nothing of it is left here. */
bool qm__engine_load(qm_engine *e, const qm_following *following, qm_load *load,
                     GError **error);
/* The vault is acquired: takes the disks, waits for QEMU, resumes. */
bool qm__engine_take_over(qm_engine *e, qm_load *load, GError **error);
void qm__engine_load_clear(qm_load *load);
/* Writes this node's note; see local.h. */
bool qm__engine_note(qm_engine *e, uint64_t generation, GError **error);
/* From RUNNING (or a cut-off save) to SAVED; on failure the guest runs on,
 * unless @error is LOST (not known whether it is committed). */
bool qm__engine_save(qm_engine *e, const qm_node *target, int64_t deadline,
                     GError **error);
/* Part of it, record SAVING: the guest's state into the vault, all of it but
 * the commit.  Afterwards the guest is paused, or @error tells why it is not
 * saved, and it runs as before. */
bool qm__engine_stream(qm_engine *e, const qm_node *target, int64_t deadline,
                       uint64_t *ret_length, GError **error);
/* Pauses the guest and remembers when. */
bool qm__engine_suspend(qm_engine *e, GError **error);
/* What the last save cost: bytes per second, and bytes; 0: not known. */
uint64_t qm__engine_rate(qm_engine *e);
uint64_t qm__engine_last_bytes(qm_engine *e);

#endif
