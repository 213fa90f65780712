/* V-Half (arXiv 2405.15362): a V whose stages are spaced so that a micro-batch's activations live
 * half as long as in 1F1B. Of micro-batch m, rank i runs F down at slot 2i, F up at 3P-2-i, I up at
 * 3P+x+2i-1 and I down at 6P+x-i-2, each 6m later; x = 3 keeps an even P from doing two things at
 * once. Then see v_pattern.c.
 *
 *   F = I = W = 1, P = 2, M = 3; a and b are the two stages of a rank
 *   rank 0 | F0a F1a F2a F0b I0b W0b F1b I1b I0a W1b W0a F2b I2b I1a W2b I2a W1a W2a .
 *   rank 1 | .   F0a F0b F1a F1b I0b W0b I0a F2a W0a F2b I1b I1a I2b I2a W1b W2b W1a W2a
 */
#include "schedules/registry_private.h"
#include "schedules/v_private.h"

#include <math.h>

static void
pattern (int P, int i, int slots[PW_V_N]) {
  int x = P % 2 == 0 ? 3 : 0;
  slots[PW_V_FORWARD_DOWN] = 2 * i;
  slots[PW_V_FORWARD_UP] = 3 * P - 2 - i;
  slots[PW_V_BACKWARD_UP] = 3 * P + x + 2 * i - 1;
  slots[PW_V_BACKWARD_DOWN] = 6 * P + x - i - 2;
}

static PwSchedule *
generate (const PwScheduleParams *params, GError **error) {
  return pw__v_pattern_new ("v-half", params, pattern, error);
}

static double
bubble_time (const PwScheduleParams *p) {
  int P = p->ranks;
  if (p->microbatches < 2 * P || p->F != p->I || p->I != p->W)
    return NAN;
  int slots = P == 1 ? 0 : P == 2 ? 1 : P % 2 == 0 ? 3 * P - 7 : 3 * P - 4;
  return slots * p->F;
}

static double
peak_activations (const PwScheduleParams *params, int rank) {
  (void)rank;
  if (params->microbatches < 2 * params->ranks || params->weight_memory != 0.5)
    return NAN;
  return params->ranks / 2 + 1;
}

const PwScheduleType pw__schedule_v_half = {
  .name = "v-half",
  .summary = "two stages per rank in a V, timed for half of 1f1b's activations",
  .paper = "V-Half (Qi et al., 2024), arXiv 2405.15362",
  .title = "Pipeline Parallelism with Controllable Memory",
  .about = "For models whose activations do not fit: a V in which they live half as long as in "
           "1f1b, so that every rank holds floor(P/2) + 1 micro-batches instead of up to P. With "
           "F = I = W its bubble, about 3P in chunks, is also about half of 1f1b's. Where the "
           "times differ somewhat the bubble grows at both ends, not with M. Messages are about "
           "twice 1f1b's",
  .follows = "zbv_greedy.py of the zero-bubble repository, its pattern, reordering and weight "
             "gradients: the same lists from M = P+2 on (compared for P to 8, M to 2P+3)",
  .differs = "With fewer micro-batches all forwards are under way before the drain begins, and "
             "the original's second pass, which waits for the last of them, changes nothing; here "
             "the drain is still moved forward",
  .related = "v-min zb-v",
  .bubble = "(3P-4)F for odd P, (3P-7)F for even, F for P = 2; M >= 2P, F = I = W",
  .peak = "floor(P/2) + 1, M >= 2P",
  .measure = "iteration",
  .options = 0,
  .generate = generate,
  .bubble_time = bubble_time,
  .peak_activations = peak_activations,
};
