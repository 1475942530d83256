/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * quickmig discover: which hypervisors and VMs there are, what they are made
 * of, which VMs are protected, and what stands in the way of the others.
 * Nothing is changed, and a hypervisor that does not answer is a result like
 * any other.
 */
#include "config.h"
#include <string.h>
#include <uuid/uuid.h>
#include "cli.h"
#include "hardware.h"
#include "inventory.h"
#include "reach.h"

#define LOCAL_URI "qemu:///system"

typedef struct {
    char *uri;
    qm_inventory *inventory; /* NULL: @error */
    GError *error;
} hypervisor;

typedef struct {
    GPtrArray *hypervisors;
    GPtrArray *looks; /* at the vaults of the cluster; NULL: no cluster here */
    GError *cluster;  /* why not */
} discovery;

/* A VM of a hypervisor, with what is known of it. */
typedef struct {
    const qm_inventory_domain *domain;
    cli_hardware *hardware; /* NULL: its XML cannot be read */
    const cli_look *look;   /* its vault; NULL: not protected, or unknown */
} vm;

static void
free_hypervisor(gpointer p)
{
    hypervisor *h = p;

    g_free(h->uri);
    qm__inventory_free(h->inventory);
    g_clear_error(&h->error);
    g_free(h);
}

static void
clear(discovery *d)
{
    g_ptr_array_unref(d->hypervisors);
    if (d->looks != NULL)
        g_ptr_array_unref(d->looks);
    g_clear_error(&d->cluster);
}

static void
look_at_hypervisor(const cli_options *o, const char *uri, discovery *d)
{
    hypervisor *h = g_new0(hypervisor, 1);

    h->uri = g_strdup(uri);
    (void) qm__inventory_read(uri, true, cli_deadline(o), &h->inventory,
                              &h->error);
    g_ptr_array_add(d->hypervisors, h);
}

/* Which VMs the cluster protects: as their vaults say. */
static void
look_at_cluster(const cli_options *o, discovery *d)
{
    g_autoptr(GPtrArray) targets = NULL;

    if (!cli_all_targets(o, &targets, &d->cluster))
        return;
    d->looks = g_ptr_array_new_with_free_func((GDestroyNotify) cli_look_free);
    while (targets->len > 0)
        g_ptr_array_add(d->looks,
                        cli_look_new(g_ptr_array_steal_index(targets, 0)));
    cli_look_all(o, d->looks);
}

/* A file of another host cannot be seen. */
static cli_file_place_fn
place_for(const char *uri)
{
    return strstr(uri, ":///") != NULL ? cli_file_place_here : NULL;
}

static void
fill(const discovery *d, const hypervisor *h, const qm_inventory_domain *domain,
     vm *ret)
{
    *ret = (vm){.domain = domain};
    (void) cli_hardware_read(domain->xml, place_for(h->uri), &ret->hardware,
                             NULL);
    for (guint i = 0; d->looks != NULL && i < d->looks->len; i++) {
        const cli_look *look = d->looks->pdata[i];

        if (look->error == NULL &&
            memcmp(look->info.uuid, domain->uuid, QM_UUID_LEN) == 0)
            ret->look = look;
    }
}

/* --- text ---------------------------------------------------------------- */

/* "9.0.0" */
static char *
version(uint64_t v)
{
    return v == 0 ? g_strdup("?")
                  : g_strdup_printf("%u.%u.%u", (unsigned) (v / 1000000),
                                    (unsigned) (v / 1000 % 1000),
                                    (unsigned) (v % 1000));
}

