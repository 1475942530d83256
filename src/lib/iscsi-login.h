/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_ISCSI_LOGIN_H
#define QM_ISCSI_LOGIN_H

/*
 * A login of our own over a connection that is there: sends, waits, answers,
 * until the session is in its full feature phase.
 */
#include "iscsi-text.h"

typedef struct {
    qm_login_terms terms;
    uint32_t cmd_sn;      /* of our first command */
    uint32_t max_cmd_sn;  /* last one that the target takes for now */
    uint32_t exp_stat_sn; /* next status that we expect */
} qm_login_session;

/* What the target said when it refused. */
typedef struct {
    int status;     /* class << 8 | detail; 0: nothing was said */
    char *redirect; /* NULL: it does not want us elsewhere */
} qm_login_refusal;

/* @fd: connected, non-blocking.  On failure @ret_refusal is set; its redirect
 * is to be freed.  TIMEOUT, IO, INVALID, UNSUPPORTED, AUTH. */
bool qm__iscsi_login(int fd, const qm_login_identity *identity,
                     int64_t deadline, qm_login_session *ret_session,
                     qm_login_refusal *ret_refusal, GError **error);
/* Connects to "address:port" or "[address]:port", all of it numbers. */
bool qm__iscsi_connect(const char *portal, int64_t deadline, int *ret_fd,
                       GError **error);

#endif
