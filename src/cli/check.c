/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Checks before something is written.  They find at the desk what would
 * otherwise be found at the first failover.  They only read, on a nexus that
 * never registers.
 */
#include "config.h"
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "advice.h"
#include "check.h"
#include "cli.h"
#include "lun.h"
#include "output.h"
#include "reach.h"
#include "reservation.h"
#include "vm.h"

#define XML_MAX      (512 * 1024)
#define IMAGE_OFFSET UINT64_C(4194304) /* quickmig-vault(5) */
#define MIN_DISK     UINT64_C(1048576) /* bytes */

const char *
cli_disk_result_name(cli_disk_result result)
{
    static const char *const names[] = {"checked", "unreachable", "skipped"};

    return names[result];
}

static bool
read_stdin(char **ret, GError **error)
{
    g_autoptr(GString) text = g_string_new(NULL);
    char buf[4096];
    size_t n;

    while ((n = fread(buf, 1, sizeof buf, stdin)) > 0) {
        g_string_append_len(text, buf, (gssize) n);
        if (text->len > XML_MAX)
            break;
    }
    if (ferror(stdin)) {
        g_set_error(error, QM_ERROR, QM_ERROR_IO,
                    "cannot read the domain XML from standard input");
        return false;
    }
    *ret = g_string_free(g_steal_pointer(&text), FALSE);
    return true;
}

bool
cli_load_xml(const char *file, char **ret_xml, qm_domxml **ret_dom,
             GError **error)
{
    g_autofree char *xml = NULL;
    g_autoptr(GError) e = NULL;

    if (strcmp(file, "-") == 0) {
        if (!read_stdin(&xml, error))
            return false;
    } else if (!g_file_get_contents(file, &xml, NULL, &e)) {
        g_set_error(error, QM_ERROR,
                    g_error_matches(e, G_FILE_ERROR, G_FILE_ERROR_NOENT)
                        ? QM_ERROR_NOT_FOUND
                        : QM_ERROR_IO,
                    "cannot read the domain XML: %s", e->message);
        return false;
    }
    if (strlen(xml) > XML_MAX) {
        g_set_error(error, QM_ERROR, QM_ERROR_INVALID,
                    "%s: larger than %d KiB: that is no domain XML", file,
                    XML_MAX / 1024);
        return false;
    }
    if (!qm__domxml_parse(xml, ret_dom, error)) {
        g_prefix_error(error, "%s: ", file);
        return false;
    }
    *ret_xml = g_steal_pointer(&xml);
    return true;
}

static bool
open_lun(const cli_options *o, const qm_url *url, bool own, qm_lun **ret,
         GError **error)
{
    qm_lun_params params = {.url = url, .nexus = QM_NEXUS_READER};
    char *secret = NULL;
    bool ok;

    if (!cli_secret(o, url, NULL, own, &secret, error))
        return false;
    params.chap_secret = secret;
    ok = qm__lun_open(&params, cli_deadline(o), ret, error);
    qm__secret_free(secret);
    return ok;
}

/* Nothing answered: it may still be reachable from the cluster's nodes. */
static bool
is_unreachable(const GError *e)
{
    return e->domain == QM_ERROR &&
           (e->code == QM_ERROR_IO || e->code == QM_ERROR_TIMEOUT ||
            e->code == QM_ERROR_LOST);
}

static bool
check_geometry(const qm_lun_info *info, GError **error)
{
    if (info->block_size < 512 || info->block_size > 4096 ||
        (info->block_size & (info->block_size - 1)) != 0) {
        g_set_error(error, QM_ERROR, QM_ERROR_UNSUPPORTED,
                    "blocks of %u bytes; quickmig serves 512 to 4096",
                    info->block_size);
        return false;
    }
    if (info->size < MIN_DISK) {
        g_set_error(error, QM_ERROR, QM_ERROR_INVALID,
                    "only %" G_GUINT64_FORMAT " bytes: is it the right LUN?",
                    info->size);
        return false;
    }
    return true;
}

static bool
check_reservation(const cli_options *o, qm_lun *lun, uint32_t *ret_keys,
                  GError **error)
{
    qm_pr_state state = {0};
    bool ok;

    if (!qm__pr_read(lun, cli_deadline(o), &state, error))
        return false;
    *ret_keys = state.keys != NULL ? state.keys->len : 0;
    ok = state.holder == 0 || qm__key_is_ours(state.holder);
    if (!ok)
        g_set_error(error, QM_ERROR, QM_ERROR_FOREIGN,
                    "reserved by something that is not quickmig (key "
                    "0x%016" G_GINT64_MODIFIER "x): release it there first",
                    state.holder);
    qm__pr_state_clear(&state);
    return ok;
}

static bool
is_same_lun(const qm_url *a, const qm_url *b)
{
    return a->iqn != NULL && b->iqn != NULL && strcmp(a->iqn, b->iqn) == 0 &&
           a->lun == b->lun;
}

