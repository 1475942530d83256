/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Login PDUs there and back, one at a time.  Reads exactly what belongs to
 * the login and nothing behind it, so that whoever takes the connection over
 * starts at a PDU.
 */
#include "config.h"
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "iscsi-login.h"
#include "timeouts.h"

#define ROUNDS_MAX 32    /* PDUs of a target that never comes to an end */
#define TEXT_MAX   65536 /* bytes of one answer, all its PDUs together */
#define PDU_MAX    8192  /* bytes of data in a login PDU (RFC 7143) */
#define FIRST_SN   1
#define TAG        1
#define REDIRECT   1 /* status class */

/* --- bytes --------------------------------------------------------------- */

static bool
fail(GError **error, int code, const char *why)
{
    g_set_error(error, QM_ERROR, code, "%s", why);
    return false;
}

static bool
wait_for(int fd, short events, int64_t deadline, GError **error)
{
    for (;;) {
        struct pollfd p = {.fd = fd, .events = events};
        int n = poll(&p, 1, qm__remaining_ms(deadline));

        if (n > 0)
            return true;
        if (n < 0 && errno != EINTR)
            return fail(error, QM_ERROR_IO, g_strerror(errno));
        if (qm__passed(deadline))
            return fail(error, QM_ERROR_TIMEOUT, "no answer in time");
    }
}

static bool
send_all(int fd, const uint8_t *p, size_t length, int64_t deadline,
         GError **error)
{
    while (length > 0) {
        ssize_t n = send(fd, p, length, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return fail(error, QM_ERROR_IO, g_strerror(errno));
        if (n > 0) {
            p += n;
            length -= (size_t) n;
        } else if (!wait_for(fd, POLLOUT, deadline, error)) {
            return false;
        }
    }
    return true;
}

static bool
receive_all(int fd, uint8_t *p, size_t length, int64_t deadline, GError **error)
{
    while (length > 0) {
        ssize_t n = recv(fd, p, length, MSG_DONTWAIT);

        if (n == 0)
            return fail(error, QM_ERROR_IO, "it closed the connection");
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return fail(error, QM_ERROR_IO, g_strerror(errno));
        if (n > 0) {
            p += n;
            length -= (size_t) n;
        } else if (!wait_for(fd, POLLIN, deadline, error)) {
            return false;
        }
    }
    return true;
}

/* --- PDUs ---------------------------------------------------------------- */

static bool
send_pdu(int fd, const qm_login_identity *identity, uint8_t flags,
         uint32_t exp_stat_sn, const GByteArray *text, int64_t deadline,
         GError **error)
{
    size_t padded = text->len + qm__pdu_pad(text->len);
    g_autofree uint8_t *pdu = g_malloc0(QM_BHS + padded);
    bool ok;

    pdu[0] = QM_OP_LOGIN | QM_OP_IMMEDIATE;
    pdu[QM_AT_FLAGS] = flags;
    qm__put_be24(pdu + QM_AT_LENGTH, text->len);
    memcpy(pdu + QM_AT_ISID, identity->isid, QM_ISID);
    qm__set_be32(pdu + QM_AT_TAG, TAG);
    qm__set_be32(pdu + QM_AT_CMD_SN, FIRST_SN);
    qm__set_be32(pdu + QM_AT_EXP_STAT_SN, exp_stat_sn);
    if (text->len > 0)
        memcpy(pdu + QM_BHS, text->data, text->len);
    ok = send_all(fd, pdu, QM_BHS + padded, deadline, error);
    explicit_bzero(pdu, QM_BHS + padded);
    return ok;
}

/* @bhs: filled; the text is added to @text. */
static bool
receive_pdu(int fd, uint8_t *bhs, GByteArray *text, int64_t deadline,
            GError **error)
{
    uint32_t length, padded;
    guint at = text->len;

    if (!receive_all(fd, bhs, QM_BHS, deadline, error))
        return false;
    length = qm__get_be24(bhs + QM_AT_LENGTH);
    padded = length + qm__pdu_pad(length);
    if ((bhs[0] & QM_OP_MASK) != QM_OP_LOGIN_RESPONSE || bhs[QM_AT_AHS] != 0 ||
        length > PDU_MAX || at + length > TEXT_MAX ||
        qm__get_be32(bhs + QM_AT_TAG) != TAG)
        return fail(error, QM_ERROR_INVALID,
                    "what it answers is no answer to a login");
    if (length == 0)
        return true;
    g_byte_array_set_size(text, at + padded);
    if (!receive_all(fd, text->data + at, padded, deadline, error))
        return false;
    g_byte_array_set_size(text, at + length);
    return true;
}

static bool
refused(const uint8_t *bhs, const GByteArray *text, qm_login_refusal *refusal,
        GError **error)
{
    const char *to =
        qm__text_value((const char *) text->data, text->len, "TargetAddress");

    refusal->status = bhs[QM_AT_LOGIN_CLASS] << 8 | bhs[QM_AT_LOGIN_DETAIL];
    if (bhs[QM_AT_LOGIN_CLASS] == REDIRECT)
        refusal->redirect = g_strdup(to);
    g_set_error(error, QM_ERROR, QM_ERROR_IO, "status %04x", refusal->status);
    return false;
}

typedef struct {
    int fd;
    const qm_login_identity *identity;
    int64_t deadline;
    qm_login_session session;
    qm_login_refusal refusal;
    uint8_t bhs[QM_BHS]; /* last answer */
    GByteArray *text;    /* its text */
} dialogue;

/* One text out, one whole text back.  A long one comes in several PDUs, each
 * to be asked for. */
static bool
exchange(dialogue *d, uint8_t flags, const GByteArray *out, GError **error)
{
    static const GByteArray nothing = {NULL, 0};
    uint8_t stay = flags & (uint8_t) ~(QM_LOGIN_TRANSIT | 3);
    const uint8_t *bhs = d->bhs;

    g_byte_array_set_size(d->text, 0);
    for (int i = 0; i < ROUNDS_MAX; i++) {
        if (!send_pdu(d->fd, d->identity, i == 0 ? flags : stay,
                      d->session.exp_stat_sn, i == 0 ? out : &nothing,
                      d->deadline, error) ||
            !receive_pdu(d->fd, d->bhs, d->text, d->deadline, error))
            return false;
        if (bhs[QM_AT_LOGIN_CLASS] != 0)
            return refused(bhs, d->text, &d->refusal, error);
        d->session.exp_stat_sn = qm__get_be32(bhs + QM_AT_STAT_SN) + 1;
        d->session.max_cmd_sn = qm__get_be32(bhs + QM_AT_MAX_CMD_SN);
        if (!(bhs[QM_AT_FLAGS] & QM_LOGIN_CONTINUE))
            break;
    }
    if (d->text->len > 0 && d->text->data[d->text->len - 1] != '\0')
        g_byte_array_append(d->text, (const uint8_t *) "", 1);
    return true;
}

/* A transit that we did not ask for, or to elsewhere, would leave both sides
 * in different stages. */
static bool
is_transit(const dialogue *d, uint8_t asked, bool *ret_transit, GError **error)
{
    uint8_t is = d->bhs[QM_AT_FLAGS];

    *ret_transit = (is & QM_LOGIN_TRANSIT) != 0;
    if (!*ret_transit ||
        ((asked & QM_LOGIN_TRANSIT) != 0 && (is & 3) == (asked & 3)))
        return true;
    return fail(error, QM_ERROR_INVALID, "it skips a stage of the login");
}

static bool
talk(dialogue *d, GError **error)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    qm_login_talk t;
    bool transit = false;

    qm__login_talk_init(&t, d->identity);
    for (int i = 0; i < ROUNDS_MAX; i++) {
        uint8_t flags = 0;

        g_byte_array_set_size(out, 0);
        if (!qm__login_talk_next(&t, (const char *) d->text->data, d->text->len,
                                 transit, out, &flags, error))
            return false;
        if (t.step == QM_LOGIN_DONE) {
            d->session.terms = t.terms;
            d->session.cmd_sn = FIRST_SN;
            return true;
        }
        if (!exchange(d, flags, out, error) ||
            !is_transit(d, flags, &transit, error))
            return false;
    }
    return fail(error, QM_ERROR_INVALID, "the login does not come to an end");
}

