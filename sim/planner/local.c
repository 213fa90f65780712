/* Local search: only an action on the longest path can shorten the whole, so one of these is moved
 * within its rank's word, to its neighbour's place or a little further. Moves that change nothing
 * are kept, too: they are the way out of plateaus. */
#include "sim/planner/local_private.h"

#include <math.h>
#include <string.h>

typedef struct {
  int rank, index;
} Place;

typedef struct {
  const PwOrderProblem *problem;
  uint8_t *words;
  PwOrderScratch *scratch;
  GRand *random;
  int *microbatch; /* [ranks][length] of each letter */
  int *index;      /* [rows][microbatches] where it stands in its rank's word */
  Place *path;
  int n_path;
  uint8_t *saved; /* [length] */
} Local;

static void
index_words (Local *l) {
  const PwOrderProblem *problem = l->problem;
  for (int r = 0; r < problem->ranks; r++) {
    const PwOrderStep *steps = problem->forwards.steps + r * problem->letters;
    int count[PW_LETTERS_MAX] = { 0 };
    gsize base = (gsize)r * (gsize)problem->length;
    for (int i = 0; i < problem->length; i++) {
      int letter = l->words[base + (gsize)i], m = count[letter]++;
      l->microbatch[base + (gsize)i] = m;
      l->index[(gsize)steps[letter].row * (gsize)problem->microbatches + (gsize)m] = i;
    }
  }
}

static double
end_of (const Local *l, int rank, int i, const PwOrderStep **step) {
  const PwOrderProblem *problem = l->problem;
  gsize at = (gsize)rank * (gsize)problem->length + (gsize)i;
  *step = &problem->forwards.steps[rank * problem->letters + l->words[at]];
  gsize m = (gsize)l->microbatch[at];
  return l->scratch->end[(gsize)(*step)->row * (gsize)problem->microbatches + m];
}

/* The micro-batch whose message holds up that of M for STEP, which starts at START: M itself, or
 * one before that was in the way; -1: the message was there before. */
static int
find_message (const Local *l, const PwOrderStep *step, int m, double start) {
  if (step->sender < 0)
    return -1;
  const double *sent = l->scratch->end + (gsize)step->sender * (gsize)l->problem->microbatches;
  int last = step->is_queued ? 0 : m;
  for (int i = m; i >= last; i--)
    if (sent[i] + (m - i + 1) * step->delay >= start - l->problem->tolerance)
      return i;
  return -1;
}

/* What holds up the action at PLACE: FALSE if nothing does. Of two, either. */
static gboolean
step_back (const Local *l, Place *place) {
  const PwOrderProblem *problem = l->problem;
  const PwOrderStep *step, *before;
  double start = end_of (l, place->rank, place->index, &step) - step->duration;
  int m = l->microbatch[(gsize)place->rank * (gsize)problem->length + (gsize)place->index];
  int message = find_message (l, step, m, start);
  gboolean by_rank
      = place->index > 0
        && end_of (l, place->rank, place->index - 1, &before) >= start - problem->tolerance;
  if (message >= 0 && (!by_rank || g_rand_boolean (l->random))) {
    place->rank = pw__order_rank (problem, step->sender % problem->stages);
    place->index = l->index[(gsize)step->sender * (gsize)problem->microbatches + (gsize)message];
    return TRUE;
  }
  place->index--;
  return by_rank;
}

static void
trace_path (Local *l, double value) {
  const PwOrderProblem *problem = l->problem;
  int last = -1, n_last = 0;
  for (int r = 0; r < problem->ranks; r++)
    if (l->scratch->clock[r] - problem->due[r] >= value - problem->tolerance
        && g_rand_int_range (l->random, 0, ++n_last) == 0)
      last = r;
  Place place = { last, problem->length - 1 };
  l->n_path = 0;
  do
    l->path[l->n_path++] = place;
  while (step_back (l, &place));
}

/* Moves a letter of the path; FALSE if that is none. */
static gboolean
move_one (Local *l, Place place) {
  const PwOrderProblem *problem = l->problem;
  uint8_t *word = l->words + (gsize)place.rank * (gsize)problem->length;
  int far = 1 + (int)g_rand_int_range (l->random, 0, 1 + g_rand_int_range (l->random, 0, 12));
  int to = place.index + (g_rand_boolean (l->random) ? far : -far);
  if (to < 0 || to >= problem->length)
    return FALSE;
  uint8_t letter = word[place.index];
  gsize n = (gsize)ABS (to - place.index);
  memcpy (l->saved, word, (gsize)problem->length);
  if (to > place.index)
    memmove (word + place.index, word + place.index + 1, n);
  else
    memmove (word + to + 1, word + to, n);
  word[to] = letter;
  return memcmp (word, l->saved, (gsize)problem->length) != 0;
}

static double
climb (Local *l, double value, int64_t visits_max, double target) {
  const PwOrderProblem *problem = l->problem;
  PwOrderScratch *scratch = l->scratch;
  while (scratch->visits < visits_max && value > target + problem->tolerance) {
    scratch->visits += 1 + problem->length / 32;
    Place place = l->path[g_rand_int_range (l->random, 0, l->n_path)];
    uint8_t *word = l->words + (gsize)place.rank * (gsize)problem->length;
    if (!move_one (l, place))
      continue;
    double now = INFINITY;
    if (pw__order_word_fits (problem, place.rank, word))
      now = pw__order_evaluate (problem, l->words, scratch);
    if (now > value + problem->tolerance) {
      memcpy (word, l->saved, (gsize)problem->length);
      continue;
    }
    value = now;
    index_words (l);
    trace_path (l, value);
  }
  return value;
}

double
pw__order_improve (const PwOrderProblem *problem, uint8_t *words, int64_t visits_max, double target,
                   PwOrderScratch *scratch) {
  gsize size = pw__order_size (problem);
  Local l = { .problem = problem,
              .words = words,
              .scratch = scratch,
              .random = g_rand_new_with_seed (1),
              .microbatch = g_new (int, size),
              .index = g_new (int, size),
              .path = g_new (Place, size),
              .saved = g_new (uint8_t, (gsize)problem->length) };
  double value = pw__order_evaluate (problem, words, scratch);
  index_words (&l);
  trace_path (&l, value);
  value = climb (&l, value, visits_max, target);
  g_free (l.microbatch);
  g_free (l.index);
  g_free (l.path);
  g_free (l.saved);
  g_rand_free (l.random);
  return value;
}
