/* V-Min (arXiv 2405.15362): a V whose stages follow each other without a gap, so that a
 * micro-batch's activations live a third as long as in 1F1B. Of micro-batch m, rank i runs F down
 * at slot i, F up at 2P-1-i, I up at 2P+x+i and I down at 4P+x-1-i, each 6m later; x = 2 keeps a P
 * divisible by three from doing two things at once. Then see v_pattern.c.
 *
 *   F = I = W = 1, P = 2, M = 3; a and b are the two stages of a rank
 *   rank 0 | F0a F1a .   F0b I0b W0b .   I0a W0a F1b I1b W1b F2a I1a W1a F2b I2b W2b .   I2a W2a
 *   rank 1 | .   F0a F0b .   .   I0b I0a F1a F1b W0b W0a I1b I1a F2a F2b W1b W1a I2b I2a W2b W2a
 */
#include "schedules/registry_private.h"
#include "schedules/v_private.h"

#include <math.h>

static void
pattern (int P, int i, int slots[PW_V_N]) {
  int x = P % 3 == 0 ? 2 : 0;
  slots[PW_V_FORWARD_DOWN] = i;
  slots[PW_V_FORWARD_UP] = 2 * P - 1 - i;
  slots[PW_V_BACKWARD_UP] = 2 * P + x + i;
  slots[PW_V_BACKWARD_DOWN] = 4 * P + x - 1 - i;
}

static PwSchedule *
generate (const PwScheduleParams *params, GError **error) {
  return pw__v_pattern_new ("v-min", params, pattern, error);
}

static double
bubble_time (const PwScheduleParams *p) {
  int P = p->ranks;
  if (p->microbatches < 2 * P || p->F != p->I || p->I != p->W)
    return NAN;
  int slots = P == 1 ? 0 : P % 3 == 0 ? 4 * P - 7 : 4 * P - 5;
  return slots * p->F;
}

/* The busiest rank's, which is every rank but for some of P = 3k + 2. */
static double
peak_activations (const PwScheduleParams *params, int rank) {
  int P = params->ranks;
  if (params->microbatches < 2 * P || params->weight_memory != 0.5)
    return NAN;
  if (P == 2)
    return 1.5;
  return P % 3 != 2 || rank == P - 1 ? (double)((P + 4) / 3) : (double)NAN;
}

const PwScheduleType pw__schedule_v_min = {
  .name = "v-min",
  .summary = "two stages per rank in a V, timed for a third of 1f1b's activations",
  .paper = "V-Min (Qi et al., 2024), arXiv 2405.15362",
  .title = "Pipeline Parallelism with Controllable Memory",
  .about = "v-half taken further: stages follow each other without a gap, and the busiest rank "
           "holds floor((P+4)/3) micro-batches, about a third of 1f1b's on many ranks. With F = I "
           "= W the bubble is about 4P in chunks, against 6P of 1f1b. Ranks have no slack: where "
           "F or I takes longer than the others idle time returns with every micro-batch, which "
           "v-half avoids",
  .follows = "zbv_greedy.py of the zero-bubble repository, its pattern, reordering and weight "
             "gradients: the same lists from M = P+1 on (compared for P to 8, M to 2P+3)",
  .differs = "With fewer micro-batches the original leaves the drain as it is; here it is still "
             "moved forward. The peak is the busiest rank's: where P leaves 2 when divided by 3, "
             "others may hold less",
  .related = "v-half zb-v",
  .bubble = "(4P-5)F, (4P-7)F where 3 divides P; M >= 2P, F = I = W",
  .peak = "floor((P+4)/3), 1.5 for P = 2; M >= 2P",
  .measure = "iteration",
  .options = 0,
  .generate = generate,
  .bubble_time = bubble_time,
  .peak_activations = peak_activations,
};
