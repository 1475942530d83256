/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_TESTS_LIFECYCLE_COMBOS_H
#define QM_TESTS_LIFECYCLE_COMBOS_H

/*
 * Every combination that the lifecycle can meet: state, event, owner, domain,
 * image, policy, each a single bit.
 */
#include <string.h>
#include <quickmig/lifecycle.h>

typedef struct {
    qm_record record;
    qm_event event;
    qm_facts facts;
} combo;

static const qm_node combo_self = {.id = 1, .name = "self", .boot = "boot-b"};
static const qm_node combo_old = {.id = 1, .name = "self", .boot = "boot-a"};
static const qm_node combo_other = {.id = 2, .name = "other", .boot = "boot-x"};
static const qm_node combo_third = {.id = 3, .name = "third"};

/* Nobody owns a VM that is off or saved; all else has an owner. */
static inline bool
combo_is_consistent(qm_state state, unsigned owner)
{
    return (owner == QM_OWNER_NOBODY) ==
           (state == QM_STATE_OFF || state == QM_STATE_SAVED);
}

static inline void
combo_make(qm_state state, qm_event event, unsigned owner, unsigned domain,
           unsigned image, unsigned restore, combo *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->record = (qm_record){
        .state = state,
        .sequence = 40,
        .generation = 30,
        .image_id = 20,
        .image_length = state == QM_STATE_SAVING ? 0 : 10,
        .owner = owner == QM_OWNER_SELF       ? combo_self
                 : owner == QM_OWNER_OLD_BOOT ? combo_old
                                              : combo_other,
        .target = combo_third,
        .failed_restores = 5,
        .time_us = 1000,
        .key = 77,
        .cause = "before",
    };
    ret->event = event;
    ret->facts = (qm_facts){
        .self = combo_self,
        .owner = owner,
        .domain = domain,
        .image = image,
        .image_length = 123,
        .restore = restore,
        .target = combo_other,
        .now_us = 2000,
    };
}

typedef void (*combo_fn)(const combo *c, void *opaque);

/* @all: those too in which state and owner contradict each other. */
static inline void
combo_each(bool all, combo_fn fn, void *opaque)
{
    combo c;

    for (int s = 0; s < QM_STATE_COUNT; s++)
        for (int e = 0; e < QM_EVENT_COUNT; e++)
            for (unsigned o = 1; o <= QM_OWNER_ANY; o <<= 1)
                for (unsigned d = 1; d <= QM_DOMAIN_ANY; d <<= 1)
                    for (unsigned i = 1; i <= QM_IMAGE_ANY; i <<= 1)
                        for (unsigned r = 1; r <= QM_RESTORE_ANY; r <<= 1) {
                            if (!all && !combo_is_consistent(s, o))
                                continue;
                            combo_make(s, e, o, d, i, r, &c);
                            fn(&c, opaque);
                        }
}

#endif
