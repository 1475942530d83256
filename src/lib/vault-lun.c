/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * A vault on a LUN of its own.  Reading needs no right and takes a nexus of
 * its own; writing needs the reservation, which acquire takes on the one
 * writer's nexus of this node.  From then on everything goes through that
 * nexus, so that what is read is what the holder sees.  A write has reached
 * the medium when it returns.
 */
#include "config.h"
#include <string.h>
#include "reservation.h"
#include "timeouts.h"
#include "vault-backend.h"

#define KIB        UINT64_C(1024)
#define MIB        (1024 * KIB)
#define AT_IMAGE   (4 * MIB)
#define BLOCK_MAX  4096        /* one copy of the record has to hold blocks */
#define MOVE_MIN   (64 * 1024) /* bytes per command that an image needs */
#define SILENCE    (15 * QM_S) /* without an answer: the session is lost */
#define VERIFY_MAX 3           /* resets by others that one call puts up with */

/* Where an area begins, and how far its copies are apart. */
static const struct {
    uint64_t offset;
    uint32_t step; /* bytes */
    unsigned copies;
} areas[QM_AREA_COUNT] = {
    [QM_AREA_SUPERBLOCK] = {0, 4096, 1},
    [QM_AREA_RECORD] = {64 * KIB, 4096, 2},
    [QM_AREA_HISTORY] = {128 * KIB, QM_HISTORY_SIZE, QM_HISTORY_SLOTS},
    [QM_AREA_DISKS] = {768 * KIB, QM_DISKS_SIZE, 1},
    [QM_AREA_XML] = {MIB, QM_XML_MAX, 2},
};

typedef struct {
    qm_backend base;
    qm_store store;    /* the open image */
    qm_lun *on;        /* the nexus it is on; NULL: lost, or no image open */
    const qm_url *url; /* the vault's */
    char *initiator;
    char *secret;
    uint16_t node_id;
    qm_lun *reader; /* never NULL */
    qm_lun *writer; /* NULL: not acquired */
    uint64_t key;   /* the writer's; 0: not acquired */
    bool doubt;     /* the writer was told something: verify it */
    int64_t heard;  /* monotonic µs: the last answer for the image */
    int64_t deadline;
} lun_backend;

static lun_backend *
from_base(qm_backend *base)
{
    return (lun_backend *) base;
}

/* --- sessions ------------------------------------------------------------ */

static bool
log_in(lun_backend *b, qm_nexus nexus, int64_t deadline, qm_lun **ret_lun,
       GError **error)
{
    qm_lun_params params = {
        .url = b->url,
        .initiator = b->initiator,
        .chap_secret = b->secret,
        .nexus = nexus,
        .node_id = b->node_id,
    };

    return qm__lun_open(&params, deadline, ret_lun, error);
}

static void
drop_writer(lun_backend *b)
{
    qm_lun *writer = g_steal_pointer(&b->writer);

    b->key = 0;
    b->doubt = false;
    if (b->on == writer)
        b->on = NULL;
    qm__lun_drop(writer);
}

/* A reader has nothing to lose: another session is as good. */
static bool
fresh_reader(lun_backend *b, GError **error)
{
    qm_lun *lun;

    if (!qm__lun_lost(b->reader))
        return true;
    if (!log_in(b, QM_NEXUS_READER, b->deadline, &lun, error))
        return false;
    if (b->on == b->reader)
        b->on = NULL;
    qm__lun_drop(b->reader);
    b->reader = lun;
    return true;
}

static void
lun_close(qm_backend *base)
{
    lun_backend *b = from_base(base);

    qm__lun_close(b->writer); /* the reservation stays */
    qm__lun_close(b->reader);
    if (b->secret != NULL)
        explicit_bzero(b->secret, strlen(b->secret));
    g_free(b->secret);
    g_free(b->initiator);
    g_free(b);
}

static bool
check_geometry(const qm_lun_info *info, GError **error)
{
    if (info->block_size > BLOCK_MAX) {
        g_set_error(error, QM_ERROR, QM_ERROR_UNSUPPORTED,
                    "blocks of %u bytes; a vault needs 512 to %u",
                    info->block_size, BLOCK_MAX);
        return false;
    }
    if (info->size <= AT_IMAGE) {
        g_set_error(error, QM_ERROR, QM_ERROR_INVALID,
                    "a LUN of %" G_GUINT64_FORMAT
                    " bytes is too small for a vault",
                    info->size);
        return false;
    }
    return true;
}

