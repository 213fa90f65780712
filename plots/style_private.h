/* What everything looks like: colours, names of kinds, units. */
#pragma once
#include "plots/plot.h"

/* Kinds that are drawn alike. */
typedef enum {
  PW__CLASS_FORWARD,
  PW__CLASS_BACKWARD,
  PW__CLASS_INPUT,
  PW__CLASS_WEIGHT,
  PW__CLASS_RECOMPUTE,
  PW__CLASS_UPDATE,
  PW__CLASS_COLLECTIVE, /* NORM, REDUCE_GRAD, UNSHARD, RESHARD, OFFLOAD, RELOAD */
  PW__CLASS_SEND,
  PW__CLASS_RECEIVE,
  PW__CLASS_N
} PwPlotClass;

typedef struct {
  guint8 red, green, blue;
} PwColour;

/* Lightness falls in the order W I B R F U, so that a grey print and every kind of colour blindness
 * keep neighbours apart; the hues are those of Okabe and Ito's set, toned down. */
typedef struct {
  const char *label; /* in the legend */
  char letter, fill; /* in text: first column of a box, and the rest */
  PwColour colour;
} PwPlotClassInfo;
extern const PwPlotClassInfo pw__plot_classes[PW__CLASS_N];

/* Why a rank idles: paler than all that it may do. */
extern const PwPlotClassInfo pw__plot_idle[PW_IDLE_N];

#define PW__COLOUR_IDLE ((PwColour){ 0xee, 0xf0, 0xf3 })
#define PW__COLOUR_CRITICAL ((PwColour){ 0xc8, 0x10, 0x2e })
#define PW__COLOUR_TEXT "#1f2937"
#define PW__COLOUR_FAINT "#6b7280"
#define PW__COLOUR_LINE "#9ca3af"
#define PW__COLOUR_GRID "#e5e7eb"

PwPlotClass pw__plot_class_of (PwActionKind kind);
/* SHADE of N_SHADES, 0 is the full colour: later stages of a rank are paler. */
PwColour pw__plot_shade (PwPlotClass class, int shade, int n_shades);
gboolean pw__plot_is_dark (PwColour colour);
/* Of lines: the I-th of N. */
PwColour pw__plot_line_colour (int i, int n);

/* The unit that suits times up to LARGEST: what to multiply with, and its name. */
typedef struct {
  double factor;
  const char *name; /* "ms"; "time units" */
} PwPlotUnit;
PwPlotUnit pw__plot_time_unit (double largest, gboolean unitless);
PwPlotUnit pw__plot_bytes_unit (double largest);
/* "33.2 ms" */
char *pw__plot_format_time (double time, gboolean unitless);
