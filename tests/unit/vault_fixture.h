/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_TESTS_VAULT_FIXTURE_H
#define QM_TESTS_VAULT_FIXTURE_H

/*
 * A directory vault of its own for each test.
 */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <glib/gstdio.h>
#include <quickmig/vault.h>
#include "timeouts.h"
#include "unit.h"
#include "vault-backend.h"
#include "vault-format.h"

#define FIXTURE_XML  "<domain type='kvm'><name>vm1</name></domain>"
#define FIXTURE_SOON qm__deadline_in(5 * QM_S)

typedef struct {
    char *dir;
    qm_vault_params params;
} fixture;

static const uint8_t fixture_uuid[QM_UUID_LEN] = {0xaa, 1, 2, 3};

static inline void
fixture_new(fixture *f)
{
    f->dir = g_dir_make_tmp("quickmig-XXXXXX", NULL);
    assert_non_null(f->dir);
    f->params = (qm_vault_params){.url = f->dir, .node_id = 1};
}

static inline char *
fixture_path(const fixture *f, const char *name)
{
    return g_build_filename(f->dir, name, NULL);
}

static inline void
fixture_remove(const char *path)
{
    GDir *d = g_dir_open(path, 0, NULL);
    const char *name;

    while (d != NULL && (name = g_dir_read_name(d)) != NULL) {
        g_autofree char *entry = g_build_filename(path, name, NULL);

        fixture_remove(entry);
    }
    if (d != NULL)
        g_dir_close(d);
    (void) g_remove(path);
}

static inline void
fixture_free(fixture *f)
{
    fixture_remove(f->dir);
    g_free(f->dir);
}

static inline int
fixture_set_up_empty(void **state)
{
    fixture *f = g_new0(fixture, 1);

    fixture_new(f);
    *state = f;
    return 0;
}

static inline int
fixture_set_up(void **state)
{
    fixture *f;

    (void) fixture_set_up_empty(state);
    f = *state;
    CHECK_OK(qm_vault_format(&f->params, fixture_uuid, "vm1", FIXTURE_XML,
                             false, FIXTURE_SOON, &err));
    return 0;
}

static inline int
fixture_tear_down(void **state)
{
    fixture_free(*state);
    g_free(*state);
    return 0;
}

static inline bool
fixture_any_right(const qm_record *record, void *opaque, GError **error)
{
    return true;
}

static inline qm_vault *
fixture_open(const fixture *f)
{
    qm_vault *v = NULL;

    CHECK_OK(qm_vault_open(&f->params, FIXTURE_SOON, &v, &err));
    return v;
}

static inline qm_vault *
fixture_acquire(const fixture *f, qm_record *ret_record)
{
    qm_vault *v = fixture_open(f);

    CHECK_OK(qm_vault_acquire(v, fixture_any_right, NULL, FIXTURE_SOON,
                              ret_record, &err));
    return v;
}

static inline bool
fixture_exists(const fixture *f, const char *name)
{
    g_autofree char *path = fixture_path(f, name);

    return g_file_test(path, G_FILE_TEST_EXISTS);
}

/* A file's contents; the caller frees. */
static inline char *
fixture_read(const fixture *f, const char *name, gsize *ret_length)
{
    g_autofree char *path = fixture_path(f, name);
    char *contents = NULL;

    assert_true(g_file_get_contents(path, &contents, ret_length, NULL));
    return contents;
}

static inline void
fixture_write(const fixture *f, const char *name, const void *contents,
              size_t length)
{
    g_autofree char *path = fixture_path(f, name);

    assert_true(g_file_set_contents(path, contents, (gssize) length, NULL));
}

/* Flips one bit of a file. */
static inline void
fixture_damage(const fixture *f, const char *name, size_t offset)
{
    gsize length;
    g_autofree char *contents = fixture_read(f, name, &length);

    assert_true(offset < length);
    contents[offset] ^= 1;
    fixture_write(f, name, contents, length);
}

#endif
