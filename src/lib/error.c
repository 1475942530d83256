/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#include "config.h"
#include <quickmig/error.h>

/* clang-format off */
G_DEFINE_QUARK(qm-error-quark, qm_error)
/* clang-format on */

static const char *const names[] = {
    [QM_ERROR_INVALID] = "invalid",
    [QM_ERROR_NOT_FOUND] = "not-found",
    [QM_ERROR_IO] = "io",
    [QM_ERROR_TIMEOUT] = "timeout",
    [QM_ERROR_LOST] = "lost",
    [QM_ERROR_CONFLICT] = "conflict",
    [QM_ERROR_REFUSED] = "refused",
    [QM_ERROR_CORRUPT] = "corrupt",
    [QM_ERROR_UNFORMATTED] = "unformatted",
    [QM_ERROR_FORMAT] = "format",
    [QM_ERROR_MISMATCH] = "mismatch",
    [QM_ERROR_NO_SPACE] = "no-space",
    [QM_ERROR_READ_ONLY] = "read-only",
    [QM_ERROR_AUTH] = "auth",
    [QM_ERROR_UNSUPPORTED] = "unsupported",
    [QM_ERROR_FOREIGN] = "foreign",
    [QM_ERROR_BUSY] = "busy",
    [QM_ERROR_CANCELLED] = "cancelled",
    [QM_ERROR_INTERNAL] = "internal",
    [QM_ERROR_KEY] = "key",
};

const char *
qm_error_name(int code)
{
    if (code < 0 || code >= (int) G_N_ELEMENTS(names))
        return "unknown";
    return names[code];
}
