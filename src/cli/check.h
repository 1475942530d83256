/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_CLI_CHECK_H
#define QM_CLI_CHECK_H

/*
 * Checks made before a vault is formatted or its XML replaced.
 */
#include "domxml.h"
#include "options.h"

typedef enum {
    CLI_DISK_CHECKED,     /* reachable, sane, can be reserved */
    CLI_DISK_UNREACHABLE, /* from here; may be reachable from the nodes */
    CLI_DISK_SKIPPED      /* read-only, or --no-check */
} cli_disk_result;

typedef struct {
    const qm_disk *disk;
    cli_disk_result result;
    uint64_t size; /* bytes; CHECKED only */
    uint32_t keys; /* registered keys; CHECKED only */
    bool unfenced; /* CHECKED, cannot be reserved, and was allowed */
    char *why;     /* UNREACHABLE only */
} cli_disk_check;

const char *cli_disk_result_name(cli_disk_result result);

/* Reads an XML (- is standard input) and parses it. */
bool cli_load_xml(const char *file, char **ret_xml, qm_domxml **ret_dom,
                  GError **error);

/*
 * Looks at every disk's LUN without registering: a LUN that is not there,
 * refuses the login, is the vault itself, is reserved by something else or
 * cannot be reserved (unless that is allowed) is an error; one that cannot be
 * reached is not.
 * @ret_checks: GPtrArray of cli_disk_check, pointing into @dom.
 */
bool
cli_check_disks(const cli_options *o, const qm_domxml *dom, const qm_url *vault,
                GPtrArray **ret_checks, GError **error);

/* Is the vault large enough for the VM's memory?  A directory's free space
 * is only warned about: *@ret_warning (caller frees; NULL: fine). */
bool cli_check_size(const cli_options *o, const qm_domxml *dom,
                    const qm_url *vault, char **ret_warning, GError **error);

#endif
