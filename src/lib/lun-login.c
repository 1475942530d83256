/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The way to a logged-in session, with a deadline for every part of it, names
 * included, and an error that says which part of the address was wrong.
 */
#include "config.h"
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "bounded.h"
#include "lun-internal.h"

#define REDIRECTS_MAX 4
#define STRING_MAX    255 /* libiscsi cuts longer names off, unasked */

/* RFC 7143, 11.13.5: class << 8 | detail. */
enum {
    LOGIN_AUTHENTICATION = 0x0201,
    LOGIN_AUTHORIZATION = 0x0202,
    LOGIN_NOT_FOUND = 0x0203,
    LOGIN_REMOVED = 0x0204
};

/* --- names --------------------------------------------------------------- */

typedef struct {
    char *host; /* without brackets */
    char *port;
    GPtrArray *portals; /* numeric, "address:port" or "[address]:port" */
} lookup;

static void
lookup_clear(void *data)
{
    lookup *l = data;

    g_free(l->host);
    g_free(l->port);
    if (l->portals != NULL)
        g_ptr_array_unref(l->portals);
}

static void
add_portal(lookup *l, const struct addrinfo *ai)
{
    char host[NI_MAXHOST], port[NI_MAXSERV];
    bool v6 = ai->ai_family == AF_INET6;

    if (getnameinfo(ai->ai_addr, ai->ai_addrlen, host, sizeof host, port,
                    sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        g_ptr_array_add(l->portals,
                        g_strdup_printf(v6 ? "[%s]:%s" : "%s:%s", host, port));
}

static bool
look_up(void *data, GError **error)
{
    lookup *l = data;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG};
    struct addrinfo *first;
    int code = getaddrinfo(l->host, l->port, &hints, &first);

    if (code != 0) {
        g_set_error(error, QM_ERROR, QM_ERROR_NOT_FOUND,
                    "iSCSI portal %s: the name cannot be resolved: %s", l->host,
                    gai_strerror(code));
        return false;
    }
    l->portals = g_ptr_array_new_with_free_func(g_free);
    for (struct addrinfo *ai = first; ai != NULL; ai = ai->ai_next)
        add_portal(l, ai);
    freeaddrinfo(first);
    return true;
}

static bool
is_numeric(const char *host)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST};
    struct addrinfo *ai;

    if (getaddrinfo(host, NULL, &hints, &ai) != 0)
        return false;
    freeaddrinfo(ai);
    return true;
}

/* "host:port", "[v6]:port", and what a redirect says: ",group" behind it. */
static bool
split_portal(const char *portal, char **ret_host, char **ret_port)
{
    g_autofree char *text = g_strndup(portal, strcspn(portal, ","));
    char *colon = strrchr(text, ':');
    size_t length;

    if (colon != NULL && strchr(colon, ']') != NULL)
        colon = NULL;
    if (colon != NULL)
        *colon = '\0';
    length = strlen(text);
    if (length == 0)
        return false;
    *ret_port = g_strdup(colon != NULL ? colon + 1 : "3260");
    if (text[0] == '[' && text[length - 1] == ']')
        *ret_host = g_strndup(text + 1, length - 2);
    else
        *ret_host = g_steal_pointer(&text);
    return true;
}

/* The resolver knows no deadline: a name is looked up on a thread. */
static bool
resolve(const char *portal, int64_t deadline, GPtrArray **ret_portals,
        GError **error)
{
    lookup *l = g_atomic_rc_box_new0(lookup);
    g_autofree char *what = g_strdup_printf("resolving %s", portal);
    bool ok;

    if (!split_portal(portal, &l->host, &l->port)) {
        g_set_error(error, QM_ERROR, QM_ERROR_INVALID,
                    "\"%s\" is no iSCSI portal", portal);
        ok = false;
    } else if (is_numeric(l->host)) {
        ok = look_up(l, error);
    } else {
        ok = qm__bounded(what, look_up, l, lookup_clear, deadline, error);
    }
    if (ok)
        *ret_portals = g_steal_pointer(&l->portals);
    g_atomic_rc_box_release_full(l, lookup_clear);
    return ok;
}

