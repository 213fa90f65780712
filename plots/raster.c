#include "plots/timeline_private.h"

#include <math.h>
#include <string.h>

/* Time-weighted sums of one row's colours, a pixel each. */
typedef struct {
  double red, green, blue, weight;
} Sum;

static void
add_box (Sum *sums, int width, const PwPlotBox *box, PwColour colour, double pixels_per_time) {
  double left = CLAMP (box->start * pixels_per_time, 0, width);
  double right = CLAMP (box->end * pixels_per_time, 0, width);
  for (int x = (int)left; x < right; x++) {
    double weight = MIN (right, x + 1) - MAX (left, x);
    sums[x].red += weight * colour.red;
    sums[x].green += weight * colour.green;
    sums[x].blue += weight * colour.blue;
    sums[x].weight += weight;
  }
}

static guint8
blend (guint8 below, double sum, double weight) {
  double cover = MIN (1, weight);
  return (guint8)lrint (below * (1 - cover) + sum / weight * cover);
}

/* Lays SUMS over one line of pixels. */
static void
lay_over (guint8 *line, const Sum *sums, int width) {
  for (int x = 0; x < width; x++) {
    if (sums[x].weight <= 0)
      continue;
    line[3 * x] = blend (line[3 * x], sums[x].red, sums[x].weight);
    line[3 * x + 1] = blend (line[3 * x + 1], sums[x].green, sums[x].weight);
    line[3 * x + 2] = blend (line[3 * x + 2], sums[x].blue, sums[x].weight);
  }
}

typedef struct {
  guint8 *pixels;
  int width, pixels_per_row;
  double span;
} Raster;

static void
paint_band (const Raster *raster, int rank, PwPlotBand band, const Sum *sums) {
  int n = raster->pixels_per_row;
  int top = (int)lrint ((1 - band.high) * n), bottom = (int)lrint ((1 - band.low) * n);
  for (int y = top; y < MAX (bottom, top + 1); y++)
    lay_over (raster->pixels + 3 * (gsize)raster->width * (gsize)(rank * n + y), sums,
              raster->width);
}

/* Marks those of the boxes [FIRST, NEXT) that are in BAND. */
static void
paint_critical (const Raster *raster, const PwPlotPanel *panel, guint first, guint next,
                PwPlotClass band, gboolean messages, Sum *sums) {
  memset (sums, 0, sizeof (Sum) * (gsize)raster->width);
  for (guint i = first; i < next; i++) {
    const PwPlotBox *box = &g_array_index (panel->boxes, PwPlotBox, i);
    PwPlotClass own = box->class < PW__CLASS_COLLECTIVE ? PW__CLASS_FORWARD : box->class;
    if (box->is_critical && own == band)
      add_box (sums, raster->width, box, PW__COLOUR_CRITICAL, raster->width / raster->span);
  }
  if (first < next)
    paint_band (raster, g_array_index (panel->boxes, PwPlotBox, first).rank,
                pw__critical_band (pw__class_band (band, messages)), sums);
}

/* Those of RANK, which begin at *NEXT. */
static void
paint_idle (const Raster *raster, const PwPlotPanel *panel, int rank, guint *next,
            gboolean messages, Sum *sums) {
  memset (sums, 0, sizeof (Sum) * (gsize)raster->width);
  for (; *next < panel->idle->len; ++*next) {
    const PwTraceIdle *piece = &g_array_index (panel->idle, PwTraceIdle, *next);
    if (piece->rank != rank)
      break;
    PwPlotBox box = { .start = piece->start, .end = piece->end };
    add_box (sums, raster->width, &box, pw__plot_idle[piece->cause].colour,
             raster->width / raster->span);
  }
  paint_band (raster, rank, pw__class_band (PW__CLASS_FORWARD, messages), sums);
}

guint8 *
pw__raster_new (const PwPlotPanel *panel, double span, int width, int pixels_per_row,
                gboolean messages) {
  static const PwPlotClass bands[]
      = { PW__CLASS_FORWARD, PW__CLASS_COLLECTIVE, PW__CLASS_SEND, PW__CLASS_RECEIVE };
  gsize bytes = 3 * (gsize)width * (gsize)(panel->ranks * pixels_per_row);
  Raster raster = {
    .pixels = g_malloc (bytes), .width = width, .pixels_per_row = pixels_per_row, .span = span
  };
  memset (raster.pixels, 0xff, bytes);
  g_autofree Sum *sums = g_new (Sum, (gsize)width);
  double scale = width / span;
  PwPlotBox idle = { .end = panel->span };
  guint next = 0, next_idle = 0;
  for (int rank = 0; rank < panel->ranks; rank++) {
    guint first = next;
    while (next < panel->boxes->len && g_array_index (panel->boxes, PwPlotBox, next).rank == rank)
      next++;
    memset (sums, 0, sizeof (Sum) * (gsize)width);
    add_box (sums, width, &idle, PW__COLOUR_IDLE, scale);
    paint_band (&raster, rank, pw__class_band (PW__CLASS_FORWARD, messages), sums);
    paint_idle (&raster, panel, rank, &next_idle, messages, sums);
    for (gsize b = 0; b < G_N_ELEMENTS (bands); b++) {
      memset (sums, 0, sizeof (Sum) * (gsize)width);
      for (guint i = first; i < next; i++) {
        const PwPlotBox *box = &g_array_index (panel->boxes, PwPlotBox, i);
        PwPlotClass band = box->class < PW__CLASS_COLLECTIVE ? PW__CLASS_FORWARD : box->class;
        if (band == bands[b])
          add_box (sums, width, box, pw__plot_shade (box->class, box->shade, panel->n_shades),
                   scale);
      }
      paint_band (&raster, rank, pw__class_band (bands[b], messages), sums);
      if (panel->has_critical)
        paint_critical (&raster, panel, first, next, bands[b], messages, sums);
    }
  }
  return raster.pixels;
}
