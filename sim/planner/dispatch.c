/* Priority dispatching: whenever a rank is free it starts the most urgent action that is ready, or
 * waits for one that is more urgent and about to be. Simple, and a start for everything else. */
#include "sim/planner/dispatch_private.h"

#include <math.h>
#include <string.h>

typedef struct {
  const PwOrderProblem *problem;
  const PwOrderDirection *direction;
  const PwDispatchRule *rule;
  PwOrderScratch *scratch;
  double *next;  /* [ranks] when the rank looks again; INFINITY: when a message comes */
  double *usage; /* [ranks] */
} Dispatch;

/* Deadlock is kept out by leaving room: whatever is taken ahead, the oldest micro-batch under way
 * must be able to go on once all that stands before it has come back.
 *
 * Forwards, of two chunks, F0 may never take what F1 needs. */
static gboolean
leaves_room (const PwOrderStep *steps, const int *count, int letter, gboolean is_bold,
             double limit) {
  if (letter != 0)
    return TRUE;
  int waiting = count[steps[0].row] - count[steps[is_bold ? 1 : 2].row] + 1;
  return waiting * steps[0].memory + steps[1].memory <= limit;
}

/* Backwards, W is done ahead of I, and its memory is in the way of the I of others. */
static gboolean
leaves_room_backwards (const PwOrderStep *steps, const int *count, int chunks, int letter,
                       gboolean is_bold, double limit) {
  int inputs[PW_CHUNKS_MAX], ahead[PW_CHUNKS_MAX];
  double taken = 0;
  for (int c = 0; c < chunks; c++) {
    inputs[c] = count[steps[chunks + c].row] + (letter == chunks + c);
    ahead[c] = count[steps[2 * chunks + c].row] + (letter == 2 * chunks + c) - inputs[c];
    taken += ahead[c] * steps[2 * chunks + c].memory;
  }
  for (int c = 0; c < chunks; c++) {
    double input = steps[chunks + c].memory, weight = steps[2 * chunks + c].memory;
    int gone = c > 0 ? (is_bold ? inputs[c] : count[steps[c - 1].row]) : 0;
    int waiting = c > 0 ? inputs[c - 1] - gone : 0;
    double others = c > 0 ? waiting * -steps[c - 1].memory : 0; /* F gives it back */
    if (taken + others + input + (ahead[c] > 0 ? 0 : weight) > limit)
      return FALSE;
  }
  return TRUE;
}

static gboolean
has_memory (const Dispatch *d, int rank, int letter) {
  const PwOrderProblem *problem = d->problem;
  const PwOrderStep *steps = d->direction->steps + rank * problem->letters;
  const int *count = d->scratch->count;
  double limit = problem->limit[rank];
  if (steps[letter].memory <= 0)
    return TRUE;
  if (d->usage[rank] + steps[letter].memory > limit)
    return FALSE;
  if (d->direction == &problem->backwards)
    return leaves_room_backwards (steps, count, problem->chunks, letter, d->rule->is_bold, limit);
  return problem->chunks == 1 || leaves_room (steps, count, letter, d->rule->is_bold, limit);
}

/* INFINITY: not known, finished, or no memory. */
static double
find_ready (const Dispatch *d, int rank, int letter) {
  const PwOrderProblem *problem = d->problem;
  const PwOrderScratch *scratch = d->scratch;
  const PwOrderStep *step = &d->direction->steps[rank * problem->letters + letter];
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
  return pw__order_arrival (step, scratch->end[(gsize)step->sender * n + (gsize)m], scratch);
}

static double
urgency (const Dispatch *d, int rank, int letter) {
  const PwOrderStep *step = &d->direction->steps[rank * d->problem->letters + letter];
  int m = d->scratch->count[step->row];
  return d->rule->offset[step->row] + m * d->rule->period;
}

/* Is it worth waiting from NOW until READY, where starting something would take until END? */
static gboolean
is_worth_waiting (const Dispatch *d, double now, double ready, double end, double patience) {
  double tolerance = d->problem->tolerance;
  return ready > now + tolerance && ready < end - tolerance
         && ready - now <= patience * (end - ready);
}

/* The letter to start at NOW; -1: none, *LATER is when to look again. */
static int
choose (const Dispatch *d, int rank, double now, double *later) {
  const PwOrderProblem *problem = d->problem;
  const PwOrderStep *steps = d->direction->steps + rank * problem->letters;
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
  for (int letter = 0; letter < problem->letters; letter++) {
    int row = steps[letter].row;
    if (urgent[letter] < urgent[best]
        && is_worth_waiting (d, now, ready[letter], end, d->rule->patience))
      return -1;
    double first = d->direction->earliest[row];
    if (d->rule->is_expectant && steps[letter].sender >= 0 && d->scratch->count[row] == 0
        && is_worth_waiting (d, now, first, end, INFINITY)) {
      *later = MIN (*later, first);
      return -1;
    }
  }
  return best;
}

static void
wake_receiver (Dispatch *d, int rank, int letter, double end) {
  const PwOrderProblem *problem = d->problem;
  if (letter >= 2 * problem->chunks)
    return;
  int stage = pw__order_stage (problem, rank, letter);
  gboolean is_down = (letter < problem->chunks) == (d->direction == &problem->forwards);
  int receiver = is_down ? stage + 1 : stage - 1;
  if (receiver < 0 || receiver >= problem->stages)
    return;
  int r = pw__order_rank (problem, receiver);
  double arrival = end + problem->link[MIN (stage, receiver)];
  d->next[r] = MIN (d->next[r], MAX (arrival, d->scratch->clock[r]));
}

static void
start (Dispatch *d, int rank, int letter, double now, uint8_t *words) {
  const PwOrderProblem *problem = d->problem;
  const PwOrderStep *step = &d->direction->steps[rank * problem->letters + letter];
  PwOrderScratch *scratch = d->scratch;
  double end = now + step->duration;
  gsize m = (gsize)scratch->count[step->row]++, n = (gsize)problem->microbatches;
  if (step->is_queued)
    scratch->arrival[step->row]
        = pw__order_arrival (step, scratch->end[(gsize)step->sender * n + m], scratch);
  scratch->end[(gsize)step->row * n + m] = end;
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
  const PwOrderDirection *direction = rule->is_backwards ? &problem->backwards : &problem->forwards;
  Dispatch d = { problem, direction, rule, scratch, next, usage };
  memset (scratch->count, 0, (gsize)problem->rows * sizeof *scratch->count);
  memset (scratch->position, 0, ranks * sizeof *scratch->position);
  memset (scratch->arrival, 0, (gsize)problem->rows * sizeof *scratch->arrival);
  for (gsize r = 0; r < ranks; r++)
    next[r] = scratch->clock[r] = direction->release[r];
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
  if (rule->is_backwards)
    pw__order_reverse (problem, words);
  return TRUE;
}
