/* Forward-backward improvement, as for projects with limited resources (Tormos and Lova, 2001): the
 * actions are taken in the order in which they start, and each goes into the earliest gap of its
 * rank that is long enough and has the memory. No action starts later than before, so the whole is
 * never longer. Then the same from the end of time backwards, and again.
 *
 *   rank | F0 F1 .  .  I0 F2      W0, taken last, goes into the gap before the action it
 *        |      ^ ... W0          would have followed */
#include "sim/planner/order_private.h"

#include <math.h>
#include <string.h>

static inline double
gap_start (const PwOrderRank *rank, int i) {
  return i > 0 ? rank->end[i - 1] : rank->release;
}

/* The first place from which on the memory is there, not before READY. */
static inline int
find_earliest (const PwOrderRank *rank, double ready, double memory) {
  int i = rank->n;
  while (i > rank->first_gap && rank->end[i - 1] > ready) {
    if (memory > 0 && rank->usage[i - 1] + memory > rank->limit)
      return MIN (i + 1, rank->n);
    i--;
  }
  if (memory > 0 && i > 0 && i < rank->n && rank->usage[i - 1] + memory > rank->limit)
    return i + 1;
  return i;
}

static inline int
find_gap (const PwOrderRank *rank, const PwOrderStep *step, double ready, double tolerance) {
  int i = find_earliest (rank, ready, step->memory);
  for (; i < rank->n; i++)
    if (MAX (ready, gap_start (rank, i)) + step->duration <= rank->start[i] + tolerance)
      break;
  return i;
}

/* Returns the action's end. */
static double
place (PwOrderRank *rank, const PwOrderStep *step, uint8_t letter, double ready, double tolerance) {
  int i = find_gap (rank, step, ready, tolerance), n = rank->n;
  double start = MAX (ready, gap_start (rank, i));
  double usage = (i > 0 ? rank->usage[i - 1] : 0) + step->memory;
  gsize behind = (gsize)(n - i);
  if (behind > 0) {
    memmove (rank->start + i + 1, rank->start + i, behind * sizeof *rank->start);
    memmove (rank->end + i + 1, rank->end + i, behind * sizeof *rank->end);
    memmove (rank->word + i + 1, rank->word + i, behind);
    memmove (rank->usage + i + 1, rank->usage + i, behind * sizeof *rank->usage);
    for (int j = i + 1; j <= n; j++)
      rank->usage[j] += step->memory;
  }
  rank->start[i] = start;
  rank->end[i] = start + step->duration;
  rank->word[i] = letter;
  rank->usage[i] = usage;
  rank->n = ++n;
  while (rank->first_gap < n
         && rank->start[rank->first_gap] - gap_start (rank, rank->first_gap)
                < rank->shortest - tolerance)
    rank->first_gap++;
  return start + step->duration;
}

/* When the next action of STEP's row can start; INFINITY: not known yet. */
static inline double
find_ready (const PwOrderProblem *problem, const PwOrderStep *step, const PwOrderScratch *scratch) {
  gsize n = (gsize)problem->microbatches;
  int m = scratch->count[step->row];
  double ready = 0;
  if (step->sender >= 0) {
    if (scratch->count[step->sender] <= m)
      return INFINITY;
    ready = pw__order_arrival (step, scratch->end[(gsize)step->sender * n + (gsize)m], scratch);
  }
  if (step->local >= 0)
    ready = MAX (ready, scratch->end[(gsize)step->local * n + (gsize)m]);
  if (m > 0)
    ready = MAX (ready, scratch->end[(gsize)step->row * n + (gsize)(m - 1)]);
  return ready;
}

static int
advance (const PwOrderProblem *problem, const PwOrderDirection *direction, int r,
         const uint8_t *word, PwOrderRank *rank, PwOrderScratch *scratch) {
  const PwOrderStep *steps = direction->steps + r * problem->letters;
  gsize n = (gsize)problem->microbatches;
  int i = scratch->position[r], first = i;
  for (; i < problem->length; i++) {
    const PwOrderStep *step = &steps[word[i]];
    double ready = find_ready (problem, step, scratch);
    if (ready == INFINITY)
      break;
    gsize m = (gsize)scratch->count[step->row]++;
    if (step->is_queued)
      scratch->arrival[step->row]
          = pw__order_arrival (step, scratch->end[(gsize)step->sender * n + m], scratch);
    scratch->end[(gsize)step->row * n + m] = place (rank, step, word[i], ready, problem->tolerance);
  }
  scratch->position[r] = i;
  return i - first;
}

static void
start_ranks (const PwOrderProblem *problem, const PwOrderDirection *direction, uint8_t *out,
             PwOrderScratch *scratch) {
  for (int r = 0; r < problem->ranks; r++) {
    PwOrderRank *rank = &scratch->ranks[r];
    rank->word = out + (gsize)r * (gsize)problem->length;
    rank->n = rank->first_gap = 0;
    rank->release = direction->release[r];
    rank->limit = problem->limit[r];
    rank->shortest = INFINITY;
    for (int letter = 0; letter < problem->letters; letter++)
      rank->shortest
          = MIN (rank->shortest, direction->steps[r * problem->letters + letter].duration);
  }
}

/* Packs WORDS, which must not deadlock, into OUT. */
static void
pack (const PwOrderProblem *problem, const PwOrderDirection *direction, const uint8_t *words,
      uint8_t *out, PwOrderScratch *scratch) {
  int n = problem->ranks;
  start_ranks (problem, direction, out, scratch);
  memset (scratch->count, 0, (gsize)problem->rows * sizeof *scratch->count);
  memset (scratch->position, 0, (gsize)n * sizeof *scratch->position);
  memset (scratch->arrival, 0, (gsize)problem->rows * sizeof *scratch->arrival);
  gsize left = pw__order_size (problem);
  scratch->visits += (int64_t)left;
  for (gboolean up = direction == &problem->backwards; left > 0; up = !up)
    for (int i = 0; i < n; i++) {
      int r = up ? n - 1 - i : i;
      const uint8_t *word = words + (gsize)r * (gsize)problem->length;
      left -= (gsize)advance (problem, direction, r, word, &scratch->ranks[r], scratch);
    }
}

double
pw__order_justify (const PwOrderProblem *problem, uint8_t *words, int rounds,
                   PwOrderScratch *scratch) {
  gsize size = pw__order_size (problem);
  uint8_t *right = scratch->words[0], *left = scratch->words[1];
  double value = pw__order_evaluate (problem, words, scratch);
  for (int round = 0; round < rounds && value < INFINITY; round++) {
    memcpy (left, words, size);
    pw__order_reverse (problem, left);
    pack (problem, &problem->backwards, left, right, scratch);
    pw__order_reverse (problem, right);
    pack (problem, &problem->forwards, right, left, scratch);
    double now = pw__order_evaluate (problem, left, scratch);
    if (now > value + problem->tolerance || memcmp (words, left, size) == 0)
      break;
    memcpy (words, left, size);
    gboolean is_better = now < value - problem->tolerance;
    value = now;
    if (!is_better)
      break;
  }
  return value;
}
