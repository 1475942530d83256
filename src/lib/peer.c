/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * One thread makes every call to corosync.  Between it and its user are two
 * queues under a mutex, and two eventfds: "out" wakes the thread, "in" tells
 * the user.  A thread that hangs in corosync keeps the object (counted); its
 * user goes on without hints.
 *
 * All sit in the group "quickmig".  Daemons sit in "quickmigd", too, whose
 * membership tells where there is one.  corosync lets root take a seat, and
 * whom uidgid in corosync.conf names: those are trusted.
 */
#include "config.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <corosync/cpg.h>
#include "peer.h"
#include "timeouts.h"

#define GROUP_ALL     "quickmig"
#define GROUP_DAEMONS "quickmigd"
#define QUEUE_MAX     256  /* messages, each way */
#define TRY_AGAIN_MS  5    /* while corosync's flow control says no */
#define LOOK_MS       1000 /* how often the daemons are looked for */
#define JOIN_TRIES    100
#define CLOSE_AT_MOST (100 * QM_MS)

struct qm_peer {
    gatomicrefcount refs; /* the user's and the thread's */
    bool daemon;
    int in_fd, out_fd; /* eventfds */
    GMutex mutex;      /* for what follows */
    GCond changed;
    bool joined, lost, end;
    GQueue in, out;  /* qm_message * */
    GArray *daemons; /* uint32_t node ids */
    char *why;       /* lost: why */
};

static void
peer_unref(qm_peer *p)
{
    if (!g_atomic_ref_count_dec(&p->refs))
        return;
    g_queue_clear_full(&p->in, g_free);
    g_queue_clear_full(&p->out, g_free);
    g_array_unref(p->daemons);
    (void) close(p->in_fd);
    (void) close(p->out_fd);
    g_mutex_clear(&p->mutex);
    g_cond_clear(&p->changed);
    g_free(p->why);
    g_free(p);
}

static void
ring(int fd)
{
    const uint64_t one = 1;

    (void) !write(fd, &one, sizeof one); /* full: it is readable already */
}

static void
silence(int fd)
{
    uint64_t count;

    (void) !read(fd, &count, sizeof count);
}

/* --- on the thread ------------------------------------------------------- */

static void
set_name(struct cpg_name *name, const char *text)
{
    memset(name, 0, sizeof *name);
    name->length = (uint32_t) strlen(text);
    memcpy(name->value, text, name->length);
}

static void
delivered(cpg_handle_t handle, const struct cpg_name *group, uint32_t node_id,
          uint32_t pid, void *data, size_t length)
{
    g_autofree qm_message *m = g_new0(qm_message, 1);
    void *context = NULL;
    qm_peer *p;

    if (cpg_context_get(handle, &context) != CS_OK || context == NULL ||
        length > QM_MESSAGE_MAX ||
        !qm__message_from_json(data, length, m, NULL))
        return;
    p = context;
    m->from = node_id;
    g_mutex_lock(&p->mutex);
    if (g_queue_get_length(&p->in) < QUEUE_MAX)
        g_queue_push_tail(&p->in, g_steal_pointer(&m));
    g_mutex_unlock(&p->mutex);
    ring(p->in_fd);
}

static void
nothing_changed(cpg_handle_t handle, const struct cpg_name *group,
                const struct cpg_address *members, size_t n_members,
                const struct cpg_address *left, size_t n_left,
                const struct cpg_address *joined, size_t n_joined)
{
}

/* Takes a seat in @group. */
static cs_error_t
join(const char *group, qm_peer *p, cpg_handle_t *ret_handle)
{
    struct cpg_name name;
    cs_error_t rc = CS_ERR_TRY_AGAIN;

    for (int i = 0; rc == CS_ERR_TRY_AGAIN && i < JOIN_TRIES; i++) {
        cpg_callbacks_t callbacks = {delivered, nothing_changed};

        if (i > 0)
            (void) poll(NULL, 0, TRY_AGAIN_MS);
        rc = cpg_initialize(ret_handle, &callbacks);
    }
    if (rc != CS_OK)
        return rc;
    set_name(&name, group);
    rc = cpg_context_set(*ret_handle, p);
    for (int i = 0; rc == CS_OK && i < JOIN_TRIES; i++) {
        rc = cpg_join(*ret_handle, &name);
        if (rc != CS_ERR_TRY_AGAIN)
            break;
        (void) poll(NULL, 0, TRY_AGAIN_MS);
        rc = CS_OK;
    }
    if (rc != CS_OK)
        (void) cpg_finalize(*ret_handle);
    return rc;
}

