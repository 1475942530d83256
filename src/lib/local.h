/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_LOCAL_H
#define QM_LOCAL_H

/*
 * What this node, in this boot, knows of a vault's VM without asking the
 * vault: /run/quickmig/local/HASH-OF-URL.  Written before the first side
 * effect of a start, removed when the VM surely has left.  So: no file, never
 * started here.
 */
#include <quickmig/error.h>
#include <quickmig/record.h>

typedef struct {
    uint8_t uuid[QM_UUID_LEN];
    uint64_t generation; /* 0: not owner yet */
    char name[QM_NAME_MAX];
    char *resource;     /* the cluster resource that started it */
    GStrv disks;        /* targets of the gated disks */
    char *image_secret; /* its parameter; NULL: none */
} qm_local;

bool qm__local_write(const char *url, const qm_local *local, GError **error);
/* NOT_FOUND: never started here in this boot. */
bool qm__local_read(const char *url, qm_local *ret_local, GError **error);
/* The vault of a VM that @resource started here in this boot, for a stop that
 * is not told; NULL: it started none.  The caller frees. */
bool qm__local_find(const char *resource, char **ret_url, GError **error);
/* The note of this VM; false: none, or it cannot be read. */
bool qm__local_find_vm(const uint8_t *uuid, qm_local *ret_local);
void qm__local_clear(qm_local *local);
void qm__local_remove(const char *url);

#endif
