/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Checks of each VM: its resource, its vault, its LUNs.
 */
#include "config.h"
#include <inttypes.h>
#include <string.h>
#include "advice.h"
#include "cib-read.h"
#include "doctor.h"
#include "reservation.h"

#define RATING_MAX   100 /* a rating is at most that much score */
#define STICKINESS   200
#define LIVE_EXTRA   (64 * UINT64_C(1048576))
#define GOOD_BURST   1048576           /* bytes: MaxBurstLength */
#define IMAGE_OFFSET UINT64_C(4194304) /* quickmig-vault(5) */

/* The operations that a VM needs, and what a VM without memory needs. */
static const struct {
    const char *name;
    const char *interval;
    unsigned advised; /* seconds, as in the agent's meta-data */
    bool memory;      /* moves the VM's memory */
} operations[] = {
    {"start", "0", 180, true},        {"stop", "0", 300, true},
    {"monitor", "10s", 30, false},    {"migrate_to", "0", 300, true},
    {"migrate_from", "0", 180, true},
};

/* The next VM of the configuration. */
static xmlNode *
next_vm(const cli_patient *p, xmlNode *after)
{
    xmlNode *n = after;

    while ((n = qm__cib_next(p->cib, n, "primitive")) != NULL)
        if (qm__cib_is_a(p->cib, n, "ocf", "quickmig", "VirtualMachine"))
            return n;
    return NULL;
}

/* Its vault, if it was read. */
static const cli_look *
look_of(const cli_patient *p, const char *id)
{
    for (guint i = 0; p->looks != NULL && i < p->looks->len; i++) {
        const cli_look *look = p->looks->pdata[i];

        if (g_strcmp0(look->target->resource, id) == 0)
            return look->error == NULL && look->dom != NULL ? look : NULL;
    }
    return NULL;
}

/* --- the resource -------------------------------------------------------- */

/* Is there a rule that scores it by its rating? */
static bool
is_rated(const cli_patient *p, const char *id)
{
    g_autofree char *attribute = g_strconcat("quickmig-rating-", id, NULL);
    xmlNode *n = NULL;

    while ((n = qm__cib_next(p->cib, n, "rule")) != NULL)
        if (qm__walk_has(n, "score-attribute", attribute))
            return true;
    return false;
}

static gint64
score(const char *text)
{
    if (text == NULL)
        return 0;
    if (g_ascii_strcasecmp(text, "INFINITY") == 0 ||
        g_ascii_strcasecmp(text, "+INFINITY") == 0)
        return 1000000;
    return g_ascii_strtoll(text, NULL, 10);
}

void
cli_check_stickiness(cli_examination *x)
{
    const cli_patient *p = x->patient;
    xmlNode *n = NULL;

    while ((n = next_vm(p, n)) != NULL) {
        g_autofree char *id = qm__walk_get(n, "id");
        g_autofree char *value = qm__cib_meta(p->cib, n, "resource-stickiness");
        gint64 stickiness = score(value);
        char *text = NULL;

        if (stickiness <= 0)
            text = g_strdup("its resource-stickiness is 0: it is moved back "
                            "each time a node returns, or a constraint goes");
        else if (stickiness <= RATING_MAX && is_rated(p, id))
            text = g_strdup_printf(
                "its resource-stickiness is %" G_GINT64_FORMAT
                ", and ratings go up to %d: a better rating elsewhere moves "
                "the running VM",
                stickiness, RATING_MAX);
        if (text != NULL)
            cli_find(x, CLI_WARNING, id, text,
                     g_strdup_printf("crm_resource --resource %s --meta "
                                     "--set-parameter resource-stickiness "
                                     "--parameter-value %d",
                                     id, STICKINESS));
    }
}

void
cli_check_allow_migrate(cli_examination *x)
{
    const cli_patient *p = x->patient;
    xmlNode *n = NULL;

    while ((n = next_vm(p, n)) != NULL) {
        g_autofree char *id = qm__walk_get(n, "id");
        g_autofree char *value = qm__cib_meta(p->cib, n, "allow-migrate");

        if (!qm__cib_bool(value, false))
            cli_find(x, CLI_ERROR, id,
                     g_strdup("allow-migrate is not true: it is stopped and "
                              "started instead of moved"),
                     g_strdup_printf("crm_resource --resource %s --meta "
                                     "--set-parameter allow-migrate "
                                     "--parameter-value true",
                                     id));
    }
}

static char *
set_operation(const char *id, const char *name, const char *interval,
              unsigned timeout)
{
    return g_strdup_printf(
        "cibadmin --modify --allow-create --scope resources --xml-text "
        "'<primitive id=\"%s\"><operations><op id=\"%s-%s-%s\" name=\"%s\" "
        "interval=\"%s\" timeout=\"%us\"/></operations></primitive>'",
        id, id, name, interval, name, interval, timeout);
}

