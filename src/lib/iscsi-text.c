/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The talk at a login.  We ask for the simplest session there is: no digests,
 * no error recovery, data in order, one R2T at a time and no data before it
 * but what goes with the command.  A target that insists on more is told
 * UNSUPPORTED; libiscsi may get on with it.  Nothing is believed that is not
 * within what we offered.
 */
#include "config.h"
#include <stdlib.h>
#include "iscsi-text.h"

#define BURST_MIN     512u
#define BURST_OFFER   (1024 * 1024u)
#define DEFAULT_MAX   8192u /* data of a PDU, when the target does not say */
#define LENGTH_MAX    0xffffffu
#define CHALLENGE_MAX 1024u
#define MD5_BYTES     16u

#define STAGE_SECURITY   0
#define STAGE_TERMS      1
#define STAGE_FULL       3
#define FLAGS(now, next) ((uint8_t) (QM_LOGIN_TRANSIT | (now) << 2 | (next)))
#define FLAGS_STAY(now)  ((uint8_t) ((now) << 2))

void
qm__login_talk_init(qm_login_talk *talk, const qm_login_identity *identity)
{
    *talk = (qm_login_talk){.identity = identity,
                            .terms = {.send_max = DEFAULT_MAX}};
}

/* --- texts --------------------------------------------------------------- */

static void
put(GByteArray *out, const char *key, const char *value)
{
    g_byte_array_append(out, (const uint8_t *) key, (guint) strlen(key));
    g_byte_array_append(out, (const uint8_t *) "=", 1);
    g_byte_array_append(out, (const uint8_t *) value,
                        (guint) strlen(value) + 1);
}

static void
put_number(GByteArray *out, const char *key, uint32_t value)
{
    g_autofree char *text = g_strdup_printf("%u", value);

    put(out, key, text);
}

const char *
qm__text_value(const char *text, size_t length, const char *key)
{
    size_t n = strlen(key);

    while (length > 0) {
        const char *end = memchr(text, '\0', length);
        size_t pair;

        if (end == NULL)
            return NULL;
        pair = (size_t) (end - text);
        if (pair > n && memcmp(text, key, n) == 0 && text[n] == '=')
            return text + n + 1;
        text += pair + 1;
        length -= pair + 1;
    }
    return NULL;
}

static bool
nonsense(const char *key, const char *value, GError **error)
{
    g_set_error(error, QM_ERROR, QM_ERROR_INVALID,
                "the target answers %s=%.64s, which makes no sense", key,
                value != NULL ? value : "(nothing)");
    return false;
}

/* Leaves @ret as it is when the target says nothing. */
static bool
number(const char *text, size_t length, const char *key, uint32_t most,
       uint32_t *ret, GError **error)
{
    const char *value = qm__text_value(text, length, key);
    guint64 v;

    if (value == NULL)
        return true;
    if (!g_ascii_string_to_unsigned(value, 10, BURST_MIN, LENGTH_MAX, &v, NULL))
        return nonsense(key, value, error);
    *ret = (uint32_t) MIN(v, most);
    return true;
}

/* --- CHAP ---------------------------------------------------------------- */

/* "0x…" or "0b…".  Returns NULL when it is neither. */
static uint8_t *
binary(const char *value, size_t *ret_length)
{
    size_t length = strlen(value);
    uint8_t *out;

    if (length < 4 || length > 2 + 2 * CHALLENGE_MAX || value[0] != '0')
        return NULL;
    if (value[1] == 'b' || value[1] == 'B')
        return g_base64_decode(value + 2, ret_length);
    if ((value[1] != 'x' && value[1] != 'X') || length % 2 != 0)
        return NULL;
    *ret_length = length / 2 - 1;
    out = g_malloc(*ret_length);
    for (size_t i = 0; i < *ret_length; i++) {
        int high = g_ascii_xdigit_value(value[2 + 2 * i]);
        int low = g_ascii_xdigit_value(value[3 + 2 * i]);

        if (high < 0 || low < 0) {
            g_free(out);
            return NULL;
        }
        out[i] = (uint8_t) (high << 4 | low);
    }
    return out;
}

static void
put_response(GByteArray *out, uint8_t id, const char *secret,
             const uint8_t *challenge, size_t length)
{
    g_autoptr(GChecksum) md5 = g_checksum_new(G_CHECKSUM_MD5);
    g_autofree char *text = NULL;

    g_checksum_update(md5, &id, 1);
    g_checksum_update(md5, (const guchar *) secret, (gssize) strlen(secret));
    g_checksum_update(md5, challenge, (gssize) length);
    text = g_strconcat("0x", g_checksum_get_string(md5), NULL);
    put(out, "CHAP_R", text);
}

