/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Capacity is Pacemaker's "utilization": cpu in vCPUs, memory in MiB.
 *
 * What happens after a node's death is told with the rule that Pacemaker's
 * own placement follows in effect: what runs elsewhere stays where it is, and
 * each of the dead node's resources goes where most is left.  The largest is
 * placed first.
 */
#include "config.h"
#include <string.h>
#include "capacity.h"
#include "cib-read.h"

#define MIB          UINT64_C(1048576)
#define VCPUS_A_CPU  4 /* guests seldom all compute at the same time */
#define RESERVE_LOW  (1024 * MIB) /* for the host itself: at least … */
#define RESERVE_HIGH (16384 * MIB)
#define RESERVE_PART 16 /* … a sixteenth … */

static void
free_node(gpointer p)
{
    g_free(((qm_capacity_node *) p)->name);
    g_free(p);
}

static void
free_user(gpointer p)
{
    g_free(((qm_capacity_user *) p)->id);
    g_free(p);
}

void
qm__capacity_free(qm_capacity *c)
{
    if (c == NULL)
        return;
    g_ptr_array_unref(c->nodes);
    g_ptr_array_unref(c->users);
    g_free(c);
}

/* --- reading ------------------------------------------------------------- */

static int64_t
number(char *text, int64_t otherwise)
{
    gint64 value = otherwise;

    if (text == NULL ||
        !g_ascii_string_to_signed(text, 10, 0, G_MAXINT32, &value, NULL))
        value = otherwise;
    g_free(text);
    return value;
}

static bool
is_true(const xmlNode *n, const char *name)
{
    return qm__walk_has(n, name, "true");
}

static void
read_nodes(qm_capacity *c, xmlNode *cib, xmlNode *monitor)
{
    xmlNode *n = NULL;

    while ((n = qm__cib_next(monitor, n, "node")) != NULL) {
        qm_capacity_node *node;
        xmlNode *configured;

        if (n->parent == NULL || !qm__walk_is(n->parent, "nodes"))
            continue;
        node = g_new0(qm_capacity_node, 1);
        node->name = qm__walk_get(n, "name");
        node->usable = is_true(n, "online") && !is_true(n, "standby") &&
                       !is_true(n, "maintenance") && !is_true(n, "pending") &&
                       !is_true(n, "unclean") && !is_true(n, "shutdown");
        node->cpu = node->memory = QM_CAPACITY_UNKNOWN;
        configured = node->name != NULL ? qm__cib_node(cib, node->name) : NULL;
        if (configured != NULL) {
            node->cpu =
                number(qm__cib_value(cib, configured, "utilization", "cpu"),
                       QM_CAPACITY_UNKNOWN);
            node->memory =
                number(qm__cib_value(cib, configured, "utilization", "memory"),
                       QM_CAPACITY_UNKNOWN);
        }
        g_ptr_array_add(c->nodes, node);
    }
}

static int
node_index(const qm_capacity *c, const char *name)
{
    for (guint i = 0; i < c->nodes->len; i++) {
        const qm_capacity_node *node = c->nodes->pdata[i];

        if (g_strcmp0(node->name, name) == 0)
            return (int) i;
    }
    return -1;
}

/* Where crm_mon says that it is active. */
static int
find_place(const qm_capacity *c, xmlNode *monitor, const char *id)
{
    xmlNode *n = NULL;

    while ((n = qm__cib_next(monitor, n, "resource")) != NULL) {
        if (!qm__walk_has(n, "id", id))
            continue;
        for (xmlNode *at = n->children; at != NULL; at = at->next)
            if (qm__walk_is(at, "node")) {
                g_autofree char *name = qm__walk_get(at, "name");

                return node_index(c, name);
            }
        return -1;
    }
    return -1;
}

/* Clones are everywhere anyway, and in no way in the balance. */
static bool
in_clone(const xmlNode *primitive)
{
    for (const xmlNode *up = primitive->parent; up != NULL; up = up->parent)
        if (up->type == XML_ELEMENT_NODE && qm__walk_is(up, "clone"))
            return true;
    return false;
}