static bool
lun_open(const qm_url *url, const qm_vault_params *params, int64_t deadline,
         qm_backend **ret, GError **error)
{
    lun_backend *b = g_new0(lun_backend, 1);

    b->base.ops = &qm__vault_lun_ops;
    b->url = url;
    b->initiator = g_strdup(params->initiator);
    b->secret = g_strdup(params->chap_secret);
    b->node_id = params->node_id;
    b->deadline = deadline;
    if (!log_in(b, QM_NEXUS_READER, deadline, &b->reader, error) ||
        !check_geometry(qm__lun_info(b->reader), error)) {
        lun_close(&b->base);
        return false;
    }
    *ret = &b->base;
    return true;
}

static void
lun_set_deadline(qm_backend *base, int64_t deadline)
{
    from_base(base)->deadline = deadline;
}

/* Somebody reset the LUN, or took it: only the reservation tells which. */
static bool
holds_still(lun_backend *b, GError **error)
{
    b->doubt = !qm__pr_verify(b->writer, b->key, b->deadline, error);
    return !b->doubt;
}

/* --- areas --------------------------------------------------------------- */

/* A range of an area, and the whole blocks around it. */
typedef struct {
    uint64_t offset; /* bytes, of the range */
    size_t length;
    uint64_t start; /* bytes, of the blocks */
    size_t span;
} range;

static bool
find_range(const qm_lun *lun, qm_area area, unsigned copy, size_t length,
           range *r, GError **error)
{
    uint32_t block = qm__lun_info(lun)->block_size;
    /* The ring of the history may be read as one. */
    uint64_t room = area == QM_AREA_HISTORY
                        ? (uint64_t) QM_HISTORY_SIZE * QM_HISTORY_SLOTS
                        : areas[area].step;
    uint64_t within =
        area == QM_AREA_HISTORY ? (uint64_t) copy * QM_HISTORY_SIZE : 0;

    if (copy >= areas[area].copies || length == 0 || length > room - within) {
        g_set_error(error, QM_ERROR, QM_ERROR_INTERNAL,
                    "area %d, copy %u, %zu bytes: out of range", area, copy,
                    length);
        return false;
    }
    r->offset = areas[area].offset + (uint64_t) copy * areas[area].step;
    r->length = length;
    r->start = r->offset - r->offset % block;
    r->span = (r->offset + length + block - 1) / block * block - r->start;
    return true;
}

static bool
read_range(qm_lun *lun, const range *r, int64_t deadline, void *buf,
           GError **error)
{
    g_autofree uint8_t *whole = NULL;

    if (r->span == r->length)
        return qm__lun_read(lun, r->start, buf, r->length, deadline, error);
    whole = g_malloc(r->span);
    if (!qm__lun_read(lun, r->start, whole, r->span, deadline, error))
        return false;
    memcpy(buf, whole + (r->offset - r->start), r->length);
    return true;
}

/* What the range shares its first and last block with stays as it is. */
static bool
write_range(qm_lun *lun, const range *r, int64_t deadline, const void *buf,
            GError **error)
{
    uint32_t block = qm__lun_info(lun)->block_size;
    size_t lead = r->offset - r->start;
    size_t last = r->span - block;
    g_autofree uint8_t *whole = NULL;

    if (r->span == r->length)
        return qm__lun_write(lun, r->start, buf, r->length, deadline, error);
    whole = g_malloc(r->span);
    if ((lead > 0 &&
         !qm__lun_read(lun, r->start, whole, block, deadline, error)) ||
        (lead + r->length < r->span && (lead == 0 || last > 0) &&
         !qm__lun_read(lun, r->start + last, whole + last, block, deadline,
                       error)))
        return false;
    memcpy(whole + lead, buf, r->length);
    return qm__lun_write(lun, r->start, whole, r->span, deadline, error);
}

/* A reset by another initiator may have swallowed the command without an
 * answer: half the time for the first try. */
static bool
read_by_reader(lun_backend *b, const range *r, void *buf, GError **error)
{
    int64_t half = qm__deadline_in(qm__remaining(b->deadline) / 2);
    g_autoptr(GError) why = NULL;

    if (!fresh_reader(b, error))
        return false;
    if (read_range(b->reader, r, half, buf, &why))
        return true;
    if (qm__lun_lost(b->reader))
        return fresh_reader(b, error) &&
               read_range(b->reader, r, b->deadline, buf, error);
    g_propagate_error(error, g_steal_pointer(&why));
    return false;
}

/* Does @once through the writer.  A conflict that turns out to be somebody's
 * reset, while we are still the holder, is no reason to fail. */
