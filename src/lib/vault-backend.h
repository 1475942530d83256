/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_VAULT_BACKEND_H
#define QM_VAULT_BACKEND_H

/*
 * What a vault backend provides.  vault.c owns the formats (codecs, which of
 * two copies, sequence numbers); a backend only moves bytes, and says who may.
 */
#include <quickmig/vault.h>
#include "store.h"

/* Small named areas.  Each copy is replaced as a whole and made durable. */
typedef enum {
    QM_AREA_SUPERBLOCK, /* 1 copy,  4 KiB */
    QM_AREA_RECORD,     /* 2 copies, 4 KiB each */
    QM_AREA_HISTORY,    /* ring: n copies, 512 bytes each; `copy` is the
                           first of those that are read or written */
    QM_AREA_XML,        /* 2 copies, up to 512 KiB each */
    QM_AREA_DISKS,      /* 1 copy,  8 KiB */
    QM_AREA_COUNT
} qm_area;

typedef struct qm_backend qm_backend;

typedef struct {
    /* Opens for reading. */
    bool (*open)(const qm_url *url, const qm_vault_params *params,
                 int64_t deadline, qm_backend **ret, GError **error);
    void (*close)(qm_backend *b);
    /* Reads @length bytes of one copy of an area into @buf. What was never
     * written reads as zeros. */
    bool (*read)(qm_backend *b, qm_area area, unsigned copy, void *buf,
                 size_t length, GError **error);
    /* Needs acquire.  Durable when it returns.  CONFLICT, LOST, IO. */
    bool (*write)(qm_backend *b, qm_area area, unsigned copy, const void *buf,
                  size_t length, GError **error);
    /* One round of design §5 (1)-(7), @check is made between (2) and (4) and
     * at (7).  A lost race: CONFLICT or LOST; the caller tries again. */
    bool (*acquire)(qm_backend *b, bool (*check)(void *, GError **),
                    void *opaque, int64_t deadline, GError **error);
    bool (*acquired)(qm_backend *b); /* still, as far as known */
    bool (*holder)(qm_backend *b, uint64_t *ret_key, GError **error);
    uint64_t (*key)(qm_backend *b); /* own key; 0 for directories */
    /* The image log; image ids separate files in a directory.  Owned by the
     * backend, valid until close or the next call.  For reading: what was
     * never written, or does not exist yet, reads as zeros. */
    bool (*image)(qm_backend *b, uint64_t image_id, bool for_writing,
                  qm_store **ret, GError **error);
    /* Room for the image in bytes, and the whole size. */
    bool (*room)(qm_backend *b, uint64_t *ret_size, uint64_t *ret_image,
                 GError **error);
    /* All deadlines of later calls. */
    void (*set_deadline)(qm_backend *b, int64_t deadline);
} qm_backend_ops;

struct qm_backend {
    const qm_backend_ops *ops;
};

extern const qm_backend_ops qm__vault_lun_ops; /* vault-lun.c */
extern const qm_backend_ops qm__vault_dir_ops; /* vault-dir.c */

#define QM_HISTORY_SLOTS 1024         /* entries kept */
#define QM_HISTORY_SIZE  512          /* bytes, one encoded entry */
#define QM_XML_MAX       (512 * 1024) /* bytes, header included */
#define QM_DISKS_SIZE    8192         /* bytes, all notes of disks */

/* vault.c, for image and move code inside the library. */
bool qm__vault_image(qm_vault *vault, uint64_t image_id, bool for_writing,
                     qm_store **ret_store, GError **error);
/* One entry; false: it is not there, or cannot be read.  The whole history is
 * half a MiB. */
bool
qm__vault_history_at(qm_vault *vault, uint64_t sequence, qm_history *ret_entry);
void qm__vault_set_deadline(qm_vault *vault, int64_t deadline);
bool qm__vault_acquired(qm_vault *vault);

/* disk-note.c.  Writing needs qm_vault_acquire(). */
bool qm__vault_read_area(qm_vault *vault, qm_area area, void *buf,
                         size_t length, GError **error);
bool qm__vault_write_area(qm_vault *vault, qm_area area, const void *buf,
                          size_t length, GError **error);

#endif
