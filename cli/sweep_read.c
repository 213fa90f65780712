/* The rows of a whole sweep from its CSV, to be drawn. */
#include "cli/output.h"
#include "cli/sweep_private.h"
#include <stdlib.h>
#include <string.h>

#define FIRST_AXIS 3  /* behind sweep, point, points */
#define AFTER_AXES 13 /* in PW_SWEEP_COLUMNS */

/* The fields of one line; RFC 4180, no line breaks. */
static GPtrArray *
split_line (const char *line) {
  GPtrArray *fields = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GString) field = g_string_new (NULL);
  gboolean is_quoted = FALSE;
  for (;; line++) {
    if (*line == '"' && is_quoted && line[1] == '"')
      g_string_append_c (field, *++line);
    else if (*line == '"')
      is_quoted = !is_quoted;
    else if (*line == '\0' || (*line == ',' && !is_quoted)) {
      g_ptr_array_add (fields, g_strdup (field->str));
      g_string_truncate (field, 0);
      if (*line == '\0')
        return fields;
    } else
      g_string_append_c (field, *line);
  }
}

static const char *
field_of (const GPtrArray *fields, guint i) {
  return i < fields->len ? fields->pdata[i] : "";
}

/* In the order of what append_row wrote. */
static void
read_row (const GPtrArray *fields, guint at, PwSweepRow *row) {
  row->is_done = TRUE;
  row->schedule = g_strdup (field_of (fields, at));
  row->has_figures = *field_of (fields, at + 1) != '\0';
  row->ranks = atoi (field_of (fields, at + 1));
  row->stages = atoi (field_of (fields, at + 2));
  row->microbatches = atoi (field_of (fields, at + 3));
  double *const figures[]
      = { &row->iteration_time, &row->ideal_time,        &row->bubble_fraction,
          &row->bubble_ratio,   &row->longest_rank_span, &row->peak_activations };
  for (guint i = 0; i < G_N_ELEMENTS (figures); i++)
    *figures[i] = g_ascii_strtod (field_of (fields, at + 4 + i), NULL);
  row->peak_memory_bytes = g_ascii_strtoll (field_of (fields, at + 10), NULL, 10);
  row->throughput = g_ascii_strtod (field_of (fields, at + 11), NULL);
  row->is_unitless = row->peak_memory_bytes == 0; /* a plan's ranks hold something */
  const char *error = field_of (fields, at + 12);
  row->error = *error ? g_strdup (error) : NULL;
}

/* An axis has its values in the order in which the grid comes to them. */
static void
add_axis (PwSweep *sweep, const char *name, GPtrArray *const *rows, int64_t n, guint column) {
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GPtrArray) values = g_ptr_array_new ();
  for (int64_t i = 0; i < n; i++) {
    const char *value = field_of (rows[i], column);
    if (g_hash_table_add (seen, (gpointer)value))
      g_ptr_array_add (values, (gpointer)value);
  }
  g_ptr_array_add (values, NULL);
  g_ptr_array_add (sweep->axes, pw_sweep_axis_new (name, (const char *const *)values->pdata));
}

gboolean
pw__sweep_read (PwSweep *sweep, const char *header, GPtrArray *lines, GError **error) {
  g_autoptr (GPtrArray) names = split_line (header);
  g_autoptr (GPtrArray) rows = g_ptr_array_new_with_free_func ((GDestroyNotify)g_ptr_array_unref);
  for (guint i = 0; i < lines->len; i++)
    g_ptr_array_add (rows, split_line (lines->pdata[i]));
  guint n_axes = names->len > FIRST_AXIS + AFTER_AXES ? names->len - FIRST_AXIS - AFTER_AXES : 0;
  sweep->run.points = sweep->n = lines->len;
  sweep->run.shard = (PwSweepShard){ 1, 1 };
  for (guint i = 0; i < n_axes; i++) {
    const char *name = field_of (names, FIRST_AXIS + i);
    name += g_str_has_prefix (name, "vary.") ? strlen ("vary.") : 0;
    add_axis (sweep, name, (GPtrArray *const *)rows->pdata, sweep->n, FIRST_AXIS + i);
  }
  if (n_axes == 0 || !g_str_has_suffix (header, PW_SWEEP_COLUMNS)
      || pw_sweep_points (sweep->axes, NULL) != sweep->n)
    return pw_input_fail (error, "these rows are no grid that could be drawn");
  sweep->rows = g_new0 (PwSweepRow, (gsize)sweep->n + 1);
  for (guint i = 0; i < lines->len; i++)
    read_row (rows->pdata[i], FIRST_AXIS + n_axes, &sweep->rows[i]);
  return TRUE;
}
