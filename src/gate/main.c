/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * quickmig-gate: the process through which QEMU reaches one iSCSI LUN.  It
 * outlives whoever started it, and whatever is done to that one's process
 * group: the starter gets a report through a pipe as soon as the gate serves,
 * or failed, and that is the last they share.
 */
#include "config.h"
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <json-glib/json-glib.h>
#include "control.h"
#include "crash.h"
#include "harden.h"
#include "log.h"
#include "runtime.h"
#include "sandbox.h"
#include "timeouts.h"

#define START_LIMIT  (20 * QM_S) /* until it serves */
#define OOM_SCORE    "-900"      /* almost never the OOM killer's choice */
#define BACKLOG      16
#define REPORT_MAX   4096 /* bytes */
#define EXIT_BAD_USE 2

typedef struct {
    bool foreground;
    int report; /* the starter reads from it; -1: told already */
    gate_settings *settings;
    qm_lock *lock;
    loop *loop;
    gate *gate;
    control *control;
    int nbd; /* listening */
    loop_source *nbd_source;
    int signals;
    loop_source *signal_source;
} program;

/* --- report -------------------------------------------------------------- */

static char *
report_line(const GError *error, bool already)
{
    g_autoptr(JsonBuilder) b = json_builder_new();
    g_autoptr(JsonGenerator) generator = json_generator_new();
    g_autoptr(JsonNode) root = NULL;
    g_autofree char *text = NULL;

    json_builder_begin_object(b);
    json_builder_set_member_name(b, "ok");
    json_builder_add_boolean_value(b, error == NULL);
    if (error != NULL) {
        json_builder_set_member_name(b, "error");
        json_builder_add_string_value(b, error->domain == QM_ERROR
                                             ? qm_error_name(error->code)
                                             : "internal");
        json_builder_set_member_name(b, "message");
        json_builder_add_string_value(b, error->message);
    } else {
        json_builder_set_member_name(b, "pid");
        json_builder_add_int_value(b, getpid());
        json_builder_set_member_name(b, "already");
        json_builder_add_boolean_value(b, already);
    }
    json_builder_end_object(b);
    root = json_builder_get_root(b);
    json_generator_set_root(generator, root);
    text = json_generator_to_data(generator, NULL);
    return g_strconcat(text, "\n", NULL);
}

/* A starter that is gone needs no report. */
static void
report(program *p, const GError *error, bool already)
{
    g_autofree char *line = report_line(error, already);

    if (p->report < 0)
        return;
    (void) !write(p->report, line, strlen(line));
    close(p->report);
    p->report = -1;
}

/* --- process ------------------------------------------------------------- */

static bool
fail(GError **error, const char *what, const char *name)
{
    g_set_error(error, QM_ERROR, QM_ERROR_IO, "cannot %s %s: %s", what, name,
                g_strerror(errno));
    return false;
}

static void
harden(void)
{
    static const char score[] = OOM_SCORE;
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    /* None of these is needed to serve: without the rights it goes on. */
    if (fd >= 0) {
        (void) !write(fd, score, strlen(score));
        close(fd);
    }
    qm__no_dumps();
    (void) prctl(PR_SET_NAME, "quickmig-gate");
}

static bool
redirect_stdio(GError **error)
{
    int fd = open("/dev/null", O_RDWR);

    if (fd < 0 || dup2(fd, STDIN_FILENO) < 0 || dup2(fd, STDOUT_FILENO) < 0 ||
        dup2(fd, STDERR_FILENO) < 0)
        return fail(error, "redirect standard I/O to", "/dev/null");
    if (fd > STDERR_FILENO)
        close(fd);
    return true;
}

static bool
detach(GError **error)
{
    if (setsid() < 0)
        return fail(error, "start", "a session of its own");
    if (chdir("/") < 0)
        return fail(error, "change to", "/");
    return redirect_stdio(error);
}

