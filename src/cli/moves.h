/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_CLI_MOVES_H
#define QM_CLI_MOVES_H

/*
 * The moves under way in the cluster, as both sides of each tell them.
 */
#include <json-glib/json-glib.h>
#include "peer.h"

/* One move: what its two sides told last. */
typedef struct {
    qm_job source, target;
    bool has_source, has_target;
} cli_move;

/* GArray of cli_move. */
GArray *cli_moves_new(void);
/* Takes what has come; waits for it until @deadline at most, or until
 * @enough(@opaque) (NULL: never).  IO: corosync is gone. */
bool cli_moves_hear(GArray *moves, qm_peer *peer, int64_t deadline,
                    bool (*enough)(const GArray *moves, void *opaque),
                    void *opaque, GError **error);
/* The move of the VM or resource with this name, or NULL. */
cli_move *cli_moves_find(const GArray *moves, const char *name);

/* The side that tells more at this moment. */
const qm_job *cli_move_lead(const cli_move *m);
/* Neither side goes on. */
bool cli_move_ended(const cli_move *m);
/* "[#####.....] 45 %", without a terminal's codes. */
char *cli_move_bar(const cli_move *m);
/* One line about where it stands. */
char *cli_move_line(const cli_move *m);
void cli_move_json(JsonBuilder *b, const cli_move *m);

#endif
