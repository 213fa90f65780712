/* One curve per rank, of up to eight ranks; of more, eight spread evenly over the pipeline. */
#include "plots/timeline_private.h"

#include <math.h>

#define CURVES_MAX 8

static int64_t
total (const PwTraceMemory *sample) {
  int64_t bytes = 0;
  for (int c = 0; c < PW_MEMORY_N; c++)
    bytes += sample->bytes[c];
  return bytes;
}

gboolean
pw__memory_has (const PwPlotPanel *panel) {
  return panel->trace->memory->len > 0;
}

/* PEAKS[COLUMNS]: the largest use of RANK within each column of the panel's time, so that a step
 * narrower than a column still shows; -1 before the first sample. */
static void
fill_peaks (const PwPlotPanel *panel, int rank, int64_t *peaks, int columns) {
  const GArray *memory = panel->trace->memory;
  for (int x = 0; x < columns; x++)
    peaks[x] = -1;
  for (guint i = 0; i < memory->len; i++) {
    const PwTraceMemory *sample = &g_array_index (memory, PwTraceMemory, i);
    if (sample->rank != rank)
      continue;
    gboolean is_last = i + 1 == memory->len || sample[1].rank != rank;
    double from = (sample->time - panel->origin) / panel->span;
    double to = is_last ? 1 : (sample[1].time - panel->origin) / panel->span;
    if (to < 0 || from >= 1)
      continue;
    int64_t bytes = total (sample);
    for (int x = (int)(MAX (from, 0) * columns); x < MIN (to, 1) * columns; x++)
      peaks[x] = MAX (peaks[x], bytes);
  }
}

static void
add_point (GString *to, double x, double y) {
  pw__gnuplot_add_number (to, x);
  g_string_append_c (to, ' ');
  pw__gnuplot_add_number (to, y);
  g_string_append_c (to, '\n');
}

static void
add_curve (PwGnuplot *plot, const PwPlotPanel *panel, int rank, int columns, PwPlotUnit time,
           PwPlotUnit bytes) {
  g_autofree int64_t *peaks = g_new (int64_t, (gsize)columns);
  fill_peaks (panel, rank, peaks, columns);
  pw__gnuplot_add (plot, "$memory%d << EOD\n", rank);
  int64_t last = -1;
  for (int x = 0; x < columns; x++) {
    if (peaks[x] >= 0 && peaks[x] != last)
      add_point (plot->script, panel->span * time.factor * x / columns,
                 (double)peaks[x] * bytes.factor);
    last = peaks[x];
  }
  add_point (plot->script, panel->span * time.factor, (double)MAX (last, 0) * bytes.factor);
  pw__gnuplot_add (plot, "EOD\n");
}

static double
largest_use (const PwPlotPanel *panel) {
  double largest = 0;
  for (int r = 0; r < panel->ranks; r++)
    largest = MAX (largest, (double)panel->summary->ranks[r].peak_memory_bytes);
  return largest;
}

void
pw__memory_add (PwGnuplot *plot, const PwPlotPanel *panel, const char *name, double span, int left,
                int right, double y) {
  int n = MIN (panel->ranks, CURVES_MAX);
  double largest = largest_use (panel);
  PwPlotUnit bytes = pw__plot_bytes_unit (largest);
  PwPlotUnit time = pw__plot_time_unit (span, panel->trace->info.unitless);
  int ranks[CURVES_MAX];
  for (int i = 0; i < n; i++) {
    ranks[i] = n > 1 ? (int)lrint ((double)i * (panel->ranks - 1) / (n - 1)) : 0;
    add_curve (plot, panel, ranks[i], right - left, time, bytes);
  }
  pw__gnuplot_add (plot, "set yrange [0:");
  pw__gnuplot_add_number (plot->script, MAX (1e-9, largest * bytes.factor * 1.08));
  pw__gnuplot_add (plot, "]\nset ytics autofreq format '%%g'\n");
  pw__gnuplot_add (plot, "set grid ytics lc rgb '" PW__COLOUR_GRID "' lw 1 lt 1\n");
  g_autofree char *caption = g_strdup_printf ("%s (%s)", name, bytes.name);
  pw__gnuplot_add_label (plot, PW__LABEL_CAPTION, left, y, caption);
  char labels[CURVES_MAX][32];
  PwPlotLegendEntry entries[CURVES_MAX];
  for (int i = 0; i < n; i++) {
    g_snprintf (labels[i], sizeof labels[i], "rank %d", ranks[i]);
    entries[i] = (PwPlotLegendEntry){ .label = labels[i],
                                      .colour = pw__plot_line_colour (i, n),
                                      .is_line = TRUE };
  }
  pw__legend_add (plot, entries, n, left, right, y, FALSE);
  for (int i = 0; i < n; i++) {
    g_autofree char *colour = pw__gnuplot_colour (entries[i].colour);
    pw__gnuplot_add (plot, "%s $memory%d using 1:2 with steps lw 1.5 lc rgb %s notitle",
                     i > 0 ? "," : "plot", ranks[i], colour);
  }
  pw__gnuplot_add (plot, "\nunset grid\nunset label\nunset arrow\n");
}
