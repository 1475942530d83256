/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The vault, whatever it lies on.  This module owns what is written where and
 * in which order; a backend moves the bytes and says who may.
 *
 * Record and domain XML have two copies and both are written, one after the
 * other, the older first: a torn write leaves the other whole, and one copy
 * that goes bad later never brings back an older state.
 */
#include "config.h"
#include <inttypes.h>
#include <string.h>
#include <unistd.h>
#include <uuid/uuid.h>
#include "crash.h"
#include "timeouts.h"
#include "vault-backend.h"
#include "vault-format.h"

#define COPIES       2
#define RETRY_MIN_US (5 * 1000)
#define RETRY_MAX_US (60 * 1000)

struct qm_vault {
    qm_url *url;
    const qm_backend_ops *ops;
    qm_backend *backend;
    qm_vault_info info;
    int64_t deadline;  /* of the calls that take none */
    int record_copy;   /* the newer one, as read or written last */
    uint64_t sequence; /* highest read or tried */
};

static bool
prefix(const qm_vault *v, GError **error)
{
    g_prefix_error(error, "vault %s: ", v->url->text);
    return false;
}

static bool
open_backend(const qm_vault_params *params, int64_t deadline,
             qm_vault **ret_vault, GError **error)
{
    g_autoptr(qm_vault) v = g_new0(qm_vault, 1);

    if (!qm_url_parse(params->url, &v->url, error))
        return false;
    v->ops = v->url->dir != NULL ? &qm__vault_dir_ops : &qm__vault_lun_ops;
    v->deadline = deadline;
    if (!v->ops->open(v->url, params, deadline, &v->backend, error))
        return prefix(v, error);
    v->ops->set_deadline(v->backend, deadline);
    *ret_vault = g_steal_pointer(&v);
    return true;
}

static bool
read_superblock(qm_vault *v, GError **error)
{
    uint8_t buf[QM_SUPERBLOCK_SIZE];
    qm_vault_info info;

    if (!v->ops->read(v->backend, QM_AREA_SUPERBLOCK, 0, buf, sizeof buf,
                      error) ||
        !qm__superblock_in(buf, &info, error) ||
        !v->ops->room(v->backend, &info.size, &info.image_capacity, error))
        return prefix(v, error);
    v->info = info;
    return true;
}

bool
qm_vault_open(const qm_vault_params *params, int64_t deadline,
              qm_vault **ret_vault, GError **error)
{
    g_autoptr(qm_vault) v = NULL;

    if (!open_backend(params, deadline, &v, error) ||
        !read_superblock(v, error))
        return false;
    *ret_vault = g_steal_pointer(&v);
    return true;
}

void
qm_vault_close(qm_vault *v)
{
    if (v == NULL)
        return;
    if (v->backend != NULL)
        v->ops->close(v->backend);
    qm_url_free(v->url);
    g_free(v);
}

const qm_vault_info *
qm_vault_get_info(const qm_vault *v)
{
    return &v->info;
}

const char *
qm_vault_get_url(const qm_vault *v)
{
    return v->url->text;
}

void
qm__vault_set_deadline(qm_vault *v, int64_t deadline)
{
    v->deadline = deadline;
    v->ops->set_deadline(v->backend, deadline);
}

bool
qm__vault_acquired(qm_vault *v)
{
    return v->ops->acquired(v->backend);
}

bool
qm__vault_image(qm_vault *v, uint64_t image_id, bool for_writing,
                qm_store **ret_store, GError **error)
{
    return v->ops->image(v->backend, image_id, for_writing, ret_store, error) ||
           prefix(v, error);
}

bool
qm__vault_read_area(qm_vault *v, qm_area area, void *buf, size_t length,
                    GError **error)
{
    return v->ops->read(v->backend, area, 0, buf, length, error) ||
           prefix(v, error);
}

bool
qm__vault_write_area(qm_vault *v, qm_area area, const void *buf, size_t length,
                     GError **error)
{
    return v->ops->write(v->backend, area, 0, buf, length, error) ||
           prefix(v, error);
}

bool
qm_vault_read_holder(qm_vault *v, uint64_t *ret_key, GError **error)
{
    return v->ops->holder(v->backend, ret_key, error) || prefix(v, error);
}

/* --- record -------------------------------------------------------------- */

static bool
read_copies(qm_vault *v, qm_record *ret_record, GError **error)
{
    uint8_t buf[COPIES][QM_RECORD_SIZE];

    for (unsigned i = 0; i < COPIES; i++)
        if (!v->ops->read(v->backend, QM_AREA_RECORD, i, buf[i], QM_RECORD_SIZE,
                          error))
            return false;
    if (!qm_record_pick(buf[0], buf[1], v->info.uuid, ret_record,
                        &v->record_copy, error))
        return false;
    v->sequence = MAX(v->sequence, ret_record->sequence);
    return true;
}

