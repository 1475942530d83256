/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_HARDEN_H
#define QM_HARDEN_H

/* For programs that come to hold secrets, first thing in main(): no core dump
 * of this process, and nobody but root looks into it. */
void qm__no_dumps(void);

#endif
