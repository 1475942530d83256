/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * quickmig unprotect: a VM of the cluster's becomes libvirt's again, on this
 * host.
 *
 * Never two copies: the VM is stopped by Pacemaker and its record says OFF;
 * then the cluster forgets it; then the vault is acquired, which proves that
 * nobody else can have started it; only then its reservations go, and libvirt
 * gets its definition.  Behind a gate a guest cannot be left running: libvirt
 * reaches the disks by itself, and what reaches a disk has to be one.
 */
#include "config.h"
#include <string.h>
#include "cli.h"
#include "cluster.h"
#include "lun.h"
#include "protect.h"
#include "reservation.h"
#include "timeouts.h"
#include "vm-define.h"

typedef struct {
    const cli_options *o;
    cli_target *target;
    qm_vault_info info;
    qm_record record;
    char *xml; /* with secrets */
    qm_domxml *dom;
    qm_node self;
    GStrv own; /* constraints that go with it */
    bool running, started;
} removal;

static void
clear(removal *r)
{
    cli_target_free(r->target);
    qm__secret_free(r->xml);
    qm__domxml_free(r->dom);
    g_strfreev(r->own);
}

static void
say(const removal *r, const char *what)
{
    if (!r->o->json)
        g_printerr("%s\n", what);
}

/* --- looking ------------------------------------------------------------- */

static bool
read_vault(removal *r, GError **error)
{
    g_autoptr(qm_vault) vault = NULL;

    if (!cli_open(r->o, r->target, 0, &vault, error) ||
        !qm_vault_read_record(vault, &r->record, error))
        return false;
    if (r->xml == NULL && (!qm_vault_read_xml(vault, &r->xml, error) ||
                           !qm__domxml_parse(r->xml, &r->dom, error)))
        return false;
    r->info = *qm_vault_get_info(vault);
    return true;
}

/* Is it clear who has it, and can it be handed over here? */
static bool
check_record(const removal *r, GError **error)
{
    const char *name = r->info.name;

    switch (r->record.state) {
    case QM_STATE_OFF:
        return true;
    case QM_STATE_RUNNING:
        if (r->record.owner.id != r->self.id)
            return cli_refuse(error,
                              "%s runs on %s: run quickmig unprotect there, or "
                              "move it here first",
                              name, r->record.owner.name);
        return r->o->restart ||
               cli_refuse(
                   error,
                   "%s runs behind gates, and libvirt has none: it must be "
                   "started anew once; --restart shuts it down and has "
                   "libvirt start it here",
                   name);
    case QM_STATE_SAVED:
        return cli_refuse(
            error,
            "the memory of %s is in its vault: start it, so that it "
            "goes on, or drop it with quickmig discard %s",
            name, name);
    default:
        return cli_refuse(
            error,
            "%s is %s: an action is under way, or was cut off; let "
            "the cluster end it first",
            name, qm_state_name(r->record.state));
    }
}

static bool
check_cluster(removal *r, GError **error)
{
    const char *id = r->target->resource;
    g_autoptr(xmlDoc) doc = NULL;
    g_auto(GStrv) foreign = NULL;
    g_autofree char *list = NULL;
    xmlNode *root, *primitive;

    if (!cli_cib_read(r->o, &doc, &root, error))
        return false;
    primitive = qm__walk_find(root, "primitive", id);
    if (primitive == NULL || primitive->parent == NULL ||
        !qm__walk_is(primitive->parent, "resources"))
        return cli_refuse(
            error, "resource %s is in a group or clone: take it out first", id);
    cli_protection_constraints(root, id, &r->own, &foreign);
    if (foreign[0] == NULL)
        return true;
    list = g_strjoinv(", ", foreign);
    return cli_refuse(
        error,
        "resource %s is named in what somebody else has written: %s; "
        "remove that first",
        id, list);
}

