#include "sim/planner/order_private.h"

#include <math.h>
#include <string.h>

/* Goes on with RANK's word as far as the messages are known; returns how far it got. */
static int
advance (const PwOrderProblem *problem, int rank, const uint8_t *word, PwOrderScratch *scratch) {
  const PwOrderStep *steps = problem->forwards.steps + rank * problem->letters;
  gsize n = (gsize)problem->microbatches;
  int *count = scratch->count;
  double clock = scratch->clock[rank];
  int i = scratch->position[rank];
  for (; i < problem->length; i++) {
    const PwOrderStep *step = &steps[word[i]];
    int m = count[step->row];
    if (step->local >= 0 && count[step->local] <= m)
      break;
    if (step->sender >= 0) {
      if (count[step->sender] <= m)
        break;
      double sent = scratch->end[(gsize)step->sender * n + (gsize)m];
      double arrival = pw__order_arrival (step, sent, scratch);
      scratch->arrival[step->row] = arrival;
      clock = MAX (clock, arrival);
    }
    clock += step->duration;
    scratch->end[(gsize)step->row * n + (gsize)m] = clock;
    count[step->row] = m + 1;
  }
  scratch->clock[rank] = clock;
  int done = i - scratch->position[rank];
  scratch->position[rank] = i;
  return done;
}

/* Forwards travel to higher ranks and gradients to lower ones: sweeps go both ways. */
double
pw__order_evaluate (const PwOrderProblem *problem, const uint8_t *words, PwOrderScratch *scratch) {
  int ranks = problem->ranks;
  memset (scratch->count, 0, (gsize)problem->rows * sizeof *scratch->count);
  memset (scratch->position, 0, (gsize)ranks * sizeof *scratch->position);
  memset (scratch->clock, 0, (gsize)ranks * sizeof *scratch->clock);
  memset (scratch->arrival, 0, (gsize)problem->rows * sizeof *scratch->arrival);
  gsize left = pw__order_size (problem);
  scratch->visits += (int64_t)left / 4;
  for (gboolean up = FALSE; left > 0; up = !up) {
    gsize before = left;
    for (int i = 0; i < ranks; i++) {
      int rank = up ? ranks - 1 - i : i;
      const uint8_t *word = words + (gsize)rank * (gsize)problem->length;
      left -= (gsize)advance (problem, rank, word, scratch);
    }
    if (left == before)
      return INFINITY;
  }
  double value = 0;
  for (int r = 0; r < ranks; r++)
    value = MAX (value, scratch->clock[r] - problem->due[r]);
  return value;
}

gboolean
pw__order_word_fits (const PwOrderProblem *problem, int rank, const uint8_t *word) {
  const PwOrderStep *steps = problem->forwards.steps + rank * problem->letters;
  int chunks = problem->chunks, count[PW_LETTERS_MAX] = { 0 };
  double usage = 0;
  for (int i = 0; i < problem->length; i++) {
    int letter = word[i];
    if (letter >= chunks && count[letter] >= count[letter - chunks])
      return FALSE;
    count[letter]++;
    usage += steps[letter].memory;
    if (usage > problem->limit[rank])
      return FALSE;
  }
  return TRUE;
}
