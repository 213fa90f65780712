/* ZB-H2 (arXiv 2401.10241): twice ZB-H1's warm-up, min(M, 2(P-1-r)) forwards, and W twice as far
 * behind, 2r: with equal times no rank waits between its first and its last action, at nearly twice
 * the memory. The paper draws it for one size; the order for every other is ours and has the bubble
 * that it prints.
 *
 *   F = I = W = 1, P = 3, M = 5
 *   rank 0 | F0 F1 F2 F3 F4 I0 W0 I1 W1 I2 W2 I3 W3 I4 W4 .  .     warm-up 4, W lags 0
 *   rank 1 | .  F0 F1 F2 I0 F3 I1 F4 I2 W0 I3 W1 I4 W2 W3 W4 .     warm-up 2, W lags 2
 *   rank 2 | .  .  F0 I0 F1 I1 F2 I2 F3 I3 F4 I4 W0 W1 W2 W3 W4    warm-up 0, W lags 4
 */
#include "schedules/registry_private.h"
#include "schedules/zero_bubble_private.h"

#include <math.h>

static PwZeroBubbleRank
rank_of (const PwScheduleParams *params, int rank) {
  return (PwZeroBubbleRank){ .warmup = MIN (params->microbatches, 2 * (params->ranks - 1 - rank)),
                             .lag = 2 * rank };
}

static PwSchedule *
generate (const PwScheduleParams *params, GError **error) {
  (void)error;
  return pw__zero_bubble_new ("zb-h2", params, rank_of);
}

static double
bubble_time (const PwScheduleParams *p) {
  if (p->microbatches < 2 * p->ranks - 1)
    return NAN;
  return (p->ranks - 1) * MAX (MAX (p->F, p->I - p->F), p->F + p->I - 2 * p->W);
}

static double
span_bubble_time (const PwScheduleParams *p) {
  if (p->microbatches < 2 * p->ranks - 1)
    return NAN;
  return (p->ranks - 1) * MAX (MAX (0, p->I - p->F), p->F + p->I - 2 * p->W);
}

static double
peak_activations (const PwScheduleParams *params, int rank) {
  return pw__zero_bubble_peak (rank_of (params, rank), params->microbatches, params->weight_memory);
}

const PwScheduleType pw__schedule_zb_h2 = {
  .name = "zb-h2",
  .summary = "zb-h1 with twice the warm-up: no idle time between a rank's first and last action",
  .paper = "ZB-H2 (Qi et al., 2024), arXiv 2401.10241",
  .title = "Zero Bubble Pipeline Parallelism",
  .about = "zb-h1 with twice the warm-up: with F = I = W no rank waits between its first and its "
           "last action. That pays only if a rank may begin the next iteration while others still "
           "drain, that is without a barrier in the optimiser; counted from flush to flush it has "
           "zb-h1's bubble of (P-1)F then. It holds nearly twice 1f1b's activations and needs M "
           ">= 2P-1",
  .follows = "The paper's drawing of one size. The order for every other size is ours and has the "
             "bubble that the paper prints",
  .differs = "The authors' ZB-2p is found by a search over measured times within twice 1f1b's "
             "memory, and beats this order where times are unequal. Their repository replaces the "
             "optimiser's barrier by validating, and if need be undoing, the step afterwards. "
             "PyTorch has no such schedule",
  .related = "zb-h1 zb-v eager-1f1b",
  .bubble = "(P-1)max(F, I-F, F+I-2W), M >= 2P-1",
  .peak = "2P-1-r, M >= 2P-1",
  .measure = "iteration",
  .options = 0,
  .generate = generate,
  .bubble_time = bubble_time,
  .peak_activations = peak_activations,
  .span_bubble = "(P-1)max(0, I-F, F+I-2W), M >= 2P-1",
  .span_bubble_time = span_bubble_time,
};
