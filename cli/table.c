#include "cli/table.h"
#include <libsmartcols.h>
#include <math.h>
#include <stdlib.h>

struct PwTable {
  struct libscols_table *table;
  struct libscols_line *line;
  gsize column;
};

PwTable *
pw_table_new (const char *const *headings) {
  PwTable *table = g_new0 (PwTable, 1);
  table->table = scols_new_table ();
  g_assert (table->table);
  /* The same bytes for a terminal, a pipe and a test; nothing is cut. */
  scols_table_set_termforce (table->table, SCOLS_TERMFORCE_NEVER);
  scols_table_enable_noencoding (table->table, 1);
  scols_table_set_column_separator (table->table, "  ");
  for (int i = 0; headings[i]; i++)
    pw_table_add_column (table, headings[i]);
  return table;
}

void
pw_table_add_column (PwTable *table, const char *heading) {
  gboolean is_text = heading[0] == '<';
  scols_table_new_column (table->table, heading + is_text, 0, is_text ? 0 : SCOLS_FL_RIGHT);
}

void
pw_table_row (PwTable *table) {
  table->line = scols_table_new_line (table->table, NULL);
  table->column = 0;
}

void
pw_table_text (PwTable *table, const char *text) {
  scols_line_set_data (table->line, table->column++, text ? text : "");
}

void
pw_table_printf (PwTable *table, const char *format, ...) {
  va_list arguments;
  va_start (arguments, format);
  g_autofree char *text = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  pw_table_text (table, text);
}

void
pw_table_integer (PwTable *table, int64_t number) {
  pw_table_printf (table, "%" G_GINT64_FORMAT, number);
}

void
pw_table_time (PwTable *table, double time, gboolean unitless) {
  char text[PW_TEXT_MAX];
  pw_table_text (table, pw_format_time (time, unitless, text));
}

void
pw_table_bytes (PwTable *table, int64_t bytes) {
  char text[PW_TEXT_MAX];
  pw_table_text (table, pw_format_bytes (bytes, text));
}

void
pw_table_share (PwTable *table, double fraction) {
  char text[PW_TEXT_MAX];
  pw_table_text (table, pw_format_share (fraction, text));
}

void
pw_table_difference (PwTable *table, double fraction) {
  if (fabs (fraction) < 5e-5)
    pw_table_text (table, "0.00%");
  else
    pw_table_printf (table, "%+.2f%%", 100 * fraction);
}

void
pw_table_number (PwTable *table, double number) {
  pw_table_printf (table, "%.6g", number);
}

/* Without the spaces that the table puts behind a short last cell. */
void
pw_table_print (PwTable *table) {
  char *text = NULL;
  if (scols_print_table_to_string (table->table, &text) != 0 || !text)
    return;
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  free (text);
  for (int i = 0; lines[i] && (lines[i][0] || lines[i + 1]); i++)
    puts (g_strchomp (lines[i]));
}

void
pw_table_free (PwTable *table) {
  if (!table)
    return;
  scols_unref_table (table->table);
  g_free (table);
}

/* Three or four significant digits of a number below 1024. */
static int
decimals (double number) {
  double size = fabs (number);
  return size >= 99.95 ? 1 : size >= 9.995 ? 2 : 3;
}

static const char *
format_scaled (double number, const char *unit, char text[PW_TEXT_MAX]) {
  g_snprintf (text, PW_TEXT_MAX, "%.*f %s", decimals (number), number, unit);
  return text;
}

const char *
pw_format_time (double time, gboolean unitless, char text[PW_TEXT_MAX]) {
  double size = fabs (time);
  /* What is left over of a difference of equal sums is nothing. */
  if (unitless && size < 1e-9)
    time = 0;
  if (unitless || time == 0 || !isfinite (time)) {
    g_snprintf (text, PW_TEXT_MAX, "%.6g", time);
    return text;
  }
  if (size < 1e-6)
    return format_scaled (time * 1e9, "ns", text);
  if (size < 1e-3)
    return format_scaled (time * 1e6, "us", text);
  if (size < 1)
    return format_scaled (time * 1e3, "ms", text);
  return format_scaled (time, "s", text);
}

const char *
pw_format_bytes (int64_t bytes, char text[PW_TEXT_MAX]) {
  static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
  if (bytes < 1024) {
    g_snprintf (text, PW_TEXT_MAX, bytes == 0 ? "0" : "%d B", (int)bytes);
    return text;
  }
  double number = (double)bytes / 1024;
  gsize unit = 0;
  for (; number >= 1023.95 && unit + 1 < G_N_ELEMENTS (units); unit++)
    number /= 1024;
  return format_scaled (number, units[unit], text);
}

const char *
pw_format_share (double fraction, char text[PW_TEXT_MAX]) {
  double percent = fabs (fraction) < 5e-12 ? 0 : 100 * fraction;
  g_snprintf (text, PW_TEXT_MAX, "%.2f%%", percent);
  return text;
}

const char *
pw_format_count (double count, char text[PW_TEXT_MAX]) {
  static const char *const units[] = { "k", "M", "G", "T", "P", "E" };
  if (count < 10000) {
    g_snprintf (text, PW_TEXT_MAX, "%.0f", count);
    return text;
  }
  gsize unit = 0;
  for (count /= 1000; count >= 999.95 && unit + 1 < G_N_ELEMENTS (units); unit++)
    count /= 1000;
  return format_scaled (count, units[unit], text);
}

void
pw_print_fact (const char *name, const char *format, ...) {
  va_list arguments;
  va_start (arguments, format);
  g_autofree char *text = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  printf ("%-18s %s\n", name, text);
}
