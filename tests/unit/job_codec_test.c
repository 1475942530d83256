/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Messages between nodes: there and back, and everything that is not one.
 */
#include "config.h"
#include <string.h>
#include "unit.h"
#include "job.h"

static qm_message
sample(void)
{
    qm_message m = {.kind = QM_MESSAGE_OFFER};

    memset(m.job.uuid, 0xab, sizeof m.job.uuid);
    g_strlcpy(m.job.name, "web \"1\"", sizeof m.job.name);
    g_strlcpy(m.job.resource, "web", sizeof m.job.resource);
    g_strlcpy(m.job.source_name, "n1", sizeof m.job.source_name);
    g_strlcpy(m.job.target_name, "n2", sizeof m.job.target_name);
    g_strlcpy(m.job.text, "it is fine", sizeof m.job.text);
    m.job.side = QM_SIDE_TARGET;
    m.job.phase = QM_PHASE_PAUSED;
    m.job.live = true;
    m.job.image_id = UINT64_C(1795431608855536);
    m.job.source = 1;
    m.job.target = UINT32_MAX;
    m.job.bytes = UINT64_C(1) << 41;
    m.job.expected_pause_ms = 20;
    g_strlcpy(m.offer.vault, "iscsi://10.0.0.1/iqn.2026-01.org.x:y/2",
              sizeof m.offer.vault);
    g_strlcpy(m.offer.image_secret, "5ca1ab1e-0000-4000-8000-00000000beef",
              sizeof m.offer.image_secret);
    m.offer.timeout_ms = 300000;
    return m;
}

static bool
read_back(const char *text, qm_message *ret, GError **error)
{
    return qm__message_from_json(text, strlen(text), ret, error);
}

static void
test_there_and_back(void **state)
{
    const qm_message m = sample();
    g_autofree char *text = qm__message_to_json(&m);
    qm_message back;

    assert_true(strlen(text) < QM_MESSAGE_MAX);
    CHECK_OK(read_back(text, &back, &err));
    assert_int_equal(back.kind, m.kind);
    assert_memory_equal(&back.job, &m.job, sizeof m.job);
    assert_memory_equal(&back.offer, &m.offer, sizeof m.offer);
}

static void
test_every_kind_and_phase(void **state)
{
    for (int kind = 0; kind < QM_MESSAGE_COUNT; kind++)
        for (int phase = 0; phase < QM_PHASE_COUNT; phase++) {
            qm_message m = sample(), back;
            g_autofree char *text = NULL;

            m.kind = (qm_message_kind) kind;
            m.job.phase = (qm_phase) phase;
            text = qm__message_to_json(&m);
            CHECK_OK(read_back(text, &back, &err));
            assert_int_equal(back.kind, kind);
            assert_int_equal(back.job.phase, phase);
        }
}

static char *
replaced(const char *from, const char *to)
{
    const qm_message m = sample();
    g_autofree char *text = qm__message_to_json(&m);
    g_auto(GStrv) parts = g_strsplit(text, from, 2);

    assert_non_null(parts[1]); /* it was there */
    return g_strjoin(to, parts[0], parts[1], NULL);
}

static void
test_wrong_values(void **state)
{
    static const char *const changes[][2] = {
        {"\"offer\"", "\"order\""},
        {"\"paused\"", "\"asleep\""},
        {"\"target\",", "\"middle\","},
        {"\"live\":true", "\"live\":1"},
        {"\"source\":1", "\"source\":-1"},
        {"\"source\":1", "\"source\":\"1\""},
        {"\"source\":1", "\"source\":4294967296"},
        {"abababab-", "abababab+"},
        {"it is fine", "it\\nis"},
        {"\"quickmig\":1,", ""},
        {"\"quickmig\":1", "\"quickmig\":[]"},
    };
    qm_message back;

    for (size_t i = 0; i < G_N_ELEMENTS(changes); i++) {
        g_autofree char *text = replaced(changes[i][0], changes[i][1]);

        CHECK_FAILS(read_back(text, &back, &err), QM_ERROR_CORRUPT);
    }
}

static void
test_over_long(void **state)
{
    g_autofree char *long_name = g_strnfill(QM_NAME_MAX, 'n');
    g_autofree char *text = replaced("\"web\"", "\"@\"");
    g_auto(GStrv) parts = g_strsplit(text, "@", 2);
    g_autofree char *big = g_strjoin(long_name, parts[0], parts[1], NULL);
    g_autofree char *huge = g_strnfill(QM_MESSAGE_MAX + 1, ' ');
    qm_message back;

    CHECK_FAILS(read_back(big, &back, &err), QM_ERROR_CORRUPT);
    CHECK_FAILS(read_back(huge, &back, &err), QM_ERROR_CORRUPT);
}

static void
test_later_version(void **state)
{
    g_autofree char *text = replaced("\"quickmig\":1", "\"quickmig\":2");
    g_autofree char *more = replaced("{", "{\"colour\":\"blue\",");
    qm_message back;

    CHECK_FAILS(read_back(text, &back, &err), QM_ERROR_FORMAT);
    CHECK_OK(read_back(more, &back, &err)); /* unknown members are left */
}

/* Cut at every byte, and with every byte changed: never anything but a refusal
 * or a message. */
static void
test_damaged(void **state)
{
    const qm_message m = sample();
    g_autofree char *text = qm__message_to_json(&m);
    size_t length = strlen(text);
    qm_message back;

    for (size_t i = 0; i < length; i++) {
        g_autofree char *copy = g_memdup2(text, length);

        CHECK_FAILS(qm__message_from_json(text, i, &back, &err),
                    QM_ERROR_CORRUPT);
        copy[i] ^= 0x55;
        (void) qm__message_from_json(copy, length, &back, NULL);
    }
    CHECK_FAILS(read_back("[]", &back, &err), QM_ERROR_CORRUPT);
    CHECK_FAILS(read_back("7", &back, &err), QM_ERROR_CORRUPT);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_every_kind_and_phase),
        cmocka_unit_test(test_wrong_values),
        cmocka_unit_test(test_over_long),
        cmocka_unit_test(test_later_version),
        cmocka_unit_test(test_damaged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
