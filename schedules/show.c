#include "schedules/show.h"
#include "schedules/schedule_private.h"
#include "schedules/timeline_private.h"

#include <math.h>
#include <string.h>

static const struct {
  const char *legend;
  const char *color; /* ANSI: black on a background */
} looks[PW_ACTION_N] = {
  [PW_ACTION_FORWARD] = { "F forward", "\033[30;44m" },
  [PW_ACTION_BACKWARD] = { "B backward", "\033[30;42m" },
  [PW_ACTION_INPUT_GRADIENT] = { "I input gradient", "\033[30;46m" },
  [PW_ACTION_WEIGHT_GRADIENT] = { "W weight gradient", "\033[30;43m" },
  [PW_ACTION_RECOMPUTE] = { "R recomputation", "\033[30;45m" },
};

typedef struct {
  const PwSchedule *schedule;
  const PwTimeline *timeline;
  gboolean color;
  double cell;     /* time units per cell: the shortest action */
  int cell_width;  /* characters per cell */
  gboolean spaced; /* a cell ends in a blank */
  int margin;      /* characters before the timeline */
  int64_t columns; /* characters of the timeline that are drawn */
  int *chunk;      /* [directions][stages]: its number on its rank */
  GString *text;
} Canvas;

static gboolean
is_drawn (PwAction action) {
  return looks[action.kind].legend != NULL;
}

/* "F3"; "F3b" for the second chunk of a rank; "f3" for the second direction. */
static int
label_of (const Canvas *c, PwAction action, char label[16]) {
  const char *name = pw_action_kinds[action.kind].name;
  char kind = action.direction ? g_ascii_tolower (name[0]) : name[0];
  int n = g_snprintf (label, 16, "%c%u", kind, action.microbatch);
  if (c->schedule->chunks > 1) {
    int chunk = c->chunk[(int)action.direction * c->schedule->stages + (int)action.stage];
    label[n++] = (char)(chunk < 26 ? 'a' + chunk : '+');
    label[n] = '\0';
  }
  return n;
}

static void
number_chunks (Canvas *c) {
  const PwPlacement *placement = c->schedule->placement;
  int places = placement->directions * placement->stages;
  g_autofree int *count = g_new0 (int, (gsize)placement->ranks);
  c->chunk = g_new0 (int, (gsize)places);
  for (int place = 0; place < places; place++) {
    if (place == placement->stages)
      memset (count, 0, (gsize)placement->ranks * sizeof (int));
    int rank = placement->rank_of_stage[place];
    c->chunk[place] = rank >= 0 ? count[rank]++ : 0;
  }
}

/* The longest label, and the shortest action, which is one cell. */
static int
measure (Canvas *c) {
  int longest = 1;
  char label[16];
  c->cell = INFINITY;
  for (int rank = 0; rank < c->schedule->ranks; rank++) {
    const PwProgram *program = &c->schedule->programs[rank];
    for (int64_t i = 0; i < program->n_prologue; i++) {
      int64_t place = c->timeline->base[rank] + i;
      double duration = c->timeline->end[place] - c->timeline->start[place];
      if (!is_drawn (program->actions[i]))
        continue;
      longest = MAX (longest, label_of (c, program->actions[i], label));
      if (duration > 0)
        c->cell = MIN (c->cell, duration);
    }
  }
  if (isinf (c->cell))
    c->cell = 1;
  return longest;
}

static int64_t
column_of (const Canvas *c, double time) {
  return llround (MIN (time / c->cell * c->cell_width, 1e15));
}

/* Blanks between cells if that fits, else cells side by side, else cut. */
static void
choose_width (Canvas *c, int longest, int width) {
  int64_t room = MAX (width - c->margin, longest + 1);
  for (int blanks = 1; blanks >= 0; blanks--) {
    c->cell_width = longest + blanks;
    c->spaced = blanks == 1;
    c->columns = column_of (c, c->timeline->length);
    if (c->columns - blanks <= room)
      return;
  }
  c->cell_width = longest + 1;
  c->spaced = TRUE;
  c->columns = room / c->cell_width * c->cell_width;
}

static void
draw_ruler (Canvas *c) {
  g_string_append_printf (c->text, "%-*s", c->margin, "time");
  int64_t cells = (c->columns + c->cell_width - 1) / c->cell_width, drawn = 0;
  for (int64_t cell = 0; cell < cells; cell += 5) {
    char number[32];
    int64_t column = cell * c->cell_width;
    int n = g_snprintf (number, sizeof number, "%g", (double)cell * c->cell);
    if (column + n > c->columns)
      break;
    g_string_append_printf (c->text, "%*s%s", (int)(column - drawn), "", number);
    drawn = column + n;
  }
  g_string_append_c (c->text, '\n');
}

/* One "." per idle cell. */
static void
draw_idle (Canvas *c, int64_t from, int64_t to) {
  for (int64_t column = from; column < to; column++)
    g_string_append_c (c->text, column % c->cell_width == 0 ? '.' : ' ');
}

