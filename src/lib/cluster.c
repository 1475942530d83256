/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * What corosync knows: who this node is, who else there is, who is a member,
 * whether there is quorum.  Every answer is asked for anew, so that none is
 * older than the call.  corosync's client waits for corosync without limit;
 * so each exchange is a bounded call, and after one that hung this object
 * answers TIMEOUT at once.
 */
#include "config.h"
#include <string.h>
#include <arpa/inet.h>
#include <sys/utsname.h>
#include <corosync/cmap.h>
#include <corosync/quorum.h>
#include "bounded.h"
#include "cluster-internal.h"
#include "timeouts.h"

#define NODE_ID_MAX      65535u     /* what fits into a reservation key */
#define CALL_LIMIT       (3 * QM_S) /* calls that are given no deadline */
#define RETRY_US         (50 * QM_MS)
#define RETRIES          20    /* corosync says "try again": 1 s */
#define LAG_MARGIN_MS    500   /* agreeing on the new membership */
#define TOKEN_DEFAULT_MS 3000u /* corosync.conf(5) */
#define NODES_MAX        4096  /* entries of the node list looked at */

/* Who is there: read from cmap in one go. */
typedef struct {
    GArray *nodes; /* qm_node; boot unknown */
    uint32_t self; /* node id */
    uint32_t token_ms, consensus_ms;
} node_list;

/* The connection to the quorum service, and its last answer. */
typedef struct {
    quorum_handle_t handle;
    bool connected, answered, quorate;
    GArray *members; /* uint32_t */
} membership;

struct qm_cluster {
    qm_node self;
    int64_t lag;
    node_list *list;        /* counted */
    membership *membership; /* counted */
    GArray *remembered;     /* uint32_t; NULL: nobody */
    bool hung;              /* a call missed its deadline */
};

static void
node_list_clear(void *data)
{
    g_array_unref(((node_list *) data)->nodes);
}

static void
membership_clear(void *data)
{
    membership *m = data;

    if (m->connected)
        (void) quorum_finalize(m->handle); /* nothing to be done about it */
    g_array_unref(m->members);
}

static bool
corosync_failed(const char *what, cs_error_t rc, GError **error)
{
    g_set_error(error, QM_ERROR, QM_ERROR_IO,
                "corosync: cannot %s: %s; is the cluster running on this "
                "node?",
                what, cs_strerror(rc));
    return false;
}

/* Runs @fn on @box; from a hang on, nothing else. */
static bool
ask(qm_cluster *c, const char *what, qm_bounded_fn fn, void *box,
    GDestroyNotify clear, int64_t deadline, GError **error)
{
    g_autoptr(GError) cause = NULL;

    if (c->hung) {
        g_set_error(error, QM_ERROR, QM_ERROR_TIMEOUT,
                    "%s: corosync did not answer before", what);
        return false;
    }
    if (qm__bounded(what, fn, box, clear, deadline, &cause))
        return true;
    c->hung = g_error_matches(cause, QM_ERROR, QM_ERROR_TIMEOUT);
    g_propagate_error(error, g_steal_pointer(&cause));
    return false;
}

/* --- node list --- */

static bool
node_key(cmap_handle_t cmap, unsigned i, const char *key, char **ret_value)
{
    char name[CMAP_KEYNAME_MAXLEN + 1];

    g_snprintf(name, sizeof name, "nodelist.node.%u.%s", i, key);
    return cmap_get_string(cmap, name, ret_value) == CS_OK;
}

static bool
is_address(const char *text)
{
    struct in6_addr buf;

    return inet_pton(AF_INET, text, &buf) == 1 ||
           inet_pton(AF_INET6, text, &buf) == 1;
}

/* As Pacemaker names it: name, else ring0_addr when that is a name, else (for
 * this node only) uname -n. */
static void
read_name(cmap_handle_t cmap, unsigned i, bool self, qm_node *node)
{
    struct utsname host;
    char *name = NULL;

    if (!node_key(cmap, i, "name", &name) &&
        node_key(cmap, i, "ring0_addr", &name) && is_address(name)) {
        free(name);
        name = NULL;
    }
    if (name != NULL)
        g_strlcpy(node->name, name, sizeof node->name);
    else if (self && uname(&host) == 0)
        g_strlcpy(node->name, host.nodename, sizeof node->name);
    free(name);
}

static bool
read_self(cmap_handle_t cmap, node_list *list, GError **error)
{
    char key[CMAP_KEYNAME_MAXLEN + 1];
    uint32_t position;
    cs_error_t rc =
        cmap_get_uint32(cmap, "runtime.votequorum.this_node_id", &list->self);

    if (rc == CS_OK)
        return true;
    rc = cmap_get_uint32(cmap, "nodelist.local_node_pos", &position);
    if (rc == CS_OK) {
        g_snprintf(key, sizeof key, "nodelist.node.%u.nodeid", position);
        rc = cmap_get_uint32(cmap, key, &list->self);
    }
    return rc == CS_OK || corosync_failed("tell this node's id", rc, error);
}

