/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * What stands in a vault beside the image: record, superblock, history, the
 * domain XML's copies.  What is accepted must be as before when it is written
 * and read again.
 */
#include "config.h"
#include "codec.h"
#include "crc32c.h"
#include "disk-note.h"
#include "fuzz.h"
#include "vault-format.h"

static const uint8_t vm[QM_UUID_LEN] = {0xaa, 0xbb};

/* @data, padded to a block whose last 4 bytes are its checksum. */
static void
make_block(const uint8_t *data, size_t size, bool repair, uint8_t *block,
           size_t length)
{
    memset(block, 0, length);
    memcpy(block, data, MIN(size, length));
    if (repair)
        qm__put32(block + length - 4, qm__crc32c(0, block, length - 4));
}

static bool
is_text(const char *text, size_t room)
{
    return memchr(text, '\0', room) != NULL;
}

void
fuzz_record(const uint8_t *data, size_t size)
{
    uint8_t copies[2][QM_RECORD_SIZE], again[QM_RECORD_SIZE];
    bool repair = fuzz_repair(&data, &size);
    qm_record r, s;
    int copy;
    bool ok;

    make_block(data, size / 2, repair, copies[0], QM_RECORD_SIZE);
    make_block(data + size / 2, size - size / 2, repair, copies[1],
               QM_RECORD_SIZE);
    FUZZ_TRY(ok, qm_record_pick(copies[0], copies[1], vm, &r, &copy, &err));
    if (!ok)
        return;
    FUZZ_CHECK(copy == 0 || copy == 1);
    FUZZ_CHECK((unsigned) r.state < QM_STATE_COUNT);
    FUZZ_CHECK(is_text(r.owner.name, QM_NAME_MAX) &&
               is_text(r.target.name, QM_NAME_MAX) &&
               is_text(r.cause, QM_CAUSE_MAX));
    qm_record_out(&r, vm, again);
    FUZZ_CHECK(qm_record_in(again, vm, &s, NULL));
    FUZZ_CHECK(s.sequence == r.sequence && s.generation == r.generation &&
               s.state == r.state && s.image_id == r.image_id);
}

void
fuzz_superblock(const uint8_t *data, size_t size)
{
    uint8_t block[QM_SUPERBLOCK_SIZE], again[QM_SUPERBLOCK_SIZE];
    bool repair = fuzz_repair(&data, &size), ok;
    qm_vault_info info, other;

    make_block(data, size, repair, block, sizeof block);
    FUZZ_TRY(ok, qm__superblock_in(block, &info, &err));
    if (!ok)
        return;
    FUZZ_CHECK(is_text(info.name, QM_NAME_MAX));
    qm__superblock_out(&info, again);
    FUZZ_CHECK(qm__superblock_in(again, &other, NULL));
    FUZZ_CHECK(strcmp(info.name, other.name) == 0 && info.size == other.size);
}

void
fuzz_history(const uint8_t *data, size_t size)
{
    uint8_t block[QM_HISTORY_SIZE], again[QM_HISTORY_SIZE];
    bool repair = fuzz_repair(&data, &size);
    qm_history entry, other;

    make_block(data, size, repair, block, sizeof block);
    if (!qm__history_in(block, &entry))
        return;
    FUZZ_CHECK(is_text(entry.node, QM_NAME_MAX) &&
               is_text(entry.cause, QM_CAUSE_MAX));
    FUZZ_CHECK(strcmp(qm_state_name(entry.from), "?") != 0 &&
               strcmp(qm_state_name(entry.to), "?") != 0);
    qm__history_out(&entry, again);
    FUZZ_CHECK(qm__history_in(again, &other));
    FUZZ_CHECK(strcmp(entry.cause, other.cause) == 0);
}

void
fuzz_disks(const uint8_t *data, size_t size)
{
    uint8_t block[QM_DISKS_SIZE], again[QM_DISKS_SIZE];
    bool repair = fuzz_repair(&data, &size);
    g_autoptr(GArray) notes = NULL;
    g_autoptr(GArray) other = NULL;

    make_block(data, size, repair, block, sizeof block);
    notes = qm__disk_notes_in(block, vm);
    FUZZ_CHECK(notes->len <= QM_DISK_NOTES_MAX);
    for (guint i = 0; i < notes->len; i++) {
        const qm_disk_note *n = &g_array_index(notes, qm_disk_note, i);

        FUZZ_CHECK(is_text(n->target, sizeof n->target) &&
                   is_text(n->serial, sizeof n->serial));
    }
    qm__disk_notes_out(notes, vm, again);
    other = qm__disk_notes_in(again, vm);
    FUZZ_CHECK(other->len == notes->len);
}

enum { XML_AT_TEXT_CRC = 24, XML_AT_CRC = QM_XML_HEADER - 4 };

void
fuzz_xmlcopy(const uint8_t *data, size_t size)
{
    bool repair = fuzz_repair(&data, &size), ok;
    g_autofree uint8_t *copy = NULL, *again = NULL;
    g_autofree char *xml = NULL;
    uint64_t sequence;
    size_t length, room;

    if (size < QM_XML_HEADER)
        return;
    copy = g_memdup2(data, size);
    length = qm__xml_length(copy, &sequence);
    if (repair) {
        room = size - QM_XML_HEADER;
        qm__put32(copy + 12, (uint32_t) room);
        qm__put32(copy + XML_AT_TEXT_CRC,
                  qm__crc32c(0, copy + QM_XML_HEADER, room));
        qm__put32(copy + XML_AT_CRC, qm__crc32c(0, copy, XML_AT_CRC));
        length = qm__xml_length(copy, &sequence);
    }
    FUZZ_TRY(ok, qm__xml_in(copy, size, &xml, &err));
    if (!ok)
        return;
    FUZZ_CHECK(length > 0 && QM_XML_HEADER + length <= size);
    FUZZ_CHECK(strlen(xml) == length);
    FUZZ_CHECK(qm__xml_out(xml, sequence, &again, &room, NULL));
}
