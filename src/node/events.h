/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_NODE_EVENTS_H
#define QM_NODE_EVENTS_H

/*
 * Hears libvirt: a VM of ours that ended without being asked to is reported to
 * Pacemaker at once.  On threads of its own: libvirt may hang.
 */

typedef struct qm_events qm_events;

/* @node: this node's name in the cluster. */
qm_events *qm__events_new(const char *node);
/* Ends listening; a thread that hangs in libvirt is left behind. */
void qm__events_free(qm_events *events);

#endif
