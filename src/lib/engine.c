/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The engine's foundation: what is read and seen goes into the lifecycle
 * table, what comes out is written to the vault, and a write whose outcome is
 * unknown is resolved only by acquiring and reading again.
 */
#include "config.h"
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <uuid/uuid.h>
#include "crash.h"
#include "engine.h"
#include "stream.h"
#include "worker.h"

#define MAX_TRIES      8 /* of one transition whose outcome was unknown */
#define LOCK_LOOK      (100 * QM_MS) /* how often its holder is looked at */
#define WORKER_STALLED (3 * QM_S)    /* it says nothing for so long */

const uint8_t *
qm__engine_uuid(const qm_engine *e)
{
    return qm_vault_get_info(e->vault)->uuid;
}

int64_t
qm__engine_call(const qm_engine *e, int64_t limit)
{
    return MIN(limit, qm__deadline_in(e->t.call));
}

int64_t
qm__engine_half(const qm_engine *e)
{
    return qm__deadline_in(qm__remaining(e->t.end) / 2);
}

void
qm__engine_report(qm_engine *e, const char *step, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    if (e->report == NULL)
        return;
    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    e->report(e->report_opaque, step, text);
}

/* The vault's CHAP secret, out of libvirt's secrets. */
static bool
fetch_vault_secret(qm_engine *e, GError **error)
{
    static const uint8_t nobody[QM_UUID_LEN];
    g_autoptr(qm_vm) vm = NULL;
    const char *name = e->url->secret != NULL ? e->url->secret : e->url->iqn;
    int64_t deadline = qm__engine_call(e, e->t.end);

    if (e->url->user == NULL)
        return true;
    return qm__vm_open(e->params.hypervisor, nobody, deadline, &vm, error) &&
           qm__vm_secret(vm, name, deadline, &e->vault_secret, error);
}

bool
qm__engine_open(qm_engine *e, GError **error)
{
    qm_vault_params params = {.url = e->params.vault};

    if (!qm_url_parse(e->params.vault, &e->url, error) ||
        !qm__cluster_open(qm__engine_call(e, e->t.end), &e->cluster, error) ||
        !fetch_vault_secret(e, error))
        return false;
    params.chap_secret = e->vault_secret;
    params.node_id = (uint16_t) qm__cluster_self(e->cluster)->id;
    return qm_vault_open(&params, qm__engine_call(e, e->t.end), &e->vault,
                         error) &&
           qm__vm_open(e->params.hypervisor, qm__engine_uuid(e),
                       qm__engine_call(e, e->t.end), &e->vm, error);
}

bool
qm__engine_reconnect(qm_engine *e, const uint8_t *uuid, GError **error)
{
    g_autoptr(qm_vm) vm = NULL;

    if (!qm__vm_open(e->params.hypervisor, uuid, qm__engine_call(e, e->t.end),
                     &vm, error))
        return false;
    qm__vm_close(e->vm);
    e->vm = g_steal_pointer(&vm);
    return true;
}

void
qm__engine_close(qm_engine *e)
{
    g_clear_pointer(&e->live, qm__live_free);
    g_clear_pointer(&e->hints, qm__hints_free);
    g_clear_pointer(&e->lock, qm__lock_release);
    g_clear_pointer(&e->vm, qm__vm_close);
    g_clear_pointer(&e->vault, qm_vault_close);
    g_clear_pointer(&e->cluster, qm__cluster_close);
    g_clear_pointer(&e->disk_notes, g_array_unref);
    g_clear_pointer(&e->dom, qm__domxml_free);
    g_clear_pointer(&e->url, qm_url_free);
    g_clear_pointer(&e->vault_secret, qm__secret_free);
    g_clear_pointer(&e->image_key, qm__image_key_free);
    g_clear_pointer(&e->xml, g_free);
    g_clear_pointer(&e->gone_why, g_free);
}

bool
qm__engine_need_key(qm_engine *e, GError **error)
{
    const char *name = e->params.image_secret;
    g_autoptr(GError) why = NULL;
    char *secret = NULL;
    uuid_t uuid;
    bool ok;

    if (name == NULL || e->image_key != NULL)
        return true;
    if (uuid_parse(name, uuid) != 0) {
        g_set_error(error, QM_ERROR, QM_ERROR_KEY,
                    "image_secret: \"%s\" is not a UUID", name);
        return false;
    }
    ok = qm__vm_secret(e->vm, name, qm__engine_call(e, e->t.end), &secret,
                       &why) &&
         qm__image_key_new(secret, &e->image_key, &why);
    qm__secret_free(secret);
    if (ok)
        return true;
    /* Not the image's fault, and nothing that a second try here mends. */
    if (g_error_matches(why, QM_ERROR, QM_ERROR_NOT_FOUND) ||
        g_error_matches(why, QM_ERROR, QM_ERROR_INVALID))
        why->code = QM_ERROR_KEY;
    g_propagate_prefixed_error(error, g_steal_pointer(&why), "image_secret: ");
    return false;
}

