/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * What a survey reads: vaults, a few at a time, and counters.
 *
 *   RESOURCE.xml    copy of the vault's domain XML, as old as its file
 *   RESOURCE.us     how long its record took to read, µs
 *   RESOURCE.past   what its history says of this node (survey-past.c)
 *   net             bytes so far and when, for the next survey
 */
#include "config.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <glib/gstdio.h>
#include <quickmig/vault.h>
#include "cluster-internal.h"
#include "local.h"
#include "netmap.h"
#include "survey.h"
#include "vm.h"

#define AT_A_TIME  5
#define FRESH      (60 * QM_S)
#define FRESH_HERE (20 * QM_S) /* of a VM that runs here */
#define VAULT_CALL (5 * QM_S)
#define DAY        (86400 * QM_S)
#define LOOPBACK   "lo:"

int64_t
survey_file_age(const char *path)
{
    GStatBuf st;
    int64_t age;

    if (g_stat(path, &st) != 0)
        return DAY;
    age = g_get_real_time() - (int64_t) st.st_mtime * QM_S;
    return CLAMP(age, 0, DAY);
}

static char *
file_of(const char *dir, const char *resource, const char *suffix)
{
    return g_strconcat(dir, "/", resource, suffix, NULL);
}

static void
free_vm(gpointer p)
{
    survey_vm *vm = p;

    g_free(vm->resource);
    qm__needs_free(vm->needs);
    g_free(vm->problem);
    qm__local_clear(&vm->local);
    g_free(vm);
}

/* --- vaults -------------------------------------------------------------- */

static bool
secret_for(const qm_resource *r, char **ret, GError **error)
{
    static const uint8_t no_vm[QM_UUID_LEN];
    g_autoptr(qm_url) url = NULL;
    g_autoptr(qm_vm) vm = NULL;

    *ret = NULL;
    if (!qm_url_parse(r->vault, &url, error))
        return false;
    return url->user == NULL ||
           (qm__vm_open(r->hypervisor, no_vm, qm__deadline_in(VAULT_CALL), &vm,
                        error) &&
            qm__vm_secret(vm, url->secret != NULL ? url->secret : url->iqn,
                          qm__deadline_in(VAULT_CALL), ret, error));
}

static bool
read_vault(const qm_resource *r, uint32_t node_id, const char *past,
           char **ret_xml, int64_t *ret_us, GError **error)
{
    qm_vault_params params = {.url = r->vault};
    g_autoptr(qm_vault) vault = NULL;
    char *secret = NULL;
    qm_record record;
    int64_t began;
    bool ok;

    if (!secret_for(r, &secret, error))
        return false;
    params.chap_secret = secret;
    ok = qm_vault_open(&params, qm__deadline_in(VAULT_CALL), &vault, error);
    qm__secret_free(secret);
    if (!ok)
        return false;
    began = qm__now();
    ok = qm_vault_read_record(vault, &record, error);
    *ret_us = qm__now() - began;
    if (ok)
        survey_past_read(vault, &record, node_id, past);
    return ok && qm_vault_read_xml(vault, ret_xml, error);
}

static void
refresh(const qm_resource *r, const char *dir, uint32_t node_id, survey_vm *vm)
{
    g_autofree char *path = file_of(dir, r->id, ".xml");
    g_autofree char *us_path = file_of(dir, r->id, ".us");
    g_autofree char *past = file_of(dir, r->id, ".past");
    g_autofree char *xml = NULL, *text = NULL;
    g_autoptr(GError) why = NULL;
    int64_t us = 0;

    if (!read_vault(r, node_id, past, &xml, &us, &why)) {
        vm->problem = g_strdup(why->message);
        return;
    }
    text = g_strdup_printf("%" PRIi64, us);
    /* A copy that cannot be kept is read again the next time. */
    (void) g_file_set_contents_full(path, xml, -1, G_FILE_SET_CONTENTS_NONE,
                                    0600, NULL);
    (void) g_file_set_contents_full(us_path, text, -1, G_FILE_SET_CONTENTS_NONE,
                                    0600, NULL);
}

/* What it needs of this node: networks by the names that they have here. */
static void
take_copy(const qm_resource *r, const char *dir, const char *self,
          survey_vm *vm)
{
    g_autofree char *path = file_of(dir, vm->resource, ".xml");
    g_autofree char *xml = NULL, *mapped = NULL;
    g_autoptr(qm_netmap) map = NULL;

    if (g_file_get_contents(path, &xml, NULL, NULL) &&
        qm__netmap_parse(r->network_map, &map, NULL) &&
        qm__netmap_apply(map, self, xml, &mapped, NULL))
        (void) qm__needs_parse(mapped, &vm->needs, NULL);
}

typedef struct {
    const qm_resource *resource;
    int64_t age;
} copy;

