/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * A vault on a LUN.  Reading goes over a nexus that never registers; writing
 * over the node's one writer nexus, which exists only while this process has
 * acquired the LUN.  A writer that lost its session or its reservation is
 * closed: it can only be acquired anew.
 */
#include "config.h"
#include <inttypes.h>
#include <string.h>
#include "lun-internal.h"
#include "reservation.h"
#include "timeouts.h"
#include "vault-backend.h"

#define KIB          UINT64_C(1024)
#define IMAGE_OFFSET (4096 * KIB)
#define STORE_ALIGN  4096

typedef struct {
    qm_backend base;
    qm_store store;
    qm_url *url;
    char *initiator;   /* NULL: the host's */
    char *chap_secret; /* NULL: none */
    uint16_t node_id;
    qm_lun *reader;
    qm_lun *writer; /* NULL: not acquired */
    qm_lun *image;  /* the one behind the store */
    uint64_t key;   /* with writer */
    int64_t deadline;
} lun_backend;

static const struct {
    uint64_t offset, stride; /* bytes; stride from copy to copy */
} areas[] = {
    [QM_AREA_SUPERBLOCK] = {0, 4 * KIB},
    [QM_AREA_RECORD] = {64 * KIB, 4 * KIB},
    [QM_AREA_HISTORY] = {128 * KIB, QM_HISTORY_SIZE},
    [QM_AREA_XML] = {1024 * KIB, QM_XML_MAX},
};

G_STATIC_ASSERT(128 * KIB + QM_HISTORY_SLOTS * QM_HISTORY_SIZE <= 1024 * KIB);
G_STATIC_ASSERT(1024 * KIB + 2 * QM_XML_MAX <= IMAGE_OFFSET);

static bool
open_nexus(const lun_backend *b, qm_nexus nexus, int64_t deadline,
           qm_lun **ret_lun, GError **error)
{
    qm_lun_params params = {.url = b->url,
                            .initiator = b->initiator,
                            .chap_secret = b->chap_secret,
                            .nexus = nexus,
                            .node_id = b->node_id};

    return qm__lun_open(&params, deadline, ret_lun, error);
}

static qm_lun *
current(const lun_backend *b)
{
    return b->writer != NULL ? b->writer : b->reader;
}

static void
drop_writer(lun_backend *b)
{
    b->key = 0;
    if (b->image == b->writer)
        b->image = NULL;
    qm__lun_close(g_steal_pointer(&b->writer));
}

static void
wipe_and_free(char *secret)
{
    if (secret != NULL)
        explicit_bzero(secret, strlen(secret));
    g_free(secret);
}

static void
lun_close(qm_backend *base)
{
    lun_backend *b = (lun_backend *) base;

    drop_writer(b);
    qm__lun_close(b->reader);
    qm_url_free(b->url);
    g_free(b->initiator);
    wipe_and_free(b->chap_secret);
    g_free(b);
}

static bool
lun_open(const qm_url *url, const qm_vault_params *params, int64_t deadline,
         qm_backend **ret, GError **error)
{
    lun_backend *b = g_new0(lun_backend, 1);

    b->base.ops = &qm__vault_lun_ops;
    b->initiator = g_strdup(params->initiator);
    b->chap_secret = g_strdup(params->chap_secret);
    b->node_id = params->node_id;
    b->deadline = deadline;
    if (!qm_url_parse(url->text, &b->url, error) ||
        !open_nexus(b, QM_NEXUS_READER, deadline, &b->reader, error)) {
        lun_close(&b->base);
        return false;
    }
    *ret = &b->base;
    return true;
}

/* --- small areas ---------------------------------------------------------- */

/* A reader whose session was lost is replaced; a writer never is. */
static bool
need_session(lun_backend *b, GError **error)
{
    qm_lun *fresh;

    if (b->writer != NULL || !qm__lun_lost(b->reader))
        return true;
    if (!open_nexus(b, QM_NEXUS_READER, b->deadline, &fresh, error))
        return false;
    qm__lun_close(b->reader);
    b->reader = fresh;
    b->image = NULL;
    return true;
}

/* The whole blocks around a piece of an area. */
typedef struct {
    uint64_t offset; /* of the first block, bytes */
    size_t length;   /* of the blocks, bytes */
    size_t skip;     /* from there to the piece, bytes */
} extent;

