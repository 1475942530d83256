/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * libFuzzer's entry.  One program for all formats: QM_FUZZ in the environment
 * names the one; without it, the known ones are printed.
 */
#include "config.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include "fuzz.h"
#include "log.h"

static const struct {
    const char *name;
    void (*run)(const uint8_t *data, size_t size);
} formats[] = {
    {"agent", fuzz_agent},       {"control", fuzz_control},
    {"disks", fuzz_disks},       {"domxml", fuzz_domxml},
    {"history", fuzz_history},   {"image", fuzz_image},
    {"iscsi", fuzz_iscsi},       {"login", fuzz_login},
    {"message", fuzz_message},   {"nbd", fuzz_nbd},
    {"params", fuzz_params},     {"record", fuzz_record},
    {"settings", fuzz_settings}, {"superblock", fuzz_superblock},
    {"told", fuzz_told},         {"url", fuzz_url},
    {"xmlcopy", fuzz_xmlcopy},
};

static void (*chosen)(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* g_error() ends in a trap, which libFuzzer does not know: the input would not
 * be kept. */
static void
on_trap(int signal_number)
{
    abort();
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *wanted = getenv("QM_FUZZ");

    for (size_t i = 0; i < G_N_ELEMENTS(formats); i++) {
        if (wanted == NULL)
            puts(formats[i].name);
        else if (strcmp(wanted, formats[i].name) == 0)
            chosen = formats[i].run;
    }
    if (wanted != NULL && chosen == NULL)
        fprintf(stderr, "QM_FUZZ: unknown format \"%s\"\n", wanted);
    if (chosen == NULL)
        exit(wanted != NULL ? EXIT_FAILURE : EXIT_SUCCESS);
    (void) signal(SIGTRAP, on_trap);
    (void) setenv("QM_LOG_FILE", "/dev/null", 1);
    qm__log_init("fuzz", false);
    return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    chosen(data, size);
    return 0;
}
