/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_VM_DEFINE_H
#define QM_VM_DEFINE_H

/*
 * Definitions that libvirt keeps on a host: a VM on its way into the cluster,
 * or out of it.  Within the cluster no host has one.
 */
#include "vm.h"

/* What is to be known of a domain. */
typedef enum {
    QM_DEFINED_ACTIVE = 1 << 0,
    QM_DEFINED_PERSISTENT = 1 << 1,
    QM_DEFINED_AUTOSTART = 1 << 2,
    QM_DEFINED_MANAGED_SAVE = 1 << 3,
    QM_DEFINED_SNAPSHOTS = 1 << 4, /* or checkpoints */
} qm_defined;

/* The domain of this name, whatever @vm's UUID.  @ret_xml: as it would be
 * started next, secrets included; free with qm__secret_free().  NOT_FOUND. */
bool qm__vm_find(qm_vm *vm, const char *name, int64_t deadline, char **ret_xml,
                 unsigned *ret_defined, GError **error);
/* Those of @vm's UUID.  No domain: 0. */
bool qm__vm_defined(qm_vm *vm, int64_t deadline, unsigned *ret_defined,
                    GError **error);
/* Takes the definition away; UEFI variables and the TPM's state stay.  None:
 * success. */
bool qm__vm_undefine(qm_vm *vm, int64_t deadline, GError **error);
bool
qm__vm_define(qm_vm *vm, const char *xml, int64_t deadline, GError **error);
/* Starts what is defined. */
bool qm__vm_start_defined(qm_vm *vm, int64_t deadline, GError **error);

#endif
