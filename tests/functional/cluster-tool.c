/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The library's view of the cluster, one question a run, for functional tests:
 * exit code 0 yes, 1 no, 3 error (as a line "error: CODE: message").
 *
 *   self                              "1 n1 BOOT"
 *   node NAME                         "2 n2"
 *   quorate / shutting-down
 *   member NAME
 *   lag                               ms
 *   publish-boot
 *   publish-released UUID GENERATION
 *   gone|wait-gone NAME BOOT TIME_US GENERATION UUID SECONDS   prints why
 *   resources                         "id vault hypervisor", one a line
 *
 * "-" as BOOT: unknown.  QM_TOOL_SECONDS: deadline, 10 without.
 */
#include "config.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uuid/uuid.h>
#include "cluster.h"
#include "timeouts.h"

typedef struct {
    qm_cluster *cluster;
    char **arg; /* behind the command */
    int64_t deadline;
} tool;

typedef bool (*command_fn)(tool *t, bool *ret_yes, GError **error);

static void
print_hex(const uint8_t *bytes)
{
    for (int i = 0; i < QM_UUID_LEN; i++)
        printf("%02x", bytes[i]);
}

static bool
do_self(tool *t, bool *ret_yes, GError **error)
{
    const qm_node *self = qm__cluster_self(t->cluster);

    printf("%" PRIu32 " %s ", self->id, self->name);
    print_hex(self->boot);
    printf("\n");
    return true;
}

static bool
do_node(tool *t, bool *ret_yes, GError **error)
{
    qm_node node;

    if (!qm__cluster_node(t->cluster, t->arg[0], &node, error))
        return false;
    printf("%" PRIu32 " %s\n", node.id, node.name);
    return true;
}

static bool
do_quorate(tool *t, bool *ret_yes, GError **error)
{
    return qm__cluster_quorate(t->cluster, ret_yes, error);
}

static bool
do_member(tool *t, bool *ret_yes, GError **error)
{
    qm_node node;

    return qm__cluster_node(t->cluster, t->arg[0], &node, error) &&
           qm__cluster_is_member(t->cluster, node.id, ret_yes, error);
}

static bool
do_lag(tool *t, bool *ret_yes, GError **error)
{
    printf("%" PRId64 "\n", qm__cluster_lag(t->cluster) / QM_MS);
    return true;
}

static bool
do_shutting_down(tool *t, bool *ret_yes, GError **error)
{
    return qm__cluster_shutting_down(t->cluster, t->deadline, ret_yes, error);
}

static bool
do_publish_boot(tool *t, bool *ret_yes, GError **error)
{
    return qm__cluster_publish_boot(t->cluster, t->deadline, error);
}

static bool
parse_uuid(const char *text, uint8_t *uuid, GError **error)
{
    if (uuid_parse(text, uuid) == 0)
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_INVALID, "no UUID: %s", text);
    return false;
}

static bool
do_publish_released(tool *t, bool *ret_yes, GError **error)
{
    uint8_t uuid[QM_UUID_LEN];

    return parse_uuid(t->arg[0], uuid, error) &&
           qm__cluster_publish_released(t->cluster, uuid,
                                        strtoull(t->arg[1], NULL, 10),
                                        t->deadline, error);
}

static void
parse_boot(const char *hex, uint8_t *boot)
{
    for (int i = 0; i < QM_UUID_LEN && strlen(hex) == 2 * QM_UUID_LEN; i++)
        boot[i] = (uint8_t) (g_ascii_xdigit_value(hex[2 * i]) << 4 |
                             g_ascii_xdigit_value(hex[2 * i + 1]));
}

/* NAME BOOT TIME_US GENERATION UUID */
static bool
parse_record(tool *t, qm_record *record, uint8_t *uuid, GError **error)
{
    if (!qm__cluster_node(t->cluster, t->arg[0], &record->owner, error))
        return false;
    record->state = QM_STATE_RUNNING;
    parse_boot(t->arg[1], record->owner.boot);
    record->time_us = strtoll(t->arg[2], NULL, 10);
    record->generation = strtoull(t->arg[3], NULL, 10);
    return parse_uuid(t->arg[4], uuid, error);
}

static bool
do_gone(tool *t, bool *ret_yes, GError **error)
{
    g_autofree char *why = NULL;
    qm_record record = {0};
    uint8_t uuid[QM_UUID_LEN];
    bool ok;

    if (!parse_record(t, &record, uuid, error))
        return false;
    t->deadline = qm__deadline_in(strtoll(t->arg[5], NULL, 10) * QM_S);
    ok = strcmp(t->arg[-1], "gone") == 0
             ? qm__cluster_owner_gone(t->cluster, uuid, &record, t->deadline,
                                      ret_yes, &why, error)
             : qm__cluster_wait_gone(t->cluster, uuid, &record, t->deadline,
                                     ret_yes, &why, error);
    if (ok)
        printf("%s: %s\n", *ret_yes ? "gone" : "not gone", why);
    return ok;
}

static bool
do_resources(tool *t, bool *ret_yes, GError **error)
{
    g_autoptr(GPtrArray) list = NULL;

    if (!qm__cluster_resources(t->deadline, &list, error))
        return false;
    for (guint i = 0; i < list->len; i++) {
        const qm_resource *r = g_ptr_array_index(list, i);

        printf("%s %s %s\n", r->id, r->vault != NULL ? r->vault : "-",
               r->hypervisor != NULL ? r->hypervisor : "-");
    }
    return true;
}

static const struct {
    const char *name;
    int args;
    command_fn run;
} commands[] = {
    {"self", 0, do_self},
    {"node", 1, do_node},
    {"quorate", 0, do_quorate},
    {"member", 1, do_member},
    {"lag", 0, do_lag},
    {"shutting-down", 0, do_shutting_down},
    {"publish-boot", 0, do_publish_boot},
    {"publish-released", 2, do_publish_released},
    {"gone", 6, do_gone},
    {"wait-gone", 6, do_gone},
    {"resources", 0, do_resources},
};

static int
run(command_fn fn, char **arg)
{
    const char *seconds = g_getenv("QM_TOOL_SECONDS");
    g_autoptr(qm_cluster) cluster = NULL;
    g_autoptr(GError) error = NULL;
    bool yes = true;
    tool t = {.arg = arg};

    t.deadline = qm__deadline_in((seconds ? atoi(seconds) : 10) * QM_S);
    if (qm__cluster_open(t.deadline, &cluster, &error)) {
        t.cluster = cluster;
        if (fn(&t, &yes, &error))
            return yes ? 0 : 1;
    }
    printf("error: %s: %s\n", qm_error_name(error->code), error->message);
    return 3;
}

int
main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < G_N_ELEMENTS(commands); i++)
        if (strcmp(argv[1], commands[i].name) == 0 &&
            argc - 2 == commands[i].args)
            return run(commands[i].run, argv + 2);
    fprintf(stderr, "see the head of cluster-tool.c\n");
    return 2;
}
