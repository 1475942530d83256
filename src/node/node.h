/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_NODE_H
#define QM_NODE_H

/*
 * quickmigd: one per node.  What it does makes moves faster and failures known
 * sooner; with it stopped, or killed at any time, everything works, slower.
 */
#include "peer.h"

/* --- worker.c: a process of its own for one side of one move --- */

/* What `quickmigd --receive` and `quickmigd --send` do: one message on
 * standard input, exit code 0: the move came to its end. */
int qm__worker_main(bool send);

/* For crm_mon; @target NULL: it is over. */
void qm__node_show_moving(const char *resource, const char *target);

/* --- publish.c --- */

/* In the background, once a start: what this host is. */
void qm__publish_host(const char *node);

/* --- survey.c: a process, too --- */

/* What `quickmigd --survey` does; see there. */
int qm__survey_main(void);

/* --- moves.c: starts workers, in the daemon --- */

typedef struct qm_moves qm_moves;

qm_moves *qm__moves_new(uint32_t self);
void qm__moves_free(qm_moves *moves); /* workers go on */
/* A message has come: an offer or a pre-copy for this node starts a worker.
 * Each VM has one worker at most; a newer image replaces an older one. */
void qm__moves_handle(qm_moves *moves, const qm_message *message);

#endif