static extent
locate(const lun_backend *b, qm_area area, unsigned copy, size_t length)
{
    uint64_t block = qm__lun_info(b->reader)->block_size;
    uint64_t at = areas[area].offset + copy * areas[area].stride;
    extent x = {.offset = at - at % block, .skip = (size_t) (at % block)};

    x.length = (size_t) ((x.skip + length + block - 1) / block * block);
    return x;
}

static bool
lun_read(qm_backend *base, qm_area area, unsigned copy, void *buf,
         size_t length, GError **error)
{
    lun_backend *b = (lun_backend *) base;
    extent x = locate(b, area, copy, length);
    g_autofree uint8_t *blocks = g_malloc(x.length);

    if (!need_session(b, error) || !qm__lun_read(current(b), x.offset, blocks,
                                                 x.length, b->deadline, error))
        return false;
    memcpy(buf, blocks + x.skip, length);
    return true;
}

static bool
need_writer(const lun_backend *b, GError **error)
{
    if (b->writer != NULL && !qm__lun_lost(b->writer))
        return true;
    g_set_error(error, QM_ERROR,
                b->writer != NULL ? QM_ERROR_LOST : QM_ERROR_CONFLICT,
                b->writer != NULL ? "the session was lost"
                                  : "it is not acquired for writing");
    return false;
}

static bool
write_blocks(lun_backend *b, const extent *x, const uint8_t *blocks,
             GError **error)
{
    return qm__lun_write(b->writer, x->offset, blocks, x->length, b->deadline,
                         error) &&
           qm__lun_flush(b->writer, b->deadline, error);
}

/* A reset that somebody made looks like the loss of the reservation, and may
 * be one: the holder is asked again before a second try. */
static bool
still_holder(lun_backend *b, const GError *why)
{
    return g_error_matches(why, QM_ERROR, QM_ERROR_CONFLICT) &&
           qm__pr_verify(b->writer, b->key, b->deadline, NULL);
}

static bool
lun_write(qm_backend *base, qm_area area, unsigned copy, const void *buf,
          size_t length, GError **error)
{
    lun_backend *b = (lun_backend *) base;
    extent x = locate(b, area, copy, length);
    g_autofree uint8_t *blocks = g_malloc0(x.length);
    g_autoptr(GError) why = NULL;

    if (!need_writer(b, error))
        return false;
    /* Neighbours in the same block stay. */
    if (area == QM_AREA_HISTORY && !qm__lun_read(b->writer, x.offset, blocks,
                                                 x.length, b->deadline, error))
        return false;
    memcpy(blocks + x.skip, buf, length);
    if (write_blocks(b, &x, blocks, &why))
        return true;
    if (still_holder(b, why))
        return write_blocks(b, &x, blocks, error);
    g_propagate_error(error, g_steal_pointer(&why));
    return false;
}

/* --- who may -------------------------------------------------------------- */

static bool
lun_acquire(qm_backend *base, bool (*check)(void *, GError **), void *opaque,
            int64_t deadline, GError **error)
{
    lun_backend *b = (lun_backend *) base;

    if (b->node_id == 0) {
        g_set_error(error, QM_ERROR, QM_ERROR_INVALID,
                    "it was opened for reading only");
        return false;
    }
    b->deadline = deadline;
    drop_writer(b);
    if (!open_nexus(b, QM_NEXUS_WRITER, deadline, &b->writer, error))
        return false;
    if (!qm__pr_acquire(b->writer, b->node_id, check, opaque, deadline, &b->key,
                        error) ||
        !check(opaque, error)) {
        drop_writer(b);
        return false;
    }
    return true;
}

static bool
lun_acquired(qm_backend *base)
{
    lun_backend *b = (lun_backend *) base;

    return b->writer != NULL && !qm__lun_lost(b->writer);
}

static bool
lun_holder(qm_backend *base, uint64_t *ret_key, GError **error)
{
    lun_backend *b = (lun_backend *) base;
    qm_pr_state state = {0};

    if (!need_session(b, error) ||
        !qm__pr_read(current(b), b->deadline, &state, error))
        return false;
    *ret_key = state.holder;
    qm__pr_state_clear(&state);
    return true;
}

static uint64_t
lun_key(qm_backend *base)
{
    return ((lun_backend *) base)->key;
}

