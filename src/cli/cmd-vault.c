/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * quickmig vault show and vault edit.
 */
#include "config.h"
#include <string.h>
#include <uuid/uuid.h>
#include <quickmig/lifecycle.h>
#include "advice.h"
#include "check.h"
#include "cli.h"
#include "disk-note.h"
#include "editor.h"
#include "reach.h"
#include "xml-change.h"

/* --- show --- */

static void
add(cli_table *t, const char *name, const char *value)
{
    cli_table_row(t, name, value, NULL);
}

static void
add_number(cli_table *t, const char *name, uint64_t value)
{
    g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT, value);

    add(t, name, text);
}

static void
add_bytes(cli_table *t, const char *name, uint64_t value)
{
    g_autofree char *text = cli_bytes(value);

    add(t, name, text);
}

static void
add_node(cli_table *t, const char *name, const qm_node *node)
{
    g_autofree char *text =
        node->id == 0 ? g_strdup("-")
                      : g_strdup_printf("%s (%u)", node->name, node->id);

    add(t, name, text);
}

static void
add_holder(cli_table *t, uint64_t key)
{
    g_autofree char *text =
        key == 0 ? g_strdup("-")
                 : g_strdup_printf("0x%016" G_GINT64_MODIFIER "x", key);

    add(t, "Reservation", text);
}

typedef struct {
    const char *url;
    const qm_vault_info *info;
    qm_record record;
    uint64_t holder;
    char *xml;
    qm_domxml *dom;
} contents;

static void
show_text(const contents *c, GString *out)
{
    g_autoptr(cli_table) t = cli_table_new(NULL);
    const qm_record *r = &c->record;
    g_autofree char *time = cli_local_time(r->time_us);
    char uuid[UUID_STR_LEN];

    uuid_unparse_lower(c->info->uuid, uuid);
    add(t, "VM", c->info->name);
    add(t, "UUID", uuid);
    add(t, "Vault", c->url);
    add_number(t, "Format", c->info->format);
    add_bytes(t, "Size", c->info->size);
    add_bytes(t, "Room for saved state", c->info->image_capacity);
    add_bytes(t, "VM memory", c->dom->memory);
    add_number(t, "Disks", c->dom->n_disks);
    add_number(t, "  behind gates", c->dom->disks->len);
    add(t, "State", qm_state_name(r->state));
    add_node(t, cli_has_owner(r) ? "Owner" : "Last owner", &r->owner);
    add_node(t, "Target", &r->target);
    add_number(t, "Generation", r->generation);
    add_number(t, "Image", r->image_id);
    add_bytes(t, "  length", r->image_length);
    add_number(t, "Failed restores", r->failed_restores);
    add(t, "Since", time);
    add(t, "Cause", r->cause);
    add_holder(t, c->holder);
    cli_table_print(t, out);
}

static void
show_json(const contents *c, GString *out)
{
    g_autoptr(JsonBuilder) b = json_builder_new();
    g_autofree char *holder =
        c->holder == 0
            ? NULL
            : g_strdup_printf("0x%016" G_GINT64_MODIFIER "x", c->holder);

    json_builder_begin_object(b);
    cli_json_string(b, "vm", c->info->name);
    cli_json_uuid(b, "uuid", c->info->uuid);
    cli_json_string(b, "vault", c->url);
    cli_json_number(b, "format", c->info->format);
    cli_json_number(b, "size", c->info->size);
    cli_json_number(b, "image_capacity", c->info->image_capacity);
    cli_json_number(b, "memory", c->dom->memory);
    cli_json_number(b, "disks", c->dom->n_disks);
    cli_json_number(b, "gated_disks", c->dom->disks->len);
    cli_json_record(b, &c->record);
    cli_json_string(b, "reservation", holder);
    cli_json_string(b, "xml", c->xml);
    json_builder_end_object(b);
    cli_json_print(b, out);
}

bool
cli_vault_show(const cli_options *o, GString *out, GError **error)
{
    g_autoptr(cli_target) target = NULL;
    g_autoptr(qm_vault) vault = NULL;
    g_autoptr(qm_domxml) dom = NULL;
    g_autofree char *xml = NULL;
    contents c = {0};

    if (!cli_find_target(o, o->args[0], &target, error) ||
        !cli_open(o, target, 0, &vault, error) ||
        !qm_vault_read_xml(vault, &xml, error))
        return false;
    if (o->show_xml && !o->json) {
        g_string_append(out, xml);
        if (!g_str_has_suffix(xml, "\n"))
            g_string_append_c(out, '\n');
        return true;
    }
    if (!qm_vault_read_record(vault, &c.record, error) ||
        !qm_vault_read_holder(vault, &c.holder, error) ||
        !qm__domxml_parse(xml, &dom, error))
        return false;
    c.url = qm_vault_get_url(vault);
    c.info = qm_vault_get_info(vault);
    c.xml = xml;
    c.dom = dom;
    if (o->json)
        show_json(&c, out);
    else
        show_text(&c, out);
    return true;
}

/* --- edit --- */

