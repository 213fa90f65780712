/* What scatters when every duration does. */
#include "cli/output.h"
#include "cli/report.h"
#include "plots/plot.h"
#include <math.h>
#include <stdio.h>

json_t *
pw_report_jitter_json (const PwSimJitter *jitter, const PwSimJitterResult *result) {
  json_t *object = json_object ();
  json_object_set_new (object, "compute", pw_output_number (jitter->compute));
  json_object_set_new (object, "link", pw_output_number (jitter->link));
  json_object_set_new (object, "seed", json_integer ((json_int_t)jitter->seed));
  json_object_set_new (object, "samples", json_integer (result->samples));
  json_object_set_new (object, "undisturbed", pw_output_number (result->undisturbed));
  json_object_set_new (object, "mean", pw_output_number (result->mean));
  json_object_set_new (object, "standard_deviation", pw_output_number (result->standard_deviation));
  json_object_set_new (object, "minimum", pw_output_number (result->minimum));
  json_object_set_new (object, "maximum", pw_output_number (result->maximum));
  for (int i = 0; i < PW_SIM_PERCENTILE_N; i++) {
    g_autofree char *key = g_strdup_printf ("p%d", pw_sim_percentiles[i]);
    json_object_set_new (object, key, pw_output_number (result->percentile[i]));
  }
  return object;
}

static void
print_row (PwTable *table, const char *name, double time, const PwSimJitterResult *result,
           gboolean unitless) {
  pw_table_row (table);
  pw_table_text (table, name);
  pw_table_time (table, time, unitless);
  if (result->undisturbed > 0)
    pw_table_difference (table, time / result->undisturbed - 1);
}

void
pw_report_jitter_print (const PwSimulation *simulation, const PwSimJitter *jitter,
                        const PwSimJitterResult *result) {
  gboolean unitless = simulation->costs->unitless;
  char time[PW_TEXT_MAX];
  printf ("\nJitter: computes %.6g%%, messages %.6g%%, %" G_GINT64_FORMAT " samples\n",
          100 * jitter->compute, 100 * jitter->link, result->samples);
  static const char *const headings[] = { "<iteration", "time", "to undisturbed", NULL };
  g_autoptr (PwTable) table = pw_table_new (headings);
  print_row (table, "undisturbed", result->undisturbed, result, unitless);
  print_row (table, "mean", result->mean, result, unitless);
  for (int i = 0; i < PW_SIM_PERCENTILE_N; i++) {
    g_autofree char *name = g_strdup_printf ("p%d", pw_sim_percentiles[i]);
    print_row (table, name, result->percentile[i], result, unitless);
  }
  pw_table_print (table);
  pw_format_time (result->standard_deviation, unitless, time);
  printf ("standard deviation %s", time);
  if (result->mean > 0)
    printf (", %.2f%% of the mean", 100 * result->standard_deviation / result->mean);
  printf ("\n");
}

#define BINS_MAX 100

/* Rice's rule: few enough bins that their heights tell something. */
gboolean
pw_report_jitter_plot (const PwSimulation *simulation, const PwSimJitterResult *result,
                       const char *file, GError **error) {
  gboolean unitless = simulation->costs->unitless;
  int bins = (int)CLAMP (2 * cbrt ((double)result->samples), 1, BINS_MAX);
  double low = result->minimum, width = (result->maximum - low) / bins;
  double x[BINS_MAX], y[BINS_MAX] = { 0 };
  for (int64_t i = 0; i < result->samples; i++) {
    int bin = width > 0 ? (int)((result->time[i] - low) / width) : 0;
    y[MIN (bin, bins - 1)] += 100.0 / (double)result->samples;
  }
  double scale = unitless ? 1 : 1e3;
  for (int bin = 0; bin < bins; bin++)
    x[bin] = (low + (bin + 0.5) * width) * scale;
  g_autofree char *title
      = g_strdup_printf ("%s · iteration with jitter", simulation->compute->name);
  g_autofree char *label = g_strdup_printf ("%" G_GINT64_FORMAT " samples", result->samples);
  PwPlotSeries series = { .label = label, .n = bins, .x = x, .y = y };
  PwPlotOptions options = { .output = file, .title = title };
  return pw_plot_series (&series, 1, unitless ? "iteration (time units)" : "iteration (ms)",
                         "share of the samples (%)", FALSE, &options, NULL, error);
}