static void
look_for_daemons(qm_peer *p, cpg_handle_t handle)
{
    struct cpg_address members[CPG_MEMBERS_MAX];
    struct cpg_name name;
    int n = 0;

    set_name(&name, GROUP_DAEMONS);
    if (cpg_membership_get(handle, &name, members, &n) != CS_OK)
        return;
    g_mutex_lock(&p->mutex);
    g_array_set_size(p->daemons, 0);
    for (int i = 0; i < n && i < CPG_MEMBERS_MAX; i++)
        g_array_append_val(p->daemons, members[i].nodeid);
    g_mutex_unlock(&p->mutex);
}

static qm_message *
take_out(qm_peer *p)
{
    qm_message *m;

    g_mutex_lock(&p->mutex);
    m = g_queue_pop_head(&p->out);
    g_mutex_unlock(&p->mutex);
    return m;
}

/* @ret_busy: flow control: once more, a little later. */
static cs_error_t
send_all(qm_peer *p, cpg_handle_t handle, bool *ret_busy)
{
    qm_message *m;

    *ret_busy = false;
    while ((m = take_out(p)) != NULL) {
        g_autofree char *text = qm__message_to_json(m);
        struct iovec iov = {text, strlen(text)};
        cs_error_t rc = cpg_mcast_joined(handle, CPG_TYPE_AGREED, &iov, 1);

        *ret_busy = rc == CS_ERR_TRY_AGAIN;
        if (*ret_busy) {
            g_mutex_lock(&p->mutex);
            g_queue_push_head(&p->out, m);
            g_mutex_unlock(&p->mutex);
            return CS_OK;
        }
        g_free(m);
        if (rc != CS_OK)
            return rc;
    }
    return CS_OK;
}

static bool
may_end(qm_peer *p)
{
    bool end;

    g_mutex_lock(&p->mutex);
    end = p->end && g_queue_is_empty(&p->out);
    g_mutex_unlock(&p->mutex);
    return end;
}

/* Until the user leaves, or corosync does.  @daemons: 0: no seat there. */
static cs_error_t
serve(qm_peer *p, cpg_handle_t all, cpg_handle_t daemons)
{
    struct pollfd fds[3] = {{.fd = -1, .events = POLLIN},
                            {.fd = -1, .events = POLLIN},
                            {.fd = p->out_fd, .events = POLLIN}};
    int64_t look_at = qm__deadline_in(LOOK_MS * QM_MS);
    cs_error_t rc = cpg_fd_get(all, &fds[0].fd);
    bool busy = false;

    if (rc == CS_OK && p->daemon)
        rc = cpg_fd_get(daemons, &fds[1].fd);
    while (rc == CS_OK && !may_end(p)) {
        (void) poll(fds, 3, busy ? TRY_AGAIN_MS : LOOK_MS);
        silence(p->out_fd);
        rc = send_all(p, all, &busy);
        if (rc == CS_OK)
            rc = cpg_dispatch(all, CS_DISPATCH_ALL);
        if (rc == CS_OK && p->daemon)
            rc = cpg_dispatch(daemons, CS_DISPATCH_ALL);
        if (qm__passed(look_at)) {
            look_for_daemons(p, all);
            look_at = qm__deadline_in(LOOK_MS * QM_MS);
        }
    }
    return rc;
}

static void
set_state(qm_peer *p, bool joined, cs_error_t rc)
{
    g_mutex_lock(&p->mutex);
    p->joined |= joined;
    p->lost = !joined;
    if (!joined)
        p->why = g_strdup(cs_strerror(rc));
    g_cond_broadcast(&p->changed);
    g_mutex_unlock(&p->mutex);
    ring(p->in_fd);
}

/* In the group of all, with a seat among the daemons or without. */
static cs_error_t
sit(qm_peer *p, cpg_handle_t daemons)
{
    cpg_handle_t all;
    cs_error_t rc = join(GROUP_ALL, p, &all);

    if (rc != CS_OK)
        return rc;
    look_for_daemons(p, all);
    set_state(p, true, CS_OK);
    rc = serve(p, all, daemons);
    (void) cpg_finalize(all);
    return rc;
}

static void *
peer_thread(void *data)
{
    qm_peer *p = data;
    cpg_handle_t daemons = 0;
    cs_error_t rc = p->daemon ? join(GROUP_DAEMONS, p, &daemons) : CS_OK;

    if (rc == CS_OK) {
        rc = sit(p, daemons);
        if (p->daemon)
            (void) cpg_finalize(daemons);
    }
    set_state(p, false, rc);
    peer_unref(p);
    return NULL;
}

/* --- for callers --------------------------------------------------------- */

