/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Vault addresses: iscsi://[user@]portal[:port]/iqn/lun[?secret=NAME], or an
 * absolute directory.  A password has no place in an address: addresses show
 * in process lists, logs and the CIB.
 */
#include "config.h"
#include <string.h>
#include <gio/gio.h>
#include <quickmig/vault.h>

#define ISCSI_PORT 3260
#define MAX_LENGTH 1024
#define IQN_MAX    223 /* RFC 3720, 3.2.6.1 */

void
qm_url_free(qm_url *url)
{
    if (url == NULL)
        return;
    g_free(url->text);
    g_free(url->dir);
    g_free(url->portal);
    g_free(url->iqn);
    g_free(url->user);
    g_free(url->secret);
    g_free(url);
}

/* What stands before the last '@' may be a password: it is not repeated. */
static bool
bad(const char *text, const char *why, GError **error)
{
    const char *at = strrchr(text, '@');
    g_autofree char *shown = at != NULL ? g_strconcat("…", at, NULL) : NULL;

    g_set_error(error, QM_ERROR, QM_ERROR_INVALID,
                "vault address \"%s\": %s; expected "
                "iscsi://[user@]host[:port]/iqn/lun or an absolute directory",
                shown != NULL ? shown : text, why);
    return false;
}

/* RFC 3720, 3.2.6.2: what stands in a name, and what is seen in practice. */
static bool
is_name(const char *text)
{
    for (; *text != '\0'; text++)
        if (!g_ascii_isalnum(*text) && strchr("-.:_", *text) == NULL)
            return false;
    return true;
}

/* Printable, without spaces: what may stand in any part. */
static bool
is_clean(const char *text)
{
    const char *p;

    for (p = text; *p != '\0'; p++)
        if (!g_ascii_isgraph(*p))
            return false;
    return true;
}

static bool
is_number(const char *text, guint64 min, guint64 max, guint64 *ret)
{
    return g_ascii_string_to_unsigned(text, 10, min, max, ret, NULL);
}

/* What stands between brackets. */
static bool
is_v6(const char *text, size_t length)
{
    g_autofree char *address = g_strndup(text, length);

    return strchr(address, ':') != NULL && g_hostname_is_ip_address(address);
}

/* "host", "host:port", "[v6]", "[v6]:port" → with the port. */
static char *
parse_portal(const char *text)
{
    const char *end, *port = NULL;
    guint64 number = ISCSI_PORT;
    g_autofree char *host = NULL;

    if (text[0] == '[') {
        end = strchr(text, ']');
        if (end == NULL || !is_v6(text + 1, end - text - 1))
            return NULL;
        host = g_strndup(text, end + 1 - text);
        if (end[1] == ':')
            port = end + 2;
        else if (end[1] != '\0')
            return NULL;
    } else {
        end = strchr(text, ':');
        if (end != NULL && strchr(end + 1, ':') != NULL)
            return NULL; /* IPv6 needs brackets */
        host = end != NULL ? g_strndup(text, end - text) : g_strdup(text);
        port = end != NULL ? end + 1 : NULL;
        if (host[0] == '\0' || !is_name(host))
            return NULL;
    }
    if (port != NULL && !is_number(port, 1, 65535, &number))
        return NULL;
    return g_strdup_printf("%s:%u", host, (unsigned) number);
}

static bool
is_iqn(const char *text)
{
    size_t length = strlen(text);

    return length > 4 && length <= IQN_MAX && is_name(text) &&
           (g_str_has_prefix(text, "iqn.") || g_str_has_prefix(text, "eui.") ||
            g_str_has_prefix(text, "naa."));
}

static bool
parse_iscsi(const char *text, qm_url *url, GError **error)
{
    const char *rest = text + strlen("iscsi://");
    const char *query = strchr(rest, '?');
    g_autofree char *path =
        query != NULL ? g_strndup(rest, query - rest) : g_strdup(rest);
    g_auto(GStrv) part = g_strsplit(path, "/", -1);
    char *at;
    guint64 lun;

    if (g_strv_length(part) != 3)
        return bad(text, "host, target name and LUN are needed", error);
    at = strchr(part[0], '@');
    if (at != NULL) {
        *at = '\0';
        if (part[0][0] == '\0' || strpbrk(part[0], ":%") != NULL)
            return bad(text,
                       "give the CHAP user alone; the password belongs in a "
                       "libvirt secret",
                       error);
        url->user = g_strdup(part[0]);
    }
    url->portal = parse_portal(at != NULL ? at + 1 : part[0]);
    if (url->portal == NULL)
        return bad(text, "the portal is not host[:port]", error);
    if (!is_iqn(part[1]))
        return bad(text, "the target name is no iqn., eui. or naa. name",
                   error);
    url->iqn = g_strdup(part[1]);
    if (!is_number(part[2], 0, 255, &lun))
        return bad(text, "the LUN is not a number from 0 to 255", error);
    url->lun = (int) lun;
    if (query != NULL) {
        if (!g_str_has_prefix(query, "?secret=") || query[8] == '\0' ||
            strpbrk(query + 1, "?&#") != NULL)
            return bad(text, "the only option is ?secret=NAME", error);
        url->secret = g_strdup(query + 8);
    }
    return true;
}

bool
qm_url_parse(const char *text, qm_url **ret_url, GError **error)
{
    g_autoptr(qm_url) url = g_new0(qm_url, 1);

    if (text == NULL || text[0] == '\0')
        return bad("", "it is empty", error);
    if (strlen(text) > MAX_LENGTH)
        return bad("…", "it is longer than 1024 characters", error);
    url->text = g_strdup(text);
    if (g_str_has_prefix(text, "iscsi://")) {
        if (!is_clean(text))
            return bad(text, "spaces or control characters in it", error);
        if (!parse_iscsi(text, url, error))
            return false;
    } else if (g_path_is_absolute(text)) {
        url->dir = g_canonicalize_filename(text, "/");
    } else {
        return bad(text, "neither iscsi:// nor an absolute path", error);
    }
    *ret_url = g_steal_pointer(&url);
    return true;
}
