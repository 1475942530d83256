/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The record's disk format.  A record is believed only when magic, version,
 * length, checksum, VM and every value are right; a torn write never costs
 * more than the copy that was being written.
 */
#include "config.h"
#include <string.h>
#include <uuid/uuid.h>
#include <quickmig/error.h>
#include "codec.h"
#include "crc32c.h"

#include <quickmig/record.h>

#define MAGIC          UINT64_C(0x4443455247494d51) /* "QMIGRECD" */
#define FORMAT_VERSION 1

/* Offsets; the checksum covers everything before it. */
enum {
    AT_MAGIC = 0,
    AT_VERSION = 8,
    AT_LENGTH = 12,
    AT_UUID = 16,
    AT_SEQUENCE = 32,
    AT_GENERATION = 40,
    AT_IMAGE_ID = 48,
    AT_IMAGE_LENGTH = 56,
    AT_STATE = 64,
    AT_FAILED = 68,
    AT_TIME = 72,
    AT_KEY = 80,
    AT_OWNER = 88,
    AT_TARGET = 176,
    AT_CAUSE = 264,
    AT_FENCED = 392, /* an earlier quickmig wrote zeros here */
    AT_CRC = QM_RECORD_SIZE - 4
};

/* A node within the record: id, 4 bytes pad, boot, name. */
enum { NODE_ID = 0, NODE_BOOT = 8, NODE_NAME = 24, NODE_SIZE = 88 };

G_STATIC_ASSERT(NODE_NAME + QM_NAME_MAX == NODE_SIZE);
G_STATIC_ASSERT(AT_OWNER + NODE_SIZE == AT_TARGET);
G_STATIC_ASSERT(AT_TARGET + NODE_SIZE == AT_CAUSE);
G_STATIC_ASSERT(AT_CAUSE + QM_CAUSE_MAX == AT_FENCED);

static const char *const state_names[] = {
    [QM_STATE_OFF] = "OFF",
    [QM_STATE_RUNNING] = "RUNNING",
    [QM_STATE_SAVING] = "SAVING",
    [QM_STATE_SAVED] = "SAVED",
    [QM_STATE_RESTORING] = "RESTORING",
};

const char *
qm_state_name(qm_state state)
{
    return (unsigned) state < QM_STATE_COUNT ? state_names[state] : "?";
}

static void
node_out(const qm_node *node, uint8_t *p)
{
    qm__put32(p + NODE_ID, node->id);
    memcpy(p + NODE_BOOT, node->boot, QM_UUID_LEN);
    memcpy(p + NODE_NAME, node->name, strnlen(node->name, QM_NAME_MAX - 1));
}

static bool
node_in(const uint8_t *p, qm_node *node)
{
    node->id = qm__get32(p + NODE_ID);
    memcpy(node->boot, p + NODE_BOOT, QM_UUID_LEN);
    memcpy(node->name, p + NODE_NAME, QM_NAME_MAX);
    return node->name[QM_NAME_MAX - 1] == '\0';
}

void
qm_record_out(const qm_record *record, const uint8_t *vm_uuid, uint8_t *buf)
{
    memset(buf, 0, QM_RECORD_SIZE);
    qm__put64(buf + AT_MAGIC, MAGIC);
    qm__put32(buf + AT_VERSION, FORMAT_VERSION);
    qm__put32(buf + AT_LENGTH, QM_RECORD_SIZE);
    memcpy(buf + AT_UUID, vm_uuid, QM_UUID_LEN);
    qm__put64(buf + AT_SEQUENCE, record->sequence);
    qm__put64(buf + AT_GENERATION, record->generation);
    qm__put64(buf + AT_IMAGE_ID, record->image_id);
    qm__put64(buf + AT_IMAGE_LENGTH, record->image_length);
    qm__put32(buf + AT_STATE, record->state);
    qm__put32(buf + AT_FAILED, record->failed_restores);
    qm__put64(buf + AT_TIME, (uint64_t) record->time_us);
    qm__put64(buf + AT_KEY, record->key);
    node_out(&record->owner, buf + AT_OWNER);
    node_out(&record->target, buf + AT_TARGET);
    memcpy(buf + AT_CAUSE, record->cause,
           strnlen(record->cause, QM_CAUSE_MAX - 1));
    qm__put64(buf + AT_FENCED, (uint64_t) record->fenced_us);
    qm__put32(buf + AT_CRC, qm__crc32c(0, buf, AT_CRC));
}

