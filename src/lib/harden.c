/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Secrets of CHAP and of encrypted images, and parts of a guest's memory, pass
 * through our processes: a core dump would keep them on a disk.  The limit
 * alone does not hold for dumps that the kernel pipes into a program.
 */
#include "config.h"
#include <sys/prctl.h>
#include <sys/resource.h>
#include "harden.h"

void
qm__no_dumps(void)
{
    struct rlimit none = {0, 0};

    /* Neither is needed to work, and neither can fail for root. */
    (void) setrlimit(RLIMIT_CORE, &none);
    (void) prctl(PR_SET_DUMPABLE, 0);
}
