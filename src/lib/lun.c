/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * One login to one LUN: one I_T nexus, whose loss is final.  libiscsi would
 * come back by itself, on a new nexus, and repeat writes that another node
 * may have overtaken since; so it must not, and a writer's nexus exists only
 * once a node and LUN: a lock file sees to that for as long as it is open.
 */
#include "config.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include "lun-internal.h"

#define INITIATOR_FILE QM_SYSCONFDIR "/iscsi/initiatorname.iscsi"
#define LOGOUT_LIMIT   QM_S

/* libiscsi writes to its socket without MSG_NOSIGNAL.  As in GLib's sockets:
 * whoever handles the signal keeps it. */
static void
ignore_sigpipe(void)
{
    struct sigaction now;

    if (sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_DFL)
        (void) signal(SIGPIPE, SIG_IGN); /* a valid signal: cannot fail */
}

bool
qm__initiator_name(char **ret_name, GError **error)
{
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    g_autoptr(GError) why = NULL;

    if (!g_file_get_contents(INITIATOR_FILE, &text, NULL, &why)) {
        g_set_error(error, QM_ERROR, QM_ERROR_NOT_FOUND,
                    "this host's iSCSI initiator name: %s; write "
                    "InitiatorName=iqn.… there",
                    why->message);
        return false;
    }
    lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line != NULL; line++) {
        const char *name = g_strstrip(*line) + strlen("InitiatorName=");

        if (g_str_has_prefix(*line, "InitiatorName=") && *name != '\0') {
            *ret_name = g_strdup(name);
            return true;
        }
    }
    g_set_error(error, QM_ERROR, QM_ERROR_NOT_FOUND,
                "%s has no line InitiatorName=iqn.…", INITIATOR_FILE);
    return false;
}

/* --- opening ------------------------------------------------------------- */

static bool
take_lock(qm_lun *lun, const qm_lun_params *params, int64_t deadline,
          GError **error)
{
    g_autofree char *id =
        g_strdup_printf("%s %d", params->url->iqn, params->url->lun);
    g_autofree char *hash =
        g_compute_checksum_for_string(G_CHECKSUM_SHA1, id, -1);
    g_autofree char *path =
        g_strdup_printf("%s/lun/%s.lock", qm__run_dir(), hash);

    return qm__runtime_prepare(NULL, error) &&
           qm__lock_take(path, lun->name, deadline, &lun->lock, error);
}

static bool
log_in(qm_lun *lun, const qm_lun_params *params, int64_t deadline,
       GError **error)
{
    g_autofree char *initiator = g_strdup(params->initiator);

    if (initiator == NULL && !qm__initiator_name(&initiator, error))
        return false;
    return qm__lun_login(params, initiator, deadline, &lun->link, error);
}

bool
qm__lun_open(const qm_lun_params *params, int64_t deadline, qm_lun **ret_lun,
             GError **error)
{
    g_autoptr(qm_lun) lun = g_new0(qm_lun, 1);

    g_queue_init(&lun->commands);
    lun->lost = true; /* until there is a session */
    lun->nexus = params->nexus;
    lun->name = g_strdup_printf("LUN %d of %s at %s", params->url->lun,
                                params->url->iqn, params->url->portal);
    ignore_sigpipe();
    if ((lun->nexus == QM_NEXUS_WRITER &&
         !take_lock(lun, params, deadline, error)) ||
        !log_in(lun, params, deadline, error))
        return false;
    lun->lost = false;
    lun->info.max_burst = lun->link->max_burst;
    if (!qm__lun_probe(lun, deadline, error))
        return false;
    *ret_lun = g_steal_pointer(&lun);
    return true;
}

const qm_lun_info *
qm__lun_info(const qm_lun *lun)
{
    return &lun->info;
}

/* --- closing ------------------------------------------------------------- */

static void
on_logout(void *opaque, bool ok, int response)
{
    *(bool *) opaque = true;
}

/* Commands that nobody waits for any more are ended first. */
static void
log_out(qm_lun *lun)
{
    int64_t deadline = qm__deadline_in(LOGOUT_LIMIT);
    bool done = false;

    if (!lun->link->ops->log_out(lun->link, on_logout, &done))
        return;
    while (!done && !lun->lost)
        qm__lun_turn(lun, deadline);
}

void
qm__lun_close(qm_lun *lun)
{
    if (lun != NULL && !lun->lost && lun->commands.length == 0)
        log_out(lun);
    qm__lun_drop(lun);
}

void
qm__lun_drop(qm_lun *lun)
{
    if (lun == NULL)
        return;
    qm__lun_fail(lun);
    qm__lock_release(lun->lock);
    g_free(lun->why);
    g_free(lun->name);
    g_free(lun);
}
