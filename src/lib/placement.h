/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_PLACEMENT_H
#define QM_PLACEMENT_H

/*
 * Where Pacemaker has a resource, and the constraints by which people ask it
 * for another place.
 */
#include <stdbool.h>
#include <stdint.h>
#include <quickmig/error.h>

/* --- constraints --- */

/* What "move" and "ban" of crm, pcs and crm_resource leave behind. */
typedef struct {
    char *id;
    char *resource; /* the resource itself, or the group that it is in */
    char *node;     /* preferred; or banned */
    bool ban;
} qm_constraint;

/* Those that send @resource away from @self: another node is preferred, or
 * @self is banned.  GPtrArray of qm_constraint with a free function set. */
bool
qm__placement_constraints(const char *resource, const char *self,
                          int64_t deadline, GPtrArray **ret, GError **error);
/* The pure part of it. */
bool qm__placement_parse_cib(const char *xml, const char *resource,
                             const char *self, GPtrArray **ret, GError **error);
/* Removes it.  It is gone already: success. */
bool qm__placement_clear(const qm_constraint *constraint, int64_t deadline,
                         GError **error);
/* Asks for @resource to be moved to @node: like crm_resource --move. */
bool qm__placement_move(const char *resource, const char *node,
                        int64_t deadline, GError **error);

/* --- history --- */

/* The nodes (of those that are there) whose history says that @resource was
 * moved from there to @self. */
bool qm__placement_arrivals(const char *resource, const char *self,
                            int64_t deadline, GStrv *ret_nodes, GError **error);
/* The pure part of it. */
bool qm__placement_parse_arrivals(const char *xml, const char *resource,
                                  const char *self, GStrv *ret_nodes,
                                  GError **error);

/* --- where things are --- */

typedef struct {
    bool found; /* the cluster has such a resource */
    bool ours;  /* ocf:quickmig:VirtualMachine */
    bool managed, failed, blocked;
    char *pending; /* "Migrating", "Stopping" …; NULL: nothing goes on */
    GStrv nodes;   /* where it is active; more than one in a move */
} qm_placement;

typedef struct {
    bool found, online;
    bool standby;  /* runs nothing; also: is shut down */
    bool unusable; /* maintenance, unclean, or joining */
} qm_place;

/* One look at the cluster's state, as Pacemaker knows it. */
bool qm__placement_look(const char *resource, const char *node,
                        int64_t deadline, qm_placement *ret_placement,
                        qm_place *ret_place, GError **error);
/* The pure part of it. */
bool qm__placement_parse_status(const char *xml, const char *resource,
                                const char *node, qm_placement *ret_placement,
                                qm_place *ret_place, GError **error);
void qm__placement_clear_look(qm_placement *placement);

#endif
