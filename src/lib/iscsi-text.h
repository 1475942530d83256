/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_ISCSI_TEXT_H
#define QM_ISCSI_TEXT_H

/*
 * What is said at a login, without any I/O: texts in, texts out.
 */
#include <quickmig/error.h>
#include "iscsi-pdu.h"

#define QM_DATA_MAX (256 * 1024u) /* bytes of a PDU's data that we take */

/* Who logs in, and where to. */
typedef struct {
    const char *initiator; /* IQN */
    const char *target;    /* IQN */
    const char *user;      /* CHAP; NULL: without */
    const char *secret;
    uint8_t isid[QM_ISID];
} qm_login_identity;

/* What was agreed on.  Lengths in bytes. */
typedef struct {
    uint32_t send_max;    /* data of one PDU to the target */
    uint32_t first_burst; /* data that may go with the command */
    uint32_t max_burst;   /* data that one R2T may ask for */
    bool immediate;       /* data may go with the command */
} qm_login_terms;

typedef enum {
    QM_LOGIN_BEGIN,
    QM_LOGIN_METHOD,    /* offered: CHAP or nothing */
    QM_LOGIN_ALGORITHM, /* offered: MD5 */
    QM_LOGIN_ANSWERED,  /* the challenge */
    QM_LOGIN_TERMS,     /* offered */
    QM_LOGIN_DONE
} qm_login_step;

typedef struct {
    const qm_login_identity *identity;
    qm_login_step step;
    qm_login_terms terms;
} qm_login_talk;

void
qm__login_talk_init(qm_login_talk *talk, const qm_login_identity *identity);
/* What comes next.  @text: the target's whole answer, pairs that end with a
 * zero each; nothing at first.  @transit: it goes on to the next stage.
 * @out: empty; gets our next text, of the stage that @ret_flags (byte 1) says.
 * The talk is over when step is DONE.  AUTH, UNSUPPORTED, INVALID (nonsense).
 */
bool qm__login_talk_next(qm_login_talk *talk, const char *text, size_t length,
                         bool transit, GByteArray *out, uint8_t *ret_flags,
                         GError **error);
/* The value of @key; NULL: not there.  @text may be anything. */
const char *qm__text_value(const char *text, size_t length, const char *key);

#endif