bool
qm__iscsi_login(int fd, const qm_login_identity *identity, int64_t deadline,
                qm_login_session *ret_session, qm_login_refusal *ret_refusal,
                GError **error)
{
    dialogue d = {.fd = fd, .identity = identity, .deadline = deadline};
    bool ok;

    d.text = g_byte_array_new();
    ok = talk(&d, error);
    g_byte_array_free(d.text, TRUE);
    if (ok)
        *ret_session = d.session;
    else
        *ret_refusal = d.refusal;
    return ok;
}

/* --- connecting ---------------------------------------------------------- */

static bool
finish_connect(int fd, int64_t deadline, GError **error)
{
    int code = 0;
    socklen_t length = sizeof code;

    if (!wait_for(fd, POLLOUT, deadline, error))
        return false;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &length) < 0)
        code = errno;
    return code == 0 || fail(error, QM_ERROR_IO, g_strerror(code));
}

static bool
connect_to(const struct addrinfo *ai, int64_t deadline, int *ret_fd,
           GError **error)
{
    int on = 1;
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    IPPROTO_TCP);

    if (fd < 0)
        return fail(error, QM_ERROR_IO, g_strerror(errno));
    /* Only a faster way: failure is fine. */
    (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, ai->ai_addr, ai->ai_addrlen) == 0 ||
        (errno == EINPROGRESS ? finish_connect(fd, deadline, error)
                              : fail(error, QM_ERROR_IO, g_strerror(errno)))) {
        *ret_fd = fd;
        return true;
    }
    close(fd);
    return false;
}

bool
qm__iscsi_connect(const char *portal, int64_t deadline, int *ret_fd,
                  GError **error)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    const char *colon = strrchr(portal, ':');
    g_autofree char *host = NULL;
    struct addrinfo *ai;
    bool ok;

    if (colon == NULL)
        return fail(error, QM_ERROR_INVALID, "the portal has no port");
    host = portal[0] == '[' && colon > portal + 2
               ? g_strndup(portal + 1, (size_t) (colon - portal - 2))
               : g_strndup(portal, (size_t) (colon - portal));
    if (getaddrinfo(host, colon + 1, &hints, &ai) != 0)
        return fail(error, QM_ERROR_INVALID, "the portal is not numeric");
    ok = connect_to(ai, deadline, ret_fd, error);
    freeaddrinfo(ai);
    return ok;
}
