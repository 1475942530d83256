/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * What nodes say of themselves through node attributes.
 *
 * Pacemaker's tools are used, because libcrmcommon's interface to the
 * attribute manager is private (ipc_attrd_internal.h) and changes with each
 * release, while the tools' options do not.  A call costs some 10 ms of CPU,
 * and none of them is on the path of a recurring monitor.
 *
 *   quickmig-boot           transient (attrd): BOOT@TIME, in hex and in µs of
 *                           that node's wall clock.  Vanishes with the node.
 *   quickmig-released-UUID  permanent (CIB): the generation whose VM this
 *                           node has stopped for good.  Must outlive the
 *                           node's leaving, and must be known everywhere when
 *                           the stop returns; attrd promises neither.  A
 *                           stale one names an older generation and means
 *                           nothing.
 *   quickmig-mode-RESOURCE  private to attrd (no run of the scheduler): how
 *                           the next move from this node shall be made.  Who
 *                           sets it removes it.
 *   quickmig-moving-RESOURCE  transient, on the node that a VM is copied ahead
 *                           from: "to NODE", for people who look at crm_mon.
 */
#include "config.h"
#include <inttypes.h>
#include <string.h>
#include <uuid/uuid.h>
#include "cluster-internal.h"
#include "spawn.h"
#include "timeouts.h"

#define ATTRIBUTE_BOOT     "quickmig-boot"
#define ATTRIBUTE_RELEASED "quickmig-released-"
#define ATTRIBUTE_MODE     "quickmig-mode-"
#define ATTRIBUTE_MOVING   "quickmig-moving-"
#define ATTRIBUTE_SHUTDOWN "shutdown" /* Pacemaker's own */
#define EXIT_NO_SUCH       105        /* CRM_EX_NOSUCH: no such attribute */
#define EXIT_CONFIG        78 /* CRM_EX_CONFIG: so attrd_updater 2.1.5 */

static bool
tool_failed(const char *tool, const char *what, int code, const char *text,
            GError **error)
{
    g_autofree char *said = g_strdup(text != NULL ? text : "");

    g_strdelimit(g_strstrip(said), "\n\r", ' ');
    g_set_error(error, QM_ERROR, QM_ERROR_IO, "%s: cannot %s: %s (exit %d)",
                tool, what, *said != '\0' ? said : "no reason given", code);
    return false;
}

static bool
says_no_such(int code, const char *text)
{
    return code == EXIT_NO_SUCH ||
           (code == EXIT_CONFIG && strstr(text, "does not exist") != NULL);
}

/* Runs a tool that must succeed.  @ret_out: NULL when the tool says that
 * there is no such attribute (allowed where @ret_out is given). */
static bool
run_tool(const char *const *argv, const char *what, int64_t deadline,
         char **ret_out, GError **error)
{
    g_autofree char *out = NULL, *err = NULL;
    int code;

    if (!qm__spawn(argv, deadline, &code, &out, &err, error))
        return false;
    if (ret_out != NULL && says_no_such(code, err))
        g_clear_pointer(&out, g_free);
    else if (code != 0)
        return tool_failed(argv[0], what, code, err, error);
    if (ret_out != NULL)
        *ret_out = g_steal_pointer(&out);
    return true;
}

/* name="x" host="n1" value="..."  Ours hold nothing that needs quoting. */
bool
qm__attribute_value(const char *line, char **ret_value)
{
    const char *begin = strstr(line, " value=\"");
    const char *end;

    if (begin == NULL)
        return false;
    begin += strlen(" value=\"");
    end = strchr(begin, '"');
    if (end == NULL)
        return false;
    *ret_value = g_strndup(begin, (gsize) (end - begin));
    return true;
}

/* @ret_value NULL: not set.  @node NULL: this node. */
static bool
query_transient(const char *name, const char *node, int64_t deadline,
                char **ret_value, GError **error)
{
    const char *argv[] = {"attrd_updater",
                          "--query",
                          "--name",
                          name,
                          node != NULL ? "--node" : NULL,
                          node,
                          NULL};
    g_autofree char *out = NULL, *value = NULL;

    if (!run_tool(argv, "query a node attribute", deadline, &out, error))
        return false;
    if (out != NULL && !qm__attribute_value(out, &value))
        g_clear_pointer(&value, g_free); /* printed nothing: not set */
    *ret_value = g_steal_pointer(&value);
    return true;
}

/* --- boot --- */

static char *
boot_value(const uint8_t *boot, int64_t time_us)
{
    GString *text = g_string_new(NULL);

    for (int i = 0; i < QM_UUID_LEN; i++)
        g_string_append_printf(text, "%02x", boot[i]);
    g_string_append_printf(text, "@%" PRId64, time_us);
    return g_string_free(text, FALSE);
}

bool
qm__boot_value_parse(const char *value, uint8_t *ret_boot, int64_t *ret_time_us)
{
    uint8_t boot[QM_UUID_LEN];
    int64_t time_us;

    for (int i = 0; i < QM_UUID_LEN; i++) {
        int high = g_ascii_xdigit_value(value[0]);
        int low = high < 0 ? -1 : g_ascii_xdigit_value(value[1]);

        if (low < 0)
            return false;
        boot[i] = (uint8_t) (high << 4 | low);
        value += 2;
    }
    if (*value != '@' ||
        !g_ascii_string_to_signed(value + 1, 10, 1, INT64_MAX, &time_us, NULL))
        return false;
    memcpy(ret_boot, boot, sizeof boot);
    *ret_time_us = time_us;
    return true;
}

