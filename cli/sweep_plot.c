#include "cli/sweep_private.h"
#include "plots/plot.h"
#include <math.h>

/* What may be drawn against what. */
static const struct {
  const char *name, *label;
  gsize offset;
  gboolean is_bytes;
} figures[] = {
  { "iteration_time", "iteration time", G_STRUCT_OFFSET (PwSweepRow, iteration_time), FALSE },
  { "bubble_fraction", "bubble fraction", G_STRUCT_OFFSET (PwSweepRow, bubble_fraction), FALSE },
  { "bubble_ratio", "bubble ratio", G_STRUCT_OFFSET (PwSweepRow, bubble_ratio), FALSE },
  { "peak_activations", "peak activations (micro-batches)",
    G_STRUCT_OFFSET (PwSweepRow, peak_activations), FALSE },
  { "peak_memory_bytes", "peak memory (GiB)", G_STRUCT_OFFSET (PwSweepRow, peak_memory_bytes),
    TRUE },
  { "throughput", "throughput", G_STRUCT_OFFSET (PwSweepRow, throughput), FALSE },
};

static int
find_axis (const PwSweep *sweep, const char *name) {
  for (guint i = 0; i < sweep->axes->len; i++)
    if (name ? g_str_equal (pw__sweep_axis (sweep, i)->name, name)
             : pw__sweep_axis (sweep, i)->numbers != NULL)
      return (int)i;
  return -1;
}

/* Of a plan; else of synthetic costs. */
static gboolean
has_units (const PwSweep *sweep) {
  for (int64_t i = 0; i < sweep->n; i++)
    if (sweep->rows[i].has_figures)
      return !sweep->rows[i].is_unitless;
  return TRUE;
}

/* What people look at against this. */
static const char *
figure_for (const PwSweep *sweep, const char *x) {
  if (g_str_equal (x, "microbatches"))
    return "bubble_fraction";
  if (g_str_equal (x, "ranks"))
    return has_units (sweep) ? "peak_memory_bytes" : "peak_activations";
  return "iteration_time";
}

static int
find_figure (const char *name) {
  for (int i = 0; i < (int)G_N_ELEMENTS (figures); i++)
    if (g_str_equal (figures[i].name, name))
      return i;
  return -1;
}

gboolean
pw__sweep_check_plot (const PwSweep *sweep, const char *x, const char *y, GError **error) {
  int axis = find_axis (sweep, x);
  if (axis < 0 && x)
    return pw_usage_fail (error, "--x: \"%s\" is not varied", x);
  if (axis < 0)
    return pw_usage_fail (error, "--plot: no number is varied to draw against");
  if (!pw__sweep_axis (sweep, (guint)axis)->numbers)
    return pw_usage_fail (error, "--x: the values of %s are no numbers", x);
  if (!y || find_figure (y) >= 0)
    return TRUE;
  const char *names[G_N_ELEMENTS (figures) + 1] = { NULL };
  for (gsize i = 0; i < G_N_ELEMENTS (figures); i++)
    names[i] = figures[i].name;
  g_autofree char *all = g_strjoinv (", ", (char **)names);
  return pw_usage_fail (error, "--y: \"%s\" is none of %s", y, all);
}

static double
figure_of (const PwSweepRow *row, int figure) {
  gconstpointer at = (const char *)row + figures[figure].offset;
  return figures[figure].is_bytes ? (double)*(const int64_t *)at / (1 << 30) : *(const double *)at;
}

/* The values of all axes but X, as the name of a line. */
static char *
line_label (const PwSweep *sweep, int64_t place, int x) {
  g_autoptr (GString) label = g_string_new (NULL);
  for (guint i = 0; i < sweep->axes->len; i++)
    if ((int)i != x)
      g_string_append_printf (
          label, "%s%s%s%s", label->len > 0 ? ", " : "",
          pw__sweep_axis (sweep, i)->numbers ? pw__sweep_axis (sweep, i)->name : "",
          pw__sweep_axis (sweep, i)->numbers ? " " : "", pw__sweep_value (sweep, place, i));
  return g_string_free (g_steal_pointer (&label), FALSE);
}

typedef struct {
  char *label;
  GArray *x, *y; /* double */
  gboolean is_cloud;
} Line;

