/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * quickmig protect: from a VM of libvirt's to a VM of the cluster's.
 *
 * Never two copies: the VM is off before its definition is taken away from
 * libvirt, that is before the cluster hears of it; what fails before the last
 * step leaves the VM as libvirt's, defined as it was.  A guest that runs was
 * started without gates, so it must be started anew once: --restart.
 */
#include "config.h"
#include <string.h>
#include "advice.h"
#include "check.h"
#include "cli.h"
#include "cluster.h"
#include "hardware.h"
#include "protect.h"
#include "timeouts.h"
#include "vm-define.h"

typedef struct {
    const cli_options *o;
    qm_url *url;
    char *xml; /* with secrets */
    qm_domxml *dom;
    cli_hardware *hardware;
    qm_vm *vm;        /* libvirt here; NULL: none (only with --xml) */
    unsigned defined; /* qm_defined, of the VM here */
    GPtrArray *checks;
    bool formatted; /* the vault is this VM's already */
    uint64_t rate;  /* of its last save, bytes a second; 0: not known */
    cli_protection *plan;
    char *node; /* where it was started */
} protection;

static void
clear(protection *p)
{
    if (p->checks != NULL)
        g_ptr_array_unref(p->checks);
    qm_url_free(p->url);
    qm__secret_free(p->xml);
    qm__domxml_free(p->dom);
    cli_hardware_free(p->hardware);
    qm__vm_close(p->vm);
    cli_protection_free(p->plan);
    g_free(p->node);
}

/* --- looking ------------------------------------------------------------- */

static bool
ask_libvirt(protection *p, const char *name, GError **error)
{
    static const uint8_t no_vm[QM_UUID_LEN];
    int64_t deadline = cli_deadline(p->o);
    g_autoptr(qm_vm) vm = NULL;

    return qm__vm_open(p->o->connect, no_vm, deadline, &vm, error) &&
           qm__vm_find(vm, name, deadline, &p->xml, &p->defined, error);
}

static bool
check_obstacles(const protection *p, GError **error)
{
    g_autoptr(GString) text = g_string_new(NULL);
    cli_obstacle_kind worst = cli_hardware_worst(p->hardware);

    for (guint i = 0; i < p->hardware->obstacles->len; i++) {
        const cli_obstacle *o = p->hardware->obstacles->pdata[i];

        if (o->kind == CLI_OBSTACLE_NOTE)
            continue;
        if (o->kind == CLI_OBSTACLE_DOUBT && p->o->force) {
            cli_warn("%s", o->text);
            continue;
        }
        g_string_append_printf(text, "%s%s", text->len > 0 ? "; " : "",
                               o->text);
    }
    if (text->len == 0)
        return true;
    return cli_refuse(
        error, "%s cannot be protected: %s%s", p->hardware->name, text->str,
        worst == CLI_OBSTACLE_DOUBT ? "; --force if you have seen to that"
                                    : "");
}

/* The XML, from libvirt or a file; and what libvirt here has of this VM. */
static bool
look(protection *p, const char *name, GError **error)
{
    int64_t deadline = cli_deadline(p->o);

    if (!(p->o->xml == NULL
              ? ask_libvirt(p, name, error)
              : cli_load_xml(p->o->xml, &p->xml, &p->dom, error)) ||
        !cli_hardware_read(p->xml, cli_file_place_here, &p->hardware, error) ||
        !check_obstacles(p, error) ||
        (p->dom == NULL && !qm__domxml_parse(p->xml, &p->dom, error)))
        return false;
    if (strcmp(p->dom->name, name) != 0)
        return cli_refuse(error, "%s is the XML of %s, not of %s", p->o->xml,
                          p->dom->name, name);
    return qm__vm_open(p->o->connect, p->dom->uuid, deadline, &p->vm, error) &&
           qm__vm_defined(p->vm, deadline, &p->defined, error);
}

static bool
check_libvirt(const protection *p, GError **error)
{
    const char *name = p->dom->name;

    if (p->defined & QM_DEFINED_MANAGED_SAVE)
        return cli_refuse(
            error,
            "libvirt has a saved state of %s: start it and shut it "
            "down first, or: virsh managedsave-remove %s",
            name, name);
    if (p->defined & QM_DEFINED_SNAPSHOTS)
        return cli_refuse(
            error,
            "libvirt has snapshots or checkpoints of %s, which "
            "would be lost: delete them first (virsh snapshot-list "
            "%s)",
            name, name);
    if (!(p->defined & QM_DEFINED_ACTIVE) || p->o->restart)
        return true;
    if (p->o->dry_run) {
        cli_warn("%s runs: it must be started anew once, with --restart", name);
        return true;
    }
    return cli_refuse(
        error,
        "%s runs under libvirt, without gates before its disks: it "
        "must be started anew once; --restart shuts it down and has "
        "the cluster start it",
        name);
}

