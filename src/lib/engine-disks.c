/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The VM's disks: one gate for each iSCSI LUN.  Disks on shared file systems
 * or block devices have none; they are protected by cluster fencing only.
 */
#include "config.h"
#include <inttypes.h>
#include <string.h>
#include "crash.h"
#include "engine.h"

#define REVIVE_PAUSE (100 * QM_MS)
#define SILENT       (5 * QM_S) /* this gate hangs */

static const qm_disk *
disk_at(const qm_engine *e, guint i)
{
    return g_ptr_array_index(e->dom->disks, i);
}

static bool
about(const qm_disk *disk, GError **error)
{
    g_prefix_error(error, "disk %s: ", disk->target);
    return false;
}

static bool
start_gate(qm_engine *e, const qm_disk *disk, uid_t uid, gid_t gid,
           int64_t deadline, GError **error)
{
    qm_gate_config config = {
        .vm_name = qm_vault_get_info(e->vault)->name,
        .disk = disk,
        .vault_url = qm_vault_get_url(e->vault),
        .vault_secret = e->vault_secret,
        .node_id = (uint16_t) qm__cluster_self(e->cluster)->id,
        .qemu_uid = uid,
        .qemu_gid = gid,
        .reconnect_limit_s = e->params.reconnect_limit_s,
        .allow_unfenced = e->params.allow_unfenced,
    };
    const char *name =
        disk->url->secret != NULL ? disk->url->secret : disk->url->iqn;
    char *secret = NULL;
    bool ok;

    if (disk->url->user != NULL &&
        !qm__vm_secret(e->vm, name, deadline, &secret, error))
        return false;
    memcpy(config.vm_uuid, qm__engine_uuid(e), QM_UUID_LEN);
    config.disk_secret = secret;
    ok = qm__gate_start(&config, deadline, error);
    qm__secret_free(secret);
    return ok;
}

bool
qm__disks_standby(qm_engine *e, int64_t deadline, GError **error)
{
    uid_t uid;
    gid_t gid;

    if (!qm__engine_need_xml(e, error))
        return false;
    if (e->dom->disks->len > 0 &&
        !qm__vm_qemu_user(e->vm, deadline, &uid, &gid, error))
        return false;
    for (guint i = 0; i < e->dom->disks->len; i++) {
        if (!start_gate(e, disk_at(e, i), uid, gid, deadline, error))
            return about(disk_at(e, i), error);
        QM_CRASH_POINT("gate-started");
    }
    QM_CRASH_POINT("gates-started");
    return true;
}

bool
qm__disks_acquire(qm_engine *e, bool hold, int64_t deadline, GError **error)
{
    for (guint i = 0; i < e->dom->disks->len; i++) {
        const qm_disk *disk = disk_at(e, i);

        if (!disk->read_only &&
            !qm__gate_acquire(qm__engine_uuid(e), disk->target,
                              e->record.generation, hold, deadline, error))
            return about(disk, error);
        QM_CRASH_POINT("disk-acquired");
    }
    QM_CRASH_POINT("disks-acquired");
    return true;
}

bool
qm__disks_open(qm_engine *e, int64_t deadline, GError **error)
{
    if (!qm__engine_need_xml(e, error))
        return false;
    for (guint i = 0; i < e->dom->disks->len; i++) {
        if (!disk_at(e, i)->read_only &&
            !qm__gate_open(qm__engine_uuid(e), disk_at(e, i)->target, deadline,
                           error))
            return about(disk_at(e, i), error);
        QM_CRASH_POINT("disk-opened");
    }
    QM_CRASH_POINT("disks-opened");
    return true;
}

bool
qm__disks_drain(qm_engine *e, int64_t deadline, GError **error)
{
    for (guint i = 0; i < e->dom->disks->len; i++) {
        if (!disk_at(e, i)->read_only &&
            !qm__gate_drain(qm__engine_uuid(e), disk_at(e, i)->target, deadline,
                            error))
            return about(disk_at(e, i), error);
        QM_CRASH_POINT("disk-drained");
    }
    QM_CRASH_POINT("disks-drained");
    return true;
}

/* A gate answers at once, whatever its network does.  One that is silent
 * hangs: ended, it is as good as one that died. */
static bool
ask_gate(qm_engine *e, const qm_disk *disk, int64_t deadline,
         qm_gate_status *status, GError **error)
{
    g_autoptr(GError) why = NULL;

    if (qm__gate_get_status(qm__engine_uuid(e), disk->target,
                            MIN(deadline, qm__deadline_in(SILENT)), status,
                            &why))
        return true;
    if (g_error_matches(why, QM_ERROR, QM_ERROR_TIMEOUT)) {
        qm__engine_report(e, "gate", "%s: ending it", why->message);
        if (!qm__gate_stop(qm__engine_uuid(e), disk->target, deadline, error))
            return false;
        why->code = QM_ERROR_NOT_FOUND;
    }
    g_propagate_error(error, g_steal_pointer(&why));
    return false;
}

/* A start that was cut off may have left a gate that owns nothing yet. */
static bool
own_gate(qm_engine *e, const qm_disk *disk, const qm_gate_status *status,
         int64_t deadline, GError **error)
{
    return status->state != QM_GATE_STANDBY ||
           qm__gate_acquire(qm__engine_uuid(e), disk->target,
                            e->record.generation, false, deadline, error);
}

