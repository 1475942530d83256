/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_CLI_OUTPUT_H
#define QM_CLI_OUTPUT_H

/*
 * What people and programs read: aligned tables and JSON, and the units in
 * both.
 */
#include <stdbool.h>
#include <stdint.h>
#include <json-glib/json-glib.h>
#include <quickmig/record.h>

/* --- tables --- */

typedef struct cli_table cli_table;

/*
 * @header: titles separated by '|', NULL: none.  A title that begins with '>'
 * (not printed) aligns its column to the right.
 */
cli_table *cli_table_new(const char *header);
/* One row; ends with NULL.  Missing cells are empty.  Control characters are
 * shown as '?': a cell never breaks the table or the terminal. */
void cli_table_row(cli_table *t, ...) G_GNUC_NULL_TERMINATED;
void cli_table_print(const cli_table *t, GString *out);
void cli_table_free(cli_table *t);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(cli_table, cli_table_free)

/* --- units, for people; the caller frees --- */

char *cli_bytes(uint64_t bytes);                       /* "1.5 GiB" */
char *cli_duration(uint64_t us);                       /* "20 ms"; 0: "-" */
char *cli_speed(uint64_t bytes, uint64_t duration_us); /* "312 MB/s"; "-" */
char *cli_local_time(int64_t time_us);                 /* 2026-11-23 06:21:07 */

/* Does the state have an owner (or is it only the last one)? */
bool cli_has_owner(const qm_record *record);

/* --- JSON --- */

void cli_json_string(JsonBuilder *b, const char *key, const char *value);
void cli_json_number(JsonBuilder *b, const char *key, uint64_t value);
void cli_json_bool(JsonBuilder *b, const char *key, bool value);
/* Adds KEY (RFC 3339, UTC) and KEY_us (since 1970). */
void cli_json_time(JsonBuilder *b, const char *key, int64_t time_us);
void cli_json_uuid(JsonBuilder *b, const char *key, const uint8_t *uuid);
/* The record's fields, as members of the object that is open. */
void cli_json_record(JsonBuilder *b, const qm_record *record);
/* {"code": …, "message": …}; null when @error is NULL. */
void cli_json_error(JsonBuilder *b, const char *key, const GError *error);
/* Ends the document and prints it. */
void cli_json_print(JsonBuilder *b, GString *out);

/* The code's name of @error, "usage" for the command line's. */
const char *cli_error_code(const GError *error);

#endif
