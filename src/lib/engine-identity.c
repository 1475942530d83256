/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Is each disk's LUN the one that the VM ran on last?  Its address may lead to
 * another one: renumbered at the target, restored from elsewhere, a name used
 * again.  A memory image over other disks, or a boot that writes to somebody
 * else's, would be damage; so it is asked before the LUN is taken, and before
 * the record changes.
 */
#include "config.h"
#include <inttypes.h>
#include <string.h>
#include "disk-note.h"
#include "engine.h"
#include "lun.h"

static bool
need_notes(qm_engine *e, GError **error)
{
    return e->disk_notes != NULL ||
           qm__disk_notes_read(e->vault, &e->disk_notes, error);
}

static qm_disk_note *
find_note(const qm_engine *e, const char *target)
{
    for (guint i = 0; i < e->disk_notes->len; i++) {
        qm_disk_note *note = &g_array_index(e->disk_notes, qm_disk_note, i);

        if (strcmp(note->target, target) == 0)
            return note;
    }
    return NULL;
}

static bool
another_lun(const qm_engine *e, const qm_disk_note *was, const qm_disk_note *is,
            const char *lun, GError **error)
{
    g_set_error(error, QM_ERROR, QM_ERROR_MISMATCH,
                "%s is another LUN than the one that this VM ran on: serial "
                "\"%s\", %" PRIu64 " bytes; it was \"%s\", %" PRIu64
                " bytes. If that is meant (its data were moved there): "
                "quickmig vault edit %s --new-disks",
                lun, is->serial, is->size, was->serial, was->size,
                qm_vault_get_info(e->vault)->name);
    return false;
}

bool
qm__disk_check_identity(qm_engine *e, const qm_disk *disk, int64_t deadline,
                        GError **error)
{
    qm_gate_status status;
    qm_disk_note is = {0}, *was;

    if (!need_notes(e, error) ||
        !qm__gate_get_status(qm__engine_uuid(e), disk->target, deadline,
                             &status, error))
        return false;
    g_strlcpy(is.target, disk->target, sizeof is.target);
    g_strlcpy(is.serial, status.serial, sizeof is.serial);
    is.size = status.size;
    is.where = qm__disk_where(disk->url->iqn, disk->url->lun);
    was = find_note(e, is.target);
    if (was != NULL && was->where == is.where) {
        if (!qm__lun_same(was->serial, was->size, is.serial, is.size))
            return another_lun(e, was, &is, status.lun, error);
        if (was->size == is.size)
            return true;
    }
    if (was != NULL)
        *was = is;
    else
        g_array_append_val(e->disk_notes, is);
    e->disks_new = true;
    return true;
}

bool
qm__disks_check_identity(qm_engine *e, int64_t deadline, GError **error)
{
    for (guint i = 0; i < e->dom->disks->len; i++) {
        const qm_disk *disk = g_ptr_array_index(e->dom->disks, i);

        if (!qm__disk_check_identity(e, disk, deadline, error)) {
            g_prefix_error(error, "disk %s: ", disk->target);
            return false;
        }
    }
    return true;
}

void
qm__disks_note_identity(qm_engine *e)
{
    g_autoptr(GError) why = NULL;

    if (!e->disks_new)
        return;
    if (qm__disk_notes_write(e->vault, e->disk_notes, &why))
        e->disks_new = false;
    else
        qm__engine_report(e, "disks", "cannot note which LUNs they are: %s",
                          why->message);
}
