/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * An image.  The input is the log in short: of each header the bytes that
 * mean something, of each payload what it has without padding; checksums and
 * digest are made right when the first byte says so, so that what lies behind
 * them (lengths, decompression) is reached.
 */
#include "config.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "codec.h"
#include "crc32c.h"
#include "fuzz.h"
#include "image.h"
#include "timeouts.h"

#define CAPACITY (128 * 1024)
#define SHORT    128 /* bytes of a header in the input */
#define IMAGE_ID 7
#define WAIT     (10 * QM_S)

/* Where qm__chunk_out() puts what is made right. */
enum {
    AT_FLAGS = 12,
    AT_STORED = 52,
    AT_PAYLOAD_CRC = 60,
    AT_TOTAL = 64,
    AT_DIGEST = 72,
    AT_CRC = QM_CHUNK_HEADER - 4
};

static const uint8_t vm[QM_UUID_LEN] = {0xaa, 0xbb};

/* --- a store in memory --------------------------------------------------- */

typedef struct {
    qm_store base;
    uint8_t *memory;
} memory_store;

static bool
store_read(qm_store *s, uint64_t offset, void *buf, uint32_t length,
           qm_store_cb cb, void *opaque, GError **error)
{
    const memory_store *m = (const memory_store *) s;

    FUZZ_CHECK(offset <= s->capacity && length <= s->capacity - offset);
    FUZZ_CHECK(length > 0 && length <= s->max_transfer);
    memcpy(buf, m->memory + offset, length);
    cb(opaque, NULL);
    return true;
}

static int
store_fd(qm_store *s)
{
    return -1;
}

static short
store_events(qm_store *s)
{
    return 0;
}

static bool
store_service(qm_store *s, short revents, GError **error)
{
    return true;
}

static const qm_store_ops ops = {
    .read = store_read,
    .get_fd = store_fd,
    .events = store_events,
    .service = store_service,
};

/* --- the log ------------------------------------------------------------- */

/* false: it was the last one. */
static bool
repair(uint8_t *block, uint32_t stored, GChecksum *digest, uint64_t *total)
{
    qm_chunk c;

    qm__put32(block + AT_PAYLOAD_CRC,
              qm__crc32c(0, block + QM_CHUNK_HEADER, stored));
    qm__put32(block + AT_CRC, qm__crc32c(0, block, AT_CRC));
    if (!qm__chunk_in(block, vm, &c, NULL))
        return true;
    *total += c.raw_length;
    qm__digest_add(digest, &c);
    if (!(c.flags & QM_CHUNK_LAST))
        return true;
    qm__put64(block + AT_TOTAL, *total);
    qm__digest_get(digest, block + AT_DIGEST);
    qm__put32(block + AT_CRC, qm__crc32c(0, block, AT_CRC));
    return false;
}

static void
unfold(const uint8_t *data, size_t size, bool right, uint8_t *log)
{
    g_autoptr(GChecksum) digest = g_checksum_new(G_CHECKSUM_SHA256);
    uint64_t total = 0;
    size_t at = 0;

    while (size > 0 && at + QM_CHUNK_HEADER <= CAPACITY) {
        uint8_t *block = log + at;
        size_t n = MIN(size, (size_t) SHORT), room;
        uint32_t stored;

        memcpy(block, data, n);
        data += n;
        size -= n;
        at += QM_CHUNK_HEADER;
        room = MIN(size, CAPACITY - at);
        stored = qm__get32(block + AT_STORED);
        n = MIN(stored, room);
        memcpy(log + at, data, n);
        data += n;
        size -= n;
        if (right)
            right = repair(block, MIN(stored, CAPACITY - (uint32_t) at), digest,
                           &total);
        at += (n + QM_CHUNK_HEADER - 1) / QM_CHUNK_HEADER * QM_CHUNK_HEADER;
    }
}

void
fuzz_image(const uint8_t *data, size_t size)
{
    static uint8_t memory[CAPACITY];
    static int sink = -1;
    bool right = fuzz_repair(&data, &size), read, checked, complete;
    memory_store store = {{.ops = &ops,
                           .capacity = CAPACITY,
                           .align = 512,
                           .max_transfer = 65536},
                          memory};
    uint64_t length;
    g_autoptr(qm_image_reader) r =
        qm__image_reader_new(&store.base, vm, IMAGE_ID);

    if (sink < 0)
        sink = open("/dev/null", O_WRONLY | O_CLOEXEC | O_NONBLOCK);
    memset(memory, 0, sizeof memory);
    unfold(data, size, right, memory);
    FUZZ_TRY(read, qm__image_read_to(r, sink, false, qm__deadline_in(WAIT),
                                     NULL, NULL, &err));
    FUZZ_TRY(checked,
             qm__image_check(&store.base, vm, IMAGE_ID, qm__deadline_in(WAIT),
                             &complete, &length, &err));
    FUZZ_CHECK(checked && length <= CAPACITY);
    /* The check walks the headers alone; it must not miss what can be read. */
    FUZZ_CHECK(!read || complete);
}
