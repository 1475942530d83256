/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_JOB_H
#define QM_JOB_H

/*
 * What is told about a move while it runs, and how it travels between the
 * nodes: one JSON object a message, on a corosync process group (peer.h).
 * Everything here is a hint: a message may be lost, late, repeated or wrong,
 * and no decision about who may run or write is ever based on one.
 */
#include <quickmig/error.h>
#include <quickmig/record.h>
#include "netmap.h"

/* Where one side of a move stands.  The order is that of time. */
typedef enum {
    QM_PHASE_PREPARE,   /* checks; logging in to the storage */
    QM_PHASE_READY,     /* target: waits for the image */
    QM_PHASE_COPY,      /* guest runs, its memory is streamed or followed */
    QM_PHASE_WAIT,      /* pre-copied; waits for Pacemaker's migrate_to */
    QM_PHASE_PAUSED,    /* guest paused, the last part is on its way */
    QM_PHASE_LOADED,    /* target: QEMU has the whole image */
    QM_PHASE_COMMITTED, /* source: the image is durable, it is the VM now */
    QM_PHASE_TAKEOVER,  /* target: takes vault and disks */
    QM_PHASE_DONE,
    QM_PHASE_FAILED,    /* text: why */
    QM_PHASE_CANCELLED, /* text: why */
    QM_PHASE_COUNT
} qm_phase;

const char *qm__phase_name(qm_phase phase);
/* The last three. */
bool qm__phase_ended(qm_phase phase);

typedef enum { QM_SIDE_SOURCE, QM_SIDE_TARGET } qm_side;

/* One side of one move.  Unknown numbers are 0. */
typedef struct {
    uint8_t uuid[QM_UUID_LEN];
    char name[QM_NAME_MAX];     /* of the VM */
    char resource[QM_NAME_MAX]; /* cluster resource */
    uint64_t image_id;
    qm_side side;
    uint32_t source, target; /* node ids */
    char source_name[QM_NAME_MAX], target_name[QM_NAME_MAX];
    bool live; /* the guest runs while its memory is streamed */
    qm_phase phase;
    uint64_t bytes;      /* source: written; target: read of the image */
    uint64_t total;      /* expected */
    uint64_t rate;       /* bytes/s */
    uint64_t dirty_rate; /* bytes/s */
    uint32_t expected_pause_ms;
    uint32_t pause_ms;       /* DONE: as it was */
    uint32_t elapsed_ms;     /* since the move began */
    char text[QM_CAUSE_MAX]; /* one line; empty: none */
} qm_job;

/* What the target needs beside the job to load the image ahead of
 * migrate_from; the resource's parameters. */
typedef struct {
    char vault[1024];
    char hypervisor[256];
    char image_secret[64]; /* the name of one; empty: none */
    char network_map[QM_NETMAP_MAX];
    uint32_t reconnect_limit_s;
    uint32_t downtime_limit_ms;
    uint32_t timeout_ms;     /* how long the move may take */
    uint32_t allow_unfenced; /* 1: take targets without reservations */
} qm_offer;

typedef enum {
    QM_MESSAGE_OFFER,    /* source: load this image; job, offer */
    QM_MESSAGE_PROGRESS, /* either side: job */
    QM_MESSAGE_CANCEL,   /* anybody: job.uuid, job.text (who, why) */
    QM_MESSAGE_QUERY,    /* anybody: tell me your jobs */
    QM_MESSAGE_PRECOPY,  /* quickmig move: job.uuid, target, resource; offer:
                            the source's daemon begins a live copy */
    QM_MESSAGE_COUNT
} qm_message_kind;

typedef struct {
    qm_message_kind kind;
    uint32_t from; /* node id, as corosync says; set on receipt */
    qm_job job;
    qm_offer offer; /* OFFER, PRECOPY */
} qm_message;

#define QM_MESSAGE_MAX 8192 /* bytes, encoded */

/* As JSON, one line.  Caller frees. */
char *qm__message_to_json(const qm_message *message);
/* Checks everything.  CORRUPT: not such a message; FORMAT: of a later
 * version.  @text need not be terminated. */
bool qm__message_from_json(const char *text, size_t length,
                           qm_message *ret_message, GError **error);

#endif
