/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_CLUSTER_H
#define QM_CLUSTER_H

/*
 * What the cluster knows: this node, who is a member, quorum, who was fenced,
 * and what nodes publish as attributes.  Answers the question of the
 * interlock against double start: is that owner surely gone?
 */
#include <quickmig/lifecycle.h>
#include <quickmig/error.h>

typedef struct qm_cluster qm_cluster;

/* Connects to corosync (cmap, quorum).  IO: corosync is not running.
 * INVALID: this node's id does not fit into 16 bits.  TIMEOUT, here and below:
 * a daemon hangs; from then on calls that ask corosync fail at once. */
bool qm__cluster_open(int64_t deadline, qm_cluster **ret, GError **error);
void qm__cluster_close(qm_cluster *c);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(qm_cluster, qm__cluster_close)

/* This node: id, name, boot identity. */
const qm_node *qm__cluster_self(const qm_cluster *c);
/* Node id of a cluster node name; NOT_FOUND.  INVALID: id over 16 bits. */
bool qm__cluster_node(qm_cluster *c, const char *name, qm_node *ret_node,
                      GError **error);
/* These two allow corosync 3 s. */
bool qm__cluster_quorate(qm_cluster *c, bool *ret_quorate, GError **error);
bool qm__cluster_is_member(qm_cluster *c, uint32_t node_id, bool *ret_member,
                           GError **error);
/* Keeps in mind who is a member now. */
bool qm__cluster_remember(qm_cluster *c, GError **error);
/* Is one of those no member any more, or quorum lost?  @ret_lost: "node n3",
 * "quorum"; NULL: all is as it was; caller frees. */
bool qm__cluster_lost(qm_cluster *c, char **ret_lost, GError **error);
/* Token + consensus + margin, µs: how long membership may lag. */
int64_t qm__cluster_lag(qm_cluster *c);
/* What of it corosync is configured with, ms. */
void qm__cluster_totem(const qm_cluster *c, uint32_t *ret_token_ms,
                       uint32_t *ret_consensus_ms);

/*
 * Is the record's owner surely gone?  Gone: fenced by Pacemaker since the
 * record's time; or it has published "released generation g"; or it is a
 * member that has been booted since.  cluster-gone.c has the reasoning.
 * @ret_why: one line for the log, caller frees; set for yes and no.
 */
bool qm__cluster_owner_gone(qm_cluster *c, const uint8_t *vm_uuid,
                            const qm_record *record, int64_t deadline,
                            bool *ret_gone, char **ret_why, GError **error);
/* The same, but says no only after the membership lag, and while the owner's
 * fencing is under way only near @deadline (so @deadline should be the
 * action's, not the lag's). */
bool qm__cluster_wait_gone(qm_cluster *c, const uint8_t *vm_uuid,
                           const qm_record *record, int64_t deadline,
                           bool *ret_gone, char **ret_why, GError **error);
/* This node's own last fencing, as a record of its says it (never 0). */
bool qm__cluster_own_fencing(qm_cluster *c, int64_t deadline,
                             int64_t *ret_fenced_us, GError **error);

/* Tells the others this node's boot, once a boot.  Before the first start. */
bool qm__cluster_publish_boot(qm_cluster *c, int64_t deadline, GError **error);
/* This node has destroyed the VM and stopped its gates, for good as far as
 * @generation goes.  Known to all nodes when it returns. */
bool qm__cluster_publish_released(qm_cluster *c, const uint8_t *vm_uuid,
                                  uint64_t generation, int64_t deadline,
                                  GError **error);
/* Sets a transient attribute of this node; @value NULL: removes it. */
bool qm__cluster_tell(const char *name, const char *value, int64_t deadline,
                      GError **error);
/* Shows in crm_mon that a VM of this node is being copied to @target; NULL:
 * not any more. */
bool qm__cluster_show_moving(const char *resource, const char *target,
                             int64_t deadline, GError **error);
/* How one move shall be made ("quick", "live"), told by whoever asks for it
 * to the node that the VM leaves.  @mode NULL: as the resource says. */
bool qm__cluster_set_mode(const char *resource, const char *node,
                          const char *mode, int64_t deadline, GError **error);
/* On this node.  @ret_mode NULL: nobody has said; caller frees. */
bool qm__cluster_get_mode(const char *resource, int64_t deadline,
                          char **ret_mode, GError **error);
/* Tells the others this node's initiator name, as long as it is up. */
bool qm__cluster_publish_initiator(const char *name, int64_t deadline,
                                   GError **error);
/* Writes this node's capacity (vCPUs, MiB) as Pacemaker's utilization, unless
 * an administrator has set another one. */
bool qm__cluster_publish_capacity(const char *node, int64_t cpu, int64_t memory,
                                  int64_t deadline, GError **error);
/* Does Pacemaker shut this node down? */
bool qm__cluster_shutting_down(qm_cluster *c, int64_t deadline,
                               bool *ret_shutting_down, GError **error);

/* Identity of this host's boot: kernel boot id and start of PID 1, hashed. */
bool qm__boot_identity(uint8_t *ret_boot, GError **error);

/* --- the CIB --- */

typedef struct {
    char *id;    /* resource id */
    char *vault; /* parameters as configured; NULL: default */
    char *hypervisor;
    char *mode, *downtime_limit, *reconnect_limit, *image_secret;
    char *network_map;
    char *allow_unfenced;
} qm_resource;

/* Every ocf:quickmig:VirtualMachine in the CIB, as GPtrArray of qm_resource
 * with a free function set. */
bool qm__cluster_resources(int64_t deadline, GPtrArray **ret, GError **error);

#endif
