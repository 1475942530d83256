/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Where the programs' messages go.  Logging never fails an action and never
 * hangs one: what a sink does not take at once is lost there.  One line is one
 * write(), so that lines of several processes do not mix in the file.
 */
#include "config.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>
#include "log.h"

#define LOG_FILE    QM_LOCALSTATEDIR "/log/quickmig/quickmig.log"
#define SYSLOG_PATH "/dev/log"
#define LINE_MAX_   2048 /* bytes of one line, its end included */
#define STDERR_MS   100  /* patience with whoever reads our stderr */

static struct {
    GMutex lock;
    char *program, *vm, *node;
    gboolean to_stderr;
    qm_log_level level;
    int file, syslog; /* -1: not open */
} sinks = {.level = QM_LOG_INFO, .file = -1, .syslog = -1};

static const struct {
    const char *name;
    int priority;
} levels[] = {
    [QM_LOG_ERROR] = {"error", LOG_ERR},
    [QM_LOG_WARNING] = {"warning", LOG_WARNING},
    [QM_LOG_NOTICE] = {"notice", LOG_NOTICE},
    [QM_LOG_INFO] = {"info", LOG_INFO},
    [QM_LOG_DEBUG] = {"debug", LOG_DEBUG},
};

static void
open_file(void)
{
    const char *path = secure_getenv("QM_LOG_FILE");
    struct stat st;

    if (path == NULL || *path == '\0')
        path = LOG_FILE;
    /* O_NONBLOCK: should an administrator have put a FIFO there. */
    sinks.file = open(path,
                      O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC |
                          O_NOCTTY | O_NONBLOCK,
                      0600);
    if (sinks.file >= 0 &&
        (fstat(sinks.file, &st) < 0 || !S_ISREG(st.st_mode))) {
        close(sinks.file);
        sinks.file = -1;
    }
}

/* Not syslog(3): that waits for a log daemon that has stopped reading. */
static void
open_syslog(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX,
                                  .sun_path = SYSLOG_PATH};

    sinks.syslog =
        socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (sinks.syslog < 0)
        return;
    if (connect(sinks.syslog, (struct sockaddr *) &address, sizeof address) <
        0) {
        close(sinks.syslog);
        sinks.syslog = -1;
    }
}

void
qm__log_init(const char *program, gboolean to_stderr)
{
    g_mutex_lock(&sinks.lock);
    g_free(sinks.program);
    sinks.program = g_strdup(program);
    sinks.to_stderr = to_stderr;
    if (sinks.file < 0)
        open_file();
    if (sinks.syslog < 0)
        open_syslog();
    g_mutex_unlock(&sinks.lock);
}

int
qm__log_fd(void)
{
    return sinks.file;
}

void
qm__log_set_context(const char *vm, const char *node)
{
    g_mutex_lock(&sinks.lock);
    g_free(sinks.vm);
    g_free(sinks.node);
    sinks.vm = g_strdup(vm);
    sinks.node = g_strdup(node);
    g_mutex_unlock(&sinks.lock);
}

void
qm__log_set_level(qm_log_level level)
{
    sinks.level = level;
}

/* "n1 vm1: ", as far as known. */
static char *
context_text(void)
{
    if (sinks.vm == NULL && sinks.node == NULL)
        return g_strdup("");
    return g_strdup_printf("%s%s%s: ", sinks.node != NULL ? sinks.node : "",
                           sinks.node != NULL && sinks.vm != NULL ? " " : "",
                           sinks.vm != NULL ? sinks.vm : "");
}

/* Text from outside (a guest's name, QEMU's words) must not fake lines. */
static void
one_line(char *text)
{
    for (char *p = text; *p != '\0'; p++)
        if (g_ascii_iscntrl(*p) && *p != '\t')
            *p = ' ';
    g_strchomp(text);
}

static void
write_line(int fd, const char *line, size_t length)
{
    /* A sink that fails cannot be reported anywhere. */
    (void) !write(fd, line, length);
}

static void
to_syslog(qm_log_level level, const char *context, const char *message)
{
    char line[LINE_MAX_], stamp[32];
    time_t now = time(NULL);
    struct tm tm;
    int n;

    if (sinks.syslog < 0)
        return;
    localtime_r(&now, &tm);
    strftime(stamp, sizeof stamp, "%b %e %T", &tm);
    n = g_snprintf(line, sizeof line, "<%d>%s %s[%d]: %s%s: %s",
                   LOG_DAEMON | levels[level].priority, stamp, sinks.program,
                   (int) getpid(), context, levels[level].name, message);
    n = MIN(n, (int) sizeof line - 1);
    if (send(sinks.syslog, line, (size_t) n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
        (errno == ECONNREFUSED || errno == ENOTCONN)) {
        close(sinks.syslog); /* daemon was restarted: the next line tries */
        open_syslog();
    }
}

static void
to_file(qm_log_level level, const char *context, const char *message)
{
    char line[LINE_MAX_], stamp[32];
    struct timespec now;
    struct tm tm;
    int n;

    if (sinks.file < 0)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &tm);
    strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S", &tm);
    n = g_snprintf(line, sizeof line - 1, "%s.%03ld %s[%d] %s%s: %s", stamp,
                   now.tv_nsec / 1000000, sinks.program, (int) getpid(),
                   context, levels[level].name, message);
    n = MIN(n, (int) sizeof line - 2);
    line[n++] = '\n';
    write_line(sinks.file, line, (size_t) n);
}

static void
to_stderr(qm_log_level level, const char *message)
{
    struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
    char line[LINE_MAX_];
    int n;

    /* A pipe is writable when it takes PIPE_BUF, thus a line, whole. */
    if (!sinks.to_stderr || poll(&p, 1, STDERR_MS) != 1)
        return;
    n = g_snprintf(line, sizeof line - 1, "%s: %s: %s", sinks.program,
                   levels[level].name, message);
    n = MIN(n, (int) sizeof line - 2);
    line[n++] = '\n';
    write_line(STDERR_FILENO, line, (size_t) n);
}

void
qm__log(qm_log_level level, const char *format, ...)
{
    g_autofree char *message = NULL, *context = NULL;
    va_list args;
    int saved = errno;

    if (level > sinks.level || (unsigned) level >= G_N_ELEMENTS(levels))
        return;
    va_start(args, format);
    message = g_strdup_vprintf(format, args);
    va_end(args);
    one_line(message);
    g_mutex_lock(&sinks.lock);
    if (sinks.program == NULL)
        sinks.program = g_strdup("quickmig");
    context = context_text();
    to_stderr(level, message);
    to_syslog(level, context, message);
    to_file(level, context, message);
    g_mutex_unlock(&sinks.lock);
    errno = saved;
}