bool
qm__engine_need_xml(qm_engine *e, GError **error)
{
    g_autofree char *xml = NULL;
    g_autoptr(qm_domxml) dom = NULL;

    if (e->dom != NULL)
        return true;
    if (!qm_vault_read_xml(e->vault, &xml, error) ||
        !qm__domxml_parse(xml, &dom, error))
        return false;
    if (memcmp(dom->uuid, qm__engine_uuid(e), QM_UUID_LEN) != 0) {
        g_set_error(error, QM_ERROR, QM_ERROR_MISMATCH,
                    "vault %s: its domain XML is of another VM",
                    qm_vault_get_url(e->vault));
        return false;
    }
    e->xml = g_steal_pointer(&xml);
    e->dom = g_steal_pointer(&dom);
    return true;
}

/* Takes the lock, and gets a worker out of the way as @rule says. */
static bool
get_lock(qm_engine *e, const char *path, qm_worker_rule rule, int64_t deadline,
         GError **error)
{
    int64_t silence = rule == QM_WORKER_REAP ? 0 : WORKER_STALLED;

    for (;;) {
        g_autoptr(GError) why = NULL;
        int64_t until = MIN(deadline, qm__deadline_in(LOCK_LOOK));

        if (qm__worker_reap(qm__engine_uuid(e), silence))
            qm__engine_report(e, "worker", "of quickmigd ended");
        if (qm__lock_take(path, e->action, until, &e->lock, &why))
            return true;
        if (!g_error_matches(why, QM_ERROR, QM_ERROR_BUSY) ||
            qm__passed(deadline)) {
            g_propagate_error(error, g_steal_pointer(&why));
            return false;
        }
    }
}

bool
qm__engine_lock(qm_engine *e, qm_worker_rule rule, int64_t deadline,
                GError **error)
{
    const uint8_t *uuid = qm__engine_uuid(e);
    g_autofree char *dir = qm__vm_path(uuid, NULL);
    g_autofree char *path = qm__vm_path(uuid, "lock");

    if (!qm__runtime_prepare(uuid, error) ||
        !get_lock(e, path, rule, deadline, error))
        return false;
    QM_CRASH_POINT("locked");
    qm__fifo_sweep(dir);
    /* The vault's deadline was that of its opening. */
    qm__vault_set_deadline(e->vault, qm__engine_call(e, e->t.end));
    return true;
}

bool
qm__engine_mark(qm_engine *e, GError **error)
{
    if (!qm__marker_set(qm__engine_uuid(e), e->action, error))
        return false;
    QM_CRASH_POINT("marked");
    return true;
}

/* Without it another node goes by the clocks alone. */
void
qm__engine_need_fencing(qm_engine *e)
{
    g_autoptr(GError) why = NULL;

    if (e->fenced_us == 0 &&
        !qm__cluster_own_fencing(e->cluster, qm__engine_call(e, e->t.end),
                                 &e->fenced_us, &why))
        qm__engine_report(e, "fencing", "%s", why->message);
}

void
qm__engine_done(qm_engine *e)
{
    QM_CRASH_POINT("ending");
    qm__marker_clear(qm__engine_uuid(e));
    QM_CRASH_POINT("ended");
}

/* --- facts --------------------------------------------------------------- */

static bool
see_domain(qm_engine *e, qm_domain *ret_domain, GError **error)
{
    qm_vm_state state;

    if (e->early != NULL) { /* ours, and libvirt would keep us waiting */
        *ret_domain = QM_DOMAIN_NONE;
        return true;
    }
    if (!qm__vm_get_state(e->vm, qm__engine_call(e, e->t.end), &state, error))
        return false;
    *ret_domain = state == QM_VM_NONE      ? QM_DOMAIN_NONE
                  : state == QM_VM_RUNNING ? QM_DOMAIN_RUNNING
                                           : QM_DOMAIN_PAUSED;
    return true;
}

/* Every write gives a record another sequence. */
static bool
is_same_record(const qm_record *a, const qm_record *b)
{
    return a->sequence == b->sequence && a->generation == b->generation &&
           a->image_id == b->image_id && a->state == b->state &&
           a->time_us == b->time_us && a->owner.id == b->owner.id &&
           memcmp(a->owner.boot, b->owner.boot, QM_UUID_LEN) == 0;
}

