#include "plots/timeline_private.h"

#include <math.h>

static gboolean
is_message (const PwTraceRecord *record) {
  const PwActionKindInfo *kind = &pw_action_kinds[record->action.kind];
  return kind->is_send || kind->is_recv;
}

static gboolean
is_shown (const PwPlotPanel *panel, const PwTraceRecord *record) {
  return panel->iteration < 0 || record->iteration == panel->iteration;
}

/* The place of STAGE among those the rank has had; a new one goes last. */
static int
shade_of (GArray *stages, int stage) {
  for (guint i = 0; i < stages->len; i++)
    if (g_array_index (stages, int, i) == stage)
      return (int)i;
  g_array_append_val (stages, stage);
  return (int)stages->len - 1;
}

static void
add_box (PwPlotPanel *panel, const PwTraceRecord *record, int shade, uint32_t lowest) {
  PwPlotClass class = pw__plot_class_of ((PwActionKind)record->action.kind);
  const PwActionKindInfo *kind = &pw_action_kinds[record->action.kind];
  PwPlotBox box = { .start = record->start - panel->origin,
                    .end = record->end - panel->origin,
                    .rank = record->rank,
                    .class = class,
                    .shade = kind->is_compute ? shade : 0,
                    .microbatch = record->action.microbatch - lowest,
                    .has_number = kind->has_microbatch && kind->is_compute,
                    .is_critical = record->is_critical };
  panel->has_critical |= record->is_critical;
  panel->has_class[class] = TRUE;
  if (box.has_number)
    panel->largest_number = MAX (panel->largest_number, box.microbatch);
  g_array_append_val (panel->boxes, box);
}

/* LAST and the one before it on the rank: an overlapped pair has one start and one end. */
static void
share_height (PwPlotBox *before, PwPlotBox *last) {
  if (before->rank != last->rank || before->start != last->start || before->end != last->end
      || before->half != PW__WHOLE || last->end <= last->start)
    return;
  before->half = PW__UPPER_HALF;
  last->half = PW__LOWER_HALF;
}

/* Origin and span; returns the lowest micro-batch, from which one iteration's are counted. */
static uint32_t
measure (PwPlotPanel *panel) {
  double start = INFINITY, end = -INFINITY;
  uint32_t lowest = UINT32_MAX;
  for (guint i = 0; i < panel->trace->records->len; i++) {
    const PwTraceRecord *record = &g_array_index (panel->trace->records, PwTraceRecord, i);
    if (!is_shown (panel, record) || is_message (record))
      continue;
    start = MIN (start, record->start);
    end = MAX (end, record->end);
    if (pw_action_kinds[record->action.kind].has_microbatch)
      lowest = MIN (lowest, record->action.microbatch);
  }
  panel->origin = start;
  panel->span = end - start;
  return panel->iteration < 0 || lowest == UINT32_MAX ? 0 : lowest;
}

/* A rank's stages are told apart by shade in the order in which they first appear. */
static void
collect (PwPlotPanel *panel, uint32_t lowest, gboolean messages) {
  g_autoptr (GArray) stages = g_array_new (FALSE, FALSE, sizeof (int));
  int rank = -1;
  int64_t compute = -1; /* the box of the last compute */
  for (guint i = 0; i < panel->trace->records->len; i++) {
    const PwTraceRecord *record = &g_array_index (panel->trace->records, PwTraceRecord, i);
    if (!is_shown (panel, record) || (is_message (record) && !messages))
      continue;
    if (record->rank != rank)
      g_array_set_size (stages, 0);
    rank = record->rank;
    int shade = is_message (record) ? 0 : shade_of (stages, record->action.stage);
    panel->n_shades = MAX (panel->n_shades, (int)stages->len);
    add_box (panel, record, shade, lowest);
    if (!pw_action_kinds[record->action.kind].is_counted)
      continue;
    PwPlotBox *boxes = (PwPlotBox *)(void *)panel->boxes->data;
    if (compute >= 0)
      share_height (&boxes[compute], &boxes[panel->boxes->len - 1]);
    compute = panel->boxes->len - 1;
  }
}

/* What of the idle time is within the panel. */
static void
collect_idle (PwPlotPanel *panel) {
  for (guint i = 0; i < panel->trace->idle->len; i++) {
    PwTraceIdle piece = g_array_index (panel->trace->idle, PwTraceIdle, i);
    piece.start = MAX (piece.start - panel->origin, 0);
    piece.end = MIN (piece.end - panel->origin, panel->span);
    if (piece.end <= piece.start)
      continue;
    panel->has_idle[piece.cause] = TRUE;
    g_array_append_val (panel->idle, piece);
  }
}