void
cli_check_operations(cli_examination *x)
{
    const cli_patient *p = x->patient;
    xmlNode *n = NULL;

    while ((n = next_vm(p, n)) != NULL) {
        g_autofree char *id = qm__walk_get(n, "id");
        const cli_look *look = look_of(p, id);

        for (size_t i = 0; i < G_N_ELEMENTS(operations); i++) {
            unsigned timeout = operations[i].advised;

            if (qm__cib_op(p->cib, n, operations[i].name) != NULL)
                continue;
            if (look != NULL && operations[i].memory)
                timeout = cli_transfer_timeout(look->dom->memory, timeout);
            cli_find(x, operations[i].memory ? CLI_WARNING : CLI_ERROR, id,
                     operations[i].memory
                         ? g_strdup_printf("it has no operation %s: that "
                                           "gets the default timeout",
                                           operations[i].name)
                         : g_strdup("it has no monitor: a VM that dies is "
                                    "not noticed"),
                     set_operation(id, operations[i].name,
                                   operations[i].interval, timeout));
        }
    }
}

static bool
asks_guest(xmlNode *op)
{
    xmlNode *pair = NULL;

    while ((pair = qm__cib_next(op, pair, "nvpair")) != NULL) {
        g_autofree char *value = qm__walk_get(pair, "value");

        if (qm__walk_has(pair, "name", "OCF_CHECK_LEVEL") && value != NULL &&
            g_ascii_strtoull(value, NULL, 10) >= 10)
            return true;
    }
    return false;
}

/* The agent answers 6 then: nothing else is stopped for good so easily. */
void
cli_check_guest_agent(cli_examination *x)
{
    const cli_patient *p = x->patient;
    xmlNode *n = NULL;

    while ((n = next_vm(p, n)) != NULL) {
        g_autofree char *id = qm__walk_get(n, "id");
        const cli_look *look = look_of(p, id);
        xmlNode *op = NULL;

        while (look != NULL && !look->dom->has_agent &&
               (op = qm__cib_next(n, op, "op")) != NULL)
            if (asks_guest(op)) {
                cli_find(x, CLI_ERROR, id,
                         g_strdup("a monitor asks its guest agent, and its "
                                  "domain XML has no channel for that: "
                                  "Pacemaker stops it on all nodes"),
                         g_strdup_printf("quickmig vault edit %s", id));
                break;
            }
    }
}

static void
check_timeout(cli_examination *x, const char *id, const cli_look *look,
              xmlNode *op, size_t i)
{
    /* Less than that is too little at the speed that is counted on. */
    unsigned least = cli_transfer_timeout(look->dom->memory, 0);
    int64_t have = qm__cib_op_timeout(x->patient->cib, op);
    g_autofree char *memory = cli_bytes(look->dom->memory);
    g_autofree char *op_id = qm__walk_get(op, "id");

    if (have < 0 || have >= (int64_t) least * 1000)
        return;
    cli_find(x, CLI_WARNING, id,
             g_strdup_printf("%s has %" PRIi64 " s for %s of memory, which "
                             "may take %u s: it would be given up",
                             operations[i].name, have / 1000, memory, least),
             g_strdup_printf("cibadmin --modify --xml-text '<op id=\"%s\" "
                             "timeout=\"%us\"/>'",
                             op_id,
                             cli_transfer_timeout(look->dom->memory,
                                                  operations[i].advised)));
}

void
cli_check_timeouts(cli_examination *x)
{
    const cli_patient *p = x->patient;
    xmlNode *n = NULL;

    while ((n = next_vm(p, n)) != NULL) {
        g_autofree char *id = qm__walk_get(n, "id");
        const cli_look *look = look_of(p, id);

        for (size_t i = 0; look != NULL && i < G_N_ELEMENTS(operations); i++) {
            xmlNode *op = qm__cib_op(p->cib, n, operations[i].name);

            if (op != NULL && operations[i].memory)
                check_timeout(x, id, look, op, i);
        }
    }
}

void
cli_check_on_fail(cli_examination *x)
{
    const cli_patient *p = x->patient;
    xmlNode *n = NULL;

    while ((n = next_vm(p, n)) != NULL) {
        g_autofree char *id = qm__walk_get(n, "id");

        for (size_t i = 0; i < G_N_ELEMENTS(operations); i++) {
            xmlNode *op = qm__cib_op(p->cib, n, operations[i].name);
            g_autofree char *value =
                op != NULL ? qm__walk_get(op, "on-fail") : NULL;
            g_autofree char *op_id = op != NULL ? qm__walk_get(op, "id") : NULL;
            bool ignore = g_strcmp0(value, "ignore") == 0;

            if (!ignore && g_strcmp0(value, "block") != 0)
                continue;
            cli_find(x, ignore ? CLI_ERROR : CLI_WARNING, id,
                     g_strdup_printf(
                         "%s has on-fail=%s: %s", operations[i].name, value,
                         ignore ? "a failure counts as success, and "
                                  "the cluster believes what is not"
                                : "after a failure nothing is done "
                                  "until somebody comes"),
                     g_strdup_printf("cibadmin --modify --xml-text '<op "
                                     "id=\"%s\" on-fail=\"%s\"/>'",
                                     op_id,
                                     strcmp(operations[i].name, "stop") == 0
                                         ? "fence"
                                         : "restart"));
        }
    }
}

