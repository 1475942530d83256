/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * One description of a protected VM, printed three times.  A test applies the
 * commands to an empty CIB and compares.
 *
 * Location: a node that cannot run the VM (quickmig-eligible-RES is "no") is
 * out; among the others the rating counts, as far as there is one, so that
 * with no quickmigd anywhere the VM may run everywhere.  A stickiness above
 * the highest rating keeps it where it is.
 */
#include "config.h"
#include <string.h>
#include <quickmig/error.h>
#include "advice.h"
#include "cib-read.h"
#include "protection.h"

#define MIB        UINT64_C(1048576)
#define STICKINESS 200 /* a rating is 0 to 100 */
#define DAEMON     "quickmigd"
#define CLONE      DAEMON "-clone"

/* Advised by the agent's meta-data, seconds. */
#define START_TIMEOUT 180
#define STOP_TIMEOUT  300

void
cli_protection_free(cli_protection *p)
{
    if (p == NULL)
        return;
    g_free(p->id);
    g_free(p->vault);
    g_free(p->hypervisor);
    g_free(p->clone);
    g_free(p);
}

/* --- what is there ------------------------------------------------------- */

static bool
check_free(xmlNode *cib, const char *id, const char *vault, GError **error)
{
    xmlNode *n = NULL;

    while ((n = qm__cib_next(cib, n, "primitive")) != NULL) {
        g_autofree char *other = qm__walk_get(n, "id");
        g_autofree char *its =
            qm__cib_value(cib, n, "instance_attributes", "vault");

        if (qm__cib_is_a(cib, n, "ocf", "quickmig", "VirtualMachine") &&
            g_strcmp0(its, vault) == 0) {
            g_set_error(error, QM_ERROR, QM_ERROR_REFUSED,
                        "resource %s has this vault already: it is protected",
                        other);
            return false;
        }
    }
    for (n = cib; n != NULL; n = qm__walk_next(cib, n))
        if (n->type == XML_ELEMENT_NODE && qm__walk_has(n, "id", id) &&
            !qm__walk_is(n, "node")) {
            g_set_error(error, QM_ERROR, QM_ERROR_REFUSED,
                        "the cluster has something called %s already", id);
            return false;
        }
    return true;
}

/* Is the cluster's default above every rating? */
static bool
default_is_sticky(xmlNode *cib)
{
    g_autofree char *value =
        qm__cib_default(cib, "rsc_defaults", "resource-stickiness");

    return value != NULL && (strstr(value, "INFINITY") == value ||
                             g_ascii_strtoll(value, NULL, 10) > STICKINESS / 2);
}

/* The clone's id; NULL: there is none. */
static char *
find_clone(xmlNode *cib)
{
    xmlNode *n = NULL;

    while ((n = qm__cib_next(cib, n, "primitive")) != NULL)
        if (qm__cib_is_a(cib, n, "ocf", "quickmig", "Node") &&
            n->parent != NULL && qm__walk_is(n->parent, "clone"))
            return qm__walk_get(n->parent, "id");
    return NULL;
}

void
cli_protection_set_rate(cli_protection *p, uint64_t rate)
{
    p->start = cli_transfer_timeout_at(p->memory, START_TIMEOUT, rate);
    p->stop = cli_transfer_timeout_at(p->memory, STOP_TIMEOUT, rate);
}

bool
cli_protection_plan(xmlNode *cib, const char *vm_name, const char *vault,
                    const char *hypervisor, unsigned vcpus, uint64_t memory,
                    bool stopped, cli_protection **ret, GError **error)
{
    g_autoptr(cli_protection) p = g_new0(cli_protection, 1);

    p->id = cli_resource_id(vm_name);
    if (!check_free(cib, p->id, vault, error))
        return false;
    p->vault = g_strdup(vault);
    p->hypervisor = g_strdup(hypervisor);
    p->vcpus = vcpus;
    p->memory = memory;
    cli_protection_set_rate(p, 0);
    p->stopped = stopped;
    p->stickiness = !default_is_sticky(cib);
    p->clone = find_clone(cib);
    p->daemon = p->clone == NULL;
    if (p->daemon) {
        p->clone = g_strdup(CLONE);
        if (!check_free(cib, DAEMON, "", error) ||
            !check_free(cib, CLONE, "", error))
            return false;
    }
    *ret = g_steal_pointer(&p);
    return true;
}

