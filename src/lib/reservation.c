/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * SCSI-3 persistent reservations, used as a compare-and-swap on who may
 * write.  The invariant: when acquire has returned, this nexus is the holder
 * and the only registrant, and no write that anybody else sent before can
 * still reach the medium.  PREEMPT alone does not give that: a target may
 * have taken a write off the wire before and carry it out later; only a LUN
 * RESET is known to wait for it.
 *
 * What targets differ in: tgt binds a registration to one login and keeps it,
 * holding, after that is gone; it forgets everything when it restarts; its
 * RESERVE does not look at the key.  LIO binds a registration to the
 * initiator port, so that a node which comes back finds itself registered.
 * Both are right here, because nothing is believed but what was read last.
 */
#include "config.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>
#include "crash.h"
#include "lun-internal.h"
#include "reservation.h"

#define KEYS_MAX    512  /* registrations read at once */
#define ROUNDS_MAX  4    /* of removing registrants that keep coming */
#define RESET_AGAIN QM_S /* a LUN RESET without an answer is sent again */
#define OUT_LENGTH  24   /* bytes: PERSISTENT RESERVE OUT parameters */

enum { /* service actions */
       IN_READ_KEYS = 0,
       IN_READ_RESERVATION = 1,
       OUT_REGISTER = 0,
       OUT_RESERVE = 1,
       OUT_RELEASE = 2,
       OUT_PREEMPT = 4,
       OUT_PREEMPT_AND_ABORT = 5,
       OUT_REGISTER_AND_IGNORE = 6
};

enum { /* ASC << 8 | ASCQ */
       INVALID_OPCODE = 0x2000,
       INVALID_FIELD_IN_CDB = 0x2400,
       INVALID_FIELD_IN_PARAMETERS = 0x2600
};

/* --- keys ---------------------------------------------------------------- */

bool
qm__key_is_ours(uint64_t key)
{
    return key >> 48 == QM_KEY_MAGIC;
}

uint16_t
qm__key_node(uint64_t key)
{
    return (uint16_t) (key >> 32);
}

static bool
is_listed(uint64_t key, const uint64_t *listed, size_t n_listed)
{
    for (size_t i = 0; i < n_listed; i++)
        if (listed[i] == key)
            return true;
    return false;
}

bool
qm__key_draw(uint16_t node_id, const uint64_t *listed, size_t n_listed,
             uint64_t *ret_key, GError **error)
{
    uint64_t key;
    uint32_t random;

    do {
        if (getrandom(&random, sizeof random, 0) != sizeof random) {
            g_set_error(error, QM_ERROR, QM_ERROR_IO,
                        "drawing a reservation key: %s", g_strerror(errno));
            return false;
        }
        key = QM_KEY_MAGIC << 48 | (uint64_t) node_id << 32 | random;
    } while (random == 0 || is_listed(key, listed, n_listed));
    *ret_key = key;
    return true;
}

/* --- commands ------------------------------------------------------------ */

static bool
is_unsupported(const qm_scsi_status *s)
{
    return s->result == QM_SCSI_ERROR && s->key == SCSI_SENSE_ILLEGAL_REQUEST &&
           (s->ascq == INVALID_OPCODE || s->ascq == INVALID_FIELD_IN_CDB ||
            s->ascq == INVALID_FIELD_IN_PARAMETERS);
}

static bool
refused(const qm_lun *lun, const char *what, const qm_scsi_status *s,
        GError **error)
{
    if (s->result == QM_SCSI_FENCED)
        g_set_error(error, QM_ERROR, QM_ERROR_CONFLICT,
                    "%s %s: another node was faster", what, lun->name);
    else if (is_unsupported(s))
        g_set_error(error, QM_ERROR, QM_ERROR_UNSUPPORTED,
                    "%s %s: the target does not know SCSI-3 persistent "
                    "reservations (%x/%04x): nothing would keep the writes "
                    "of a node away that was taken for dead; use another "
                    "target (for a disk, allow_unfenced=true accepts it; for "
                    "a vault, use a directory)",
                    what, lun->name, s->key, s->ascq);
    else
        return qm__scsi_fail(lun, what, s, error);
    return false;
}

/* @ret_length: bytes that came. */
static bool
pr_in(qm_lun *lun, uint8_t action, const char *what, uint8_t *buf,
      uint32_t length, int64_t deadline, uint32_t *ret_length, GError **error)
{
    const qm_scsi_request request = {
        .cdb = {SCSI_OPCODE_PERSISTENT_RESERVE_IN,
                action, [7] = (uint8_t) (length >> 8), [8] = (uint8_t) length},
        .cdb_length = 10,
        .direction = SCSI_XFER_READ,
        .length = length,
        .short_ok = true};
    qm_scsi_status status;

    memset(buf, 0, length);
    return qm__scsi_execute(lun, what, &request, buf, deadline, &status,
                            ret_length, error) &&
           (status.result == QM_SCSI_GOOD ||
            refused(lun, what, &status, error));
}

