/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_VIRT_OPEN_H
#define QM_VIRT_OPEN_H

/*
 * A connection to libvirt for one question, on a thread that may hang
 * (bounded.h).
 */
#include <stdbool.h>
#include <libvirt/libvirt.h>
#include <quickmig/error.h>

/* @uri NULL: this host's.  libvirt prints nothing from then on.  IO. */
virConnectPtr qm__virt_open(const char *uri, GError **error);
/* IO, with libvirt's last words about @what ("connecting"); false. */
bool qm__virt_failed(const char *what, GError **error);

#endif
