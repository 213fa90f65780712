/* The page, from the top: title, one panel of rows for each trace, one of memory for each if asked
 * for, the axis of time, the legend. All panels share the axis. Above BOXES_MAX the boxes of a
 * panel become one image, which keeps an SVG small. */
#include "plots/timeline_private.h"

#include <math.h>
#include <string.h>

#define BOXES_MAX 10000
#define PANELS_MAX 2
#define NUMBER_PIXELS_MIN 10
#define NUMBER_SIZE_MIN 7
#define NUMBER_SIZE_MAX 11
#define LEFT 76
#define RIGHT 28
#define CAPTION_HEIGHT 24
#define PANEL_GAP 14
#define MEMORY_HEIGHT 130
#define AXIS_HEIGHT 54
#define LEGEND_MARGIN 16
#define LEGEND_MAX (PW__CLASS_N + PW_IDLE_N + 3)

typedef struct {
  PwPlotPanel panels[PANELS_MAX];
  int n_panels, n_memory;
  gboolean messages;
  double span; /* the longest panel's */
  int width, height, row_height, header_height, legend_height;
  PwPlotUnit unit;
} Page;

/* The causes, where one panel knows them, and what is grey where one does not. */
static int
list_idle (const Page *page, PwPlotLegendEntry *entries, int n) {
  gboolean is_grey = FALSE;
  for (int i = 0; i < page->n_panels; i++)
    is_grey |= page->panels[i].idle->len == 0;
  for (int cause = 0; cause < PW_IDLE_N; cause++) {
    gboolean is_present = FALSE;
    for (int i = 0; i < page->n_panels; i++)
      is_present |= page->panels[i].has_idle[cause];
    if (is_present)
      entries[n++] = (PwPlotLegendEntry){ .label = pw__plot_idle[cause].label,
                                          .colour = pw__plot_idle[cause].colour };
  }
  if (is_grey)
    entries[n++] = (PwPlotLegendEntry){ .label = "idle", .colour = PW__COLOUR_IDLE };
  return n;
}

/* What some panel shows, in the order of the classes; returns how many. */
static int
list_legend (const Page *page, PwPlotLegendEntry entries[LEGEND_MAX]) {
  int n = 0, n_shades = 1;
  for (int c = 0; c < PW__CLASS_N; c++) {
    gboolean is_present = FALSE;
    for (int i = 0; i < page->n_panels; i++)
      is_present |= page->panels[i].has_class[c];
    if (is_present)
      entries[n++] = (PwPlotLegendEntry){ .label = pw__plot_classes[c].label,
                                          .colour = pw__plot_classes[c].colour };
  }
  for (int i = 0; i < page->n_panels; i++)
    n_shades = MAX (n_shades, page->panels[i].n_shades);
  if (n_shades > 1)
    entries[n++] = (PwPlotLegendEntry){
      .label = "paler: a later stage of the rank",
      .colour = pw__plot_shade (PW__CLASS_FORWARD, n_shades - 1, n_shades),
    };
  for (int i = 0; i < page->n_panels; i++)
    if (page->panels[i].has_critical) {
      entries[n++] = (PwPlotLegendEntry){ .label = "critical path", .colour = PW__COLOUR_CRITICAL };
      break;
    }
  return list_idle (page, entries, n);
}

static int
count_rows (const Page *page) {
  int rows = 0;
  for (int i = 0; i < page->n_panels; i++)
    rows += page->panels[i].ranks;
  return rows;
}

static gint
compare_doubles (gconstpointer left, gconstpointer right) {
  double a = *(const double *)left, b = *(const double *)right;
  return (a > b) - (a < b);
}

/* Wide enough for a number in the median box, within reason. */
static int
choose_width (const Page *page) {
  const GArray *boxes = page->panels[0].boxes;
  g_autofree double *lengths = g_new (double, boxes->len);
  gsize n = 0;
  for (guint i = 0; i < boxes->len; i++) {
    const PwPlotBox *box = &g_array_index (boxes, PwPlotBox, i);
    if (box->has_number)
      lengths[n++] = box->end - box->start;
  }
  qsort (lengths, n, sizeof *lengths, compare_doubles);
  double median = n > 0 ? lengths[n / 2] : 0;
  double wanted = median > 0 ? 18 * page->span / median : 0;
  return LEFT + RIGHT + (int)CLAMP (wanted, 900, 1640);
}

