/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * quickmig doctor: what is wrong with the installation, what it means, and
 * the command that mends it.  The exit code is the worst of it.
 */
#include "config.h"
#include <string.h>
#include "cli.h"
#include "doctor.h"

static cli_severity
worst_of(const GPtrArray *findings, const cli_check *check)
{
    cli_severity worst = CLI_FINE;

    for (guint i = 0; i < findings->len; i++) {
        const cli_finding *f = findings->pdata[i];

        if (check == NULL || f->check == check)
            worst = MAX(worst, f->severity);
    }
    return worst;
}

/* "skipped", "fine", or the worst that it found. */
static const char *
result_of(const cli_patient *p, const GPtrArray *findings,
          const cli_check *check)
{
    if (!cli_check_possible(p, check))
        return "skipped";
    return cli_severity_name(worst_of(findings, check));
}

static unsigned
count(const GPtrArray *findings, cli_severity severity)
{
    unsigned n = 0;

    for (guint i = 0; i < findings->len; i++)
        n += ((const cli_finding *) findings->pdata[i])->severity == severity;
    return n;
}

/* Nothing in it may reach the terminal as anything but text. */
static void
print_line(GString *out, const char *left, const char *right)
{
    g_autoptr(cli_table) t = cli_table_new(NULL);
    g_autofree char *cell = g_strdup_printf("%-8s", left);

    cli_table_row(t, cell, right, NULL);
    cli_table_print(t, out);
}

static void
print_finding(const cli_finding *f, GString *out)
{
    g_autofree char *text =
        g_strdup_printf("%s: %s: %s", f->check->name, f->subject, f->text);

    print_line(out, cli_severity_name(f->severity), text);
    if (f->mend != NULL) {
        g_autofree char *mend = g_strconcat("mend: ", f->mend, NULL);

        print_line(out, "", mend);
    }
}

static char *
summary(const GPtrArray *findings, unsigned skipped)
{
    unsigned errors = count(findings, CLI_ERROR);
    unsigned warnings = count(findings, CLI_WARNING);
    GString *text = g_string_new(NULL);

    g_string_append_printf(text, "%u error%s, %u warning%s", errors,
                           errors == 1 ? "" : "s", warnings,
                           warnings == 1 ? "" : "s");
    if (skipped > 0)
        g_string_append_printf(text, ", %u checks could not be made", skipped);
    return g_string_free(text, FALSE);
}

static void
print_text(const cli_options *o, const cli_patient *p,
           const GPtrArray *findings, unsigned skipped, GString *out)
{
    g_autofree char *total = summary(findings, skipped);

    for (int s = CLI_ERROR; s >= CLI_INFO; s--)
        for (guint i = 0; i < findings->len; i++) {
            const cli_finding *f = findings->pdata[i];

            if ((int) f->severity == s)
                print_finding(f, out);
        }
    for (size_t i = 0; o->all && i < cli_n_checks; i++)
        if (worst_of(findings, &cli_checks[i]) == CLI_FINE) {
            g_autofree char *text = g_strdup_printf(
                "%s: %s", cli_checks[i].name, cli_checks[i].meaning);

            print_line(out, result_of(p, findings, &cli_checks[i]), text);
        }
    g_string_append_printf(out, "%zu checks: %s\n", cli_n_checks, total);
}

static void
print_json(const cli_patient *p, const GPtrArray *findings, unsigned skipped,
           GString *out)
{
    g_autoptr(JsonBuilder) b = json_builder_new();

    json_builder_begin_object(b);
    cli_json_string(b, "worst", cli_severity_name(worst_of(findings, NULL)));
    cli_json_number(b, "errors", count(findings, CLI_ERROR));
    cli_json_number(b, "warnings", count(findings, CLI_WARNING));
    cli_json_number(b, "skipped", skipped);
    json_builder_set_member_name(b, "checks");
    json_builder_begin_array(b);
    for (size_t i = 0; i < cli_n_checks; i++) {
        json_builder_begin_object(b);
        cli_json_string(b, "name", cli_checks[i].name);
        cli_json_string(b, "meaning", cli_checks[i].meaning);
        cli_json_string(b, "result", result_of(p, findings, &cli_checks[i]));
        json_builder_end_object(b);
    }
    json_builder_end_array(b);
    json_builder_set_member_name(b, "findings");
    json_builder_begin_array(b);
    for (guint i = 0; i < findings->len; i++) {
        const cli_finding *f = findings->pdata[i];

        json_builder_begin_object(b);
        cli_json_string(b, "check", f->check->name);
        cli_json_string(b, "severity", cli_severity_name(f->severity));
        cli_json_string(b, "subject", f->subject);
        cli_json_string(b, "text", f->text);
        cli_json_string(b, "mend", f->mend);
        json_builder_end_object(b);
    }
    json_builder_end_array(b);
    json_builder_end_object(b);
    cli_json_print(b, out);
}

static bool
judge(const GPtrArray *findings, unsigned skipped, GError **error)
{
    cli_severity worst = worst_of(findings, NULL);
    g_autofree char *total = summary(findings, skipped);

    if (worst < CLI_WARNING)
        return true;
    g_set_error(error, CLI_FINDINGS,
                worst == CLI_ERROR ? CLI_EXIT_ERRORS : CLI_EXIT_WARNINGS,
                "doctor: %s", total);
    return false;
}

bool
cli_doctor(const cli_options *o, GString *out, GError **error)
{
    g_autoptr(GPtrArray) findings = NULL;
    cli_patient patient = {0};
    unsigned skipped;
    bool ok;

    cli_patient_gather(o, &patient);
    findings = cli_examine(&patient, &skipped);
    if (o->json)
        print_json(&patient, findings, skipped, out);
    else
        print_text(o, &patient, findings, skipped, out);
    ok = judge(findings, skipped, error);
    cli_patient_clear(&patient);
    return ok;
}
