/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Tables, units and JSON.  What is read from a vault was written by another
 * program: nothing in it may reach the terminal as anything but text.
 */
#include "config.h"
#include <string.h>
#include <uuid/uuid.h>
#include <quickmig/error.h>
#include "options.h"
#include "output.h"

#define GAP 2 /* spaces between columns */

struct cli_table {
    GPtrArray *rows; /* GStrv; the first is the header, when there is one */
    GArray *right;   /* bool, a column */
};

static void
free_row(gpointer row)
{
    g_strfreev(row);
}

cli_table *
cli_table_new(const char *header)
{
    cli_table *t = g_new0(cli_table, 1);
    GStrv titles;

    t->rows = g_ptr_array_new_with_free_func(free_row);
    t->right = g_array_new(FALSE, TRUE, sizeof(bool));
    if (header == NULL)
        return t;
    titles = g_strsplit(header, "|", -1);
    for (char **p = titles; *p != NULL; p++) {
        bool right = **p == '>';

        if (right)
            memmove(*p, *p + 1, strlen(*p));
        g_array_append_val(t->right, right);
    }
    g_ptr_array_add(t->rows, titles);
    return t;
}

void
cli_table_free(cli_table *t)
{
    if (t == NULL)
        return;
    g_ptr_array_unref(t->rows);
    g_array_unref(t->right);
    g_free(t);
}

static char *
clean(const char *text)
{
    char *valid = g_utf8_make_valid(text, -1);
    GString *out = g_string_new(NULL);

    for (const char *p = valid; *p != '\0'; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);

        g_string_append_unichar(out, g_unichar_isprint(c) ? c : '?');
    }
    g_free(valid);
    return g_string_free(out, FALSE);
}

void
cli_table_row(cli_table *t, ...)
{
    GPtrArray *cells = g_ptr_array_new();
    const char *cell;
    va_list ap;

    va_start(ap, t);
    while ((cell = va_arg(ap, const char *)) != NULL)
        g_ptr_array_add(cells, clean(cell));
    va_end(ap);
    g_ptr_array_add(cells, NULL);
    g_ptr_array_add(t->rows, g_ptr_array_free(cells, FALSE));
}

static glong
column_width(const cli_table *t, unsigned column)
{
    glong width = 0;

    for (guint i = 0; i < t->rows->len; i++) {
        GStrv row = t->rows->pdata[i];

        if (column < g_strv_length(row))
            width = MAX(width, g_utf8_strlen(row[column], -1));
    }
    return width;
}

static void
print_row(const cli_table *t, GStrv row, const glong *width, GString *out)
{
    unsigned n = g_strv_length(row);

    for (unsigned i = 0; i < n; i++) {
        glong pad = width[i] - g_utf8_strlen(row[i], -1);
        bool right = i < t->right->len && g_array_index(t->right, bool, i);

        if (right)
            g_string_append_printf(out, "%*s", (int) pad, "");
        g_string_append(out, row[i]);
        if (i + 1 < n)
            g_string_append_printf(out, "%*s", (int) (right ? 0 : pad) + GAP,
                                   "");
    }
    while (out->len > 0 && out->str[out->len - 1] == ' ')
        g_string_truncate(out, out->len - 1);
    g_string_append_c(out, '\n');
}

void
cli_table_print(const cli_table *t, GString *out)
{
    g_autoptr(GArray) width = g_array_new(FALSE, FALSE, sizeof(glong));
    unsigned columns = 0;

    for (guint i = 0; i < t->rows->len; i++)
        columns = MAX(columns, g_strv_length(t->rows->pdata[i]));
    for (unsigned i = 0; i < columns; i++) {
        glong w = column_width(t, i);

        g_array_append_val(width, w);
    }
    for (guint i = 0; i < t->rows->len; i++)
        print_row(t, t->rows->pdata[i], (const glong *) (void *) width->data,
                  out);
}

char *
cli_bytes(uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    double value = (double) bytes;
    int unit = -1;

    while (value >= 1024 && unit + 1 < (int) G_N_ELEMENTS(units)) {
        value /= 1024;
        unit++;
    }
    if (unit < 0)
        return g_strdup_printf("%u B", (unsigned) bytes);
    if (value < 10 && value != (double) (unsigned) value)
        return g_strdup_printf("%.1f %s", value, units[unit]);
    return g_strdup_printf("%.0f %s", value, units[unit]);
}