static bool
lun_room(qm_backend *base, uint64_t *ret_size, uint64_t *ret_image,
         GError **error)
{
    uint64_t size = qm__lun_info(((lun_backend *) base)->reader)->size;

    if (size <= IMAGE_OFFSET) {
        g_set_error(error, QM_ERROR, QM_ERROR_NO_SPACE,
                    "the LUN has %" PRIu64 " KiB; a vault needs 4 MiB and "
                    "room for the VM's memory",
                    size / KIB);
        return false;
    }
    *ret_size = size;
    *ret_image = (size - IMAGE_OFFSET) / STORE_ALIGN * STORE_ALIGN;
    return true;
}

static void
lun_set_deadline(qm_backend *base, int64_t deadline)
{
    ((lun_backend *) base)->deadline = deadline;
}

/* --- image ---------------------------------------------------------------- */

static lun_backend *
from_store(qm_store *s)
{
    return (lun_backend *) ((char *) s - offsetof(lun_backend, store));
}

/* One read or write on its way. */
typedef struct {
    const qm_lun *lun;
    const char *what; /* "writing the image to" */
    struct iovec iov; /* reads */
    qm_store_cb cb;
    void *opaque;
} transfer;

static void
on_transferred(void *opaque, const qm_scsi_status *status)
{
    transfer *t = opaque;
    g_autoptr(GError) error = NULL;

    if (status->result != QM_SCSI_GOOD)
        (void) qm__scsi_fail(t->lun, t->what, status, &error);
    t->cb(t->opaque, error);
    g_free(t);
}

static transfer *
transfer_new(const char *what, qm_store_cb cb, void *opaque)
{
    transfer *t = g_new0(transfer, 1);

    t->what = what;
    t->cb = cb;
    t->opaque = opaque;
    return t;
}

static bool
submit(lun_backend *b, transfer *t, qm_lun_op op, uint64_t offset,
       struct iovec *iov, int n_iov, GError **error)
{
    t->lun = b->image;
    if (qm__lun_submit(b->image, op, IMAGE_OFFSET + offset, iov, n_iov, false,
                       on_transferred, t))
        return true;
    g_free(t);
    g_set_error(error, QM_ERROR, QM_ERROR_LOST,
                "the session to the vault was lost");
    return false;
}

static bool
store_write(qm_store *s, uint64_t offset, const struct iovec *iov, int n_iov,
            qm_store_cb cb, void *opaque, GError **error)
{
    return submit(from_store(s),
                  transfer_new("writing the image to", cb, opaque),
                  QM_LUN_WRITE, offset, (struct iovec *) iov, n_iov, error);
}

static bool
store_read(qm_store *s, uint64_t offset, void *buf, uint32_t length,
           qm_store_cb cb, void *opaque, GError **error)
{
    transfer *t = transfer_new("reading the image from", cb, opaque);

    t->iov = (struct iovec){buf, length};
    return submit(from_store(s), t, QM_LUN_READ, offset, &t->iov, 1, error);
}

static bool
store_flush(qm_store *s, int64_t deadline, GError **error)
{
    return qm__lun_flush(from_store(s)->image, deadline, error);
}

static int
store_get_fd(qm_store *s)
{
    return qm__lun_fd(from_store(s)->image);
}

static short
store_events(qm_store *s)
{
    return qm__lun_events(from_store(s)->image);
}

static bool
store_service(qm_store *s, short revents, GError **error)
{
    if (qm__lun_service(from_store(s)->image, revents))
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_LOST,
                "the session to the vault was lost");
    return false;
}

static const qm_store_ops store_ops = {
    .write = store_write,
    .read = store_read,
    .flush = store_flush,
    .get_fd = store_get_fd,
    .events = store_events,
    .service = store_service,
};

static bool
lun_image(qm_backend *base, uint64_t image_id, bool for_writing, qm_store **ret,
          GError **error)
{
    lun_backend *b = (lun_backend *) base;
    uint64_t size, room;

    if ((for_writing ? !need_writer(b, error) : !need_session(b, error)) ||
        !lun_room(base, &size, &room, error))
        return false;
    b->image = current(b);
    b->store = (qm_store){.ops = &store_ops,
                          .capacity = room,
                          .align = STORE_ALIGN,
                          .max_transfer = qm__lun_info(b->image)->max_transfer};
    *ret = &b->store;
    return true;
}

const qm_backend_ops qm__vault_lun_ops = {
    .open = lun_open,
    .close = lun_close,
    .read = lun_read,
    .write = lun_write,
    .acquire = lun_acquire,
    .acquired = lun_acquired,
    .holder = lun_holder,
    .key = lun_key,
    .image = lun_image,
    .room = lun_room,
    .set_deadline = lun_set_deadline,
};
