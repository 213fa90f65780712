/* Priority dispatching: whenever a rank is free it starts the most urgent action that is ready, or
 * waits for one that is more urgent and about to be. Simple, and a start for everything else. */
#include "sim/planner/dispatch_private.h"

#include <math.h>
#include <string.h>

typedef struct {
  const PwOrderProblem *problem;
  const PwDispatchRule *rule;
  PwOrderScratch *scratch;
  double *next;  /* [ranks] when the rank looks again; INFINITY: when a message comes */
  double *usage; /* [ranks] */
} Dispatch;

/* Deadlock is kept out by leaving room: of two chunks, the first may never take what the second
 * needs for one micro-batch. Then the oldest micro-batch under way can always go on. */
static gboolean
has_memory (const Dispatch *d, int rank, int letter) {
  const PwOrderProblem *problem = d->problem;
  const PwOrderStep *steps = problem->forwards.steps + rank * problem->letters;
  double memory = steps[letter].memory, limit = problem->limit[rank];
  if (memory <= 0)
    return TRUE;
  if (d->usage[rank] + memory > limit)
    return FALSE;
  if (problem->chunks == 1 || letter == 1)
    return TRUE;
  const int *count = d->scratch->count;
  int under_way = count[steps[0].row] - count[steps[2].row] + 1;
  return under_way * memory + steps[1].memory <= limit;
}

/* INFINITY: not known, finished, or no memory. */
static double
find_ready (const Dispatch *d, int rank, int letter) {
  const PwOrderProblem *problem = d->problem;
  const PwOrderScratch *scratch = d->scratch;
  const PwOrderStep *step = &problem->forwards.steps[rank * problem->letters + letter];
  gsize n = (gsize)problem->microbatches;
  int m = scratch->count[step->row];
  if (m >= problem->microbatches || (step->local >= 0 && scratch->count[step->local] <= m))
    return INFINITY;
  if (step->sender >= 0 && scratch->count[step->sender] <= m)
    return INFINITY;
  if (!has_memory (d, rank, letter))
    return INFINITY;
  if (step->sender < 0)
    return 0;
  return scratch->end[(gsize)step->sender * n + (gsize)m] + step->delay;
}

static double
urgency (const Dispatch *d, int rank, int letter) {
  const PwOrderStep *step = &d->problem->forwards.steps[rank * d->problem->letters + letter];
  int m = d->scratch->count[step->row];
  return d->rule->offset[step->row] + m * d->rule->period;
}

/* The letter to start at NOW; -1: none, *LATER is when to look again. */
static int
choose (const Dispatch *d, int rank, double now, double *later) {
  const PwOrderProblem *problem = d->problem;
  const PwOrderStep *steps = problem->forwards.steps + rank * problem->letters;
  double ready[PW_LETTERS_MAX], urgent[PW_LETTERS_MAX], tolerance = problem->tolerance;
  int best = -1;
  *later = INFINITY;
  for (int letter = 0; letter < problem->letters; letter++) {
    ready[letter] = find_ready (d, rank, letter);
    urgent[letter] = ready[letter] < INFINITY ? urgency (d, rank, letter) : INFINITY;
    if (ready[letter] > now + tolerance)
      *later = MIN (*later, ready[letter]);
    else if (best < 0 || urgent[letter] < urgent[best])
      best = letter;
  }
  if (best < 0)
    return -1;
  double end = now + steps[best].duration;
  for (int letter = 0; letter < problem->letters; letter++)
    if (ready[letter] > now + tolerance && ready[letter] < end - tolerance
        && urgent[letter] < urgent[best]
        && ready[letter] - now <= d->rule->patience * (end - ready[letter]))
      return -1;
  return best;
}

static void
wake_receiver (Dispatch *d, int rank, int letter, double end) {
  const PwOrderProblem *problem = d->problem;
  int stage = pw__order_stage (problem, rank, letter);
  int receiver = letter < problem->chunks ? stage + 1 : stage - 1;
  if (letter >= 2 * problem->chunks || receiver < 0 || receiver >= problem->stages)
    return;
  int r = pw__order_rank (problem, receiver);
  double arrival = end + problem->link[MIN (stage, receiver)];
  d->next[r] = MIN (d->next[r], MAX (arrival, d->scratch->clock[r]));
}

static void
start (Dispatch *d, int rank, int letter, double now, uint8_t *words) {
  const PwOrderProblem *problem = d->problem;
  const PwOrderStep *step = &problem->forwards.steps[rank * problem->letters + letter];
  PwOrderScratch *scratch = d->scratch;
  double end = now + step->duration;
  gsize m = (gsize)scratch->count[step->row]++;
  scratch->end[(gsize)step->row * (gsize)problem->microbatches + m] = end;
  scratch->clock[rank] = d->next[rank] = end;
  d->usage[rank] += step->memory;
  words[rank * problem->length + scratch->position[rank]++] = (uint8_t)letter;
  wake_receiver (d, rank, letter, end);
}

static int
find_first (const Dispatch *d) {
  int first = 0;
  for (int r = 1; r < d->problem->ranks; r++)
    if (d->next[r] < d->next[first])
      first = r;
  return first;
}

gboolean
pw__order_dispatch (const PwOrderProblem *problem, const PwDispatchRule *rule, uint8_t *words,
                    PwOrderScratch *scratch) {
  gsize ranks = (gsize)problem->ranks;
  g_autofree double *next = g_new0 (double, ranks), *usage = g_new0 (double, ranks);
  Dispatch d = { problem, rule, scratch, next, usage };
  memset (scratch->count, 0, (gsize)problem->rows * sizeof *scratch->count);
  memset (scratch->position, 0, ranks * sizeof *scratch->position);
  memset (scratch->clock, 0, ranks * sizeof *scratch->clock);
  gsize left = pw__order_size (problem);
  scratch->visits += 2 * (int64_t)left;
  while (left > 0) {
    int rank = find_first (&d);
    double now = next[rank], later;
    if (now == INFINITY)
      return FALSE;
    int letter = choose (&d, rank, now, &later);
    if (letter < 0) {
      next[rank] = later;
      continue;
    }
    start (&d, rank, letter, now, words);
    left--;
  }
  return TRUE;
}
