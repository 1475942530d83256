/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_STREAM_INTERNAL_H
#define QM_STREAM_INTERNAL_H

/*
 * Shared by stream.c and stream-pump.c only.
 */
#include "stream.h"

#define QM__PIPE_SIZE   (1024 * 1024) /* bytes; a larger pipe is faster */
#define QM__AT_DATA_LEN 20 /* in libvirt's header: bytes of XML after it */

/* Opens @path, a FIFO, for writing as soon as somebody reads it.  IO: libvirt's
 * call ended before (@ret_ended says so), or no such FIFO.  TIMEOUT. */
bool qm__fifo_open_writer(const char *path, int job_fd, int64_t deadline,
                          int *ret_fd, bool *ret_ended, GError **error);

/* Lets go whoever waits for the other end of the FIFO. */
void qm__fifo_release(const char *path);

/* Puts a pump before the FIFO @path, which is connected as @fifo_fd (taken over
 * on success).  @ret_fd: where to write instead, non-blocking. */
bool qm__pump_start(const char *path, int fifo_fd, int job_fd, int64_t deadline,
                    int *ret_fd, GError **error);

#endif