static bool
check_placement(const removal *r, GError **error)
{
    qm_placement at = {0};
    qm_place place = {0};
    bool ok;

    if (!qm__placement_look(r->target->resource, r->self.name,
                            cli_deadline(r->o), &at, &place, error))
        return false;
    if (at.pending != NULL)
        ok = cli_refuse(error, "something goes on with %s: %s", r->info.name,
                        at.pending);
    else if (at.blocked || at.failed)
        ok = cli_refuse(error,
                        "%s has failed, Pacemaker is not sure about it: "
                        "crm_resource --cleanup --resource %s first",
                        r->info.name, r->target->resource);
    else if (!at.managed && at.nodes != NULL && at.nodes[0] != NULL)
        ok =
            cli_refuse(error, "Pacemaker does not manage %s now", r->info.name);
    else if (r->record.state == QM_STATE_OFF && at.nodes != NULL &&
             at.nodes[0] != NULL)
        ok = cli_refuse(error,
                        "its vault says that %s is off, Pacemaker that it runs "
                        "on %s: not sure, nothing is done",
                        r->info.name, at.nodes[0]);
    else
        ok = true;
    qm__placement_clear_look(&at);
    return ok;
}

static bool
look(removal *r, GError **error)
{
    g_autoptr(qm_cluster) cluster = NULL;

    if (!cli_find_target(r->o, r->o->args[0], &r->target, error))
        return false;
    if (r->target->resource == NULL)
        return cli_refuse(error, "%s is not a resource of this cluster",
                          r->o->args[0]);
    if (!qm__cluster_open(cli_deadline(r->o), &cluster, error))
        return false;
    r->self = *qm__cluster_self(cluster);
    if (!read_vault(r, error) || !check_record(r, error) ||
        !check_cluster(r, error) || !check_placement(r, error))
        return false;
    r->running = r->record.state == QM_STATE_RUNNING;
    return true;
}

/* --- doing --------------------------------------------------------------- */

static bool
stop(removal *r, GError **error)
{
    const char *id = r->target->resource;
    int64_t deadline = qm__deadline_in(r->o->move_timeout * QM_S);

    if (r->running)
        say(r, "Asking the guest to shut down");
    if (!cli_resource_set(id, false, "stop_action", "shutdown", error) ||
        (r->running && !cli_await_applied(deadline, error)) ||
        !cli_resource_set(id, true, "target-role", "Stopped", error) ||
        !cli_await_resource(id, CLI_AWAIT_STOPPED, deadline, NULL, error) ||
        !read_vault(r, error))
        return false;
    if (r->record.state == QM_STATE_OFF)
        return true;
    return cli_refuse(
        error,
        "%s is stopped, but its vault says %s: it stays a resource "
        "of the cluster",
        r->info.name, qm_state_name(r->record.state));
}

static bool
forget(const removal *r, GError **error)
{
    for (char **id = r->own; *id != NULL; id++)
        if (!cli_cib_remove("constraints/*", *id, error))
            return false;
    return cli_cib_remove("primitive", r->target->resource, error);
}

static bool
is_off(const qm_record *record, void *opaque, GError **error)
{
    return record->state == QM_STATE_OFF ||
           cli_refuse(error, "somebody was faster: its vault says %s on %s",
                      qm_state_name(record->state), record->owner.name);
}

static bool
always(void *opaque, GError **error)
{
    return true;
}

/* Takes the LUN, so that no earlier write can come, and lets it go. */
static bool
release_lun(const removal *r, const qm_url *url, bool vault, GError **error)
{
    qm_lun_params params = {
        .url = url, .nexus = QM_NEXUS_WRITER, .node_id = (uint16_t) r->self.id};
    int64_t deadline = cli_deadline(r->o);
    g_autoptr(qm_lun) lun = NULL;
    char *secret = NULL;
    uint64_t key;
    bool ok;

    if (!cli_secret(r->o, url, r->target->hypervisor, vault, &secret, error))
        return false;
    params.chap_secret = secret;
    ok = qm__lun_open(&params, deadline, &lun, error) &&
         qm__pr_acquire(lun, (uint16_t) r->self.id, always, NULL, deadline,
                        &key, error) &&
         qm__pr_release(lun, key, deadline, error);
    qm__secret_free(secret);
    return ok;
}

