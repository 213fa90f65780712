/* Slots are units of time in which F, I and W each take one. Every rank's list is a row of slots;
 * reordering moves actions to earlier free slots, and the order of the slots is the schedule. */
#include "schedules/v_private.h"

#include <string.h>

/* A PwVStep or this one: weight gradients of either stage, first come, first served. */
#define WEIGHT PW_V_N
#define FREE (PW_V_N + 1)

typedef struct {
  int ranks, microbatches;
  int length;       /* slots per rank */
  int *slot;        /* [ranks][6M]: of each step and micro-batch, then of 2M weight gradients */
  uint8_t *content; /* [ranks][length]: PwVStep, WEIGHT or FREE */
  /* At the end of each slot, [ranks][length]: chunks whose activations are held, and backwards
   * whose weight gradient is not done. */
  int *held, *waiting;
  int limit; /* of held */
  /* Weight gradients have slots of their own; else they take whatever is free, unseen. */
  gboolean has_weights;
} Grid;

static int *
slot_of (const Grid *g, int rank, int step, int m) {
  return &g->slot[((gsize)rank * 6 + (gsize)step) * (gsize)g->microbatches + (gsize)m];
}

static uint8_t *
row_of (const Grid *g, int rank) {
  return g->content + (gsize)rank * (gsize)g->length;
}

static Grid *
grid_new (const PwScheduleParams *params, PwVPattern pattern) {
  int P = params->ranks, M = params->microbatches, last = 0;
  g_autofree int *starts = g_new (int, (gsize)P *PW_V_N);
  for (int rank = 0; rank < P; rank++)
    pattern (P, rank, &starts[rank * PW_V_N]);
  for (int i = 0; i < P * PW_V_N; i++)
    last = MAX (last, starts[i]);
  Grid *g = g_new (Grid, 1);
  *g = (Grid){ .ranks = P, .microbatches = M, .length = last + 1 + PW_V_PERIOD * (M - 1) + 2 * M };
  gsize cells = (gsize)P * (gsize)g->length;
  g->slot = g_new (int, (gsize)P * 6 * (gsize)M);
  g->content = g_malloc (cells);
  g->held = g_new (int, cells);
  g->waiting = g_new (int, cells);
  memset (g->content, FREE, cells);
  for (int rank = 0; rank < P; rank++)
    for (int step = 0; step < PW_V_N; step++)
      for (int m = 0; m < M; m++) {
        int t = starts[rank * PW_V_N + step] + PW_V_PERIOD * m;
        g_assert (row_of (g, rank)[t] == FREE);
        row_of (g, rank)[t] = (uint8_t)step;
        *slot_of (g, rank, step, m) = t;
      }
  return g;
}

static void
grid_free (Grid *g) {
  g_free (g->slot);
  g_free (g->content);
  g_free (g->held);
  g_free (g->waiting);
  g_free (g);
}

static gboolean
is_backward (int content) {
  return content == PW_V_BACKWARD_UP || content == PW_V_BACKWARD_DOWN;
}

/* Gives weight gradients the free slots behind their backwards. */
static void
add_weights (Grid *g) {
  for (int rank = 0; rank < g->ranks; rank++) {
    uint8_t *row = row_of (g, rank);
    int waiting = 0, done = 0;
    for (int t = 0; done < 2 * g->microbatches; t++) {
      if (is_backward (row[t])) {
        waiting++;
      } else if (row[t] == FREE && waiting > 0) {
        row[t] = WEIGHT;
        *slot_of (g, rank, WEIGHT, done++) = t;
        waiting--;
      }
    }
  }
  g->has_weights = TRUE;
}

static void
remove_weights (Grid *g) {
  gsize cells = (gsize)g->ranks * (gsize)g->length;
  for (gsize i = 0; i < cells; i++)
    if (g->content[i] == WEIGHT)
      g->content[i] = FREE;
  g->has_weights = FALSE;
}

