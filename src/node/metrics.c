/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * What this node knows, as an OpenMetrics text file for node_exporter's
 * textfile collector: written beside its place and renamed, so that it is
 * whole whenever it is read.
 *
 * A family is written in one piece, as the format wants it.  doc/metrics.md
 * tells what each is.
 */
#include "config.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <glib/gstdio.h>
#include <quickmig/error.h>
#include "gate-client.h"
#include "health.h"
#include "survey.h"

#define GATE_CALL (2 * QM_S)

typedef struct {
    const survey_vm *vm;
    survey_past past;
    qm_health health; /* when it is here */
    GArray *gates;    /* gate_seen */
} vm_seen;

typedef struct {
    char *disk;
    qm_gate_status status;
} gate_seen;

/* --- the format ---------------------------------------------------------- */

static void
family(GString *out, const char *name, const char *type, const char *unit,
       const char *help)
{
    g_string_append_printf(out, "# TYPE quickmig_%s %s\n", name, type);
    if (unit != NULL)
        g_string_append_printf(out, "# UNIT quickmig_%s %s\n", name, unit);
    g_string_append_printf(out, "# HELP quickmig_%s %s\n", name, help);
}

static void
label(GString *out, const char *name, const char *value)
{
    g_string_append_printf(out, "%s=\"", name);
    for (const char *c = value; *c != '\0'; c++) {
        if (*c == '\\' || *c == '"')
            g_string_append_c(out, '\\');
        g_string_append(out, *c == '\n' ? "\\n" : "");
        if (*c != '\n')
            g_string_append_c(out, *c);
    }
    g_string_append_c(out, '"');
}

/* @more: further labels as they are written, ",disk=\"vda\""; or "". */
static void
number(GString *out, const char *name, const char *resource, const char *more,
       uint64_t value)
{
    g_string_append_printf(out, "quickmig_%s{", name);
    label(out, "resource", resource);
    g_string_append_printf(out, "%s} %" PRIu64 "\n", more, value);
}

static void
seconds(GString *out, const char *name, const char *resource, const char *more,
        uint64_t us)
{
    g_string_append_printf(out, "quickmig_%s{", name);
    label(out, "resource", resource);
    g_string_append_printf(out, "%s} %" PRIu64 ".%06u\n", more, us / QM_S,
                           (unsigned) (us % QM_S));
}

/* --- virtual machines ---------------------------------------------------- */

static void
states(GString *out, const GArray *vms)
{
    family(out, "vm_state", "stateset", NULL, "State in the VM's record.");
    for (guint i = 0; i < vms->len; i++) {
        const vm_seen *v = &g_array_index(vms, vm_seen, i);

        for (int s = 0; v->past.known && s < QM_STATE_COUNT; s++) {
            g_autofree char *more = g_strdup_printf(
                ",quickmig_vm_state=\"%s\"", qm_state_name((qm_state) s));

            number(out, "vm_state", v->vm->resource, more,
                   (qm_state) s == v->past.state);
        }
    }
}

static void
transitions(GString *out, const GArray *vms)
{
    family(out, "transitions", "counter", NULL,
           "Steps of the record that this node made.");
    for (guint i = 0; i < vms->len; i++) {
        const vm_seen *v = &g_array_index(vms, vm_seen, i);

        for (int f = 0; f < QM_STATE_COUNT; f++)
            for (int t = 0; t < QM_STATE_COUNT; t++) {
                g_autofree char *more = g_strdup_printf(
                    ",from=\"%s\",to=\"%s\"", qm_state_name((qm_state) f),
                    qm_state_name((qm_state) t));

                if (v->past.steps[f][t] > 0)
                    number(out, "transitions_total", v->vm->resource, more,
                           v->past.steps[f][t]);
            }
    }
}

static void
pauses(GString *out, const GArray *vms)
{
    family(out, "pause_seconds", "summary", "seconds",
           "How long guests stood still in moves that ended here.");
    for (guint i = 0; i < vms->len; i++) {
        const vm_seen *v = &g_array_index(vms, vm_seen, i);

        number(out, "pause_seconds_count", v->vm->resource, "", v->past.pauses);
        seconds(out, "pause_seconds_sum", v->vm->resource, "",
                v->past.pause_us);
    }
    family(out, "last_pause_seconds", "gauge", "seconds", "The last of these.");
    for (guint i = 0; i < vms->len; i++) {
        const vm_seen *v = &g_array_index(vms, vm_seen, i);

        if (v->past.pauses > 0)
            seconds(out, "last_pause_seconds", v->vm->resource, "",
                    v->past.last_pause_us);
    }
}

/* A gauge or counter of every VM: a field of vm_seen, by its offset. */
static void
plain(GString *out, const GArray *vms, const char *name, const char *sample,
      size_t offset)
{
    for (guint i = 0; i < vms->len; i++) {
        const vm_seen *v = &g_array_index(vms, vm_seen, i);

        if (v->past.known)
            number(out, name, v->vm->resource, sample,
                   *(const uint64_t *) (const void *) ((const char *) &v->past +
                                                       offset));
    }
}

