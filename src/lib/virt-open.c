/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#include "config.h"
#include <libvirt/virterror.h>
#include "virt-open.h"

#define DEFAULT_URI "qemu:///system"

/* Errors are reported; libvirt need not print them. */
static void
silent(void *opaque, virErrorPtr error)
{
}

bool
qm__virt_failed(const char *what, GError **error)
{
    const virError *e = virGetLastError();

    g_set_error(error, QM_ERROR, QM_ERROR_IO, "libvirt: %s: %s", what,
                e != NULL && e->message != NULL ? e->message
                                                : "no reason given");
    return false;
}

virConnectPtr
qm__virt_open(const char *uri, GError **error)
{
    virConnectPtr conn;

    virSetErrorFunc(NULL, silent);
    conn = virConnectOpen(uri != NULL ? uri : DEFAULT_URI);
    if (conn == NULL)
        (void) qm__virt_failed("connecting", error);
    return conn;
}
