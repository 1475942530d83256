/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * quickmig plan: what a move would be, before it is made: the checks, what it
 * will cost, and the commands that do the same.  Nothing is changed.
 */
#include "config.h"
#include <inttypes.h>
#include <string.h>
#include "cli.h"
#include "editor.h"
#include "outlook.h"
#include "preview.h"
#include "timeouts.h"

#define PREVIEW (20 * QM_S)

typedef struct {
    const char *what;
    bool ok;
    char *text; /* what was found */
} check;

typedef struct {
    cli_outlook l;
    const char *target;
    GArray *checks; /* check */
    cli_forecast forecast;
    cli_preview preview;
    GError *blind; /* why there is no preview */
} plan;

static void note(plan *p, const char *what, bool ok, const char *format, ...)
    G_GNUC_PRINTF(4, 5);

static void
note(plan *p, const char *what, bool ok, const char *format, ...)
{
    check c = {what, ok, NULL};
    va_list ap;

    va_start(ap, format);
    c.text = g_strdup_vprintf(format, ap);
    va_end(ap);
    g_array_append_val(p->checks, c);
}

static void
free_check(gpointer c)
{
    g_free(((check *) c)->text);
}

static bool
all_ok(const plan *p)
{
    for (guint i = 0; i < p->checks->len; i++)
        if (!g_array_index(p->checks, check, i).ok)
            return false;
    return true;
}

/* By Pacemaker's own simulator: its rules are not ours to guess. */
static void
check_preview(plan *p)
{
    const char *resource = p->l.target->resource;

    if (!cli_preview_move(resource, p->target, qm__deadline_in(PREVIEW),
                          &p->preview, &p->blind))
        return;
    if (p->preview.own == NULL && !all_ok(p))
        return; /* has been said */
    note(p, "pacemaker", p->preview.arrives, "%s",
         p->preview.arrives       ? "would migrate it there"
         : p->preview.own != NULL ? p->preview.own
                                  : "would leave it where it is: see its "
                                    "constraints");
}

static void
check_all(plan *p)
{
    const cli_outlook *l = &p->l;
    const char *why = cli_outlook_obstacle(l, p->target);
    bool runs = l->record.state == QM_STATE_RUNNING;
    bool told = qm__told_get(l->told, p->target, QM_TOLD_FACTS, NULL) != NULL;
    uint64_t room = l->info.image_capacity;
    uint64_t wanted = l->needs->memory + l->needs->memory / 32;
    g_autofree char *has = cli_bytes(room);

    note(p, "resource", l->target->resource != NULL, "%s",
         l->target->resource != NULL ? l->target->resource
                                     : "not a resource of this cluster");
    note(p, "state", runs, "%s%s%s", qm_state_name(l->record.state),
         l->where != NULL ? " on " : "", l->where != NULL ? l->where : "");
    note(p, "target", why == NULL && g_strcmp0(p->target, l->where) != 0,
         "%s: %s", p->target,
         why != NULL                           ? why
         : g_strcmp0(p->target, l->where) == 0 ? "it runs there already"
         : told                                ? "it may run there"
                : "has told nothing of itself: no quickmigd there?");
    note(p, "vault", room >= wanted, "%s for the saved state%s", has,
         room >= wanted ? "" : ": too little for its memory");
    if (runs && l->target->resource != NULL)
        check_preview(p);
}

/* --- printing ------------------------------------------------------------ */

static void
print_script(const plan *p, GString *out)
{
    const char *r = p->l.target->resource, *n = p->target;

    g_string_append_printf(
        out,
        "#!/bin/sh\n"
        "# Moves %s to %s.\n"
        "set -e\n"
        "if command -v crm >/dev/null; then\n"
        "    crm resource move %s %s force\n"
        "    crm_resource --wait\n"
        "    crm resource clear %s\n"
        "else\n"
        "    pcs resource move-with-constraint %s %s\n"
        "    crm_resource --wait\n"
        "    pcs resource clear %s\n"
        "fi\n"
        "crm_resource --wait\n"
        "crm_resource --resource %s --locate | grep -q 'on: %s *$'\n",
        p->l.info.name, n, r, n, r, r, n, r, r, n);
}

static const char *
mode_text(const plan *p)
{
    if (p->forecast.quick)
        return "quick: the resource says so";
    if (g_strcmp0(p->l.mode, "live") == 0)
        return "live: the resource says so; quick where QEMU cannot";
    return "auto: live where QEMU can, else quick";
}

static void
print_others(const plan *p, GString *out)
{
    const GPtrArray *others = p->preview.others;

    if (others == NULL)
        g_string_append_printf(out, "  others:   not known%s%s\n",
                               p->blind != NULL ? ": " : "",
                               p->blind != NULL ? p->blind->message : "");
    else if (others->len == 0)
        g_string_append(out, "  others:   no other resource is touched\n");
    else
        for (guint i = 0; i < others->len; i++)
            g_string_append_printf(out, "  %-9s %s\n", i == 0 ? "others:" : "",
                                   (const char *) others->pdata[i]);
}

static const char *
origin(const cli_forecast *f)
{
    switch (f->from) {
    case CLI_FROM_NODES:
        return "the rate of the last images on both nodes";
    case CLI_FROM_LAST:
        return "as in its last move";
    default:
        return "a guess: nothing was measured yet";
    }
}

