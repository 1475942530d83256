/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * A live save from the outside: may it be done, how far is it, for how long
 * may it pause the guest at its end.
 */
#include "config.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <json-glib/json-glib.h>
#include <libvirt/libvirt-qemu.h>
#include <libvirt/virterror.h>
#include "vm-internal.h"
#include "timeouts.h"

/* QEMU's emulator lost dirty pages in the fast path of its dirty bitmap until
 * 9.0.  That path is taken for memory in whole units of this size only. */
#define FIXED_VERSION UINT64_C(9000000) /* as libvirt counts: 9.0.0 */
#define BITMAP_UNIT   (256 * 1024)      /* bytes */

/* --- progress ------------------------------------------------------------ */

static uint64_t
get(virTypedParameterPtr params, int n, const char *name)
{
    unsigned long long value = 0;

    if (virTypedParamsGetULLong(params, n, name, &value) != 1)
        return 0;
    return value;
}

/* In µs. */
static int64_t
get_ms(virTypedParameterPtr params, int n, const char *name)
{
    return (int64_t) MIN(get(params, n, name), (uint64_t) G_MAXINT32) * QM_MS;
}

static void
read_progress(int type, virTypedParameterPtr params, int n,
              qm_vm_progress *ret_progress)
{
    uint64_t page = get(params, n, VIR_DOMAIN_JOB_MEMORY_PAGE_SIZE);
    uint64_t pages = get(params, n, VIR_DOMAIN_JOB_MEMORY_DIRTY_RATE);

    ret_progress->active =
        type == VIR_DOMAIN_JOB_BOUNDED || type == VIR_DOMAIN_JOB_UNBOUNDED;
    ret_progress->total = get(params, n, VIR_DOMAIN_JOB_MEMORY_TOTAL);
    ret_progress->processed = get(params, n, VIR_DOMAIN_JOB_MEMORY_PROCESSED);
    ret_progress->remaining = get(params, n, VIR_DOMAIN_JOB_MEMORY_REMAINING);
    ret_progress->rate = get(params, n, VIR_DOMAIN_JOB_MEMORY_BPS);
    ret_progress->iteration = get(params, n, VIR_DOMAIN_JOB_MEMORY_ITERATION);
    ret_progress->dirty_rate = pages * (page != 0 ? page : 4096);
    ret_progress->elapsed = get_ms(params, n, VIR_DOMAIN_JOB_TIME_ELAPSED);
}

/* As "total processed remaining rate dirty iteration elapsed active". */
static bool
run_progress(qm_vm *vm, virConnectPtr conn, qm__vm_args *args, GError **error)
{
    g_autoptr(virDomain) domain =
        qm__vm_need(vm, conn, "asking how far it is", error);
    virTypedParameterPtr params = NULL;
    qm_vm_progress p = {0};
    int type = VIR_DOMAIN_JOB_NONE, n = 0;

    if (domain == NULL)
        return false;
    if (virDomainGetJobStats(domain, &type, &params, &n, 0) < 0)
        return qm__vm_failed(vm, "asking how far it is", error);
    read_progress(type, params, n, &p);
    virTypedParamsFree(params, n);
    args->out = g_strdup_printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
                                " %" PRIu64 " %" PRIu64 " %" PRIi64 " %d",
                                p.total, p.processed, p.remaining, p.rate,
                                p.dirty_rate, p.iteration, p.elapsed, p.active);
    return true;
}

bool
qm__vm_progress(qm_vm *vm, int64_t deadline, qm_vm_progress *ret_progress,
                GError **error)
{
    static const qm__vm_op op = {"asking how far it is", run_progress, false};
    g_autofree char *text = NULL;
    qm_vm_progress p = {0};
    int active = 0;

    if (!qm__vm_call(vm, &op, NULL, deadline, &text, NULL, error))
        return false;
    if (sscanf(text,
               "%" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
               " %" SCNu64 " %" SCNi64 " %d",
               &p.total, &p.processed, &p.remaining, &p.rate, &p.dirty_rate,
               &p.iteration, &p.elapsed, &active) != 8) {
        g_set_error(error, QM_ERROR, QM_ERROR_INTERNAL, "progress: %s", text);
        return false;
    }
    p.active = active != 0;
    *ret_progress = p;
    return true;
}

/* --- its end: how fast, how long a pause --------------------------------- */

static bool
run_set_downtime(qm_vm *vm, virConnectPtr conn, qm__vm_args *args,
                 GError **error)
{
    g_autoptr(virDomain) domain =
        qm__vm_need(vm, conn, "limiting its pause", error);
    unsigned long long ms = g_ascii_strtoull(args->in, NULL, 10);

    return domain != NULL &&
           (virDomainMigrateSetMaxDowntime(domain, ms, 0) == 0 ||
            qm__vm_failed(vm, "limiting its pause", error));
}

bool
qm__vm_set_downtime(qm_vm *vm, unsigned ms, int64_t deadline, GError **error)
{
    static const qm__vm_op op = {"limiting its pause", run_set_downtime, false};
    g_autofree char *text = g_strdup_printf("%u", ms);

    return qm__vm_call(vm, &op, text, deadline, NULL, NULL, error);
}

/* libvirt counts it in MiB/s, and refuses more than QEMU can count in bytes. */
#define SPEED_UNIT (UINT64_C(1) << 20)
#define SPEED_MAX  ((unsigned long) (INT64_MAX / (INT64_C(1) << 20)))

