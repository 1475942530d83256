/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_STREAM_H
#define QM_STREAM_H

/*
 * The FIFO between libvirt and an image.
 *
 * Saving: libvirt opens the path, writes a header (92 bytes, marked partial),
 * the domain XML and QEMU's stream, closes it, then opens the same path again
 * to write the header marked complete.  As soon as the first header has come,
 * an empty regular file takes the FIFO's place under that path.  So the end
 * of file on our end is the end of the stream and nothing else, the second
 * header goes into that file, where libvirt never has to wait for us, even
 * when we have died, and nobody ever looks at it: what commits is our image's
 * last chunk, after libvirt's call has returned success.
 *
 * Restoring: libvirt wants a header marked complete.  It is marked when it is
 * taken, so that the image carries it and can be handed over as it is.  Newer
 * libvirts open the file twice, first for header and XML only: a pump between
 * the image and the FIFO sends these again; see stream-pump.c.
 *
 *   save:                                restore:
 *   qm__fifo_new(…, QM_FIFO_SAVE)        qm__fifo_new(…, QM_FIFO_RESTORE)
 *   qm__vm_save_begin(path)              qm__vm_restore_begin(path)
 *   qm__fifo_take(job, header)           qm__fifo_connect(job)
 *   qm__image_write_from(fd, header)     qm__image_read_to(fd)
 *   qm__vm_job_wait()                    qm__fifo_close(), qm__vm_job_wait()
 *   qm__image_write_last()
 *   qm__fifo_free()                      qm__fifo_free()
 *
 * Closing early breaks the stream: libvirt's call fails, a saved domain stays
 * suspended with its memory, a restored one is gone.  The process must ignore
 * SIGPIPE.
 */
#include <stdint.h>
#include <quickmig/error.h>
#include <stdbool.h>

#define QM_SAVE_HEADER 92 /* bytes; libvirt's, since 2010 */

typedef enum { QM_FIFO_SAVE, QM_FIFO_RESTORE } qm_fifo_use;
typedef struct qm_fifo qm_fifo;

/* Makes a FIFO with a fresh name in @dir (absolute, only root may write it).
 * SAVE: our end is open at once. */
bool qm__fifo_new(const char *dir, qm_fifo_use use, qm_fifo **ret_fifo,
                  GError **error);
/* Closes and removes it. */
void qm__fifo_free(qm_fifo *fifo);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(qm_fifo, qm__fifo_free)

const char *qm__fifo_path(const qm_fifo *fifo); /* for libvirt */
/* Our end, non-blocking; -1 while not open. */
int qm__fifo_fd(const qm_fifo *fifo);
/* Ends the stream that we write; the FIFO can only be freed then. */
void qm__fifo_close(qm_fifo *fifo);

/* SAVE: waits for libvirt's header, checks it, returns it (QM_SAVE_HEADER
 * bytes) marked complete; the rest of the stream comes from qm__fifo_fd().
 * @job_fd: readable when libvirt's call has ended.  IO: it ended, or closed
 * the FIFO, before the header; the job says why.  UNSUPPORTED: a format that
 * this cannot handle.  TIMEOUT. */
bool qm__fifo_take(qm_fifo *fifo, int job_fd, int64_t deadline,
                   uint8_t *ret_header, GError **error);
/* RESTORE: waits until libvirt has opened it.  @deadline holds for opening it
 * again, too.  IO: the call ended before. */
bool
qm__fifo_connect(qm_fifo *fifo, int job_fd, int64_t deadline, GError **error);

/* Removes FIFOs that a killed process left in @dir.  Lets go whoever waits for
 * the other end of one: libvirtd then ends a call that would hold the domain
 * for ever.  An empty directory stays in a save's place, so that a call which
 * comes to open it even later fails.  Under the VM's lock, before
 * libvirt is asked for anything. */
void qm__fifo_sweep(const char *dir);

#endif
