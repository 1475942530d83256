/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * What the tests of the gate need besides the gate:
 *
 *   gate-tool record VAULT STATE NODE GENERATION
 *       makes the vault (a directory) say so; this boot, when NODE owns it
 *   gate-tool start DISK PORTAL IQN LUN VAULT NODE UID [ro]
 *   gate-tool status|open|drain|stop DISK
 *   gate-tool acquire DISK GENERATION [hold]
 *       through the client library, as the agent does it
 *   gate-tool ask SOCKET REQUEST
 *       sends one line to a socket, prints what comes back
 *
 * GATE_TOOL_LIMIT: seconds that a request may take (10).
 */
#include "config.h"
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <glib/gstdio.h>
#include "cluster.h"
#include "gate-client-internal.h"
#include "timeouts.h"

static const uint8_t uuid[QM_UUID_LEN] = {[15] = 1};

static int64_t
limit(void)
{
    const char *s = g_getenv("GATE_TOOL_LIMIT");

    return qm__deadline_in((s != NULL ? atoi(s) : 10) * QM_S);
}

/* --- record -------------------------------------------------------------- */

static bool
any_right(const qm_record *record, void *opaque, GError **error)
{
    return true;
}

static bool
find_state(const char *name, qm_state *ret_state)
{
    for (int s = 0; s < QM_STATE_COUNT; s++)
        if (strcmp(name, qm_state_name(s)) == 0) {
            *ret_state = s;
            return true;
        }
    return false;
}

static bool
do_record(char **arg, GError **error)
{
    qm_vault_params params = {.url = arg[0], .node_id = 1};
    g_autoptr(qm_vault) vault = NULL;
    g_autoptr(GError) why = NULL;
    qm_record r;

    (void) g_mkdir_with_parents(arg[0], 0700); /* opening it tells */
    if (!qm_vault_open(&params, limit(), &vault, &why) &&
        (!g_error_matches(why, QM_ERROR, QM_ERROR_UNFORMATTED) ||
         !qm_vault_format(&params, uuid, "vm", "<domain/>", false, limit(),
                          error) ||
         !qm_vault_open(&params, limit(), &vault, error))) {
        if (*error == NULL)
            g_propagate_error(error, g_steal_pointer(&why));
        return false;
    }
    if (!qm_vault_acquire(vault, any_right, NULL, limit(), &r, error))
        return false;
    if (!find_state(arg[1], &r.state))
        return false;
    r.owner.id = (uint32_t) atoi(arg[2]);
    g_snprintf(r.owner.name, sizeof r.owner.name, "node%s", arg[2]);
    r.generation = g_ascii_strtoull(arg[3], NULL, 10);
    return qm__boot_identity(r.owner.boot, error) &&
           qm_vault_write_record(vault, &r, error);
}

/* --- gate ---------------------------------------------------------------- */

static bool
do_start(char **arg, GError **error)
{
    qm_url url = {.portal = arg[1], .iqn = arg[2], .lun = atoi(arg[3])};
    qm_disk disk = {.target = arg[0], .url = &url, .read_only = arg[7] != NULL};
    qm_gate_config config = {
        .vm_name = "vm",
        .disk = &disk,
        .vault_url = arg[4],
        .node_id = (uint16_t) atoi(arg[5]),
        .qemu_uid = (uid_t) atoi(arg[6]),
        .qemu_gid = (gid_t) atoi(arg[6]),
        .reconnect_limit_s = 20,
    };

    memcpy(config.vm_uuid, uuid, sizeof uuid);
    return qm__gate_start(&config, limit(), error);
}

static bool
do_status(char **arg, GError **error)
{
    qm_gate_status s;

    if (!qm__gate_get_status(uuid, arg[0], limit(), &s, error))
        return false;
    printf("state=%s generation=%" PRIu64 " key=%#" PRIx64
           " pid=%d client=%d reconnects=%" PRIu64 " lun=%s reason=%s\n",
           qm__gate_state_name(s.state), s.generation, s.key, (int) s.pid,
           (int) s.client_pid, s.reconnects, s.lun, s.reason);
    return true;
}

static bool
do_acquire(char **arg, GError **error)
{
    return qm__gate_acquire(uuid, arg[0], g_ascii_strtoull(arg[1], NULL, 10),
                            arg[2] != NULL, limit(), error);
}

static bool
do_open(char **arg, GError **error)
{
    return qm__gate_open(uuid, arg[0], limit(), error);
}

static bool
do_drain(char **arg, GError **error)
{
    return qm__gate_drain(uuid, arg[0], limit(), error);
}

static bool
do_stop(char **arg, GError **error)
{
    return qm__gate_stop(uuid, arg[0], limit(), error);
}

/* One answer is one piece here: it is short, and sent at once. */
static bool
do_ask(char **arg, GError **error)
{
    g_autofree char *request = g_strconcat(arg[1], "\n", NULL);
    struct pollfd p = {.events = POLLIN};
    char answer[16384];
    ssize_t n = -1;

    if (!qm__gate_connect(arg[0], &p.fd, error))
        return false;
    if (send(p.fd, request, strlen(request), MSG_NOSIGNAL) > 0 &&
        poll(&p, 1, qm__remaining_ms(limit())) == 1)
        n = read(p.fd, answer, sizeof answer);
    close(p.fd);
    return n > 0 && fwrite(answer, 1, (size_t) n, stdout) == (size_t) n;
}

static const struct {
    const char *name;
    int min, max; /* arguments */
    bool (*run)(char **arg, GError **error);
} commands[] = {
    {"record", 4, 4, do_record}, {"start", 7, 8, do_start},
    {"status", 1, 1, do_status}, {"acquire", 2, 3, do_acquire},
    {"open", 1, 1, do_open},     {"drain", 1, 1, do_drain},
    {"stop", 1, 1, do_stop},     {"ask", 2, 2, do_ask},
};

int
main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;

    for (size_t i = 0; argc > 1 && i < G_N_ELEMENTS(commands); i++) {
        if (strcmp(argv[1], commands[i].name) != 0)
            continue;
        if (argc - 2 < commands[i].min || argc - 2 > commands[i].max)
            break;
        if (commands[i].run(argv + 2, &error))
            return 0;
        fprintf(stderr, "gate-tool: %s: %s\n",
                error != NULL ? qm_error_name(error->code) : "?",
                error != NULL ? error->message : "wrong argument, or hung up");
        return 1;
    }
    fprintf(stderr, "gate-tool: wrong arguments\n");
    return 2;
}