bool
qm__attribute_boot(const char *node, int64_t deadline, bool *ret_known,
                   uint8_t *ret_boot, int64_t *ret_time_us, GError **error)
{
    g_autofree char *value = NULL;

    if (!query_transient(ATTRIBUTE_BOOT, node, deadline, &value, error))
        return false;
    *ret_known =
        value != NULL && qm__boot_value_parse(value, ret_boot, ret_time_us);
    return true;
}

/* Once a boot: every update costs a run of the scheduler. */
bool
qm__cluster_publish_boot(qm_cluster *c, int64_t deadline, GError **error)
{
    const qm_node *self = qm__cluster_self(c);
    g_autofree char *value = boot_value(self->boot, g_get_real_time());
    const char *argv[] = {"attrd_updater", "--name", ATTRIBUTE_BOOT,
                          "--update",      value,    NULL};
    uint8_t boot[QM_UUID_LEN];
    int64_t time_us;
    bool known;

    if (!qm__attribute_boot(NULL, deadline, &known, boot, &time_us, error))
        return false;
    if (known && memcmp(boot, self->boot, sizeof boot) == 0)
        return true;
    return run_tool(argv, "publish this node's boot", deadline, NULL, error);
}

/* --- released --- */

static char *
released_name(const uint8_t *vm_uuid)
{
    char text[UUID_STR_LEN];

    uuid_unparse_lower(vm_uuid, text);
    return g_strconcat(ATTRIBUTE_RELEASED, text, NULL);
}

bool
qm__cluster_publish_released(qm_cluster *c, const uint8_t *vm_uuid,
                             uint64_t generation, int64_t deadline,
                             GError **error)
{
    g_autofree char *name = released_name(vm_uuid);
    g_autofree char *value = g_strdup_printf("%" PRIu64, generation);
    const char *argv[] = {"crm_attribute",
                          "--lifetime",
                          "forever",
                          "--node",
                          qm__cluster_self(c)->name,
                          "--name",
                          name,
                          "--update",
                          value,
                          NULL};

    return run_tool(argv, "publish that the VM was released", deadline, NULL,
                    error);
}

bool
qm__attribute_released(const char *node, const uint8_t *vm_uuid,
                       int64_t deadline, uint64_t *ret_generation,
                       GError **error)
{
    g_autofree char *name = released_name(vm_uuid);
    g_autofree char *out = NULL;
    const char *argv[] = {
        "crm_attribute", "--lifetime", "forever", "--node",  node,
        "--name",        name,         "--query", "--quiet", NULL};
    uint64_t generation = 0;

    if (!run_tool(argv, "query what the node has released", deadline, &out,
                  error))
        return false;
    if (out != NULL &&
        !g_ascii_string_to_unsigned(g_strstrip(out), 10, 1, UINT64_MAX,
                                    &generation, NULL))
        generation = 0;
    *ret_generation = generation;
    return true;
}

/* --- mode of a move --- */

bool
qm__cluster_set_mode(const char *resource, const char *node, const char *mode,
                     int64_t deadline, GError **error)
{
    g_autofree char *name = g_strconcat(ATTRIBUTE_MODE, resource, NULL);
    const char *argv[] = {"attrd_updater",
                          "--private",
                          "--node",
                          node,
                          "--name",
                          name,
                          mode != NULL ? "--update" : "--delete",
                          mode,
                          NULL};

    return run_tool(argv, "tell how the VM shall be moved", deadline, NULL,
                    error);
}

bool
qm__cluster_tell(const char *name, const char *value, int64_t deadline,
                 GError **error)
{
    const char *argv[] = {"attrd_updater",
                          "--name",
                          name,
                          value != NULL ? "--update" : "--delete",
                          value,
                          NULL};

    return run_tool(argv, "set a node attribute", deadline, NULL, error);
}

bool
qm__cluster_show_moving(const char *resource, const char *target,
                        int64_t deadline, GError **error)
{
    g_autofree char *name = g_strconcat(ATTRIBUTE_MOVING, resource, NULL);
    g_autofree char *text =
        target != NULL ? g_strconcat("to ", target, NULL) : NULL;

    return qm__cluster_tell(name, text, deadline, error);
}

bool
qm__cluster_get_mode(const char *resource, int64_t deadline, char **ret_mode,
                     GError **error)
{
    g_autofree char *name = g_strconcat(ATTRIBUTE_MODE, resource, NULL);
    g_autofree char *value = NULL;

    if (!query_transient(name, NULL, deadline, &value, error))
        return false;
    if (value != NULL && *value == '\0')
        g_clear_pointer(&value, g_free);
    *ret_mode = g_steal_pointer(&value);
    return true;
}

/* --- shutdown --- */

bool
qm__cluster_shutting_down(qm_cluster *c, int64_t deadline,
                          bool *ret_shutting_down, GError **error)
{
    g_autofree char *value = NULL;

    if (!query_transient(ATTRIBUTE_SHUTDOWN, NULL, deadline, &value, error))
        return false;
    *ret_shutting_down =
        value != NULL && *value != '\0' && strcmp(value, "0") != 0;
    return true;
}
