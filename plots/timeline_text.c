/* The timeline in characters, a row per rank:
 *
 *   rank 0 |F0==F1==F2==F3==.......B0########|  73 %
 *   rank 1 |....F0==F1==F2==B0######F3==.....|
 *
 * A box starts with its letter and, where there is room, its number. Where boxes are narrower than
 * a column, the letter of the kind that fills most of the column stands for all. */
#include "plots/timeline_private.h"

#include <math.h>
#include <string.h>

#define COLUMNS_DEFAULT 100
#define COLUMNS_MIN 40

typedef struct {
  char *cells;  /* [columns] */
  double *fill; /* [columns][PW__CLASS_N]: share of the column that narrow boxes take */
  int columns;
  double columns_per_time;
} Row;

static void
row_clear (Row *row, double span) {
  for (int x = 0; x < row->columns; x++)
    row->cells[x] = x < span * row->columns_per_time - 0.5 ? '.' : ' ';
  memset (row->fill, 0, sizeof (double) * (gsize)row->columns * PW__CLASS_N);
}

static void
draw_wide (Row *row, const PwPlotBox *box, int from, int to) {
  const PwPlotClassInfo *class = &pw__plot_classes[box->class];
  char text[16];
  int length = box->has_number
                   ? g_snprintf (text, sizeof text, "%c%u", class->letter, box->microbatch)
                   : g_snprintf (text, sizeof text, "%c", class->letter);
  if (length > to - from)
    length = 1;
  for (int x = MAX (from, 0); x < to; x++)
    row->cells[x] = x - from < length ? text[x - from] : class->fill;
}

static void
add_box (Row *row, const PwPlotBox *box) {
  double left = box->start * row->columns_per_time, right = box->end * row->columns_per_time;
  int from = (int)lrint (left), to = MIN ((int)lrint (right), row->columns);
  if (right - left >= 1.5 && to - from >= 2) {
    draw_wide (row, box, from, to);
    return;
  }
  for (int x = MAX ((int)left, 0); x < MIN (right, row->columns); x++)
    row->fill[x * PW__CLASS_N + (int)box->class] += MIN (right, x + 1) - MAX (left, x);
}

/* Free columns get the class, or idleness, that is owed most: its time so far less its columns. */
static void
finish_row (Row *row) {
  double owed[PW__CLASS_N] = { 0 }, idle = 0;
  for (int x = 0; x < row->columns; x++) {
    if (row->cells[x] != '.')
      continue;
    double free = 1;
    int most = 0;
    for (int c = 0; c < PW__CLASS_N; c++) {
      owed[c] += row->fill[x * PW__CLASS_N + c];
      free -= row->fill[x * PW__CLASS_N + c];
      if (owed[c] > owed[most])
        most = c;
    }
    idle += free;
    if (free > 1 - 1e-9 || idle >= owed[most]) {
      idle -= 1;
      continue;
    }
    owed[most] -= 1;
    row->cells[x] = pw__plot_classes[most].letter;
  }
}

/* Columns without a box get the cause of most of their idle time; [*NEXT, ...) are RANK's pieces.
 */
static void
name_causes (const Row *row, const PwPlotPanel *panel, int rank, guint *next) {
  g_autofree double *most = g_new0 (double, (gsize)row->columns);
  for (; *next < panel->idle->len; ++*next) {
    const PwTraceIdle *piece = &g_array_index (panel->idle, PwTraceIdle, *next);
    if (piece->rank != rank)
      break;
    double left = piece->start * row->columns_per_time, right = piece->end * row->columns_per_time;
    for (int x = MAX ((int)left, 0); x < MIN (right, row->columns); x++) {
      double share = MIN (right, x + 1) - MAX (left, x);
      if (share <= most[x])
        continue;
      char cell = row->cells[x];
      gboolean is_idle = cell == '.' || most[x] > 0;
      if (is_idle)
        row->cells[x] = pw__plot_idle[piece->cause].fill;
      most[x] = is_idle ? share : 0;
    }
  }
}