/* Everything but the rows themselves. */
static int
fixed_height (const Page *page) {
  int n = page->n_panels + page->n_memory;
  int captions = page->n_panels > 1 ? n : page->n_memory;
  return page->header_height + captions * CAPTION_HEIGHT + (n - 1) * PANEL_GAP
         + page->n_memory * MEMORY_HEIGHT + AXIS_HEIGHT + page->legend_height + LEGEND_MARGIN;
}

static void
lay_out (Page *page, const PwPlotOptions *options) {
  int rows = count_rows (page), most = page->messages ? 44 : 34;
  page->header_height = page->n_panels > 1 ? 40 : 62;
  page->width = options->width > 0 ? MAX (options->width, 320) : choose_width (page);
  PwPlotLegendEntry legend[LEGEND_MAX];
  int n_legend = list_legend (page, legend);
  page->legend_height = pw__legend_height (legend, n_legend, page->width - LEFT - RIGHT);
  int fixed = fixed_height (page);
  int room = options->height > 0 ? options->height - fixed : MAX (560, 300 * page->n_panels);
  page->row_height = CLAMP (room / rows, 1, options->height > 0 ? 200 : most);
  if (options->height == 0)
    page->row_height = MAX (page->row_height, rows > 400 ? 2 : 8);
  page->height = fixed + rows * page->row_height;
}

static void
add_style (PwGnuplot *plot) {
  pw__gnuplot_add (plot, "set multiplot\n"
                         "set border 1 lc rgb '" PW__COLOUR_LINE "' lw 1\n"
                         "set tics nomirror out scale 0.5 textcolor rgb '" PW__COLOUR_TEXT "'\n"
                         "unset key\n"
                         "set style fill solid noborder\n");
}

/* Boxes of one colour, and the numbers of one colour and size, as a block of data each. */
typedef struct {
  GString *boxes[PW__CLASS_N][256];
  GString *critical;                        /* strips over all boxes */
  GString *numbers[2][NUMBER_SIZE_MAX + 1]; /* light on dark or not; size */
} Blocks;

static void
add_fields (GString *to, const double *fields, int n) {
  for (int i = 0; i < n; i++) {
    if (i > 0)
      g_string_append_c (to, ' ');
    pw__gnuplot_add_number (to, fields[i]);
  }
}

/* What fits into a box of PIXELS, for the longest number of the panel, so that a row is not
 * numbered up to 9 only; 0: none. */
static int
number_size (const Page *page, const PwPlotPanel *panel, PwPlotBand band, double pixels) {
  int height = (int)((band.high - band.low) * page->row_height * 0.8);
  int digits = panel->largest_number < 10 ? 1 : 1 + (int)log10 (panel->largest_number);
  int width = (int)((pixels - 2) / (0.64 * digits));
  int size = MIN (MIN (width, height), NUMBER_SIZE_MAX);
  return pixels >= NUMBER_PIXELS_MIN && size >= NUMBER_SIZE_MIN ? size : 0;
}

static void
sort_box (Blocks *blocks, const Page *page, const PwPlotPanel *panel, const PwPlotBox *box) {
  double pixel = page->span / (page->width - LEFT - RIGHT);
  double start = box->start, end = box->end, pixels = (end - start) / pixel;
  if (pixels >= 4) { /* on whole pixels, and one of them between two boxes */
    start = rint (start / pixel) * pixel;
    end = (rint (end / pixel) - 1) * pixel;
  } else if (pixels <= 0 && box->class == PW__CLASS_UPDATE) { /* of synthetic costs, to be seen */
    start -= pixel;
    end += pixel;
  }
  PwPlotBand band = pw__box_band (box, page->messages);
  double row = panel->ranks - 1 - box->rank, f = page->unit.factor;
  GString **block = &blocks->boxes[box->class][MIN (box->shade, 255)];
  if (*block == NULL)
    *block = g_string_new (NULL);
  const double fields[] = {
    (start + end) / 2 * f, row + (band.low + band.high) / 2, start * f, end * f, row + band.low,
    row + band.high
  };
  add_fields (*block, fields, G_N_ELEMENTS (fields));
  g_string_append_c (*block, '\n');
  if (box->is_critical) {
    PwPlotBand strip = pw__critical_band (band);
    const double mark[] = { fields[0],       row + (strip.low + strip.high) / 2,
                            fields[2],       fields[3],
                            row + strip.low, row + strip.high };
    add_fields (blocks->critical, mark, G_N_ELEMENTS (mark));
    g_string_append_c (blocks->critical, '\n');
  }
  int size = number_size (page, panel, band, pixels);
  if (!box->has_number || size == 0)
    return;
  PwColour colour = pw__plot_shade (box->class, box->shade, panel->n_shades);
  GString **numbers = &blocks->numbers[pw__plot_is_dark (colour)][size];
  if (*numbers == NULL)
    *numbers = g_string_new (NULL);
  add_fields (*numbers, fields, 2);
  g_string_append_printf (*numbers, " %u\n", box->microbatch);
}