/* --- one attempt --------------------------------------------------------- */

typedef struct {
    const qm_lun_params *params;
    const char *initiator;
    const char *portal; /* where we try now */
    int64_t deadline;   /* of all attempts */
    int64_t limit;      /* of this one */
    struct iscsi_context *iscsi;
    qm_link *link;
    bool connected, done;
    int status;
    int refusal;    /* class << 8 | detail; 0: none was said */
    char *redirect; /* the target wants us there */
    char *why;      /* libiscsi's reason, before it overwrites it */
} login;

/* libiscsi tells the status of a login only in its error text. */
static int
refusal_in(const char *why)
{
    const char *text = why != NULL ? strstr(why, "Status: ") : NULL;
    const char *number = text != NULL ? strrchr(text, '(') : NULL;

    return number != NULL ? atoi(number + 1) : 0;
}

static void
note(login *l, struct iscsi_context *iscsi, int status)
{
    const char *why = iscsi_get_error(iscsi);

    l->done = true;
    l->status = status;
    if (*why != '\0')
        l->why = g_strdup(why);
    l->refusal = refusal_in(l->why);
}

static void
on_login(struct iscsi_context *iscsi, int status, void *data, void *opaque)
{
    login *l = opaque;

    note(l, iscsi, status);
    if (status == SCSI_STATUS_REDIRECT)
        l->redirect = g_strdup(iscsi_get_target_address(iscsi));
}

static void
on_connect(struct iscsi_context *iscsi, int status, void *data, void *opaque)
{
    login *l = opaque;

    l->connected = status == SCSI_STATUS_GOOD;
    if (!l->connected)
        note(l, iscsi, status);
    else if (iscsi_login_async(iscsi, on_login, l) != 0)
        note(l, iscsi, SCSI_STATUS_ERROR);
}

static bool
login_refused(login *l, GError **error)
{
    const qm_url *url = l->params->url;
    int status = l->refusal;

    switch (status) {
    case LOGIN_AUTHENTICATION:
    case LOGIN_AUTHORIZATION:
        g_set_error(error, QM_ERROR, QM_ERROR_AUTH,
                    "iSCSI target %s at %s refuses the login of %s%s%s "
                    "(status %04x): check %s",
                    url->iqn, url->portal, l->initiator,
                    url->user != NULL ? " as CHAP user " : "",
                    url->user != NULL ? url->user : "", status,
                    url->user != NULL
                        ? "the CHAP user and the secret"
                        : "its access list, and whether it wants CHAP");
        break;
    case LOGIN_NOT_FOUND:
    case LOGIN_REMOVED:
        g_set_error(error, QM_ERROR, QM_ERROR_NOT_FOUND,
                    "there is no iSCSI target %s at %s for initiator %s "
                    "(status %04x): check its name and its access list",
                    url->iqn, url->portal, l->initiator, status);
        break;
    default:
        g_set_error(error, QM_ERROR, QM_ERROR_IO,
                    "login to iSCSI target %s at %s failed: %s", url->iqn,
                    url->portal,
                    l->why != NULL ? l->why : "it closed the connection");
    }
    return false;
}

static bool
attempt_failed(login *l, GError **error)
{
    const char *portal = l->params->url->portal;

    if (!l->done && qm__passed(l->limit)) {
        g_set_error(error, QM_ERROR, QM_ERROR_TIMEOUT,
                    "iSCSI portal %s (%s) did not answer in time", portal,
                    l->portal);
        return false;
    }
    if (l->connected)
        return login_refused(l, error);
    g_set_error(error, QM_ERROR, QM_ERROR_IO,
                "cannot connect to iSCSI portal %s (%s): %s", portal, l->portal,
                l->why != NULL ? l->why : "no connection");
    return false;
}

typedef struct {
    uint32_t random; /* 24 bits */
    uint16_t qualifier;
} isid;

/* The ISID is the initiator's half of the nexus' name.  A writer's is fixed,
 * so that a target keeps no second registration of a node that comes back. */