bool
qm_vault_read_record(qm_vault *v, qm_record *ret_record, GError **error)
{
    g_autoptr(GError) why = NULL;

    if (read_copies(v, ret_record, &why))
        return true;
    /* Who reads without the lock can meet first the one, then the other copy
     * while it is being written. */
    if (g_error_matches(why, QM_ERROR, QM_ERROR_CORRUPT))
        return read_copies(v, ret_record, error) || prefix(v, error);
    g_propagate_error(error, g_steal_pointer(&why));
    return prefix(v, error);
}

/* The older copy first.  If the second write fails, the first one counts. */
static bool
write_copies(qm_vault *v, const qm_record *record, GError **error)
{
    uint8_t buf[QM_RECORD_SIZE];
    int older = 1 - v->record_copy;

    qm_record_out(record, v->info.uuid, buf);
    if (!v->ops->write(v->backend, QM_AREA_RECORD, (unsigned) older, buf,
                       sizeof buf, error))
        return false;
    v->record_copy = older;
    QM_CRASH_POINT_OF("record-half", qm_state_name(record->state));
    return v->ops->write(v->backend, QM_AREA_RECORD, (unsigned) (1 - older),
                         buf, sizeof buf, error);
}

bool
qm_vault_write_record(qm_vault *v, qm_record *record, GError **error)
{
    qm_record next = *record;

    /* A number is used once, even where the write failed half way. */
    next.sequence = ++v->sequence;
    next.key = v->ops->key(v->backend);
    if (!write_copies(v, &next, error))
        return prefix(v, error);
    *record = next;
    return true;
}

/* --- acquire ------------------------------------------------------------- */

typedef struct {
    qm_vault *vault;
    qm_right_fn right;
    void *opaque;
    qm_record record; /* as read last */
} right_query;

static bool
ask_right(void *opaque, GError **error)
{
    right_query *q = opaque;

    return qm_vault_read_record(q->vault, &q->record, error) &&
           q->right(&q->record, q->opaque, error);
}

/* Losing a race, or the session, is no failure: read and decide again. */
static bool
may_retry(const GError *error)
{
    return g_error_matches(error, QM_ERROR, QM_ERROR_CONFLICT) ||
           g_error_matches(error, QM_ERROR, QM_ERROR_LOST);
}

bool
qm_vault_acquire(qm_vault *v, qm_right_fn right, void *opaque, int64_t deadline,
                 qm_record *ret_record, GError **error)
{
    right_query query = {.vault = v, .right = right, .opaque = opaque};

    v->ops->set_deadline(v->backend, deadline);
    v->deadline = deadline;
    for (;;) {
        g_autoptr(GError) why = NULL;

        if (v->ops->acquire(v->backend, ask_right, &query, deadline, &why)) {
            *ret_record = query.record;
            return true;
        }
        if (!may_retry(why) || qm__passed(deadline)) {
            g_propagate_error(error, g_steal_pointer(&why));
            g_prefix_error(error, "acquiring the vault: ");
            return prefix(v, error);
        }
        g_usleep((gulong) g_random_int_range(RETRY_MIN_US, RETRY_MAX_US));
    }
}

/* --- history ------------------------------------------------------------- */

bool
qm_vault_append_history(qm_vault *v, const qm_history *entry, GError **error)
{
    uint8_t buf[QM_HISTORY_SIZE];

    qm__history_out(entry, buf);
    return v->ops->write(v->backend, QM_AREA_HISTORY,
                         (unsigned) (entry->sequence % QM_HISTORY_SLOTS), buf,
                         sizeof buf, error) ||
           prefix(v, error);
}

bool
qm__vault_history_at(qm_vault *v, uint64_t sequence, qm_history *ret_entry)
{
    uint8_t buf[QM_HISTORY_SIZE];

    return v->ops->read(v->backend, QM_AREA_HISTORY,
                        (unsigned) (sequence % QM_HISTORY_SLOTS), buf,
                        sizeof buf, NULL) &&
           qm__history_in(buf, ret_entry) && ret_entry->sequence == sequence;
}

static int
by_sequence(const void *a, const void *b)
{
    const qm_history *x = a, *y = b;

    return x->sequence < y->sequence ? -1 : x->sequence > y->sequence;
}

bool
qm_vault_read_history(qm_vault *v, GArray **ret_entries, GError **error)
{
    size_t length = QM_HISTORY_SLOTS * QM_HISTORY_SIZE;
    g_autofree uint8_t *buf = g_malloc(length);
    GArray *entries;

    if (!v->ops->read(v->backend, QM_AREA_HISTORY, 0, buf, length, error))
        return prefix(v, error);
    entries = g_array_new(FALSE, FALSE, sizeof(qm_history));
    for (unsigned i = 0; i < QM_HISTORY_SLOTS; i++) {
        qm_history e;

        if (qm__history_in(buf + i * QM_HISTORY_SIZE, &e))
            g_array_append_val(entries, e);
    }
    g_array_sort(entries, by_sequence);
    *ret_entries = entries;
    return true;
}

