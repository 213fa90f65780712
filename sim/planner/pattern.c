#include "sim/planner/pattern_private.h"

#include <math.h>

/* What is placed on one rank's circle, sorted by position. */
typedef struct {
  double position[PW_LETTERS_MAX], duration[PW_LETTERS_MAX];
  int n;
  gboolean is_placed[PW_LETTERS_MAX]; /* by letter */
} Circle;

typedef struct {
  const PwOrderProblem *problem;
  double period, tolerance;
  const double *delays;
  Circle *circles; /* [ranks] */
} Builder;

static double
wrap (double x, double period) {
  double y = fmod (x, period);
  return y < 0 ? y + period : y;
}

/* How far TIME has to move for DURATION to stand clear of everything placed; negative: never. */
static double
find_clear (const Builder *b, const Circle *circle, double time, double duration) {
  if (circle->n == 0)
    return duration <= b->period + b->tolerance ? 0 : -1;
  double x = wrap (time, b->period);
  for (int turn = 0; turn < 2; turn++)
    for (int i = 0; i < circle->n; i++) {
      double next = i + 1 < circle->n ? circle->position[i + 1] : circle->position[0] + b->period;
      double from = circle->position[i] + circle->duration[i] + turn * b->period;
      double start = MAX (x, from);
      if (turn == 0 && i == 0 && x + duration <= circle->position[0] + b->tolerance)
        return 0;
      if (start + duration <= next + turn * b->period + b->tolerance)
        return start - x;
    }
  return -1;
}

static void
insert (const Builder *b, Circle *circle, double time, double duration) {
  double x = wrap (time, b->period);
  if (b->period - x < b->tolerance)
    x = 0;
  int i = circle->n++;
  for (; i > 0 && circle->position[i - 1] > x; i--) {
    circle->position[i] = circle->position[i - 1];
    circle->duration[i] = circle->duration[i - 1];
  }
  circle->position[i] = x;
  circle->duration[i] = duration;
}

/* Whether REST, whole, goes into the gaps: every way is tried, there are few. */
static gboolean
fits_into (const double *gaps, int n_gaps, const double *rest, int n_rest, double tolerance) {
  if (n_rest == 0)
    return TRUE;
  double left[PW_LETTERS_MAX];
  for (int i = 0; i < n_gaps; i++) {
    if (gaps[i] + tolerance < rest[0])
      continue;
    for (int j = 0; j < n_gaps; j++)
      left[j] = gaps[j] - (j == i ? rest[0] : 0);
    if (fits_into (left, n_gaps, rest + 1, n_rest - 1, tolerance))
      return TRUE;
  }
  return FALSE;
}

/* With DURATION at TIME, is there room for REST? */
static gboolean
leaves_room (const Builder *b, const Circle *circle, double time, double duration,
             const double *rest, int n_rest) {
  Circle after = *circle;
  insert (b, &after, time, duration);
  double gaps[PW_LETTERS_MAX];
  for (int i = 0; i < after.n; i++) {
    double next = i + 1 < after.n ? after.position[i + 1] : after.position[0] + b->period;
    gaps[i] = next - after.position[i] - after.duration[i];
  }
  return fits_into (gaps, after.n, rest, n_rest, b->tolerance);
}

/* The earliest time from READY on that stands clear and leaves room: where it stands clear at all,
 * or where some of the rest just goes between an action that is placed and this one. */
static double
find_time (const Builder *b, const Circle *circle, double ready, double duration,
           const double *rest, int n_rest) {
  double clear = find_clear (b, circle, ready, duration);
  if (clear < 0)
    return -1;
  if (leaves_room (b, circle, ready + clear, duration, rest, n_rest))
    return ready + clear;
  double best = INFINITY;
  for (int subset = 0; subset < 1 << n_rest; subset++) {
    double between = 0;
    for (int i = 0; i < n_rest; i++)
      between += subset >> i & 1 ? rest[i] : 0;
    for (int i = 0; i < circle->n; i++) {
      double wait = wrap (circle->position[i] + circle->duration[i] + between - ready, b->period);
      if (wait >= best || fabs (find_clear (b, circle, ready + wait, duration)) > b->tolerance)
        continue;
      if (leaves_room (b, circle, ready + wait, duration, rest, n_rest))
        best = wait;
    }
  }
  return best < INFINITY ? ready + best : -1;
}

/* Returns when the action starts; negative: nowhere. */
static double
place (const Builder *b, int rank, int letter, double ready) {
  const PwOrderProblem *problem = b->problem;
  const PwOrderStep *steps = problem->forwards.steps + rank * problem->letters;
  Circle *circle = &b->circles[rank];
  double rest[PW_LETTERS_MAX];
  int n_rest = 0;
  circle->is_placed[letter] = TRUE;
  for (int i = 0; i < problem->letters; i++)
    if (!circle->is_placed[i])
      rest[n_rest++] = steps[i].duration;
  double time = find_time (b, circle, ready, steps[letter].duration, rest, n_rest);
  if (time >= 0)
    insert (b, circle, time, steps[letter].duration);
  return time;
}

