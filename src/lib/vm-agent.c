/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The QEMU guest agent.  A guest may be silent, or lie: so every call ends by
 * its deadline, and nothing that it says is believed to be well-formed.
 */
#include "config.h"
#include <stdlib.h>
#include <string.h>
#include <libvirt/libvirt-qemu.h>
#include "vm-internal.h"
#include "timeouts.h"

#define WHAT "asking its guest agent"

/* @in: seconds, a space, the command. */
static bool
run_agent(qm_vm *vm, virConnectPtr conn, qm__vm_args *args, GError **error)
{
    g_autoptr(virDomain) domain = qm__vm_need(vm, conn, WHAT, error);
    char *command = NULL, *reply;
    guint64 seconds = g_ascii_strtoull(args->in, &command, 10);

    if (domain == NULL)
        return false;
    reply = virDomainQemuAgentCommand(domain, command, (int) seconds, 0);
    if (reply == NULL)
        return qm__vm_failed(vm, WHAT, error);
    args->out = g_strdup(reply);
    free(reply);
    return true;
}

bool
qm__vm_agent(qm_vm *vm, const char *command, int64_t deadline, char **ret_reply,
             GError **error)
{
    /* Not twice: it may be a command that does something. */
    static const qm__vm_op op = {WHAT, run_agent, true};
    int64_t left = (qm__remaining(deadline) + QM_S - 1) / QM_S;
    g_autofree char *in =
        g_strdup_printf("%d %s", (int) CLAMP(left, 1, 3600), command);

    return qm__vm_call(vm, &op, in, deadline, ret_reply, NULL, error);
}
