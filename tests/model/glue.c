/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Between the verifier that Spin makes and src/lib/lifecycle.c: the model has
 * no transition table of its own, it asks the one that the agent uses.  All
 * answers are computed once, since a search asks millions of times.
 *
 * When the verifier ends, the rows that were used are written to the file
 * that MODEL_ROWS names.
 */
#include "config.h"
#include <stdio.h>
#include <stdlib.h>
#include <quickmig/lifecycle.h>
#include "glue.h"

#define OWNERS   5
#define DOMAINS  3
#define IMAGES   2
#define RESTORES 3
#define ROWS_MAX 256

static model_decision answers[QM_STATE_COUNT][QM_EVENT_COUNT][OWNERS][DOMAINS]
                             [IMAGES][RESTORES];
static bool used[ROWS_MAX];

static unsigned
bit_of(int mask)
{
    return (unsigned) __builtin_ctz((unsigned) mask);
}

static void
fill_in(int state, int event, qm_facts *facts, model_decision *answer)
{
    qm_record record = {.state = (qm_state) state};
    const qm_transition *table;
    qm_decision d;
    size_t rows;

    table = qm_lifecycle_table(&rows);
    qm_lifecycle_decide(&record, (qm_event) event, facts, &d);
    answer->to = (unsigned char) d.next.state;
    answer->action = (unsigned char) d.row->action;
    answer->takes = d.next.generation != record.generation;
    answer->new_image = d.next.image_id != record.image_id;
    answer->writes = d.write;
    answer->row = d.row >= table && d.row < table + rows
                      ? (unsigned char) (d.row - table)
                      : ROWS_MAX - 1;
}

static void
save_used(void)
{
    const char *path = getenv("MODEL_ROWS");
    FILE *file = path != NULL ? fopen(path, "a") : NULL;

    for (int i = 0; file != NULL && i < ROWS_MAX; i++)
        if (used[i])
            fprintf(file, "%d\n", i);
    if (file != NULL)
        fclose(file);
}

static void
fill_all(void)
{
    model_decision *answer = &answers[0][0][0][0][0][0];

    for (int state = 0; state < QM_STATE_COUNT; state++)
        for (int event = 0; event < QM_EVENT_COUNT; event++)
            for (int owner = 0; owner < OWNERS; owner++)
                for (int domain = 0; domain < DOMAINS; domain++)
                    for (int image = 0; image < IMAGES; image++)
                        for (int r = 0; r < RESTORES; r++) {
                            qm_facts facts = {
                                .owner = (qm_owner) (1 << owner),
                                .domain = (qm_domain) (1 << domain),
                                .image = (qm_image_state) (1 << image),
                                .restore = (qm_restore_policy) (1 << r)};

                            fill_in(state, event, &facts, answer++);
                        }
    if (getenv("MODEL_ROWS") != NULL)
        atexit(save_used);
}

const model_decision *
model_decide(int state, int event, int owner, int domain, int image,
             int restore)
{
    static bool filled;
    const model_decision *d;

    if (!filled)
        fill_all();
    filled = true;
    d = &answers[state][event][bit_of(owner)][bit_of(domain)][bit_of(image)]
                [bit_of(restore)];
    used[d->row] = true;
    return d;
}

int
model_option(const char *name, int otherwise)
{
    const char *value = getenv(name);

    return value != NULL && *value != '\0' ? atoi(value) : otherwise;
}

static const char *
name_of(int state)
{
    static const char *const names[] = {"OFF", "RUNNING", "SAVING", "SAVED",
                                        "RESTORING"};

    return state < QM_STATE_COUNT ? names[state] : "?";
}

void
model_say_record(int state, int owner, int target, int generation, int image)
{
    printf("          record is %s", name_of(state));
    if (state == QM_STATE_OFF || state == QM_STATE_SAVED)
        owner = 0;
    if (owner != 0)
        printf(", owner n%d", owner);
    if (target != 0)
        printf(", target n%d", target);
    printf(", generation %d, image %d\n", generation, image);
}

void
model_say_decision(int node, int event, const model_decision *d)
{
    const qm_transition *table;
    size_t rows;

    table = qm_lifecycle_table(&rows);
    printf("n%d        on %s: %s%s (\"%s\")\n", node,
           qm_event_name((qm_event) event),
           d->writes ? "writes the record, " : "",
           qm_action_name((qm_action) d->action),
           d->row < rows ? table[d->row].why : "no row");
}