static bool
pr_out_status(qm_lun *lun, uint8_t action, const char *what, uint64_t key,
              uint64_t action_key, int64_t deadline, qm_scsi_status *ret_status,
              GError **error)
{
    bool typed = action != OUT_REGISTER && action != OUT_REGISTER_AND_IGNORE;
    const qm_scsi_request request = {
        .cdb = {SCSI_OPCODE_PERSISTENT_RESERVE_OUT, action,
                typed ? QM_PR_TYPE : 0, [8] = OUT_LENGTH},
        .cdb_length = 10,
        .direction = SCSI_XFER_WRITE,
        .length = OUT_LENGTH};
    uint8_t parameters[OUT_LENGTH] = {0};

    qm__put_be64(parameters, key);
    qm__put_be64(parameters + 8, action_key);
    return qm__scsi_execute(lun, what, &request, parameters, deadline,
                            ret_status, NULL, error);
}

static bool
pr_out(qm_lun *lun, uint8_t action, const char *what, uint64_t key,
       uint64_t action_key, int64_t deadline, GError **error)
{
    qm_scsi_status status;

    return pr_out_status(lun, action, what, key, action_key, deadline, &status,
                         error) &&
           (status.result == QM_SCSI_GOOD ||
            refused(lun, what, &status, error));
}

/* --- reading ------------------------------------------------------------- */

static bool
read_holder(qm_lun *lun, int64_t deadline, qm_pr_state *state, GError **error)
{
    uint8_t buf[256];
    uint32_t length;

    if (!pr_in(lun, IN_READ_RESERVATION, "reading the reservation of", buf,
               sizeof buf, deadline, &length, error))
        return false;
    state->holder = 0;
    state->type = 0;
    if (length >= 24 && qm__be32(buf + 4) >= 16) {
        state->holder = qm__be64(buf + 8);
        state->type = buf[21] & 0x0f;
    }
    return true;
}

static bool
read_keys(qm_lun *lun, int64_t deadline, qm_pr_state *state, GError **error)
{
    uint8_t buf[8 + 8 * KEYS_MAX];
    uint32_t length, listed;

    if (!pr_in(lun, IN_READ_KEYS, "reading the registrations of", buf,
               sizeof buf, deadline, &length, error))
        return false;
    if (length < 8) {
        g_set_error(error, QM_ERROR, QM_ERROR_IO,
                    "reading the registrations of %s: an answer of %" PRIu32
                    " bytes",
                    lun->name, length);
        return false;
    }
    listed = MIN(qm__be32(buf + 4), length - 8) / 8;
    state->generation = qm__be32(buf);
    g_array_set_size(state->keys, 0);
    for (uint32_t i = 0; i < listed; i++) {
        uint64_t key = qm__be64(buf + 8 + 8 * i);

        g_array_append_val(state->keys, key);
    }
    return true;
}

bool
qm__pr_read(qm_lun *lun, int64_t deadline, qm_pr_state *ret_state,
            GError **error)
{
    qm_pr_state state = {.keys = g_array_new(FALSE, FALSE, sizeof(uint64_t))};

    if (!read_keys(lun, deadline, &state, error) ||
        !read_holder(lun, deadline, &state, error)) {
        qm__pr_state_clear(&state);
        return false;
    }
    *ret_state = state;
    return true;
}

void
qm__pr_state_clear(qm_pr_state *state)
{
    if (state->keys != NULL)
        g_array_unref(state->keys);
    state->keys = NULL;
}

static bool
check_ours(const qm_lun *lun, const qm_pr_state *state, GError **error)
{
    if (state->type == 0 ||
        (state->type == QM_PR_TYPE && qm__key_is_ours(state->holder)))
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_FOREIGN,
                "%s is reserved with key %#" PRIx64 ", type %d, by something "
                "that is not quickmig; if it is out of use, clear it there or "
                "with sg_persist",
                lun->name, state->holder, state->type);
    return false;
}

static bool
check_holder(const qm_lun *lun, const qm_pr_state *state, uint64_t key,
             GError **error)
{
    if (state->holder == key && state->type == QM_PR_TYPE)
        return true;
    if (state->type == 0)
        g_set_error(error, QM_ERROR, QM_ERROR_CONFLICT,
                    "%s: the reservation is gone (target restarted?)",
                    lun->name);
    else
        g_set_error(
            error, QM_ERROR, QM_ERROR_CONFLICT,
            "%s: the reservation is now held with key %#" PRIx64 " (node %u)",
            lun->name, state->holder,
            qm__key_is_ours(state->holder) ? qm__key_node(state->holder) : 0);
    return false;
}

