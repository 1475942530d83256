/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The note that a node keeps of the VMs it started.  A key file below /run:
 * it goes with the boot that it speaks of.
 */
#include "config.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uuid/uuid.h>
#include "local.h"
#include "runtime.h"

#define GROUP "vm"

static char *
path_of(const char *url)
{
    g_autofree char *hash =
        g_compute_checksum_for_string(G_CHECKSUM_SHA1, url, -1);

    return g_build_filename(qm__run_dir(), "local", hash, NULL);
}

bool
qm__local_write(const char *url, const qm_local *local, GError **error)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autoptr(GError) why = NULL;
    g_autofree char *path = path_of(url);
    g_autofree char *dir = g_path_get_dirname(path);
    g_autofree char *text = NULL;
    char uuid[UUID_STR_LEN];
    gsize length;

    uuid_unparse_lower(local->uuid, uuid);
    g_key_file_set_string(file, GROUP, "vault", url);
    g_key_file_set_string(file, GROUP, "uuid", uuid);
    g_key_file_set_string(file, GROUP, "name", local->name);
    g_key_file_set_uint64(file, GROUP, "generation", local->generation);
    if (local->resource != NULL)
        g_key_file_set_string(file, GROUP, "resource", local->resource);
    if (local->image_secret != NULL)
        g_key_file_set_string(file, GROUP, "image_secret", local->image_secret);
    if (local->disks != NULL)
        g_key_file_set_string_list(file, GROUP, "disks",
                                   (const char *const *) local->disks,
                                   g_strv_length(local->disks));
    text = g_key_file_to_data(file, &length, NULL);
    if (g_mkdir_with_parents(dir, 0700) < 0 ||
        !g_file_set_contents_full(path, text, (gssize) length,
                                  G_FILE_SET_CONTENTS_CONSISTENT, 0600, &why)) {
        g_set_error(error, QM_ERROR, QM_ERROR_IO, "writing %s: %s", path,
                    why != NULL ? why->message : g_strerror(errno));
        return false;
    }
    return true;
}

bool
qm__local_read(const char *url, qm_local *ret_local, GError **error)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autoptr(GError) why = NULL;
    g_autofree char *path = path_of(url);
    g_autofree char *uuid = NULL;
    g_autofree char *name = NULL;
    qm_local l = {0};

    if (!g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, &why)) {
        bool absent = g_error_matches(why, G_FILE_ERROR, G_FILE_ERROR_NOENT);

        g_set_error(error, QM_ERROR, absent ? QM_ERROR_NOT_FOUND : QM_ERROR_IO,
                    "reading %s: %s", path, why->message);
        return false;
    }
    uuid = g_key_file_get_string(file, GROUP, "uuid", NULL);
    name = g_key_file_get_string(file, GROUP, "name", NULL);
    if (uuid == NULL || name == NULL || uuid_parse(uuid, l.uuid) != 0) {
        g_set_error(error, QM_ERROR, QM_ERROR_CORRUPT, "%s is damaged", path);
        return false;
    }
    g_strlcpy(l.name, name, sizeof l.name);
    l.generation = g_key_file_get_uint64(file, GROUP, "generation", NULL);
    l.resource = g_key_file_get_string(file, GROUP, "resource", NULL);
    l.image_secret = g_key_file_get_string(file, GROUP, "image_secret", NULL);
    l.disks = g_key_file_get_string_list(file, GROUP, "disks", NULL, NULL);
    *ret_local = l;
    return true;
}

/* The vault's address in a note of @resource; NULL: it is of another. */
static bool
vault_of(const char *dir, const char *name, const char *resource,
         char **ret_url, GError **error)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autoptr(GError) why = NULL;
    g_autofree char *path = g_build_filename(dir, name, NULL);
    g_autofree char *owner = NULL;

    *ret_url = NULL;
    if (!g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, &why)) {
        if (g_error_matches(why, G_FILE_ERROR, G_FILE_ERROR_NOENT))
            return true; /* gone since */
        g_set_error(error, QM_ERROR, QM_ERROR_CORRUPT, "reading %s: %s", path,
                    why->message);
        return false;
    }
    owner = g_key_file_get_string(file, GROUP, "resource", NULL);
    if (g_strcmp0(owner, resource) == 0)
        *ret_url = g_key_file_get_string(file, GROUP, "vault", NULL);
    return true;
}

bool
qm__local_find(const char *resource, char **ret_url, GError **error)
{
    g_autofree char *path = g_build_filename(qm__run_dir(), "local", NULL);
    g_autoptr(GError) why = NULL;
    g_autoptr(GDir) dir = g_dir_open(path, 0, &why);
    const char *name;
    char *url = NULL;

    if (dir == NULL &&
        !g_error_matches(why, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
        g_set_error(error, QM_ERROR, QM_ERROR_IO, "reading %s: %s", path,
                    why->message);
        return false;
    }
    while (dir != NULL && url == NULL && (name = g_dir_read_name(dir)) != NULL)
        if (!vault_of(path, name, resource, &url, error))
            return false;
    *ret_url = url;
    return true;
}

bool
qm__local_find_vm(const uint8_t *uuid, qm_local *ret_local)
{
    g_autofree char *path = g_build_filename(qm__run_dir(), "local", NULL);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autoptr(GKeyFile) file = g_key_file_new();
        g_autofree char *note = g_build_filename(path, name, NULL);
        g_autofree char *url = NULL;
        qm_local local = {0};

        if (!g_key_file_load_from_file(file, note, G_KEY_FILE_NONE, NULL))
            continue;
        url = g_key_file_get_string(file, GROUP, "vault", NULL);
        if (url == NULL || !qm__local_read(url, &local, NULL))
            continue;
        if (memcmp(local.uuid, uuid, QM_UUID_LEN) == 0) {
            *ret_local = local;
            return true;
        }
        qm__local_clear(&local);
    }
    return false;
}

void
qm__local_clear(qm_local *local)
{
    g_free(local->resource);
    g_free(local->image_secret);
    g_strfreev(local->disks);
    memset(local, 0, sizeof *local);
}

void
qm__local_remove(const char *url)
{
    g_autofree char *path = path_of(url);

    (void) unlink(path); /* absent is what is wanted */
}
