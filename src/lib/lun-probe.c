/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * What the LUN is: there, a disk, ready; its size, block size, limits and
 * identity.  Nothing that a target says is trusted before it is checked.
 */
#include "config.h"
#include <inttypes.h>
#include <string.h>
#include "lun-internal.h"

#define TRANSFER_MAX (1024 * 1024) /* bytes: more gained nothing */
#define BLOCK_MIN    512
#define BLOCK_MAX    (64 * 1024)
#define ANSWER_MAX   252 /* bytes */

enum {
    LUN_NOT_SUPPORTED = 0x2500, /* ASC << 8 | ASCQ */
    PAGE_SERIAL = 0x80,
    PAGE_IDENTIFICATION = 0x83,
    PAGE_BLOCK_LIMITS = 0xB0,
    MODE_ALL_PAGES = 0x3F,
    MODE_DPOFUA = 0x10,
    MODE_WRITE_PROTECT = 0x80
};

static bool
missing(const qm_lun *lun, GError **error)
{
    g_set_error(error, QM_ERROR, QM_ERROR_NOT_FOUND,
                "there is no %s: check the LUN's number", lun->name);
    return false;
}

/* Unit attentions of the login (29/00, LUNs changed …) end here. */
static bool
wait_ready(qm_lun *lun, int64_t deadline, GError **error)
{
    const qm_scsi_request ready = {.cdb_length = 6,
                                   .direction = SCSI_XFER_NONE};
    qm_scsi_status status;

    if (!qm__scsi_execute(lun, "waiting for", &ready, NULL, deadline, &status,
                          NULL, error))
        return false;
    if (status.ascq == LUN_NOT_SUPPORTED)
        return missing(lun, error);
    /* Reserved by somebody: it is there, and that is not asked here. */
    return status.result == QM_SCSI_GOOD || status.result == QM_SCSI_FENCED ||
           qm__scsi_fail(lun, "waiting for", &status, error);
}

/* Asks for something that may be missing.  @ret_length: 0 then. */
static bool
ask(qm_lun *lun, const qm_scsi_request *request, uint8_t *buf, int64_t deadline,
    size_t *ret_length, GError **error)
{
    qm_scsi_status status;
    uint32_t length = 0;

    memset(buf, 0, request->length);
    if (!qm__scsi_execute(lun, "asking", request, buf, deadline, &status,
                          &length, error))
        return false;
    *ret_length = status.result == QM_SCSI_GOOD ? length : 0;
    return true;
}

static bool
inquire(qm_lun *lun, int page, uint8_t *buf, int64_t deadline,
        size_t *ret_length, GError **error)
{
    const qm_scsi_request request = {
        .cdb = {SCSI_OPCODE_INQUIRY, page >= 0 ? 1 : 0,
                page >= 0 ? (uint8_t) page : 0, 0, ANSWER_MAX},
        .cdb_length = 6,
        .direction = SCSI_XFER_READ,
        .length = ANSWER_MAX,
        .short_ok = true};

    return ask(lun, &request, buf, deadline, ret_length, error);
}

static bool
check_disk(qm_lun *lun, int64_t deadline, GError **error)
{
    uint8_t buf[ANSWER_MAX];
    size_t length;

    if (!inquire(lun, -1, buf, deadline, &length, error))
        return false;
    if (length < 5 || buf[0] >> 5 != 0)
        return missing(lun, error);
    if ((buf[0] & 0x1f) == 0)
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_INVALID,
                "%s is not a disk but a device of type %#x: check the LUN's "
                "number (many targets begin at 1)",
                lun->name, buf[0] & 0x1f);
    return false;
}

static bool
read_capacity(qm_lun *lun, int64_t deadline, GError **error)
{
    const qm_scsi_request request = {
        .cdb = {SCSI_OPCODE_SERVICE_ACTION_IN, 0x10, [13] = 32},
        .cdb_length = 16,
        .direction = SCSI_XFER_READ,
        .length = 32,
        .short_ok = true};
    uint8_t buf[32] = {0};
    qm_scsi_status status;
    uint32_t length, block;
    uint64_t last;

    if (!qm__scsi_execute(lun, "asking the size of", &request, buf, deadline,
                          &status, &length, error))
        return false;
    if (status.result != QM_SCSI_GOOD)
        return qm__scsi_fail(lun, "asking the size of", &status, error);
    last = qm__be64(buf);
    block = qm__be32(buf + 8);
    if (length < 12 || block < BLOCK_MIN || block > BLOCK_MAX ||
        (block & (block - 1)) != 0 || last >= (uint64_t) INT64_MAX / block) {
        g_set_error(error, QM_ERROR, QM_ERROR_UNSUPPORTED,
                    "%s: blocks of %" PRIu32 " bytes, last block %" PRIu64
                    ": cannot work with that",
                    lun->name, block, last);
        return false;
    }
    lun->info.block_size = block;
    lun->info.size = (last + 1) * block;
    return true;
}