/* --- domain XML ---------------------------------------------------------- */

/* Reads one copy.  NULL without an error: no valid copy. */
static bool
read_xml_copy(qm_vault *v, unsigned copy, char **ret_xml,
              uint64_t *ret_sequence, GError **error)
{
    uint8_t header[QM_SUPERBLOCK_SIZE];
    g_autofree uint8_t *buf = NULL;
    size_t length;

    if (!v->ops->read(v->backend, QM_AREA_XML, copy, header, sizeof header,
                      error))
        return false;
    *ret_xml = NULL;
    length = qm__xml_length(header, ret_sequence);
    if (length == 0)
        return true;
    buf = g_malloc(QM_XML_HEADER + length);
    if (!v->ops->read(v->backend, QM_AREA_XML, copy, buf,
                      QM_XML_HEADER + length, error))
        return false;
    (void) qm__xml_in(buf, QM_XML_HEADER + length, ret_xml, NULL);
    return true;
}

/* The newer valid copy; @ret_copy: which. */
static bool
pick_xml(qm_vault *v, char **ret_xml, uint64_t *ret_sequence,
         unsigned *ret_copy, GError **error)
{
    g_autofree char *xml0 = NULL;
    g_autofree char *xml1 = NULL;
    uint64_t seq0 = 0, seq1 = 0;
    bool second;

    if (!read_xml_copy(v, 0, &xml0, &seq0, error) ||
        !read_xml_copy(v, 1, &xml1, &seq1, error))
        return false;
    second = xml0 == NULL || (xml1 != NULL && seq1 > seq0);
    *ret_xml = second ? g_steal_pointer(&xml1) : g_steal_pointer(&xml0);
    *ret_sequence = second ? seq1 : seq0;
    *ret_copy = second ? 1 : 0;
    return true;
}

bool
qm_vault_read_xml(qm_vault *v, char **ret_xml, GError **error)
{
    g_autofree char *xml = NULL;
    uint64_t sequence;
    unsigned copy;

    if (!pick_xml(v, &xml, &sequence, &copy, error))
        return prefix(v, error);
    if (xml == NULL) {
        g_set_error(error, QM_ERROR, QM_ERROR_CORRUPT,
                    "both copies of the domain XML are damaged; put it back "
                    "with: quickmig vault edit");
        return prefix(v, error);
    }
    *ret_xml = g_steal_pointer(&xml);
    return true;
}

bool
qm_vault_write_xml(qm_vault *v, const char *xml, GError **error)
{
    g_autofree char *old = NULL;
    g_autofree uint8_t *buf = NULL;
    uint64_t sequence = 0;
    size_t length;
    unsigned copy = 1;

    if (!pick_xml(v, &old, &sequence, &copy, error) ||
        !qm__xml_out(xml, sequence + 1, &buf, &length, error) ||
        !v->ops->write(v->backend, QM_AREA_XML, 1 - copy, buf, length, error) ||
        !v->ops->write(v->backend, QM_AREA_XML, copy, buf, length, error))
        return prefix(v, error);
    return true;
}

/* --- format -------------------------------------------------------------- */

static bool
is_zero(const uint8_t *buf, size_t length)
{
    return buf[0] == 0 && memcmp(buf, buf + 1, length - 1) == 0;
}

/* File systems and partition tables leave something in one of these places
 * (btrfs at 64 KiB). */
static bool
is_unused(qm_vault *v, const uint8_t *superblock, bool *ret_unused,
          GError **error)
{
    uint8_t buf[COPIES][QM_RECORD_SIZE];

    for (unsigned i = 0; i < COPIES; i++)
        if (!v->ops->read(v->backend, QM_AREA_RECORD, i, buf[i], sizeof buf[i],
                          error))
            return false;
    *ret_unused =
        is_zero(superblock, QM_SUPERBLOCK_SIZE) && is_zero(buf[0], sizeof buf);
    return true;
}

/* What is there already, and may it go?  @ret_old: the record of an older
 * vault, whose counters have to go on. */