/* A start asks five times, and each time asks Pacemaker's fencer: once it has
 * been proved of a record, it stays so. */
bool
qm__engine_owner_gone(qm_engine *e, const qm_record *record, bool wait,
                      bool *ret_gone, char **ret_why, GError **error)
{
    const uint8_t *uuid = qm__engine_uuid(e);
    bool ok;

    if (e->gone_why != NULL && is_same_record(record, &e->gone)) {
        *ret_gone = true;
        *ret_why = g_strdup(e->gone_why);
        return true;
    }
    ok = wait ? qm__cluster_wait_gone(e->cluster, uuid, record, e->t.work,
                                      ret_gone, ret_why, error)
              : qm__cluster_owner_gone(e->cluster, uuid, record,
                                       qm__engine_call(e, e->t.end), ret_gone,
                                       ret_why, error);
    if (ok && *ret_gone) {
        g_free(e->gone_why);
        e->gone_why = g_strdup(*ret_why);
        e->gone = *record;
    }
    return ok;
}

static bool
see_owner(qm_engine *e, const qm_record *record, qm_owner *ret_owner,
          GError **error)
{
    const qm_node *self = qm__cluster_self(e->cluster);
    qm_owner owner = qm_lifecycle_owner(record, self, false);
    g_autofree char *why = NULL;
    bool gone;

    if (owner == QM_OWNER_ALIVE) {
        if (!qm__engine_owner_gone(e, record, false, &gone, &why, error))
            return false;
        owner = qm_lifecycle_owner(record, self, gone);
    }
    *ret_owner = owner;
    return true;
}

/* Not in the middle of a save, nor when one is given up: its guest waits. */
static bool
image_matters(qm_event event, qm_domain domain)
{
    return event != QM_EVENT_MOVE && event != QM_EVENT_COMMIT &&
           (event != QM_EVENT_ROLLBACK || domain == QM_DOMAIN_NONE);
}

/* The image matters only where a save was cut off. */
static bool
see_image(qm_engine *e, const qm_record *record, qm_facts *facts,
          GError **error)
{
    qm_store *store;
    bool complete = false;
    g_autoptr(GError) why = NULL;

    facts->image = QM_IMAGE_INCOMPLETE;
    if (record->state != QM_STATE_SAVING)
        return true;
    if (!qm__vault_image(e->vault, record->image_id, false, &store, &why)) {
        if (g_error_matches(why, QM_ERROR, QM_ERROR_CORRUPT))
            return true; /* it was never begun */
        g_propagate_error(error, g_steal_pointer(&why));
        return false;
    }
    if (!qm__image_check(store, qm__engine_uuid(e), record->image_id,
                         qm__engine_half(e), &complete, &facts->image_length,
                         error))
        return false;
    if (complete)
        facts->image = QM_IMAGE_COMPLETE;
    else
        facts->image_length = 0;
    return true;
}

static qm_restore_policy
see_policy(const qm_engine *e, const qm_record *record)
{
    if (record->failed_restores < e->params.restore_attempts)
        return QM_RESTORE_ALLOWED;
    return e->params.on_restore_failure == QM_FAILURE_BOOT ? QM_RESTORE_BOOT
                                                           : QM_RESTORE_BLOCK;
}

bool
qm__engine_facts(qm_engine *e, const qm_record *record, qm_event event,
                 qm_facts *facts, GError **error)
{
    qm_facts f = {.self = *qm__cluster_self(e->cluster),
                  .restore = see_policy(e, record),
                  .image = QM_IMAGE_INCOMPLETE,
                  .now_us = g_get_real_time(),
                  .fenced_us = e->fenced_us};

    if (!see_owner(e, record, &f.owner, error) ||
        !see_domain(e, &f.domain, error))
        return false;
    if (f.owner != QM_OWNER_ALIVE && image_matters(event, f.domain) &&
        !see_image(e, record, &f, error))
        return false;
    *facts = f;
    return true;
}

/* --- acquire and write --------------------------------------------------- */

bool
qm__right_own(const qm_record *record, void *engine, GError **error)
{
    qm_engine *e = engine;
    qm_owner owner =
        qm_lifecycle_owner(record, qm__cluster_self(e->cluster), false);

    if (owner != QM_OWNER_ALIVE)
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_REFUSED,
                "VM %s is %s on %s: not this node's any more",
                qm_vault_get_info(e->vault)->name, qm_state_name(record->state),
                record->owner.name);
    return false;
}

