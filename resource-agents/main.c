/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The program: find the action, read the parameters, run it.
 */
#include "config.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "agent.h"
#include "log.h"
#include "harden.h"

int
main(int argc, char **argv)
{
    qm__no_dumps();
    (void) signal(SIGPIPE, SIG_IGN);
    if (argc != 2) {
        (void) fprintf(stderr, "usage: %s ACTION (see meta-data)\n", argv[0]);
        return OCF_ERR_ARGS;
    }
    qm__log_init("VirtualMachine", TRUE);
    return qm__agent_run(argv[1], environ);
}
