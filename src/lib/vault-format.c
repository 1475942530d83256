/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Disk formats of superblock, history and domain XML.  Everything read is
 * checked: magic, version, length, checksum, texts that must end.
 */
#include "config.h"
#include <string.h>
#include "codec.h"
#include "crc32c.h"
#include "vault-format.h"

#define FORMAT_VERSION 1
#define SUPER_MAGIC    UINT64_C(0x31544c5541564d51) /* "QMVAULT1" */
#define HISTORY_MAGIC  UINT32_C(0x53484d51)         /* "QMHS" */
#define XML_MAGIC      UINT64_C(0x4c4d584d4f444d51) /* "QMDOMXML" */

enum {
    SUPER_AT_MAGIC = 0,
    SUPER_AT_VERSION = 8,
    SUPER_AT_LENGTH = 12,
    SUPER_AT_UUID = 16,
    SUPER_AT_NAME = 32,
    SUPER_AT_SIZE = 96,
    SUPER_AT_CRC = QM_SUPERBLOCK_SIZE - 4
};

enum {
    HIST_AT_MAGIC = 0,
    HIST_AT_FROM = 4,
    HIST_AT_TO = 6,
    HIST_AT_TIME = 8,
    HIST_AT_SEQUENCE = 16,
    HIST_AT_GENERATION = 24,
    HIST_AT_BYTES = 32,
    HIST_AT_DURATION = 40,
    HIST_AT_PAUSE = 48,
    HIST_AT_NODE_ID = 56,
    HIST_AT_NODE = 64,
    HIST_AT_CAUSE = 128,
    HIST_AT_CRC = QM_HISTORY_SIZE - 4
};

enum {
    XML_AT_MAGIC = 0,
    XML_AT_VERSION = 8,
    XML_AT_LENGTH = 12,
    XML_AT_SEQUENCE = 16,
    XML_AT_TEXT_CRC = 24,
    XML_AT_CRC = QM_XML_HEADER - 4
};

static bool
corrupt(const char *what, GError **error)
{
    g_set_error(error, QM_ERROR, QM_ERROR_CORRUPT, "%s", what);
    return false;
}

static void
text_out(uint8_t *p, const char *text, size_t room)
{
    memcpy(p, text, strnlen(text, room - 1));
}

void
qm__superblock_out(const qm_vault_info *info, uint8_t *buf)
{
    memset(buf, 0, QM_SUPERBLOCK_SIZE);
    qm__put64(buf + SUPER_AT_MAGIC, SUPER_MAGIC);
    qm__put32(buf + SUPER_AT_VERSION, FORMAT_VERSION);
    qm__put32(buf + SUPER_AT_LENGTH, QM_SUPERBLOCK_SIZE);
    memcpy(buf + SUPER_AT_UUID, info->uuid, QM_UUID_LEN);
    text_out(buf + SUPER_AT_NAME, info->name, QM_NAME_MAX);
    qm__put64(buf + SUPER_AT_SIZE, info->size);
    qm__put32(buf + SUPER_AT_CRC, qm__crc32c(0, buf, SUPER_AT_CRC));
}

bool
qm__superblock_in(const uint8_t *buf, qm_vault_info *ret_info, GError **error)
{
    qm_vault_info info = {0};

    if (qm__get64(buf + SUPER_AT_MAGIC) != SUPER_MAGIC) {
        g_set_error(error, QM_ERROR, QM_ERROR_UNFORMATTED,
                    "there is no vault (make one with: quickmig vault "
                    "create)");
        return false;
    }
    if (qm__get32(buf + SUPER_AT_CRC) != qm__crc32c(0, buf, SUPER_AT_CRC))
        return corrupt("superblock: checksum is wrong", error);
    info.format = qm__get32(buf + SUPER_AT_VERSION);
    if (info.format != FORMAT_VERSION) {
        g_set_error(error, QM_ERROR, QM_ERROR_FORMAT,
                    "vault format version %u, this program knows %u; update "
                    "quickmig on this node",
                    info.format, FORMAT_VERSION);
        return false;
    }
    memcpy(info.uuid, buf + SUPER_AT_UUID, QM_UUID_LEN);
    memcpy(info.name, buf + SUPER_AT_NAME, QM_NAME_MAX);
    info.size = qm__get64(buf + SUPER_AT_SIZE);
    if (qm__get32(buf + SUPER_AT_LENGTH) != QM_SUPERBLOCK_SIZE ||
        info.name[QM_NAME_MAX - 1] != '\0')
        return corrupt("superblock: a field is wrong", error);
    *ret_info = info;
    return true;
}