static void
print_text(const plan *p, GString *out)
{
    const cli_forecast *f = &p->forecast;
    g_autofree char *bytes = cli_bytes(f->bytes);
    g_autofree char *took = cli_duration(f->took_us);
    g_autofree char *pause = cli_duration(f->pause_us);
    g_autofree char *rate = cli_speed(f->rate, QM_S);

    g_string_append_printf(out, "%s: %s -> %s\n", p->l.info.name,
                           p->l.where != NULL ? p->l.where : "nowhere",
                           p->target);
    for (guint i = 0; i < p->checks->len; i++) {
        const check *c = &g_array_index(p->checks, check, i);

        g_string_append_printf(out, "  %-6s %-9s %s\n", c->ok ? "ok" : "FAILED",
                               c->what, c->text);
    }
    g_string_append_printf(
        out,
        "  mode:     %s\n"
        "  copy:     %s in %s, at %s (%s)\n"
        "  pause:    %s (%s)\n"
        "  storage:  through %s; its disks are handed over at the end\n",
        mode_text(p), bytes, took, rate, origin(f), pause,
        p->l.pause_us == 0 ? "a guess: it never was moved"
        : f->quick         ? "its last move's, at this rate"
                           : "as in its last move",
        p->l.target->vault);
    print_others(p, out);
}

static void
print_json(const plan *p, GString *out)
{
    g_autoptr(JsonBuilder) b = json_builder_new();

    json_builder_begin_object(b);
    cli_json_string(b, "vm", p->l.info.name);
    cli_json_string(b, "from", p->l.where);
    cli_json_string(b, "to", p->target);
    cli_json_bool(b, "possible", all_ok(p));
    json_builder_set_member_name(b, "checks");
    json_builder_begin_array(b);
    for (guint i = 0; i < p->checks->len; i++) {
        const check *c = &g_array_index(p->checks, check, i);

        json_builder_begin_object(b);
        cli_json_string(b, "check", c->what);
        cli_json_bool(b, "ok", c->ok);
        cli_json_string(b, "text", c->text);
        json_builder_end_object(b);
    }
    json_builder_end_array(b);
    cli_json_string(b, "mode", p->l.mode != NULL ? p->l.mode : "auto");
    cli_json_number(b, "bytes", p->forecast.bytes);
    cli_json_number(b, "rate", p->forecast.rate);
    cli_json_bool(b, "measured", p->forecast.from != CLI_FROM_NOTHING);
    cli_json_number(b, "expected_us", p->forecast.took_us);
    cli_json_number(b, "expected_pause_us", p->forecast.pause_us);
    cli_json_string(b, "vault", p->l.target->vault);
    json_builder_set_member_name(b, "others");
    if (p->preview.others == NULL) {
        json_builder_add_null_value(b);
    } else {
        json_builder_begin_array(b);
        for (guint i = 0; i < p->preview.others->len; i++)
            json_builder_add_string_value(b, p->preview.others->pdata[i]);
        json_builder_end_array(b);
    }
    json_builder_end_object(b);
    cli_json_print(b, out);
}

static bool
choose(plan *p, const cli_options *o, GError **error)
{
    p->target = o->args[1] != NULL ? o->args[1]
                                   : qm__told_best(p->l.told,
                                                   p->l.target->resource != NULL
                                                       ? p->l.target->resource
                                                       : "",
                                                   p->l.where);
    if (p->target != NULL &&
        g_strv_contains(qm__told_nodes(p->l.told), p->target))
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_NOT_FOUND, "%s",
                p->target != NULL ? "no node of this cluster has that name"
                                  : "no other node may have it: see quickmig "
                                    "hosts");
    return false;
}

/* @ret_ok: it can be done. */
static bool
make(plan *p, const cli_options *o, bool *ret_ok, GError **error)
{
    p->checks = g_array_new(FALSE, FALSE, sizeof(check));
    g_array_set_clear_func(p->checks, free_check);
    if (!cli_outlook_read(o, o->args[0], &p->l, error) || !choose(p, o, error))
        return false;
    check_all(p);
    cli_outlook_forecast(&p->l, p->target, &p->forecast);
    *ret_ok = all_ok(p);
    return true;
}

static void
clear(plan *p)
{
    g_array_unref(p->checks);
    cli_preview_clear(&p->preview);
    g_clear_error(&p->blind);
    cli_outlook_clear(&p->l);
}

static bool
refuse(const plan *p, const cli_options *o, GError **error)
{
    g_set_error(error, QM_ERROR, QM_ERROR_REFUSED,
                "%s cannot be moved to %s now", o->args[0], p->target);
    return false;
}

bool
cli_plan(const cli_options *o, GString *out, GError **error)
{
    plan p = {0};
    bool ok = false, made = make(&p, o, &ok, error);

    if (made) {
        if (o->json)
            print_json(&p, out);
        else if (o->script && ok)
            print_script(&p, out);
        else
            print_text(&p, out);
        if (!ok)
            (void) refuse(&p, o, error);
    }
    clear(&p);
    return ok;
}

bool
cli_plan_confirm(const cli_options *o, GError **error)
{
    plan p = {0};
    bool ok = false;

    if (make(&p, o, &ok, error)) {
        g_autoptr(GString) text = g_string_new(NULL);

        print_text(&p, text);
        g_printerr("%s", text->str);
        if (!ok) {
            (void) refuse(&p, o, error);
        } else if (!cli_ask("Move it?")) {
            g_set_error(error, QM_ERROR, QM_ERROR_REFUSED, "not confirmed");
            ok = false;
        }
    }
    clear(&p);
    return ok;
}
