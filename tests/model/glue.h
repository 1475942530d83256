/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_MODEL_GLUE_H
#define QM_MODEL_GLUE_H

/*
 * What the model asks the real code and its surroundings.  Included by the
 * verifier that Spin makes, too.
 */

/* One decision of src/lib/lifecycle.c; values are the C ones. */
typedef struct {
    unsigned char to;        /* qm_state */
    unsigned char action;    /* qm_action */
    unsigned char takes;     /* generation rises, the decider is owner */
    unsigned char new_image; /* image id rises */
    unsigned char writes;    /* the record changes */
    unsigned char row;       /* of the table */
} model_decision;

/* Masks of one bit each, as in qm_facts. */
const model_decision *model_decide(int state, int event, int owner, int domain,
                                   int image, int restore);

/* A number from the environment; @otherwise where it is not set. */
int model_option(const char *name, int otherwise);

/* The record in words, when a counter-example is replayed. */
void
model_say_record(int state, int owner, int target, int generation, int image);
void model_say_decision(int node, int event, const model_decision *d);

#endif
