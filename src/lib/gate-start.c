/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Starting and ending gates.  A gate is a process of its own that outlives
 * the caller; there is one for a disk at most, which the gate itself sees to
 * (a lock).  So starting twice is the same as starting once.
 */
#include "config.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uuid/uuid.h>
#include "gate-client-internal.h"
#include "runtime.h"
#include "timeouts.h"

#define PROGRAM    QM_LIBEXECDIR "/quickmig/quickmig-gate"
#define LOOK_AGAIN (10 * QM_MS) /* while a gate comes up, or its guest goes */

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif

static bool
about(const char *disk, const char *what, GError **error)
{
    g_prefix_error(error, "gate of disk %s: %s: ", disk, what);
    return false;
}

/* --- configuration ------------------------------------------------------- */

static void
add_text(JsonBuilder *b, const char *name, const char *value)
{
    if (value == NULL)
        return;
    json_builder_set_member_name(b, name);
    json_builder_add_string_value(b, value);
}

static void
add_number(JsonBuilder *b, const char *name, int64_t value)
{
    json_builder_set_member_name(b, name);
    json_builder_add_int_value(b, value);
}

static char *
configuration(const qm_gate_config *c)
{
    g_autoptr(JsonBuilder) b = json_builder_new();
    g_autoptr(JsonGenerator) generator = json_generator_new();
    g_autoptr(JsonNode) root = NULL;
    char uuid[UUID_STR_LEN];

    uuid_unparse_lower(c->vm_uuid, uuid);
    json_builder_begin_object(b);
    add_text(b, "vm_uuid", uuid);
    add_text(b, "vm_name", c->vm_name);
    add_text(b, "disk", c->disk->target);
    add_text(b, "portal", c->disk->url->portal);
    add_text(b, "iqn", c->disk->url->iqn);
    add_number(b, "lun", c->disk->url->lun);
    add_text(b, "user", c->disk->url->user);
    add_text(b, "secret", c->disk_secret);
    json_builder_set_member_name(b, "read_only");
    json_builder_add_boolean_value(b, c->disk->read_only);
    json_builder_set_member_name(b, "allow_unfenced");
    json_builder_add_boolean_value(b, c->allow_unfenced);
    add_text(b, "vault", c->vault_url);
    add_text(b, "vault_secret", c->vault_secret);
    add_number(b, "node_id", c->node_id);
    add_number(b, "qemu_uid", c->qemu_uid);
    add_number(b, "qemu_gid", c->qemu_gid);
    if (c->reconnect_limit_s > 0)
        add_number(b, "reconnect_limit_s", c->reconnect_limit_s);
    json_builder_end_object(b);
    root = json_builder_get_root(b);
    json_generator_set_root(generator, root);
    return json_generator_to_data(generator, NULL);
}

/* --- starting ------------------------------------------------------------ */

static bool
fail(GError **error, const char *what)
{
    g_set_error(error, QM_ERROR, QM_ERROR_IO, "cannot %s: %s", what,
                g_strerror(errno));
    return false;
}

/* @ret_input: write the configuration there.  @ret_output: the report comes
 * from there. */
static bool
spawn(int *ret_input, int *ret_output, GPid *ret_pid, GError **error)
{
    const char *program = secure_getenv("QM_GATE_PROGRAM");
    char *argv[] = {g_strdup(program != NULL ? program : PROGRAM), NULL};
    int in[2] = {-1, -1}, out[2] = {-1, -1};
    g_autoptr(GError) why = NULL;
    bool ok = false;

    /* A socket instead of a pipe: a program that dies early is no SIGPIPE. */
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) < 0 ||
        pipe2(out, O_CLOEXEC) < 0) {
        (void) fail(error, "make a pipe");
        goto out;
    }
    ok = g_spawn_async_with_fds(
        "/", argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDERR_TO_DEV_NULL,
        NULL, NULL, ret_pid, in[1], out[1], -1, &why);
    if (!ok)
        g_set_error(error, QM_ERROR, QM_ERROR_NOT_FOUND, "cannot run %s: %s",
                    argv[0], why->message);