static char *
describe_disks(const cli_hardware *h)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < h->disks->len; i++) {
        const cli_hw_disk *d = h->disks->pdata[i];

        if (d->source != NULL || !d->drive)
            g_string_append_printf(text, "%s%s %s", text->len > 0 ? ", " : "",
                                   d->target, d->kind);
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static char *
describe_nics(const cli_hardware *h)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < h->nics->len; i++) {
        const cli_hw_nic *n = h->nics->pdata[i];

        g_string_append_printf(text, "%s%s", text->len > 0 ? ", " : "",
                               n->source != NULL ? n->source : n->kind);
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static const char *
answer(const discovery *d, const vm *v)
{
    if (v->look != NULL)
        return v->look->target->resource;
    if (v->hardware == NULL)
        return "?";
    switch (cli_hardware_worst(v->hardware)) {
    case CLI_OBSTACLE_BLOCK:
        return "no: not possible";
    case CLI_OBSTACLE_DOUBT:
        return "no: doubtful";
    case CLI_OBSTACLE_NOTE:
        break;
    }
    return d->looks == NULL ? "?" : "no";
}

static void
print_vm(cli_table *t, const discovery *d, const vm *v)
{
    const cli_hardware *h = v->hardware;
    g_autofree char *cpus = NULL, *memory = NULL, *disks = NULL, *nics = NULL;

    if (h == NULL) {
        cli_table_row(t, v->domain->name, "?", NULL);
        return;
    }
    cpus = g_strdup_printf("%u", h->vcpus);
    memory = cli_bytes(h->memory);
    disks = describe_disks(h);
    nics = describe_nics(h);
    cli_table_row(t, v->domain->name, v->domain->active ? "running" : "off",
                  cpus, h->cpu != NULL ? h->cpu : "-", memory,
                  *disks != '\0' ? disks : "-", *nics != '\0' ? nics : "-",
                  h->firmware != NULL ? h->firmware : "BIOS", answer(d, v),
                  NULL);
}

static void
print_obstacles(const discovery *d, const hypervisor *h, GString *out)
{
    const GPtrArray *domains = h->inventory->domains;

    for (guint i = 0; i < domains->len; i++) {
        vm v;

        fill(d, h, domains->pdata[i], &v);
        for (guint k = 0; v.look == NULL && v.hardware != NULL &&
                          k < v.hardware->obstacles->len;
             k++) {
            const cli_obstacle *o = v.hardware->obstacles->pdata[k];

            g_string_append_printf(out, "  %s: %s: %s\n", v.domain->name,
                                   cli_obstacle_name(o->kind), o->text);
        }
        cli_hardware_free(v.hardware);
    }
}

static void
print_hypervisor(const discovery *d, const hypervisor *h, GString *out)
{
    g_autofree char *memory = NULL, *unused = NULL;
    g_autofree char *libvirt = NULL, *qemu = NULL;
    g_autoptr(cli_table) t = cli_table_new(
        "VM|STATE|>CPUS|CPU|>MEMORY|DISKS|NETWORKS|FIRMWARE|PROTECTED");

    if (h->inventory == NULL) {
        g_string_append_printf(out, "%s: %s\n", h->uri, h->error->message);
        return;
    }
    memory = cli_bytes(h->inventory->memory);
    unused = cli_bytes(h->inventory->memory_free);
    libvirt = version(h->inventory->libvirt);
    qemu = version(h->inventory->qemu);
    g_string_append_printf(
        out,
        "%s (%s): %u CPUs %s %s, memory %s (%s free), libvirt %s, QEMU %s\n",
        h->inventory->hostname, h->uri, h->inventory->cpus, h->inventory->arch,
        h->inventory->cpu_model != NULL ? h->inventory->cpu_model : "", memory,
        unused, libvirt, qemu);
    for (guint i = 0; i < h->inventory->domains->len; i++) {
        vm v;

        fill(d, h, h->inventory->domains->pdata[i], &v);
        print_vm(t, d, &v);
        cli_hardware_free(v.hardware);
    }
    if (h->inventory->domains->len == 0)
        g_string_append(out, "no VM\n");
    else
        cli_table_print(t, out);
    print_obstacles(d, h, out);
}

static void
print_text(const discovery *d, GString *out)
{
    for (guint i = 0; i < d->hypervisors->len; i++) {
        if (i > 0)
            g_string_append_c(out, '\n');
        print_hypervisor(d, d->hypervisors->pdata[i], out);
    }
    if (d->looks == NULL)
        cli_warn("which VMs are protected is not known: %s",
                 d->cluster->message);
}

/* --- JSON ---------------------------------------------------------------- */

static void
begin_array(JsonBuilder *b, const char *key)
{
    json_builder_set_member_name(b, key);
    json_builder_begin_array(b);
}

static void
json_hardware(JsonBuilder *b, const cli_hardware *h)
{
    cli_json_string(b, "type", h->type);
    cli_json_string(b, "machine", h->machine);
    cli_json_string(b, "firmware", h->firmware);
    cli_json_string(b, "cpu", h->cpu);
    cli_json_number(b, "vcpus", h->vcpus);
    cli_json_number(b, "memory", h->memory);
    begin_array(b, "disks");
    for (guint i = 0; i < h->disks->len; i++) {
        const cli_hw_disk *d = h->disks->pdata[i];

        json_builder_begin_object(b);
        cli_json_string(b, "target", d->target);
        cli_json_string(b, "kind", d->kind);
        cli_json_string(b, "source", d->source);
        cli_json_bool(b, "drive", d->drive);
        cli_json_bool(b, "gated", d->gated);
        json_builder_end_object(b);
    }
    json_builder_end_array(b);
    begin_array(b, "networks");
    for (guint i = 0; i < h->nics->len; i++) {
        const cli_hw_nic *n = h->nics->pdata[i];

        json_builder_begin_object(b);
        cli_json_string(b, "kind", n->kind);
        cli_json_string(b, "source", n->source);
        cli_json_string(b, "mac", n->mac);
        cli_json_string(b, "model", n->model);
        json_builder_end_object(b);
    }
    json_builder_end_array(b);
}

static void
json_obstacles(JsonBuilder *b, const vm *v)
{
    begin_array(b, "obstacles");
    for (guint i = 0; v->look == NULL && v->hardware != NULL &&
                      i < v->hardware->obstacles->len;
         i++) {
        const cli_obstacle *o = v->hardware->obstacles->pdata[i];

        json_builder_begin_object(b);
        cli_json_string(b, "severity", cli_obstacle_name(o->kind));
        cli_json_string(b, "text", o->text);
        json_builder_end_object(b);
    }
    json_builder_end_array(b);
}

static void
json_vm(JsonBuilder *b, const discovery *d, const vm *v)
{
    json_builder_begin_object(b);
    cli_json_string(b, "name", v->domain->name);
    cli_json_uuid(b, "uuid", v->domain->uuid);
    cli_json_bool(b, "running", v->domain->active);
    cli_json_bool(b, "persistent", v->domain->persistent);
    cli_json_bool(b, "autostart", v->domain->autostart);
    cli_json_bool(b, "managed_save", v->domain->managed_save);
    cli_json_number(b, "snapshots", v->domain->snapshots);
    if (v->hardware != NULL)
        json_hardware(b, v->hardware);
    json_builder_set_member_name(b, "protected");
    if (d->looks == NULL)
        json_builder_add_null_value(b);
    else
        json_builder_add_boolean_value(b, v->look != NULL);
    cli_json_string(b, "resource",
                    v->look != NULL ? v->look->target->resource : NULL);
    cli_json_string(b, "vault",
                    v->look != NULL ? v->look->target->vault : NULL);
    json_obstacles(b, v);
    json_builder_end_object(b);
}

static void
json_hypervisor(JsonBuilder *b, const discovery *d, const hypervisor *h)
{
    const qm_inventory *in = h->inventory;

    json_builder_begin_object(b);
    cli_json_string(b, "uri", h->uri);
    cli_json_error(b, "error", h->error);
    if (in != NULL) {
        cli_json_string(b, "hostname", in->hostname);
        cli_json_string(b, "arch", in->arch);
        cli_json_string(b, "cpu_model", in->cpu_model);
        cli_json_number(b, "cpus", in->cpus);
        cli_json_number(b, "memory", in->memory);
        cli_json_number(b, "memory_free", in->memory_free);
        cli_json_number(b, "libvirt", in->libvirt);
        cli_json_number(b, "qemu", in->qemu);
        begin_array(b, "vms");
        for (guint i = 0; i < in->domains->len; i++) {
            vm v;

            fill(d, h, in->domains->pdata[i], &v);
            json_vm(b, d, &v);
            cli_hardware_free(v.hardware);
        }
        json_builder_end_array(b);
    }
    json_builder_end_object(b);
}

static void
print_json(const discovery *d, GString *out)
{
    g_autoptr(JsonBuilder) b = json_builder_new();

    json_builder_begin_object(b);
    cli_json_error(b, "cluster_error", d->cluster);
    begin_array(b, "hypervisors");
    for (guint i = 0; i < d->hypervisors->len; i++)
        json_hypervisor(b, d, d->hypervisors->pdata[i]);
    json_builder_end_array(b);
    json_builder_end_object(b);
    cli_json_print(b, out);
}

static bool
judge(const discovery *d, GError **error)
{
    unsigned failed = 0;

    for (guint i = 0; i < d->hypervisors->len; i++)
        failed +=
            ((const hypervisor *) d->hypervisors->pdata[i])->error != NULL;
    if (failed == 0)
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_IO,
                "%u of %u hypervisors do not answer", failed,
                d->hypervisors->len);
    return false;
}

bool
cli_discover(const cli_options *o, GString *out, GError **error)
{
    discovery d = {.hypervisors =
                       g_ptr_array_new_with_free_func(free_hypervisor)};
    bool ok;

    if (o->args[0] == NULL)
        look_at_hypervisor(o, o->connect != NULL ? o->connect : LOCAL_URI, &d);
    for (char **uri = o->args; *uri != NULL; uri++)
        look_at_hypervisor(o, *uri, &d);
    look_at_cluster(o, &d);
    if (o->json)
        print_json(&d, out);
    else
        print_text(&d, out);
    ok = judge(&d, error);
    clear(&d);
    return ok;
}