static bool
read_list(cmap_handle_t cmap, node_list *list, GError **error)
{
    char key[CMAP_KEYNAME_MAXLEN + 1];

    if (!read_self(cmap, list, error))
        return false;
    /* Positions may have gaps after a node was removed at runtime. */
    for (unsigned i = 0, missing = 0; i < NODES_MAX && missing < 64; i++) {
        qm_node node = {0};

        g_snprintf(key, sizeof key, "nodelist.node.%u.nodeid", i);
        if (cmap_get_uint32(cmap, key, &node.id) != CS_OK) {
            missing++;
            continue;
        }
        read_name(cmap, i, node.id == list->self, &node);
        g_array_append_val(list->nodes, node);
    }
    if (cmap_get_uint32(cmap, "runtime.config.totem.token", &list->token_ms) !=
        CS_OK)
        list->token_ms = TOKEN_DEFAULT_MS;
    if (cmap_get_uint32(cmap, "runtime.config.totem.consensus",
                        &list->consensus_ms) != CS_OK)
        list->consensus_ms = list->token_ms + list->token_ms / 5;
    return true;
}

static bool
load_nodes(void *box, GError **error)
{
    cmap_handle_t cmap;
    cs_error_t rc;
    bool ok;

    for (int i = 0; (rc = cmap_initialize(&cmap)) == CS_ERR_TRY_AGAIN; i++) {
        if (i == RETRIES)
            break;
        g_usleep(RETRY_US);
    }
    if (rc != CS_OK)
        return corosync_failed("connect to its configuration map", rc, error);
    ok = read_list(cmap, box, error);
    (void) cmap_finalize(cmap); /* only read */
    return ok;
}

static node_list *
node_list_new(void)
{
    node_list *list = g_atomic_rc_box_new0(node_list);

    list->nodes = g_array_new(FALSE, TRUE, sizeof(qm_node));
    return list;
}

static bool
refresh_nodes(qm_cluster *c, int64_t deadline, GError **error)
{
    node_list *list = node_list_new();

    if (!ask(c, "asking corosync for the nodes", load_nodes, list,
             node_list_clear, deadline, error)) {
        g_atomic_rc_box_release_full(list, node_list_clear);
        return false;
    }
    if (c->list != NULL)
        g_atomic_rc_box_release_full(c->list, node_list_clear);
    c->list = list;
    return true;
}

static const qm_node *
find_node(const qm_cluster *c, uint32_t id, const char *name)
{
    for (guint i = 0; i < c->list->nodes->len; i++) {
        const qm_node *node = &g_array_index(c->list->nodes, qm_node, i);

        if (name != NULL ? g_strcmp0(node->name, name) == 0 : node->id == id)
            return node;
    }
    return NULL;
}

static bool
check_id(const qm_node *node, GError **error)
{
    if (node->id > 0 && node->id <= NODE_ID_MAX)
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_INVALID,
                "node %s has corosync node id %" PRIu32 ": quickmig needs "
                "ids from 1 to %u; set nodeid in corosync.conf",
                node->name, node->id, NODE_ID_MAX);
    return false;
}

/* --- membership --- */

static void
notified(quorum_handle_t handle, uint32_t quorate, uint64_t ring_seq,
         uint32_t n_members, uint32_t *members)
{
    const void *context;
    membership *m;

    if (quorum_context_get(handle, &context) != CS_OK)
        return;
    m = (membership *) context;
    m->quorate = quorate != 0;
    g_array_set_size(m->members, 0);
    g_array_append_vals(m->members, members, n_members);
    m->answered = true;
}

static cs_error_t
connect_quorum(membership *m)
{
    quorum_callbacks_t callbacks = {.quorum_notify_fn = notified};
    uint32_t type;
    cs_error_t rc;

    if (m->connected)
        return CS_OK;
    for (int i = 0; i < RETRIES; i++) {
        rc = quorum_initialize(&m->handle, &callbacks, &type);
        if (rc != CS_ERR_TRY_AGAIN)
            break;
        g_usleep(RETRY_US);
    }
    if (rc != CS_OK)
        return rc;
    m->connected = true;
    return quorum_context_set(m->handle, m);
}

/* One notification, asked for now, carries members and quorum together. */
static bool
load_membership(void *box, GError **error)
{
    membership *m = box;
    cs_error_t rc = connect_quorum(m);

    m->answered = false;
    if (rc == CS_OK)
        rc = quorum_trackstart(m->handle, CS_TRACK_CURRENT);
    while (rc == CS_OK && !m->answered)
        rc = quorum_dispatch(m->handle, CS_DISPATCH_ONE);
    if (rc == CS_OK)
        return true;
    if (m->connected) /* the next call connects anew */
        (void) quorum_finalize(m->handle);
    m->connected = false;
    return corosync_failed("ask for the members", rc, error);
}

