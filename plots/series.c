#include "plots/gnuplot_private.h"

#include <math.h>
#include <string.h>

#define TEXT_COLUMNS 100
#define TEXT_LINES 30

typedef struct {
  double x_low, x_high, y_low, y_high;
  gsize n; /* finite points */
} Extent;

static gboolean
is_drawable (const PwPlotSeries *series, int i, gboolean log_x) {
  return isfinite (series->x[i]) && isfinite (series->y[i]) && (!log_x || series->x[i] > 0);
}

static Extent
measure (const PwPlotSeries *series, int n_series, gboolean log_x) {
  Extent extent = { INFINITY, -INFINITY, INFINITY, -INFINITY, 0 };
  for (int s = 0; s < n_series; s++)
    for (int i = 0; i < series[s].n; i++) {
      if (!is_drawable (&series[s], i, log_x))
        continue;
      extent.x_low = MIN (extent.x_low, series[s].x[i]);
      extent.x_high = MAX (extent.x_high, series[s].x[i]);
      extent.y_low = MIN (extent.y_low, series[s].y[i]);
      extent.y_high = MAX (extent.y_high, series[s].y[i]);
      extent.n++;
    }
  return extent;
}

static void
add_range (PwGnuplot *plot, const char *axis, double low, double high) {
  pw__gnuplot_add (plot, "set %srange [", axis);
  pw__gnuplot_add_number (plot->script, low);
  pw__gnuplot_add (plot, ":");
  pw__gnuplot_add_number (plot->script, high);
  pw__gnuplot_add (plot, "]\n");
}

/* From 0, unless the values keep far away from it: a bar of white below the curves tells nothing.
 */
static void
add_ranges (PwGnuplot *plot, const Extent *extent, gboolean log_x) {
  double x_pad = (extent->x_high - extent->x_low) * 0.02;
  if (log_x) {
    double factor = pow (extent->x_high / extent->x_low, 0.02);
    if (factor <= 1)
      factor = 1.5;
    pw__gnuplot_add (plot, "set logscale x 2\n");
    add_range (plot, "x", extent->x_low / factor, extent->x_high * factor);
  } else {
    if (x_pad <= 0)
      x_pad = MAX (fabs (extent->x_low) * 0.1, 1);
    add_range (plot, "x", extent->x_low - x_pad, extent->x_high + x_pad);
  }
  double height = extent->y_high - extent->y_low;
  double pad = height > 0 ? height * 0.06 : MAX (fabs (extent->y_high) * 0.1, 1e-9);
  gboolean from_zero = extent->y_low >= 0 && extent->y_low <= 3 * MAX (height, 1e-300);
  add_range (plot, "y", from_zero ? 0 : extent->y_low - pad, extent->y_high + pad);
}

static void
add_data (PwGnuplot *plot, const PwPlotSeries *series, int n_series, gboolean log_x) {
  for (int s = 0; s < n_series; s++) {
    pw__gnuplot_add (plot, "$series%d << EOD\n", s);
    for (int i = 0; i < series[s].n; i++) {
      if (!is_drawable (&series[s], i, log_x))
        continue;
      pw__gnuplot_add_number (plot->script, series[s].x[i]);
      pw__gnuplot_add (plot, " ");
      pw__gnuplot_add_number (plot->script, series[s].y[i]);
      pw__gnuplot_add (plot, "\n");
    }
    pw__gnuplot_add (plot, "EOD\n");
  }
}

static gboolean
coincide (const PwPlotSeries *a, const PwPlotSeries *b) {
  gsize bytes = (gsize)a->n * sizeof (double);
  return a->n == b->n && a->is_cloud == b->is_cloud && memcmp (a->x, b->x, bytes) == 0
         && memcmp (a->y, b->y, bytes) == 0;
}

/* Of the same curve several times the first is the widest, so that all of them can be seen. */
static double
width_of (const PwPlotSeries *series, int n_series, int s) {
  double width = 1;
  for (int t = s + 1; t < n_series; t++)
    width += coincide (&series[s], &series[t]) ? 1.5 : 0;
  return width;
}