static bool
run_set_speed(qm_vm *vm, virConnectPtr conn, qm__vm_args *args, GError **error)
{
    g_autoptr(virDomain) domain =
        qm__vm_need(vm, conn, "limiting its speed", error);
    unsigned long speed = g_ascii_strtoull(args->in, NULL, 10) / SPEED_UNIT;

    if (speed == 0 || speed > SPEED_MAX)
        speed = SPEED_MAX;
    return domain != NULL &&
           (virDomainMigrateSetMaxSpeed(domain, speed, 0) == 0 ||
            qm__vm_failed(vm, "limiting its speed", error));
}

bool
qm__vm_set_speed(qm_vm *vm, uint64_t speed, int64_t deadline, GError **error)
{
    static const qm__vm_op op = {"limiting its speed", run_set_speed, false};
    g_autofree char *text = g_strdup_printf("%" PRIu64, speed);

    return qm__vm_call(vm, &op, text, deadline, NULL, NULL, error);
}

/* As "elapsed downtime". */
static bool
run_pause(qm_vm *vm, virConnectPtr conn, qm__vm_args *args, GError **error)
{
    g_autoptr(virDomain) domain =
        qm__vm_need(vm, conn, "asking for its pause", error);
    virTypedParameterPtr params = NULL;
    int type = VIR_DOMAIN_JOB_NONE, n = 0;

    if (domain == NULL)
        return false;
    if (virDomainGetJobStats(domain, &type, &params, &n,
                             VIR_DOMAIN_JOB_STATS_COMPLETED |
                                 VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED) < 0)
        return qm__vm_failed(vm, "asking for its pause", error);
    args->out = g_strdup_printf("%" PRIi64 " %" PRIi64,
                                get_ms(params, n, VIR_DOMAIN_JOB_TIME_ELAPSED),
                                get_ms(params, n, VIR_DOMAIN_JOB_DOWNTIME));
    virTypedParamsFree(params, n);
    return true;
}

bool
qm__vm_pause(qm_vm *vm, int64_t deadline, int64_t *ret_elapsed,
             int64_t *ret_downtime)
{
    static const qm__vm_op op = {"asking for its pause", run_pause, false};
    g_autoptr(GError) ignored = NULL;
    g_autofree char *text = NULL;

    return qm__vm_call(vm, &op, NULL, deadline, &text, NULL, &ignored) &&
           sscanf(text, "%" SCNi64 " %" SCNi64, ret_elapsed, ret_downtime) ==
               2 &&
           *ret_downtime > 0;
}

/* --- may it be done? ----------------------------------------------------- */

static bool
run_version(qm_vm *vm, virConnectPtr conn, qm__vm_args *args, GError **error)
{
    unsigned long version = 0;

    if (virConnectGetVersion(conn, &version) < 0)
        return qm__vm_failed(vm, "asking for QEMU's version", error);
    args->number = version;
    return true;
}

/* QEMU itself knows how its memory is laid out. */
static bool
run_memory_size(qm_vm *vm, virConnectPtr conn, qm__vm_args *args,
                GError **error)
{
    static const char query[] = "{\"execute\":\"query-memory-size-summary\"}";
    g_autoptr(virDomain) domain =
        qm__vm_need(vm, conn, "asking for its memory", error);
    char *reply = NULL;
    int rc;

    if (domain == NULL)
        return false;
    rc = virDomainQemuMonitorCommand(domain, query, &reply, 0);
    if (rc == 0)
        args->out = g_strdup(reply);
    free(reply);
    return rc == 0 || qm__vm_failed(vm, "asking for its memory", error);
}

/* 0: not understood. */
static uint64_t
base_memory(const char *reply)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    JsonNode *root;
    JsonObject *result;

    if (!json_parser_load_from_data(parser, reply, -1, NULL))
        return 0;
    root = json_parser_get_root(parser);
    if (root == NULL || !JSON_NODE_HOLDS_OBJECT(root))
        return 0;
    result =
        json_object_get_object_member(json_node_get_object(root), "return");
    if (result == NULL)
        return 0;
    return (uint64_t) json_object_get_int_member_with_default(result,
                                                              "base-memory", 0);
}

bool
qm__vm_check_live(qm_vm *vm, bool emulated, int64_t deadline, char **ret_why,
                  GError **error)
{
    static const qm__vm_op ask_version = {"asking for QEMU's version",
                                          run_version, false};
    static const qm__vm_op ask_memory = {"asking for its memory",
                                         run_memory_size, false};
    g_autofree char *reply = NULL;
    uint64_t version, size;

    *ret_why = NULL;
    if (!emulated)
        return true;
    if (!qm__vm_call(vm, &ask_version, NULL, deadline, NULL, &version, error))
        return false;
    if (version >= FIXED_VERSION)
        return true;
    if (!qm__vm_call(vm, &ask_memory, NULL, deadline, &reply, NULL, error))
        return false;
    size = base_memory(reply);
    if (size == 0 || size % BITMAP_UNIT == 0)
        *ret_why = g_strdup_printf("QEMU %" PRIu64 ".%" PRIu64
                                   " without KVM loses memory in a live "
                                   "save (fixed in 9.0)",
                                   version / 1000000, version / 1000 % 1000);
    return true;
}