static void
line_clear (gpointer data) {
  Line *line = data;
  g_free (line->label);
  g_array_unref (line->x);
  g_array_unref (line->y);
}

static Line *
line_named (GArray *lines, const char *label) {
  for (guint i = 0; i < lines->len; i++)
    if (g_str_equal (g_array_index (lines, Line, i).label, label))
      return &g_array_index (lines, Line, i);
  Line line = { .label = g_strdup (label),
                .x = g_array_new (FALSE, FALSE, sizeof (double)),
                .y = g_array_new (FALSE, FALSE, sizeof (double)) };
  g_array_append_val (lines, line);
  return &g_array_index (lines, Line, lines->len - 1);
}

static void
add_point (Line *line, double x, double y) {
  g_array_append_val (line->x, x);
  g_array_append_val (line->y, y);
}

static gboolean
draw (const GArray *lines, const char *x_label, const char *y_label, gboolean log_x,
      const char *title, const char *path, GError **error) {
  g_autofree PwPlotSeries *series = g_new0 (PwPlotSeries, lines->len + 1);
  for (guint i = 0; i < lines->len; i++) {
    const Line *line = &g_array_index (lines, Line, i);
    series[i] = (PwPlotSeries){ .label = line->label,
                                .is_cloud = line->is_cloud,
                                .n = (int)line->x->len,
                                .x = (const double *)(gpointer)line->x->data,
                                .y = (const double *)(gpointer)line->y->data };
  }
  const PwPlotOptions options = { .output = path, .title = title };
  return pw_plot_series (series, (int)lines->len, x_label, y_label, log_x, &options, NULL, error);
}

static void
add_combination (Line *line, const PwSweepRow *row) {
  double memory = pw__sweep_memory (row);
  add_point (line, row->is_unitless ? memory : memory / (1 << 30), 1 / row->throughput);
}

static gboolean
draw_front (const PwSweep *sweep, const char *path, GError **error) {
  g_autoptr (GArray) lines = g_array_new (FALSE, TRUE, sizeof (Line));
  g_array_set_clear_func (lines, line_clear);
  int64_t n;
  g_autofree int64_t *places = pw__sweep_front_places (sweep, &n);
  for (int64_t k = 0; k < n; k++)
    add_combination (line_named (lines, "Pareto front"), &sweep->rows[places[k]]);
  g_autofree gboolean *front = pw__sweep_front (sweep);
  for (int64_t i = 0; i < sweep->n; i++)
    if (sweep->rows[i].has_figures && sweep->rows[i].throughput > 0 && !front[i]) {
      Line *line = line_named (lines, sweep->rows[i].error ? "above the limit" : "beaten");
      line->is_cloud = TRUE;
      add_combination (line, &sweep->rows[i]);
    }
  gboolean units = has_units (sweep);
  return draw (lines, units ? "peak memory (GiB)" : "peak activations (micro-batches)",
               units ? "time per sample (s)" : "time per micro-batch", FALSE,
               "Time against memory: nothing beats the front in both", path, error);
}

gboolean
pw__sweep_plot (const PwSweep *sweep, const char *path, const char *x, const char *y,
                gboolean pareto, GError **error) {
  if (pareto)
    return draw_front (sweep, path, error);
  int axis = find_axis (sweep, x);
  const PwSweepAxis *along = pw__sweep_axis (sweep, (guint)axis);
  int figure = find_figure (y ? y : figure_for (sweep, along->name));
  g_autoptr (GArray) lines = g_array_new (FALSE, TRUE, sizeof (Line));
  g_array_set_clear_func (lines, line_clear);
  double least = INFINITY, most = -INFINITY;
  for (int64_t i = 0; i < sweep->n; i++) {
    if (!sweep->rows[i].has_figures)
      continue;
    int64_t point = pw__sweep_point (sweep, i);
    double number = along->numbers[pw_sweep_index (sweep->axes, point, axis)];
    g_autofree char *label = line_label (sweep, i, axis);
    add_point (line_named (lines, label), number, figure_of (&sweep->rows[i], figure));
    least = fmin (least, number);
    most = fmax (most, number);
  }
  g_autofree char *title = g_strdup_printf ("%s against %s", figures[figure].label, along->name);
  return draw (lines, along->name, figures[figure].label, least > 0 && most >= 8 * least, title,
               path, error);
}