/* "0     5     10 ms": a number every nine columns or more, at round times, as far as WIDTH goes.
 */
static void
add_axis (GString *text, int margin, int columns, int width, double span, PwPlotUnit unit) {
  static const double factors[] = { 1, 2, 5, 10, 20, 50, 100 };
  double length = span * unit.factor, step = pow (10, floor (log10 (length * 10 / columns)));
  gsize f = 0, start = text->len;
  while (f + 1 < G_N_ELEMENTS (factors) && step * factors[f] * columns / length < 9)
    f++;
  step *= factors[f];
  for (int i = 0; i * step <= length * (1 + 1e-9); i++) {
    char number[G_ASCII_DTOSTR_BUF_SIZE];
    g_ascii_formatd (number, sizeof number, "%g", i * step);
    int at = margin + (int)lrint (i * step / length * columns);
    int length_after = at + (int)(strlen (number) + 1 + strlen (unit.name));
    if (length_after > width)
      break;
    while (text->len - start < (gsize)at)
      g_string_append_c (text, ' ');
    g_string_append (text, number);
  }
  g_string_append_printf (text, " %s\n", unit.name);
}

static char *
memory_note (const PwPlotPanel *panel, int rank) {
  double peak = (double)panel->summary->ranks[rank].peak_memory_bytes;
  PwPlotUnit unit = pw__plot_bytes_unit (peak);
  char number[G_ASCII_DTOSTR_BUF_SIZE];
  g_ascii_formatd (number, sizeof number, "%.4g", peak * unit.factor);
  return g_strdup_printf ("  %s %s", number, unit.name);
}

static double
busy_share (const PwPlotPanel *panel, guint first, guint next) {
  double busy = 0, covered = 0;
  for (guint i = first; i < next; i++) {
    const PwPlotBox *box = &g_array_index (panel->boxes, PwPlotBox, i);
    if (box->class >= PW__CLASS_COLLECTIVE)
      continue;
    busy += MAX (0, box->end - MAX (box->start, covered));
    covered = MAX (covered, box->end);
  }
  return busy / panel->span;
}

/* A line of marks below the row. */
static void
add_critical (GString *text, const PwPlotPanel *panel, const Row *row, int margin, guint first,
              guint next) {
  gsize start = text->len;
  for (guint i = first; i < next; i++) {
    const PwPlotBox *box = &g_array_index (panel->boxes, PwPlotBox, i);
    if (!box->is_critical || box->class >= PW__CLASS_COLLECTIVE)
      continue;
    gsize from = (gsize)margin + (gsize)lrint (box->start * row->columns_per_time);
    gsize to = (gsize)margin + (gsize)lrint (box->end * row->columns_per_time);
    while (text->len - start < from)
      g_string_append_c (text, ' ');
    while (text->len - start < to)
      g_string_append_c (text, '^');
  }
  g_string_append_c (text, '\n');
}

static void
add_rows (GString *text, const PwPlotPanel *panel, Row *row, int margin, gboolean memory) {
  guint next = 0, next_idle = 0;
  for (int rank = 0; rank < panel->ranks; rank++) {
    guint first = next;
    row_clear (row, panel->span);
    for (; next < panel->boxes->len; next++) {
      const PwPlotBox *box = &g_array_index (panel->boxes, PwPlotBox, next);
      if (box->rank != rank)
        break;
      if (box->class < PW__CLASS_COLLECTIVE)
        add_box (row, box);
    }
    finish_row (row);
    name_causes (row, panel, rank, &next_idle);
    g_autofree char *note = memory ? memory_note (panel, rank) : g_strdup ("");
    g_autofree char *name = g_strdup_printf ("rank %d", rank);
    g_string_append_printf (text, "%-*s|%.*s| %3.0f %%%s\n", margin - 1, name, row->columns,
                            row->cells, 100 * busy_share (panel, first, next), note);
    if (panel->has_critical)
      add_critical (text, panel, row, margin, first, next);
  }
}

