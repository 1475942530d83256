/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef GATE_CONTROL_H
#define GATE_CONTROL_H

/*
 * The control socket: root asks, the gate answers; one JSON object a line.
 * gate-client.h documents requests and replies.
 */
#include "gate.h"

typedef struct control control;

/* Takes the listening socket @fd, and the gate's news. */
control *control_new(gate *g, int fd);
void control_free(control *c);

#endif
