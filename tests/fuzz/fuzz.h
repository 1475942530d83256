/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_TESTS_FUZZ_H
#define QM_TESTS_FUZZ_H

/*
 * One function a format: it takes any bytes, gives them to what reads that
 * format, and aborts when a promise of the reader is broken (what it accepts
 * comes out again the same, no memory is left, a failure has its error).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <glib.h>

void fuzz_agent(const uint8_t *data, size_t size);
void fuzz_control(const uint8_t *data, size_t size);
void fuzz_disks(const uint8_t *data, size_t size);
void fuzz_domxml(const uint8_t *data, size_t size);
void fuzz_history(const uint8_t *data, size_t size);
void fuzz_image(const uint8_t *data, size_t size);
void fuzz_iscsi(const uint8_t *data, size_t size);
void fuzz_login(const uint8_t *data, size_t size);
void fuzz_message(const uint8_t *data, size_t size);
void fuzz_nbd(const uint8_t *data, size_t size);
void fuzz_params(const uint8_t *data, size_t size);
void fuzz_record(const uint8_t *data, size_t size);
void fuzz_settings(const uint8_t *data, size_t size);
void fuzz_superblock(const uint8_t *data, size_t size);
void fuzz_told(const uint8_t *data, size_t size);
void fuzz_url(const uint8_t *data, size_t size);
void fuzz_xmlcopy(const uint8_t *data, size_t size);

/* Also with NDEBUG. */
#define FUZZ_CHECK(condition)                                                  \
    do {                                                                       \
        if (!(condition))                                                      \
            g_error("%s:%d: %s", __FILE__, __LINE__, #condition);              \
    } while (0)

/* A call that may fail, but then says why. */
#define FUZZ_TRY(ret, call)                                                    \
    do {                                                                       \
        GError *err = NULL;                                                    \
                                                                               \
        ret = (call);                                                          \
        FUZZ_CHECK(ret == (err == NULL));                                      \
        FUZZ_CHECK(err == NULL || err->message[0] != '\0');                    \
        g_clear_error(&err);                                                   \
    } while (0)

/* As a text that ends. */
static inline char *
fuzz_text(const uint8_t *data, size_t size)
{
    return g_strndup((const char *) data, size);
}

/* The first byte of an input with checksums: shall they be made right?  Else
 * hardly any input would get past them. */
static inline bool
fuzz_repair(const uint8_t **data, size_t *size)
{
    bool repair = *size > 0 && (**data & 1) != 0;

    if (*size > 0) {
        (*data)++;
        (*size)--;
    }
    return repair;
}

#endif
