/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * quickmig discard.  Drops exactly the saved state that the administrator was
 * shown: if another one took its place meanwhile, nothing happens.
 */
#include "config.h"
#include <quickmig/lifecycle.h>
#include "cli.h"
#include "editor.h"
#include "reach.h"

typedef struct {
    qm_facts facts;
    const qm_vault_info *info;
    uint64_t image_id; /* the one shown; 0: none shown yet */
} request;

static bool
may_discard(const qm_record *record, void *opaque, GError **error)
{
    const request *r = opaque;
    qm_facts facts = r->facts;
    qm_decision d;

    facts.owner = qm_lifecycle_owner(record, &facts.self, false);
    qm_lifecycle_decide(record, QM_EVENT_DISCARD, &facts, &d);
    if (d.row->action == QM_ACTION_REFUSE) {
        g_set_error(
            error, QM_ERROR, QM_ERROR_REFUSED,
            "%s is %s%s%s, nothing was dropped: %s", r->info->name,
            qm_state_name(record->state), cli_has_owner(record) ? " on " : "",
            cli_has_owner(record) ? record->owner.name : "", d.row->why);
        return false;
    }
    if (r->image_id != 0 && record->image_id != r->image_id) {
        g_set_error(error, QM_ERROR, QM_ERROR_CONFLICT,
                    "%s was started and saved again meanwhile, nothing was "
                    "dropped: look at its status, then try again",
                    r->info->name);
        return false;
    }
    return true;
}

static bool
confirm(const cli_options *o, const char *name, const qm_record *record,
        GError **error)
{
    g_autofree char *size = cli_bytes(record->image_length);
    g_autofree char *time = cli_local_time(record->time_us);
    g_autofree char *question = g_strdup_printf(
        "Drop the saved state of %s (%s, saved %s)?  What its memory held is "
        "lost;\nits next start is a cold boot.",
        name, size, time);

    if (o->yes)
        return true;
    if (!cli_can_ask()) {
        g_set_error(error, QM_ERROR, QM_ERROR_REFUSED,
                    "not asked for confirmation, this is no terminal: use "
                    "--yes to drop the saved state of %s",
                    name);
        return false;
    }
    if (cli_ask(question))
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_CANCELLED, "nothing was dropped");
    return false;
}

static void
fill_history(const request *r, const qm_record *from, const qm_record *to,
             qm_history *entry)
{
    *entry = (qm_history){
        .time_us = to->time_us,
        .sequence = to->sequence,
        .generation = to->generation,
        .from = from->state,
        .to = to->state,
        .node_id = r->facts.self.id,
        .bytes = from->image_length,
    };
    g_strlcpy(entry->node, r->facts.self.name, sizeof entry->node);
    g_strlcpy(entry->cause, to->cause, sizeof entry->cause);
}

static bool
drop(const cli_options *o, qm_vault *vault, request *r, qm_record *ret_dropped,
     GError **error)
{
    g_autoptr(qm_lock) lock = NULL;
    qm_record record;
    qm_decision d;
    qm_history entry;

    if (!cli_lock_vm(o, r->info->uuid, &lock, error) ||
        !qm_vault_acquire(vault, may_discard, r, cli_deadline(o), &record,
                          error))
        return false;
    r->facts.owner = qm_lifecycle_owner(&record, &r->facts.self, false);
    r->facts.now_us = g_get_real_time();
    qm_lifecycle_decide(&record, QM_EVENT_DISCARD, &r->facts, &d);
    if (!qm_vault_write_record(vault, &d.next, error))
        return false;
    fill_history(r, &record, &d.next, &entry);
    *ret_dropped = record;
    return qm_vault_append_history(vault, &entry, error);
}

static void
report(const cli_options *o, const qm_vault_info *info,
       const qm_record *dropped, GString *out)
{
    g_autofree char *size = cli_bytes(dropped->image_length);

    if (o->json) {
        g_autoptr(JsonBuilder) b = json_builder_new();

        json_builder_begin_object(b);
        cli_json_string(b, "vm", info->name);
        cli_json_uuid(b, "uuid", info->uuid);
        cli_json_number(b, "image_id", dropped->image_id);
        cli_json_number(b, "bytes", dropped->image_length);
        json_builder_end_object(b);
        cli_json_print(b, out);
        return;
    }
    g_string_append_printf(out,
                           "Saved state of %s dropped (%s); its next start is "
                           "a cold boot.\n",
                           info->name, size);
}

bool
cli_discard(const cli_options *o, GString *out, GError **error)
{
    request r = {.facts = {.domain = QM_DOMAIN_NONE,
                           .image = QM_IMAGE_COMPLETE,
                           .restore = QM_RESTORE_ALLOWED,
                           .cause = "saved state dropped by administrator"}};
    g_autoptr(cli_target) target = NULL;
    g_autoptr(qm_vault) vault = NULL;
    qm_record record, dropped;

    if (!cli_find_target(o, o->args[0], &target, error) ||
        !cli_self(&r.facts.self, error) ||
        !cli_open(o, target, (uint16_t) r.facts.self.id, &vault, error) ||
        !qm_vault_read_record(vault, &record, error))
        return false;
    r.info = qm_vault_get_info(vault);
    if (!may_discard(&record, &r, error) ||
        !confirm(o, r.info->name, &record, error))
        return false;
    r.image_id = record.image_id;
    if (!drop(o, vault, &r, &dropped, error))
        return false;
    report(o, r.info, &dropped, out);
    return true;
}
