/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * One step with a libvirt domain, for tests: vm-tool UUID STEP [ARGUMENT...].
 * Prints "ok MS" or "ERROR MS: MESSAGE" and what the step answers.
 */
#include "config.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uuid/uuid.h>
#include "domxml.h"
#include "stream.h"
#include "timeouts.h"
#include "vm.h"

#define CHUNK (1024 * 1024)

typedef struct {
    qm_vm *vm;
    char **arg; /* the step's arguments, NULL-terminated */
    int64_t deadline;
} step;

static int64_t
milliseconds(const char *name, int64_t otherwise)
{
    const char *text = g_getenv(name);

    return text != NULL ? g_ascii_strtoll(text, NULL, 10) : otherwise;
}

static bool
argument(const step *s, unsigned n, GError **error)
{
    if (g_strv_length(s->arg) >= n)
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_INVALID, "%u arguments needed", n);
    return false;
}

static bool
fail(const char *what, GError **error)
{
    g_set_error(error, QM_ERROR, QM_ERROR_IO, "%s: %s", what,
                g_strerror(errno));
    return false;
}

static bool
do_state(step *s, GError **error)
{
    static const char *const names[] = {"none", "running", "paused", "io-error",
                                        "ending"};
    qm_vm_state state;

    if (!qm__vm_get_state(s->vm, s->deadline, &state, error))
        return false;
    puts(names[state]);
    return true;
}

static bool
do_create(step *s, GError **error)
{
    g_autofree char *xml = NULL;

    return argument(s, 1, error) &&
           g_file_get_contents(s->arg[0], &xml, NULL, error) &&
           qm__vm_create(s->vm, xml, false, s->deadline, error);
}

static bool
do_suspend(step *s, GError **error)
{
    return qm__vm_suspend(s->vm, s->deadline, error);
}

static bool
do_resume(step *s, GError **error)
{
    return qm__vm_resume(s->vm, s->deadline, error);
}

static bool
do_speed(step *s, GError **error)
{
    return argument(s, 1, error) &&
           qm__vm_set_speed(s->vm, g_ascii_strtoull(s->arg[0], NULL, 10),
                            s->deadline, error);
}

static bool
do_destroy(step *s, GError **error)
{
    return qm__vm_destroy(s->vm, s->deadline, error);
}

static bool
do_shutdown(step *s, GError **error)
{
    return qm__vm_shutdown(s->vm, s->deadline, error);
}

static bool
do_user(step *s, GError **error)
{
    uid_t uid;
    gid_t gid;

    if (!qm__vm_qemu_user(s->vm, s->deadline, &uid, &gid, error))
        return false;
    printf("%u %u\n", uid, gid);
    return true;
}

static bool
do_secret(step *s, GError **error)
{
    char *value;

    if (!argument(s, 1, error) ||
        !qm__vm_secret(s->vm, s->arg[0], s->deadline, &value, error))
        return false;
    puts(value);
    qm__secret_free(value);
    return true;
}

static bool
do_memory(step *s, GError **error)
{
    uint64_t bytes;

    if (!qm__vm_free_memory(s->vm, s->deadline, &bytes, error))
        return false;
    printf("%" G_GUINT64_FORMAT "\n", bytes);
    return true;
}

/* Copies until the end of @in, or @limit bytes.  One of both is a pipe. */
static bool
copy(int in, int out, uint64_t limit, int64_t deadline, GError **error)
{
    g_autofree char *buf = g_malloc(CHUNK);
    uint64_t total = 0;

    while (total < limit) {
        struct pollfd p[2] = {{.fd = in, .events = POLLIN},
                              {.fd = out, .events = POLLOUT}};
        ssize_t n, done = 0;

        if (poll(p, 1, qm__remaining_ms(deadline)) <= 0)
            return fail("nothing to read", error);
        n = read(in, buf, MIN(CHUNK, limit - total));
        if (n == 0)
            break;
        while (n > 0 && done < n) {
            ssize_t w = write(out, buf + done, (size_t) (n - done));

            if (w < 0 && errno == EAGAIN &&
                poll(p + 1, 1, qm__remaining_ms(deadline)) > 0)
                continue;
            if (w < 0)
                return fail("writing", error);
            done += w;
        }
        if (n < 0 && errno != EAGAIN)
            return fail("reading", error);
        total += n > 0 ? (uint64_t) n : 0;
    }
    return true;
}