void
qm__history_out(const qm_history *entry, uint8_t *buf)
{
    memset(buf, 0, QM_HISTORY_SIZE);
    qm__put32(buf + HIST_AT_MAGIC, HISTORY_MAGIC);
    qm__put16(buf + HIST_AT_FROM, (uint16_t) entry->from);
    qm__put16(buf + HIST_AT_TO, (uint16_t) entry->to);
    qm__put64(buf + HIST_AT_TIME, (uint64_t) entry->time_us);
    qm__put64(buf + HIST_AT_SEQUENCE, entry->sequence);
    qm__put64(buf + HIST_AT_GENERATION, entry->generation);
    qm__put64(buf + HIST_AT_BYTES, entry->bytes);
    qm__put64(buf + HIST_AT_DURATION, entry->duration_us);
    qm__put64(buf + HIST_AT_PAUSE, entry->pause_us);
    qm__put32(buf + HIST_AT_NODE_ID, entry->node_id);
    text_out(buf + HIST_AT_NODE, entry->node, QM_NAME_MAX);
    text_out(buf + HIST_AT_CAUSE, entry->cause, QM_CAUSE_MAX);
    qm__put32(buf + HIST_AT_CRC, qm__crc32c(0, buf, HIST_AT_CRC));
}

bool
qm__history_in(const uint8_t *buf, qm_history *ret_entry)
{
    qm_history e = {0};
    uint16_t from = qm__get16(buf + HIST_AT_FROM);
    uint16_t to = qm__get16(buf + HIST_AT_TO);

    if (qm__get32(buf + HIST_AT_MAGIC) != HISTORY_MAGIC ||
        qm__get32(buf + HIST_AT_CRC) != qm__crc32c(0, buf, HIST_AT_CRC) ||
        from >= QM_STATE_COUNT || to >= QM_STATE_COUNT)
        return false;
    e.from = (qm_state) from;
    e.to = (qm_state) to;
    e.time_us = (int64_t) qm__get64(buf + HIST_AT_TIME);
    e.sequence = qm__get64(buf + HIST_AT_SEQUENCE);
    e.generation = qm__get64(buf + HIST_AT_GENERATION);
    e.bytes = qm__get64(buf + HIST_AT_BYTES);
    e.duration_us = qm__get64(buf + HIST_AT_DURATION);
    e.pause_us = qm__get64(buf + HIST_AT_PAUSE);
    e.node_id = qm__get32(buf + HIST_AT_NODE_ID);
    memcpy(e.node, buf + HIST_AT_NODE, QM_NAME_MAX);
    memcpy(e.cause, buf + HIST_AT_CAUSE, QM_CAUSE_MAX);
    e.node[QM_NAME_MAX - 1] = e.cause[QM_CAUSE_MAX - 1] = '\0';
    *ret_entry = e;
    return true;
}

bool
qm__xml_out(const char *xml, uint64_t sequence, uint8_t **ret_buf,
            size_t *ret_length, GError **error)
{
    size_t length = strlen(xml);
    uint8_t *buf;

    if (length == 0 || length > QM_XML_MAX - QM_XML_HEADER) {
        g_set_error(error, QM_ERROR, QM_ERROR_INVALID,
                    "the domain XML has %zu bytes; 1 to %d are possible",
                    length, QM_XML_MAX - QM_XML_HEADER);
        return false;
    }
    buf = g_malloc0(QM_XML_HEADER + length);
    qm__put64(buf + XML_AT_MAGIC, XML_MAGIC);
    qm__put32(buf + XML_AT_VERSION, FORMAT_VERSION);
    qm__put32(buf + XML_AT_LENGTH, (uint32_t) length);
    qm__put64(buf + XML_AT_SEQUENCE, sequence);
    qm__put32(buf + XML_AT_TEXT_CRC, qm__crc32c(0, xml, length));
    qm__put32(buf + XML_AT_CRC, qm__crc32c(0, buf, XML_AT_CRC));
    memcpy(buf + QM_XML_HEADER, xml, length);
    *ret_buf = buf;
    *ret_length = QM_XML_HEADER + length;
    return true;
}

size_t
qm__xml_length(const uint8_t *header, uint64_t *ret_sequence)
{
    size_t length = qm__get32(header + XML_AT_LENGTH);

    if (qm__get64(header + XML_AT_MAGIC) != XML_MAGIC ||
        qm__get32(header + XML_AT_CRC) != qm__crc32c(0, header, XML_AT_CRC) ||
        qm__get32(header + XML_AT_VERSION) != FORMAT_VERSION ||
        length > QM_XML_MAX - QM_XML_HEADER)
        return 0;
    *ret_sequence = qm__get64(header + XML_AT_SEQUENCE);
    return length;
}

bool
qm__xml_in(const uint8_t *buf, size_t length, char **ret_xml, GError **error)
{
    uint64_t sequence;
    size_t text;

    if (length < QM_XML_HEADER)
        return corrupt("domain XML: it is cut short", error);
    text = qm__xml_length(buf, &sequence);
    if (text == 0 || text > length - QM_XML_HEADER)
        return corrupt("domain XML: its header is wrong", error);
    if (qm__get32(buf + XML_AT_TEXT_CRC) !=
            qm__crc32c(0, buf + QM_XML_HEADER, text) ||
        memchr(buf + QM_XML_HEADER, '\0', text) != NULL)
        return corrupt("domain XML: checksum is wrong", error);
    *ret_xml = g_strndup((const char *) buf + QM_XML_HEADER, text);
    return true;
}