out:
    if (in[1] >= 0)
        close(in[1]);
    if (out[1] >= 0)
        close(out[1]);
    if (ok) {
        *ret_input = in[0];
        *ret_output = out[0];
    } else {
        if (in[0] >= 0)
            close(in[0]);
        if (out[0] >= 0)
            close(out[0]);
    }
    g_free(argv[0]);
    return ok;
}

/* The starter ends by itself right after its report. */
static void
reap(GPid pid, bool reported)
{
    if (!reported)
        (void) kill(pid, SIGKILL); /* ours: not reaped yet */
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* @ret_already: another one runs, or is about to. */
static bool
start_once(const qm_gate_config *config, int64_t deadline, bool *ret_already,
           GError **error)
{
    g_autofree char *json = configuration(config);
    g_autofree char *line = NULL;
    g_autoptr(JsonObject) reply = NULL;
    size_t length = strlen(json);
    int input, output;
    bool reported, ok;
    GPid pid;

    ok = spawn(&input, &output, &pid, error);
    if (ok) {
        (void) send(input, json, length, MSG_NOSIGNAL); /* its report tells */
        close(input);
        reported = qm__gate_read_line(output, deadline, &line, error);
        ok = reported && qm__gate_parse_reply(line, &reply, error);
        close(output);
        reap(pid, reported);
    }
    explicit_bzero(json, length);
    if (ok)
        *ret_already = json_object_get_boolean_member_with_default(
            reply, "already", FALSE);
    return ok;
}

/* Is the gate that runs the one that is wanted? */
static bool
is_usable(const qm_gate_config *config, const qm_gate_status *status)
{
    const qm_url *url = config->disk->url;
    g_autofree char *lun =
        g_strdup_printf("iscsi://%s/%s/%d", url->portal, url->iqn, url->lun);

    return status->state != QM_GATE_FENCED && strcmp(lun, status->lun) == 0;
}

static void
pause_briefly(int64_t deadline)
{
    g_usleep((gulong) MIN(LOOK_AGAIN, qm__remaining(deadline)));
}

/* One runs already: is it good?  @ret_again: there is room for a new one. */
static bool
check_running(const qm_gate_config *config, int64_t deadline, bool *ret_again,
              GError **error)
{
    const char *disk = config->disk->target;
    qm_gate_status status;
    g_autoptr(GError) why = NULL;

    *ret_again = true;
    if (!qm__gate_get_status(config->vm_uuid, disk, deadline, &status, &why)) {
        if (g_error_matches(why, QM_ERROR, QM_ERROR_NOT_FOUND) &&
            !qm__passed(deadline)) {
            pause_briefly(deadline); /* it comes up, or goes down */
            return true;
        }
        g_propagate_error(error, g_steal_pointer(&why));
        return false;
    }
    if (is_usable(config, &status)) {
        *ret_again = false;
        return true;
    }
    return qm__gate_stop(config->vm_uuid, disk, deadline, error);
}

bool
qm__gate_start(const qm_gate_config *config, int64_t deadline, GError **error)
{
    bool already, again = true;

    while (again) {
        if (!start_once(config, deadline, &already, error))
            return about(config->disk->target, "start", error);
        if (!already)
            return true;
        if (!check_running(config, deadline, &again, error))
            return about(config->disk->target, "start", error);
    }
    return true;
}

/* --- ending -------------------------------------------------------------- */

static bool
wait_end(int pidfd, int64_t deadline)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    int n;

    do {
        n = poll(&p, 1, qm__remaining_ms(deadline));
    } while (n < 0 && errno == EINTR && !qm__passed(deadline));
    return n > 0;
}