static void
draw_action (Canvas *c, PwAction action, int64_t from, int64_t to) {
  char label[16];
  int64_t length = label_of (c, action, label), width = to - from;
  int64_t filled = c->spaced && width > 1 ? width - 1 : width;
  if (c->color)
    g_string_append (c->text, looks[action.kind].color);
  for (int64_t k = 0; k < filled; k++)
    g_string_append_c (c->text, k < length ? label[k] : '-');
  if (c->color)
    g_string_append (c->text, "\033[0m");
  for (int64_t k = filled; k < width; k++)
    g_string_append_c (c->text, ' ');
}

static void
draw_rank (Canvas *c, int rank) {
  const PwProgram *program = &c->schedule->programs[rank];
  int64_t drawn = 0;
  g_string_append_printf (c->text, "rank %-*d| ", c->margin - 7, rank);
  for (int64_t i = 0; i < program->n_prologue && drawn < c->columns; i++) {
    int64_t place = c->timeline->base[rank] + i;
    if (!is_drawn (program->actions[i]) || isnan (c->timeline->start[place]))
      continue;
    int64_t from = MIN (column_of (c, c->timeline->start[place]), c->columns);
    int64_t to = MIN (column_of (c, c->timeline->end[place]), c->columns);
    draw_idle (c, drawn, from);
    draw_action (c, program->actions[i], MAX (from, drawn), to);
    drawn = MAX (drawn, to);
  }
  draw_idle (c, drawn, c->columns);
  while (c->text->len > 0 && c->text->str[c->text->len - 1] == ' ')
    g_string_truncate (c->text, c->text->len - 1);
  g_string_append_c (c->text, '\n');
}

static void
draw_legend (Canvas *c) {
  gboolean used[PW_ACTION_N] = { FALSE };
  for (int rank = 0; rank < c->schedule->ranks; rank++)
    for (int64_t i = 0; i < c->schedule->programs[rank].n_prologue; i++)
      used[c->schedule->programs[rank].actions[i].kind] = TRUE;
  for (int kind = 0; kind < PW_ACTION_N; kind++)
    if (used[kind] && looks[kind].legend != NULL)
      g_string_append_printf (c->text, "%s, ", looks[kind].legend);
  g_string_append (c->text, ". idle; the number is the micro-batch");
  if (c->schedule->pieces > 1)
    g_string_append_printf (c->text, " times %d plus the piece", c->schedule->pieces);
  if (c->schedule->chunks > 1)
    g_string_append (c->text, ", a b ... the chunk");
  if (c->schedule->placement->directions > 1)
    g_string_append (c->text, ", small letters the second direction");
  g_string_append_c (c->text, '\n');
}

static void
draw_summary (Canvas *c) {
  const PwTimeline *timeline = c->timeline;
  double bubble
      = timeline->length > 0 ? 1 - timeline->busy / (c->schedule->ranks * timeline->length) : 0;
  g_string_append_printf (c->text, "%g time units, bubble %.1f%%\n", timeline->length,
                          100 * bubble);
  int64_t whole = column_of (c, timeline->length);
  if (c->columns < whole)
    g_string_append_printf (c->text, "cut: the first %g of %g time units are shown\n",
                            (double)(c->columns / c->cell_width) * c->cell, timeline->length);
  for (int rank = 0; rank < c->schedule->ranks; rank++) {
    const PwProgram *program = &c->schedule->programs[rank];
    char text[PW_ACTION_TEXT_MAX];
    for (int64_t i = 0; i < program->n_prologue; i++)
      if (isnan (timeline->start[timeline->base[rank] + i])) {
        g_string_append_printf (c->text, "rank %d never gets to %s\n", rank,
                                pw_action_format (program->actions[i], text));
        break;
      }
  }
}

static int
count_digits (int number) {
  int digits = 1;
  while (number >= 10) {
    number /= 10;
    digits++;
  }
  return digits;
}

char *
pw_schedule_show (const PwSchedule *schedule, const PwShowOptions *options) {
  g_autoptr (PwSchedule) owned = NULL;
  const PwSchedule *plain = pw__schedule_plain (schedule, &owned, NULL);
  g_assert (plain != NULL);
  g_autoptr (PwTimeline) timeline = pw__timeline_new (plain, options->F, options->I, options->W);
  if (timeline == NULL)
    return g_strdup ("too incomplete to be drawn\n");
  Canvas c = { .schedule = plain,
               .timeline = timeline,
               .color = options->color,
               .margin = 8 + count_digits (plain->ranks - 1),
               .text = g_string_new (NULL) };
  number_chunks (&c);
  choose_width (&c, measure (&c), options->width > 0 ? options->width : 100);
  draw_ruler (&c);
  for (int rank = 0; rank < plain->ranks; rank++)
    draw_rank (&c, rank);
  draw_legend (&c);
  draw_summary (&c);
  g_free (c.chunk);
  return g_string_free (c.text, FALSE);
}