static isid
isid_of(const qm_lun_params *params)
{
    g_autofree char *text = NULL;
    g_autofree char *hash = NULL;

    if (params->nexus == QM_NEXUS_READER)
        return (isid){g_random_int() & 0xffffff,
                      (uint16_t) g_random_int_range(0, 0x10000)};
    text = g_strdup_printf("%s %d", params->url->iqn, params->url->lun);
    hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);
    hash[6] = '\0'; /* 24 bits */
    return (isid){(uint32_t) strtoul(hash, NULL, 16), params->node_id};
}

static bool
make_context(login *l, GError **error)
{
    const qm_lun_params *p = l->params;
    isid name = isid_of(p);

    l->iscsi = iscsi_create_context(l->initiator);
    if (l->iscsi == NULL) {
        g_set_error(error, QM_ERROR, QM_ERROR_INVALID,
                    "initiator name \"%s\" is not usable", l->initiator);
        return false;
    }
    /* It cannot fail. */
    (void) iscsi_set_isid_random(l->iscsi, name.random, name.qualifier);
    iscsi_set_noautoreconnect(l->iscsi, 1);
    if (iscsi_set_targetname(l->iscsi, p->url->iqn) == 0 &&
        iscsi_set_session_type(l->iscsi, ISCSI_SESSION_NORMAL) == 0 &&
        (p->url->user == NULL ||
         iscsi_set_initiator_username_pwd(l->iscsi, p->url->user,
                                          p->chap_secret) == 0))
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_INVALID, "iSCSI target %s: %s",
                p->url->iqn, iscsi_get_error(l->iscsi));
    return false;
}

/* Connects without blocking (libiscsi sets TCP_NODELAY) and logs in. */
static bool
attempt_libiscsi(login *l, GError **error)
{
    if (!make_context(l, error))
        return false;
    if (iscsi_connect_async(l->iscsi, l->portal, on_connect, l) != 0)
        note(l, l->iscsi, SCSI_STATUS_ERROR);
    else /* a child that kept it would keep the session alive */
        (void) fcntl(iscsi_get_fd(l->iscsi), F_SETFD, FD_CLOEXEC);
    while (!l->done) {
        struct pollfd p = {.fd = iscsi_get_fd(l->iscsi),
                           .events = (short) iscsi_which_events(l->iscsi)};

        if (qm__passed(l->limit) ||
            (poll(&p, 1, qm__remaining_ms(l->limit)) < 0 && errno != EINTR) ||
            iscsi_service(l->iscsi, p.revents) < 0)
            break;
    }
    if (!l->done ||
        (l->status != SCSI_STATUS_GOOD && l->status != SCSI_STATUS_REDIRECT))
        return attempt_failed(l, error);
    if (l->redirect == NULL)
        l->link =
            qm__link_libiscsi(g_steal_pointer(&l->iscsi), l->params->url->lun);
    return true;
}

/* What our own login says in its own words is passed on with its code. */
static bool
own_failed(login *l, GError *why, GError **error)
{
    const qm_url *url = l->params->url;

    l->done = !g_error_matches(why, QM_ERROR, QM_ERROR_TIMEOUT);
    l->why = g_strdup(why->message);
    if (!l->connected || l->refusal != 0 ||
        g_error_matches(why, QM_ERROR, QM_ERROR_TIMEOUT)) {
        g_error_free(why);
        return attempt_failed(l, error);
    }
    g_propagate_prefixed_error(
        error, why, "login to iSCSI target %s at %s: ", url->iqn, url->portal);
    return false;
}

