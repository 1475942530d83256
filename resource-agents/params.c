/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The resource's parameters, as one table.
 */
#include "config.h"
#include <stdlib.h>
#include <string.h>
#include <uuid/uuid.h>
#include "agent.h"
#include "netmap.h"

#define PREFIX "OCF_RESKEY_"

static unsigned
to_number(const char *value)
{
    return (unsigned) strtoul(value, NULL, 10); /* checked before */
}

static void
set_vault(qm_params *p, const char *value)
{
    p->vault = value;
}

static void
set_hypervisor(qm_params *p, const char *value)
{
    p->hypervisor = value;
}

static void
set_stop_action(qm_params *p, const char *value)
{
    p->stop_action = strcmp(value, "shutdown") == 0   ? QM_STOP_SHUTDOWN
                     : strcmp(value, "poweroff") == 0 ? QM_STOP_POWEROFF
                                                      : QM_STOP_SAVE;
}

static void
set_on_restore_failure(qm_params *p, const char *value)
{
    p->on_restore_failure =
        strcmp(value, "block") == 0 ? QM_FAILURE_BLOCK : QM_FAILURE_BOOT;
}

static void
set_restore_attempts(qm_params *p, const char *value)
{
    p->restore_attempts = to_number(value);
}

static void
set_shutdown_timeout(qm_params *p, const char *value)
{
    p->shutdown_timeout_s = to_number(value);
}

static void
set_compress(qm_params *p, const char *value)
{
    p->compress = strcmp(value, "lz4") == 0    ? QM_CODEC_LZ4
                  : strcmp(value, "none") == 0 ? QM_CODEC_NONE
                                               : QM_CODEC_AUTO;
}

static void
set_reconnect_limit(qm_params *p, const char *value)
{
    p->reconnect_limit_s = to_number(value);
}

static void
set_allow_unfenced(qm_params *p, const char *value)
{
    p->allow_unfenced = strcmp(value, "true") == 0;
}

static void
set_mode(qm_params *p, const char *value)
{
    p->mode = strcmp(value, "quick") == 0  ? QM_MODE_QUICK
              : strcmp(value, "live") == 0 ? QM_MODE_LIVE
                                           : QM_MODE_AUTO;
}

static void
set_downtime_limit(qm_params *p, const char *value)
{
    p->downtime_limit_ms = to_number(value);
}

static void
set_image_secret(qm_params *p, const char *value)
{
    p->image_secret = value;
}

static void
set_network_map(qm_params *p, const char *value)
{
    p->network_map = value;
}

static void
set_health_misses(qm_params *p, const char *value)
{
    p->health_misses = to_number(value);
}

static void
set_health_timeout(qm_params *p, const char *value)
{
    p->health_timeout_s = to_number(value);
}

static void
set_health_grace(qm_params *p, const char *value)
{
    p->health_grace_s = to_number(value);
}

static void
set_health_command(qm_params *p, const char *value)
{
    p->health_command = value;
}

static bool
check_network_map(const char *value, GError **error)
{
    g_autoptr(qm_netmap) map = NULL;

    return qm__netmap_parse(value, &map, error);
}