static gint
older_first(gconstpointer a, gconstpointer b)
{
    const copy *x = a, *y = b;

    return (x->age < y->age) - (x->age > y->age);
}

static bool
is_here(const qm_resource *r, qm_local *ret_local)
{
    return r->vault != NULL && qm__local_read(r->vault, ret_local, NULL) &&
           ret_local->generation > 0;
}

static bool
runs_here(const qm_resource *r)
{
    qm_local local = {0};
    bool here = is_here(r, &local);

    qm__local_clear(&local);
    return here;
}

/* Which copies are to be read anew, oldest first. */
static GArray *
due(const GPtrArray *resources, const char *dir)
{
    GArray *list = g_array_new(FALSE, FALSE, sizeof(copy));

    for (guint i = 0; i < resources->len; i++) {
        const qm_resource *r = resources->pdata[i];
        g_autofree char *path = file_of(dir, r->id, ".xml");
        copy c = {r, survey_file_age(path)};

        if (r->vault != NULL && c.age >= (runs_here(r) ? FRESH_HERE : FRESH))
            g_array_append_val(list, c);
    }
    g_array_sort(list, older_first);
    return list;
}

bool
survey_vms_read(const char *cib, const char *dir, const qm_node *self,
                int64_t deadline, GPtrArray **ret, GError **error)
{
    g_autoptr(GPtrArray) resources = NULL;
    g_autoptr(GArray) list = NULL;
    GPtrArray *vms;

    if (!qm__cib_parse(cib, &resources, error))
        return false;
    vms = g_ptr_array_new_with_free_func(free_vm);
    list = due(resources, dir);
    for (guint i = 0; i < resources->len; i++) {
        const qm_resource *r = resources->pdata[i];
        survey_vm *vm = g_new0(survey_vm, 1);

        vm->resource = g_strdup(r->id);
        vm->here = is_here(r, &vm->local);
        for (guint k = 0; k < MIN(list->len, AT_A_TIME); k++)
            if (g_array_index(list, copy, k).resource == r &&
                !qm__passed(deadline))
                refresh(r, dir, self->id, vm);
        take_copy(r, dir, self->name, vm);
        g_ptr_array_add(vms, vm);
    }
    *ret = vms;
    return true;
}

static gint
by_value(gconstpointer a, gconstpointer b)
{
    return (*(const gint64 *) a > *(const gint64 *) b) -
           (*(const gint64 *) a < *(const gint64 *) b);
}

uint32_t
survey_latency(const GPtrArray *vms, const char *dir)
{
    g_autoptr(GArray) values = g_array_new(FALSE, FALSE, sizeof(gint64));

    for (guint i = 0; i < vms->len; i++) {
        const survey_vm *vm = vms->pdata[i];
        g_autofree char *path = file_of(dir, vm->resource, ".us");
        g_autofree char *text = NULL;
        gint64 value;

        if (g_file_get_contents(path, &text, NULL, NULL) &&
            g_ascii_string_to_signed(text, 10, 1, 1000000000, &value, NULL))
            g_array_append_val(values, value);
    }
    if (values->len == 0)
        return 0;
    g_array_sort(values, by_value);
    return (uint32_t) g_array_index(values, gint64, values->len / 2);
}

/* --- network ------------------------------------------------------------- */

/* All bytes in and out, but for the loopback. */
static bool
bytes_so_far(uint64_t *ret)
{
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;

    if (!g_file_get_contents("/proc/net/dev", &text, NULL, NULL))
        return false;
    *ret = 0;
    lines = g_strsplit(text, "\n", -1);
    for (guint i = 0; lines[i] != NULL; i++) {
        const char *name = g_strchug(lines[i]);
        const char *colon = strchr(name, ':');
        uint64_t in, out;

        if (colon == NULL || g_str_has_prefix(name, LOOPBACK) ||
            sscanf(colon + 1,
                   "%" SCNu64 " %*u %*u %*u %*u %*u %*u %*u %" SCNu64, &in,
                   &out) != 2)
            continue;
        *ret = MAX(*ret, MAX(in, out)); /* the busiest one, its busier way */
    }
    return true;
}

void
survey_network(const char *dir, qm_node_facts *facts)
{
    g_autofree char *path = g_build_filename(dir, "net", NULL);
    g_autofree char *text = NULL, *fresh = NULL;
    uint64_t now, before;
    int64_t then, time = qm__now();

    if (!bytes_so_far(&now))
        return;
    if (g_file_get_contents(path, &text, NULL, NULL) &&
        sscanf(text, "%" SCNu64 " %" SCNi64, &before, &then) == 2 &&
        before <= now && then < time)
        facts->net_mbs = (uint32_t) ((now - before) / (uint64_t) (time - then));
    fresh = g_strdup_printf("%" PRIu64 " %" PRIi64, now, time);
    (void) g_file_set_contents(path, fresh, -1, NULL); /* then not known */
}
