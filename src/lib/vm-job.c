/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Saving and restoring a domain in the background.
 *
 * Invariants: a save never costs the guest its memory: the domain stays,
 * suspended, whatever becomes of the stream.  A restore that failed leaves
 * nothing behind that could ever run: no domain, no QEMU.
 */
#include "config.h"
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <libvirt/virterror.h>
#include <libxml/parser.h>
#include <libxml/xpath.h>
#include "vm-internal.h"
#include "timeouts.h"

#define ABORT_AT_MOST QM_S

struct qm_vm_job {
    gatomicrefcount refs; /* the caller's and the thread's */
    qm_vm *vm;
    bool (*run)(qm_vm_job *job, virConnectPtr conn, GError **error);
    char *fifo;
    char *xml; /* restore: XML to use; NULL: the stream's */
    bool live; /* save: the guest runs on meanwhile */
    int event_fd;
    GMutex mutex; /* for what follows */
    GCond ended;
    bool done;
    GError *failed; /* NULL: it went well */
};

static void
job_unref(qm_vm_job *job)
{
    if (!g_atomic_ref_count_dec(&job->refs))
        return;
    (void) close(job->event_fd);
    g_mutex_clear(&job->mutex);
    g_cond_clear(&job->ended);
    g_clear_error(&job->failed);
    g_free(job->fifo);
    g_free(job->xml);
    qm__vm_unref(job->vm);
    g_free(job);
}

/* On a connection of its own: in libvirt before 10.0 a call that is made while
 * another thread waits in the same connection may not be sent until that one
 * has its answer, and this one takes as long as the whole job. */
static void
run_job(qm_vm_job *job, GError **error)
{
    const char *uri = job->vm->uri != NULL ? job->vm->uri : "qemu:///system";
    g_autoptr(virConnect) conn = virConnectOpen(uri);

    if (conn != NULL)
        (void) job->run(job, conn, error); /* @error tells */
    else
        qm__vm_failed(job->vm, "connecting to libvirt (is libvirtd running?)",
                      error);
}

static void *
job_thread(void *data)
{
    qm_vm_job *job = data;
    const uint64_t one = 1;
    g_autoptr(GError) why = NULL;

    run_job(job, &why);
    g_mutex_lock(&job->mutex);
    job->failed = g_steal_pointer(&why);
    job->done = true;
    g_cond_broadcast(&job->ended);
    g_mutex_unlock(&job->mutex);
    /* Cannot fail: the counter is 0. */
    (void) !write(job->event_fd, &one, sizeof(one));
    job_unref(job);
    return NULL;
}

static bool
job_begin(qm_vm *vm, const char *what,
          bool (*run)(qm_vm_job *, virConnectPtr, GError **), const char *fifo,
          const char *xml, bool live, qm_vm_job **ret_job, GError **error)
{
    qm_vm_job *job;
    int fd;

    if (!qm__vm_check_stuck(vm, what, INT64_MAX, error))
        return false;
    fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) {
        g_set_error(error, QM_ERROR, QM_ERROR_IO, "domain %s: %s: eventfd: %s",
                    vm->uuid_text, what, g_strerror(errno));
        return false;
    }
    job = g_new0(qm_vm_job, 1);
    g_atomic_ref_count_init(&job->refs);
    job->vm = qm__vm_ref(vm);
    job->run = run;
    job->fifo = g_strdup(fifo);
    job->xml = g_strdup(xml);
    job->live = live;
    job->event_fd = fd;
    g_mutex_init(&job->mutex);
    g_cond_init(&job->ended);
    g_atomic_ref_count_inc(&job->refs);
    if (!qm__vm_thread(what, job_thread, job, error)) {
        job_unref(job);
        job_unref(job);
        return false;
    }
    *ret_job = job;
    return true;
}

/* --- saving --- */

/* One <disk> of the live XML; only real disks hold data that must stay as it
 * is.  `manual`: somebody else looks after this disk.  That is what makes
 * libvirt leave the domain suspended. */
