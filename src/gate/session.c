/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * One attempt to get a usable session, on a thread of its own, so that the
 * loop answers `status` at once whatever the network does.  The thread owns
 * what it was given and shares nothing: no lock is needed.
 *
 * The invariant: whoever is preempted here was observed before the vault's
 * record was read.  A record that changes hands later has a new owner who
 * preempts us in turn; so the right is always asked inside qm__pr_acquire(),
 * never before.
 */
#include "config.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>
#include "cluster.h"
#include "session.h"
#include "timeouts.h"

#define LOGIN_LIMIT (3 * QM_S) /* one attempt: a lost SYN costs 1 s, then 3 */
#define READ_LIMIT  (5 * QM_S) /* opening and reading the vault */

struct session_job {
    GThread *thread;
    const gate_settings *settings;
    session_order order;
    session_result result;
    int done; /* eventfd, the loop's */
};

static int64_t
within(int64_t limit, int64_t deadline)
{
    return MIN(qm__deadline_in(limit), deadline);
}

/* --- the right ----------------------------------------------------------- */

static bool
is_owning_state(qm_state state)
{
    return state == QM_STATE_RUNNING || state == QM_STATE_SAVING ||
           state == QM_STATE_RESTORING;
}

bool
session_right(const qm_record *record, uint16_t node_id, const uint8_t *boot,
              uint64_t generation, GError **error)
{
    const char *why;

    if (!is_owning_state(record->state))
        why = "nobody owns the VM";
    else if (record->owner.id != node_id)
        why = "another node owns the VM";
    else if (memcmp(record->owner.boot, boot, QM_UUID_LEN) != 0)
        why = "this node owned the VM before it booted";
    else if (record->generation != generation)
        why = "the VM has changed hands meanwhile";
    else
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_REFUSED,
                "no right to the disk: %s (record: %s, owner %s, generation "
                "%" PRIu64 "; asked for generation %" PRIu64 ")",
                why, qm_state_name(record->state),
                record->owner.id != 0 ? record->owner.name : "nobody",
                record->generation, generation);
    return false;
}

static bool
read_record(const session_job *job, qm_record *ret_record, GError **error)
{
    const gate_settings *s = job->settings;
    qm_vault_params params = {.url = s->vault,
                              .initiator = s->initiator,
                              .chap_secret = s->vault_secret};
    g_autoptr(qm_vault) vault = NULL;

    if (!qm_vault_open(&params, within(READ_LIMIT, job->order.deadline), &vault,
                       error))
        return false;
    if (memcmp(qm_vault_get_info(vault)->uuid, s->vm_uuid, QM_UUID_LEN) != 0) {
        g_set_error(error, QM_ERROR, QM_ERROR_MISMATCH,
                    "vault %s belongs to VM \"%s\", not to \"%s\"", s->vault,
                    qm_vault_get_info(vault)->name, s->vm_name);
        return false;
    }
    return qm_vault_read_record(vault, ret_record, error);
}

/* A node that lost its quorum may learn of its loss any moment: it waits. */
static bool
check_quorum(int64_t deadline, GError **error)
{
    g_autoptr(qm_cluster) cluster = NULL;
    bool quorate;

    if (!qm__cluster_open(deadline, &cluster, error) ||
        !qm__cluster_quorate(cluster, &quorate, error))
        return false;
    if (!quorate)
        g_set_error(error, QM_ERROR, QM_ERROR_BUSY,
                    "this node has no quorum: waiting for it before the disk "
                    "is taken again");
    return quorate;
}

static bool
have_right(void *opaque, GError **error)
{
    const session_job *job = opaque;
    const session_order *o = &job->order;
    uint8_t boot[QM_UUID_LEN];
    qm_record record;

    if (o->need_quorum && job->settings->check_quorum &&
        !check_quorum(within(READ_LIMIT, o->deadline), error))
        return false;
    return qm__boot_identity(boot, error) && read_record(job, &record, error) &&
           session_right(&record, job->settings->node_id, boot, o->generation,
                         error);
}

/* --- the job ------------------------------------------------------------- */