/* How fast was the last save into this vault? */
static uint64_t
last_rate(qm_vault *vault)
{
    g_autoptr(GArray) entries = NULL;
    uint64_t rate = 0;

    if (!qm_vault_read_history(vault, &entries, NULL))
        return 0;
    for (guint i = 0; i < entries->len; i++) {
        const qm_history *h = &g_array_index(entries, qm_history, i);

        if (h->to == QM_STATE_SAVED && h->bytes > 0 && h->duration_us > 0)
            rate =
                (uint64_t) ((double) h->bytes * QM_S / (double) h->duration_us);
    }
    return rate;
}

/* A vault of this VM, and off, is taken as it is. */
static bool
check_vault(protection *p, GError **error)
{
    g_autoptr(cli_target) target =
        cli_target_new(NULL, p->url->text, p->o->connect);
    g_autoptr(qm_vault) vault = NULL;
    g_autoptr(GError) why = NULL;
    qm_record record;

    if (!cli_open(p->o, target, 0, &vault, &why)) {
        if (why->domain == QM_ERROR && why->code == QM_ERROR_UNFORMATTED)
            return true;
        g_propagate_error(error, g_steal_pointer(&why));
        return false;
    }
    if (memcmp(qm_vault_get_info(vault)->uuid, p->dom->uuid, QM_UUID_LEN) != 0)
        return p->o->force ||
               cli_refuse(error,
                          "%s is the vault of VM \"%s\"; --force replaces it",
                          p->url->text, qm_vault_get_info(vault)->name);
    if (!qm_vault_read_record(vault, &record, error))
        return false;
    if (record.state != QM_STATE_OFF)
        return cli_refuse(error,
                          "its vault says that %s is %s%s%s: it is in use, or "
                          "was left so; see quickmig vault show",
                          p->dom->name, qm_state_name(record.state),
                          cli_has_owner(&record) ? " on " : "",
                          cli_has_owner(&record) ? record.owner.name : "");
    p->formatted = true;
    if (last_rate(vault) > 0) /* its own counts more */
        p->rate = last_rate(vault);
    return true;
}

static bool
check_storage(protection *p, GError **error)
{
    char *warning = NULL;

    if (!check_vault(p, error) ||
        !cli_check_size(p->o, p->dom, p->url, &warning, error))
        return false;
    if (warning != NULL)
        cli_warn("%s", warning);
    g_free(warning);
    return cli_check_disks(p->o, p->dom, p->url, &p->checks, error);
}

static bool
make_plan(protection *p, GError **error)
{
    g_autoptr(xmlDoc) doc = NULL;
    xmlNode *root;

    if (!cli_cib_read(p->o, &doc, &root, error))
        return false;
    p->rate = cli_protection_known_rate(root);
    return cli_protection_plan(root, p->dom->name, p->url->text, p->o->connect,
                               p->dom->vcpus, p->dom->memory, p->o->stopped,
                               &p->plan, error);
}

/* --- doing --------------------------------------------------------------- */

static void
say(const protection *p, const char *what)
{
    if (!p->o->json)
        g_printerr("%s\n", what);
}

static bool
is_off(const qm_record *record, void *opaque, GError **error)
{
    return record->state == QM_STATE_OFF ||
           cli_refuse(error, "somebody was faster: its vault says %s",
                      qm_state_name(record->state));
}

/* A vault that is there keeps its generation: what nodes have said about an
 * older one must not fit a newer one. */
static bool
update_vault(const protection *p, uint16_t node_id, GError **error)
{
    g_autoptr(cli_target) target =
        cli_target_new(NULL, p->url->text, p->o->connect);
    g_autoptr(qm_lock) lock = NULL;
    g_autoptr(qm_vault) vault = NULL;
    qm_record record;

    return cli_lock_vm(p->o, p->dom->uuid, &lock, error) &&
           cli_open(p->o, target, node_id, &vault, error) &&
           qm_vault_acquire(vault, is_off, NULL, cli_deadline(p->o), &record,
                            error) &&
           qm_vault_write_xml(vault, p->xml, error);
}

