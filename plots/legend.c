/* gnuplot gives every entry of a horizontal key the width of the longest; ours flow like words. */
#include "plots/gnuplot_private.h"

#define SWATCH 12
#define SWATCH_GAP 6
#define ENTRY_GAP 22
#define LINE_HEIGHT 20

/* DejaVu Sans at 12 pixels; narrower fonts leave a little more room. */
static double
text_width (const char *text) {
  return 7.1 * (double)g_utf8_strlen (text, -1);
}

static double
entry_width (const PwPlotLegendEntry *entry) {
  return SWATCH + SWATCH_GAP + text_width (entry->label);
}

/* How many entries from FIRST on fit into WIDTH, at least one; *USED is their width. */
static int
fit_line (const PwPlotLegendEntry *entries, int n, int first, double width, double *used) {
  int count = 0;
  *used = 0;
  for (int i = first; i < n; i++, count++) {
    double more = entry_width (&entries[i]) + (count > 0 ? ENTRY_GAP : 0);
    if (count > 0 && *used + more > width)
      break;
    *used += more;
  }
  return count;
}

int
pw__legend_height (const PwPlotLegendEntry *entries, int n, double width) {
  int lines = 0;
  double used;
  for (int first = 0; first < n; lines++)
    first += fit_line (entries, n, first, width, &used);
  return lines * LINE_HEIGHT;
}

static void
add_corner (PwGnuplot *plot, const char *before, double x, double y) {
  pw__gnuplot_add (plot, "%s screen ", before);
  pw__gnuplot_add_number (plot->script, x / plot->width);
  pw__gnuplot_add (plot, ",");
  pw__gnuplot_add_number (plot->script, 1 - y / plot->height);
}

static void
add_entry (PwGnuplot *plot, const PwPlotLegendEntry *entry, double x, double y) {
  g_autofree char *colour = pw__gnuplot_colour (entry->colour);
  if (entry->is_line) {
    add_corner (plot, "set arrow from", x, y);
    add_corner (plot, " to", x + SWATCH, y);
    pw__gnuplot_add (plot, " nohead front lw 2 lc rgb %s\n", colour);
  } else {
    add_corner (plot, "set object rectangle from", x, y + SWATCH / 2.0);
    add_corner (plot, " to", x + SWATCH, y - SWATCH / 2.0);
    pw__gnuplot_add (plot, " front fs solid noborder fc rgb %s\n", colour);
  }
  pw__gnuplot_add_label (plot, PW__LABEL_CAPTION, x + SWATCH + SWATCH_GAP, y, entry->label);
}

void
pw__legend_add (PwGnuplot *plot, const PwPlotLegendEntry *entries, int n, double left, double right,
                double y, gboolean centred) {
  for (int first = 0; first < n; y += LINE_HEIGHT) {
    double used;
    int count = fit_line (entries, n, first, right - left, &used);
    double x = centred ? (left + right - used) / 2 : right - used;
    for (int i = first; i < first + count; i++) {
      add_entry (plot, &entries[i], x, y);
      x += entry_width (&entries[i]) + ENTRY_GAP;
    }
    first += count;
  }
}
