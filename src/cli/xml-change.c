/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * A change of the XML in a vault.  Invariant: it is made only while nobody
 * else can be using the vault: the VM is off, or runs on this node and its
 * agent is kept out by the VM's lock.
 */
#include "config.h"
#include <string.h>
#include <quickmig/lifecycle.h>
#include "xml-change.h"

bool
cli_may_change(const qm_record *record, void *opaque, GError **error)
{
    const qm_node *self = opaque;

    if (record->state == QM_STATE_OFF ||
        (record->state == QM_STATE_RUNNING &&
         qm_lifecycle_owner(record, self, false) == QM_OWNER_SELF))
        return true;
    if (record->state == QM_STATE_RUNNING)
        g_set_error(error, QM_ERROR, QM_ERROR_REFUSED,
                    "the VM runs on %s: edit it there, or stop it first",
                    record->owner.name);
    else if (record->state == QM_STATE_SAVED)
        g_set_error(error, QM_ERROR, QM_ERROR_REFUSED,
                    "the VM is SAVED, and its saved state fits only the XML "
                    "that it was started with: start it first, or drop the "
                    "saved state with quickmig discard");
    else
        g_set_error(error, QM_ERROR, QM_ERROR_REFUSED,
                    "the VM is %s on %s: wait until that has ended",
                    qm_state_name(record->state), record->owner.name);
    return false;
}

bool
cli_read_xml(const cli_options *o, qm_vault *vault, char **ret, GError **error)
{
    g_autoptr(GError) e = NULL;

    if (qm_vault_read_xml(vault, ret, &e))
        return true;
    if (o->xml == NULL || !g_error_matches(e, QM_ERROR, QM_ERROR_CORRUPT)) {
        g_propagate_error(error, g_steal_pointer(&e));
        return false;
    }
    *ret = NULL;
    return true;
}

/* The record is written too, unchanged: history is kept by its sequence. */
static bool
write_new(qm_vault *vault, const qm_node *self, qm_record *record,
          const char *xml, GError **error)
{
    qm_history entry = {.time_us = g_get_real_time()};

    if (!qm_vault_write_xml(vault, xml, error) ||
        !qm_vault_write_record(vault, record, error))
        return false;
    entry.sequence = record->sequence;
    entry.generation = record->generation;
    entry.from = entry.to = record->state;
    entry.node_id = self->id;
    g_strlcpy(entry.node, self->name, sizeof entry.node);
    g_strlcpy(entry.cause, "domain XML changed", sizeof entry.cause);
    return qm_vault_append_history(vault, &entry, error);
}

static bool
same_disk(const qm_disk *a, const qm_disk *b)
{
    return strcmp(a->target, b->target) == 0 &&
           strcmp(a->url->portal, b->url->portal) == 0 &&
           strcmp(a->url->iqn, b->url->iqn) == 0 &&
           a->url->lun == b->url->lun && a->read_only == b->read_only;
}

static bool
same_disks(const qm_domxml *a, const qm_domxml *b)
{
    bool same = a->disks->len == b->disks->len && a->n_disks == b->n_disks;

    for (guint i = 0; same && i < a->disks->len; i++)
        same = same_disk(g_ptr_array_index(a->disks, i),
                         g_ptr_array_index(b->disks, i));
    return same;
}

/* The gates of a running VM are found by the XML, and its saved state would
 * be continued on the disks that the XML names then. */
static bool
check_disks(const qm_record *record, const char *old, const char *xml,
            GError **error)
{
    g_autoptr(qm_domxml) was = NULL;
    g_autoptr(qm_domxml) will = NULL;

    if (record->state != QM_STATE_RUNNING || old == NULL)
        return true;
    if (!qm__domxml_parse(old, &was, error) ||
        !qm__domxml_parse(xml, &will, error))
        return false;
    if (same_disks(was, will))
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_REFUSED,
                "the VM runs: its disks cannot be changed before it is shut "
                "down (stop_action=shutdown, then stop the resource)");
    return false;
}

bool
cli_change_xml(const cli_options *o, qm_vault *vault, const char *old,
               const char *xml, GError **error)
{
    g_autoptr(qm_lock) lock = NULL;
    g_autofree char *now = NULL;
    qm_record record;
    qm_node self;

    if (!cli_self(&self, error) ||
        !cli_lock_vm(o, qm_vault_get_info(vault)->uuid, &lock, error) ||
        !qm_vault_acquire(vault, cli_may_change, &self, cli_deadline(o),
                          &record, error) ||
        !cli_read_xml(o, vault, &now, error))
        return false;
    if (g_strcmp0(now, old) != 0) {
        g_set_error(error, QM_ERROR, QM_ERROR_CONFLICT,
                    "somebody else changed the XML meanwhile: edit it again");
        return false;
    }
    return check_disks(&record, now, xml, error) &&
           write_new(vault, &self, &record, xml, error);
}