static bool
format_vault(const protection *p, uint16_t node_id, GError **error)
{
    qm_vault_params params = {.url = p->url->text, .node_id = node_id};
    char *secret = NULL;
    bool ok;

    if (!cli_secret(p->o, p->url, p->o->connect, true, &secret, error))
        return false;
    params.chap_secret = secret;
    ok = qm_vault_format(&params, p->dom->uuid, p->dom->name, p->xml,
                         p->o->force, cli_deadline(p->o), error);
    qm__secret_free(secret);
    return ok;
}

/* Reading it back is the proof: libvirt's definition goes next. */
static bool
check_written(const protection *p, GError **error)
{
    g_autoptr(cli_target) target =
        cli_target_new(NULL, p->url->text, p->o->connect);
    g_autoptr(qm_vault) vault = NULL;
    char *back = NULL;
    bool ok;

    if (!cli_open(p->o, target, 0, &vault, error) ||
        !qm_vault_read_xml(vault, &back, error))
        return false;
    ok = strcmp(back, p->xml) == 0 ||
         cli_refuse(error,
                    "the vault does not give back the XML that was written");
    qm__secret_free(back);
    return ok;
}

static bool
make_vault(const protection *p, GError **error)
{
    qm_node self;

    if (!cli_self(&self, error))
        return false;
    return (p->formatted ? update_vault(p, (uint16_t) self.id, error)
                         : format_vault(p, (uint16_t) self.id, error)) &&
           check_written(p, error);
}

static bool
shut_down(const protection *p, GError **error)
{
    unsigned defined;

    if (!(p->defined & QM_DEFINED_ACTIVE))
        return true;
    say(p, "Asking the guest to shut down");
    if (!qm__vm_shutdown(p->vm, qm__deadline_in(p->o->move_timeout * QM_S),
                         error)) {
        g_prefix_error(
            error, "%s was not protected, it stays as it is: ", p->dom->name);
        return false;
    }
    return qm__vm_defined(p->vm, cli_deadline(p->o), &defined, error) &&
           (!(defined & QM_DEFINED_ACTIVE) ||
            cli_refuse(error, "somebody has started %s again", p->dom->name));
}

/* It is libvirt's again. */
static void
give_back(const protection *p)
{
    g_autoptr(GError) why = NULL;

    if (!(p->defined & QM_DEFINED_PERSISTENT))
        cli_warn("%s was not defined persistently: virsh create it from "
                 "quickmig vault show %s --xml",
                 p->dom->name, p->url->text);
    else if (!qm__vm_define(p->vm, p->xml, cli_deadline(p->o), &why))
        cli_warn("%s could not be given back to libvirt (%s): its XML is in "
                 "the vault, quickmig vault show %s --xml",
                 p->dom->name, why->message, p->url->text);
}

/* Pacemaker has looked on every node, and found it nowhere: only now it may
 * act.  A copy under another host's libvirt would be ended otherwise. */
static bool
release(const protection *p, int64_t deadline, GError **error)
{
    const char *id = p->plan->id;

    if (cli_await_probes(p->o, id, deadline, error) &&
        cli_resource_unset(id, "is-managed", error))
        return true;
    g_prefix_error(error,
                   "resource %s is there, but unmanaged, so that nothing "
                   "happens to it (when this is mended: crm_resource "
                   "--cleanup --resource %s, and crm_resource --resource %s "
                   "--meta --delete-parameter is-managed): ",
                   id, id, id);
    return false;
}

static bool
hand_over(protection *p, GError **error)
{
    g_autofree char *xml = cli_protection_xml(p->plan, true);
    int64_t deadline;

    if (!shut_down(p, error) ||
        !qm__vm_undefine(p->vm, cli_deadline(p->o), error))
        return false;
    if (!cli_cib_apply(xml, error)) {
        give_back(p);
        return false;
    }
    deadline = qm__deadline_in(p->o->move_timeout * QM_S);
    if (!release(p, deadline, error))
        return false;
    if (p->o->stopped)
        return true;
    say(p, "Waiting for the cluster to start it");
    return cli_await_resource(p->plan->id, CLI_AWAIT_STARTED, deadline,
                              &p->node, error);
}

/* --- telling ------------------------------------------------------------- */