static const qm_parameter parameters[] = {
    {.name = "vault",
     .type = "string",
     .required = true,
     .unique = true,
     .shortdesc = "where the VM's vault is",
     .longdesc =
         "The VM's vault, made by \"quickmig vault create\": a small LUN, "
         "iscsi://[user@]portal[:port]/iqn/lun[?secret=NAME], or a directory "
         "on a file system that all nodes share. With a CHAP user the secret "
         "is the libvirt secret of type iscsi with this UUID or usage "
         "(without ?secret=: with the target's name as usage).",
     .set = set_vault},
    {.name = "hypervisor",
     .type = "string",
     .default_value = "qemu:///system",
     .shortdesc = "libvirt's URI",
     .longdesc = "The libvirt connection URI of the hypervisor on the node.",
     .set = set_hypervisor},
    {.name = "stop_action",
     .type = "select",
     .default_value = "save",
     .choices = "save shutdown poweroff",
     .reloadable = true,
     .shortdesc = "how the VM is stopped",
     .longdesc =
         "save: its running state goes to the vault, and the next start "
         "anywhere continues it. shutdown: the guest is asked to shut down, "
         "and powered off when it does not in time. poweroff: at once. A "
         "save that would not end within the stop's timeout becomes a "
         "shutdown, with a line in the log.",
     .set = set_stop_action},
    {.name = "on_restore_failure",
     .type = "select",
     .default_value = "boot",
     .choices = "boot block",
     .reloadable = true,
     .shortdesc = "what to do when a saved state cannot be restored",
     .longdesc =
         "boot: after restore_attempts failures (at once, when the image is "
         "damaged) the VM is booted without its saved memory. block: it is "
         "not started until somebody mends it or runs \"quickmig discard\".",
     .set = set_on_restore_failure},
    {.name = "restore_attempts",
     .type = "integer",
     .default_value = "2",
     .min = 1,
     .max = 100,
     .reloadable = true,
     .shortdesc = "failed restores until on_restore_failure counts",
     .longdesc = "How often a restore may fail, counted over all nodes, before "
                 "on_restore_failure decides.",
     .set = set_restore_attempts},
    {.name = "shutdown_timeout",
     .type = "integer",
     .default_value = "60",
     .min = 1,
     .max = 3600,
     .reloadable = true,
     .shortdesc = "seconds a guest has to shut down",
     .longdesc =
         "How many seconds a guest that is asked to shut down has before it "
         "is powered off. It never outlives the stop's own timeout.",
     .set = set_shutdown_timeout},
    {.name = "mode",
     .type = "select",
     .default_value = "auto",
     .choices = "auto quick live",
     .reloadable = true,
     .shortdesc = "how a planned move is made",
     .longdesc =
         "live: the guest runs on while its memory is streamed to the vault, "
         "and is paused for the last part only: what it writes meanwhile is "
         "sent again, as often as it takes and the vault has room for (three "
         "times the memory, for a guest that writes much). quick: it runs on "
         "while its memory "
         "is streamed once, and is paused for what it wrote meanwhile, or from "
         "where the vault would have no room for that; this takes a bounded "
         "time and, at worst, twice the bytes. "
         "auto: live where QEMU can do it safely and the vault has room for "
         "twice the memory and 64 MiB, else quick. What cannot be moved live "
         "is moved quick; the log says why.",
     .set = set_mode},
    {.name = "downtime_limit",
     .type = "integer",
     .default_value = "300",
     .min = 1,
     .max = 60000,
     .reloadable = true,
     .shortdesc = "milliseconds a live move may pause the guest",
     .longdesc =
         "A live move pauses the guest for its last part when that fits into "
         "a short time. It begins with 20 ms, and allows more, up to this "
         "limit, when the guest writes as fast as its memory can be copied. "
         "A guest for which even that is not enough is paused at last.",
     .set = set_downtime_limit},
    {.name = "compress",
     .type = "select",
     .default_value = "auto",
     .choices = "auto none lz4",
     .reloadable = true,
     .shortdesc = "compression of the saved state",
     .longdesc =
         "auto: while a state is saved, it is measured whether the storage is "
         "what it waits for, and whether lz4 is faster; the log says what was "
         "decided, and why. lz4, none: always, never.",
     .set = set_compress},
    {.name = "image_secret",
     .type = "uuid",
     .reloadable = true,
     .shortdesc = "secret that encrypts the saved state",
     .longdesc =
         "The UUID of a libvirt secret of at least 32 bytes, the same on all "
         "nodes. With it the saved state is encrypted (AES-256-GCM), and only "
         "a state that was encrypted with it is restored. Where the secret is "
         "missing, too short or another one, nothing is saved or restored, "
         "and a saved state is kept; a VM that is to be stopped is shut down. "
         "Change it only while the VM runs: it counts from the next save on. "
         "Disks and the vault's domain XML are not encrypted by it.",
     .set = set_image_secret},
    {.name = "network_map",
     .type = "string",
     .reloadable = true,
     .check = check_network_map,
     .shortdesc = "networks that have another name on some node",
     .longdesc =
         "Words NODE:NETWORK=NAME_THERE. An interface of the VM's domain XML "
         "with that network, bridge or network device as its source gets the "
         "other one when the VM is started, or moved, on NODE. Counts from "
         "the next start or move on.",
     .set = set_network_map},
    {.name = "reconnect_limit",
     .type = "integer",
     .default_value = "120",
     .min = 5,
     .max = 3600,
     .reloadable = true,
     .shortdesc = "seconds a disk may be away",
     .longdesc =
         "When the storage does not answer, the guest's disk requests wait, "
         "and the guest sees no error. After so many seconds the disk is "
         "given up and the guest is ended, so that it can be recovered on "
         "another node. Counts for gates started afterwards.",
     .set = set_reconnect_limit},
    {.name = "allow_unfenced",
     .type = "select",
     .default_value = "false",
     .choices = "false true",
     .reloadable = true,
     .shortdesc = "accept disks that cannot be reserved",
     .longdesc =
         "A disk whose target knows no SCSI-3 persistent reservations is "
         "refused: nothing would keep the writes of a node away that was "
         "taken for dead, and is not. true: it is used all the same, and "
         "protected by cluster fencing alone; \"quickmig status\" and "
         "\"quickmig doctor\" say so each time. Disks that can be reserved "
         "still are. The vault has to be reservable, or a directory. Counts "
         "for gates started afterwards.",
     .set = set_allow_unfenced},
    {.name = "health_misses",
     .type = "integer",
     .default_value = "3",
     .min = 1,
     .max = 1000,
     .reloadable = true,
     .shortdesc = "health checks in a row that a guest may fail",
     .longdesc =
         "A monitor with OCF_CHECK_LEVEL=10 also asks the guest, by its QEMU "
         "guest agent, whether it is alive. After so many checks in a row "
         "without a good answer the VM has failed: it is not saved, but shut "
         "down or powered off, and booted anew. The count is this node's; it "
         "begins again after a good answer, a start and a move.",
     .set = set_health_misses},
    {.name = "health_timeout",
     .type = "integer",
     .default_value = "5",
     .min = 1,
     .max = 600,
     .reloadable = true,
     .shortdesc = "seconds a guest has for one health check",
     .longdesc = "How many seconds the guest has to answer, health_command "
                 "included. The monitor's own timeout has to be longer, by "
                 "10 seconds at least.",
     .set = set_health_timeout},
    {.name = "health_grace",
     .type = "integer",
     .default_value = "300",
     .min = 0,
     .max = 86400,
     .reloadable = true,
     .shortdesc = "seconds until a guest must answer for the first time",
     .longdesc =
         "A guest that boots does not answer yet. Its misses count from its "
         "first good answer on, and at the latest so many seconds after the "
         "first health check on this node since it was started or moved.",
     .set = set_health_grace},
    {.name = "health_command",
     .type = "string",
     .reloadable = true,
     .shortdesc = "command in the guest that tells whether it is well",
     .longdesc =
         "The path of a program in the guest, with arguments; quotes group "
         "words, there is no shell. A health check runs it by the guest agent "
         "(guest-exec, which must be allowed there), and is good when it ends "
         "with exit code 0 within health_timeout. It should end by itself: "
         "nothing in the guest ends it when it is late.",
     .set = set_health_command},
};