static void
step_over (const Grid *g, int content, int *held, int *waiting) {
  if (content == PW_V_FORWARD_DOWN || content == PW_V_FORWARD_UP) {
    ++*held;
  } else if (is_backward (content)) {
    ++*waiting;
  } else if (content == WEIGHT || (!g->has_weights && *waiting > 0)) {
    --*held;
    --*waiting;
  }
}

static void
measure (Grid *g) {
  g->limit = 0;
  for (int rank = 0; rank < g->ranks; rank++) {
    gsize base = (gsize)rank * (gsize)g->length;
    int held = 0, waiting = 0;
    for (gsize i = base; i < base + (gsize)g->length; i++) {
      step_over (g, g->content[i], &held, &waiting);
      g->held[i] = held;
      g->waiting[i] = waiting;
      g->limit = MAX (g->limit, held);
    }
  }
}

/* Brings `held` and `waiting` of RANK up to date from slot FROM, until they agree with what stands
 * there from slot AGREES on; FALSE if the limit is passed. KEEP: write them. */
static gboolean
measure_again (Grid *g, int rank, int from, int agrees, gboolean keep) {
  gsize base = (gsize)rank * (gsize)g->length;
  int held = from > 0 ? g->held[base + (gsize)from - 1] : 0;
  int waiting = from > 0 ? g->waiting[base + (gsize)from - 1] : 0;
  for (int t = from; t < g->length; t++) {
    gsize i = base + (gsize)t;
    step_over (g, g->content[i], &held, &waiting);
    if (held > g->limit)
      return FALSE;
    if (t >= agrees && held == g->held[i] && waiting == g->waiting[i])
      return TRUE;
    if (keep) {
      g->held[i] = held;
      g->waiting[i] = waiting;
    }
  }
  return TRUE;
}

/* The first slot that the stages before it leave to STEP of M. */
static int
earliest (const Grid *g, int rank, int step, int m) {
  int slot = -1;
  if (step == WEIGHT)
    return 0;
  gboolean down = step == PW_V_FORWARD_DOWN || step == PW_V_BACKWARD_UP;
  int neighbour = down ? rank - 1 : rank + 1;
  if (neighbour >= 0 && neighbour < g->ranks)
    slot = *slot_of (g, neighbour, step, m);
  if (step > 0)
    slot = MAX (slot, *slot_of (g, rank, step - 1, m));
  return slot + 1;
}

/* The slot behind the backward number M of the rank, seen from slot T, before which the rank has
 * done DONE of them. */
static int
after_backward (const Grid *g, int rank, int t, int done, int m) {
  const uint8_t *row = row_of (g, rank);
  while (done > m)
    done -= is_backward (row[--t]);
  return t + 1;
}

static void
move (Grid *g, int rank, int step, int m, int from, int to) {
  uint8_t *row = row_of (g, rank);
  row[from] = FREE;
  row[to] = (uint8_t)step;
  *slot_of (g, rank, step, m) = to;
}

/* Moves what stands at slot T of RANK to the earliest free slot from FIRST on that keeps the limit.
 */
static void
move_early (Grid *g, int rank, int step, int m, int first, int t) {
  const uint8_t *row = row_of (g, rank);
  const int *held = g->held + (gsize)rank * (gsize)g->length;
  gboolean forward = step == PW_V_FORWARD_DOWN || step == PW_V_FORWARD_UP;
  if (forward && g->has_weights) {
    int lowest = t;
    while (lowest > first && held[lowest - 1] < g->limit)
      lowest--;
    first = lowest;
  }
  for (int to = first; to < t; to++) {
    if (row[to] != FREE)
      continue;
    move (g, rank, step, m, t, to);
    if (measure_again (g, rank, to, t, FALSE)) {
      measure_again (g, rank, to, t, TRUE);
      return;
    }
    move (g, rank, step, m, to, t);
  }
}

/* The steady state keeps the pattern; warm-up ends with the first backward on rank 0, cool-down
 * begins with the last forward there. */