bool
qm__pr_verify(qm_lun *lun, uint64_t key, int64_t deadline, GError **error)
{
    qm_pr_state state = {0};

    return read_holder(lun, deadline, &state, error) &&
           check_holder(lun, &state, key, error);
}

/* --- the barrier --------------------------------------------------------- */

/* Commands of our own would be aborted by the reset, some without answer. */
static bool
drain(qm_lun *lun, int64_t deadline, GError **error)
{
    while (!lun->lost && lun->commands.length > 0)
        qm__lun_turn(lun, deadline);
    return !lun->lost || qm__lun_lost_error(lun, "using", deadline, error);
}

typedef struct {
    qm_lun *lun;
    unsigned number;
} reset_call;

static void
on_reset(void *opaque, bool ok, int response)
{
    reset_call *call = opaque;
    qm_lun *lun = call->lun;

    if (lun->link == NULL) {
        /* being torn down */
    } else if (!ok) {
        qm__lun_link_lost(lun);
    } else {
        lun->reset_answered = call->number;
        lun->reset_response = response;
    }
    g_free(call);
}

static void
send_reset(qm_lun *lun)
{
    reset_call *call = g_new(reset_call, 1);

    *call = (reset_call){.lun = lun, .number = ++lun->resets};
    if (lun->link->ops->reset_lun(lun->link, on_reset, call))
        return;
    g_free(call);
    qm__lun_link_lost(lun);
    qm__lun_fail(lun);
}

/* The last one: an earlier one, answered late, would leave another under way
 * that later looks like somebody else's. */
static bool
is_answered(const qm_lun *lun)
{
    return lun->reset_answered == lun->resets;
}

/* tgt never answers a LUN RESET when another one, of anybody, comes while
 * both wait for the same command.  So it is sent again, unless another node
 * was the reason: a reset by somebody who is no holder would hit the one who
 * is. */
static bool
wait_reset(qm_lun *lun, uint64_t key, int64_t deadline, GError **error)
{
    do {
        int64_t again = MIN(qm__deadline_in(RESET_AGAIN), deadline);

        send_reset(lun);
        while (!is_answered(lun) && !lun->lost && !qm__passed(again))
            qm__lun_wait(lun, again);
    } while (!is_answered(lun) && !lun->lost && !qm__passed(deadline) &&
             (key == 0 || qm__pr_verify(lun, key, deadline, error)) &&
             !is_answered(lun));
    return is_answered(lun) && !lun->lost;
}

static bool
check_response(const qm_lun *lun, GError **error)
{
    if (lun->reset_response == ISCSI_TMR_FUNC_COMPLETE)
        return true;
    g_set_error(error, QM_ERROR,
                lun->reset_response == ISCSI_TMR_TMF_NOT_SUPPORTED
                    ? QM_ERROR_UNSUPPORTED
                    : QM_ERROR_IO,
                "LUN RESET of %s: the target answers %d; without it a write "
                "of an earlier owner could come late",
                lun->name, lun->reset_response);
    return false;
}

static bool
reset(qm_lun *lun, uint64_t key, int64_t deadline, GError **error)
{
    GError *why = NULL;

    if (!drain(lun, deadline, error))
        return false;
    if (!wait_reset(lun, key, deadline, &why)) {
        /* Whether it will be done nobody knows: only a new session can ask. */
        qm__lun_lose(lun, "LUN RESET without an answer");
        qm__lun_fail(lun);
        if (why == NULL)
            return qm__lun_lost_error(lun, "LUN RESET of", deadline, error);
        g_propagate_error(error, why);
        return false;
    }
    QM_CRASH_POINT("lun-reset");
    return check_response(lun, error) && qm__lun_absorb(lun, deadline, error);
}

/* Among the unit attentions may be one that says we are fenced. */
bool
qm__lun_reset(qm_lun *lun, int64_t deadline, GError **error)
{
    return reset(lun, lun->key, deadline, error) &&
           (lun->key == 0 || qm__pr_verify(lun, lun->key, deadline, error));
}

/* --- acquire ------------------------------------------------------------- */

/* Step (1).  The keys are read first, to draw one that nobody has. */
static bool
register_key(qm_lun *lun, uint16_t node_id, int64_t deadline, uint64_t *ret_key,
             GError **error)
{
    qm_pr_state state = {0};
    bool ok;

    if (!qm__pr_read(lun, deadline, &state, error))
        return false;
    ok = check_ours(lun, &state, error) &&
         qm__key_draw(node_id, (const uint64_t *) (void *) state.keys->data,
                      state.keys->len, ret_key, error) &&
         pr_out(lun, OUT_REGISTER_AND_IGNORE, "registering at", 0, *ret_key,
                deadline, error);
    QM_CRASH_POINT("lun-registered");
    qm__pr_state_clear(&state);
    return ok;
}

