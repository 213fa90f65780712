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
  .paper = "arXiv 2401.10241",
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