static bool
add_disk(xmlNodePtr disk, GString *out)
{
    g_autofree char *safe = NULL;
    xmlNodePtr n;
    xmlChar *kind = xmlGetNoNsProp(disk, BAD_CAST "device"), *dev = NULL;
    bool real = kind == NULL || xmlStrEqual(kind, BAD_CAST "disk") ||
                xmlStrEqual(kind, BAD_CAST "lun");

    xmlFree(kind);
    for (n = disk->children; n != NULL && dev == NULL; n = n->next)
        if (xmlStrEqual(n->name, BAD_CAST "target"))
            dev = xmlGetNoNsProp(n, BAD_CAST "dev");
    if (dev == NULL)
        return false;
    safe = g_markup_escape_text((const char *) dev, -1);
    xmlFree(dev);
    g_string_append_printf(out, "<disk name='%s' snapshot='%s'/>", safe,
                           real ? "manual" : "no");
    return real;
}

/* @out gets an entry a disk; returns how many are `manual`. */
static unsigned
add_disks(const char *domain_xml, GString *out)
{
    xmlDocPtr doc = xmlReadMemory(
        domain_xml, (int) strlen(domain_xml), "domain.xml", NULL,
        XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    xmlXPathContextPtr context = NULL;
    xmlXPathObjectPtr found = NULL;
    unsigned manual = 0;

    if (doc != NULL)
        context = xmlXPathNewContext(doc);
    if (context != NULL)
        found = xmlXPathEval(BAD_CAST "/domain/devices/disk", context);
    if (found != NULL && found->nodesetval != NULL)
        for (int i = 0; i < found->nodesetval->nodeNr; i++)
            manual += add_disk(found->nodesetval->nodeTab[i], out);
    xmlXPathFreeObject(found);
    xmlXPathFreeContext(context);
    xmlFreeDoc(doc);
    return manual;
}

static char *
snapshot_xml(qm_vm_job *job, virDomainPtr domain, GError **error)
{
    g_autofree char *live = virDomainGetXMLDesc(domain, 0);
    g_autofree char *file = g_markup_escape_text(job->fifo, -1);
    g_autoptr(GString) out = g_string_new(NULL);

    if (live == NULL) {
        qm__vm_failed(job->vm, "reading its XML", error);
        return NULL;
    }
    g_string_append_printf(out,
                           "<domainsnapshot><memory snapshot='external' "
                           "file='%s'/><disks>",
                           file);
    if (add_disks(live, out) == 0) {
        g_set_error(error, QM_ERROR, QM_ERROR_INVALID,
                    "domain %s: it has no disk; libvirt keeps the memory of a "
                    "saved domain only if there is one",
                    job->vm->uuid_text);
        return NULL;
    }
    g_string_append(out, "</disks></domainsnapshot>");
    return g_strdup(out->str);
}

/* Suspended for a paused save, running for a live one: else somebody has
 * interfered. */
static bool
check_state(const qm_vm_job *job, virDomainPtr domain, GError **error)
{
    int state = VIR_DOMAIN_NOSTATE;
    int expected = job->live ? VIR_DOMAIN_RUNNING : VIR_DOMAIN_PAUSED;

    if (domain != NULL &&
        (virDomainGetState(domain, &state, NULL, 0) < 0 || state == expected))
        return true;
    g_set_error(error, QM_ERROR,
                domain == NULL ? QM_ERROR_NOT_FOUND : QM_ERROR_REFUSED,
                "domain %s: not saved: it is not %s", job->vm->uuid_text,
                job->live ? "running" : "suspended");
    return false;
}

static bool
run_save(qm_vm_job *job, virConnectPtr conn, GError **error)
{
    const unsigned flags = VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA |
                           VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC |
                           (job->live ? VIR_DOMAIN_SNAPSHOT_CREATE_LIVE : 0);
    g_autoptr(virDomain) domain = NULL;
    g_autofree char *xml = NULL;
    virDomainSnapshotPtr snapshot;

    if (!qm__vm_lookup(job->vm, conn, &domain, error) ||
        !check_state(job, domain, error))
        return false;
    xml = snapshot_xml(job, domain, error);
    if (xml == NULL)
        return false;
    snapshot = virDomainSnapshotCreateXML(domain, xml, flags);
    if (snapshot == NULL)
        return qm__vm_failed(job->vm, "saving it", error);
    (void) virDomainSnapshotFree(snapshot);
    return true;
}

bool
qm__vm_save_begin(qm_vm *vm, const char *fifo, bool live, qm_vm_job **ret_job,
                  GError **error)
{
    return job_begin(vm, live ? "saving it live" : "saving it", run_save, fifo,
                     NULL, live, ret_job, error);
}

/* --- restoring --- */

/* libvirt cleans up after a failed restore; but it has been seen to leave a
 * QEMU that it did not know.  What is paused now was loaded by us: there was
 * no domain before. */
static void
clean_up(qm_vm_job *job, virConnectPtr conn, int64_t since)
{
    g_autoptr(virDomain) domain = NULL;
    int state = VIR_DOMAIN_NOSTATE;

    if (qm__vm_lookup(job->vm, conn, &domain, NULL) && domain != NULL &&
        virDomainGetState(domain, &state, NULL, 0) == 0 &&
        state == VIR_DOMAIN_PAUSED)
        (void) virDomainDestroy(domain); /* else the next stop does it */
    if (job->vm->uri == NULL || g_str_has_prefix(job->vm->uri, "qemu:///"))
        (void) qm__vm_kill_orphans(job->vm->uuid_text, since);
}

static bool
run_restore(qm_vm_job *job, virConnectPtr conn, GError **error)
{
    int64_t since = qm__boottime();
    qm_vm_state state;

    if (!qm__vm_look(job->vm, conn, &state, error))
        return false;
    if (state != QM_VM_NONE) {
        g_set_error(error, QM_ERROR, QM_ERROR_REFUSED,
                    "domain %s: not restored: it is active here already",
                    job->vm->uuid_text);
        return false;
    }
    if (virDomainRestoreFlags(conn, job->fifo, job->xml,
                              VIR_DOMAIN_SAVE_PAUSED) < 0) {
        qm__vm_failed(job->vm, "restoring it", error);
        clean_up(job, conn, since);
        return false;
    }
    if (!qm__vm_look(job->vm, conn, &state, error))
        return false;
    if (state == QM_VM_PAUSED)
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_MISMATCH,
                "domain %s: libvirt restored something, but this domain is "
                "not there and paused",
                job->vm->uuid_text);
    return false;
}