gboolean
pw__panel_init (PwPlotPanel *panel, const PwTrace *trace, int iteration, gboolean messages,
                GError **error) {
  *panel = (PwPlotPanel){ .trace = trace, .ranks = trace->info.ranks, .n_shades = 1 };
  if (iteration == -1)
    iteration = pw_trace_median_iteration (trace);
  panel->iteration = iteration < 0 ? -1 : iteration;
  uint32_t lowest = measure (panel);
  if (!isfinite (panel->span) || panel->span <= 0) {
    if (panel->iteration < 0 || trace->records->len == 0)
      g_set_error_literal (error, PW_PLOT_ERROR, PW_PLOT_ERROR_EMPTY,
                           "the trace holds no action that takes time");
    else
      g_set_error (error, PW_PLOT_ERROR, PW_PLOT_ERROR_EMPTY,
                   "iteration %d of the trace (0 to %d) holds no action that takes time",
                   panel->iteration, trace->info.iterations - 1);
    return FALSE;
  }
  panel->boxes = g_array_new (FALSE, FALSE, sizeof (PwPlotBox));
  panel->idle = g_array_new (FALSE, FALSE, sizeof (PwTraceIdle));
  collect (panel, lowest, messages);
  collect_idle (panel);
  panel->summary = pw_trace_summarise (trace, 0);
  return TRUE;
}

void
pw__panel_clear (PwPlotPanel *panel) {
  if (panel->boxes != NULL)
    g_array_unref (panel->boxes);
  if (panel->idle != NULL)
    g_array_unref (panel->idle);
  pw_trace_summary_free (panel->summary);
  *panel = (PwPlotPanel){ 0 };
}

char *
pw__panel_caption (const PwPlotPanel *panel) {
  const PwTraceInfo *info = &panel->trace->info;
  GString *caption = g_string_new (NULL);
  if (info->source != NULL && *info->source != '\0')
    g_string_append_printf (caption, "%s · ", info->source);
  g_autofree char *time = pw__plot_format_time (panel->summary->iteration_time, info->unitless);
  char bubble[G_ASCII_DTOSTR_BUF_SIZE];
  g_ascii_formatd (bubble, sizeof bubble, "%.1f", 100 * panel->summary->bubble_fraction);
  g_string_append_printf (caption, "iteration %s · bubble %s %%", time, bubble);
  if (info->iterations > 1 && panel->iteration >= 0)
    g_string_append_printf (caption, " · shown: iteration %d of %d", panel->iteration + 1,
                            info->iterations);
  else if (info->iterations > 1)
    g_string_append_printf (caption, " · %d iterations", info->iterations);
  return g_string_free (caption, FALSE);
}

char *
pw__panel_title (const PwPlotPanel *panel) {
  const PwTraceInfo *info = &panel->trace->info;
  GString *title = g_string_new (info->schedule != NULL ? info->schedule : "timeline");
  if (info->model != NULL && *info->model != '\0')
    g_string_append_printf (title, " · %s", info->model);
  g_string_append_printf (title, " · %d rank%s × %d micro-batch%s", info->ranks,
                          info->ranks == 1 ? "" : "s", info->microbatches,
                          info->microbatches == 1 ? "" : "es");
  return g_string_free (title, FALSE);
}

PwPlotBand
pw__class_band (PwPlotClass class, gboolean messages) {
  double floor = messages ? 0.36 : 0.08;
  switch (class) {
  case PW__CLASS_SEND:
    return (PwPlotBand){ .low = 0.20, .high = 0.32 };
  case PW__CLASS_RECEIVE:
    return (PwPlotBand){ .low = 0.05, .high = 0.17 };
  case PW__CLASS_COLLECTIVE: /* beside compute, so over its lower edge */
    return (PwPlotBand){ .low = floor, .high = floor + 0.18 };
  default:
    return (PwPlotBand){ .low = floor, .high = 0.92 };
  }
}

PwPlotBand
pw__box_band (const PwPlotBox *box, gboolean messages) {
  PwPlotBand band = pw__class_band (box->class, messages);
  double middle = (band.low + band.high) / 2;
  if (box->half == PW__UPPER_HALF)
    band.low = middle;
  else if (box->half == PW__LOWER_HALF)
    band.high = middle;
  return band;
}

PwPlotBand
pw__critical_band (PwPlotBand band) {
  return (PwPlotBand){ .low = band.low, .high = band.low + 0.2 * (band.high - band.low) };
}
