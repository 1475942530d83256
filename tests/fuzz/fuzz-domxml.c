/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Domain XML.  The promise that matters: in what is made for the gates, no
 * hard disk is reached over iSCSI by QEMU itself, wherever libvirt would look
 * for disks, and no credentials of such a disk are left.
 */
#include "config.h"
#include <libxml/xpath.h>
#include "domxml-internal.h"
#include "fuzz.h"

/* As libvirt finds them. */
#define PAST_THE_GATES                                                         \
    "/domain/devices/disk[@type='network']"                                    \
    "[not(@device) or @device='disk' or @device='lun']"                        \
    "/source[@protocol='iscsi']"

static unsigned
count(const char *xml, const char *path)
{
    xmlDocPtr doc = xmlReadMemory(xml, (int) strlen(xml), NULL, NULL,
                                  XML_PARSE_NONET | XML_PARSE_NOERROR |
                                      XML_PARSE_NOWARNING);
    xmlXPathContextPtr context;
    xmlXPathObjectPtr found;
    unsigned n;

    FUZZ_CHECK(doc != NULL);
    context = xmlXPathNewContext(doc);
    found = xmlXPathEvalExpression(BAD_CAST path, context);
    FUZZ_CHECK(found != NULL);
    n = found->nodesetval != NULL ? (unsigned) found->nodesetval->nodeNr : 0;
    xmlXPathFreeObject(found);
    xmlXPathFreeContext(context);
    xmlFreeDoc(doc);
    return n;
}

void
fuzz_domxml(const uint8_t *data, size_t size)
{
    g_autofree char *text = fuzz_text(data, size), *out = NULL;
    g_autoptr(qm_domxml) d = NULL, again = NULL;
    bool ok, same;

    FUZZ_TRY(ok, qm__domxml_parse(text, &d, &err));
    FUZZ_TRY(same, qm__domxml_for_gates(text, &out, &err));
    FUZZ_CHECK(ok == same);
    if (!ok)
        return;
    FUZZ_CHECK(d->name[0] != '\0' && strlen(d->name) < QM_NAME_MAX);
    FUZZ_CHECK(d->n_disks > 0 && d->n_disks >= d->disks->len);
    FUZZ_CHECK(count(out, PAST_THE_GATES) == 0);
    FUZZ_CHECK(qm__domxml_parse(out, &again, NULL));
    FUZZ_CHECK(again->disks->len == 0 && again->n_disks == d->n_disks);
    FUZZ_CHECK(memcmp(again->uuid, d->uuid, QM_UUID_LEN) == 0);
}
