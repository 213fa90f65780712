#include "cli/output.h"
#include "cli/sweep_private.h"
#include "cli/table.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *
pw__sweep_value (const PwSweep *sweep, int64_t place, guint axis) {
  int64_t point = pw__sweep_point (sweep, place);
  return pw__sweep_axis (sweep, axis)->values[pw_sweep_index (sweep->axes, point, (int)axis)];
}

/* ---- Best and front ---- */

static gboolean
is_usable (const PwSweepRow *row) {
  return row->is_done && row->has_figures && !row->error;
}

int64_t
pw__sweep_best (const PwSweep *sweep) {
  int64_t best = -1;
  for (int64_t i = 0; i < sweep->n; i++) {
    const PwSweepRow *row = &sweep->rows[i], *known = best < 0 ? NULL : &sweep->rows[best];
    if (!is_usable (row))
      continue;
    double tolerance = known ? 1e-9 * known->throughput : 0;
    if (!known || row->throughput > known->throughput + tolerance
        || (row->throughput >= known->throughput - tolerance
            && pw__sweep_memory (row) < pw__sweep_memory (known)))
      best = i;
  }
  return best;
}

static int
compare_front (gconstpointer a, gconstpointer b, gpointer data) {
  const PwSweep *sweep = data;
  int64_t i = *(const int64_t *)a, j = *(const int64_t *)b;
  const PwSweepRow *x = &sweep->rows[i], *y = &sweep->rows[j];
  if (pw__sweep_memory (x) != pw__sweep_memory (y))
    return pw__sweep_memory (x) < pw__sweep_memory (y) ? -1 : 1;
  if (x->throughput != y->throughput)
    return x->throughput > y->throughput ? -1 : 1;
  return (i > j) - (i < j);
}

/* By memory, then speed: a place is on the front if it is faster than all before it. */
int64_t *
pw__sweep_front_places (const PwSweep *sweep, int64_t *n) {
  int64_t *places = g_new (int64_t, (gsize)sweep->n + 1);
  int64_t usable = 0;
  for (int64_t i = 0; i < sweep->n; i++)
    if (is_usable (&sweep->rows[i]))
      places[usable++] = i;
  g_qsort_with_data (places, (int)usable, sizeof *places, compare_front, (gpointer)sweep);
  double fastest = -INFINITY;
  *n = 0;
  for (int64_t k = 0; k < usable; k++)
    if (sweep->rows[places[k]].throughput > fastest) {
      fastest = sweep->rows[places[k]].throughput;
      places[(*n)++] = places[k];
    }
  return places;
}

gboolean *
pw__sweep_front (const PwSweep *sweep) {
  gboolean *front = g_new0 (gboolean, (gsize)sweep->n + 1);
  int64_t n;
  g_autofree int64_t *places = pw__sweep_front_places (sweep, &n);
  for (int64_t k = 0; k < n; k++)
    front[places[k]] = TRUE;
  return front;
}

/* ---- Table ---- */

static PwTable *
table_new (const PwSweep *sweep, gboolean has_memory, gboolean is_unitless) {
  static const char *const none[] = { NULL };
  PwTable *table = pw_table_new (none);
  for (guint i = 0; i < sweep->axes->len; i++) {
    const PwSweepAxis *axis = pw__sweep_axis (sweep, i);
    g_autofree char *heading = g_strconcat (axis->numbers ? "" : "<", axis->name, NULL);
    pw_table_add_column (table, heading);
  }
  static const char *const headings[] = { "iteration", "bubble", "activations" };
  for (gsize i = 0; i < G_N_ELEMENTS (headings); i++)
    pw_table_add_column (table, headings[i]);
  if (has_memory)
    pw_table_add_column (table, "memory peak");
  pw_table_add_column (table, is_unitless ? "micro-batches/unit" : "samples/s");
  pw_table_add_column (table, "<");
  return table;
}