static void
add_block (PwGnuplot *plot, const char *name, const GString *data) {
  pw__gnuplot_add (plot, "%s << EOD\n", name);
  g_string_append_len (plot->script, data->str, (gssize)data->len);
  pw__gnuplot_add (plot, "EOD\n");
}

/* The grey rows that show through where a rank idles. */
static void
add_idle (PwGnuplot *plot, const Page *page, const PwPlotPanel *panel) {
  PwPlotBand band = pw__class_band (PW__CLASS_FORWARD, page->messages);
  double end = panel->span * page->unit.factor;
  g_autoptr (GString) rows = g_string_new (NULL);
  for (int row = 0; row < panel->ranks; row++) {
    const double fields[] = { end / 2, row + 0.5, 0, end, row + band.low, row + band.high };
    add_fields (rows, fields, G_N_ELEMENTS (fields));
    g_string_append_c (rows, '\n');
  }
  add_block (plot, "$idle", rows);
}

/* Over the grey of the rows, a colour for each cause. */
static void
add_causes (PwGnuplot *plot, GString *curves, const Page *page, const PwPlotPanel *panel) {
  PwPlotBand band = pw__class_band (PW__CLASS_FORWARD, page->messages);
  double f = page->unit.factor;
  for (int cause = 0; cause < PW_IDLE_N; cause++) {
    if (!panel->has_idle[cause])
      continue;
    g_autoptr (GString) pieces = g_string_new (NULL);
    for (guint i = 0; i < panel->idle->len; i++) {
      const PwTraceIdle *piece = &g_array_index (panel->idle, PwTraceIdle, i);
      double row = panel->ranks - 1 - piece->rank;
      const double fields[] = { (piece->start + piece->end) / 2 * f,
                                row + 0.5,
                                piece->start * f,
                                piece->end * f,
                                row + band.low,
                                row + band.high };
      if ((int)piece->cause != cause)
        continue;
      add_fields (pieces, fields, G_N_ELEMENTS (fields));
      g_string_append_c (pieces, '\n');
    }
    g_autofree char *name = g_strdup_printf ("$idle%d", cause);
    g_autofree char *colour = pw__gnuplot_colour (pw__plot_idle[cause].colour);
    add_block (plot, name, pieces);
    g_string_append_printf (
        curves, ", %s using 1:2:3:4:5:6 with boxxyerror fs solid noborder lc rgb %s notitle", name,
        colour);
  }
}

static void
add_boxes (PwGnuplot *plot, GString *curves, const Page *page, const PwPlotPanel *panel) {
  g_autofree Blocks *blocks = g_new0 (Blocks, 1);
  g_autoptr (GString) critical = blocks->critical = g_string_new (NULL);
  for (guint i = 0; i < panel->boxes->len; i++)
    sort_box (blocks, page, panel, &g_array_index (panel->boxes, PwPlotBox, i));
  for (int c = 0; c < PW__CLASS_N; c++)
    for (int shade = 0; shade < 256; shade++) {
      g_autoptr (GString) block = blocks->boxes[c][shade];
      if (block == NULL)
        continue;
      g_autofree char *name = g_strdup_printf ("$boxes%d_%d", c, shade);
      g_autofree char *colour
          = pw__gnuplot_colour (pw__plot_shade ((PwPlotClass)c, shade, panel->n_shades));
      add_block (plot, name, block);
      g_string_append_printf (
          curves, ", %s using 1:2:3:4:5:6 with boxxyerror fs solid noborder lc rgb %s notitle",
          name, colour);
    }
  if (critical->len > 0) {
    g_autofree char *colour = pw__gnuplot_colour (PW__COLOUR_CRITICAL);
    add_block (plot, "$critical", critical);
    g_string_append_printf (curves,
                            ", $critical using 1:2:3:4:5:6 with boxxyerror fs solid noborder lc "
                            "rgb %s notitle",
                            colour);
  }
  static const char *const colours[] = { [FALSE] = PW__COLOUR_TEXT, [TRUE] = "#ffffff" };
  for (int is_dark = 0; is_dark < 2; is_dark++)
    for (int size = 0; size <= NUMBER_SIZE_MAX; size++) {
      g_autoptr (GString) block = blocks->numbers[is_dark][size];
      if (block == NULL)
        continue;
      g_autofree char *name = g_strdup_printf ("$numbers%d_%d", is_dark, size);
      add_block (plot, name, block);
      g_string_append_printf (curves, ", %s using 1:2:3 with labels font ',", name);
      pw__gnuplot_add_number (curves, pw__gnuplot_points (plot, size));
      g_string_append_printf (curves, "' tc rgb '%s' notitle", colours[is_dark]);
    }
}

