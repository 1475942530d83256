/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Reads an image into memory until libvirt's header and XML are there, and
 * stops then.  Every chunk of it has been checked like any other.
 */
#include "config.h"
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "domxml.h"
#include "image-xml.h"
#include "stream-internal.h"

#define XML_MOST (2 * QM_XML_MAX) /* libvirt adds to what it was given */

typedef struct {
    int fd;
    bool enough;
    qm_keep_going keep_going;
    void *opaque;
} head;

static bool
corrupt(const char *what, GError **error)
{
    g_set_error(error, QM_ERROR, QM_ERROR_CORRUPT, "the saved state %s", what);
    return false;
}

/* Bytes of header and XML; 0: not there yet. */
static off_t
head_length(int fd)
{
    uint32_t length;

    if (pread(fd, &length, sizeof length, QM__AT_DATA_LEN) != sizeof length)
        return 0;
    return QM_SAVE_HEADER + (off_t) length;
}

/* Asked before each chunk; the error only ends the reading. */
static bool
go_on(void *opaque, GError **error)
{
    head *h = opaque;
    off_t length = head_length(h->fd);

    if (length > QM_SAVE_HEADER + XML_MOST)
        return corrupt("does not begin with a domain XML", error);
    h->enough = length > 0 && lseek(h->fd, 0, SEEK_END) >= length;
    if (h->enough) {
        g_set_error(error, QM_ERROR, QM_ERROR_CANCELLED, "enough");
        return false;
    }
    return h->keep_going == NULL || h->keep_going(h->opaque, error);
}

static bool
take_xml(int fd, char **ret_xml, GError **error)
{
    size_t length = (size_t) (head_length(fd) - QM_SAVE_HEADER);
    g_autofree char *xml = g_malloc0(length + 1);

    if (pread(fd, xml, length, QM_SAVE_HEADER) != (ssize_t) length ||
        xml[0] == '\0')
        return corrupt("has no domain XML", error);
    *ret_xml = g_steal_pointer(&xml); /* up to its NUL: a cookie follows */
    return true;
}

bool
qm__image_read_xml(qm_image_reader *r, bool follow, int64_t deadline,
                   qm_keep_going keep_going, void *opaque, char **ret_xml,
                   GError **error)
{
    head h = {.fd = memfd_create("quickmig-xml", MFD_CLOEXEC),
              .keep_going = keep_going,
              .opaque = opaque};
    GError *why = NULL;
    bool ok = false;

    if (h.fd < 0) {
        g_set_error(error, QM_ERROR, QM_ERROR_IO, "memfd_create: %m");
        return false;
    }
    if (qm__image_read_to(r, h.fd, follow, deadline, go_on, &h, &why))
        ok = go_on(&h, &why); /* all of it: shorter than a head? */
    if (h.enough) {
        g_clear_error(&why);
        ok = take_xml(h.fd, ret_xml, error);
    } else if (ok) {
        ok = corrupt("ends before its domain XML does", error);
    } else {
        g_propagate_error(error, why);
    }
    (void) close(h.fd); /* it is only memory */
    return ok;
}