const qm_parameter *
qm__parameters(size_t *ret_count)
{
    *ret_count = G_N_ELEMENTS(parameters);
    return parameters;
}

static bool
bad(const qm_parameter *p, const char *value, const char *expected,
    GError **error)
{
    g_set_error(error, QM_ERROR, QM_ERROR_INVALID,
                "parameter %s=\"%s\": expected %s", p->name, value, expected);
    return false;
}

static bool
check_value(const qm_parameter *p, const char *value, GError **error)
{
    g_autofree char *range = NULL;
    g_auto(GStrv) choices = NULL;
    guint64 number;

    if (p->check != NULL) {
        if (p->check(value, error))
            return true;
        g_prefix_error(error, "parameter %s: ", p->name);
        return false;
    }
    if (p->choices != NULL) {
        choices = g_strsplit(p->choices, " ", -1);
        return g_strv_contains((const char *const *) choices, value) ||
               bad(p, value, p->choices, error);
    }
    if (strcmp(p->type, "uuid") == 0) {
        uuid_t uuid;

        return uuid_parse(value, uuid) == 0 ||
               bad(p, value, "the UUID of a libvirt secret", error);
    }
    if (strcmp(p->type, "integer") != 0)
        return value[0] != '\0' || bad(p, value, "a value", error);
    range = g_strdup_printf("a number from %u to %u", p->min, p->max);
    return g_ascii_string_to_unsigned(value, 10, p->min, p->max, &number,
                                      NULL) ||
           bad(p, value, range, error);
}