void
cli_check_failures(cli_examination *x)
{
    const cli_patient *p = x->patient;
    g_autofree char *value = qm__cib_property(p->cib, "maintenance-mode");
    bool maintenance = qm__cib_bool(value, false); /* then none is managed */
    xmlNode *n = NULL;

    while ((n = qm__cib_next(p->monitor, n, "resource")) != NULL) {
        g_autofree char *id = qm__walk_get(n, "id");

        if (!qm__walk_has(n, "resource_agent", "ocf:quickmig:VirtualMachine"))
            continue;
        if (qm__walk_has(n, "blocked", "true"))
            cli_find(x, CLI_ERROR, id,
                     g_strdup("it is blocked: Pacemaker waits for somebody to "
                              "mend it"),
                     g_strdup_printf("crm_resource --cleanup --resource %s "
                                     "  # after reading quickmig history %s",
                                     id, id));
        else if (qm__walk_has(n, "failed", "true"))
            cli_find(x, CLI_ERROR, id, g_strdup("its last action failed"),
                     g_strdup_printf("crm_resource --cleanup --resource %s "
                                     "  # after reading the agent's log",
                                     id));
        else if (!maintenance && qm__walk_has(n, "managed", "false"))
            cli_find(x, CLI_WARNING, id,
                     g_strdup("it is not managed: it is neither recovered nor "
                              "moved"),
                     g_strdup_printf("crm_resource --resource %s --meta "
                                     "--delete-parameter is-managed",
                                     id));
    }
}

/* --- the vault ----------------------------------------------------------- */

void
cli_check_vaults(cli_examination *x)
{
    const GPtrArray *looks = x->patient->looks;

    for (guint i = 0; looks != NULL && i < looks->len; i++) {
        const cli_look *look = looks->pdata[i];

        if (look->error != NULL)
            cli_find(
                x, CLI_ERROR, look->target->resource,
                g_strdup_printf("its vault %s cannot be read: %s",
                                look->target->vault != NULL
                                    ? look->target->vault
                                    : "(none is set)",
                                look->error->message),
                g_strdup_printf("quickmig status %s", look->target->resource));
    }
}

static void
check_size(cli_examination *x, const cli_look *look)
{
    uint64_t memory = look->dom->memory;
    uint64_t needed = cli_image_needed(memory);
    g_autofree char *has = cli_bytes(look->info.image_capacity);
    g_autofree char *wants = cli_bytes(needed);
    g_autofree char *live = cli_bytes(2 * memory + LIVE_EXTRA);
    bool directory = look->target->vault[0] == '/';

    if (look->info.image_capacity < needed)
        cli_find(x, CLI_ERROR, look->target->resource,
                 g_strdup_printf("its vault has room for %s, a save needs up "
                                 "to %s: moves fail, and a stop shuts the "
                                 "guest down",
                                 has, wants),
                 g_strdup_printf("%s to %" PRIu64 " bytes at least",
                                 directory ? "enlarge the file system"
                                           : "enlarge the vault's LUN",
                                 needed + IMAGE_OFFSET));
    else if (look->info.image_capacity < 2 * memory + LIVE_EXTRA)
        cli_find(x, CLI_INFO, look->target->resource,
                 g_strdup_printf("its vault has room for %s; from %s on a "
                                 "move with mode=auto is live, now it is "
                                 "quick (a longer pause)",
                                 has, live),
                 NULL);
}

void
cli_check_vault_size(cli_examination *x)
{
    const GPtrArray *looks = x->patient->looks;

    for (guint i = 0; looks != NULL && i < looks->len; i++) {
        const cli_look *look = looks->pdata[i];

        if (look->error == NULL && look->dom != NULL)
            check_size(x, look);
    }
}

/* --- LUNs ---------------------------------------------------------------- */

