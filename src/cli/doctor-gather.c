/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Looking at everything that the checks judge.  Each look has a deadline, and
 * one that fails is kept as what it is: something that could not be seen.
 * Nothing is registered, reserved, locked or changed.
 */
#include "config.h"
#include <string.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include "cib-read.h"
#include "cluster.h"
#include "doctor.h"
#include "lun.h"
#include "protect.h"
#include "reservation.h"
#include "spawn.h"
#include "timeouts.h"
#include "vm.h"

#define CALL    (10 * QM_S)
#define AT_ONCE 8 /* LUNs looked at in parallel */

/* --- the cluster --------------------------------------------------------- */

static bool
run(const char *const *argv, char **ret_out, int *ret_code, GError **error)
{
    g_autofree char *out = NULL, *err = NULL;

    if (!qm__spawn(argv, qm__deadline_in(CALL), ret_code, &out, &err, error))
        return false;
    *ret_out = g_steal_pointer(&out);
    return true;
}

static bool
ask_cluster(const cli_options *o, cli_patient *p, GError **error)
{
    xmlNode *cib, *monitor;

    if (!cli_cib_read(o, &p->cib_doc, &cib, error) ||
        !cli_monitor_read(o, &p->monitor_doc, &monitor, error))
        return false;
    p->cib = cib;
    p->monitor = monitor;
    return true;
}

static void
ask_corosync(cli_patient *p)
{
    g_autoptr(qm_cluster) cluster = NULL;

    if (!qm__cluster_open(qm__deadline_in(CALL), &cluster, NULL))
        return; /* the check "cluster" says so */
    p->self = g_strdup(qm__cluster_self(cluster)->name);
    qm__cluster_totem(cluster, &p->token_ms, &p->consensus_ms);
}

/* Which nodes can no device fence? */
static void
ask_fencing(cli_patient *p)
{
    xmlNode *n = NULL;

    p->unfenced = g_ptr_array_new_with_free_func(g_free);
    while ((n = qm__cib_next(p->monitor, n, "node")) != NULL) {
        g_autofree char *name = NULL, *out = NULL;
        const char *argv[] = {"stonith_admin", "--list", NULL, NULL};
        int code;

        if (n->parent == NULL || !qm__walk_is(n->parent, "nodes"))
            continue;
        name = qm__walk_get(n, "name");
        argv[2] = name;
        if (name == NULL || !run(argv, &out, &code, NULL))
            continue;
        if (code != 0 || strstr(out, "No fence devices found") != NULL ||
            g_str_has_prefix(out, "0 fence devices found"))
            g_ptr_array_add(p->unfenced, g_steal_pointer(&name));
    }
}

/* --- vaults and LUNs ----------------------------------------------------- */

static void
look_at_vaults(const cli_options *o, cli_patient *p)
{
    g_autoptr(GPtrArray) targets = NULL;

    if (!cli_all_targets(o, &targets, NULL))
        return;
    p->looks = g_ptr_array_new_with_free_func((GDestroyNotify) cli_look_free);
    while (targets->len > 0)
        g_ptr_array_add(p->looks,
                        cli_look_new(g_ptr_array_steal_index(targets, 0)));
    cli_look_all(o, p->looks);
}

static void
free_lun(gpointer data)
{
    cli_lun *l = data;

    g_free(l->resource);
    g_free(l->what);
    g_free(l->name);
    g_clear_error(&l->error);
    g_free(l);
}

typedef struct {
    const cli_options *o;
    const cli_look *look;
    const qm_url *url;
    cli_lun *lun;
} lun_job;

static bool
look_at_lun(const lun_job *job, GError **error)
{
    qm_lun_params params = {.url = job->url,
                            .nexus = QM_NEXUS_READER,
                            .own_session = !job->lun->vault}; /* as gates */
    int64_t deadline = cli_deadline(job->o);
    g_autoptr(qm_lun) lun = NULL;
    qm_pr_state state = {0};
    char *secret = NULL;
    bool ok;

    if (!cli_secret(job->o, job->url, job->look->target->hypervisor,
                    job->lun->vault, &secret, error))
        return false;
    params.chap_secret = secret;
    ok = qm__lun_open(&params, deadline, &lun, error);
    qm__secret_free(secret);
    if (!ok || !qm__pr_read(lun, deadline, &state, error))
        return false;
    job->lun->read_only = qm__lun_info(lun)->read_only;
    job->lun->max_burst = qm__lun_info(lun)->max_burst;
    job->lun->holder = state.holder;
    job->lun->keys = state.keys != NULL ? state.keys->len : 0;
    qm__pr_state_clear(&state);
    return true;
}

static void
work(gpointer data, gpointer user_data)
{
    lun_job *job = data;

    (void) look_at_lun(job, &job->lun->error);
    g_free(job);
}

static void
add_lun(const cli_options *o, cli_patient *p, GThreadPool *pool,
        const cli_look *look, const char *what, const qm_url *url)
{
    lun_job *job = g_new0(lun_job, 1);

    job->o = o;
    job->look = look;
    job->url = url;
    job->lun = g_new0(cli_lun, 1);
    job->lun->resource = g_strdup(look->target->resource);
    job->lun->what = g_strdup(what);
    job->lun->name = g_strdup_printf("%s/%d", url->iqn, url->lun);
    job->lun->vault = strcmp(what, "vault") == 0;
    job->lun->unfenced = look->target->unfenced && !job->lun->vault;
    g_ptr_array_add(p->luns, job->lun);
    (void) g_thread_pool_push(pool, job, NULL);
}

