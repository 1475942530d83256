/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Each part says how much would be left of what the node has, with the VM on
 * it.  What is not known is in the middle: it speaks neither for a node nor
 * against it.
 */
#include "config.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "rating.h"
#include "timeouts.h"

#define UNKNOWN    50
#define WEIGHT_MAX 100
#define FULL       80  /* per cent: consolidating fills up to here */
#define FAST_US    200 /* a vault's block: as good as it gets */
#define SLOW_US    50000
#define STEP       10
#define STEP_OLD   3
#define OFTEN      (30 * QM_S)
#define SELDOM     (600 * QM_S)
#define STARS      5

const qm_rating_rules qm__rating_rules_default = {QM_POLICY_BALANCE,
                                                  {2, 3, 1, 1}};

static const char *const names[QM_PARTS] = {"cpu", "memory", "disk", "network"};

const char *
qm__part_name(unsigned part)
{
    return part < QM_PARTS ? names[part] : "?";
}

static bool
parse_weight(const char *word, qm_rating_rules *rules)
{
    const char *equals = strchr(word, '=');
    guint64 value;

    if (equals == NULL || !g_ascii_string_to_unsigned(equals + 1, 10, 0,
                                                      WEIGHT_MAX, &value, NULL))
        return false;
    for (unsigned i = 0; i < QM_PARTS; i++)
        if (strlen(names[i]) == (size_t) (equals - word) &&
            strncmp(names[i], word, strlen(names[i])) == 0) {
            rules->weights[i] = (unsigned) value;
            return true;
        }
    return false;
}

static bool
has_weight(const qm_rating_rules *rules)
{
    for (unsigned i = 0; i < QM_PARTS; i++)
        if (rules->weights[i] > 0)
            return true;
    return false;
}

bool
qm__rating_rules_parse(const char *policy, const char *weights,
                       qm_rating_rules *ret, GError **error)
{
    g_auto(GStrv) words =
        g_strsplit_set(weights != NULL ? weights : "", " ,\t", -1);

    *ret = qm__rating_rules_default;
    if (policy != NULL && strcmp(policy, "consolidate") == 0) {
        ret->policy = QM_POLICY_CONSOLIDATE;
    } else if (policy != NULL && strcmp(policy, "balance") != 0) {
        g_set_error(error, QM_ERROR, QM_ERROR_INVALID,
                    "policy \"%s\": neither balance nor consolidate", policy);
        return false;
    }
    for (unsigned i = 0; words[i] != NULL; i++)
        if (*words[i] != '\0' && !parse_weight(words[i], ret)) {
            g_set_error(error, QM_ERROR, QM_ERROR_INVALID,
                        "weight \"%s\": it is one of cpu=, memory=, disk=, "
                        "network=, and 0 to %d",
                        words[i], WEIGHT_MAX);
            return false;
        }
    if (has_weight(ret))
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_INVALID,
                "weights \"%s\": one has to be more than 0", weights);
    return false;
}

/* @used: per cent of what there is, with the VM on it. */
static unsigned
score(double used, qm_policy policy)
{
    used = CLAMP(used, 0, 100);
    if (policy == QM_POLICY_BALANCE)
        return (unsigned) lround(100 - used);
    /* The fuller the better, until it gets tight. */
    return (unsigned) lround(used <= FULL ? used * 100 / FULL
                                          : (100 - used) * 100 / (100 - FULL));
}

static unsigned
rate_cpu(const qm_node_facts *f, const qm_needs *n, bool here, qm_policy policy)
{
    double used = f->load;

    if (f->cpus == 0)
        return UNKNOWN;
    if (!here) /* one in four is busy, as a guess */
        used += 25.0 * n->vcpus / f->cpus;
    return score(used, policy);
}

static unsigned
rate_memory(const qm_node_facts *f, const qm_needs *n, bool here,
            qm_policy policy)
{
    double left = (double) f->memory_free;

    if (f->memory == 0)
        return UNKNOWN;
    if (!here)
        left -= (double) n->memory / 1048576;
    return score(100 - left * 100 / (double) f->memory, policy);
}

/* Latency on a logarithmic scale; there is nothing to consolidate. */
static unsigned
rate_disk(const qm_node_facts *f)
{
    double us = CLAMP((double) f->storage_us, FAST_US, SLOW_US);

    if (f->storage_us == 0)
        return UNKNOWN;
    return (unsigned) lround(100 * log(SLOW_US / us) /
                             log((double) SLOW_US / FAST_US));
}

static unsigned
rate_network(const qm_node_facts *f, qm_policy policy)
{
    if (f->link_mbs == 0)
        return UNKNOWN;
    return score(100.0 * f->net_mbs / f->link_mbs, policy);
}

void
qm__rating_set(qm_rating *rating, unsigned all)
{
    rating->all = MIN(all, 100);
    rating->stars = (rating->all * STARS + 50) / 100;
}

void
qm__rate(const qm_node_facts *f, const qm_needs *n, bool here,
         const qm_rating_rules *rules, qm_rating *ret)
{
    unsigned sum = 0, weights = 0;

    ret->parts[QM_PART_CPU] = rate_cpu(f, n, here, rules->policy);
    ret->parts[QM_PART_MEMORY] = rate_memory(f, n, here, rules->policy);
    ret->parts[QM_PART_DISK] = rate_disk(f);
    ret->parts[QM_PART_NETWORK] = rate_network(f, rules->policy);
    for (unsigned i = 0; i < QM_PARTS; i++) {
        sum += ret->parts[i] * rules->weights[i];
        weights += rules->weights[i];
    }
    qm__rating_set(ret, weights > 0 ? (sum + weights / 2) / weights : 0);
}

bool
qm__rating_worth_telling(unsigned told, unsigned now, int64_t age)
{
    int step = abs((int) told - (int) now);

    return age >= OFTEN && step >= (age >= SELDOM ? STEP_OLD : STEP);
}
