/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_VM_H
#define QM_VM_H

/*
 * One libvirt domain.  Every call has a deadline: libvirt calls run on a
 * worker thread; one that does not come back in time is left behind, and as
 * long as it is out, every other call fails with TIMEOUT within 250 ms, so
 * that a hung libvirtd is an error within the action's time, never a hang.  A
 * call that was left behind may still take effect later: look before you
 * decide.
 *
 * Errors: NOT_FOUND (no such domain), TIMEOUT (see above), BUSY (the domain is
 * locked by another libvirt job), INVALID (libvirt refuses the XML),
 * UNSUPPORTED, CANCELLED (aborted), AUTH; all else is IO.
 */
#include <sys/types.h>
#include <quickmig/error.h>
#include <quickmig/record.h>

typedef struct qm_vm qm_vm;

typedef enum {
    QM_VM_NONE, /* libvirt answered: no such domain is active */
    QM_VM_RUNNING,
    QM_VM_PAUSED,   /* by us, by an administrator, or loaded and not resumed */
    QM_VM_IO_ERROR, /* paused by QEMU because a disk failed */
    QM_VM_ENDING,   /* shutting down, or crashed and not yet gone */
} qm_vm_state;

/* @uri: libvirt URI (NULL: qemu:///system).  IO: libvirtd not there. */
bool qm__vm_open(const char *uri, const uint8_t *uuid, int64_t deadline,
                 qm_vm **ret_vm, GError **error);
void qm__vm_close(qm_vm *vm);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(qm_vm, qm__vm_close)

bool qm__vm_get_state(qm_vm *vm, int64_t deadline, qm_vm_state *ret_state,
                      GError **error);
/* Starts it transient from @xml (virDomainCreateXML).  @paused: its CPUs wait
 * for qm__vm_resume(). */
bool qm__vm_create(qm_vm *vm, const char *xml, bool paused, int64_t deadline,
                   GError **error);
bool qm__vm_suspend(qm_vm *vm, int64_t deadline, GError **error);
bool qm__vm_resume(qm_vm *vm, int64_t deadline, GError **error);
/* Destroys and waits until libvirt says that it is gone.  No domain: true. */
bool qm__vm_destroy(qm_vm *vm, int64_t deadline, GError **error);
/* The last resort when that hangs: SIGKILL to every QEMU of this VM, as its
 * command line tells.  Returns how many there were.  libvirt has to be asked
 * all the same, afterwards. */
unsigned qm__vm_kill(const uint8_t *uuid);
/* One command of the QEMU guest agent's, as JSON.  Within @deadline, and the
 * agent has until then to answer.  UNSUPPORTED: the domain has no channel for
 * it.  @ret_reply: as the guest wrote it, to be trusted in nothing. */
bool qm__vm_agent(qm_vm *vm, const char *command, int64_t deadline,
                  char **ret_reply, GError **error);
/* Asks the guest to shut down, repeats the request, waits until it is off.
 * TIMEOUT when it did not obey. */
bool qm__vm_shutdown(qm_vm *vm, int64_t deadline, GError **error);

/* --- save and restore through a FIFO, in the background --- */

typedef struct qm_vm_job qm_vm_job;

/* Save that keeps the source's memory: external memory snapshot with the disks
 * `manual`.  @live false: the domain must be suspended and stays so, whatever
 * becomes of the stream.  @live: it must run; it runs on while its memory is
 * streamed, is suspended by QEMU for the last part, and stays suspended when
 * the job has succeeded; when it fails, it runs on.  @fifo: qm__fifo_path();
 * see stream.h.  The job's errors: REFUSED (not suspended, or not running),
 * NOT_FOUND, INVALID (no disk). */
bool qm__vm_save_begin(qm_vm *vm, const char *fifo, bool live,
                       qm_vm_job **ret_job, GError **error);
/* virDomainRestoreFlags(PAUSED) from @fifo, which the caller fills.
 * @xml: domain XML to use, NULL: the one in the stream.  A job that fails has
 * removed what it loaded.  REFUSED: the domain is active here already. */
bool qm__vm_restore_begin(qm_vm *vm, const char *fifo, const char *xml,
                          qm_vm_job **ret_job, GError **error);
/* eventfd, readable when the job has ended. */
int qm__vm_job_fd(const qm_vm_job *job);
/* Waits for the end.  TIMEOUT leaves the job running.  Other errors: how the
 * libvirt call failed.  The job is freed with qm__vm_job_free(); one that runs
 * goes on, and ends by itself when the FIFO is closed. */
bool qm__vm_job_wait(qm_vm_job *job, int64_t deadline, GError **error);
/* virDomainAbortJob on the running save; own deadline of 1 s.  Only while its
 * stream is being read: QEMU does not listen while it waits for a full pipe.
 * Closing the FIFO ends a save at once, and needs no libvirt. */
void qm__vm_job_abort(qm_vm_job *job);
void qm__vm_job_free(qm_vm_job *job);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(qm_vm_job, qm__vm_job_free)

/* --- a live save under way (vm-live.c) --- */

/* As libvirt tells; bytes, bytes/s. */
typedef struct {
    bool active; /* false: the job has ended, or not begun */
    uint64_t total, processed, remaining;
    uint64_t rate, dirty_rate;
    uint64_t iteration; /* passes over the memory */
    int64_t elapsed;    /* µs since the job began */
} qm_vm_progress;

bool qm__vm_progress(qm_vm *vm, int64_t deadline, qm_vm_progress *ret_progress,
                     GError **error);
/* For how long QEMU may pause the guest for the last part. */
bool
qm__vm_set_downtime(qm_vm *vm, unsigned ms, int64_t deadline, GError **error);
/* How fast QEMU may write its state, bytes/s, rounded down to MiB/s; 0: as fast
 * as it can.  Of a save under way: libvirt sets it back when that ends. */
bool
qm__vm_set_speed(qm_vm *vm, uint64_t speed, int64_t deadline, GError **error);
/* Of a live save whose last part is out: µs from the job's begin to its end,
 * and for how many of them, the last ones, the guest was paused.  false:
 * libvirt does not say, or not yet. */
bool qm__vm_pause(qm_vm *vm, int64_t deadline, int64_t *ret_elapsed,
                  int64_t *ret_downtime);
/* Can QEMU save this domain live without losing pages?  @ret_why: why not,
 * NULL: it can; caller frees. */
bool qm__vm_check_live(qm_vm *vm, bool emulated, int64_t deadline,
                       char **ret_why, GError **error);

/* --- the host --- */

/* uid and gid that QEMU runs with (capabilities, DAC base label). */
bool qm__vm_qemu_user(qm_vm *vm, int64_t deadline, uid_t *ret_uid,
                      gid_t *ret_gid, GError **error);
/* Value of a libvirt secret; @name: its UUID, or its usage of type iscsi.
 * @ret_value is NUL-terminated; wipe and free with qm__secret_free(). */
bool qm__vm_secret(qm_vm *vm, const char *name, int64_t deadline,
                   char **ret_value, GError **error);
void qm__secret_free(char *value);
/* Free memory of the host for guests, bytes. */
bool qm__vm_free_memory(qm_vm *vm, int64_t deadline, uint64_t *ret_bytes,
                        GError **error);

#endif
