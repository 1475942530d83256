/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * quickmig vault create.  Everything that can be wrong is found before the
 * first byte is written.
 */
#include "config.h"
#include <uuid/uuid.h>
#include "advice.h"
#include "check.h"
#include "cli.h"
#include "reach.h"
#include "vm.h"

typedef struct {
    qm_url *url;
    char *xml;
    qm_domxml *dom;
    GPtrArray *checks;   /* cli_disk_check */
    GPtrArray *warnings; /* char * */
    qm_vault_info info;  /* after formatting */
} creation;

static void
clear(creation *c)
{
    if (c->checks != NULL)
        g_ptr_array_unref(c->checks);
    g_ptr_array_unref(c->warnings);
    qm__domxml_free(c->dom);
    qm_url_free(c->url);
    g_free(c->xml);
}

static void
note_warnings(creation *c, char *size_warning)
{
    unsigned ungated =
        c->dom->n_disks - MIN(c->dom->n_disks, c->dom->disks->len);

    if (size_warning != NULL)
        g_ptr_array_add(c->warnings, size_warning);
    for (guint i = 0; i < c->checks->len; i++) {
        const cli_disk_check *check = c->checks->pdata[i];

        if (check->result == CLI_DISK_UNREACHABLE)
            g_ptr_array_add(
                c->warnings,
                g_strdup_printf("disk %s was not checked, its LUN cannot be "
                                "reached from here: %s",
                                check->disk->target, check->why));
    }
    if (ungated > 0)
        g_ptr_array_add(
            c->warnings,
            g_strdup_printf("%u of %u disks are not iSCSI: only cluster "
                            "fencing and QEMU's image locks protect them",
                            ungated, c->dom->n_disks));
    for (guint i = 0; i < c->warnings->len; i++)
        cli_warn("%s", (const char *) c->warnings->pdata[i]);
}

/* Reads and checks; changes nothing. */
static bool
prepare(const cli_options *o, creation *c, GError **error)
{
    char *size_warning = NULL;

    if (!cli_load_xml(o->xml, &c->xml, &c->dom, error) ||
        !cli_check_size(o, c->dom, c->url, &size_warning, error))
        return false;
    if (!cli_check_disks(o, c->dom, c->url, &c->checks, error)) {
        g_free(size_warning);
        return false;
    }
    note_warnings(c, size_warning);
    return true;
}

static bool
format(const cli_options *o, creation *c, GError **error)
{
    g_autoptr(cli_target) target =
        cli_target_new(NULL, c->url->text, o->connect);
    qm_vault_params params = {.url = c->url->text};
    g_autoptr(qm_vault) vault = NULL;
    char *secret = NULL;
    qm_node self;
    bool ok;

    if (!cli_self(&self, error) ||
        !cli_secret(o, c->url, NULL, true, &secret, error))
        return false;
    params.node_id = (uint16_t) self.id;
    params.chap_secret = secret;
    ok = qm_vault_format(&params, c->dom->uuid, c->dom->name, c->xml, o->force,
                         cli_deadline(o), error);
    qm__secret_free(secret);
    /* Reading it back is the proof that it can be used. */
    if (!ok || !cli_open(o, target, 0, &vault, error))
        return false;
    c->info = *qm_vault_get_info(vault);
    return true;
}

static void
print_text(const creation *c, const char *crm, const char *pcs, GString *out)
{
    g_autofree char *room = cli_bytes(c->info.image_capacity);
    g_autofree char *memory = cli_bytes(c->dom->memory);

    g_string_append_printf(out, "Vault of %s created: %s\n", c->dom->name,
                           c->url->text);
    g_string_append_printf(out, "Room for saved state: %s (VM memory: %s)\n",
                           room, memory);
    for (guint i = 0; i < c->checks->len; i++) {
        const cli_disk_check *check = c->checks->pdata[i];
        g_autofree char *size = cli_bytes(check->size);

        g_string_append_printf(
            out, "Disk %s: %s%s%s\n", check->disk->target,
            check->result == CLI_DISK_CHECKED ? size : "",
            check->result != CLI_DISK_CHECKED ? ""
            : check->unfenced
                ? ", UNFENCED: its resource needs allow_unfenced=true"
                : ", can be reserved",
            check->result == CLI_DISK_CHECKED
                ? ""
                : cli_disk_result_name(check->result));
    }
    g_string_append_printf(out,
                           "\nCreate the resource with crmsh\n\n%s\n"
                           "or with pcs\n\n%s",
                           crm, pcs);
}

static void
print_disks(const creation *c, JsonBuilder *b)
{
    json_builder_set_member_name(b, "disks");
    json_builder_begin_array(b);
    for (guint i = 0; i < c->checks->len; i++) {
        const cli_disk_check *check = c->checks->pdata[i];

        json_builder_begin_object(b);
        cli_json_string(b, "disk", check->disk->target);
        cli_json_string(b, "portal", check->disk->url->portal);
        cli_json_string(b, "target", check->disk->url->iqn);
        cli_json_number(b, "lun", (uint64_t) check->disk->url->lun);
        cli_json_string(b, "check", cli_disk_result_name(check->result));
        cli_json_number(b, "size", check->size);
        json_builder_end_object(b);
    }
    json_builder_end_array(b);
}

static void
print_json(const creation *c, const char *id, const char *crm, const char *pcs,
           GString *out)
{
    g_autoptr(JsonBuilder) b = json_builder_new();

    json_builder_begin_object(b);
    cli_json_string(b, "vm", c->dom->name);
    cli_json_uuid(b, "uuid", c->dom->uuid);
    cli_json_string(b, "vault", c->url->text);
    cli_json_number(b, "format", c->info.format);
    cli_json_number(b, "memory", c->dom->memory);
    cli_json_number(b, "image_capacity", c->info.image_capacity);
    print_disks(c, b);
    json_builder_set_member_name(b, "warnings");
    json_builder_begin_array(b);
    for (guint i = 0; i < c->warnings->len; i++)
        json_builder_add_string_value(b, c->warnings->pdata[i]);
    json_builder_end_array(b);
    cli_json_string(b, "resource", id);
    cli_json_string(b, "crm", crm);
    cli_json_string(b, "pcs", pcs);
    json_builder_end_object(b);
    cli_json_print(b, out);
}

static void
report(const cli_options *o, const creation *c, GString *out)
{
    g_autofree char *id = cli_resource_id(c->dom->name);
    g_autofree char *crm =
        cli_crm_command(id, c->url->text, o->connect, c->dom->memory);
    g_autofree char *pcs =
        cli_pcs_command(id, c->url->text, o->connect, c->dom->memory);

    if (o->json)
        print_json(c, id, crm, pcs, out);
    else
        print_text(c, crm, pcs, out);
}

bool
cli_vault_create(const cli_options *o, GString *out, GError **error)
{
    creation c = {.warnings = g_ptr_array_new_with_free_func(g_free)};
    bool ok = false;

    if (o->xml == NULL) {
        g_set_error(error, CLI_USAGE, 0,
                    "vault create: --xml FILE is missing: the VM's domain "
                    "XML, as virsh dumpxml --inactive --security-info prints "
                    "it");
        goto out;
    }
    if (!cli_parse_address(o->args[0], &c.url, error) ||
        !prepare(o, &c, error) || !format(o, &c, error))
        goto out;
    report(o, &c, out);
    ok = true;
out:
    clear(&c);
    return ok;
}