static qm_peer *
peer_new(bool daemon)
{
    qm_peer *p = g_new0(qm_peer, 1);

    g_atomic_ref_count_init(&p->refs);
    p->daemon = daemon;
    p->in_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    p->out_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    g_mutex_init(&p->mutex);
    g_cond_init(&p->changed);
    p->daemons = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    return p;
}

static bool
start_thread(qm_peer *p, GError **error)
{
    sigset_t all, old;
    GThread *thread;
    g_autoptr(GError) why = NULL;

    (void) sigfillset(&all);
    (void) pthread_sigmask(SIG_BLOCK, &all, &old);
    g_atomic_ref_count_inc(&p->refs);
    thread = g_thread_try_new("peer", peer_thread, p, &why);
    (void) pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (thread != NULL) {
        g_thread_unref(thread); /* detached: corosync may hold it */
        return true;
    }
    peer_unref(p);
    g_set_error(error, QM_ERROR, QM_ERROR_IO, "no thread: %s", why->message);
    return false;
}

/* Waits for a change of state on the thread's side. */
static bool
await_seat(qm_peer *p, int64_t deadline, GError **error)
{
    gint64 until = g_get_monotonic_time() + qm__remaining(deadline);
    bool joined;

    g_mutex_lock(&p->mutex);
    while (!p->joined && !p->lost &&
           g_cond_wait_until(&p->changed, &p->mutex, until))
        ;
    joined = p->joined && !p->lost;
    if (!joined)
        g_set_error(error, QM_ERROR, p->lost ? QM_ERROR_IO : QM_ERROR_TIMEOUT,
                    "no seat in corosync's process group %s: %s", GROUP_ALL,
                    p->lost ? p->why : "corosync does not answer");
    g_mutex_unlock(&p->mutex);
    return joined;
}

bool
qm__peer_open(bool daemon, int64_t deadline, qm_peer **ret, GError **error)
{
    g_autoptr(qm_peer) p = peer_new(daemon);

    if (p->in_fd < 0 || p->out_fd < 0) {
        g_set_error(error, QM_ERROR, QM_ERROR_IO, "eventfd: %s",
                    g_strerror(errno));
        return false;
    }
    if (!start_thread(p, error) || !await_seat(p, deadline, error))
        return false;
    *ret = g_steal_pointer(&p);
    return true;
}

void
qm__peer_close(qm_peer *p)
{
    gint64 until = g_get_monotonic_time() + CLOSE_AT_MOST;

    if (p == NULL)
        return;
    g_mutex_lock(&p->mutex);
    p->end = true;
    ring(p->out_fd);
    while (p->joined && !p->lost &&
           g_cond_wait_until(&p->changed, &p->mutex, until))
        ;
    g_mutex_unlock(&p->mutex);
    peer_unref(p);
}

int
qm__peer_fd(const qm_peer *p)
{
    return p->in_fd;
}

bool
qm__peer_next(qm_peer *p, qm_message *ret_message)
{
    qm_message *m;

    g_mutex_lock(&p->mutex);
    m = g_queue_pop_head(&p->in);
    if (m == NULL && !p->lost)
        silence(p->in_fd);
    g_mutex_unlock(&p->mutex);
    if (m == NULL)
        return false;
    *ret_message = *m;
    g_free(m);
    return true;
}

/* Makes room: what is told again soon goes first. */
static void
drop_oldest(GQueue *queue)
{
    for (GList *l = queue->head; l != NULL; l = l->next) {
        const qm_message *m = l->data;

        if (m->kind == QM_MESSAGE_PROGRESS || l->next == NULL) {
            g_free(l->data);
            g_queue_delete_link(queue, l);
            return;
        }
    }
}

void
qm__peer_send(qm_peer *p, const qm_message *message)
{
    g_mutex_lock(&p->mutex);
    if (!p->lost) {
        if (g_queue_get_length(&p->out) >= QUEUE_MAX)
            drop_oldest(&p->out);
        g_queue_push_tail(&p->out, g_memdup2(message, sizeof *message));
    }
    g_mutex_unlock(&p->mutex);
    ring(p->out_fd);
}

bool
qm__peer_has_daemon(qm_peer *p, uint32_t node_id)
{
    bool found = false;

    g_mutex_lock(&p->mutex);
    for (guint i = 0; i < p->daemons->len; i++)
        found |= g_array_index(p->daemons, uint32_t, i) == node_id;
    g_mutex_unlock(&p->mutex);
    return found;
}

bool
qm__peer_lost(qm_peer *p)
{
    bool lost;

    g_mutex_lock(&p->mutex);
    lost = p->lost;
    g_mutex_unlock(&p->mutex);
    return lost;
}