static bool
corrupt(const char *what, GError **error)
{
    g_set_error(error, QM_ERROR, QM_ERROR_CORRUPT, "record: %s", what);
    return false;
}

/* Magic, version, length, checksum and VM: may the rest be looked at? */
static bool
check_envelope(const uint8_t *buf, const uint8_t *vm_uuid, GError **error)
{
    char found[UUID_STR_LEN];

    if (qm__get64(buf + AT_MAGIC) != MAGIC)
        return corrupt("not a record (bad magic)", error);
    if (qm__get32(buf + AT_CRC) != qm__crc32c(0, buf, AT_CRC))
        return corrupt("checksum is wrong", error);
    if (qm__get32(buf + AT_VERSION) != FORMAT_VERSION) {
        g_set_error(error, QM_ERROR, QM_ERROR_FORMAT,
                    "record: format version %u, this program knows %u; "
                    "update quickmig on this node",
                    qm__get32(buf + AT_VERSION), FORMAT_VERSION);
        return false;
    }
    if (qm__get32(buf + AT_LENGTH) != QM_RECORD_SIZE)
        return corrupt("length is wrong", error);
    if (memcmp(buf + AT_UUID, vm_uuid, QM_UUID_LEN) != 0) {
        uuid_unparse_lower(buf + AT_UUID, found);
        g_set_error(error, QM_ERROR, QM_ERROR_MISMATCH,
                    "record belongs to another VM (%s)", found);
        return false;
    }
    return true;
}

bool
qm_record_in(const uint8_t *buf, const uint8_t *vm_uuid, qm_record *ret_record,
             GError **error)
{
    qm_record r = {0};
    uint32_t state;

    if (!check_envelope(buf, vm_uuid, error))
        return false;
    state = qm__get32(buf + AT_STATE);
    if (state >= QM_STATE_COUNT)
        return corrupt("unknown state", error);
    r.state = (qm_state) state;
    r.sequence = qm__get64(buf + AT_SEQUENCE);
    r.generation = qm__get64(buf + AT_GENERATION);
    r.image_id = qm__get64(buf + AT_IMAGE_ID);
    r.image_length = qm__get64(buf + AT_IMAGE_LENGTH);
    r.failed_restores = qm__get32(buf + AT_FAILED);
    r.time_us = (int64_t) qm__get64(buf + AT_TIME);
    r.key = qm__get64(buf + AT_KEY);
    memcpy(r.cause, buf + AT_CAUSE, QM_CAUSE_MAX);
    r.fenced_us = (int64_t) qm__get64(buf + AT_FENCED);
    if (!node_in(buf + AT_OWNER, &r.owner) ||
        !node_in(buf + AT_TARGET, &r.target) ||
        r.cause[QM_CAUSE_MAX - 1] != '\0')
        return corrupt("a text is not terminated", error);
    if (r.owner.id == 0 &&
        (r.state == QM_STATE_RUNNING || r.state == QM_STATE_SAVING ||
         r.state == QM_STATE_RESTORING))
        return corrupt("a state with an owner names none", error);
    *ret_record = r;
    return true;
}

bool
qm_record_pick(const uint8_t *copy0, const uint8_t *copy1,
               const uint8_t *vm_uuid, qm_record *ret_record, int *ret_copy,
               GError **error)
{
    qm_record r[2] = {0};
    g_autoptr(GError) e0 = NULL;
    g_autoptr(GError) e1 = NULL;
    bool ok0 = qm_record_in(copy0, vm_uuid, &r[0], &e0);
    bool ok1 = qm_record_in(copy1, vm_uuid, &r[1], &e1);
    int pick;

    /* A copy of another VM or of a newer program is no torn write: whatever
     * the other copy says, this program must not go on. */
    if (!ok0 && e0->code != QM_ERROR_CORRUPT) {
        g_propagate_error(error, g_steal_pointer(&e0));
        return false;
    }
    if (!ok1 && e1->code != QM_ERROR_CORRUPT) {
        g_propagate_error(error, g_steal_pointer(&e1));
        return false;
    }
    if (!ok0 && !ok1) {
        g_set_error(error, QM_ERROR, QM_ERROR_CORRUPT,
                    "both copies of the record are damaged (%s; %s)",
                    e0->message, e1->message);
        return false;
    }
    pick = !ok0 || (ok1 && r[1].sequence > r[0].sequence);
    *ret_record = r[pick];
    if (ret_copy != NULL)
        *ret_copy = pick;
    return true;
}
