/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_CLI_ADVICE_H
#define QM_CLI_ADVICE_H

/*
 * What to configure for a VM of a given size.
 */
#include <stdint.h>
#include <glib.h>

/* Size that a vault's image area needs for a VM with @memory bytes. */
uint64_t cli_image_needed(uint64_t memory);

/* Timeout for an action that moves the VM's memory, seconds; @advised: what
 * the agent's meta-data advises for a VM that is small. */
unsigned cli_transfer_timeout(uint64_t memory, unsigned advised);

/* The same at a rate (bytes a second) that was measured; 0: not known. */
unsigned
cli_transfer_timeout_at(uint64_t memory, unsigned advised, uint64_t rate);

/* NAME=VALUE, quoted where the shell needs it; caller frees. */
char *cli_assignment(const char *name, const char *value);

/* A resource id made from a VM's name; caller frees. */
char *cli_resource_id(const char *vm_name);

/* The command that creates the resource; @hypervisor may be NULL. */
char *cli_crm_command(const char *id, const char *vault, const char *hypervisor,
                      uint64_t memory);
char *cli_pcs_command(const char *id, const char *vault, const char *hypervisor,
                      uint64_t memory);

#endif
