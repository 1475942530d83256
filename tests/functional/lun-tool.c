/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * lun-tool URL NODE COMMAND…: one login to one LUN, and what is to be done
 * with it, step by step; scripts put several of them side by side.  NODE 0 is
 * a reader.  Ends with 1 at the first step that goes otherwise than expected.
 *
 *   login CODE               (first) the login fails, with this error
 *   info                     what the LUN is
 *   expect CODE              the next step fails, with this error ("lost")
 *   write BYTE OFFSET LENGTH, check BYTE OFFSET LENGTH, flush
 *   acquire, verify, release, reset, state
 *   register KEY, clear KEY  by hand
 *   foreign KEY TYPE         registers and reserves by hand
 *   preempt KEY              registers and preempts by hand, without barrier
 *   touch FILE, wait FILE    meet other processes
 *   exists FILE              by now
 *   drop                     ends at once, without logout
 *
 * LUN_TOOL_INITIATOR, LUN_TOOL_SECRET (a file), LUN_TOOL_LIMIT (ms a step),
 * LUN_TOOL_OWN (our own initiator instead of libiscsi).
 */
#include "config.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lun-internal.h"
#include "reservation.h"

typedef struct {
    qm_lun *lun;
    uint16_t node;
    uint64_t key;
    int64_t limit; /* µs a step */
    char **arg;    /* what is left of the command line */
} tool;

typedef bool (*step_fn)(tool *t, GError **error);

static const char *
next(tool *t)
{
    if (*t->arg == NULL) {
        fprintf(stderr, "lun-tool: an argument is missing\n");
        exit(2);
    }
    return *t->arg++;
}

static uint64_t
next_number(tool *t)
{
    return strtoull(next(t), NULL, 0);
}

static int64_t
limit(const tool *t)
{
    return qm__deadline_in(t->limit);
}

static bool
step_info(tool *t, GError **error)
{
    const qm_lun_info *i = qm__lun_info(t->lun);

    printf("block=%u size=%" PRIu64 " max=%u serial=%s fua=%d read-only=%d\n",
           i->block_size, i->size, i->max_transfer, i->serial, i->fua,
           i->read_only);
    return true;
}

static bool
step_write(tool *t, GError **error)
{
    int byte = next(t)[0];
    uint64_t offset = next_number(t);
    size_t length = next_number(t);
    g_autofree char *buf = g_malloc(length);

    memset(buf, byte, length);
    return qm__lun_write(t->lun, offset, buf, length, limit(t), error);
}

static bool
step_check(tool *t, GError **error)
{
    int byte = next(t)[0];
    uint64_t offset = next_number(t);
    size_t length = next_number(t);
    g_autofree char *buf = g_malloc0(length);

    if (!qm__lun_read(t->lun, offset, buf, length, limit(t), error))
        return false;
    for (size_t i = 0; i < length; i++)
        if (buf[i] != byte) {
            g_set_error(error, QM_ERROR, QM_ERROR_CORRUPT,
                        "byte %zu is %#x, not '%c'", i, buf[i] & 0xff, byte);
            return false;
        }
    return true;
}

static bool
step_flush(tool *t, GError **error)
{
    return qm__lun_flush(t->lun, limit(t), error);
}

static bool
yes(void *opaque, GError **error)
{
    return true;
}

static bool
step_acquire(tool *t, GError **error)
{
    int64_t began = qm__now();

    if (!qm__pr_acquire(t->lun, t->node, yes, NULL, limit(t), &t->key, error))
        return false;
    printf("key=%016" PRIx64 " us=%" PRId64 "\n", t->key, qm__now() - began);
    return true;
}

static bool
step_verify(tool *t, GError **error)
{
    return qm__pr_verify(t->lun, t->key, limit(t), error);
}

static bool
step_release(tool *t, GError **error)
{
    return qm__pr_release(t->lun, t->key, limit(t), error);
}

static bool
step_reset(tool *t, GError **error)
{
    return qm__lun_reset(t->lun, limit(t), error);
}

static bool
step_state(tool *t, GError **error)
{
    qm_pr_state s = {0};

    if (!qm__pr_read(t->lun, limit(t), &s, error))
        return false;
    printf("holder=%016" PRIx64 " type=%d keys=%u:", s.holder, s.type,
           s.keys->len);
    for (guint i = 0; i < s.keys->len; i++)
        printf(" %016" PRIx64, g_array_index(s.keys, uint64_t, i));
    printf("\n");
    qm__pr_state_clear(&s);
    return true;
}

static bool
pr_out(tool *t, uint8_t action, int type, uint64_t own, uint64_t other,
       GError **error)
{
    const qm_scsi_request request = {
        .cdb = {0x5f, action, (uint8_t) type, [8] = 24},
        .cdb_length = 10,
        .direction = SCSI_XFER_WRITE,
        .length = 24};
    uint8_t list[24] = {0};
    qm_scsi_status status;

    qm__put_be64(list, own);
    qm__put_be64(list + 8, other);
    return qm__scsi_execute(t->lun, "by hand", &request, list, limit(t),
                            &status, NULL, error) &&
           (status.result == QM_SCSI_GOOD ||
            qm__scsi_fail(t->lun, "by hand", &status, error));
}