bool
qm__vm_restore_begin(qm_vm *vm, const char *fifo, const char *xml,
                     qm_vm_job **ret_job, GError **error)
{
    return job_begin(vm, "restoring it", run_restore, fifo, xml, false, ret_job,
                     error);
}

/* --- both --- */

int
qm__vm_job_fd(const qm_vm_job *job)
{
    return job->event_fd;
}

bool
qm__vm_job_wait(qm_vm_job *job, int64_t deadline, GError **error)
{
    int64_t until = qm__vm_real_time(deadline);
    bool ok = false;

    g_mutex_lock(&job->mutex);
    while (!job->done && g_cond_wait_until(&job->ended, &job->mutex, until))
        ;
    if (!job->done)
        g_set_error(error, QM_ERROR, QM_ERROR_TIMEOUT,
                    "domain %s: libvirt has not finished in time",
                    job->vm->uuid_text);
    else if (job->failed != NULL)
        g_propagate_error(error, g_error_copy(job->failed));
    else
        ok = true;
    g_mutex_unlock(&job->mutex);
    return ok;
}

static bool
run_abort(qm_vm *vm, virConnectPtr conn, qm__vm_args *args, GError **error)
{
    g_autoptr(virDomain) domain = NULL;

    if (!qm__vm_lookup(vm, conn, &domain, error))
        return false;
    return domain == NULL || virDomainAbortJob(domain) == 0 ||
           qm__vm_failed(vm, "cancelling its save", error);
}

void
qm__vm_job_abort(qm_vm_job *job)
{
    static const qm__vm_op op = {"cancelling its save", run_abort, false};
    bool done;

    g_mutex_lock(&job->mutex);
    done = job->done;
    g_mutex_unlock(&job->mutex);
    if (!done) /* how it went shows in the job's end */
        (void) qm__vm_call(job->vm, &op, NULL, qm__deadline_in(ABORT_AT_MOST),
                           NULL, NULL, NULL);
}

void
qm__vm_job_free(qm_vm_job *job)
{
    if (job != NULL)
        job_unref(job);
}
