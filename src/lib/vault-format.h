/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_VAULT_FORMAT_H
#define QM_VAULT_FORMAT_H

/*
 * Codecs of the vault's superblock, history entries and domain XML.  Pure.
 */
#include <quickmig/vault.h>
#include "vault-backend.h"

#define QM_SUPERBLOCK_SIZE 4096 /* bytes */
#define QM_XML_HEADER      64   /* bytes before the text */

void qm__superblock_out(const qm_vault_info *info, uint8_t *buf);
/* UNFORMATTED (no magic), CORRUPT, FORMAT. */
bool
qm__superblock_in(const uint8_t *buf, qm_vault_info *ret_info, GError **error);

void qm__history_out(const qm_history *entry, uint8_t *buf);
/* false: no valid entry in this slot. */
bool qm__history_in(const uint8_t *buf, qm_history *ret_entry);

/* Header and text of one XML copy; the caller frees.  INVALID: too long. */
bool qm__xml_out(const char *xml, uint64_t sequence, uint8_t **ret_buf,
                 size_t *ret_length, GError **error);
/* Length of the text that a header announces; 0: no valid header. */
size_t qm__xml_length(const uint8_t *header, uint64_t *ret_sequence);
/* Checks header and text; the caller frees.  CORRUPT. */
bool
qm__xml_in(const uint8_t *buf, size_t length, char **ret_xml, GError **error);

#endif