static uint64_t
limit_of(const step *s, unsigned n)
{
    return g_strv_length(s->arg) > n ? g_ascii_strtoull(s->arg[n], NULL, 10)
                                     : UINT64_MAX;
}

/* What happens in the middle of a save. */
static bool
interrupt(step *s, qm_fifo *fifo, qm_vm_job *job, const char *how,
          GError **error)
{
    int sink;
    bool ok;

    if (strcmp(how, "die") == 0)
        raise(SIGKILL);
    if (strcmp(how, "abort") == 0)
        qm__vm_job_abort(job);
    if (!g_ascii_isdigit(how[0])) {
        qm__fifo_close(fifo);
        return true;
    }
    if (kill(atoi(how), SIGKILL) < 0)
        return fail("kill", error);
    sink = open("/dev/null", O_WRONLY | O_CLOEXEC);
    ok = copy(qm__fifo_fd(fifo), sink, UINT64_MAX, s->deadline, error);
    (void) close(sink);
    return ok;
}

static bool
take(step *s, qm_fifo *fifo, qm_vm_job *job, int file, GError **error)
{
    uint8_t header[QM_SAVE_HEADER];
    uint64_t limit = limit_of(s, 2);

    if (!qm__fifo_take(fifo, qm__vm_job_fd(job), s->deadline, header, error))
        return false;
    if (write(file, header, sizeof(header)) != sizeof(header))
        return fail("writing", error);
    if (!copy(qm__fifo_fd(fifo), file, limit, s->deadline, error))
        return false;
    return limit == UINT64_MAX ||
           interrupt(s, fifo, job, s->arg[3] != NULL ? s->arg[3] : "close",
                     error);
}