static void
health(GString *out, const GArray *vms)
{
    family(out, "vm_health_misses", "counter", NULL,
           "Health checks that the guest missed here.");
    for (guint i = 0; i < vms->len; i++) {
        const vm_seen *v = &g_array_index(vms, vm_seen, i);

        if (v->vm->here)
            number(out, "vm_health_misses_total", v->vm->resource, "",
                   v->health.misses);
    }
    family(out, "vm_health_misses_in_a_row", "gauge", NULL,
           "Those since its last good answer.");
    for (guint i = 0; i < vms->len; i++) {
        const vm_seen *v = &g_array_index(vms, vm_seen, i);

        if (v->vm->here)
            number(out, "vm_health_misses_in_a_row", v->vm->resource, "",
                   v->health.row);
    }
}

static void
virtual_machines(GString *out, const GArray *vms)
{
    states(out, vms);
    family(out, "vm_here", "gauge", NULL,
           "1: it was started on this node and has not left.");
    for (guint i = 0; i < vms->len; i++) {
        const vm_seen *v = &g_array_index(vms, vm_seen, i);

        number(out, "vm_here", v->vm->resource, "", v->vm->here);
    }
    family(out, "vm_generation", "gauge", NULL,
           "Raised whenever the VM's owner changes.");
    plain(out, vms, "vm_generation", "", offsetof(survey_past, generation));
    family(out, "vm_failed_restores", "gauge", NULL,
           "Restores of its saved state that failed.");
    plain(out, vms, "vm_failed_restores", "",
          offsetof(survey_past, failed_restores));
    health(out, vms);
    transitions(out, vms);
    pauses(out, vms);
    family(out, "image_bytes", "counter", "bytes",
           "Saved state that this node wrote and read.");
    plain(out, vms, "image_bytes_total", ",direction=\"saved\"",
          offsetof(survey_past, saved_bytes));
    plain(out, vms, "image_bytes_total", ",direction=\"restored\"",
          offsetof(survey_past, restored_bytes));
}

/* --- gates --------------------------------------------------------------- */

typedef struct {
    const char *name, *more;
    size_t offset; /* in qm_gate_status */
    bool time;
} gate_field;

static void
gate_family(GString *out, const GArray *vms, const gate_field *fields, size_t n)
{
    for (guint i = 0; i < vms->len; i++) {
        const vm_seen *v = &g_array_index(vms, vm_seen, i);

        for (guint k = 0; k < v->gates->len; k++)
            for (size_t f = 0; f < n; f++) {
                const gate_seen *g = &g_array_index(v->gates, gate_seen, k);
                uint64_t value =
                    *(const uint64_t *) (const void *) ((const char *) &g
                                                            ->status +
                                                        fields[f].offset);
                g_autofree char *more =
                    g_strdup_printf(",disk=\"%s\"%s", g->disk, fields[f].more);

                (fields[f].time ? seconds : number)(
                    out, fields[f].name, v->vm->resource, more, value);
            }
    }
}

#define AT(field) offsetof(qm_gate_status, field)

static void
gates(GString *out, const GArray *vms)
{
    static const gate_field requests[] = {
        {"gate_requests_total", ",operation=\"read\"", AT(reads), false},
        {"gate_requests_total", ",operation=\"write\"", AT(writes), false},
        {"gate_requests_total", ",operation=\"flush\"", AT(flushes), false}};
    static const gate_field times[] = {
        {"gate_seconds_total", ",operation=\"read\"", AT(read_us), true},
        {"gate_seconds_total", ",operation=\"write\"", AT(write_us), true},
        {"gate_seconds_total", ",operation=\"flush\"", AT(flush_us), true}};
    static const gate_field bytes[] = {
        {"gate_bytes_total", ",operation=\"read\"", AT(read_bytes), false},
        {"gate_bytes_total", ",operation=\"write\"", AT(written_bytes), false}};
    static const gate_field errors[] = {
        {"gate_errors_total", "", AT(errors), false}};
    static const gate_field reconnects[] = {
        {"gate_reconnects_total", "", AT(reconnects), false}};

    family(out, "gate_state", "stateset", NULL, "State of a disk's gate.");
    for (guint i = 0; i < vms->len; i++) {
        const vm_seen *v = &g_array_index(vms, vm_seen, i);

        for (guint k = 0; k < v->gates->len; k++)
            for (int s = 0; s < QM_GATE_COUNT; s++) {
                const gate_seen *g = &g_array_index(v->gates, gate_seen, k);
                g_autofree char *more = g_strdup_printf(
                    ",disk=\"%s\",quickmig_gate_state=\"%s\"", g->disk,
                    qm__gate_state_name((qm_gate_state) s));

                number(out, "gate_state", v->vm->resource, more,
                       (int) g->status.state == s);
            }
    }
    family(out, "gate_requests", "counter", NULL, "Requests that ended.");
    gate_family(out, vms, requests, G_N_ELEMENTS(requests));
    family(out, "gate_seconds", "counter", "seconds",
           "From a request's arrival to its answer, all together.");
    gate_family(out, vms, times, G_N_ELEMENTS(times));
    family(out, "gate_bytes", "counter", "bytes", "Data of these requests.");
    gate_family(out, vms, bytes, G_N_ELEMENTS(bytes));
    family(out, "gate_errors", "counter", NULL, "Requests that failed.");
    gate_family(out, vms, errors, G_N_ELEMENTS(errors));
    family(out, "gate_reconnects", "counter", NULL,
           "Sessions with the target that were made anew.");
    gate_family(out, vms, reconnects, G_N_ELEMENTS(reconnects));
}

