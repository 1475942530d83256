/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * What tells this boot of the host from any other: the kernel's boot id and
 * the start of PID 1, hashed.  PID 1 counts because a host may be a container
 * that restarts below a running kernel.  Nothing of it is stored on disk, so
 * nothing on disk has to be trusted.
 */
#include "config.h"
#include <string.h>
#include "cluster.h"

#define BOOT_ID     "/proc/sys/kernel/random/boot_id"
#define PID1_STAT   "/proc/1/stat"
#define FIELD_STATE 3  /* first field behind the command's name */
#define FIELD_START 22 /* starttime; see proc_pid_stat(5) */

static bool
read_proc(const char *path, char **ret_text, GError **error)
{
    g_autoptr(GError) cause = NULL;

    if (g_file_get_contents(path, ret_text, NULL, &cause))
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_IO,
                "cannot tell this boot from others: %s", cause->message);
    return false;
}

/* The command's name may contain anything: count behind its last ')'. */
static const char *
find_start(const char *stat, size_t *ret_length)
{
    const char *p = strrchr(stat, ')');

    if (p == NULL || p[1] != ' ')
        return NULL;
    p += 2;
    for (int i = FIELD_STATE; i < FIELD_START; i++) {
        p = strchr(p, ' ');
        if (p == NULL)
            return NULL;
        p++;
    }
    *ret_length = strspn(p, "0123456789");
    return *ret_length > 0 ? p : NULL;
}

bool
qm__boot_identity(uint8_t *ret_boot, GError **error)
{
    g_autofree char *id = NULL, *stat = NULL;
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    uint8_t digest[32];
    gsize digest_length = sizeof digest;
    const char *start;
    size_t length;

    if (!read_proc(BOOT_ID, &id, error) || !read_proc(PID1_STAT, &stat, error))
        return false;
    g_strchomp(id);
    start = find_start(stat, &length);
    if (*id == '\0' || start == NULL) {
        g_set_error(error, QM_ERROR, QM_ERROR_IO,
                    "cannot tell this boot from others: %s has no start time",
                    PID1_STAT);
        return false;
    }
    g_checksum_update(sum, (const guchar *) id, -1);
    g_checksum_update(sum, (const guchar *) "\n", 1);
    g_checksum_update(sum, (const guchar *) start, (gssize) length);
    g_checksum_get_digest(sum, digest, &digest_length);
    memcpy(ret_boot, digest, QM_UUID_LEN);
    return true;
}