static uint64_t
mib(const cli_protection *p)
{
    return (p->memory + MIB - 1) / MIB;
}

/* --- XML ----------------------------------------------------------------- */

static void add(GString *out, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* Values are escaped. */
static void
add(GString *out, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, format);
    text = g_markup_vprintf_escaped(format, ap);
    va_end(ap);
    g_string_append(out, text);
}

static void
add_pair(GString *out, const char *set, const char *name, const char *value)
{
    add(out, "<nvpair id=\"%s-%s\" name=\"%s\" value=\"%s\"/>", set, name, name,
        value);
}

static void
add_op(GString *out, const char *id, const char *name, const char *interval,
       unsigned timeout)
{
    add(out,
        "<op id=\"%s-%s-%s\" name=\"%s\" interval=\"%s\" timeout=\"%us\"/>", id,
        name, interval, name, interval, timeout);
}

static void
add_daemon(GString *out)
{
    add(out,
        "<clone id=\"%s\"><meta_attributes id=\"%s-meta_attributes\">"
        "<nvpair id=\"%s-interleave\" name=\"interleave\" value=\"true\"/>"
        "</meta_attributes><primitive id=\"%s\" class=\"ocf\" "
        "provider=\"quickmig\" type=\"Node\"><operations>",
        CLONE, CLONE, CLONE, DAEMON);
    add_op(out, DAEMON, "start", "0", 20);
    add_op(out, DAEMON, "stop", "0", 20);
    add_op(out, DAEMON, "monitor", "15s", 20);
    g_string_append(out, "</operations></primitive></clone>");
}

static void
add_sets(const cli_protection *p, bool guarded, GString *out)
{
    g_autofree char *set = g_strconcat(p->id, "-instance_attributes", NULL);
    g_autofree char *meta = g_strconcat(p->id, "-meta_attributes", NULL);
    g_autofree char *use = g_strconcat(p->id, "-utilization", NULL);
    g_autofree char *cpu = g_strdup_printf("%u", p->vcpus);
    g_autofree char *memory = g_strdup_printf("%" G_GUINT64_FORMAT, mib(p));

    add(out, "<instance_attributes id=\"%s\">", set);
    add_pair(out, set, "vault", p->vault);
    if (p->hypervisor != NULL)
        add_pair(out, set, "hypervisor", p->hypervisor);
    if (p->unfenced)
        add_pair(out, set, "allow_unfenced", "true");
    add(out, "</instance_attributes><meta_attributes id=\"%s\">", meta);
    add_pair(out, meta, "allow-migrate", "true");
    if (p->stickiness)
        add_pair(out, meta, "resource-stickiness", G_STRINGIFY(STICKINESS));
    if (p->stopped)
        add_pair(out, meta, "target-role", "Stopped");
    if (guarded)
        add_pair(out, meta, "is-managed", "false");
    add(out, "</meta_attributes><utilization id=\"%s\">", use);
    add_pair(out, use, "cpu", cpu);
    add_pair(out, use, "memory", memory);
    g_string_append(out, "</utilization>");
}

static void
add_vm(const cli_protection *p, bool guarded, GString *out)
{
    add(out,
        "<primitive id=\"%s\" class=\"ocf\" provider=\"quickmig\" "
        "type=\"VirtualMachine\">",
        p->id);
    add_sets(p, guarded, out);
    g_string_append(out, "<operations>");
    add_op(out, p->id, "start", "0", p->start);
    add_op(out, p->id, "stop", "0", p->stop);
    add_op(out, p->id, "monitor", "10s", 30);
    add_op(out, p->id, "migrate_to", "0", p->stop);
    add_op(out, p->id, "migrate_from", "0", p->start);
    g_string_append(out, "</operations></primitive>");
}

static void
add_location(const cli_protection *p, GString *out)
{
    const char *id = p->id;

    add(out, "<rsc_location id=\"quickmig-%s\" rsc=\"%s\">", id, id);
    add(out,
        "<rule id=\"quickmig-%s-eligible\" score=\"-INFINITY\">"
        "<expression id=\"quickmig-%s-eligible-is\" "
        "attribute=\"quickmig-eligible-%s\" operation=\"eq\" value=\"no\"/>"
        "</rule>",
        id, id, id);
    add(out,
        "<rule id=\"quickmig-%s-rating\" "
        "score-attribute=\"quickmig-rating-%s\">"
        "<expression id=\"quickmig-%s-rating-is\" "
        "attribute=\"quickmig-rating-%s\" operation=\"defined\"/></rule>",
        id, id, id, id);
    g_string_append(out, "</rsc_location>");
}