qm_capacity *
qm__capacity_read(xmlNode *cib, xmlNode *monitor)
{
    qm_capacity *c = g_new0(qm_capacity, 1);
    xmlNode *n = NULL;

    c->nodes = g_ptr_array_new_with_free_func(free_node);
    c->users = g_ptr_array_new_with_free_func(free_user);
    read_nodes(c, cib, monitor);
    while ((n = qm__cib_next(cib, n, "primitive")) != NULL) {
        qm_capacity_user *user;

        if (in_clone(n))
            continue;
        user = g_new0(qm_capacity_user, 1);
        user->id = qm__walk_get(n, "id");
        user->cpu = number(qm__cib_utilization(cib, n, "cpu"), 0);
        user->memory = number(qm__cib_utilization(cib, n, "memory"), 0);
        user->vm = qm__cib_is_a(cib, n, "ocf", "quickmig", "VirtualMachine");
        user->node = find_place(c, monitor, user->id);
        g_ptr_array_add(c->users, user);
        if (user->node >= 0) {
            qm_capacity_node *node = c->nodes->pdata[user->node];

            node->cpu_used += user->cpu;
            node->memory_used += user->memory;
        }
    }
    return c;
}

/* --- what if ------------------------------------------------------------- */

int
qm__capacity_fullest(const qm_capacity *c)
{
    int fullest = -1;
    int64_t most = 0;

    for (guint i = 0; i < c->nodes->len; i++) {
        const qm_capacity_node *node = c->nodes->pdata[i];

        if (node->usable && node->memory_used > most) {
            most = node->memory_used;
            fullest = (int) i;
        }
    }
    return fullest;
}

static gint
largest_first(gconstpointer a, gconstpointer b)
{
    const qm_capacity_user *const *x = a, *const *y = b;

    if ((*x)->memory != (*y)->memory)
        return (*x)->memory < (*y)->memory ? 1 : -1;
    return (*x)->cpu < (*y)->cpu ? 1 : (*x)->cpu > (*y)->cpu ? -1 : 0;
}

/* What is left, or may be taken without counting. */
static int64_t
left(int64_t capacity, int64_t used)
{
    return capacity == QM_CAPACITY_UNKNOWN ? G_MAXINT64 : capacity - used;
}

/* The node where @user fits and most memory is left; NULL: none. */
static qm_capacity_node *
choose(GArray *nodes, int dead, const qm_capacity_user *user)
{
    qm_capacity_node *best = NULL;

    for (guint i = 0; i < nodes->len; i++) {
        qm_capacity_node *n = &g_array_index(nodes, qm_capacity_node, i);

        if ((int) i == dead || !n->usable ||
            left(n->memory, n->memory_used) < user->memory ||
            left(n->cpu, n->cpu_used) < user->cpu)
            continue;
        if (best == NULL || left(n->memory, n->memory_used) >
                                left(best->memory, best->memory_used))
            best = n;
    }
    return best;
}

GPtrArray *
qm__capacity_without(const qm_capacity *c, int dead)
{
    g_autoptr(GPtrArray) moving = g_ptr_array_new();
    g_autoptr(GArray) nodes =
        g_array_new(FALSE, FALSE, sizeof(qm_capacity_node));
    GPtrArray *stranded = g_ptr_array_new();

    for (guint i = 0; i < c->nodes->len; i++)
        g_array_append_vals(nodes, c->nodes->pdata[i], 1); /* to count in */
    for (guint i = 0; i < c->users->len; i++) {
        qm_capacity_user *user = c->users->pdata[i];

        if (user->node == dead && (user->cpu > 0 || user->memory > 0))
            g_ptr_array_add(moving, user);
    }
    g_ptr_array_sort(moving, largest_first);
    for (guint i = 0; i < moving->len; i++) {
        qm_capacity_user *user = moving->pdata[i];
        qm_capacity_node *n = choose(nodes, dead, user);

        if (n == NULL) {
            g_ptr_array_add(stranded, user);
            continue;
        }
        n->memory_used += user->memory;
        n->cpu_used += user->cpu;
    }
    return stranded;
}

void
qm__capacity_of_host(unsigned cpus, uint64_t memory, int64_t *ret_cpu,
                     int64_t *ret_memory)
{
    uint64_t reserve = CLAMP(memory / RESERVE_PART, RESERVE_LOW, RESERVE_HIGH);

    if (reserve > memory / 4)
        reserve = memory / 4; /* a small host */
    *ret_cpu = (int64_t) cpus * VCPUS_A_CPU;
    *ret_memory = (int64_t) ((memory - reserve) / MIB);
}
