/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_DISK_NOTE_H
#define QM_DISK_NOTE_H

/*
 * What a vault notes of the VM's disks: which LUN each one was when the VM was
 * started last.  An address alone does not tell: a target may serve another
 * LUN under it tomorrow.
 */
#include "vault-backend.h"

typedef struct {
    char target[32]; /* "vda" */
    uint32_t where;  /* qm__disk_where() */
    char serial[64]; /* "": the target tells none */
    uint64_t size;   /* bytes */
} qm_disk_note;

#define QM_DISK_NOTES_MAX 63

/* The address but for the portal, as a number: another one is another disk,
 * by the administrator's own wish. */
uint32_t qm__disk_where(const char *iqn, int lun);

/* @buf: QM_DISKS_SIZE bytes.  Of more than the maximum the first ones. */
void qm__disk_notes_out(const GArray *notes, const uint8_t *uuid, uint8_t *buf);
/* GArray of qm_disk_note; empty when nothing valid of this VM is there. */
GArray *qm__disk_notes_in(const uint8_t *buf, const uint8_t *uuid);

bool qm__disk_notes_read(qm_vault *vault, GArray **ret_notes, GError **error);
/* Needs qm_vault_acquire(). */
bool qm__disk_notes_write(qm_vault *vault, const GArray *notes, GError **error);

#endif