/* Entries flow over lines of WIDTH. */
static void
add_legend_entry (GString *text, gsize *used, int width, const char *entry) {
  gsize length = strlen (entry);
  if (*used > 0 && *used + 3 + length > (gsize)width) {
    g_string_append_c (text, '\n');
    *used = 0;
  }
  g_string_append_printf (text, "%s%s", *used > 0 ? "   " : "", entry);
  *used += length + (*used > 0 ? 3 : 0);
}

static void
add_idle_legend (GString *text, gsize *used, const PwPlotPanel *panels, int n_panels, int width) {
  gboolean is_plain = FALSE;
  for (int i = 0; i < n_panels; i++)
    is_plain |= panels[i].idle->len == 0;
  for (int cause = 0; cause < PW_IDLE_N; cause++) {
    gboolean is_present = FALSE;
    for (int i = 0; i < n_panels; i++)
      is_present |= panels[i].has_idle[cause];
    g_autofree char *entry
        = g_strdup_printf ("%c %s", pw__plot_idle[cause].fill, pw__plot_idle[cause].label);
    if (is_present)
      add_legend_entry (text, used, width, entry);
  }
  if (is_plain)
    add_legend_entry (text, used, width, ". idle");
}

static void
add_legend (GString *text, const PwPlotPanel *panels, int n_panels, int width, gboolean memory) {
  gsize used = 0;
  for (int c = 0; c < PW__CLASS_COLLECTIVE; c++) {
    gboolean is_present = FALSE;
    for (int i = 0; i < n_panels; i++)
      is_present |= panels[i].has_class[c];
    const PwPlotClassInfo *class = &pw__plot_classes[c];
    g_autofree char *entry = g_strdup_printf ("%c%c %s", class->letter, class->fill, class->label);
    if (is_present)
      add_legend_entry (text, &used, width, entry);
  }
  for (int i = 0; i < n_panels; i++)
    if (panels[i].has_critical) {
      add_legend_entry (text, &used, width, "^ critical path");
      break;
    }
  add_idle_legend (text, &used, panels, n_panels, width);
  add_legend_entry (text, &used, width, memory ? "% busy, peak memory" : "% busy");
  g_string_append_c (text, '\n');
}

char *
pw__timeline_text (const PwPlotPanel *panels, int n_panels, const char *title, int columns,
                   gboolean memory) {
  double span = 0;
  int ranks = 1;
  for (int i = 0; i < n_panels; i++) {
    span = MAX (span, panels[i].span);
    ranks = MAX (ranks, panels[i].ranks);
    memory = memory && pw__memory_has (&panels[i]);
  }
  char last[32];
  int margin = g_snprintf (last, sizeof last, "rank %d ", ranks - 1) + 1;
  int width = MAX (columns > 0 ? columns : COLUMNS_DEFAULT, COLUMNS_MIN);
  columns = width - margin - (memory ? 18 : 7);
  Row row = { .columns = columns, .columns_per_time = columns / span };
  g_autofree char *cells = row.cells = g_malloc ((gsize)columns);
  g_autofree double *fill = row.fill = g_new (double, (gsize)columns *PW__CLASS_N);
  GString *text = g_string_new (NULL);
  g_autofree char *made = pw__panel_title (&panels[0]);
  g_string_append_printf (text, "%s\n", title != NULL ? title : made);
  for (int i = 0; i < n_panels; i++) {
    g_autofree char *caption = pw__panel_caption (&panels[i]);
    g_string_append_printf (text, "%s\n", caption);
    add_rows (text, &panels[i], &row, margin, memory);
  }
  add_axis (text, margin, columns, width, span,
            pw__plot_time_unit (span, panels[0].trace->info.unitless));
  add_legend (text, panels, n_panels, width, memory);
  return g_string_free (text, FALSE);
}