static bool
refresh_members(qm_cluster *c, int64_t deadline, GError **error)
{
    return ask(c, "asking corosync for the members", load_membership,
               c->membership, membership_clear, deadline, error);
}

/* --- interface --- */

static bool
look_up_self(qm_cluster *c, GError **error)
{
    const qm_node *self = find_node(c, c->list->self, NULL);
    struct utsname host;

    c->self.id = c->list->self;
    if (self != NULL)
        c->self = *self;
    else if (uname(&host) == 0)
        g_strlcpy(c->self.name, host.nodename, sizeof c->self.name);
    c->lag =
        (c->list->token_ms + c->list->consensus_ms + LAG_MARGIN_MS) * QM_MS;
    return check_id(&c->self, error) && qm__boot_identity(c->self.boot, error);
}

bool
qm__cluster_open(int64_t deadline, qm_cluster **ret, GError **error)
{
    g_autoptr(qm_cluster) c = g_new0(qm_cluster, 1);

    c->membership = g_atomic_rc_box_new0(membership);
    c->membership->members = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    if (!refresh_nodes(c, deadline, error) || !look_up_self(c, error))
        return false;
    *ret = g_steal_pointer(&c);
    return true;
}

void
qm__cluster_close(qm_cluster *c)
{
    if (c == NULL)
        return;
    if (c->list != NULL)
        g_atomic_rc_box_release_full(c->list, node_list_clear);
    g_atomic_rc_box_release_full(c->membership, membership_clear);
    g_clear_pointer(&c->remembered, g_array_unref);
    g_free(c);
}

const qm_node *
qm__cluster_self(const qm_cluster *c)
{
    return &c->self;
}

int64_t
qm__cluster_lag(qm_cluster *c)
{
    return c->lag;
}

void
qm__cluster_totem(const qm_cluster *c, uint32_t *ret_token_ms,
                  uint32_t *ret_consensus_ms)
{
    *ret_token_ms = c->list->token_ms;
    *ret_consensus_ms = c->list->consensus_ms;
}

bool
qm__cluster_node(qm_cluster *c, const char *name, qm_node *ret_node,
                 GError **error)
{
    const qm_node *node = find_node(c, 0, name);

    /* The node list can change while corosync runs. */
    if (node == NULL) {
        if (!refresh_nodes(c, qm__deadline_in(CALL_LIMIT), error))
            return false;
        node = find_node(c, 0, name);
    }
    if (node == NULL) {
        g_set_error(error, QM_ERROR, QM_ERROR_NOT_FOUND,
                    "no node of this cluster has the name %s", name);
        return false;
    }
    if (!check_id(node, error))
        return false;
    *ret_node = *node;
    return true;
}

bool
qm__cluster_quorate(qm_cluster *c, bool *ret_quorate, GError **error)
{
    if (!refresh_members(c, qm__deadline_in(CALL_LIMIT), error))
        return false;
    *ret_quorate = c->membership->quorate;
    return true;
}

static bool
is_listed(const GArray *members, uint32_t node_id)
{
    for (guint i = 0; i < members->len; i++)
        if (g_array_index(members, uint32_t, i) == node_id)
            return true;
    return false;
}

bool
qm__cluster_member_until(qm_cluster *c, uint32_t node_id, int64_t deadline,
                         bool *ret_member, GError **error)
{
    if (!refresh_members(c, deadline, error))
        return false;
    *ret_member = is_listed(c->membership->members, node_id);
    return true;
}

bool
qm__cluster_is_member(qm_cluster *c, uint32_t node_id, bool *ret_member,
                      GError **error)
{
    return qm__cluster_member_until(c, node_id, qm__deadline_in(CALL_LIMIT),
                                    ret_member, error);
}

bool
qm__cluster_remember(qm_cluster *c, GError **error)
{
    if (!refresh_members(c, qm__deadline_in(CALL_LIMIT), error))
        return false;
    g_clear_pointer(&c->remembered, g_array_unref);
    c->remembered = g_array_copy(c->membership->members);
    return true;
}

bool
qm__cluster_lost(qm_cluster *c, char **ret_lost, GError **error)
{
    *ret_lost = NULL;
    if (!refresh_members(c, qm__deadline_in(CALL_LIMIT), error))
        return false;
    if (!c->membership->quorate)
        *ret_lost = g_strdup("quorum");
    for (guint i = 0; c->remembered != NULL && i < c->remembered->len; i++) {
        uint32_t id = g_array_index(c->remembered, uint32_t, i);
        const qm_node *node = find_node(c, id, NULL);

        if (*ret_lost == NULL && !is_listed(c->membership->members, id))
            *ret_lost =
                g_strdup_printf("node %s", node != NULL ? node->name : "?");
    }
    return true;
}
