/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_AGENT_H
#define QM_AGENT_H

/*
 * ocf:quickmig:VirtualMachine: one short-lived program an action.  The tables
 * of parameters and actions drive parsing, dispatch, meta-data and man page.
 */
#include <stdbool.h>
#include "engine.h"

/* OCF 1.1, "Return codes". */
typedef enum {
    OCF_SUCCESS = 0,
    OCF_ERR_GENERIC = 1,
    OCF_ERR_ARGS = 2,
    OCF_ERR_UNIMPLEMENTED = 3,
    OCF_ERR_PERM = 4,
    OCF_ERR_INSTALLED = 5,
    OCF_ERR_CONFIGURED = 6,
    OCF_NOT_RUNNING = 7
} ocf_code;

/* One parameter of the resource. */
typedef struct {
    const char *name;
    const char *type;          /* OCF content type: string, integer, select; or
                                  uuid, which is a string to OCF */
    const char *default_value; /* NULL: none */
    const char *choices;       /* select: "a b c"; else NULL */
    unsigned min, max;         /* integer */
    bool required, unique, reloadable;
    const char *shortdesc, *longdesc;
    bool (*check)(const char *value, GError **error); /* NULL: by type */
    void (*set)(qm_params *p, const char *value);
} qm_parameter;

const qm_parameter *qm__parameters(size_t *ret_count);
/* Reads the environment (OCF_RESKEY_…).  INVALID: missing, malformed or
 * unknown; the message names the parameter.  @forgiving: an optional one that
 * is malformed has its default, an unknown one is passed over. */
bool qm__parameters_read(char *const *environment, bool forgiving,
                         qm_params *ret_params, GError **error);

typedef struct qm_agent_action qm_agent_action;

/* What an action gets. */
typedef struct {
    const qm_agent_action *action;
    qm_params params;
    qm_engine engine;
    const char *resource; /* OCF_RESOURCE_INSTANCE */
    const char *migrate_target;
    bool probe;         /* monitor without an interval */
    unsigned depth;     /* OCF_CHECK_LEVEL */
    int64_t timeout_ms; /* of the action; 0: not given */
    int64_t began;      /* monotonic µs */
} qm_agent;

struct qm_agent_action {
    const char *name;
    ocf_code (*run)(qm_agent *agent);
    unsigned timeout_s;  /* advised in the meta-data */
    unsigned interval_s; /* monitor */
    int depth;           /* -1: none */
    bool needs_params;
    bool may_configured; /* may answer OCF_ERR_CONFIGURED, INSTALLED */
};

const qm_agent_action *qm__agent_actions(size_t *ret_count);
const qm_agent_action *qm__agent_find(const char *name); /* exact; or NULL */

/* Writes the OCF 1.1 meta-data to standard output. */
ocf_code qm__metadata(qm_agent *agent);
char *qm__metadata_text(void);

/* actions.c */
ocf_code qm__do_start(qm_agent *agent);
ocf_code qm__do_stop(qm_agent *agent);
ocf_code qm__do_monitor(qm_agent *agent);
ocf_code qm__do_migrate_to(qm_agent *agent);
ocf_code qm__do_migrate_from(qm_agent *agent);
ocf_code qm__do_validate(qm_agent *agent);
ocf_code qm__do_reload(qm_agent *agent);

/* Runs one action with this environment; what main() does. */
ocf_code qm__agent_run(const char *action, char *const *environment);

#endif