bool
qm__engine_acquire(qm_engine *e, qm_right_fn right, int64_t deadline,
                   GError **error)
{
    e->right = right;
    return qm_vault_acquire(e->vault, right, e, deadline, &e->record, error);
}

static bool
write_next(qm_engine *e, const qm_transition *row, qm_record *next,
           const qm_figures *figures, GError **error)
{
    qm_history entry = {
        .time_us = next->time_us,
        .generation = next->generation,
        .from = row->from,
        .to = row->to,
        .node_id = qm__cluster_self(e->cluster)->id,
        .bytes = figures->bytes,
        .duration_us = (uint64_t) figures->duration_us,
        .pause_us = (uint64_t) figures->pause_us,
    };
    g_autoptr(GError) ignored = NULL;

    if (!qm_vault_write_record(e->vault, next, error))
        return false;
    QM_CRASH_POINT_OF("record", qm_state_name(next->state));
    e->record = *next;
    entry.sequence = next->sequence;
    g_strlcpy(entry.node, qm__cluster_self(e->cluster)->name,
              sizeof entry.node);
    g_strlcpy(entry.cause, next->cause, sizeof entry.cause);
    /* The record counts; a history with a gap is no reason to fail. */
    (void) qm_vault_append_history(e->vault, &entry, &ignored);
    QM_CRASH_POINT_OF("history", qm_state_name(next->state));
    return true;
}

/* What the caller knows better than what can be seen.  While an image was
 * loaded here, another node may have run the VM and saved it again. */
static void
add_figures(qm_engine *e, qm_event event, const qm_figures *figures,
            qm_facts *facts)
{
    if (figures->target != NULL)
        facts->target = *figures->target;
    facts->cause = figures->cause;
    if (event == QM_EVENT_COMMIT)
        facts->image_length = figures->bytes;
    if (event == QM_EVENT_LOADED || event == QM_EVENT_RESTORE_FAILED)
        facts->image = figures->image_id == e->record.image_id
                           ? QM_IMAGE_COMPLETE
                           : QM_IMAGE_INCOMPLETE;
}

/* One decision on the record as known, written. */
static bool
try_transition(qm_engine *e, qm_event event, const qm_figures *figures,
               qm_decision *d, GError **error)
{
    qm_facts facts;

    if (!qm__engine_facts(e, &e->record, event, &facts, error))
        return false;
    add_figures(e, event, figures, &facts);
    qm_lifecycle_decide(&e->record, event, &facts, d);
    if (d->row->action == QM_ACTION_REFUSE) {
        g_set_error(error, QM_ERROR, QM_ERROR_REFUSED, "VM %s is %s%s%s: %s",
                    qm_vault_get_info(e->vault)->name,
                    qm_state_name(e->record.state),
                    e->record.owner.name[0] != '\0' ? ", owner " : "",
                    e->record.owner.name, d->row->why);
        return false;
    }
    if (!d->write)
        return true;
    if (!write_next(e, d->row, &d->next, figures, error))
        return false;
    qm__engine_report(e, "record", "%s -> %s, generation %" PRIu64 ": %s",
                      qm_state_name(d->row->from), qm_state_name(d->row->to),
                      d->next.generation, d->next.cause);
    return true;
}

static bool
is_unknown_outcome(const GError *error)
{
    return g_error_matches(error, QM_ERROR, QM_ERROR_LOST) ||
           g_error_matches(error, QM_ERROR, QM_ERROR_CONFLICT) ||
           g_error_matches(error, QM_ERROR, QM_ERROR_TIMEOUT);
}

bool
qm__engine_transition(qm_engine *e, qm_event event, const qm_figures *figures,
                      int64_t deadline, qm_decision *ret_decision,
                      GError **error)
{
    static const qm_figures none;

    for (int i = 0;; i++) {
        g_autoptr(GError) why = NULL;
        qm_decision d;

        qm__vault_set_deadline(e->vault, qm__engine_call(e, deadline));
        if (try_transition(e, event, figures != NULL ? figures : &none, &d,
                           &why)) {
            *ret_decision = d;
            return true;
        }
        if (!is_unknown_outcome(why) || i == MAX_TRIES ||
            qm__passed(deadline)) {
            g_propagate_error(error, g_steal_pointer(&why));
            return false;
        }
        qm__engine_report(e, "record", "outcome unknown (%s): acquiring anew",
                          why->message);
        if (!qm__engine_acquire(e, e->right, deadline, error))
            return false;
    }
}