static bool
answer_challenge(qm_login_talk *talk, const char *text, size_t length,
                 GByteArray *out, GError **error)
{
    const char *algorithm = qm__text_value(text, length, "CHAP_A");
    const char *id = qm__text_value(text, length, "CHAP_I");
    const char *c = qm__text_value(text, length, "CHAP_C");
    g_autofree uint8_t *challenge = NULL;
    size_t n = 0;
    guint64 i;

    if (algorithm == NULL || strcmp(algorithm, "5") != 0) {
        g_set_error(error, QM_ERROR, QM_ERROR_UNSUPPORTED,
                    "the target does not take CHAP with MD5");
        return false;
    }
    if (id == NULL || !g_ascii_string_to_unsigned(id, 10, 0, 255, &i, NULL))
        return nonsense("CHAP_I", id, error);
    if (c == NULL || (challenge = binary(c, &n)) == NULL || n == 0)
        return nonsense("CHAP_C", c, error);
    put(out, "CHAP_N", talk->identity->user);
    put_response(out, (uint8_t) i, talk->identity->secret, challenge, n);
    return true;
}

/* --- terms --------------------------------------------------------------- */

static void
offer_terms(GByteArray *out)
{
    put(out, "HeaderDigest", "None");
    put(out, "DataDigest", "None");
    put(out, "ErrorRecoveryLevel", "0");
    put(out, "InitialR2T", "Yes");
    put(out, "ImmediateData", "Yes");
    put_number(out, "MaxRecvDataSegmentLength", QM_DATA_MAX);
    put_number(out, "MaxBurstLength", BURST_OFFER);
    put_number(out, "FirstBurstLength", BURST_OFFER);
    put(out, "DefaultTime2Wait", "0");
    put(out, "DefaultTime2Retain", "0");
    put(out, "MaxConnections", "1");
    put(out, "MaxOutstandingR2T", "1");
    put(out, "DataPDUInOrder", "Yes");
    put(out, "DataSequenceInOrder", "Yes");
}

/* What must be as we asked for it. */
static bool
check_terms(const char *text, size_t length, GError **error)
{
    static const char *const wanted[][2] = {
        {"HeaderDigest", "None"},       {"DataDigest", "None"},
        {"ErrorRecoveryLevel", "0"},    {"InitialR2T", "Yes"},
        {"DataPDUInOrder", "Yes"},      {"MaxConnections", "1"},
        {"DataSequenceInOrder", "Yes"}, {"MaxOutstandingR2T", "1"}};

    for (size_t i = 0; i < G_N_ELEMENTS(wanted); i++) {
        const char *is = qm__text_value(text, length, wanted[i][0]);

        if (is == NULL || strcmp(is, wanted[i][1]) == 0)
            continue;
        g_set_error(error, QM_ERROR, QM_ERROR_UNSUPPORTED,
                    "the target wants %s=%.32s", wanted[i][0], is);
        return false;
    }
    return true;
}

static bool
take_terms(qm_login_talk *talk, const char *text, size_t length, GError **error)
{
    qm_login_terms *t = &talk->terms;
    const char *immediate = qm__text_value(text, length, "ImmediateData");

    if (!check_terms(text, length, error) ||
        !number(text, length, "MaxRecvDataSegmentLength", LENGTH_MAX,
                &t->send_max, error) ||
        !number(text, length, "MaxBurstLength", BURST_OFFER, &t->max_burst,
                error) ||
        !number(text, length, "FirstBurstLength", t->max_burst, &t->first_burst,
                error))
        return false;
    if (immediate != NULL)
        t->immediate = strcmp(immediate, "Yes") == 0;
    t->send_max &= ~3u; /* so that only the last PDU can need padding */
    return true;
}

static bool
is_declared(const char *key)
{
    static const char *const known[] = {
        "HeaderDigest",         "DataDigest",
        "ErrorRecoveryLevel",   "InitialR2T",
        "ImmediateData",        "MaxRecvDataSegmentLength",
        "MaxBurstLength",       "FirstBurstLength",
        "DefaultTime2Wait",     "DefaultTime2Retain",
        "MaxConnections",       "MaxOutstandingR2T",
        "DataPDUInOrder",       "DataSequenceInOrder",
        "TargetAlias",          "TargetAddress",
        "TargetPortalGroupTag", "AuthMethod",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(known); i++)
        if (strcmp(key, known[i]) == 0)
            return true;
    return false;
}