static bool
check_disk(const cli_options *o, cli_disk_check *check, const qm_url *vault,
           GError **error)
{
    const qm_disk *disk = check->disk;
    g_autoptr(qm_lun) lun = NULL;
    g_autoptr(GError) e = NULL;

    if (is_same_lun(disk->url, vault)) {
        g_set_error(error, QM_ERROR, QM_ERROR_INVALID,
                    "it is the vault's LUN: a vault needs a LUN of its own");
        return false;
    }
    if (o->no_check || disk->read_only) {
        check->result = CLI_DISK_SKIPPED;
        return true;
    }
    if (!open_lun(o, disk->url, false, &lun, &e)) {
        if (!is_unreachable(e)) {
            g_propagate_error(error, g_steal_pointer(&e));
            return false;
        }
        check->result = CLI_DISK_UNREACHABLE;
        check->why = g_strdup(e->message);
        return true;
    }
    check->result = CLI_DISK_CHECKED;
    check->size = qm__lun_info(lun)->size;
    if (!check_geometry(qm__lun_info(lun), error))
        return false;
    if (check_reservation(o, lun, &check->keys, &e))
        return true;
    check->unfenced =
        o->allow_unfenced && g_error_matches(e, QM_ERROR, QM_ERROR_UNSUPPORTED);
    if (check->unfenced) {
        cli_warn("disk %s UNFENCED: its target knows no reservations: only "
                 "cluster fencing keeps the writes of a lost node away",
                 disk->target);
        return true;
    }
    g_propagate_error(error, g_steal_pointer(&e));
    return false;
}

static void
free_check(gpointer p)
{
    cli_disk_check *check = p;

    g_free(check->why);
    g_free(check);
}

bool
cli_check_disks(const cli_options *o, const qm_domxml *dom, const qm_url *vault,
                GPtrArray **ret_checks, GError **error)
{
    g_autoptr(GPtrArray) checks = g_ptr_array_new_with_free_func(free_check);

    for (guint i = 0; i < dom->disks->len; i++) {
        cli_disk_check *check = g_new0(cli_disk_check, 1);

        check->disk = dom->disks->pdata[i];
        g_ptr_array_add(checks, check);
        if (!check_disk(o, check, vault, error)) {
            g_prefix_error(error, "disk %s (%s, LUN %d): ", check->disk->target,
                           check->disk->url->iqn, check->disk->url->lun);
            return false;
        }
    }
    *ret_checks = g_steal_pointer(&checks);
    return true;
}

static bool
check_lun_size(const cli_options *o, const qm_domxml *dom, const qm_url *vault,
               GError **error)
{
    uint64_t needed = cli_image_needed(dom->memory) + IMAGE_OFFSET;
    g_autofree char *has = NULL, *memory = NULL, *wants = NULL;
    g_autoptr(qm_lun) lun = NULL;
    uint32_t keys;

    if (!open_lun(o, vault, true, &lun, error)) {
        g_prefix_error(error, "vault %s: ", vault->text);
        return false;
    }
    if (!check_reservation(o, lun, &keys, error)) {
        g_prefix_error(error, "vault %s: ", vault->text);
        return false;
    }
    if (qm__lun_info(lun)->size >= needed)
        return true;
    has = cli_bytes(qm__lun_info(lun)->size);
    memory = cli_bytes(dom->memory);
    wants = cli_bytes(needed);
    g_set_error(error, QM_ERROR, QM_ERROR_NO_SPACE,
                "vault %s has %s; %s with %s of memory needs at least %s "
                "(%" G_GUINT64_FORMAT " bytes): make the LUN larger",
                vault->text, has, dom->name, memory, wants, needed);
    return false;
}

static void
check_free_space(const qm_domxml *dom, const qm_url *vault, char **ret_warning)
{
    uint64_t needed = cli_image_needed(dom->memory);
    struct statvfs fs;
    uint64_t free_bytes;

    if (statvfs(vault->dir, &fs) != 0)
        return; /* formatting says what is wrong */
    free_bytes = (uint64_t) fs.f_bavail * fs.f_frsize;
    if (free_bytes < needed) {
        g_autofree char *has = cli_bytes(free_bytes);
        g_autofree char *wants = cli_bytes(needed);

        *ret_warning = g_strdup_printf(
            "%s has %s free; saving %s needs %s: a save would fail, and the "
            "guest then stays where it is, or is shut down by a stop",
            vault->dir, has, dom->name, wants);
    }
}

bool
cli_check_size(const cli_options *o, const qm_domxml *dom, const qm_url *vault,
               char **ret_warning, GError **error)
{
    *ret_warning = NULL;
    if (o->no_check)
        return true;
    if (vault->dir == NULL)
        return check_lun_size(o, dom, vault, error);
    check_free_space(dom, vault, ret_warning);
    return true;
}
