/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * How commands find and open vaults.  Reading registers, reserves and locks
 * nothing: a look never disturbs a VM.
 */
#include "config.h"
#include <string.h>
#include "cluster.h"
#include "timeouts.h"
#include "vm.h"
#include "reach.h"

#define SECRET_MAX 4096 /* bytes of a secret's file */

cli_target *
cli_target_new(const char *resource, const char *vault, const char *hypervisor)
{
    cli_target *t = g_new0(cli_target, 1);

    t->resource = g_strdup(resource);
    t->vault = g_strdup(vault);
    t->hypervisor = g_strdup(hypervisor);
    return t;
}

void
cli_target_free(cli_target *t)
{
    if (t == NULL)
        return;
    g_free(t->resource);
    g_free(t->vault);
    g_free(t->hypervisor);
    g_free(t);
}

bool
cli_is_address(const char *text)
{
    return strstr(text, "://") != NULL || strchr(text, '/') != NULL;
}

bool
cli_parse_address(const char *text, qm_url **ret, GError **error)
{
    g_autoptr(GError) e = NULL;

    if (qm_url_parse(text, ret, &e))
        return true;
    g_set_error_literal(error, CLI_USAGE, 0, e->message);
    return false;
}

int64_t
cli_deadline(const cli_options *o)
{
    return qm__deadline_in(o->timeout * QM_S);
}

bool
cli_all_targets(const cli_options *o, GPtrArray **ret, GError **error)
{
    g_autoptr(GPtrArray) resources = NULL;
    g_autoptr(GPtrArray) targets =
        g_ptr_array_new_with_free_func((GDestroyNotify) cli_target_free);

    if (!qm__cluster_resources(cli_deadline(o), &resources, error)) {
        g_prefix_error(error, "cannot read the cluster's resources: ");
        return false;
    }
    for (guint i = 0; i < resources->len; i++) {
        const qm_resource *r = resources->pdata[i];

        g_ptr_array_add(targets,
                        cli_target_new(r->id, r->vault, r->hypervisor));
        ((cli_target *) targets->pdata[i])->unfenced =
            g_strcmp0(r->allow_unfenced, "true") == 0;
    }
    *ret = g_steal_pointer(&targets);
    return true;
}

/* The target whose vault says that its VM is called @name. */
static cli_target *
find_by_vm_name(const cli_options *o, GPtrArray *targets, const char *name)
{
    g_autoptr(GPtrArray) looks =
        g_ptr_array_new_with_free_func((GDestroyNotify) cli_look_free);

    for (guint i = 0; i < targets->len; i++) {
        const cli_target *t = targets->pdata[i];

        g_ptr_array_add(looks, cli_look_new(cli_target_new(
                                   t->resource, t->vault, t->hypervisor)));
        ((cli_look *) looks->pdata[i])->target->unfenced = t->unfenced;
    }
    cli_look_all(o, looks);
    for (guint i = 0; i < looks->len; i++) {
        cli_look *look = looks->pdata[i];

        if (look->error == NULL && strcmp(look->info.name, name) == 0)
            return g_steal_pointer(&look->target);
    }
    return NULL;
}

bool
cli_find_target(const cli_options *o, const char *what, cli_target **ret,
                GError **error)
{
    g_autoptr(GPtrArray) targets = NULL;
    g_autoptr(qm_url) url = NULL;
    cli_target *found;

    if (cli_is_address(what)) {
        if (!cli_parse_address(what, &url, error))
            return false;
        *ret = cli_target_new(NULL, what, o->connect);
        return true;
    }
    if (!cli_all_targets(o, &targets, error)) {
        g_prefix_error(error,
                       "%s is no vault address, so it was looked for in the "
                       "cluster: ",
                       what);
        return false;
    }
    for (guint i = 0; i < targets->len; i++) {
        const cli_target *t = targets->pdata[i];

        if (strcmp(t->resource, what) == 0) {
            *ret = g_ptr_array_steal_index(targets, i);
            return true;
        }
    }
    found = find_by_vm_name(o, targets, what);
    if (found == NULL) {
        g_set_error(error, QM_ERROR, QM_ERROR_NOT_FOUND,
                    "no quickmig resource and no VM is called %s; see "
                    "quickmig status, or give the vault's address",
                    what);
        return false;
    }
    *ret = found;
    return true;
}

static bool
secret_from_file(const char *path, char **ret, GError **error)
{
    g_autoptr(GError) e = NULL;
    char *text;
    gsize length;

    if (!g_file_get_contents(path, &text, &length, &e)) {
        g_set_error(error, QM_ERROR, QM_ERROR_IO,
                    "cannot read the CHAP secret: %s", e->message);
        return false;
    }
    g_strchomp(text);
    if (text[0] == '\0' || length > SECRET_MAX || strlen(text) + 2 < length) {
        memset(text, 0, length);
        g_free(text);
        g_set_error(error, QM_ERROR, QM_ERROR_INVALID,
                    "%s: expected one line with the CHAP secret", path);
        return false;
    }
    *ret = text;
    return true;
}

bool
cli_secret(const cli_options *o, const qm_url *url, const char *hypervisor,
           bool own, char **ret, GError **error)
{
    static const uint8_t no_vm[QM_UUID_LEN];
    const char *uri = o->connect != NULL ? o->connect : hypervisor;
    const char *name = url->secret != NULL ? url->secret : url->iqn;
    int64_t deadline = cli_deadline(o);
    g_autoptr(qm_vm) vm = NULL;

    if (url->user == NULL) {
        *ret = NULL;
        return true;
    }
    if (own && o->secret_file != NULL)
        return secret_from_file(o->secret_file, ret, error);
    if (!qm__vm_open(uri, no_vm, deadline, &vm, error) ||
        !qm__vm_secret(vm, name, deadline, ret, error)) {
        g_prefix_error(error, "CHAP secret of user %s for %s: ", url->user,
                       url->iqn);
        return false;
    }
    return true;
}

bool
cli_open(const cli_options *o, const cli_target *t, uint16_t node_id,
         qm_vault **ret, GError **error)
{
    g_autoptr(qm_url) url = NULL;
    qm_vault_params params = {.url = t->vault, .node_id = node_id};
    char *secret = NULL;
    bool ok;

    if (t->vault == NULL) {
        g_set_error(error, QM_ERROR, QM_ERROR_INVALID,
                    "resource %s names no vault: set its parameter \"vault\"",
                    t->resource);
        return false;
    }
    if (!qm_url_parse(t->vault, &url, error) ||
        !cli_secret(o, url, t->hypervisor, true, &secret, error))
        return false;
    params.chap_secret = secret;
    ok = qm_vault_open(&params, cli_deadline(o), ret, error);
    qm__secret_free(secret);
    return ok;
}

bool
cli_self(qm_node *ret_self, GError **error)
{
    g_autoptr(qm_cluster) cluster = NULL;
    qm_node self = {.id = CLI_ADMIN_NODE_ID, .name = CLI_ADMIN_NODE_NAME};

    /* Any failure: no cluster runs here; nothing depends on why. */
    if (qm__cluster_open(qm__deadline_in(2 * QM_S), &cluster, NULL))
        self = *qm__cluster_self(cluster);
    else if (!qm__boot_identity(self.boot, error))
        return false;
    *ret_self = self;
    return true;
}

bool
cli_lock_vm(const cli_options *o, const uint8_t *uuid, qm_lock **ret,
            GError **error)
{
    g_autofree char *path = qm__vm_path(uuid, "lock");

    return qm__runtime_prepare(uuid, error) &&
           qm__lock_take(path, "quickmig", cli_deadline(o), ret, error);
}
