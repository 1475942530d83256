/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef GATE_SANDBOX_H
#define GATE_SANDBOX_H

/*
 * What a gate gives up once it serves: it reads what a guest's QEMU and a
 * target on the network send.
 */
#include <stdbool.h>
#include <quickmig/error.h>

/* For all threads, for good.  Failed: part of it may be done, and the gate can
 * serve nevertheless. */
bool gate_sandbox_enter(GError **error);

#endif
