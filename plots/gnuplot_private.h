/* A script that is built up, given to the gnuplot program, and turned into a file that appears
 * whole or not at all. */
#pragma once
#include "plots/style_private.h"

typedef enum { PW__PLOT_SVG, PW__PLOT_PNG, PW__PLOT_PDF, PW__PLOT_TEXT } PwPlotFormat;
/* OUTPUT NULL: text. */
gboolean pw__plot_format (const char *output, PwPlotFormat *format, GError **error);

typedef struct {
  GString *script;
  const char *output; /* borrowed; NULL: text */
  PwPlotFormat format;
  int width, height; /* pixels; of text: columns and lines */
  char *temporary;   /* what gnuplot writes */
  GPtrArray *files;  /* char *: data beside the script, removed at the end */
} PwGnuplot;
gboolean pw__gnuplot_init (PwGnuplot *plot, const char *output, int width, int height,
                           GError **error);
void pw__gnuplot_clear (PwGnuplot *plot);

/* Like printf, with numbers always in C's notation. */
void pw__gnuplot_add (PwGnuplot *plot, const char *format, ...) G_GNUC_PRINTF (2, 3);
void pw__gnuplot_add_number (GString *to, double value);
/* PIXELS of a font's height in the terminal's own measure: SVG takes pixels, cairo points. */
double pw__gnuplot_points (const PwGnuplot *plot, int pixels);
/* A label at a place of the page, in pixels from the left and the top: there it starts, and an
 * axis's has its middle. */
typedef enum { PW__LABEL_TITLE, PW__LABEL_SUBTITLE, PW__LABEL_CAPTION, PW__LABEL_AXIS } PwPlotLabel;

void pw__gnuplot_add_label (PwGnuplot *plot, PwPlotLabel style, double x, double y,
                            const char *text);
/* Margins of the next plot, in pixels from the left and the top. */
void pw__gnuplot_add_margins (PwGnuplot *plot, int left, int right, int top, int bottom);
/* A file of BYTES for the script to read; returns its name. */
const char *pw__gnuplot_add_file (PwGnuplot *plot, const void *data, gsize bytes, GError **error);
/* 'text' as the script's string; one line of valid UTF-8 whatever TEXT is. */
char *pw__gnuplot_quote (const char *text);
char *pw__gnuplot_colour (PwColour colour); /* "'#2b6cb0'" */

/* A legend drawn into the next plot, in lines between LEFT and RIGHT (pixels), the first at Y. */
typedef struct {
  const char *label;
  PwColour colour;
  gboolean is_line; /* else a square */
} PwPlotLegendEntry;
int pw__legend_height (const PwPlotLegendEntry *entries, int n, double width);
void pw__legend_add (PwGnuplot *plot, const PwPlotLegendEntry *entries, int n, double left,
                     double right, double y, gboolean centred);

/* *TEXT: what was drawn, where there is no output. */
gboolean pw__gnuplot_run (PwGnuplot *plot, char **text, GError **error);