/* The vault stays this VM's, and large enough for it. */
static bool
check_new_xml(const cli_options *o, qm_vault *vault, const qm_domxml *dom,
              GError **error)
{
    const qm_vault_info *info = qm_vault_get_info(vault);
    uint64_t needed = cli_image_needed(dom->memory);
    char uuid[UUID_STR_LEN];

    uuid_unparse_lower(info->uuid, uuid);
    if (memcmp(dom->uuid, info->uuid, QM_UUID_LEN) != 0 ||
        strcmp(dom->name, info->name) != 0) {
        g_set_error(error, QM_ERROR, QM_ERROR_MISMATCH,
                    "the XML is of another VM: this vault belongs to %s (%s); "
                    "name and UUID cannot be changed",
                    info->name, uuid);
        return false;
    }
    if (!o->no_check && info->image_capacity < needed &&
        qm_vault_get_url(vault)[0] != '/') {
        g_autofree char *has = cli_bytes(info->image_capacity);
        g_autofree char *wants = cli_bytes(needed);

        g_set_error(error, QM_ERROR, QM_ERROR_NO_SPACE,
                    "the vault has room for %s of saved state, this memory "
                    "needs %s",
                    has, wants);
        return false;
    }
    return true;
}

static bool
new_xml(const cli_options *o, qm_vault *vault, const char *old, char **ret,
        GError **error)
{
    g_autoptr(qm_domxml) dom = NULL;
    g_autoptr(cli_edit) edit = NULL;
    g_autofree char *new = NULL;

    if (o->xml != NULL) {
        if (!cli_load_xml(o->xml, &new, &dom, error) ||
            !check_new_xml(o, vault, dom, error))
            return false;
        *ret = g_steal_pointer(&new);
        return true;
    }
    if (!cli_edit_begin(old, &edit, error))
        return false;
    for (;;) {
        g_autoptr(GError) e = NULL;

        if (!cli_edit_run(edit, &new, error))
            return false;
        if (qm__domxml_parse(new, &dom, &e) && check_new_xml(o, vault, dom, &e))
            break;
        if (!cli_edit_again(edit, e)) {
            g_propagate_error(error, g_steal_pointer(&e));
            return false;
        }
        g_clear_pointer(&dom, qm__domxml_free);
        g_clear_pointer(&new, g_free);
    }
    cli_edit_done(edit);
    *ret = g_steal_pointer(&new);
    return true;
}

static void
report_edit(const cli_options *o, const qm_vault_info *info, bool changed,
            GString *out)
{
    if (o->json) {
        g_autoptr(JsonBuilder) b = json_builder_new();

        json_builder_begin_object(b);
        cli_json_string(b, "vm", info->name);
        cli_json_uuid(b, "uuid", info->uuid);
        cli_json_bool(b, "changed", changed);
        json_builder_end_object(b);
        cli_json_print(b, out);
    } else if (changed) {
        g_string_append_printf(out,
                               "XML of %s replaced; it takes effect at the "
                               "VM's next cold boot.\n",
                               info->name);
    } else {
        g_string_append_printf(out, "XML of %s is unchanged.\n", info->name);
    }
}

/* --- new disks --- */

/* Only a check hangs on the notes, so that it does not matter where the VM
 * runs; but who saves or restores must not lose the vault now. */
static bool
may_forget(const qm_record *record, void *opaque, GError **error)
{
    if (record->state != QM_STATE_SAVING && record->state != QM_STATE_RESTORING)
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_REFUSED,
                "the VM is %s on %s: wait until that has ended",
                qm_state_name(record->state), record->owner.name);
    return false;
}

/* The next start notes what it finds. */
static bool
forget_disks(const cli_options *o, qm_vault *vault, GString *out,
             GError **error)
{
    const qm_vault_info *info = qm_vault_get_info(vault);
    g_autoptr(GArray) none = g_array_new(FALSE, FALSE, sizeof(qm_disk_note));
    g_autoptr(qm_lock) lock = NULL;
    qm_record record;

    if (o->xml != NULL) {
        g_set_error(error, CLI_USAGE, 0,
                    "vault edit: either --xml or --new-disks");
        return false;
    }
    if (!cli_lock_vm(o, info->uuid, &lock, error) ||
        !qm_vault_acquire(vault, may_forget, NULL, cli_deadline(o), &record,
                          error) ||
        !qm__disk_notes_write(vault, none, error))
        return false;
    if (o->json) {
        report_edit(o, info, false, out);
        return true;
    }
    g_string_append_printf(out,
                           "%s takes its disks' LUNs as they are at its next "
                           "start.\n",
                           info->name);
    return true;
}

bool
cli_vault_edit(const cli_options *o, GString *out, GError **error)
{
    g_autoptr(cli_target) target = NULL;
    g_autoptr(qm_vault) vault = NULL;
    g_autofree char *old = NULL, *new = NULL;
    qm_record record;
    qm_node self;
    bool changed;

    if (!cli_find_target(o, o->args[0], &target, error) ||
        !cli_self(&self, error) ||
        !cli_open(o, target, (uint16_t) self.id, &vault, error))
        return false;
    if (o->new_disks)
        return forget_disks(o, vault, out, error);
    if (!qm_vault_read_record(vault, &record, error) ||
        /* Refused later all the same; but not after an hour of editing. */
        !cli_may_change(&record, &self, error) ||
        !cli_read_xml(o, vault, &old, error) ||
        !new_xml(o, vault, old, &new, error))
        return false;
    changed = g_strcmp0(old, new) != 0;
    if (changed && !cli_change_xml(o, vault, old, new, error))
        return false;
    report_edit(o, qm_vault_get_info(vault), changed, out);
    return true;
}
