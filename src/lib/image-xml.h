/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_IMAGE_XML_H
#define QM_IMAGE_XML_H

/*
 * The domain XML that libvirt put at the beginning of a saved state.
 */
#include "image.h"

/* Reads no more of the image than that; @r is of no use afterwards.  @follow,
 * @keep_going: as for qm__image_read_to().  CORRUPT: there is none. */
bool qm__image_read_xml(qm_image_reader *r, bool follow, int64_t deadline,
                        qm_keep_going keep_going, void *opaque, char **ret_xml,
                        GError **error);

#endif
