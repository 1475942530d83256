/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The vault's notes of disks.  One copy is enough: what is torn counts as not
 * there, and the next start notes it anew.
 */
#include "config.h"
#include <string.h>
#include "codec.h"
#include "crc32c.h"
#include "disk-note.h"

#define MAGIC         UINT64_C(0x31534b5349444d51) /* "QMDISKS1" */
#define NOTES_VERSION 1

enum {
    AT_MAGIC = 0,
    AT_VERSION = 8,
    AT_COUNT = 12,
    AT_UUID = 16,
    AT_NOTES = 64,
    AT_CRC = QM_DISKS_SIZE - 4
};

enum { /* within a note */
       NOTE_AT_TARGET = 0,
       NOTE_AT_SERIAL = 32,
       NOTE_AT_SIZE = 96,
       NOTE_AT_WHERE = 104,
       NOTE_SIZE = 128
};

G_STATIC_ASSERT(AT_NOTES + QM_DISK_NOTES_MAX * NOTE_SIZE <= AT_CRC);

uint32_t
qm__disk_where(const char *iqn, int lun)
{
    uint8_t number[4];

    qm__put32(number, (uint32_t) lun);
    return qm__crc32c(qm__crc32c(0, iqn, strlen(iqn)), number, sizeof number);
}

static void
note_out(const qm_disk_note *note, uint8_t *p)
{
    memcpy(p + NOTE_AT_TARGET, note->target, sizeof note->target);
    memcpy(p + NOTE_AT_SERIAL, note->serial, sizeof note->serial);
    qm__put64(p + NOTE_AT_SIZE, note->size);
    qm__put32(p + NOTE_AT_WHERE, note->where);
}

static bool
note_in(const uint8_t *p, qm_disk_note *note)
{
    memcpy(note->target, p + NOTE_AT_TARGET, sizeof note->target);
    memcpy(note->serial, p + NOTE_AT_SERIAL, sizeof note->serial);
    note->size = qm__get64(p + NOTE_AT_SIZE);
    note->where = qm__get32(p + NOTE_AT_WHERE);
    return memchr(note->target, '\0', sizeof note->target) != NULL &&
           memchr(note->serial, '\0', sizeof note->serial) != NULL;
}

void
qm__disk_notes_out(const GArray *notes, const uint8_t *uuid, uint8_t *buf)
{
    guint count = MIN(notes->len, (guint) QM_DISK_NOTES_MAX);

    memset(buf, 0, QM_DISKS_SIZE);
    qm__put64(buf + AT_MAGIC, MAGIC);
    qm__put32(buf + AT_VERSION, NOTES_VERSION);
    qm__put32(buf + AT_COUNT, count);
    memcpy(buf + AT_UUID, uuid, QM_UUID_LEN);
    for (guint i = 0; i < count; i++)
        note_out(&g_array_index(notes, qm_disk_note, i),
                 buf + AT_NOTES + (size_t) i * NOTE_SIZE);
    qm__put32(buf + AT_CRC, qm__crc32c(0, buf, AT_CRC));
}

GArray *
qm__disk_notes_in(const uint8_t *buf, const uint8_t *uuid)
{
    GArray *notes = g_array_new(FALSE, TRUE, sizeof(qm_disk_note));
    uint32_t count = qm__get32(buf + AT_COUNT);

    if (qm__get64(buf + AT_MAGIC) != MAGIC ||
        qm__get32(buf + AT_CRC) != qm__crc32c(0, buf, AT_CRC) ||
        qm__get32(buf + AT_VERSION) != NOTES_VERSION ||
        memcmp(buf + AT_UUID, uuid, QM_UUID_LEN) != 0 ||
        count > QM_DISK_NOTES_MAX)
        return notes;
    for (uint32_t i = 0; i < count; i++) {
        qm_disk_note note;

        if (note_in(buf + AT_NOTES + (size_t) i * NOTE_SIZE, &note))
            g_array_append_val(notes, note);
    }
    return notes;
}

bool
qm__disk_notes_read(qm_vault *vault, GArray **ret_notes, GError **error)
{
    uint8_t buf[QM_DISKS_SIZE];

    if (!qm__vault_read_area(vault, QM_AREA_DISKS, buf, sizeof buf, error))
        return false;
    *ret_notes = qm__disk_notes_in(buf, qm_vault_get_info(vault)->uuid);
    return true;
}

bool
qm__disk_notes_write(qm_vault *vault, const GArray *notes, GError **error)
{
    uint8_t buf[QM_DISKS_SIZE];

    qm__disk_notes_out(notes, qm_vault_get_info(vault)->uuid, buf);
    return qm__vault_write_area(vault, QM_AREA_DISKS, buf, sizeof buf, error);
}