static bool
by_writer(lun_backend *b, const range *r, void *buf,
          bool (*once)(lun_backend *, const range *, void *, GError **),
          GError **error)
{
    for (int i = 1;; i++) {
        g_autoptr(GError) why = NULL;

        if (b->doubt && !holds_still(b, error))
            return false;
        if (once(b, r, buf, &why))
            return true;
        b->doubt = g_error_matches(why, QM_ERROR, QM_ERROR_CONFLICT);
        if (!b->doubt || i == VERIFY_MAX) {
            g_propagate_error(error, g_steal_pointer(&why));
            return false;
        }
    }
}

static bool
read_once(lun_backend *b, const range *r, void *buf, GError **error)
{
    return read_range(b->writer, r, b->deadline, buf, error);
}

static bool
write_once(lun_backend *b, const range *r, void *buf, GError **error)
{
    return write_range(b->writer, r, b->deadline, buf, error) &&
           qm__lun_flush(b->writer, b->deadline, error);
}

static bool
lun_read(qm_backend *base, qm_area area, unsigned copy, void *buf,
         size_t length, GError **error)
{
    lun_backend *b = from_base(base);
    range r;

    if (!find_range(b->reader, area, copy, length, &r, error))
        return false;
    return b->writer != NULL ? by_writer(b, &r, buf, read_once, error)
                             : read_by_reader(b, &r, buf, error);
}

static bool
need_key(const lun_backend *b, GError **error)
{
    if (b->key != 0)
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_CONFLICT,
                "it is not acquired for writing");
    return false;
}

static bool
lun_write(qm_backend *base, qm_area area, unsigned copy, const void *buf,
          size_t length, GError **error)
{
    lun_backend *b = from_base(base);
    range r;

    return need_key(b, error) &&
           find_range(b->writer, area, copy, length, &r, error) &&
           by_writer(b, &r, (void *) buf, write_once, error);
}

/* --- the right to write -------------------------------------------------- */

/* Steps (1) to (7) of design §5 on a new session. */
static bool
acquire_anew(lun_backend *b, bool (*check)(void *, GError **), void *opaque,
             int64_t deadline, GError **error)
{
    drop_writer(b);
    return log_in(b, QM_NEXUS_WRITER, deadline, &b->writer, error) &&
           qm__pr_acquire(b->writer, b->node_id, check, opaque, deadline,
                          &b->key, error) &&
           check(opaque, error);
}

static bool
lun_acquire(qm_backend *base, bool (*check)(void *, GError **), void *opaque,
            int64_t deadline, GError **error)
{
    lun_backend *b = from_base(base);

    b->deadline = deadline;
    if (b->key != 0 && !qm__lun_lost(b->writer) && holds_still(b, NULL))
        return check(opaque, error);
    if (acquire_anew(b, check, opaque, deadline, error))
        return true;
    drop_writer(b); /* a session that has no right has no business either */
    return false;
}

static bool
lun_acquired(qm_backend *base)
{
    lun_backend *b = from_base(base);

    return b->key != 0 && !b->doubt && !qm__lun_lost(b->writer);
}

static uint64_t
lun_key(qm_backend *base)
{
    return from_base(base)->key;
}

static bool
lun_holder(qm_backend *base, uint64_t *ret_key, GError **error)
{
    lun_backend *b = from_base(base);
    qm_lun *lun = b->writer;
    qm_pr_state state = {0};

    if (lun == NULL) {
        if (!fresh_reader(b, error))
            return false;
        lun = b->reader;
    }
    if (!qm__pr_read(lun, b->deadline, &state, error))
        return false;
    *ret_key = state.holder;
    qm__pr_state_clear(&state);
    return true;
}

/* --- image --------------------------------------------------------------- */

typedef struct {
    lun_backend *backend;
    qm_lun *lun;
    qm_store_cb cb;
    void *opaque;
    struct iovec iov[]; /* libiscsi changes it on its way */
} transfer;

static lun_backend *
from_store(qm_store *s)
{
    return (lun_backend *) ((char *) s - offsetof(lun_backend, store));
}

static bool
set_lost(GError **error)
{
    g_set_error(error, QM_ERROR, QM_ERROR_LOST,
                "the session to the vault was lost");
    return false;
}

static void
on_transfer(void *opaque, const qm_scsi_status *status)
{
    transfer *t = opaque;
    g_autoptr(GError) why = NULL;

    t->backend->heard = qm__now();
    if (status->result == QM_SCSI_FENCED)
        t->backend->doubt = t->backend->key != 0;
    if (status->result != QM_SCSI_GOOD)
        (void) qm__scsi_fail(t->lun, "moving the image on", status, &why);
    t->cb(t->opaque, why);
    g_free(t);
}