static void
print_row (PwTable *table, const PwSweep *sweep, int64_t place, gboolean has_memory,
           const char *mark) {
  const PwSweepRow *row = &sweep->rows[place];
  pw_table_row (table);
  for (guint i = 0; i < sweep->axes->len; i++)
    pw_table_text (table, pw__sweep_value (sweep, place, i));
  if (!row->has_figures) {
    for (int i = 0; i < 4 + has_memory; i++)
      pw_table_text (table, "-");
    pw_table_text (table, row->error);
    return;
  }
  pw_table_time (table, row->iteration_time, row->is_unitless);
  pw_table_share (table, row->bubble_fraction);
  pw_table_number (table, row->peak_activations);
  if (has_memory)
    pw_table_bytes (table, row->peak_memory_bytes);
  pw_table_number (table, row->throughput);
  pw_table_text (table, row->error ? row->error : mark);
}

static void
print_best (const PwSweep *sweep, int64_t best) {
  g_autoptr (GString) text = g_string_new (NULL);
  for (guint i = 0; i < sweep->axes->len; i++)
    g_string_append_printf (text, "%s%s %s", i > 0 ? ", " : "", pw__sweep_axis (sweep, i)->name,
                            pw__sweep_value (sweep, best, i));
  pw_print_fact ("best", "%s", text->str);
}

void
pw__sweep_print (const PwSweep *sweep, int64_t done, int64_t max_rows, gboolean pareto) {
  int64_t best = pw__sweep_best (sweep), refused = 0;
  gboolean has_memory = FALSE, is_unitless = sweep->plan == NULL;
  for (int64_t i = 0; i < sweep->n; i++) {
    has_memory = has_memory || sweep->rows[i].peak_memory_bytes > 0;
    refused += sweep->rows[i].error != NULL;
  }
  pw_print_fact ("points", "%" G_GINT64_FORMAT "%s", done, done < sweep->n ? ", interrupted" : "");
  if (refused > 0)
    pw_print_fact ("of no use", "%" G_GINT64_FORMAT, refused);
  if (best >= 0)
    print_best (sweep, best);
  puts ("");
  g_autofree gboolean *front = pw__sweep_front (sweep);
  g_autoptr (PwTable) table = table_new (sweep, has_memory, is_unitless);
  int64_t shown = 0, left = 0;
  for (int64_t i = 0; i < sweep->n; i++) {
    if (!sweep->rows[i].is_done || (pareto && !front[i]))
      continue;
    if (max_rows > 0 && shown >= max_rows) {
      left++;
      continue;
    }
    print_row (table, sweep, i, has_memory,
               i == best             ? "best"
               : pareto || !front[i] ? NULL
                                     : "front");
    shown++;
  }
  pw_table_print (table);
  if (left > 0)
    printf ("\n%" G_GINT64_FORMAT " more rows: --rows 0 shows all, --csv FILE writes them\n", left);
}

/* ---- JSON and CSV ---- */

static json_t *
row_json (const PwSweep *sweep, int64_t place, gboolean is_front) {
  const PwSweepRow *row = &sweep->rows[place];
  json_t *object = json_object (), *vary = json_object ();
  json_object_set_new (object, "point", json_integer (pw__sweep_point (sweep, place)));
  for (guint i = 0; i < sweep->axes->len; i++)
    json_object_set_new (vary, pw__sweep_axis (sweep, i)->name,
                         pw__sweep_json_value (pw__sweep_value (sweep, place, i)));
  json_object_set_new (object, "vary", vary);
  if (row->has_figures) {
    json_object_set_new (object, "schedule", json_string (row->schedule));
    json_object_set_new (object, "ranks", json_integer (row->ranks));
    json_object_set_new (object, "stages", json_integer (row->stages));
    json_object_set_new (object, "microbatches", json_integer (row->microbatches));
    json_object_set_new (object, "iteration_time", pw_output_number (row->iteration_time));
    json_object_set_new (object, "ideal_time", pw_output_number (row->ideal_time));
    json_object_set_new (object, "bubble_fraction", pw_output_number (row->bubble_fraction));
    json_object_set_new (object, "bubble_ratio", pw_output_number (row->bubble_ratio));
    json_object_set_new (object, "longest_rank_span", pw_output_number (row->longest_rank_span));
    json_object_set_new (object, "peak_activations", pw_output_number (row->peak_activations));
    json_object_set_new (object, "peak_memory_bytes", json_integer (row->peak_memory_bytes));
    json_object_set_new (object, "throughput", pw_output_number (row->throughput));
    json_object_set_new (object, "pareto", json_boolean (is_front));
  }
  if (row->error)
    json_object_set_new (object, "error", json_string (row->error));
  return object;
}