/* Points only where one can tell them apart. */
static void
add_curves (PwGnuplot *plot, const PwPlotSeries *series, int n_series) {
  static const int points[] = { 7, 5, 9, 13, 11, 15, 6, 4 };
  for (int s = 0; s < n_series; s++) {
    g_autofree char *colour = pw__gnuplot_colour (pw__plot_line_colour (s, n_series));
    g_autofree char *label = pw__gnuplot_quote (series[s].label != NULL ? series[s].label : "");
    gboolean has_points = series[s].is_cloud || series[s].n <= 64;
    const char *style = series[s].is_cloud ? "points" : has_points ? "linespoints" : "lines";
    pw__gnuplot_add (plot, "%s$series%d using 1:2 with %s", s == 0 ? "plot " : ", ", s, style);
    if (plot->format != PW__PLOT_TEXT) {
      double width = width_of (series, n_series, s);
      pw__gnuplot_add (plot, " lc rgb %s lw ", colour);
      pw__gnuplot_add_number (plot->script, 2 * width);
      if (has_points) {
        pw__gnuplot_add (plot, " pt %d ps ", points[(gsize)s % G_N_ELEMENTS (points)]);
        pw__gnuplot_add_number (plot->script, 0.7 * sqrt (width));
      }
    }
    pw__gnuplot_add (plot, " title %s", label);
  }
  pw__gnuplot_add (plot, "\n");
}

static void
add_picture_style (PwGnuplot *plot, const char *title) {
  if (title != NULL)
    pw__gnuplot_add_label (plot, PW__LABEL_TITLE, 84, 24, title);
  pw__gnuplot_add_margins (plot, 84, plot->width - 28, title != NULL ? 48 : 20, plot->height - 82);
  pw__gnuplot_add (plot, "set border 3 lc rgb '" PW__COLOUR_LINE "' lw 1\n"
                         "set tics nomirror out scale 0.5 textcolor rgb '" PW__COLOUR_TEXT "'\n"
                         "set grid lc rgb '" PW__COLOUR_GRID "' lw 1 lt 1\n"
                         "set key at screen 0.5,");
  pw__gnuplot_add_number (plot->script, 18.0 / plot->height);
  pw__gnuplot_add (plot, " center center horizontal Left reverse samplen 2 noenhanced "
                         "textcolor rgb '" PW__COLOUR_TEXT "'\n");
}

gboolean
pw_plot_series (const PwPlotSeries *series, int n_series, const char *x_label, const char *y_label,
                gboolean log_x, const PwPlotOptions *options, char **text, GError **error) {
  if (text != NULL)
    *text = NULL;
  Extent extent = measure (series, n_series, log_x);
  if (extent.n == 0) {
    g_set_error_literal (error, PW_PLOT_ERROR, PW_PLOT_ERROR_EMPTY, "there is no point to draw");
    return FALSE;
  }
  gboolean is_text = options->output == NULL;
  int width = options->width > 0 ? options->width : is_text ? TEXT_COLUMNS : 900;
  int height = options->height > 0 ? options->height : is_text ? TEXT_LINES : 520;
  PwGnuplot plot;
  if (!pw__gnuplot_init (&plot, options->output, width, height, error))
    return FALSE;
  if (!is_text)
    add_picture_style (&plot, options->title);
  else
    pw__gnuplot_add (&plot,
                     "set key out bottom center horizontal\nset tics nomirror\nset border 3\n");
  g_autofree char *title = pw__gnuplot_quote (options->title != NULL ? options->title : "");
  if (is_text && options->title != NULL)
    pw__gnuplot_add (&plot, "set title %s\n", title);
  g_autofree char *x_quoted = pw__gnuplot_quote (x_label);
  g_autofree char *y_quoted = pw__gnuplot_quote (y_label);
  pw__gnuplot_add (&plot, "set xtics format '%%g'\nset ytics format '%%g'\n");
  pw__gnuplot_add (&plot, "set xlabel %s noenhanced textcolor rgb '" PW__COLOUR_TEXT "'\n",
                   x_quoted);
  pw__gnuplot_add (&plot, "set ylabel %s noenhanced textcolor rgb '" PW__COLOUR_TEXT "'\n",
                   y_quoted);
  add_ranges (&plot, &extent, log_x);
  add_data (&plot, series, n_series, log_x);
  add_curves (&plot, series, n_series);
  gboolean ok = pw__gnuplot_run (&plot, text, error);
  pw__gnuplot_clear (&plot);
  return ok;
}