char *
cli_duration(uint64_t us)
{
    if (us == 0)
        return g_strdup("-");
    if (us < 1000)
        return g_strdup("<1 ms");
    if (us < 1000 * 1000)
        return g_strdup_printf("%u ms", (unsigned) (us / 1000));
    if (us < UINT64_C(100) * 1000 * 1000)
        return g_strdup_printf("%.1f s", (double) us / 1e6);
    return g_strdup_printf("%.0f s", (double) us / 1e6);
}

char *
cli_speed(uint64_t bytes, uint64_t duration_us)
{
    if (bytes == 0 || duration_us == 0)
        return g_strdup("-");
    /* bytes per µs = MB/s */
    return g_strdup_printf("%.0f MB/s", (double) bytes / (double) duration_us);
}

char *
cli_local_time(int64_t time_us)
{
    g_autoptr(GDateTime) t = g_date_time_new_from_unix_local(time_us / 1000000);

    if (time_us == 0 || t == NULL)
        return g_strdup("-");
    return g_date_time_format(t, "%Y-%m-%d %H:%M:%S");
}

void
cli_json_string(JsonBuilder *b, const char *key, const char *value)
{
    g_autofree char *valid =
        value != NULL ? g_utf8_make_valid(value, -1) : NULL;

    json_builder_set_member_name(b, key);
    if (valid == NULL)
        json_builder_add_null_value(b);
    else
        json_builder_add_string_value(b, valid);
}

void
cli_json_number(JsonBuilder *b, const char *key, uint64_t value)
{
    json_builder_set_member_name(b, key);
    json_builder_add_int_value(b, (gint64) MIN(value, (uint64_t) INT64_MAX));
}

void
cli_json_bool(JsonBuilder *b, const char *key, bool value)
{
    json_builder_set_member_name(b, key);
    json_builder_add_boolean_value(b, value);
}

void
cli_json_time(JsonBuilder *b, const char *key, int64_t time_us)
{
    g_autofree char *key_us = g_strconcat(key, "_us", NULL);
    g_autoptr(GDateTime) t = g_date_time_new_from_unix_utc(time_us / 1000000);
    g_autofree char *seconds =
        t != NULL ? g_date_time_format(t, "%Y-%m-%dT%H:%M:%S") : NULL;
    g_autofree char *text =
        seconds == NULL || time_us <= 0
            ? NULL
            : g_strdup_printf("%s.%06dZ", seconds, (int) (time_us % 1000000));

    cli_json_string(b, key, text);
    cli_json_number(b, key_us, time_us > 0 ? (uint64_t) time_us : 0);
}

void
cli_json_uuid(JsonBuilder *b, const char *key, const uint8_t *uuid)
{
    char text[UUID_STR_LEN];

    uuid_unparse_lower(uuid, text);
    cli_json_string(b, key, text);
}

bool
cli_has_owner(const qm_record *record)
{
    return record->state == QM_STATE_RUNNING ||
           record->state == QM_STATE_SAVING ||
           record->state == QM_STATE_RESTORING;
}

static const char *
node_name(const qm_node *node)
{
    return node->id != 0 ? node->name : NULL;
}

void
cli_json_record(JsonBuilder *b, const qm_record *record)
{
    cli_json_string(b, "state", qm_state_name(record->state));
    cli_json_string(b, "owner",
                    cli_has_owner(record) ? node_name(&record->owner) : NULL);
    cli_json_string(b, "last_owner", node_name(&record->owner));
    cli_json_number(b, "last_owner_id", record->owner.id);
    cli_json_string(b, "target", node_name(&record->target));
    cli_json_number(b, "generation", record->generation);
    cli_json_number(b, "sequence", record->sequence);
    cli_json_number(b, "image_id", record->image_id);
    cli_json_number(b, "image_length", record->image_length);
    cli_json_number(b, "failed_restores", record->failed_restores);
    cli_json_time(b, "since", record->time_us);
    cli_json_string(b, "cause", record->cause);
}

const char *
cli_error_code(const GError *error)
{
    if (error->domain == CLI_USAGE)
        return "usage";
    return error->domain == QM_ERROR ? qm_error_name(error->code) : "io";
}

void
cli_json_error(JsonBuilder *b, const char *key, const GError *error)
{
    json_builder_set_member_name(b, key);
    if (error == NULL) {
        json_builder_add_null_value(b);
        return;
    }
    json_builder_begin_object(b);
    cli_json_string(b, "code", cli_error_code(error));
    cli_json_string(b, "message", error->message);
    json_builder_end_object(b);
}

void
cli_json_print(JsonBuilder *b, GString *out)
{
    g_autoptr(JsonNode) root = json_builder_get_root(b);
    g_autofree char *text = json_to_string(root, TRUE);

    g_string_append(out, text);
    g_string_append_c(out, '\n');
}