static void
add_orders(const cli_protection *p, GString *out)
{
    add(out,
        "<rsc_order id=\"%s-before-%s\" kind=\"Optional\" first=\"%s\" "
        "first-action=\"start\" then=\"%s\" then-action=\"start\" "
        "symmetrical=\"false\"/>",
        DAEMON, p->id, p->clone, p->id);
    add(out,
        "<rsc_order id=\"%s-after-%s\" kind=\"Mandatory\" first=\"%s\" "
        "first-action=\"stop\" then=\"%s\" then-action=\"stop\" "
        "symmetrical=\"false\"/>",
        DAEMON, p->id, p->id, p->clone);
}

char *
cli_protection_xml(const cli_protection *p, bool guarded)
{
    GString *out = g_string_new("<configuration><resources>");

    if (p->daemon)
        add_daemon(out);
    add_vm(p, guarded, out);
    g_string_append(out, "</resources><constraints>");
    add_location(p, out);
    add_orders(p, out);
    g_string_append(out, "</constraints></configuration>");
    return g_string_free(out, FALSE);
}

/* --- commands ------------------------------------------------------------ */

static char *
parameters(const cli_protection *p)
{
    g_autofree char *vault = cli_assignment("vault", p->vault);
    g_autofree char *hypervisor =
        p->hypervisor != NULL ? cli_assignment("hypervisor", p->hypervisor)
                              : NULL;

    return g_strconcat(vault, hypervisor != NULL ? " " : "",
                       hypervisor != NULL ? hypervisor : "",
                       p->unfenced ? " allow_unfenced=true" : NULL, NULL);
}

static const char *
meta(const cli_protection *p)
{
    static const char *const texts[] = {
        "allow-migrate=true",
        "allow-migrate=true target-role=Stopped",
        "allow-migrate=true resource-stickiness=" G_STRINGIFY(STICKINESS),
        "allow-migrate=true resource-stickiness=" G_STRINGIFY(
            STICKINESS) " target-role=Stopped",
    };

    return texts[(p->stickiness ? 2 : 0) + (p->stopped ? 1 : 0)];
}

char *
cli_protection_crm(const cli_protection *p)
{
    GString *out = g_string_new(NULL);
    g_autofree char *params = parameters(p);
    const char *id = p->id;

    if (p->daemon)
        g_string_append(out, "crm configure primitive " DAEMON
                             " ocf:quickmig:Node \\\n"
                             "    op start timeout=20s interval=0 \\\n"
                             "    op stop timeout=20s interval=0 \\\n"
                             "    op monitor timeout=20s interval=15s\n"
                             "crm configure clone " CLONE " " DAEMON
                             " meta interleave=true\n");
    g_string_append_printf(
        out,
        "crm configure primitive %s ocf:quickmig:VirtualMachine \\\n"
        "    params %s \\\n"
        "    op start timeout=%us interval=0 \\\n"
        "    op stop timeout=%us interval=0 \\\n"
        "    op monitor timeout=30s interval=10s \\\n"
        "    op migrate_to timeout=%us interval=0 \\\n"
        "    op migrate_from timeout=%us interval=0 \\\n"
        "    meta %s \\\n"
        "    utilization cpu=%u memory=%" G_GUINT64_FORMAT "\n",
        id, params, p->start, p->stop, p->stop, p->start, meta(p), p->vcpus,
        mib(p));
    g_string_append_printf(
        out,
        "crm configure location quickmig-%s %s \\\n"
        "    rule -inf: quickmig-eligible-%s eq no \\\n"
        "    rule quickmig-rating-%s: defined quickmig-rating-%s\n",
        id, id, id, id, id);
    g_string_append_printf(out,
                           "crm configure order " DAEMON "-before-%s \\\n"
                           "    Optional: %s:start %s:start symmetrical=false\n"
                           "crm configure order " DAEMON "-after-%s \\\n"
                           "    Mandatory: %s:stop %s:stop symmetrical=false\n",
                           id, p->clone, id, id, id, p->clone);
    return g_string_free(out, FALSE);
}