/* What a dry run would do, in order. */
static void
print_steps(const protection *p, GString *out)
{
    g_autofree char *memory = cli_bytes(p->dom->memory);
    g_autofree char *speed = cli_speed(p->rate / 2, p->rate > 0 ? QM_S : 0);

    g_string_append_printf(out,
                           "%s: %u CPUs, %s of memory.  This would be done:\n",
                           p->dom->name, p->dom->vcpus, memory);
    g_string_append_printf(out, "  %s the vault %s\n",
                           p->formatted ? "take" : "make", p->url->text);
    if (p->defined & QM_DEFINED_ACTIVE)
        g_string_append(out, "  shut the guest down\n");
    if (p->defined & QM_DEFINED_PERSISTENT)
        g_string_append(out, "  take its definition away from libvirt (virsh "
                             "undefine)\n");
    if (p->plan->daemon)
        g_string_append(out, "  create the clone of the node daemon\n");
    g_string_append_printf(
        out, "  create its resource, with timeouts for %s (%s)\n",
        p->rate > 0 ? speed : "100 MB/s",
        p->rate > 0 ? "half of what was measured" : "nothing is measured yet");
}

static void
print_text(const protection *p, const char *crm, const char *pcs, GString *out)
{
    if (p->o->dry_run) {
        print_steps(p, out);
        g_string_append_printf(out, "\nWith crmsh\n\n%s\nor with pcs\n\n%s",
                               crm, pcs);
    } else if (p->o->stopped) {
        g_string_append_printf(out,
                               "%s is protected; it is stopped: crm_resource "
                               "--resource %s --meta --delete-parameter "
                               "target-role\n",
                               p->dom->name, p->plan->id);
    } else {
        g_string_append_printf(out, "%s is protected; it runs on %s\n",
                               p->dom->name, p->node);
    }
}

static void
print_json(const protection *p, const char *crm, const char *pcs, GString *out)
{
    g_autoptr(JsonBuilder) b = json_builder_new();
    g_autofree char *xml = cli_protection_xml(p->plan, false);

    json_builder_begin_object(b);
    cli_json_string(b, "vm", p->dom->name);
    cli_json_uuid(b, "uuid", p->dom->uuid);
    cli_json_string(b, "resource", p->plan->id);
    cli_json_string(b, "vault", p->url->text);
    cli_json_bool(b, "dry_run", p->o->dry_run);
    cli_json_bool(b, "vault_there", p->formatted);
    cli_json_bool(b, "node_daemon_added", p->plan->daemon);
    cli_json_number(b, "memory", p->dom->memory);
    cli_json_number(b, "vcpus", p->dom->vcpus);
    cli_json_number(b, "rate", p->rate);
    cli_json_number(b, "start_timeout", p->plan->start);
    cli_json_number(b, "stop_timeout", p->plan->stop);
    cli_json_string(b, "node", p->node);
    cli_json_string(b, "xml", xml);
    cli_json_string(b, "crm", crm);
    cli_json_string(b, "pcs", pcs);
    json_builder_end_object(b);
    cli_json_print(b, out);
}

static void
report(const protection *p, GString *out)
{
    g_autofree char *crm = cli_protection_crm(p->plan);
    g_autofree char *pcs = cli_protection_pcs(p->plan);

    if (p->o->json)
        print_json(p, crm, pcs, out);
    else
        print_text(p, crm, pcs, out);
}

bool
cli_protect(const cli_options *o, GString *out, GError **error)
{
    protection p = {.o = o};
    bool ok = false;

    if (o->vault == NULL) {
        g_set_error(error, CLI_USAGE, 0,
                    "protect: --vault VAULT is missing: the LUN or directory "
                    "for the VM's record and saved memory");
        return false;
    }
    if (!cli_parse_address(o->vault, &p.url, error) ||
        !look(&p, o->args[0], error) || !make_plan(&p, error) ||
        !check_libvirt(&p, error) || !check_storage(&p, error))
        goto out;
    cli_protection_set_rate(p.plan, p.rate);
    for (guint i = 0; i < p.checks->len; i++)
        p.plan->unfenced |=
            ((const cli_disk_check *) p.checks->pdata[i])->unfenced;
    if (!o->dry_run && (!make_vault(&p, error) || !hand_over(&p, error)))
        goto out;
    report(&p, out);
    ok = true;
out:
    clear(&p);
    return ok;
}
