/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Pacemaker's fencing history.  Its full form is asked for, not
 * stonith_api_time(): that one says "never" also when it could not ask, and
 * counts unfencing ("on", done when a node joins) as fencing.
 */
#include "config.h"
#include <crm/crm.h>
#include <crm/stonith-ng.h>
#include "bounded.h"
#include "cluster-internal.h"
#include "timeouts.h"

#define FENCER_LIMIT_S 20 /* the deadline proper is the bounded call's */

typedef struct {
    char *name; /* node */
    int64_t fenced_us;
    bool fencing;
} history;

static void
history_clear(void *data)
{
    g_free(((history *) data)->name);
}

static bool
ends_a_node(const stonith_history_t *entry)
{
    return g_strcmp0(entry->action, "off") == 0 ||
           g_strcmp0(entry->action, "reboot") == 0;
}

static void
summarize(history *h, const stonith_history_t *entry)
{
    for (; entry != NULL; entry = entry->next) {
        int64_t end = entry->completed * QM_S + entry->completed_nsec / 1000;

        if (!ends_a_node(entry) || g_strcmp0(entry->target, h->name) != 0)
            continue;
        if (entry->state == st_done)
            h->fenced_us = MAX(h->fenced_us, end);
        else if (entry->state != st_failed)
            h->fencing = true;
    }
}

static bool
load_history(void *box, GError **error)
{
    history *h = box;
    stonith_t *fencer = stonith_api_new();
    stonith_history_t *entries = NULL;
    const char *what = "connect to the fencer";
    int fd, rc = fencer->cmds->connect(fencer, "quickmig", &fd);

    if (rc == pcmk_ok) {
        what = "read the fencing history";
        rc = fencer->cmds->history(fencer, st_opt_sync_call, h->name, &entries,
                                   FENCER_LIMIT_S);
        (void) fencer->cmds->disconnect(fencer); /* freed next */
    }
    stonith_api_delete(fencer);
    if (rc != pcmk_ok) {
        g_set_error(error, QM_ERROR, QM_ERROR_IO,
                    "cannot %s of Pacemaker: %s; is Pacemaker running on this "
                    "node?",
                    what, pcmk_strerror(rc));
        return false;
    }
    summarize(h, entries);
    stonith_history_free(entries);
    return true;
}

bool
qm__fencing_history(const char *name, int64_t deadline, int64_t *ret_fenced_us,
                    bool *ret_fencing, GError **error)
{
    history *h = g_atomic_rc_box_new0(history);
    bool ok;

    h->name = g_strdup(name);
    ok = qm__bounded("reading Pacemaker's fencing history", load_history, h,
                     history_clear, deadline, error);
    if (ok) {
        *ret_fenced_us = h->fenced_us;
        *ret_fencing = h->fencing;
    }
    g_atomic_rc_box_release_full(h, history_clear);
    return ok;
}