/* A target may ask for more than we did; it has to get an answer. */
static void
answer_unknown(const char *text, size_t length, GByteArray *out)
{
    while (length > 0) {
        const char *end = memchr(text, '\0', length);
        const char *equals;
        size_t pair;

        if (end == NULL)
            return;
        pair = (size_t) (end - text);
        equals = memchr(text, '=', pair);
        if (equals != NULL && equals - text < 64) {
            g_autofree char *key = g_strndup(text, (size_t) (equals - text));
            bool is_answer = strcmp(equals + 1, "NotUnderstood") == 0 ||
                             strcmp(equals + 1, "Irrelevant") == 0;

            if (!is_answer && !is_declared(key))
                put(out, key, "NotUnderstood");
        }
        text += pair + 1;
        length -= pair + 1;
    }
}

/* --- steps --------------------------------------------------------------- */

static void
begin(qm_login_talk *talk, GByteArray *out, uint8_t *ret_flags)
{
    put(out, "InitiatorName", talk->identity->initiator);
    put(out, "TargetName", talk->identity->target);
    put(out, "SessionType", "Normal");
    put(out, "AuthMethod", talk->identity->user != NULL ? "CHAP,None" : "None");
    talk->step = QM_LOGIN_METHOD;
    *ret_flags = talk->identity->user != NULL
                     ? FLAGS_STAY(STAGE_SECURITY)
                     : FLAGS(STAGE_SECURITY, STAGE_TERMS);
}

static bool
go_to_terms(qm_login_talk *talk, GByteArray *out, uint8_t *ret_flags)
{
    offer_terms(out);
    talk->step = QM_LOGIN_TERMS;
    talk->terms.max_burst = 262144; /* RFC 7143's defaults: nothing is said */
    talk->terms.first_burst = 65536;
    talk->terms.immediate = true;
    *ret_flags = FLAGS(STAGE_TERMS, STAGE_FULL);
    return true;
}

static bool
choose_method(qm_login_talk *talk, const char *text, size_t length,
              bool transit, GByteArray *out, uint8_t *ret_flags, GError **error)
{
    const char *method = qm__text_value(text, length, "AuthMethod");

    if (method != NULL && strcmp(method, "CHAP") == 0 &&
        talk->identity->user != NULL && !transit) {
        put(out, "CHAP_A", "5");
        talk->step = QM_LOGIN_ALGORITHM;
        *ret_flags = FLAGS_STAY(STAGE_SECURITY);
        return true;
    }
    if (method != NULL && strcmp(method, "None") != 0) {
        g_set_error(error, QM_ERROR, QM_ERROR_UNSUPPORTED,
                    "the target wants AuthMethod=%.32s", method);
        return false;
    }
    if (transit)
        return go_to_terms(talk, out, ret_flags);
    *ret_flags = FLAGS(STAGE_SECURITY, STAGE_TERMS); /* nothing is left */
    return true;
}

bool
qm__login_talk_next(qm_login_talk *talk, const char *text, size_t length,
                    bool transit, GByteArray *out, uint8_t *ret_flags,
                    GError **error)
{
    switch (talk->step) {
    case QM_LOGIN_BEGIN:
        begin(talk, out, ret_flags);
        return true;
    case QM_LOGIN_METHOD:
        return choose_method(talk, text, length, transit, out, ret_flags,
                             error);
    case QM_LOGIN_ALGORITHM:
        talk->step = QM_LOGIN_ANSWERED;
        *ret_flags = FLAGS(STAGE_SECURITY, STAGE_TERMS);
        return answer_challenge(talk, text, length, out, error);
    case QM_LOGIN_ANSWERED:
        if (transit)
            return go_to_terms(talk, out, ret_flags);
        g_set_error(error, QM_ERROR, QM_ERROR_AUTH,
                    "the target is not content with the CHAP answer");
        return false;
    case QM_LOGIN_TERMS:
        if (!take_terms(talk, text, length, error))
            return false;
        if (transit)
            talk->step = QM_LOGIN_DONE;
        else
            answer_unknown(text, length, out);
        *ret_flags = FLAGS(STAGE_TERMS, STAGE_FULL);
        return true;
    case QM_LOGIN_DONE:
        break;
    }
    g_set_error(error, QM_ERROR, QM_ERROR_INTERNAL, "the login is over");
    return false;
}
