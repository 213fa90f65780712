/* Tables for people, and the one way in which times, bytes and shares are written. */
#pragma once
#include <glib.h>
#include <stdint.h>

/* A table is filled row by row, cell by cell, then printed. Headings that start with '<' have text
 * below them, aligned to the left; the others numbers, to the right. */
typedef struct PwTable PwTable;
PwTable *pw_table_new (const char *const *headings);            /* NULL-terminated */
void pw_table_add_column (PwTable *table, const char *heading); /* before the first row */
void pw_table_row (PwTable *table);
void pw_table_text (PwTable *table, const char *text); /* NULL: an empty cell */
void pw_table_printf (PwTable *table, const char *format, ...) G_GNUC_PRINTF (2, 3);
void pw_table_integer (PwTable *table, int64_t number);
void pw_table_time (PwTable *table, double time, gboolean unitless);
void pw_table_bytes (PwTable *table, int64_t bytes);
void pw_table_share (PwTable *table, double fraction);
void pw_table_difference (PwTable *table, double fraction); /* "+1.25%", "0.00%" */
void pw_table_number (PwTable *table, double number);
/* Prints to standard output. */
void pw_table_print (PwTable *table);
void pw_table_free (PwTable *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwTable, pw_table_free)

#define PW_TEXT_MAX 40
/* "12.3 ms", "40.2 us", "1.05 s"; unitless: up to six significant digits. */
const char *pw_format_time (double time, gboolean unitless, char text[PW_TEXT_MAX]);
const char *pw_format_bytes (int64_t bytes, char text[PW_TEXT_MAX]);   /* "1.50 GiB" */
const char *pw_format_share (double fraction, char text[PW_TEXT_MAX]); /* "27.3%" */
/* "1.02 T", "175 G": of counts too large to read. */
const char *pw_format_count (double count, char text[PW_TEXT_MAX]);

/* A line "iteration time   33" of the block above a table. */
void pw_print_fact (const char *name, const char *format, ...) G_GNUC_PRINTF (2, 3);