/* --- the node ------------------------------------------------------------ */

static void
node(GString *out, const qm_node_facts *f)
{
    family(out, "node_memory_free_bytes", "gauge", "bytes",
           "Memory for guests that is free.");
    g_string_append_printf(out, "quickmig_node_memory_free_bytes %" PRIu64 "\n",
                           f->memory_free * 1024 * 1024);
    family(out, "node_load_ratio", "gauge", "ratio",
           "CPU load over a minute; 1: all of them are busy.");
    g_string_append_printf(out, "quickmig_node_load_ratio %u.%02u\n",
                           f->load / 100, f->load % 100);
    family(out, "node_storage_latency_seconds", "gauge", "seconds",
           "To read one block of a vault; 0: not known.");
    g_string_append_printf(
        out, "quickmig_node_storage_latency_seconds %u.%06u\n",
        (unsigned) (f->storage_us / QM_S), (unsigned) (f->storage_us % QM_S));
    family(out, "node_storage_bytes_per_second", "gauge", NULL,
           "Rate of the last image that was written or read; 0: not known.");
    g_string_append_printf(
        out, "quickmig_node_storage_bytes_per_second %" PRIu64 "\n",
        (uint64_t) f->storage_mbs * 1000 * 1000);
    family(out, "survey_timestamp_seconds", "gauge", "seconds",
           "When this was written, since 1970.");
    g_string_append_printf(out,
                           "quickmig_survey_timestamp_seconds %" PRIi64 "\n",
                           g_get_real_time() / QM_S);
}

/* --- all of it ----------------------------------------------------------- */

static void
clear_vm(gpointer p)
{
    vm_seen *v = p;

    for (guint i = 0; i < v->gates->len; i++)
        g_free(g_array_index(v->gates, gate_seen, i).disk);
    g_array_unref(v->gates);
}

static GArray *
look(const GPtrArray *vms, const char *dir)
{
    GArray *seen = g_array_new(FALSE, FALSE, sizeof(vm_seen));

    g_array_set_clear_func(seen, clear_vm);
    for (guint i = 0; i < vms->len; i++) {
        const survey_vm *vm = vms->pdata[i];
        vm_seen v = {.vm = vm,
                     .gates = g_array_new(FALSE, FALSE, sizeof(gate_seen))};

        (void) survey_past_get(dir, vm->resource, &v.past);
        if (vm->here)
            qm__health_read(vm->local.uuid, vm->local.generation, &v.health);
        for (char **d = vm->here ? vm->local.disks : NULL;
             d != NULL && *d != NULL; d++) {
            gate_seen g = {0};

            if (!qm__gate_get_status(vm->local.uuid, *d,
                                     qm__deadline_in(GATE_CALL), &g.status,
                                     NULL))
                continue; /* none runs, or it hangs: vm_here says enough */
            g.disk = g_strdup(*d);
            g_array_append_val(v.gates, g);
        }
        g_array_append_val(seen, v);
    }
    return seen;
}

char *
survey_metrics(const GPtrArray *vms, const char *dir,
               const qm_node_facts *facts)
{
    GString *out = g_string_new(NULL);
    g_autoptr(GArray) seen = look(vms, dir);

    virtual_machines(out, seen);
    gates(out, seen);
    node(out, facts);
    g_string_append(out, "# EOF\n");
    return g_string_free(out, FALSE);
}

static bool
fail(const char *path, const char *what, GError **error)
{
    g_set_error(error, QM_ERROR, QM_ERROR_IO, "metrics: %s %s: %s", what, path,
                g_strerror(errno));
    return false;
}

bool
survey_metrics_write(const char *path, const char *text, GError **error)
{
    g_autofree char *beside = g_strconcat(path, ".XXXXXX", NULL);
    size_t length = strlen(text);
    int fd = g_mkstemp_full(beside, O_WRONLY | O_CLOEXEC, 0600);
    bool ok;

    if (fd < 0)
        return fail(path, "cannot create a file beside", error);
    ok = write(fd, text, length) == (ssize_t) length && fchmod(fd, 0644) == 0;
    ok = close(fd) == 0 && ok && g_rename(beside, path) == 0;
    if (!ok) {
        (void) fail(path, "cannot write", error);
        (void) g_unlink(beside);
    }
    return ok;
}
