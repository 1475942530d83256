/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * quickmig: the administrator's program.  It reads and edits vaults; it never
 * starts, stops or moves a VM: that is Pacemaker's.
 */
#include "config.h"
#include <locale.h>
#include "cli.h"
#include "harden.h"

int
main(int argc, char **argv)
{
    (void) argc;
    qm__no_dumps();
    setlocale(LC_ALL, "");
    return cli_run(argv + 1);
}
