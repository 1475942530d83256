/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/* Vault addresses, good and bad. */
#include "config.h"
#include <string.h>
#include "unit.h"
#include <quickmig/vault.h>

#define IQN "iqn.2026-01.org.example:vault"

typedef struct {
    const char *text;
    const char *dir, *portal, *iqn;
    int lun;
    const char *user, *secret;
} good_url;

static const good_url good[] = {
    {"iscsi://san/" IQN "/1", NULL, "san:3260", IQN, 1, NULL, NULL},
    {"iscsi://san.example.org:3261/" IQN "/0", NULL, "san.example.org:3261",
     IQN, 0, NULL, NULL},
    {"iscsi://10.0.0.1:1/" IQN "/255", NULL, "10.0.0.1:1", IQN, 255, NULL,
     NULL},
    {"iscsi://10.0.0.1:65535/" IQN "/2", NULL, "10.0.0.1:65535", IQN, 2, NULL,
     NULL},
    {"iscsi://[::1]/" IQN "/1", NULL, "[::1]:3260", IQN, 1, NULL, NULL},
    {"iscsi://[fd00::a:1]:3999/" IQN "/1", NULL, "[fd00::a:1]:3999", IQN, 1,
     NULL, NULL},
    {"iscsi://[::ffff:10.0.0.1]/" IQN "/1", NULL, "[::ffff:10.0.0.1]:3260", IQN,
     1, NULL, NULL},
    {"iscsi://joe@san/" IQN "/1", NULL, "san:3260", IQN, 1, "joe", NULL},
    {"iscsi://joe@[::1]:3260/" IQN "/1", NULL, "[::1]:3260", IQN, 1, "joe",
     NULL},
    {"iscsi://joe@san/" IQN "/1?secret=chap-vault", NULL, "san:3260", IQN, 1,
     "joe", "chap-vault"},
    {"iscsi://joe@san/" IQN "/1?secret=a/b:c@d", NULL, "san:3260", IQN, 1,
     "joe", "a/b:c@d"},
    {"iscsi://san/eui.02004567A425678D/1", NULL, "san:3260",
     "eui.02004567A425678D", 1, NULL, NULL},
    {"iscsi://san/naa.52004567BA64678D/1", NULL, "san:3260",
     "naa.52004567BA64678D", 1, NULL, NULL},
    {"/srv/vaults/vm1", "/srv/vaults/vm1", NULL, NULL, 0, NULL, NULL},
    {"/srv//vaults/./vm1/", "/srv/vaults/vm1", NULL, NULL, 0, NULL, NULL},
    {"/srv/my vaults/vm1", "/srv/my vaults/vm1", NULL, NULL, 0, NULL, NULL},
    {"/srv/iscsi://x", "/srv/iscsi:/x", NULL, NULL, 0, NULL, NULL},
};

static const char *const bad[] = {
    "",
    "san",
    "vaults/vm1",
    "./vm1",
    "iscsi:",
    "iscsi://",
    "iscsi:///" IQN "/1",
    "iscsi://san",
    "iscsi://san/",
    "iscsi://san/" IQN,
    "iscsi://san/" IQN "/",
    "iscsi://san/" IQN "/x",
    "iscsi://san/" IQN "/1x",
    "iscsi://san/" IQN "/-1",
    "iscsi://san/" IQN "/+1",
    "iscsi://san/" IQN "/256",
    "iscsi://san/" IQN "/99999999999999999999",
    "iscsi://san/" IQN "/1/2",
    "iscsi://san//1",
    "iscsi://san/vault/1",
    "iscsi://san/iqn./1",
    "iscsi://san/iqn/1",
    "iscsi://san/" IQN "%41/1",
    "iscsi://san/" IQN "#x/1",
    "iscsi://san:/" IQN "/1",
    "iscsi://san:0/" IQN "/1",
    "iscsi://san:65536/" IQN "/1",
    "iscsi://san:iscsi/" IQN "/1",
    "iscsi://san:1:2/" IQN "/1",
    "iscsi://::1/" IQN "/1",
    "iscsi://[]/" IQN "/1",
    "iscsi://[::1/" IQN "/1",
    "iscsi://::1]/" IQN "/1",
    "iscsi://[::1]x/" IQN "/1",
    "iscsi://[::1]:/" IQN "/1",
    "iscsi://[san]/" IQN "/1",
    "iscsi://[10.0.0.1]/" IQN "/1",
    "iscsi://[::1]]/" IQN "/1",
    "iscsi://s%61n/" IQN "/1",
    "iscsi://sa n/" IQN "/1",
    "iscsi://san/" IQN "/1 ",
    " iscsi://san/" IQN "/1",
    "iscsi://san/" IQN "/1\n",
    "iscsi://s\xc3\xa4n/" IQN "/1",
    "ISCSI://san/" IQN "/1",
    "iser://san/" IQN "/1",
    "iscsi://@san/" IQN "/1",
    "iscsi://a@b@san/" IQN "/1",
    "iscsi://joe@/" IQN "/1",
    "iscsi://san/" IQN "/1?",
    "iscsi://san/" IQN "/1?secret=",
    "iscsi://san/" IQN "/1?secret",
    "iscsi://san/" IQN "/1?Secret=x",
    "iscsi://san/" IQN "/1?target=x",
    "iscsi://san/" IQN "/1?secret=x&secret=y",
    "iscsi://san/" IQN "/1?secret=x?secret=y",
    "iscsi://san/" IQN "/1?secret=x#y",
    "iscsi://san?secret=x/" IQN "/1",
};