/* Twice the pixels where the picture may be enlarged. */
static gboolean
add_raster (PwGnuplot *plot, GString *curves, const Page *page, const PwPlotPanel *panel,
            GError **error) {
  int zoom = plot->format == PW__PLOT_PNG ? 1 : 2;
  double share = panel->span / page->span;
  int width = MAX (1, (int)lrint (share * zoom * (page->width - LEFT - RIGHT)));
  int lines = page->row_height * zoom;
  g_autofree guint8 *pixels = pw__raster_new (panel, panel->span, width, lines, page->messages);
  gsize line = 3 * (gsize)width, n_lines = (gsize)(panel->ranks * lines);
  g_autofree guint8 *upward = g_malloc (line * n_lines); /* gnuplot counts from the bottom */
  for (gsize y = 0; y < n_lines; y++)
    memcpy (upward + line * y, pixels + line * (n_lines - 1 - y), line);
  const char *name = pw__gnuplot_add_file (plot, upward, line * n_lines, error);
  if (name == NULL)
    return FALSE;
  g_autofree char *quoted = pw__gnuplot_quote (name);
  double dx = panel->span * page->unit.factor / width, dy = 1.0 / lines;
  g_string_append_printf (curves, ", %s binary array=(%d,%zu) format='%%uchar' dx=", quoted, width,
                          n_lines);
  pw__gnuplot_add_number (curves, dx);
  g_string_append (curves, " dy=");
  pw__gnuplot_add_number (curves, dy);
  g_string_append (curves, " origin=(");
  pw__gnuplot_add_number (curves, dx / 2);
  g_string_append_c (curves, ',');
  pw__gnuplot_add_number (curves, dy / 2);
  g_string_append (curves, ") with rgbimage notitle");
  return TRUE;
}

/* A label for every rank, or for every second, fourth, eighth, ... */
static void
add_rank_names (PwGnuplot *plot, const Page *page, const PwPlotPanel *panel) {
  int step = 1;
  while (step * page->row_height < 17)
    step *= 2;
  pw__gnuplot_add (plot, "set yrange [0:%d]\nset ytics scale 0 (", panel->ranks);
  for (int rank = 0; rank < panel->ranks; rank += step)
    pw__gnuplot_add (plot, "%s'rank %d' %d.5", rank > 0 ? ", " : "", rank, panel->ranks - 1 - rank);
  pw__gnuplot_add (plot, ")\n");
}

static gboolean
add_panel (PwGnuplot *plot, const Page *page, const PwPlotPanel *panel, GError **error) {
  add_rank_names (plot, page, panel);
  g_autoptr (GString) curves
      = g_string_new ("plot $idle using 1:2:3:4:5:6 with boxxyerror fs solid noborder lc rgb ");
  g_autofree char *idle = pw__gnuplot_colour (PW__COLOUR_IDLE);
  g_string_append_printf (curves, "%s notitle", idle);
  add_idle (plot, page, panel);
  if (panel->boxes->len <= BOXES_MAX) {
    add_causes (plot, curves, page, panel);
    add_boxes (plot, curves, page, panel);
  } else if (!add_raster (plot, curves, page, panel, error))
    return FALSE;
  pw__gnuplot_add (plot, "%s\nunset label\nunset object\n", curves->str);
  return TRUE;
}

/* Below a plot that ends at BOTTOM; numbers only under the last one. */
static void
add_axis (PwGnuplot *plot, const Page *page, int bottom, gboolean is_last) {
  pw__gnuplot_add (plot, "set xtics format '%s'\n", is_last ? "%g" : "");
  if (!is_last)
    return;
  g_autofree char *text = g_strdup_printf ("time (%s)", page->unit.name);
  pw__gnuplot_add_label (plot, PW__LABEL_AXIS, (LEFT + page->width - RIGHT) / 2.0, bottom + 38,
                         text);
}

static void
add_header (PwGnuplot *plot, const Page *page, const PwPlotOptions *options) {
  g_autofree char *title
      = options->title != NULL ? g_strdup (options->title) : pw__panel_title (&page->panels[0]);
  pw__gnuplot_add_label (plot, PW__LABEL_TITLE, LEFT, 24, title);
  if (page->n_panels > 1)
    return;
  g_autofree char *caption = pw__panel_caption (&page->panels[0]);
  pw__gnuplot_add_label (plot, PW__LABEL_SUBTITLE, LEFT, 46, caption);
}

