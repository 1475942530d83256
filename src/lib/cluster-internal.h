/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_CLUSTER_INTERNAL_H
#define QM_CLUSTER_INTERNAL_H

/*
 * Shared by cluster*.c only.
 */
#include "cluster.h"

/* What can be seen of the node that owns a VM. */
typedef struct {
    bool member;       /* of corosync's present membership */
    int64_t now_us;    /* wall clock of the node that asks */
    int64_t fenced_us; /* end of its last successful off or reboot, wall
                          clock µs; 0: none known */
    bool fencing;      /* its fencing is under way */
    uint64_t released; /* generation it says it let go of; 0: none */
    bool boot_known;   /* it published its boot: */
    uint8_t boot[QM_UUID_LEN];
    int64_t boot_time_us; /* that node's wall clock when it published it */
} qm_seen;

typedef enum {
    QM_GONE_NO,       /* not surely */
    QM_GONE_FENCED,   /* after the record's time */
    QM_GONE_RELEASED, /* it said so itself, for this generation */
    QM_GONE_REBOOTED  /* it is there, but since a later boot */
} qm_gone;

/* The interlock against double start, pure. */
qm_gone qm__gone_decide(const qm_record *record, const qm_seen *seen);

/* cluster.c */
bool qm__cluster_member_until(qm_cluster *c, uint32_t node_id, int64_t deadline,
                              bool *ret_member, GError **error);

/* cluster-fencing.c.  @name: cluster node name. */
bool
qm__fencing_history(const char *name, int64_t deadline, int64_t *ret_fenced_us,
                    bool *ret_fencing, GError **error);

/* cluster-attributes.c */
bool
qm__attribute_boot(const char *node, int64_t deadline, bool *ret_known,
                   uint8_t *ret_boot, int64_t *ret_time_us, GError **error);
bool qm__attribute_released(const char *node, const uint8_t *vm_uuid,
                            int64_t deadline, uint64_t *ret_generation,
                            GError **error);
/* Pure parts of it, for tests. */
bool qm__attribute_value(const char *line, char **ret_value);
bool qm__boot_value_parse(const char *value, uint8_t *ret_boot,
                          int64_t *ret_time_us);

/* cluster-capacity.c; pure parts. */
char *qm__capacity_value(int64_t cpu, int64_t memory);
/* May it be replaced?  @cpu, @memory: the node's utilization; @ours: what was
 * written last; each may be NULL. */
bool
qm__capacity_is_ours(const char *cpu, const char *memory, const char *ours);

/* cib.c.  The whole CIB, as this node has it. */
bool qm__cib_query(int64_t deadline, char **ret_xml, GError **error);
/* Pure part. */
bool qm__cib_parse(const char *xml, GPtrArray **ret, GError **error);

#endif