static bool
check_replaceable(qm_vault *v, bool force, qm_record *ret_old, GError **error)
{
    uint8_t buf[QM_SUPERBLOCK_SIZE];
    g_autoptr(GError) why = NULL;
    char uuid[UUID_STR_LEN];
    bool unused;

    memset(ret_old, 0, sizeof *ret_old);
    if (!v->ops->read(v->backend, QM_AREA_SUPERBLOCK, 0, buf, sizeof buf,
                      error) ||
        !is_unused(v, buf, &unused, error))
        return false;
    if (unused)
        return true;
    if (!qm__superblock_in(buf, &v->info, &why)) {
        /* Of a newer vault it cannot be told whether its VM runs. */
        if (g_error_matches(why, QM_ERROR, QM_ERROR_FORMAT)) {
            g_propagate_error(error, g_steal_pointer(&why));
            return false;
        }
        if (force)
            return true;
        g_set_error(error, QM_ERROR, QM_ERROR_REFUSED,
                    "it is not empty (%s); --force overwrites it",
                    why->message);
        return false;
    }
    uuid_unparse_lower(v->info.uuid, uuid);
    if (!force) {
        g_set_error(error, QM_ERROR, QM_ERROR_REFUSED,
                    "it is the vault of VM \"%s\" (%s); --force replaces it",
                    v->info.name, uuid);
        return false;
    }
    if (!read_copies(v, ret_old, &why)) {
        if (g_error_matches(why, QM_ERROR, QM_ERROR_CORRUPT) ||
            g_error_matches(why, QM_ERROR, QM_ERROR_MISMATCH))
            return true; /* nothing worth keeping */
        g_propagate_error(error, g_steal_pointer(&why));
        return false;
    }
    if (ret_old->state != QM_STATE_OFF) {
        g_set_error(error, QM_ERROR, QM_ERROR_REFUSED,
                    "VM \"%s\" is %s; stop it, or discard its saved state, "
                    "first",
                    v->info.name, qm_state_name(ret_old->state));
        return false;
    }
    return true;
}

typedef struct {
    qm_vault *vault;
    bool force;
    qm_record old;
} format_query;

static bool
may_format(void *opaque, GError **error)
{
    format_query *q = opaque;

    return check_replaceable(q->vault, q->force, &q->old, error);
}

static bool
write_all(qm_vault *v, const qm_record *old, const char *xml, GError **error)
{
    uint8_t super[QM_SUPERBLOCK_SIZE] = {0};
    uint8_t no_disks[QM_DISKS_SIZE] = {0};
    size_t history_length = QM_HISTORY_SLOTS * QM_HISTORY_SIZE;
    g_autofree uint8_t *no_history = g_malloc0(history_length);
    qm_record record = {
        .state = QM_STATE_OFF,
        .sequence = old->sequence + 1,
        .generation = old->generation,
        .time_us = g_get_real_time(),
        .key = v->ops->key(v->backend),
        .cause = "vault created",
    };
    qm_history entry = {.time_us = record.time_us,
                        .sequence = record.sequence,
                        .generation = record.generation,
                        .cause = "vault created"};

    /* Ids of images never come back, not even on a vault made anew: what is
     * left of older images must never pass for one of a later save. */
    record.image_id = MAX(old->image_id + 1, (uint64_t) record.time_us);
    if (!v->ops->write(v->backend, QM_AREA_SUPERBLOCK, 0, super, sizeof super,
                       error) ||
        !qm_vault_write_xml(v, xml, error) ||
        !write_copies(v, &record, error) ||
        !v->ops->write(v->backend, QM_AREA_DISKS, 0, no_disks, sizeof no_disks,
                       error) ||
        !v->ops->write(v->backend, QM_AREA_HISTORY, 0, no_history,
                       history_length, error) ||
        !qm_vault_append_history(v, &entry, error))
        return false;
    qm__superblock_out(&v->info, super);
    return v->ops->write(v->backend, QM_AREA_SUPERBLOCK, 0, super, sizeof super,
                         error);
}

bool
qm_vault_format(const qm_vault_params *params, const uint8_t *vm_uuid,
                const char *vm_name, const char *xml, bool force,
                int64_t deadline, GError **error)
{
    g_autoptr(qm_vault) v = NULL;
    format_query query = {.force = force};

    if (vm_name[0] == '\0' || strlen(vm_name) >= QM_NAME_MAX ||
        uuid_is_null(vm_uuid)) {
        g_set_error(error, QM_ERROR, QM_ERROR_INVALID,
                    "VM \"%s\": a UUID and a name of 1 to %d bytes are "
                    "needed",
                    vm_name, QM_NAME_MAX - 1);
        return false;
    }
    if (!open_backend(params, deadline, &v, error))
        return false;
    query.vault = v;
    if (!v->ops->acquire(v->backend, may_format, &query, deadline, error))
        return prefix(v, error);
    memcpy(v->info.uuid, vm_uuid, QM_UUID_LEN);
    memset(v->info.name, 0, sizeof v->info.name);
    g_strlcpy(v->info.name, vm_name, sizeof v->info.name);
    if (!v->ops->room(v->backend, &v->info.size, &v->info.image_capacity,
                      error) ||
        !write_all(v, &query.old, xml, error))
        return prefix(v, error);
    return true;
}