static gboolean
add_page (PwGnuplot *plot, const Page *page, const PwPlotOptions *options, GError **error) {
  int right = page->width - RIGHT, y = page->header_height;
  add_style (plot);
  add_header (plot, page, options);
  PwPlotLegendEntry legend[LEGEND_MAX];
  int n_legend = list_legend (page, legend);
  pw__legend_add (plot, legend, n_legend, LEFT, right,
                  page->height - page->legend_height - LEGEND_MARGIN / 2.0 + 8, TRUE);
  pw__gnuplot_add (plot, "set xrange [0:");
  pw__gnuplot_add_number (plot->script, page->span * page->unit.factor);
  pw__gnuplot_add (plot, "]\n");
  for (int i = 0; i < page->n_panels; i++) {
    const PwPlotPanel *panel = &page->panels[i];
    gboolean is_last = i == page->n_panels - 1;
    if (page->n_panels > 1) {
      g_autofree char *caption = pw__panel_caption (panel);
      pw__gnuplot_add_label (plot, PW__LABEL_CAPTION, LEFT, y + CAPTION_HEIGHT / 2.0, caption);
      y += CAPTION_HEIGHT;
    }
    int bottom = y + panel->ranks * page->row_height;
    pw__gnuplot_add_margins (plot, LEFT, right, y, bottom);
    add_axis (plot, page, bottom, is_last && page->n_memory == 0);
    if (!add_panel (plot, page, panel, error))
      return FALSE;
    y = bottom + PANEL_GAP;
  }
  for (int i = 0, left = page->n_memory; i < page->n_panels; i++) {
    const PwPlotPanel *panel = &page->panels[i];
    if (left == 0 || !pw__memory_has (panel))
      continue;
    g_autofree char *name = page->n_panels > 1
                                ? g_strdup_printf ("memory, %s", panel->trace->info.source)
                                : g_strdup ("memory");
    double caption_y = y + CAPTION_HEIGHT / 2.0;
    y += CAPTION_HEIGHT;
    pw__gnuplot_add_margins (plot, LEFT, right, y, y + MEMORY_HEIGHT);
    add_axis (plot, page, y + MEMORY_HEIGHT, --left == 0);
    pw__memory_add (plot, panel, name, page->span, LEFT, right, caption_y);
    y += MEMORY_HEIGHT + PANEL_GAP;
  }
  pw__gnuplot_add (plot, "unset multiplot\n");
  return TRUE;
}

static gboolean
draw (Page *page, const PwPlotOptions *options, GError **error) {
  lay_out (page, options);
  page->unit = pw__plot_time_unit (page->span, page->panels[0].trace->info.unitless);
  PwGnuplot plot;
  if (!pw__gnuplot_init (&plot, options->output, page->width, page->height, error))
    return FALSE;
  gboolean ok = add_page (&plot, page, options, error) && pw__gnuplot_run (&plot, NULL, error);
  pw__gnuplot_clear (&plot);
  return ok;
}

static gboolean
init_page (Page *page, const PwTrace *const *traces, int n_traces, const PwPlotOptions *options,
           GError **error) {
  g_assert (n_traces >= 1 && n_traces <= PANELS_MAX);
  page->messages = options->messages;
  for (int i = 0; i < n_traces; i++) {
    if (!pw__panel_init (&page->panels[i], traces[i], options->iteration, options->messages, error))
      return FALSE;
    page->n_panels++;
    page->span = MAX (page->span, page->panels[i].span);
    page->n_memory += options->memory && pw__memory_has (&page->panels[i]);
  }
  return TRUE;
}

gboolean
pw_plot_timeline (const PwTrace *const *traces, int n_traces, const PwPlotOptions *options,
                  char **text, GError **error) {
  if (text != NULL)
    *text = NULL;
  PwPlotFormat format;
  if (!pw__plot_format (options->output, &format, error))
    return FALSE;
  Page page = { 0 };
  gboolean ok = init_page (&page, traces, n_traces, options, error);
  if (ok && format == PW__PLOT_TEXT)
    *text = pw__timeline_text (page.panels, page.n_panels, options->title, options->width,
                               options->memory);
  else if (ok)
    ok = draw (&page, options, error);
  for (int i = 0; i < PANELS_MAX; i++)
    pw__panel_clear (&page.panels[i]);
  return ok;
}