/* Starts the disk's gate if it died.  @mended: set when it had. */
static bool
mend_gate(qm_engine *e, const qm_disk *disk, int64_t deadline, bool *mended,
          GError **error)
{
    g_autoptr(GError) why = NULL;
    qm_gate_status status;
    uid_t uid;
    gid_t gid;

    if (disk->read_only)
        return true;
    if (ask_gate(e, disk, deadline, &status, &why))
        return own_gate(e, disk, &status, deadline, error);
    if (!g_error_matches(why, QM_ERROR, QM_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&why));
        return false;
    }
    qm__engine_report(e, "gate", "disk %s: its gate had died, started anew",
                      disk->target);
    *mended = true;
    return qm__vm_qemu_user(e->vm, deadline, &uid, &gid, error) &&
           start_gate(e, disk, uid, gid, deadline, error) &&
           qm__disk_check_identity(e, disk, deadline, error) &&
           qm__gate_acquire(qm__engine_uuid(e), disk->target,
                            e->record.generation, false, deadline, error);
}

/* Does QEMU use the disk's gate? */
static bool
is_connected(qm_engine *e, const qm_disk *disk, int64_t deadline)
{
    g_autoptr(GError) ignored = NULL;
    qm_gate_status status;

    return disk->read_only ||
           (qm__gate_get_status(qm__engine_uuid(e), disk->target, deadline,
                                &status, &ignored) &&
            status.client_pid != 0);
}

/* QEMU paused the guest when its disk failed.  It connects again when it has a
 * request to repeat, which may come before the gate: so more than once. */
static bool
revive(qm_engine *e, int64_t deadline, GError **error)
{
    for (;;) {
        qm_vm_state state;
        bool connected = true;

        if (!qm__vm_get_state(e->vm, deadline, &state, error))
            return false;
        for (guint i = 0; i < e->dom->disks->len; i++)
            connected &= is_connected(e, disk_at(e, i), deadline);
        if (state == QM_VM_RUNNING && connected)
            return true;
        if (qm__passed(deadline)) {
            g_set_error(error, QM_ERROR, QM_ERROR_TIMEOUT,
                        "QEMU does not come back to its disks");
            return false;
        }
        if (state != QM_VM_RUNNING && !qm__vm_resume(e->vm, deadline, error))
            return false;
        g_usleep(REVIVE_PAUSE);
    }
}

bool
qm__disks_mend(qm_engine *e, int64_t deadline, GError **error)
{
    bool mended = false;

    if (!qm__engine_need_xml(e, error))
        return false;
    for (guint i = 0; i < e->dom->disks->len; i++)
        if (!mend_gate(e, disk_at(e, i), deadline, &mended, error))
            return about(disk_at(e, i), error);
    /* One that holds its writes would hold up QEMU as a whole. */
    return qm__disks_open(e, deadline, error) &&
           (!mended || revive(e, deadline, error));
}

/* Without a domain a gate has nothing to write: one that does not end costs a
 * process, not safety. */
static void
stop_gate(qm_engine *e, const char *disk, int64_t deadline)
{
    g_autoptr(GError) why = NULL;

    if (!qm__gate_stop(qm__engine_uuid(e), disk, deadline, &why))
        qm__engine_report(e, "gate", "disk %s: cannot be ended: %s", disk,
                          why->message);
}

void
qm__disks_stop(qm_engine *e, int64_t deadline)
{
    g_autoptr(GError) ignored = NULL;
    qm_local note = {0};

    if (qm__engine_need_xml(e, &ignored))
        for (guint i = 0; i < e->dom->disks->len; i++)
            stop_gate(e, disk_at(e, i)->target, deadline);
    g_clear_error(&ignored);
    /* The XML may have been edited since, or be out of reach. */
    if (!qm__local_read(e->params.vault, &note, &ignored))
        return;
    for (char **disk = note.disks; disk != NULL && *disk != NULL; disk++)
        stop_gate(e, *disk, deadline);
    qm__local_clear(&note);
}

char *
qm__disks_trouble(qm_engine *e, int64_t deadline)
{
    g_autoptr(GString) text = g_string_new(NULL);
    g_autoptr(GError) ignored = NULL;

    if (!qm__engine_need_xml(e, &ignored))
        return NULL;
    for (guint i = 0; i < e->dom->disks->len; i++) {
        const char *target = disk_at(e, i)->target;
        qm_gate_status s;

        if (qm__gate_get_status(qm__engine_uuid(e), target, deadline, &s,
                                NULL) &&
            s.errors > 0 && s.reason[0] != '\0')
            g_string_append_printf(text, "%sdisk %s: %s",
                                   text->len > 0 ? "; " : "", target, s.reason);
    }
    return text->len > 0 ? g_string_free(g_steal_pointer(&text), FALSE) : NULL;
}

static bool
check_gate(const qm_disk *disk, const qm_gate_status *s, uint64_t generation,
           GError **error)
{
    if (disk->read_only)
        return s->state != QM_GATE_FENCED;
    if (s->generation == generation &&
        (s->state == QM_GATE_OPEN || s->state == QM_GATE_RECONNECTING))
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_IO,
                "its gate is %s, generation %" PRIu64 " (expected: open, "
                "%" PRIu64 ")%s%s",
                qm__gate_state_name(s->state), s->generation, generation,
                s->reason[0] != '\0' ? ": " : "", s->reason);
    return false;
}

bool
qm__disks_check(qm_engine *e, uint64_t generation, int64_t deadline,
                GError **error)
{
    if (!qm__engine_need_xml(e, error))
        return false;
    for (guint i = 0; i < e->dom->disks->len; i++) {
        const qm_disk *disk = disk_at(e, i);
        qm_gate_status status;

        if (!qm__gate_get_status(qm__engine_uuid(e), disk->target, deadline,
                                 &status, error) ||
            !check_gate(disk, &status, generation, error))
            return about(disk, error);
    }
    return true;
}