static void
look_at_luns(const cli_options *o, cli_patient *p)
{
    g_autoptr(GPtrArray) urls =
        g_ptr_array_new_with_free_func((GDestroyNotify) qm_url_free);
    GThreadPool *pool = g_thread_pool_new(work, NULL, AT_ONCE, FALSE, NULL);

    p->luns = g_ptr_array_new_with_free_func(free_lun);
    for (guint i = 0; i < p->looks->len; i++) {
        const cli_look *look = p->looks->pdata[i];
        qm_url *url;

        if (look->error != NULL || look->dom == NULL)
            continue; /* the check "vaults" says so */
        if (qm_url_parse(look->target->vault, &url, NULL)) {
            g_ptr_array_add(urls, url);
            if (url->iqn != NULL)
                add_lun(o, p, pool, look, "vault", url);
        }
        for (guint k = 0; k < look->dom->disks->len; k++) {
            const qm_disk *disk = look->dom->disks->pdata[k];
            g_autofree char *what = g_strconcat("disk ", disk->target, NULL);

            add_lun(o, p, pool, look, what, disk->url);
        }
    }
    g_thread_pool_free(pool, FALSE, TRUE);
}

/* --- this host ----------------------------------------------------------- */

#define OTHERS_WRITE 0022u
#define OTHERS_ALL   0077u

static const cli_path_rule rules[] = {
    {"/etc/iscsi/initiatorname.iscsi", OTHERS_WRITE, false,
     "who changes this host's initiator name takes its reservations away"},
    {"/etc/libvirt/secrets", OTHERS_ALL, false,
     "it holds the CHAP secrets of the storage"},
    {"/var/log/quickmig", OTHERS_ALL, false,
     "the log names targets and guests"},
};
static const cli_path_rule run_rule = {
    NULL, OTHERS_WRITE, false, "who writes there can stop and mislead gates"};
static const cli_path_rule control_rule = {
    NULL, OTHERS_ALL, false, "who reaches it can make a gate let go of a disk"};
static const cli_path_rule vault_rule = {
    NULL, OTHERS_ALL, true, "a vault holds the guest's memory and XML"};

static void
free_path(gpointer data)
{
    g_free(((cli_path_state *) data)->path);
    g_free(data);
}

static void
look_at_path(cli_patient *p, const char *path, const cli_path_rule *rule)
{
    cli_path_state *s = g_new0(cli_path_state, 1);
    struct stat st;

    s->path = g_strdup(path);
    s->rule = rule;
    if (stat(path, &st) == 0) {
        s->mode = st.st_mode & 07777;
        s->foreign = st.st_uid != 0;
    } else {
        s->missing = true;
    }
    g_ptr_array_add(p->paths, s);
}

/* The gates' control sockets. */
static void
look_at_controls(cli_patient *p)
{
    g_autofree char *path = g_build_filename(qm__run_dir(), "gate", NULL);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL)
        if (g_str_has_suffix(name, ".control")) {
            g_autofree char *full = g_build_filename(path, name, NULL);

            look_at_path(p, full, &control_rule);
        }
}

static void
look_at_paths(cli_patient *p)
{
    p->paths = g_ptr_array_new_with_free_func(free_path);
    for (size_t i = 0; i < G_N_ELEMENTS(rules); i++)
        look_at_path(p, rules[i].path, &rules[i]);
    look_at_path(p, qm__run_dir(), &run_rule);
    look_at_controls(p);
    for (guint i = 0; p->looks != NULL && i < p->looks->len; i++) {
        const cli_look *look = p->looks->pdata[i];

        if (look->error == NULL && look->target->vault[0] == '/')
            look_at_path(p, look->target->vault, &vault_rule);
    }
}

static void
look_at_clock(cli_patient *p)
{
    struct timex t = {0};

    if (adjtimex(&t) < 0)
        return;
    p->clock_known = true;
    p->clock_synchronized = !(t.status & STA_UNSYNC);
}

void
cli_patient_gather(const cli_options *o, cli_patient *p)
{
    ask_corosync(p);
    if (ask_cluster(o, p, &p->cluster_error)) {
        ask_fencing(p);
        look_at_vaults(o, p);
        cli_patient_secrets(o, p);
    }
    if (p->looks != NULL)
        look_at_luns(o, p);
    (void) qm__inventory_read(o->connect, true, cli_deadline(o), &p->host,
                              &p->host_error);
    (void) qm__initiator_name(&p->initiator, &p->initiator_error);
    look_at_paths(p);
    look_at_clock(p);
}

void
cli_patient_clear(cli_patient *p)
{
    if (p->cib_doc != NULL)
        xmlFreeDoc(p->cib_doc);
    if (p->monitor_doc != NULL)
        xmlFreeDoc(p->monitor_doc);
    g_clear_error(&p->cluster_error);
    g_free(p->self);
    g_clear_pointer(&p->unfenced, g_ptr_array_unref);
    g_clear_pointer(&p->luns, g_ptr_array_unref);
    g_clear_pointer(&p->looks, g_ptr_array_unref);
    g_clear_pointer(&p->secrets, g_ptr_array_unref);
    qm__inventory_free(p->host);
    g_clear_error(&p->host_error);
    g_free(p->initiator);
    g_clear_error(&p->initiator_error);
    g_clear_pointer(&p->paths, g_ptr_array_unref);
}