/* Under the VM's lock, with the vault held until the disks are free. */
static bool
release(const removal *r, GError **error)
{
    g_autoptr(qm_lock) lock = NULL;
    g_autoptr(qm_vault) vault = NULL;
    g_autoptr(qm_url) url = NULL;
    qm_record record;

    if (!cli_lock_vm(r->o, r->info.uuid, &lock, error) ||
        !cli_open(r->o, r->target, (uint16_t) r->self.id, &vault, error) ||
        !qm_vault_acquire(vault, is_off, NULL, cli_deadline(r->o), &record,
                          error))
        return false;
    for (guint i = 0; i < r->dom->disks->len; i++) {
        const qm_disk *disk = r->dom->disks->pdata[i];

        if (disk->read_only)
            continue;
        if (!release_lun(r, disk->url, false, error)) {
            g_prefix_error(error, "disk %s: ", disk->target);
            return false;
        }
    }
    g_clear_pointer(&vault, qm_vault_close);
    return qm_url_parse(r->target->vault, &url, error) &&
           (url->iqn == NULL || release_lun(r, url, true, error));
}

static bool
give_back(removal *r, GError **error)
{
    const char *uri =
        r->o->connect != NULL ? r->o->connect : r->target->hypervisor;
    int64_t deadline = qm__deadline_in(r->o->move_timeout * QM_S);
    g_autoptr(qm_vm) vm = NULL;

    if (!qm__vm_open(uri, r->info.uuid, deadline, &vm, error) ||
        !qm__vm_define(vm, r->xml, deadline, error)) {
        g_prefix_error(error,
                       "%s is no resource any more, and not yet libvirt's "
                       "(quickmig vault show %s --xml has its XML): ",
                       r->info.name, r->target->vault);
        return false;
    }
    if (!r->running || r->o->stopped)
        return true;
    if (!qm__vm_start_defined(vm, deadline, error)) {
        g_prefix_error(
            error, "%s is libvirt's again, but does not start: ", r->info.name);
        return false;
    }
    r->started = true;
    return true;
}

static bool
hand_over(removal *r, GError **error)
{
    if (!stop(r, error))
        return false;
    if (!forget(r, error) || !release(r, error)) {
        g_prefix_error(error, "%s is stopped and was not given to libvirt: ",
                       r->info.name);
        return false;
    }
    return give_back(r, error);
}

/* --- telling ------------------------------------------------------------- */

static void
print_text(const removal *r, GString *out)
{
    g_autofree char *own = g_strjoinv(", ", r->own);

    if (r->o->dry_run)
        g_string_append_printf(
            out,
            "%s would be%s stopped, resource %s%s%s removed, the reservations "
            "of its LUNs released, and the VM defined in libvirt on %s%s.\n"
            "Its vault stays: %s\n",
            r->info.name, r->running ? " shut down and" : "",
            r->target->resource, *own != '\0' ? " and constraints " : "", own,
            r->self.name, r->running ? " and started" : "", r->target->vault);
    else
        g_string_append_printf(
            out,
            "%s is libvirt's again, on %s%s.\nIts vault stays, and is not "
            "needed any more: %s\n",
            r->info.name, r->self.name, r->started ? ", and runs" : "",
            r->target->vault);
}

static void
print_json(const removal *r, GString *out)
{
    g_autoptr(JsonBuilder) b = json_builder_new();

    json_builder_begin_object(b);
    cli_json_string(b, "vm", r->info.name);
    cli_json_uuid(b, "uuid", r->info.uuid);
    cli_json_string(b, "resource", r->target->resource);
    cli_json_string(b, "vault", r->target->vault);
    cli_json_bool(b, "dry_run", r->o->dry_run);
    cli_json_string(b, "node", r->self.name);
    cli_json_bool(b, "started", r->started);
    json_builder_set_member_name(b, "constraints");
    json_builder_begin_array(b);
    for (char **id = r->own; *id != NULL; id++)
        json_builder_add_string_value(b, *id);
    json_builder_end_array(b);
    json_builder_end_object(b);
    cli_json_print(b, out);
}

bool
cli_unprotect(const cli_options *o, GString *out, GError **error)
{
    removal r = {.o = o};
    bool ok = look(&r, error) && (o->dry_run || hand_over(&r, error));

    if (ok && o->json)
        print_json(&r, out);
    else if (ok)
        print_text(&r, out);
    clear(&r);
    return ok;
}