static bool
step_register(tool *t, GError **error)
{
    return pr_out(t, 6, 0, 0, next_number(t), error);
}

static bool
step_clear(tool *t, GError **error)
{
    return pr_out(t, 3, 0, next_number(t), 0, error);
}

static bool
step_foreign(tool *t, GError **error)
{
    uint64_t key = next_number(t);
    int type = (int) next_number(t);

    return pr_out(t, 6, 0, 0, key, error) && pr_out(t, 1, type, key, 0, error);
}

static bool
step_preempt(tool *t, GError **error)
{
    uint64_t key = next_number(t);
    qm_pr_state s = {0};
    bool ok;

    if (!qm__pr_read(t->lun, limit(t), &s, error))
        return false;
    ok = pr_out(t, 6, 0, 0, key, error) &&
         pr_out(t, 4, s.type, key, s.holder, error);
    qm__pr_state_clear(&s);
    return ok;
}

static bool
step_touch(tool *t, GError **error)
{
    return g_file_set_contents(next(t), "", 0, error);
}

static bool
step_exists(tool *t, GError **error)
{
    const char *file = next(t);

    if (access(file, F_OK) == 0)
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_NOT_FOUND, "no %s yet", file);
    return false;
}

static bool
step_wait(tool *t, GError **error)
{
    const char *file = next(t);
    int64_t deadline = limit(t);

    while (access(file, F_OK) != 0) {
        if (qm__passed(deadline)) {
            g_set_error(error, QM_ERROR, QM_ERROR_TIMEOUT, "no %s", file);
            return false;
        }
        g_usleep(2000);
    }
    return true;
}

static bool
step_drop(tool *t, GError **error)
{
    qm__lun_drop(g_steal_pointer(&t->lun));
    return true;
}

static const struct {
    const char *name;
    step_fn run;
} steps[] = {
    {"info", step_info},       {"write", step_write},
    {"check", step_check},     {"flush", step_flush},
    {"acquire", step_acquire}, {"verify", step_verify},
    {"release", step_release}, {"reset", step_reset},
    {"state", step_state},     {"foreign", step_foreign},
    {"preempt", step_preempt}, {"register", step_register},
    {"clear", step_clear},     {"touch", step_touch},
    {"wait", step_wait},       {"drop", step_drop},
    {"exists", step_exists},
};

static step_fn
find_step(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(steps); i++)
        if (strcmp(steps[i].name, name) == 0)
            return steps[i].run;
    fprintf(stderr, "lun-tool: no step \"%s\"\n", name);
    exit(2);
}

/* Prints what happened; 0: as expected. */
static int
judge(const char *name, bool ok, const GError *error, const char *expected)
{
    const char *code =
        ok ? "ok"
           : (error->domain == QM_ERROR ? qm_error_name(error->code) : "io");

    printf("%s: %s%s%s\n", name, code, ok ? "" : " ", ok ? "" : error->message);
    fflush(stdout);
    return strcmp(code, expected != NULL ? expected : "ok") == 0 ? 0 : 1;
}

static bool
log_in(tool *t, const char *text, GError **error)
{
    g_autoptr(qm_url) url = NULL;
    g_autofree char *secret = NULL;
    const char *file = getenv("LUN_TOOL_SECRET");
    const char *initiator = getenv("LUN_TOOL_INITIATOR");
    qm_lun_params params = {0};

    if (!qm_url_parse(text, &url, error) ||
        (file != NULL && !g_file_get_contents(file, &secret, NULL, error)))
        return false;
    params.url = url;
    params.initiator =
        initiator != NULL ? initiator : "iqn.2026-01.org.example:tool";
    params.chap_secret = secret != NULL ? g_strchomp(secret) : NULL;
    params.nexus = t->node != 0 ? QM_NEXUS_WRITER : QM_NEXUS_READER;
    params.node_id = t->node;
    params.own_session = getenv("LUN_TOOL_OWN") != NULL;
    return qm__lun_open(&params, limit(t), &t->lun, error);
}

int
main(int argc, char **argv)
{
    const char *ms = getenv("LUN_TOOL_LIMIT");
    tool t = {.limit = (ms != NULL ? atoi(ms) : 10000) * QM_MS};
    const char *expected = NULL;
    g_autoptr(GError) why = NULL;
    bool ok;
    int code;

    if (argc < 3) {
        fprintf(stderr, "usage: lun-tool URL NODE COMMAND…\n");
        return 2;
    }
    t.node = (uint16_t) atoi(argv[2]);
    t.arg = argv + 3;
    if (t.arg[0] != NULL && strcmp(t.arg[0], "login") == 0) {
        t.arg++;
        expected = next(&t);
    }
    ok = log_in(&t, argv[1], &why);
    code = judge("login", ok, why, expected);
    while (code == 0 && t.lun != NULL && *t.arg != NULL) {
        g_autoptr(GError) error = NULL;
        const char *name = next(&t);

        expected = NULL;
        if (strcmp(name, "expect") == 0) {
            expected = next(&t);
            name = next(&t);
        }
        ok = find_step(name)(&t, &error);
        code = judge(name, ok, error, expected);
    }
    qm__lun_close(t.lun);
    return code;
}
