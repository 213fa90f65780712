/* A timeline in steps: boxes from a trace, then drawn as shapes, as a raster or as text. */
#pragma once
#include "plots/gnuplot_private.h"

/* The two actions of an overlapped pair share their time, so each gets half of the row's height. */
typedef enum { PW__WHOLE, PW__UPPER_HALF, PW__LOWER_HALF } PwPlotHalf;

typedef struct {
  double start, end; /* from the panel's origin */
  uint32_t microbatch;
  int rank;
  PwPlotClass class;
  int shade;
  gboolean has_number, is_critical;
  PwPlotHalf half;
} PwPlotBox;

/* One trace's share of the page. */
typedef struct {
  const PwTrace *trace;
  PwTraceSummary *summary; /* of the whole trace */
  int iteration;           /* -1: all of them */
  double origin, span;     /* first start, and last end - first start, of compute */
  int ranks;
  GArray *boxes; /* PwPlotBox, ordered by rank; messages only if asked for */
  GArray *idle;  /* PwTraceIdle from the panel's origin, ordered by rank; empty: not known */
  gboolean has_idle[PW_IDLE_N];
  int n_shades;
  uint32_t largest_number; /* of a micro-batch */
  gboolean has_class[PW__CLASS_N], has_critical;
} PwPlotPanel;

/* EMPTY if nothing is to be drawn. ITERATION as in PwPlotOptions. */
gboolean pw__panel_init (PwPlotPanel *panel, const PwTrace *trace, int iteration, gboolean messages,
                         GError **error);
void pw__panel_clear (PwPlotPanel *panel);
/* "simulated · iteration 33 ms · bubble 27.3 %", and which of several is shown */
char *pw__panel_caption (const PwPlotPanel *panel);
/* "1f1b · 4 ranks × 8 micro-batches" */
char *pw__panel_title (const PwPlotPanel *panel);

/* What a row of height 1 is divided into, counted from its bottom. */
typedef struct {
  double low, high;
} PwPlotBand;
PwPlotBand pw__class_band (PwPlotClass class, gboolean messages);
PwPlotBand pw__box_band (const PwPlotBox *box, gboolean messages);
/* The strip at the foot of BAND that marks the critical path. */
PwPlotBand pw__critical_band (PwPlotBand band);

/* The panel as RGB pixels, top row first: PIXELS_PER_ROW rows for each rank, and WIDTH columns for
 * a time of SPAN. A pixel has the mean of the colours that share its time. */
guint8 *pw__raster_new (const PwPlotPanel *panel, double span, int width, int pixels_per_row,
                        gboolean messages);

/* Characters; COLUMNS wide. */
char *pw__timeline_text (const PwPlotPanel *panels, int n_panels, const char *title, int columns,
                         gboolean memory);

gboolean pw__memory_has (const PwPlotPanel *panel);
/* Bytes in use, as a plot in the margins set before. The x axis covers SPAN between LEFT and RIGHT
 * (pixels); NAME and legend stand at Y above it. */
void pw__memory_add (PwGnuplot *plot, const PwPlotPanel *panel, const char *name, double span,
                     int left, int right, double y);