static void
reorder (Grid *g, gboolean warmup) {
  int M = g->microbatches;
  g_autofree int *count = g_new0 (int, (gsize)g->ranks *FREE);
  gboolean warms_up = TRUE, cools_down = FALSE;
  measure (g);
  for (int t = 0; t < g->length; t++)
    for (int rank = 0; rank < g->ranks; rank++) {
      int step = row_of (g, rank)[t], *done = &count[rank * FREE];
      if (step == FREE)
        continue;
      int m = done[step]++;
      if (step == PW_V_BACKWARD_DOWN && rank == 0 && m == 0) {
        warms_up = FALSE;
        cools_down = done[PW_V_FORWARD_DOWN] == M;
      }
      if (warms_up ? warmup : cools_down) {
        int first = earliest (g, rank, step, m);
        if (step == WEIGHT)
          first = after_backward (g, rank, t, done[PW_V_BACKWARD_UP] + done[PW_V_BACKWARD_DOWN], m);
        if (m > 0)
          first = MAX (first, *slot_of (g, rank, step, m - 1) + 1);
        move_early (g, rank, step, m, first, t);
      }
      if (!warms_up && rank == 0 && step == PW_V_FORWARD_DOWN && m == M - 1)
        cools_down = TRUE;
    }
}

/* Keeps the order and starts everything as soon as it can. */
static void
squeeze (Grid *g) {
  g_autofree int *count = g_new0 (int, (gsize)g->ranks *FREE);
  g_autofree int *ready = g_new0 (int, (gsize)g->ranks);
  for (int t = 0; t < g->length; t++)
    for (int rank = 0; rank < g->ranks; rank++) {
      int step = row_of (g, rank)[t];
      if (step == FREE)
        continue;
      int m = count[rank * FREE + step]++;
      int start = MAX (ready[rank], earliest (g, rank, step, m));
      move (g, rank, step, m, t, start);
      ready[rank] = start + 1;
    }
}

/* In free slots, the upper stage's weight gradients first; the rest at the end. */
static void
write_list (const Grid *g, int rank, PwAction *out) {
  const uint8_t *row = row_of (g, rank);
  int upper = 2 * g->ranks - 1 - rank, next[PW_V_N] = { 0 }, weights[2] = { 0 };
  for (int t = 0; t < g->length; t++) {
    gboolean up = row[t] == PW_V_FORWARD_UP || row[t] == PW_V_BACKWARD_UP;
    if (row[t] != FREE) {
      PwActionKind kind = is_backward (row[t]) ? PW_ACTION_INPUT_GRADIENT : PW_ACTION_FORWARD;
      *out++ = pw_action (kind, up ? upper : rank, next[row[t]]++);
    } else if (weights[1] < next[PW_V_BACKWARD_UP]) {
      *out++ = pw_action (PW_ACTION_WEIGHT_GRADIENT, upper, weights[1]++);
    } else if (weights[0] < next[PW_V_BACKWARD_DOWN]) {
      *out++ = pw_action (PW_ACTION_WEIGHT_GRADIENT, rank, weights[0]++);
    }
  }
  g_assert (weights[0] == g->microbatches && weights[1] == g->microbatches);
}

PwSchedule *
pw__v_pattern_new (const char *name, const PwScheduleParams *params, PwVPattern pattern,
                   GError **error) {
  PwSchedule *schedule = pw__schedule_new_v (name, params, error);
  if (schedule == NULL)
    return NULL;
  Grid *g = grid_new (params, pattern);
  add_weights (g);
  reorder (g, TRUE);
  squeeze (g);
  remove_weights (g);
  reorder (g, FALSE);
  add_weights (g);
  squeeze (g);
  remove_weights (g);
  for (int rank = 0; rank < params->ranks; rank++)
    write_list (g, rank, schedule->programs[rank].actions);
  grid_free (g);
  return schedule;
}
