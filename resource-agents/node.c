/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * ocf:quickmig:Node: quickmigd on every node, as a clone.  Nothing depends on
 * it: a node without it moves VMs more slowly.
 *
 * The daemon holds a lock while it lives, and its file says which process it
 * is: so whether it runs needs no file that could outlive it.
 */
#include "config.h"
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <quickmig/error.h>
#include "log.h"
#include "runtime.h"
#include "spawn.h"
#include "timeouts.h"

#define DAEMON     QM_SBINDIR "/quickmigd"
#define LOOK_MS    50
#define START_TIME (15 * QM_S)
#define STOP_TIME  (10 * QM_S)

/* OCF 1.1, "Return codes". */
enum {
    OCF_SUCCESS = 0,
    OCF_ERR_GENERIC = 1,
    OCF_ERR_ARGS = 2,
    OCF_ERR_UNIMPLEMENTED = 3,
    OCF_ERR_INSTALLED = 5,
    OCF_ERR_CONFIGURED = 6,
    OCF_NOT_RUNNING = 7
};

static const char metadata[] =
    "<?xml version=\"1.0\"?>\n"
    "<resource-agent name=\"Node\" version=\"" PACKAGE_VERSION "\">\n"
    "  <version>1.1</version>\n"
    "  <longdesc lang=\"en\">\n"
    "quickmig's node daemon, quickmigd. With it a planned move restores the VM "
    "on its target while it is still being saved, can copy the memory ahead, "
    "and a VM that dies is reported at once instead of at the next monitor. "
    "Run it as a clone on every node. Without it everything works, slower.\n"
    "  </longdesc>\n"
    "  <shortdesc lang=\"en\">quickmig's node daemon</shortdesc>\n"
    "  <parameters>\n"
    "    <parameter name=\"policy\" required=\"0\">\n"
    "      <longdesc lang=\"en\">\n"
    "How nodes are rated for a VM: balance prefers those with most left, "
    "consolidate those that it fills up well.\n"
    "      </longdesc>\n"
    "      <shortdesc lang=\"en\">How nodes are rated</shortdesc>\n"
    "      <content type=\"string\" default=\"balance\"/>\n"
    "    </parameter>\n"
    "    <parameter name=\"weights\" required=\"0\">\n"
    "      <longdesc lang=\"en\">\n"
    "What counts in a rating, and how much: 0 to 100 for each of cpu, memory, "
    "disk and network.\n"
    "      </longdesc>\n"
    "      <shortdesc lang=\"en\">Weights of a rating</shortdesc>\n"
    "      <content type=\"string\" default=\"cpu=2 memory=3 disk=1 "
    "network=1\"/>\n"
    "    </parameter>\n"
    "    <parameter name=\"metrics\" required=\"0\">\n"
    "      <longdesc lang=\"en\">\n"
    "A file that quickmigd writes every 30 seconds, for node_exporter's "
    "textfile collector (OpenMetrics): states, moves, pauses, bytes, failures, "
    "requests of gates. Its directory must be there. Empty: none is written.\n"
    "      </longdesc>\n"
    "      <shortdesc lang=\"en\">Metrics file</shortdesc>\n"
    "      <content type=\"string\" default=\"\"/>\n"
    "    </parameter>\n"
    "  </parameters>\n"
    "  <actions>\n"
    "    <action name=\"start\" timeout=\"20s\"/>\n"
    "    <action name=\"stop\" timeout=\"20s\"/>\n"
    "    <action name=\"monitor\" timeout=\"20s\" interval=\"15s\" "
    "depth=\"0\"/>\n"
    "    <action name=\"validate-all\" timeout=\"5s\"/>\n"
    "    <action name=\"meta-data\" timeout=\"5s\"/>\n"
    "  </actions>\n"
    "</resource-agent>\n";

static int
failed(const GError *error)
{
    qm__error("%s", error->message);
    (void) fprintf(stderr, "ocf-exit-reason:%s\n", error->message);
    return OCF_ERR_GENERIC;
}

/* @ret_pid: 0: it does not run.  -1: it does, and does not say who it is. */
static bool
look(pid_t *ret_pid, GError **error)
{
    g_autofree char *path = g_build_filename(qm__run_dir(), "node.lock", NULL);
    g_autoptr(qm_lock) lock = NULL;
    g_autoptr(GError) why = NULL;
    g_autofree char *text = NULL;
    const char *at;

    *ret_pid = 0;
    if (!g_file_test(path, G_FILE_TEST_EXISTS))
        return true;
    if (qm__lock_take(path, "this node", 0, &lock, &why))
        return true;
    if (!g_error_matches(why, QM_ERROR, QM_ERROR_BUSY)) {
        g_propagate_error(error, g_steal_pointer(&why));
        return false;
    }
    *ret_pid = -1;
    if (g_file_get_contents(path, &text, NULL, NULL) &&
        (at = strstr(text, "pid ")) != NULL)
        *ret_pid = (pid_t) g_ascii_strtoll(at + strlen("pid "), NULL, 10);
    return true;
}