/* Compare and swap: fails when @holder is no longer registered. */
static bool
preempt(qm_lun *lun, uint64_t key, uint64_t holder, int64_t deadline,
        GError **error)
{
    static const char what[] = "preempting the holder of";
    qm_scsi_status status;

    if (!pr_out_status(lun, OUT_PREEMPT_AND_ABORT, what, key, holder, deadline,
                       &status, error))
        return false;
    if (is_unsupported(&status) &&
        !pr_out_status(lun, OUT_PREEMPT, what, key, holder, deadline, &status,
                       error))
        return false;
    return status.result == QM_SCSI_GOOD || refused(lun, what, &status, error);
}

/* Step (4), against the holder that was observed in (2). */
static bool
take(qm_lun *lun, uint64_t key, const qm_pr_state *observed, int64_t deadline,
     GError **error)
{
    if (observed->type == 0)
        return pr_out(lun, OUT_RESERVE, "reserving", key, 0, deadline, error);
    if (observed->holder == key) /* registrations that follow the ISID */
        return true;
    return preempt(lun, key, observed->holder, deadline, error);
}

/* Step (6): others may be registered, and so could write. */
static bool
remove_others(qm_lun *lun, uint64_t key, int64_t deadline, GError **error)
{
    qm_pr_state state = {0};
    bool ok, alone = false;

    for (int round = 0; round < ROUNDS_MAX && !alone; round++) {
        if (!qm__pr_read(lun, deadline, &state, error))
            return false;
        ok = check_holder(lun, &state, key, error);
        alone = ok && state.keys->len == 1 &&
                g_array_index(state.keys, uint64_t, 0) == key;
        for (guint i = 0; ok && i < state.keys->len; i++) {
            uint64_t other = g_array_index(state.keys, uint64_t, i);
            qm_scsi_status status;

            /* One that is gone by now is no conflict: read again. */
            if (other != key)
                ok =
                    pr_out_status(lun, OUT_PREEMPT, "removing registrations of",
                                  key, other, deadline, &status, error) &&
                    (status.result == QM_SCSI_GOOD ||
                     status.result == QM_SCSI_FENCED ||
                     refused(lun, "removing registrations of", &status, error));
        }
        qm__pr_state_clear(&state);
        if (!ok)
            return false;
    }
    if (!alone)
        g_set_error(error, QM_ERROR, QM_ERROR_CONFLICT,
                    "%s: others keep registering", lun->name);
    return alone;
}

/* Leaves no registration behind where that gives nothing up. */
static void
unregister(qm_lun *lun, uint64_t key, int64_t deadline)
{
    if (!lun->lost) /* best effort: the next holder removes it */
        (void) pr_out(lun, OUT_REGISTER, "unregistering from", key, 0, deadline,
                      NULL);
}

/* Steps (2) to (4). */
static bool
become_holder(qm_lun *lun, uint64_t key, qm_pr_right right, void *opaque,
              int64_t deadline, GError **error)
{
    qm_pr_state observed = {.holder = key}; /* for all we know */

    if (read_holder(lun, deadline, &observed, error) &&
        check_ours(lun, &observed, error) && right(opaque, error) &&
        take(lun, key, &observed, deadline, error)) {
        QM_CRASH_POINT("lun-reserved");
        return true;
    }
    if (observed.holder != key)
        unregister(lun, key, deadline);
    return false;
}

bool
qm__pr_acquire(qm_lun *lun, uint16_t node_id, qm_pr_right right, void *opaque,
               int64_t deadline, uint64_t *ret_key, GError **error)
{
    uint64_t key;

    lun->key = 0; /* until it holds; what it is told meanwhile is read */
    if (!drain(lun, deadline, error) ||
        !register_key(lun, node_id, deadline, &key, error) ||
        !become_holder(lun, key, right, opaque, deadline, error) ||
        !reset(lun, key, deadline, error) ||
        !remove_others(lun, key, deadline, error))
        return false;
    QM_CRASH_POINT("lun-acquired");
    *ret_key = lun->key = key;
    return true;
}

bool
qm__pr_release(qm_lun *lun, uint64_t key, int64_t deadline, GError **error)
{
    lun->key = 0;
    return pr_out(lun, OUT_RELEASE, "releasing", key, 0, deadline, error) &&
           pr_out(lun, OUT_REGISTER, "unregistering from", key, 0, deadline,
                  error);
}