/* The process that listens at the other end of @fd. */
static int
open_peer(int fd)
{
    struct ucred peer;
    socklen_t length = sizeof peer;
    int pidfd;
    socklen_t pidfd_length = sizeof pidfd;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &pidfd_length) == 0)
        return pidfd;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0 ||
        peer.uid != geteuid())
        return -1;
    return (int) syscall(SYS_pidfd_open, peer.pid, 0);
}

/* The gate's lock is held: by whom, as that one wrote it? */
static int
open_lock_holder(const char *control)
{
    g_autofree char *path = g_strconcat(control, ".lock", NULL);
    g_autofree char *holder = NULL;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    int pid = 0, pidfd = -1;

    if (fd < 0)
        return -1;
    if (g_file_get_contents(path, &holder, NULL, NULL) &&
        sscanf(holder, "quickmig-gate, pid %d", &pid) == 1 && pid > 0)
        pidfd = (int) syscall(SYS_pidfd_open, pid, 0);
    /* Still held after the process was opened: it is that process. */
    if (pidfd >= 0 &&
        (fcntl(fd, F_OFD_GETLK, &lock) < 0 || lock.l_type == F_UNLCK)) {
        close(pidfd);
        pidfd = -1;
    }
    close(fd);
    return pidfd;
}

static bool
kill_gate(int pidfd, int64_t deadline, GError **error)
{
    if (syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) < 0 &&
        errno != ESRCH)
        return fail(error, "kill it");
    if (wait_end(pidfd, deadline))
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_TIMEOUT,
                "it was killed and is not gone yet");
    return false;
}

/* One that cannot be asked. */
static bool
stop_by_lock(const char *control, int64_t deadline, GError *why, GError **error)
{
    int pidfd = open_lock_holder(control);
    bool ok;

    if (pidfd < 0) {
        if (g_error_matches(why, QM_ERROR, QM_ERROR_NOT_FOUND)) {
            g_error_free(why);
            return true;
        }
        g_propagate_error(error, why);
        return false;
    }
    g_error_free(why);
    ok = kill_gate(pidfd, deadline, error);
    close(pidfd);
    return ok;
}

/* Half of the time for its answer, the rest to kill it. */
static bool
stop_politely(int fd, int pidfd, int64_t deadline, GError **error)
{
    int64_t half = qm__deadline_in(qm__remaining(deadline) / 2);
    g_autoptr(JsonObject) reply = NULL;
    g_autoptr(GError) why = NULL;

    if (qm__gate_ask(fd, "{\"do\":\"quit\"}\n", half, &reply, &why)) {
        if (wait_end(pidfd, half))
            return true;
    } else if (g_error_matches(why, QM_ERROR, QM_ERROR_BUSY)) {
        g_propagate_error(error, g_steal_pointer(&why));
        return false;
    }
    return kill_gate(pidfd, deadline, error);
}

static bool
stop_once(const char *control, int64_t deadline, GError **error)
{
    g_autoptr(GError) why = NULL;
    int fd, pidfd;
    bool ok;

    if (!qm__gate_connect(control, &fd, &why))
        return stop_by_lock(control, deadline, g_steal_pointer(&why), error);
    pidfd = open_peer(fd);
    if (pidfd < 0) {
        close(fd);
        return fail(error, "get hold of its process");
    }
    ok = stop_politely(fd, pidfd, deadline, error);
    close(pidfd);
    close(fd);
    return ok;
}

bool
qm__gate_stop(const uint8_t *uuid, const char *disk, int64_t deadline,
              GError **error)
{
    g_autofree char *control = qm__gate_control(uuid, disk);

    for (;;) {
        g_autoptr(GError) why = NULL;

        if (stop_once(control, deadline, &why))
            return true;
        if (!g_error_matches(why, QM_ERROR, QM_ERROR_BUSY) ||
            qm__passed(deadline)) {
            g_propagate_error(error, g_steal_pointer(&why));
            return about(disk, "stop", error);
        }
        pause_briefly(deadline); /* a guest that was destroyed just now */
    }
}
