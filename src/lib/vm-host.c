/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * What libvirt and the kernel know of this host: QEMU's user, secrets, free
 * memory.
 */
#include "config.h"
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <libvirt/virterror.h>
#include <libxml/parser.h>
#include <libxml/xpath.h>
#include <uuid/uuid.h>
#include "vm-internal.h"
#include "timeouts.h"

#define SECRET_MAX 4096 /* bytes; CHAP takes far less */

void
qm__secret_free(char *value)
{
    if (value == NULL)
        return;
    explicit_bzero(value, strlen(value));
    g_free(value);
}

/* --- QEMU's user --- */

static bool
run_capabilities(qm_vm *vm, virConnectPtr conn, qm__vm_args *args,
                 GError **error)
{
    char *text = virConnectGetCapabilities(conn);

    if (text == NULL)
        return qm__vm_failed(vm, "reading the host's capabilities", error);
    args->out = g_strdup(text);
    free(text);
    return true;
}

/* "+64055:+64055" */
static bool
parse_label(const char *text, uid_t *ret_uid, gid_t *ret_gid)
{
    g_auto(GStrv) part = g_strsplit(text, ":", -1);
    guint64 id[2];

    if (g_strv_length(part) != 2)
        return false;
    for (int i = 0; i < 2; i++) {
        const char *p = g_strstrip(part[i]);

        if (!g_ascii_string_to_unsigned(p[0] == '+' ? p + 1 : p, 10, 0,
                                        G_MAXUINT32 - 1, &id[i], NULL))
            return false;
    }
    *ret_uid = (uid_t) id[0];
    *ret_gid = (gid_t) id[1];
    return true;
}

/* The base label is the same for every domain type; the first one will do. */
static bool
find_label(const char *capabilities, uid_t *ret_uid, gid_t *ret_gid)
{
    static const char path[] =
        "string(/capabilities/host/secmodel[model='dac']/baselabel[1])";
    xmlDocPtr doc = xmlReadMemory(
        capabilities, (int) strlen(capabilities), "capabilities.xml", NULL,
        XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    xmlXPathContextPtr context = NULL;
    xmlXPathObjectPtr found = NULL;
    bool ok;

    if (doc != NULL)
        context = xmlXPathNewContext(doc);
    if (context != NULL)
        found = xmlXPathEval(BAD_CAST path, context);
    ok = found != NULL && found->stringval != NULL &&
         parse_label((const char *) found->stringval, ret_uid, ret_gid);
    xmlXPathFreeObject(found);
    xmlXPathFreeContext(context);
    xmlFreeDoc(doc);
    return ok;
}

bool
qm__vm_qemu_user(qm_vm *vm, int64_t deadline, uid_t *ret_uid, gid_t *ret_gid,
                 GError **error)
{
    static const qm__vm_op op = {"reading the host's capabilities",
                                 run_capabilities, false};
    static const char *const usual[] = {"libvirt-qemu", "qemu"};
    g_autofree char *text = NULL;

    if (!qm__vm_call(vm, &op, NULL, deadline, &text, NULL, error))
        return false;
    if (find_label(text, ret_uid, ret_gid))
        return true;
    for (size_t i = 0; i < G_N_ELEMENTS(usual); i++) {
        struct passwd entry, *found = NULL;
        char buf[4096];

        if (getpwnam_r(usual[i], &entry, buf, sizeof(buf), &found) == 0 &&
            found != NULL) {
            *ret_uid = found->pw_uid;
            *ret_gid = found->pw_gid;
            return true;
        }
    }
    g_set_error(error, QM_ERROR, QM_ERROR_NOT_FOUND,
                "libvirt does not say as which user QEMU runs, and there is "
                "neither a user libvirt-qemu nor qemu");
    return false;
}

/* --- secrets --- */

static virSecretPtr
find_secret(virConnectPtr conn, const char *name)
{
    uuid_t uuid;

    if (uuid_parse(name, uuid) == 0)
        return virSecretLookupByUUID(conn, uuid);
    return virSecretLookupByUsage(conn, VIR_SECRET_USAGE_TYPE_ISCSI, name);
}

static bool
secret_failed(const qm_vm *vm, const char *name, GError **error)
{
    qm__vm_failed(vm, "reading a libvirt secret", error);
    g_prefix_error(error,
                   "secret \"%s\" (see virsh secret-list; it must not be "
                   "private): ",
                   name);
    return false;
}

static bool
run_secret(qm_vm *vm, virConnectPtr conn, qm__vm_args *args, GError **error)
{
    virSecretPtr secret = find_secret(conn, args->in);
    unsigned char *value;
    size_t length = 0;
    bool ok = false;

    if (secret == NULL)
        return secret_failed(vm, args->in, error);
    value = virSecretGetValue(secret, &length, 0);
    if (value == NULL) {
        secret_failed(vm, args->in, error);
    } else if (length == 0 || length > SECRET_MAX ||
               memchr(value, '\0', length) != NULL) {
        g_set_error(error, QM_ERROR, QM_ERROR_INVALID,
                    "secret \"%s\" is empty, longer than %d bytes or not text",
                    args->in, SECRET_MAX);
    } else {
        args->out = g_strndup((const char *) value, length);
        ok = true;
    }
    if (value != NULL)
        explicit_bzero(value, length);
    free(value);
    (void) virSecretFree(secret);
    return ok;
}

bool
qm__vm_secret(qm_vm *vm, const char *name, int64_t deadline, char **ret_value,
              GError **error)
{
    static const qm__vm_op op = {"reading a libvirt secret", run_secret, false};

    return qm__vm_call(vm, &op, name, deadline, ret_value, NULL, error);
}

/* --- memory --- */

static bool
run_free_memory(qm_vm *vm, virConnectPtr conn, qm__vm_args *args,
                GError **error)
{
    args->number = virNodeGetFreeMemory(conn);
    return args->number != 0 ||
           qm__vm_failed(vm, "asking for the host's free memory", error);
}

/* The kernel's own estimate of what can be had without swapping; libvirt
 * knows only what is wholly unused. */
static bool
available_memory(uint64_t *ret_bytes)
{
    g_autofree char *text = NULL;
    const char *p;
    uint64_t kib;

    if (!g_file_get_contents("/proc/meminfo", &text, NULL, NULL))
        return false;
    p = strstr(text, "\nMemAvailable:");
    if (p == NULL)
        return false;
    kib = g_ascii_strtoull(p + strlen("\nMemAvailable:"), NULL, 10);
    if (kib == 0 || kib > UINT64_MAX / 1024)
        return false;
    *ret_bytes = kib * 1024;
    return true;
}

bool
qm__vm_free_memory(qm_vm *vm, int64_t deadline, uint64_t *ret_bytes,
                   GError **error)
{
    static const qm__vm_op op = {"asking for the host's free memory",
                                 run_free_memory, false};

    return available_memory(ret_bytes) ||
           qm__vm_call(vm, &op, NULL, deadline, NULL, ret_bytes, error);
}