static void
check_text(const char *text, const char *what, const char *found,
           const char *expected)
{
    if (g_strcmp0(found, expected) != 0)
        fail_msg("%s: %s is %s, expected %s", text, what,
                 found != NULL ? found : "(none)",
                 expected != NULL ? expected : "(none)");
}

static void
good_ones_are_parsed(void **state)
{
    for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
        const good_url *g = &good[i];
        g_autoptr(qm_url) url = NULL;

        CHECK_OK(qm_url_parse(g->text, &url, &err));
        check_text(g->text, "text", url->text, g->text);
        check_text(g->text, "dir", url->dir, g->dir);
        check_text(g->text, "portal", url->portal, g->portal);
        check_text(g->text, "iqn", url->iqn, g->iqn);
        check_text(g->text, "user", url->user, g->user);
        check_text(g->text, "secret", url->secret, g->secret);
        assert_int_equal(url->lun, g->lun);
    }
}

static void
bad_ones_are_refused(void **state)
{
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        qm_url *url = (qm_url *) &good; /* stays as it is */
        GError *err = NULL;

        if (qm_url_parse(bad[i], &url, &err))
            fail_msg("accepted: \"%s\"", bad[i]);
        assert_true(g_error_matches(err, QM_ERROR, QM_ERROR_INVALID));
        assert_ptr_equal(url, &good);
        g_error_free(err);
    }
    CHECK_FAILS(qm_url_parse(NULL, NULL, &err), QM_ERROR_INVALID);
}

static void
length_is_limited(void **state)
{
    g_autofree char *fits = g_strnfill(1024, 'x');
    g_autofree char *too_long = g_strnfill(1025, 'x');
    g_autofree char *name = g_strnfill(224 - 4, 'x');
    g_autofree char *long_iqn = g_strdup_printf("iscsi://san/iqn.%s/1", name);
    g_autoptr(qm_url) url = NULL;
    g_autoptr(qm_url) short_iqn = NULL;

    fits[0] = too_long[0] = '/';
    CHECK_OK(qm_url_parse(fits, &url, &err));
    CHECK_FAILS(qm_url_parse(too_long, &url, &err), QM_ERROR_INVALID);
    CHECK_FAILS(qm_url_parse(long_iqn, &url, &err), QM_ERROR_INVALID);
    /* One less: RFC 3720 allows 223 bytes. */
    memmove(strstr(long_iqn, "xx/1"), "x/1", 4);
    CHECK_OK(qm_url_parse(long_iqn, &short_iqn, &err));
}

/* Neither accepted, nor repeated in a message that ends up in logs. */
static void
passwords_are_refused_and_not_repeated(void **state)
{
    static const char *const texts[] = {
        "iscsi://joe:sesame@san/" IQN "/1",
        "iscsi://joe%sesame@san/" IQN "/1",
        "iscsi://joe:ses/ame@san/" IQN "/1",
        "iscsi://joe:ses@ame@san/" IQN "/1",
        "iscsi://joe:sesame@san/1",
        "iscsi://joe:sesame@san/" IQN "/one",
        "iscsi://joe:ses ame@san/" IQN "/1",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) err = NULL;
        qm_url *url = NULL;

        assert_false(qm_url_parse(texts[i], &url, &err));
        assert_true(g_error_matches(err, QM_ERROR, QM_ERROR_INVALID));
        assert_null(strstr(err->message, "ses"));
        assert_null(strstr(err->message, "ame@"));
    }
}

static void
free_takes_null(void **state)
{
    qm_url_free(NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_ones_are_parsed),
        cmocka_unit_test(bad_ones_are_refused),
        cmocka_unit_test(length_is_limited),
        cmocka_unit_test(passwords_are_refused_and_not_repeated),
        cmocka_unit_test(free_takes_null),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