static const char *
look_up(char *const *environment, const char *name)
{
    g_autofree char *key = g_strconcat(PREFIX, name, "=", NULL);

    for (; *environment != NULL; environment++)
        if (g_str_has_prefix(*environment, key))
            return *environment + strlen(key);
    return NULL;
}

static bool
is_known(const char *name, size_t length)
{
    if (g_str_has_prefix(name, "CRM_meta_") ||
        g_str_has_prefix(name, "crm_feature_set"))
        return true; /* Pacemaker's own */
    for (size_t i = 0; i < G_N_ELEMENTS(parameters); i++)
        if (strlen(parameters[i].name) == length &&
            strncmp(parameters[i].name, name, length) == 0)
            return true;
    return false;
}

static bool
check_names(char *const *environment, GError **error)
{
    for (; *environment != NULL; environment++) {
        const char *name, *end;

        if (!g_str_has_prefix(*environment, PREFIX))
            continue;
        name = *environment + strlen(PREFIX);
        end = strchr(name, '=');
        if (end == NULL || is_known(name, (size_t) (end - name)))
            continue;
        g_set_error(error, QM_ERROR, QM_ERROR_INVALID,
                    "unknown parameter \"%.*s\"", (int) (end - name), name);
        return false;
    }
    return true;
}

/* Without a default there is nothing to fall back to: a state that was to be
 * encrypted must not be saved in the clear.  Whoever needs it sees that it is
 * wrong. */
static bool
is_optional(const qm_parameter *p)
{
    return !p->required && p->default_value == NULL;
}

static bool
has_default(const qm_parameter *p)
{
    return !p->required && p->default_value != NULL;
}

bool
qm__parameters_read(char *const *environment, bool forgiving,
                    qm_params *ret_params, GError **error)
{
    qm_params result = {0};
    qm_url *url;

    if (!forgiving && !check_names(environment, error))
        return false;
    for (size_t i = 0; i < G_N_ELEMENTS(parameters); i++) {
        const qm_parameter *p = &parameters[i];
        const char *value = look_up(environment, p->name);

        if (value == NULL ||
            (forgiving && has_default(p) && !check_value(p, value, NULL)))
            value = p->default_value;
        if (value == NULL && !p->required)
            continue;
        if (value == NULL) {
            g_set_error(error, QM_ERROR, QM_ERROR_INVALID,
                        "parameter %s is missing", p->name);
            return false;
        }
        if (!(forgiving && is_optional(p)) && !check_value(p, value, error))
            return false;
        p->set(&result, value);
    }
    if (!qm_url_parse(result.vault, &url, error))
        return false;
    qm_url_free(url);
    *ret_params = result;
    return true;
}