static bool
attempt_own(login *l, GError **error)
{
    const qm_lun_params *p = l->params;
    isid name = isid_of(p);
    const qm_login_identity identity = {
        .initiator = l->initiator,
        .target = p->url->iqn,
        .user = p->url->user,
        .secret = p->chap_secret,
        .isid = {QM_ISID_RANDOM, (uint8_t) (name.random >> 16),
                 (uint8_t) (name.random >> 8), (uint8_t) name.random,
                 (uint8_t) (name.qualifier >> 8), (uint8_t) name.qualifier},
    };
    qm_login_session session;
    qm_login_refusal refusal = {0};
    GError *why = NULL;
    int fd;

    if (!qm__iscsi_connect(l->portal, l->limit, &fd, &why))
        return own_failed(l, why, error);
    l->connected = true;
    if (qm__iscsi_login(fd, &identity, l->limit, &session, &refusal, &why)) {
        l->link = qm__link_wire(fd, &session, p->url->lun);
        return true;
    }
    (void) close(fd); /* nothing was written to it that counts */
    l->refusal = refusal.status;
    l->redirect = refusal.redirect;
    if (l->redirect == NULL)
        return own_failed(l, why, error);
    g_error_free(why);
    return true;
}

static bool
attempt(login *l, GError **error)
{
    l->connected = l->done = false;
    l->refusal = 0;
    return l->params->own_session ? attempt_own(l, error)
                                  : attempt_libiscsi(l, error);
}

static void
discard(login *l)
{
    if (l->iscsi != NULL)
        (void) iscsi_destroy_context(l->iscsi);
    l->iscsi = NULL;
    g_clear_pointer(&l->why, g_free);
}

/* Tries each address that a portal's name stands for; each gets its share of
 * the time that is left. */
static bool
try_portal(login *l, const char *portal, GError **error)
{
    g_autoptr(GPtrArray) portals = NULL;
    g_autoptr(GError) why = NULL;

    if (!resolve(portal, l->deadline, &portals, error))
        return false;
    for (guint i = 0; i < portals->len; i++) {
        g_clear_error(&why);
        l->portal = portals->pdata[i];
        l->limit =
            qm__deadline_in(qm__remaining(l->deadline) / (portals->len - i));
        if (attempt(l, &why))
            return true;
        discard(l);
        if (l->connected)
            break; /* an answer, if not the one hoped for */
    }
    if (why == NULL)
        g_set_error(&why, QM_ERROR, QM_ERROR_NOT_FOUND,
                    "iSCSI portal %s has no address", portal);
    g_propagate_error(error, g_steal_pointer(&why));
    return false;
}

static bool
check_params(const qm_lun_params *p, const char *initiator, GError **error)
{
    const char *bad = NULL;
    int code = QM_ERROR_INVALID;

    if (p->url == NULL || p->url->portal == NULL || p->url->iqn == NULL) {
        bad = "its address is not an iSCSI one";
    } else if (p->nexus == QM_NEXUS_WRITER && p->node_id == 0) {
        bad = "this node's id is not known";
    } else if (p->url->user != NULL && p->chap_secret == NULL) {
        bad = "its address names a CHAP user, but no secret was found";
        code = QM_ERROR_AUTH;
    } else if (strlen(p->url->iqn) > STRING_MAX ||
               strlen(initiator) > STRING_MAX ||
               (p->url->user != NULL &&
                (strlen(p->url->user) > STRING_MAX ||
                 strlen(p->chap_secret) > STRING_MAX))) {
        bad = "a name or the CHAP secret is longer than 255 bytes";
    }
    if (bad != NULL)
        g_set_error(error, QM_ERROR, code, "login to iSCSI target %s: %s",
                    p->url != NULL ? p->url->text : "?", bad);
    return bad == NULL;
}

bool
qm__lun_login(const qm_lun_params *params, const char *initiator,
              int64_t deadline, qm_link **ret_link, GError **error)
{
    login l = {.params = params, .initiator = initiator, .deadline = deadline};
    g_autofree char *portal = NULL;

    if (!check_params(params, initiator, error))
        return false;
    portal = g_strdup(params->url->portal);
    for (int i = 0; i <= REDIRECTS_MAX; i++) {
        if (!try_portal(&l, portal, error))
            return false;
        if (l.redirect == NULL) {
            g_free(l.why);
            *ret_link = l.link;
            return true;
        }
        discard(&l);
        g_free(portal);
        portal = g_steal_pointer(&l.redirect);
    }
    g_set_error(error, QM_ERROR, QM_ERROR_IO,
                "iSCSI target %s at %s redirects without end (last: %s)",
                params->url->iqn, params->url->portal, portal);
    return false;
}