static int
monitor(void)
{
    g_autoptr(GError) error = NULL;
    pid_t pid;

    if (!look(&pid, &error))
        return failed(error);
    return pid != 0 ? OCF_SUCCESS : OCF_NOT_RUNNING;
}

static int
start(void)
{
    static const char *const argv[] = {DAEMON, NULL};
    int64_t until = qm__deadline_in(START_TIME);
    g_autofree char *err = NULL;
    g_autoptr(GError) error = NULL;
    int code = monitor();

    if (code != OCF_NOT_RUNNING)
        return code;
    if (!qm__spawn(argv, until, &code, NULL, &err, &error))
        return g_error_matches(error, QM_ERROR, QM_ERROR_NOT_FOUND)
                   ? (failed(error), OCF_ERR_INSTALLED)
                   : failed(error);
    while ((code = monitor()) == OCF_NOT_RUNNING && !qm__passed(until))
        (void) poll(NULL, 0, LOOK_MS);
    if (code == OCF_NOT_RUNNING) {
        g_set_error(
            &error, QM_ERROR, QM_ERROR_TIMEOUT, DAEMON " does not start: %s",
            err != NULL && *err != '\0' ? g_strstrip(err) : "see its log");
        return failed(error);
    }
    return code;
}

/* Asks it to end, then makes it; moves under way go on in their workers. */
static bool
end(pid_t pid, GError **error)
{
    int fd = (int) syscall(SYS_pidfd_open, pid, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    pid_t again = 0;

    if (fd < 0)
        return true; /* gone */
    /* The same process still? */
    if (!look(&again, error)) {
        (void) close(fd);
        return false;
    }
    if (again == pid) {
        (void) syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0);
        if (poll(&p, 1, STOP_TIME / QM_MS / 2) == 0) {
            (void) syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
            (void) poll(&p, 1, STOP_TIME / QM_MS / 2);
        }
    }
    (void) close(fd);
    return true;
}

static int
stop(void)
{
    g_autoptr(GError) error = NULL;
    pid_t pid;

    if (!look(&pid, &error))
        return failed(error);
    if (pid == 0)
        return OCF_SUCCESS;
    if (pid > 0 && !end(pid, &error))
        return failed(error);
    if (!look(&pid, &error))
        return failed(error);
    if (pid == 0)
        return OCF_SUCCESS;
    g_set_error(&error, QM_ERROR, QM_ERROR_TIMEOUT, "quickmigd does not end");
    return failed(error);
}

static int
print_metadata(void)
{
    return fputs(metadata, stdout) >= 0 && fflush(stdout) == 0
               ? OCF_SUCCESS
               : OCF_ERR_GENERIC;
}

static int
validate(void)
{
    const char *metrics = g_getenv("OCF_RESKEY_metrics");
    g_autofree char *dir = metrics != NULL ? g_path_get_dirname(metrics) : NULL;

    if (metrics != NULL && metrics[0] != '\0' &&
        (!g_path_is_absolute(metrics) ||
         !g_file_test(dir, G_FILE_TEST_IS_DIR))) {
        (void) fprintf(stderr,
                       "ocf-exit-reason:parameter metrics=\"%s\": expected an "
                       "absolute path in a directory that is there\n",
                       metrics);
        return OCF_ERR_CONFIGURED;
    }
    return access(DAEMON, X_OK) == 0 ? OCF_SUCCESS : OCF_ERR_INSTALLED;
}

static const struct {
    const char *name;
    int (*run)(void);
} actions[] = {
    {"start", start},           {"stop", stop},
    {"monitor", monitor},       {"meta-data", print_metadata},
    {"validate-all", validate},
};

int
main(int argc, char **argv)
{
    (void) signal(SIGPIPE, SIG_IGN);
    if (argc != 2) {
        (void) fprintf(stderr, "usage: %s ACTION (see meta-data)\n", argv[0]);
        return OCF_ERR_ARGS;
    }
    qm__log_init("Node", TRUE);
    for (size_t i = 0; i < G_N_ELEMENTS(actions); i++)
        if (strcmp(actions[i].name, argv[1]) == 0)
            return actions[i].run();
    qm__error("unknown action \"%s\"", argv[1]);
    return OCF_ERR_UNIMPLEMENTED;
}