/* A target that comes back with another LUN in place of ours must not get
 * the guest's writes.  One that has grown is ours still. */
static bool
is_same_lun(const session_job *job, const qm_lun *lun, GError **error)
{
    const qm_lun_info *was = &job->order.expected;
    const qm_lun_info *is = qm__lun_info(lun);

    if (was->size == 0 ||
        (was->block_size == is->block_size &&
         qm__lun_same(was->serial, was->size, is->serial, is->size)))
        return true;
    g_set_error(
        error, QM_ERROR, QM_ERROR_MISMATCH,
        "%s is another LUN than before: %" PRIu64 " bytes, serial \"%s\"; "
        "was %" PRIu64 " bytes, serial \"%s\"",
        job->settings->url.text, is->size, is->serial, was->size, was->serial);
    return false;
}

static bool
log_in(session_job *job, GError **error)
{
    const gate_settings *s = job->settings;
    qm_lun_params params = {
        .own_session = true,
        .url = &s->url,
        .initiator = s->initiator,
        .chap_secret = s->secret,
        .nexus = s->read_only ? QM_NEXUS_READER : QM_NEXUS_WRITER,
        .node_id = s->node_id,
    };

    return qm__lun_open(&params, within(LOGIN_LIMIT, job->order.deadline),
                        &job->order.lun, error) &&
           is_same_lun(job, job->order.lun, error);
}

/* Only where the target knows no reservations at all: one that refuses us has
 * a reason.  The reset is better than nothing: what another node has sent
 * before it is not carried out later, unless that node sends it again. */
static bool
acquire_unfenced(session_job *job, GError *why, GError **error)
{
    qm_lun *lun = job->order.lun;
    qm_pr_state state = {0};
    g_autoptr(GError) no = NULL;

    if (!job->settings->allow_unfenced ||
        !g_error_matches(why, QM_ERROR, QM_ERROR_UNSUPPORTED) ||
        qm__pr_read(lun, job->order.deadline, &state, &no) ||
        !g_error_matches(no, QM_ERROR, QM_ERROR_UNSUPPORTED)) {
        qm__pr_state_clear(&state);
        g_propagate_error(error, why);
        return false;
    }
    g_error_free(why);
    g_clear_error(&no);
    if (!have_right(job, error))
        return false;
    if (!qm__lun_reset(lun, job->order.deadline, &no) &&
        !g_error_matches(no, QM_ERROR, QM_ERROR_UNSUPPORTED)) {
        g_propagate_error(error, g_steal_pointer(&no));
        return false;
    }
    job->result.unfenced = true;
    return true;
}

static bool
attempt(session_job *job, GError **error)
{
    session_order *o = &job->order;
    GError *why = NULL;

    if (o->lun == NULL && !log_in(job, error))
        return false;
    if (!o->acquire)
        return true;
    return qm__pr_acquire(o->lun, job->settings->node_id, have_right, job,
                          o->deadline, &job->result.key, &why) ||
           acquire_unfenced(job, why, error);
}

/* After a failure the session goes too: it may be registered by now, and a
 * standby must not be. */
static gpointer
run(gpointer data)
{
    session_job *job = data;
    uint64_t one = 1;

    if (attempt(job, &job->result.error)) {
        job->result.lun = job->order.lun;
        job->result.acquired = job->order.acquire;
    } else {
        qm__lun_drop(job->order.lun);
    }
    if (write(job->done, &one, sizeof one) < 0) /* cannot: eventfd, no limit */
        g_error("eventfd: %s", g_strerror(errno));
    return NULL;
}

session_job *
session_start(const gate_settings *settings, const session_order *order,
              int done)
{
    session_job *job = g_new0(session_job, 1);

    job->settings = settings;
    job->order = *order;
    job->done = done;
    job->thread = g_thread_new("session", run, job);
    return job;
}

void
session_finish(session_job *job, session_result *ret_result)
{
    g_thread_join(job->thread);
    *ret_result = job->result;
    g_free(job);
}

bool
session_acquires(const session_job *job)
{
    return job->order.acquire;
}