char *
cli_protection_pcs(const cli_protection *p)
{
    GString *out = g_string_new(NULL);
    g_autofree char *params = parameters(p);
    const char *id = p->id;

    if (p->daemon)
        g_string_append(out,
                        "pcs resource create " DAEMON " ocf:quickmig:Node \\\n"
                        "    op start timeout=20s stop timeout=20s \\\n"
                        "    monitor interval=15s timeout=20s \\\n"
                        "    clone " CLONE " interleave=true\n");
    g_string_append_printf(
        out,
        "pcs resource create %s ocf:quickmig:VirtualMachine \\\n"
        "    %s \\\n"
        "    op start timeout=%us stop timeout=%us \\\n"
        "    monitor interval=10s timeout=30s \\\n"
        "    migrate_to timeout=%us migrate_from timeout=%us \\\n"
        "    meta %s\n"
        "pcs resource utilization %s cpu=%u memory=%" G_GUINT64_FORMAT "\n",
        id, params, p->start, p->stop, p->stop, p->start, meta(p), id, p->vcpus,
        mib(p));
    g_string_append_printf(
        out,
        "pcs constraint location %s rule constraint-id=quickmig-%s \\\n"
        "    score=-INFINITY quickmig-eligible-%s eq no\n"
        "pcs constraint rule add quickmig-%s \\\n"
        "    score-attribute=quickmig-rating-%s defined quickmig-rating-%s\n",
        id, id, id, id, id, id);
    g_string_append_printf(
        out,
        "pcs constraint order start %s then start %s \\\n"
        "    kind=Optional symmetrical=false id=" DAEMON "-before-%s\n"
        "pcs constraint order stop %s then stop %s \\\n"
        "    kind=Mandatory symmetrical=false id=" DAEMON "-after-%s\n",
        p->clone, id, id, id, p->clone, id);
    return g_string_free(out, FALSE);
}

/* --- on the way out ------------------------------------------------------ */

static bool
names(const xmlNode *n, const char *id)
{
    static const char *const attributes[] = {"rsc", "with-rsc", "first", "then",
                                             "id"};

    for (size_t i = 0; i < G_N_ELEMENTS(attributes); i++)
        if ((i < 4 || qm__walk_is(n, "resource_ref") ||
             qm__walk_is(n, "obj_ref")) &&
            qm__walk_has(n, attributes[i], id))
            return true;
    return false;
}

/* Does the constraint speak of it, itself or in a set? */
static bool
concerns(xmlNode *constraint, const char *id)
{
    for (xmlNode *n = constraint; n != NULL; n = qm__walk_next(constraint, n))
        if (n->type == XML_ELEMENT_NODE && names(n, id))
            return true;
    return false;
}

static bool
is_own(const char *constraint, const char *id)
{
    g_autofree char *location = g_strconcat("quickmig-", id, NULL);
    g_autofree char *before = g_strconcat(DAEMON "-before-", id, NULL);
    g_autofree char *after = g_strconcat(DAEMON "-after-", id, NULL);
    g_autofree char *prefer = g_strconcat("cli-prefer-", id, NULL);
    g_autofree char *ban = g_strconcat("cli-ban-", id, "-on-", NULL);

    return strcmp(constraint, location) == 0 ||
           strcmp(constraint, before) == 0 || strcmp(constraint, after) == 0 ||
           strcmp(constraint, prefer) == 0 || g_str_has_prefix(constraint, ban);
}

void
cli_protection_constraints(xmlNode *cib, const char *id, GStrv *ret_own,
                           GStrv *ret_foreign)
{
    g_autoptr(GStrvBuilder) own = g_strv_builder_new();
    g_autoptr(GStrvBuilder) foreign = g_strv_builder_new();
    static const char *const sections[] = {"constraints", "tags"};

    for (size_t i = 0; i < G_N_ELEMENTS(sections); i++) {
        xmlNode *section = qm__cib_next(cib, NULL, sections[i]);

        for (xmlNode *n = section != NULL ? section->children : NULL; n != NULL;
             n = n->next) {
            g_autofree char *name = NULL;

            if (n->type != XML_ELEMENT_NODE || !concerns(n, id))
                continue;
            name = qm__walk_get(n, "id");
            if (name != NULL)
                g_strv_builder_add(is_own(name, id) ? own : foreign, name);
        }
    }
    *ret_own = g_strv_builder_end(own);
    *ret_foreign = g_strv_builder_end(foreign);
}
