/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Domains that libvirt itself looks after.  Undefining never takes away what
 * belongs to the guest (UEFI variables, a TPM's state), and never a saved
 * state or snapshots: with those libvirt refuses, and so does the caller
 * before it comes to that.
 */
#include "config.h"
#include <stdlib.h>
#include <string.h>
#include <libvirt/virterror.h>
#include "vm-define.h"
#include "vm-internal.h"

static unsigned
look(virDomainPtr domain)
{
    int autostart = 0;

    return (virDomainIsActive(domain) > 0 ? QM_DEFINED_ACTIVE : 0u) |
           (virDomainIsPersistent(domain) > 0 ? QM_DEFINED_PERSISTENT : 0u) |
           (virDomainGetAutostart(domain, &autostart) == 0 && autostart
                ? QM_DEFINED_AUTOSTART
                : 0u) |
           (virDomainHasManagedSaveImage(domain, 0) > 0
                ? QM_DEFINED_MANAGED_SAVE
                : 0u) |
           (virDomainSnapshotNum(domain, 0) > 0 ||
                    virDomainListAllCheckpoints(domain, NULL, 0) > 0
                ? QM_DEFINED_SNAPSHOTS
                : 0u);
}

static bool
run_find(qm_vm *vm, virConnectPtr conn, qm__vm_args *args, GError **error)
{
    g_autoptr(virDomain) domain = virDomainLookupByName(conn, args->in);
    char *xml;

    if (domain == NULL && virGetLastErrorCode() == VIR_ERR_NO_DOMAIN) {
        g_set_error(error, QM_ERROR, QM_ERROR_NOT_FOUND,
                    "libvirt on this host has no domain called %s", args->in);
        return false;
    }
    if (domain == NULL)
        return qm__vm_failed(vm, "looking for it", error);
    xml = virDomainGetXMLDesc(domain,
                              VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE);
    if (xml == NULL)
        return qm__vm_failed(vm, "reading its definition", error);
    args->out = g_strdup(xml);
    explicit_bzero(xml, strlen(xml));
    free(xml);
    args->number = look(domain);
    return true;
}

bool
qm__vm_find(qm_vm *vm, const char *name, int64_t deadline, char **ret_xml,
            unsigned *ret_defined, GError **error)
{
    static const qm__vm_op op = {"looking for it", run_find, false};
    uint64_t number;

    if (!qm__vm_call(vm, &op, name, deadline, ret_xml, &number, error))
        return false;
    *ret_defined = (unsigned) number;
    return true;
}

static bool
run_defined(qm_vm *vm, virConnectPtr conn, qm__vm_args *args, GError **error)
{
    g_autoptr(virDomain) domain = NULL;

    if (!qm__vm_lookup(vm, conn, &domain, error))
        return false;
    args->number = domain != NULL ? look(domain) : 0;
    return true;
}

bool
qm__vm_defined(qm_vm *vm, int64_t deadline, unsigned *ret_defined,
               GError **error)
{
    static const qm__vm_op op = {"looking at its definition", run_defined,
                                 false};
    uint64_t number;

    if (!qm__vm_call(vm, &op, NULL, deadline, NULL, &number, error))
        return false;
    *ret_defined = (unsigned) number;
    return true;
}

static bool
run_undefine(qm_vm *vm, virConnectPtr conn, qm__vm_args *args, GError **error)
{
    const unsigned keep =
        VIR_DOMAIN_UNDEFINE_KEEP_NVRAM | VIR_DOMAIN_UNDEFINE_KEEP_TPM;
    g_autoptr(virDomain) domain = NULL;

    if (!qm__vm_lookup(vm, conn, &domain, error))
        return false;
    return domain == NULL || virDomainIsPersistent(domain) == 0 ||
           virDomainUndefineFlags(domain, keep) == 0 ||
           qm__vm_failed(vm, "taking its definition away", error);
}

bool
qm__vm_undefine(qm_vm *vm, int64_t deadline, GError **error)
{
    static const qm__vm_op op = {"taking its definition away", run_undefine,
                                 false};

    return qm__vm_call(vm, &op, NULL, deadline, NULL, NULL, error);
}

static bool
run_define(qm_vm *vm, virConnectPtr conn, qm__vm_args *args, GError **error)
{
    g_autoptr(virDomain) domain = virDomainDefineXMLFlags(conn, args->in, 0);

    return domain != NULL || qm__vm_failed(vm, "defining it", error);
}

bool
qm__vm_define(qm_vm *vm, const char *xml, int64_t deadline, GError **error)
{
    static const qm__vm_op op = {"defining it", run_define, false};

    return qm__vm_call(vm, &op, xml, deadline, NULL, NULL, error);
}

static bool
run_start(qm_vm *vm, virConnectPtr conn, qm__vm_args *args, GError **error)
{
    g_autoptr(virDomain) domain = qm__vm_need(vm, conn, "starting it", error);

    return domain != NULL && (virDomainCreate(domain) == 0 ||
                              qm__vm_failed(vm, "starting it", error));
}

bool
qm__vm_start_defined(qm_vm *vm, int64_t deadline, GError **error)
{
    static const qm__vm_op op = {"starting it", run_start, true};

    return qm__vm_call(vm, &op, NULL, deadline, NULL, NULL, error);
}
