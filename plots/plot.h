/* Pictures from traces and series, through gnuplot. Knows nothing of the simulator. */
#pragma once
#include "traces/trace.h"

#define PW_PLOT_ERROR (pw_plot_error_quark ())
GQuark pw_plot_error_quark (void);
typedef enum {
  PW_PLOT_ERROR_FORMAT,  /* an output name that ends in neither .svg, .png nor .pdf */
  PW_PLOT_ERROR_GNUPLOT, /* gnuplot is missing or failed; the message has its words */
  PW_PLOT_ERROR_EMPTY    /* nothing to draw */
} PwPlotError;

typedef struct {
  const char *output;   /* FILE.svg|png|pdf; NULL with terminal "dumb": text to *text */
  const char *title;    /* NULL: made from the traces */
  int iteration;        /* which to draw; -1: the median one after warm-up, -2: all */
  gboolean memory;      /* memory over time below the timeline */
  gboolean messages;    /* arrows or a thin lane for transfers */
  int width, height;    /* pixels, of text columns and lines; 0: chosen from the content */
} PwPlotOptions;

/* Rows are ranks, boxes actions coloured by kind (later stages of a rank are paler), micro-batch
 * numbers where a box is 10 px or wider and the panel's longest number fits. Above 10,000 boxes the
 * rows are an image. Two traces: the first above the second on one time axis (simulated above
 * measured). The output is replaced only when the picture is complete; text needs no gnuplot. */
gboolean pw_plot_timeline (const PwTrace *const *traces, int n_traces, const PwPlotOptions *options,
                           char **text, GError **error);

/* Lines over a common x axis (bubble against micro-batches, loss against steps). */
typedef struct {
  const char *label;
  int n;
  const double *x, *y;
  gboolean is_cloud; /* points that no line joins */
} PwPlotSeries;
gboolean pw_plot_series (const PwPlotSeries *series, int n_series, const char *x_label,
                         const char *y_label, gboolean log_x, const PwPlotOptions *options,
                         char **text, GError **error);