static bool
read_limits(qm_lun *lun, int64_t deadline, GError **error)
{
    uint32_t block = lun->info.block_size;
    uint64_t most = TRANSFER_MAX;
    uint8_t buf[ANSWER_MAX];
    size_t length;

    if (!inquire(lun, PAGE_BLOCK_LIMITS, buf, deadline, &length, error))
        return false;
    if (length >= 12 && buf[1] == PAGE_BLOCK_LIMITS && qm__be32(buf + 8) != 0)
        most = MIN(most, (uint64_t) qm__be32(buf + 8) * block);
    lun->info.max_transfer = (uint32_t) (most - most % block);
    return true;
}

static bool
read_mode(qm_lun *lun, int64_t deadline, GError **error)
{
    const qm_scsi_request request = {
        .cdb = {SCSI_OPCODE_MODESENSE6, 0x08, MODE_ALL_PAGES, 0, ANSWER_MAX},
        .cdb_length = 6,
        .direction = SCSI_XFER_READ,
        .length = ANSWER_MAX,
        .short_ok = true};
    uint8_t buf[ANSWER_MAX];
    size_t length;

    if (!ask(lun, &request, buf, deadline, &length, error))
        return false;
    lun->info.fua = length >= 4 && (buf[2] & MODE_DPOFUA) != 0;
    lun->info.read_only = length >= 4 && (buf[2] & MODE_WRITE_PROTECT) != 0;
    return true;
}

/* --- identity ------------------------------------------------------------ */

/* Printable text without outer blanks. */
static void
set_serial(qm_lun *lun, const uint8_t *text, size_t length)
{
    char *serial = lun->info.serial;

    length = MIN(length, sizeof lun->info.serial - 1);
    memcpy(serial, text, length);
    serial[length] = '\0';
    for (char *p = serial; *p != '\0'; p++)
        if (!g_ascii_isprint(*p))
            *p = '?';
    g_strstrip(serial);
}

static void
set_serial_hex(qm_lun *lun, const uint8_t *id, size_t length)
{
    length = MIN(length, (sizeof lun->info.serial - 1) / 2);
    for (size_t i = 0; i < length; i++)
        g_snprintf(lun->info.serial + 2 * i, 3, "%02x", id[i]);
}

/* The first designator of the LUN itself that is unique in the world. */
static void
pick_designator(qm_lun *lun, const uint8_t *page, size_t length)
{
    size_t end, at = 4;

    if (length < 4)
        return;
    end = MIN(length, 4 + ((size_t) page[2] << 8 | page[3]));
    while (at + 4 <= end && at + 4 + page[at + 3] <= end) {
        const uint8_t *d = page + at;
        int association = d[1] >> 4 & 3, type = d[1] & 0x0f;

        if (association == 0 && d[3] > 0 && (type == 2 || type == 3)) {
            set_serial_hex(lun, d + 4, d[3]);
            return;
        }
        if (association == 0 && d[3] > 0 && type == 1)
            set_serial(lun, d + 4, d[3]); /* unless a better one follows */
        at += 4 + (size_t) d[3];
    }
}

static bool
read_identity(qm_lun *lun, int64_t deadline, GError **error)
{
    uint8_t buf[ANSWER_MAX];
    size_t length;

    if (!inquire(lun, PAGE_SERIAL, buf, deadline, &length, error))
        return false;
    if (length > 4 && buf[1] == PAGE_SERIAL)
        set_serial(lun, buf + 4, MIN(length - 4, buf[3]));
    if (lun->info.serial[0] != '\0')
        return true;
    if (!inquire(lun, PAGE_IDENTIFICATION, buf, deadline, &length, error))
        return false;
    if (length > 4 && buf[1] == PAGE_IDENTIFICATION)
        pick_designator(lun, buf, length);
    return true;
}

bool
qm__lun_same(const char *serial_then, uint64_t size_then, const char *serial,
             uint64_t size)
{
    if (strcmp(serial_then, serial) != 0)
        return false;
    return serial[0] != '\0' ? size >= size_then : size == size_then;
}

bool
qm__lun_probe(qm_lun *lun, int64_t deadline, GError **error)
{
    return wait_ready(lun, deadline, error) &&
           check_disk(lun, deadline, error) &&
           read_capacity(lun, deadline, error) &&
           read_limits(lun, deadline, error) &&
           read_mode(lun, deadline, error) &&
           read_identity(lun, deadline, error);
}