void
cli_check_reservations(cli_examination *x)
{
    const GPtrArray *luns = x->patient->luns;

    for (guint i = 0; luns != NULL && i < luns->len; i++) {
        const cli_lun *l = luns->pdata[i];

        if (l->unfenced &&
            g_error_matches(l->error, QM_ERROR, QM_ERROR_UNSUPPORTED))
            continue; /* the check "unfenced-disks" says so */
        if (l->error != NULL)
            cli_find(
                x, CLI_ERROR, l->resource,
                g_strdup_printf("%s (%s): %s", l->what, l->name,
                                l->error->message),
                g_strdup("check the target: is the LUN there, does it list "
                         "this initiator, does it take reservations?"));
        else if (l->holder != 0 && !qm__key_is_ours(l->holder))
            cli_find(x, CLI_ERROR, l->resource,
                     g_strdup_printf(
                         "%s (%s) is reserved by something that is not "
                         "quickmig (key 0x%016" PRIx64 "): the VM cannot "
                         "start",
                         l->what, l->name, l->holder),
                     g_strdup_printf("sg_persist --out --clear "
                                     "--param-rk=0x%016" PRIx64
                                     " DEVICE   # on the host that holds it",
                                     l->holder));
        else if (l->read_only)
            cli_find(x, CLI_ERROR, l->resource,
                     g_strdup_printf("%s (%s) is write protected at the "
                                     "target",
                                     l->what, l->name),
                     g_strdup("make the LUN writable at the target"));
    }
}

/* Of one disk, when it is known to be so; else of the parameter. */
void
cli_check_unfenced(cli_examination *x)
{
    const GPtrArray *looks = x->patient->looks;
    const GPtrArray *luns = x->patient->luns;

    for (guint i = 0; looks != NULL && i < looks->len; i++) {
        const cli_target *t = ((const cli_look *) looks->pdata[i])->target;
        g_autoptr(GString) which = g_string_new(NULL);

        if (!t->unfenced)
            continue;
        for (guint k = 0; luns != NULL && k < luns->len; k++) {
            const cli_lun *l = luns->pdata[k];

            if (l->unfenced && g_strcmp0(l->resource, t->resource) == 0 &&
                g_error_matches(l->error, QM_ERROR, QM_ERROR_UNSUPPORTED))
                g_string_append_printf(which, "%s%s",
                                       which->len > 0 ? ", " : "", l->what);
        }
        cli_find(x, CLI_WARNING, t->resource,
                 which->len > 0
                     ? g_strdup_printf("%s UNFENCED: its target knows no "
                                       "reservations, and a node that is "
                                       "taken for dead and is not can still "
                                       "write to it",
                                       which->str)
                     : g_strdup("allow_unfenced is true, and all of its disks "
                                "that can be reached take reservations: it "
                                "is not needed"),
                 which->len > 0
                     ? g_strdup("move the disk to a target that takes SCSI-3 "
                                "persistent reservations")
                     : g_strdup_printf("crm_resource --resource %s "
                                       "--delete-parameter allow_unfenced",
                                       t->resource));
    }
}

void
cli_check_target(cli_examination *x)
{
    const GPtrArray *luns = x->patient->luns;

    for (guint i = 0; luns != NULL && i < luns->len; i++) {
        const cli_lun *l = luns->pdata[i];
        g_autofree char *burst = cli_bytes(l->max_burst);

        if (l->error == NULL && l->max_burst > 0 && l->max_burst < GOOD_BURST)
            cli_find(x, CLI_INFO, l->resource,
                     g_strdup_printf("the target of its %s (%s) takes %s in "
                                     "one burst: large transfers are two to "
                                     "three times slower than with 1 MiB",
                                     l->what, l->name, burst),
                     g_strdup("set MaxBurstLength 1048576, InitialR2T No and "
                              "the others of the tutorial's step 2 at the "
                              "target"));
    }
}

void
cli_check_one_lun_one_vm(cli_examination *x)
{
    const GPtrArray *luns = x->patient->luns;
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; luns != NULL && i < luns->len; i++) {
        cli_lun *l = luns->pdata[i];
        const cli_lun *other = g_hash_table_lookup(seen, l->name);

        if (other == NULL)
            g_hash_table_insert(seen, l->name, l);
        else
            cli_find(x, CLI_ERROR, l->resource,
                     g_strdup_printf("its %s is the same LUN (%s) as the %s "
                                     "of %s: one of them destroys the other",
                                     l->what, l->name, other->what,
                                     other->resource),
                     g_strdup_printf("quickmig vault edit %s   # or correct "
                                     "the parameter vault",
                                     l->resource));
    }
}

void
cli_check_ungated(cli_examination *x)
{
    const GPtrArray *looks = x->patient->looks;

    for (guint i = 0; looks != NULL && i < looks->len; i++) {
        const cli_look *look = looks->pdata[i];

        if (look->error == NULL && look->ungated_disks > 0)
            cli_find(x, CLI_INFO, look->target->resource,
                     g_strdup_printf("%u of its disks are not iSCSI: only "
                                     "fencing and QEMU's image locks protect "
                                     "them",
                                     look->ungated_disks),
                     NULL);
    }
}