static gboolean
place_row (const Builder *b, PwPattern *pattern, PwKind kind, int stage, double *ready) {
  const PwOrderProblem *problem = b->problem;
  int rank = pw__order_rank (problem, stage);
  int letter = (int)kind * problem->chunks + (stage >= problem->ranks);
  double time = place (b, rank, letter, *ready);
  if (time < 0)
    return FALSE;
  pattern->offset[(int)kind * problem->stages + stage] = time;
  *ready = time + problem->duration[kind][stage];
  return TRUE;
}

static gboolean
place_all (const Builder *b, PwPattern *pattern) {
  const PwOrderProblem *problem = b->problem;
  int last = problem->stages - 1;
  double ready = 0;
  for (int s = 0; s <= last; s++) {
    ready += b->delays[s / problem->ranks];
    if (!place_row (b, pattern, PW_KIND_FORWARD, s, &ready))
      return FALSE;
    ready += problem->link[s];
  }
  for (int s = last; s >= 0; s--) {
    ready += b->delays[2 * problem->chunks - 1 - s / problem->ranks];
    if (!place_row (b, pattern, PW_KIND_INPUT, s, &ready))
      return FALSE;
    ready += s > 0 ? problem->link[s - 1] : 0;
  }
  const double *input = pattern->offset + problem->stages;
  for (int s = last; s >= 0; s--) {
    ready = input[s] + problem->duration[PW_KIND_INPUT][s];
    if (!place_row (b, pattern, PW_KIND_WEIGHT, s, &ready))
      return FALSE;
  }
  return TRUE;
}

void
pw__pattern_init (PwPattern *pattern, const PwOrderProblem *problem) {
  *pattern = (PwPattern){ .offset = g_new0 (double, (gsize)problem->rows) };
}

void
pw__pattern_clear (PwPattern *pattern) {
  g_clear_pointer (&pattern->offset, g_free);
}

gboolean
pw__pattern_build (PwPattern *pattern, const PwOrderProblem *problem, double period,
                   const double *delays) {
  g_autofree Circle *circles = g_new0 (Circle, (gsize)problem->ranks);
  Builder b = { problem, period, 1e-9 * period, delays, circles };
  pattern->period = period;
  return place_all (&b, pattern);
}

/* Repetitions of what starts at START and ends at END that are alive at TIME; what ends then is
 * gone. */
static double
count_alive (double start, double end, double time, double period) {
  double slack = 1e-7;
  return floor ((time - start) / period + slack) - floor ((time - end) / period + slack);
}

double
pw__pattern_peak (const PwPattern *pattern, const PwOrderProblem *problem) {
  const double *forward = pattern->offset, *input = forward + problem->stages,
               *weight = input + problem->stages;
  double worst = 0;
  for (int moment = 0; moment < problem->stages; moment++) {
    int rank = pw__order_rank (problem, moment);
    double usage = 0;
    for (int c = 0; c < problem->chunks; c++) {
      int s = pw__order_stage (problem, rank, c);
      double input_end = input[s] + problem->duration[PW_KIND_INPUT][s];
      double weight_end = weight[s] + problem->duration[PW_KIND_WEIGHT][s];
      double time = forward[moment], period = pattern->period;
      usage += (problem->held[s] - problem->kept[s])
               * count_alive (forward[s], input_end, time, period);
      usage += problem->kept[s] * count_alive (forward[s], weight_end, time, period);
    }
    worst = MAX (worst, usage / problem->limit[rank]);
  }
  return worst;
}

/* Of actions that start together, which takes no time then, the one that gives memory back comes
 * first, if what it needs has been done. */
static int
find_next (const PwOrderProblem *problem, const double *next, const int *count) {
  int first = -1;
  for (int letter = problem->letters - 1; letter >= 0; letter--) {
    gboolean is_possible
        = letter < problem->chunks || count[letter] < count[letter - problem->chunks];
    if (is_possible && (first < 0 || next[letter] < next[first]))
      first = letter;
  }
  return first;
}

void
pw__pattern_unroll (const PwPattern *pattern, const PwOrderProblem *problem, uint8_t *words) {
  for (int rank = 0; rank < problem->ranks; rank++) {
    const PwOrderStep *steps = problem->forwards.steps + rank * problem->letters;
    uint8_t *word = words + (gsize)rank * (gsize)problem->length;
    double next[PW_LETTERS_MAX];
    int count[PW_LETTERS_MAX] = { 0 };
    for (int letter = 0; letter < problem->letters; letter++)
      next[letter] = pattern->offset[steps[letter].row];
    for (int i = 0; i < problem->length; i++) {
      int letter = find_next (problem, next, count);
      word[i] = (uint8_t)letter;
      next[letter] += pattern->period;
      if (++count[letter] == problem->microbatches)
        next[letter] = INFINITY;
    }
  }
}
