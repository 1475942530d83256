/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The domain XML at the beginning of an image: found, wherever chunks end, and
 * nothing else is taken for one.
 */
#include "config.h"
#include "image_fixture.h"
#include "image-xml.h"
#include "stream-internal.h"

#define COOKIE "<cookie/>"

/* Header, XML of @length bytes with its NUL, a cookie, and @more bytes. */
static uint8_t *
state_new(uint32_t length, size_t more, size_t *ret_length)
{
    uint32_t data = length + (uint32_t) sizeof COOKIE;
    uint8_t *state = g_malloc0(QM_SAVE_HEADER + data + more + 1);

    memcpy(state + QM__AT_DATA_LEN, &data, sizeof data);
    if (length > 0)
        memset(state + QM_SAVE_HEADER, 'x', length - 1);
    memcpy(state + QM_SAVE_HEADER + length, COOKIE, sizeof COOKIE);
    memset(state + QM_SAVE_HEADER + data, 0xee, more);
    *ret_length = QM_SAVE_HEADER + data + more;
    return state;
}

static bool
refuse(void *opaque, GError **error)
{
    g_set_error(error, QM_ERROR, QM_ERROR_LOST, "given up");
    return false;
}

static void
found(void **state)
{
    static const uint32_t lengths[] = {2, 5000, QM_CHUNK_PAYLOAD - 300,
                                       QM_CHUNK_PAYLOAD - 92 - 10 + 1};

    for (size_t i = 0; i < G_N_ELEMENTS(lengths); i++) {
        g_autoptr(fake_store) f = fake_store_new(20 * MIB, MIB);
        g_autoptr(qm_image_reader) r =
            qm__image_reader_new(&f->base, image_vm, IMAGE_ID);
        size_t length;
        g_autofree uint8_t *data = state_new(lengths[i], 9 * MIB, &length);
        g_autofree char *xml = NULL;

        image_save(f, data, length);
        CHECK_OK(qm__image_read_xml(r, false, SOON, NULL, NULL, &xml, &err));
        assert_int_equal(strlen(xml), lengths[i] - 1);
        assert_true(strspn(xml, "x") == lengths[i] - 1);
        /* Its beginning is enough. */
        assert_true(f->bytes_read < 9 * MIB);
    }
}

static void
fails(const uint8_t *data, size_t length, int code)
{
    g_autoptr(fake_store) f = fake_store_new(20 * MIB, MIB);
    g_autoptr(qm_image_reader) r =
        qm__image_reader_new(&f->base, image_vm, IMAGE_ID);
    char *xml;

    image_save(f, data, length);
    CHECK_FAILS(qm__image_read_xml(r, false, SOON, NULL, NULL, &xml, &err),
                code);
}

static void
not_there(void **state)
{
    static const uint32_t huge = 0x7fffffff;
    size_t length;
    g_autofree uint8_t *data = state_new(5000, 0, &length);

    fails(data, 0, QM_ERROR_CORRUPT);
    fails(data, QM_SAVE_HEADER, QM_ERROR_CORRUPT);
    fails(data, length - 1, QM_ERROR_CORRUPT);
    data[QM_SAVE_HEADER] = '\0';
    fails(data, length, QM_ERROR_CORRUPT);
    memcpy(data + QM__AT_DATA_LEN, &huge, sizeof huge);
    fails(data, length, QM_ERROR_CORRUPT);
}

static void
given_up(void **state)
{
    g_autoptr(fake_store) f = fake_store_new(20 * MIB, MIB);
    g_autoptr(qm_image_reader) r =
        qm__image_reader_new(&f->base, image_vm, IMAGE_ID);
    char *xml;

    CHECK_FAILS(qm__image_read_xml(r, true, SHORTLY, NULL, NULL, &xml, &err),
                QM_ERROR_TIMEOUT);
    CHECK_FAILS(qm__image_read_xml(r, true, SOON, refuse, NULL, &xml, &err),
                QM_ERROR_LOST);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(found),
        cmocka_unit_test(not_there),
        cmocka_unit_test(given_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