/* Hands the child's report on.  Returns the exit code. */
static int
await_report(int fd)
{
    char line[REPORT_MAX];
    size_t length = 0;
    ssize_t n;

    while (length < sizeof line &&
           ((n = read(fd, line + length, sizeof line - length)) > 0 ||
            (n < 0 && errno == EINTR)))
        length += n > 0 ? (size_t) n : 0;
    if (length == 0) {
        fprintf(stderr, "quickmig-gate: ended without a report\n");
        return EXIT_FAILURE;
    }
    fwrite(line, 1, length, stdout);
    return g_str_has_prefix(line, "{\"ok\":true") ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* --- sockets ------------------------------------------------------------- */

/* Nobody can connect before owner and mode are right: the socket listens only
 * afterwards. */
static int
listen_at(const char *path, uid_t uid, gid_t gid, GError **error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd;

    if (strlen(path) >= sizeof address.sun_path) {
        g_set_error(error, QM_ERROR, QM_ERROR_INVALID,
                    "the path of the socket %s is too long", path);
        return -1;
    }
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void) unlink(path); /* left by a gate that was killed: we have its lock */
    if (fd < 0 || bind(fd, (struct sockaddr *) &address, sizeof address) < 0 ||
        chmod(path, 0600) < 0 || chown(path, uid, gid) < 0 ||
        listen(fd, BACKLOG) < 0) {
        (void) fail(error, "listen at", path);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

static void
client_ready(void *opaque, uint32_t events)
{
    program *p = opaque;
    int fd = accept4(p->nbd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd >= 0)
        clients_accept(p->gate, fd);
}

static bool
open_sockets(program *p, GError **error)
{
    const gate_settings *s = p->settings;
    int fd;

    p->nbd = listen_at(s->socket, s->qemu_uid, s->qemu_gid, error);
    if (p->nbd < 0)
        return false;
    fd = listen_at(s->control, geteuid(), getegid(), error);
    if (fd < 0)
        return false;
    p->nbd_source = loop_add(p->loop, p->nbd, EPOLLIN, client_ready, p);
    p->control = control_new(p->gate, fd);
    return true;
}

/* --- signals ------------------------------------------------------------- */

/* A gate ends when its guest has ended; a signal does not change that. */
static void
signal_ready(void *opaque, uint32_t events)
{
    program *p = opaque;
    struct signalfd_siginfo info;

    if (read(p->signals, &info, sizeof info) != sizeof info)
        return;
    if (clients_pid(p->gate) != 0 && !p->foreground) {
        qm__warning("disk %s: signal %u ignored: process %d is connected",
                    p->settings->disk, info.ssi_signo,
                    (int) clients_pid(p->gate));
        return;
    }
    qm__notice("disk %s: ended by signal %u", p->settings->disk,
               info.ssi_signo);
    p->gate->quit = true;
}

/* Before any thread is there, so that all of them inherit it. */
static bool
take_signals(program *p, GError **error)
{
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    if (sigprocmask(SIG_SETMASK, &set, NULL) < 0)
        return fail(error, "block", "signals");
    p->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (p->signals < 0)
        return fail(error, "receive", "signals");
    p->signal_source = loop_add(p->loop, p->signals, EPOLLIN, signal_ready, p);
    return true;
}

/* --- life ---------------------------------------------------------------- */

static bool
prepare(program *p, GError **error)
{
    g_autofree char *what =
        g_strdup_printf("the gate of disk %s", p->settings->disk);

    if (!qm__runtime_prepare(p->settings->vm_uuid, error) ||
        !qm__lock_take(p->settings->lock, what, qm__now(), &p->lock, error))
        return false;
    QM_CRASH_POINT("gate-locked");
    p->loop = loop_new();
    if (p->loop == NULL)
        return fail(error, "make", "an event loop");
    p->gate = gate_new(p->settings, p->loop);
    return take_signals(p, error) &&
           gate_first_login(p->gate, qm__deadline_in(START_LIMIT), error) &&
           open_sockets(p, error);
}

/* The sockets go first: who cannot connect knows that there is no gate. */
static void
clean_up(program *p)
{
    if (p->lock != NULL) {
        (void) unlink(p->settings->socket);
        (void) unlink(p->settings->control);
    }
    control_free(p->control);
    loop_remove(p->nbd_source);
    if (p->nbd >= 0)
        close(p->nbd);
    loop_remove(p->signal_source);
    if (p->signals >= 0)
        close(p->signals);
    if (p->gate != NULL)
        gate_free(p->gate);
    loop_free(p->loop);
    qm__lock_release(p->lock);
    gate_settings_free(p->settings);
}

/* A kernel that cannot is no reason to leave a guest without its disk. */
static void
confine(program *p)
{
    g_autoptr(GError) why = NULL;

    if (!gate_sandbox_enter(&why))
        qm__warning("disk %s: it serves without a sandbox: %s",
                    p->settings->disk, why->message);
}

static int
serve(program *p)
{
    g_autoptr(GError) error = NULL;
    bool busy;

    if ((p->foreground || detach(&error)) && prepare(p, &error)) {
        confine(p);
        qm__notice("disk %s: serving %s at %s (%" G_GUINT64_FORMAT
                   " bytes, blocks of %u)",
                   p->settings->disk, p->settings->url.text,
                   p->settings->socket, p->gate->export.size,
                   p->gate->export.block_size);
        QM_CRASH_POINT("gate-listens");
        report(p, NULL, false);
        gate_run(p->gate);
        clean_up(p);
        return EXIT_SUCCESS;
    }
    busy = p->lock == NULL && g_error_matches(error, QM_ERROR, QM_ERROR_BUSY);
    if (busy) { /* it serves already, or is about to */
        qm__info("%s", error->message);
        report(p, NULL, true);
    } else {
        qm__error("disk %s: %s", p->settings->disk, error->message);
        report(p, error, false);
    }
    clean_up(p);
    return busy ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* The child serves; the parent returns its report. */
static int
serve_in_background(program *p)
{
    int fds[2];
    pid_t child;

    if (pipe2(fds, O_CLOEXEC) < 0 || (child = fork()) < 0) {
        perror("quickmig-gate: cannot start");
        return EXIT_FAILURE;
    }
    if (child != 0) {
        close(fds[1]);
        gate_settings_free(p->settings);
        return await_report(fds[0]);
    }
    close(fds[0]);
    p->report = fds[1];
    return serve(p);
}

static const char help[] =
    "Usage: quickmig-gate [OPTION]...\n"
    "Serve one iSCSI LUN to QEMU over NBD, guarded by a persistent "
    "reservation.\n"
    "The configuration is read from standard input, as a JSON object.\n"
    "Started by quickmig's resource agent; there is no need to run it by "
    "hand.\n"
    "\n"
    "  -f, --foreground  do not detach; end at SIGINT or SIGTERM\n"
    "  -d, --debug       log more\n"
    "  -h, --help        print this help and exit\n"
    "  -V, --version     print the version and exit\n";

static const struct option options[] = {
    {"foreground", no_argument, NULL, 'f'},
    {"debug", no_argument, NULL, 'd'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

/* Returns -1 to go on, else the exit code. */
static int
parse_options(program *p, int argc, char **argv)
{
    int c;

    while ((c = getopt_long(argc, argv, "fdhV", options, NULL)) != -1) {
        switch (c) {
        case 'f':
            p->foreground = true;
            break;
        case 'd':
            qm__log_set_level(QM_LOG_DEBUG);
            break;
        case 'h':
            fputs(help, stdout);
            return EXIT_SUCCESS;
        case 'V':
            puts("quickmig-gate " PACKAGE_VERSION);
            return EXIT_SUCCESS;
        default:
            fputs("Try 'quickmig-gate --help'.\n", stderr);
            return EXIT_BAD_USE;
        }
    }
    if (optind == argc)
        return -1;
    fprintf(stderr, "quickmig-gate: unexpected argument \"%s\"\n",
            argv[optind]);
    return EXIT_BAD_USE;
}

int
main(int argc, char **argv)
{
    program p = {.report = -1, .nbd = -1, .signals = -1};
    g_autoptr(GError) error = NULL;
    int code = parse_options(&p, argc, argv);

    if (code >= 0)
        return code;
    umask(077);
    harden();
    if (close_range(STDERR_FILENO + 1, ~0u, 0) < 0)
        return EXIT_FAILURE;
    if (!gate_settings_read(STDIN_FILENO, &p.settings, &error)) {
        fprintf(stderr, "quickmig-gate: %s\n", error->message);
        p.report = dup(STDOUT_FILENO);
        report(&p, error, false);
        return EXIT_FAILURE;
    }
    qm__log_init("quickmig-gate", p.foreground);
    qm__log_set_context(p.settings->vm_name, g_get_host_name());
    if (p.foreground) {
        p.report = dup(STDOUT_FILENO);
        return serve(&p);
    }
    return serve_in_background(&p);
}