/* save DIR FILE [BYTES [close | abort | die | PID]] */
static bool
do_save(step *s, GError **error)
{
    g_autoptr(qm_fifo) fifo = NULL;
    g_autoptr(qm_vm_job) job = NULL;
    g_autoptr(GError) broken = NULL;
    int file;
    bool ok;

    if (!argument(s, 2, error))
        return false;
    qm__fifo_sweep(s->arg[0]);
    file = open(s->arg[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0)
        return fail(s->arg[1], error);
    ok = qm__fifo_new(s->arg[0], QM_FIFO_SAVE, &fifo, error) &&
         qm__vm_save_begin(s->vm, qm__fifo_path(fifo), false, &job, error);
    if (ok && !take(s, fifo, job, file, &broken))
        qm__fifo_close(fifo);
    if (ok)
        ok = qm__vm_job_wait(job, s->deadline, error);
    if (ok && broken != NULL) {
        ok = false;
        g_propagate_error(error, g_steal_pointer(&broken));
    }
    (void) close(file);
    return ok;
}

/* Feeds libvirt; after some bytes its daemon is killed, or nothing comes. */
static bool
feed(step *s, qm_fifo *fifo, int file, GError **error)
{
    int out = qm__fifo_fd(fifo);

    if (!copy(file, out, limit_of(s, 2), s->deadline, error))
        return false;
    if (g_strv_length(s->arg) < 4)
        return true;
    if (kill(atoi(s->arg[3]), SIGKILL) < 0)
        return fail("kill", error);
    return copy(file, out, UINT64_MAX, s->deadline, error);
}

/* restore DIR FILE [BYTES [PID]] */
static bool
do_restore(step *s, GError **error)
{
    g_autoptr(qm_fifo) fifo = NULL;
    g_autoptr(qm_vm_job) job = NULL;
    g_autoptr(GError) broken = NULL;
    int file;
    bool ok;

    if (!argument(s, 2, error))
        return false;
    qm__fifo_sweep(s->arg[0]);
    file = open(s->arg[1], O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return fail(s->arg[1], error);
    if (!qm__fifo_new(s->arg[0], QM_FIFO_RESTORE, &fifo, error) ||
        !qm__vm_restore_begin(s->vm, qm__fifo_path(fifo), NULL, &job, error)) {
        (void) close(file);
        return false;
    }
    ok = qm__fifo_connect(fifo, qm__vm_job_fd(job), s->deadline, &broken) &&
         feed(s, fifo, file, &broken);
    qm__fifo_close(fifo);
    (void) close(file);
    if (!qm__vm_job_wait(job, s->deadline, error))
        return false;
    if (!ok)
        g_propagate_error(error, g_steal_pointer(&broken));
    return ok;
}

static const struct {
    const char *name;
    bool (*run)(step *, GError **);
} steps[] = {
    {"state", do_state},   {"create", do_create},   {"suspend", do_suspend},
    {"resume", do_resume}, {"destroy", do_destroy}, {"shutdown", do_shutdown},
    {"save", do_save},     {"restore", do_restore}, {"user", do_user},
    {"secret", do_secret}, {"memory", do_memory},   {"speed", do_speed},
};

static bool run_step(step *s, const char *name, GError **error);

/* stalled PID STEP [ARGUMENT...]: libvirtd is stopped after we connected.  A
 * second call must not wait once more: its time counts, too. */
static bool
do_stalled(step *s, GError **error)
{
    qm_vm_state state;
    pid_t pid;

    if (!argument(s, 2, error))
        return false;
    pid = atoi(s->arg[0]);
    if (pid <= 1 || kill(pid, SIGSTOP) < 0)
        return fail("kill", error);
    s->arg += 2;
    s->deadline = qm__deadline_in(milliseconds("STEP_MS", 1000) * QM_MS);
    if (run_step(s, s->arg[-1], error))
        return true;
    (void) qm__vm_get_state(s->vm, qm__deadline_in(QM_S), &state, NULL);
    return false;
}

static bool
run_step(step *s, const char *name, GError **error)
{
    if (strcmp(name, "stalled") == 0)
        return do_stalled(s, error);
    for (size_t i = 0; i < G_N_ELEMENTS(steps); i++)
        if (strcmp(name, steps[i].name) == 0)
            return steps[i].run(s, error);
    g_set_error(error, QM_ERROR, QM_ERROR_INVALID, "no step %s", name);
    return false;
}

/* gates FILE: no libvirt needed. */
static int
print_for_gates(const char *file)
{
    g_autofree char *xml = NULL, *out = NULL;
    g_autoptr(GError) error = NULL;

    if (!g_file_get_contents(file, &xml, NULL, &error) ||
        !qm__domxml_for_gates(xml, &out, &error)) {
        fprintf(stderr, "%s\n", error->message);
        return 1;
    }
    puts(out);
    return 0;
}

int
main(int argc, char **argv)
{
    int64_t begun = qm__now();
    step s = {.deadline =
                  qm__deadline_in(milliseconds("STEP_MS", 60000) * QM_MS)};
    g_autoptr(GError) error = NULL;
    uuid_t uuid;
    bool ok;

    if (argc == 3 && strcmp(argv[1], "gates") == 0)
        return print_for_gates(argv[2]);
    if (argc < 3 || uuid_parse(argv[1], uuid) != 0) {
        fprintf(stderr, "usage: vm-tool UUID STEP [ARGUMENT...]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    ok = qm__vm_open(NULL, uuid, s.deadline, &s.vm, &error);
    if (ok) {
        s.arg = argv + 3;
        ok = run_step(&s, argv[2], &error);
    }
    qm__vm_close(s.vm);
    if (ok)
        printf("ok %" G_GINT64_FORMAT "\n", (qm__now() - begun) / QM_MS);
    else
        printf("%s %" G_GINT64_FORMAT ": %s\n",
               error->domain == QM_ERROR ? qm_error_name(error->code) : "file",
               (qm__now() - begun) / QM_MS, error->message);
    return ok ? 0 : 1;
}