static bool
submit(qm_store *s, qm_lun_op op, uint64_t offset, const struct iovec *iov,
       int n_iov, qm_store_cb cb, void *opaque, GError **error)
{
    lun_backend *b = from_store(s);
    uint64_t length = 0;
    transfer *t;

    for (int i = 0; i < n_iov; i++)
        length += iov[i].iov_len;
    if (offset > s->capacity || length > s->capacity - offset) {
        g_set_error(error, QM_ERROR, QM_ERROR_NO_SPACE,
                    "the vault's image area of %" G_GUINT64_FORMAT
                    " bytes is full",
                    s->capacity);
        return false;
    }
    if (b->on == NULL)
        return set_lost(error);
    if (qm__lun_in_flight(b->on) == 0)
        b->heard = qm__now();
    t = g_malloc(sizeof *t + (size_t) n_iov * sizeof *iov);
    t->backend = b;
    t->lun = b->on;
    t->cb = cb;
    t->opaque = opaque;
    memcpy(t->iov, iov, (size_t) n_iov * sizeof *iov);
    if (qm__lun_submit(b->on, op, AT_IMAGE + offset, t->iov, n_iov, false,
                       on_transfer, t))
        return true;
    g_free(t);
    return set_lost(error);
}

static bool
store_write(qm_store *s, uint64_t offset, const struct iovec *iov, int n_iov,
            qm_store_cb cb, void *opaque, GError **error)
{
    return submit(s, QM_LUN_WRITE, offset, iov, n_iov, cb, opaque, error);
}

static bool
store_read(qm_store *s, uint64_t offset, void *buf, uint32_t length,
           qm_store_cb cb, void *opaque, GError **error)
{
    struct iovec iov = {.iov_base = buf, .iov_len = length};

    return submit(s, QM_LUN_READ, offset, &iov, 1, cb, opaque, error);
}

static bool
store_flush(qm_store *s, int64_t deadline, GError **error)
{
    lun_backend *b = from_store(s);

    return b->on != NULL ? qm__lun_flush(b->on, deadline, error)
                         : set_lost(error);
}

static int
store_get_fd(qm_store *s)
{
    qm_lun *lun = from_store(s)->on;

    return lun != NULL ? qm__lun_fd(lun) : -1;
}

static short
store_events(qm_store *s)
{
    qm_lun *lun = from_store(s)->on;

    return lun != NULL ? qm__lun_events(lun) : 0;
}

/* A guest may be waiting: a target that is silent for long is given up, not
 * waited for until the action's time is over. */
static void
give_up_silent(lun_backend *b)
{
    if (qm__lun_in_flight(b->on) > 0 && qm__now() - b->heard > SILENCE)
        qm__lun_fail(b->on);
}

static bool
store_service(qm_store *s, short revents, GError **error)
{
    lun_backend *b = from_store(s);

    if (b->on == NULL || !qm__lun_service(b->on, revents))
        return set_lost(error);
    give_up_silent(b);
    return !qm__lun_lost(b->on) || set_lost(error);
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
lun_room(qm_backend *base, uint64_t *ret_size, uint64_t *ret_image,
         GError **error)
{
    uint64_t size = qm__lun_info(from_base(base)->reader)->size;
    uint64_t image = size - AT_IMAGE;

    *ret_size = size;
    *ret_image = image - image % BLOCK_MAX;
    return true;
}

static bool
lun_image(qm_backend *base, uint64_t image_id, bool for_writing, qm_store **ret,
          GError **error)
{
    lun_backend *b = from_base(base);
    uint64_t size, room;
    const qm_lun_info *info;

    if ((for_writing && !need_key(b, error)) ||
        (b->writer == NULL && !fresh_reader(b, error)) ||
        !lun_room(base, &size, &room, error))
        return false;
    b->on = b->writer != NULL ? b->writer : b->reader;
    info = qm__lun_info(b->on);
    if (info->max_transfer < MOVE_MIN) {
        g_set_error(error, QM_ERROR, QM_ERROR_UNSUPPORTED,
                    "the target moves only %u bytes a command; a vault needs "
                    "%u",
                    info->max_transfer, MOVE_MIN);
        return false;
    }
    b->store = (qm_store){.ops = &store_ops,
                          .capacity = room,
                          .align = info->block_size,
                          .max_transfer = info->max_transfer};
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