void
pw__sweep_print_json (const PwSweep *sweep, int64_t done, double wall_seconds) {
  json_t *object = json_object (), *rows = json_array ();
  int64_t best = pw__sweep_best (sweep);
  g_autofree gboolean *front = pw__sweep_front (sweep);
  for (int64_t i = 0; i < sweep->n; i++)
    if (sweep->rows[i].is_done)
      json_array_append_new (rows, row_json (sweep, i, front[i]));
  json_object_set_new (object, "points", json_integer (sweep->run.points));
  json_object_set_new (object, "done", json_integer (done));
  json_object_set_new (object, "best",
                       best < 0 ? json_null () : json_integer (pw__sweep_point (sweep, best)));
  if (wall_seconds >= 0)
    json_object_set_new (object, "wall_seconds", pw_output_number (wall_seconds));
  json_object_set_new (object, "rows", rows);
  pw_output_json (object);
}

/* RFC 4180: quotes where something would be misread. */
static void
append_text (GString *csv, const char *text) {
  g_string_append_c (csv, ',');
  if (!text)
    return;
  if (!strpbrk (text, ",\"\r\n")) {
    g_string_append (csv, text);
    return;
  }
  g_auto (GStrv) parts = g_strsplit (text, "\"", -1);
  g_autofree char *doubled = g_strjoinv ("\"\"", parts);
  g_string_append_printf (csv, "\"%s\"", g_strdelimit (doubled, "\r\n", ' '));
}

static void
append_row (GString *csv, const PwSweep *sweep, int64_t place) {
  const PwSweepRow *row = &sweep->rows[place];
  g_string_append_printf (csv, "%s,%" G_GINT64_FORMAT ",%" G_GINT64_FORMAT, sweep->id,
                          pw__sweep_point (sweep, place), sweep->run.points);
  for (guint i = 0; i < sweep->axes->len; i++)
    append_text (csv, pw__sweep_value (sweep, place, i));
  append_text (csv, row->schedule);
  if (row->has_figures)
    g_string_append_printf (
        csv, ",%d,%d,%d,%.17g,%.17g,%.17g,%.17g,%.17g,%.17g,%" G_GINT64_FORMAT ",%.17g", row->ranks,
        row->stages, row->microbatches, row->iteration_time, row->ideal_time, row->bubble_fraction,
        row->bubble_ratio, row->longest_rank_span, row->peak_activations, row->peak_memory_bytes,
        row->throughput);
  else
    g_string_append (csv, ",,,,,,,,,,,");
  append_text (csv, row->error);
  g_string_append_c (csv, '\n');
}

gboolean
pw__sweep_write_csv (const PwSweep *sweep, const char *path, GError **error) {
  g_autoptr (GString) csv = g_string_new ("sweep,point,points");
  for (guint i = 0; i < sweep->axes->len; i++) {
    g_autofree char *heading = g_strconcat ("vary.", pw__sweep_axis (sweep, i)->name, NULL);
    append_text (csv, heading);
  }
  g_string_append (csv, PW_SWEEP_COLUMNS "\n");
  for (int64_t i = 0; i < sweep->n; i++)
    if (sweep->rows[i].is_done)
      append_row (csv, sweep, i);
  return pw_output_text (path, csv->str, error);
}
