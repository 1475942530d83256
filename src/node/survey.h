/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_SURVEY_H
#define QM_SURVEY_H

/*
 * Shared by survey*.c: what is read, and remembered between two surveys in
 * files below /run/quickmig/survey.
 */
#include <quickmig/vault.h>
#include "facts.h"
#include "local.h"
#include "needs.h"
#include "timeouts.h"

typedef struct {
    char *resource;
    qm_needs *needs; /* NULL: not known yet */
    bool here;       /* it was started on this node, and has not left */
    qm_local local;  /* when it is here */
    char *problem;   /* with its storage; NULL: none, or not looked at now */
} survey_vm;

/* Every VM of the cluster, as GPtrArray with a free function set; reads the
 * vaults whose copies are oldest, some at a time. */
bool survey_vms_read(const char *cib, const char *dir, const qm_node *self,
                     int64_t deadline, GPtrArray **ret, GError **error);
/* MB/s of this node's last image; 0: none is known. */
uint32_t survey_rate(const GPtrArray *vms, const char *dir);
/* Median of what reads of a vault's record took lately, µs; 0: none. */
uint32_t survey_latency(const GPtrArray *vms, const char *dir);
/* Fills in what the network carries since the last survey. */
void survey_network(const char *dir, qm_node_facts *facts);
/* Since it was written, µs; a day at most, also when it is not there. */
int64_t survey_file_age(const char *path);

/* What this node did for a VM, and its record as it was read last. */
typedef struct {
    bool known;        /* it was read at all */
    uint64_t sequence; /* of the newest entry that was counted */
    uint64_t generation, failed_restores;
    qm_state state;
    uint64_t steps[QM_STATE_COUNT][QM_STATE_COUNT]; /* from, to */
    uint64_t pauses, pause_us, last_pause_us;
    uint64_t saved_bytes, restored_bytes;
    uint64_t rate;   /* of the last image, bytes/s; 0: none */
    int64_t rate_at; /* µs since 1970 */
} survey_past;

/* Adds what is new in the vault's history to what is kept at @path. */
void survey_past_read(qm_vault *vault, const qm_record *record,
                      uint32_t node_id, const char *path);
bool survey_past_get(const char *dir, const char *resource, survey_past *ret);
/* Counts one entry.  Pure. */
void survey_past_add(survey_past *past, const qm_history *entry);

/* The file's text; the caller frees. */
char *survey_metrics(const GPtrArray *vms, const char *dir,
                     const qm_node_facts *facts);
/* Readable by all, replaced as a whole.  IO. */
bool survey_metrics_write(const char *path, const char *text, GError **error);

#endif
