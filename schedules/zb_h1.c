/* ZB-H1 (arXiv 2401.10241): 1F1B's warm-up of min(M, P-1-r) forwards and its memory, but the
 * backward is split: I goes on to the previous rank at once, W waits until r later ones are done
 * and fills what would be idle at the end.
 *
 *   F = I = W = 1, P = 3, M = 4
 *   rank 0 | F0 F1 F2 .  .  I0 W0 F3 I1 W1 I2 W2 I3 W3     warm-up 2, W lags 0
 *   rank 1 | .  F0 F1 .  I0 F2 I1 W0 F3 I2 W1 I3 W2 W3     warm-up 1, W lags 1
 *   rank 2 | .  .  F0 I0 F1 I1 F2 I2 W0 F3 I3 W1 W2 W3     warm-up 0, W lags 2
 */
#include "schedules/registry_private.h"
#include "schedules/zero_bubble_private.h"

#include <math.h>

static PwZeroBubbleRank
rank_of (const PwScheduleParams *params, int rank) {
  return (PwZeroBubbleRank){ .warmup = MIN (params->microbatches, params->ranks - 1 - rank),
                             .lag = rank };
}

static PwSchedule *
generate (const PwScheduleParams *params, GError **error) {
  (void)error;
  return pw__zero_bubble_new ("zb-h1", params, rank_of);
}

static double
bubble_time (const PwScheduleParams *p) {
  double mn = MIN (MIN (p->F, p->I), p->W);
  return (p->ranks - 1) * (p->F + p->I) - (MIN (p->microbatches, p->ranks) - 1) * mn;
}

static double
span_bubble_time (const PwScheduleParams *p) {
  if (p->microbatches < p->ranks)
    return NAN;
  return (p->ranks - 1) * MAX (p->I, p->F + p->I - p->W);
}

static double
peak_activations (const PwScheduleParams *params, int rank) {
  return pw__zero_bubble_peak (rank_of (params, rank), params->microbatches, params->weight_memory);
}

const PwScheduleType pw__schedule_zb_h1 = {
  .name = "zb-h1",
  .summary = "1f1b with the backward split: weight gradients fill the drain, within 1f1b's memory",
  .paper = "ZB-H1 (Qi et al., 2024), arXiv 2401.10241",
  .title = "Zero Bubble Pipeline Parallelism",
  .about = "The backward is split: the input gradient goes on to the previous rank at once, the "
           "weight gradient, for which no rank waits, fills what would be idle in the drain. With "
           "F = I = W a third of 1f1b's bubble is left, (P-1)F, within the memory of 1f1b's first "
           "rank. Layers must compute the two gradients apart, and later ranks hold more than in "
           "1f1b, P - r/2 instead of P-r, until W is done",
  .follows = "zerobubble.py of AMD's Primus and, with one stage per rank, PyTorch's "
             "ScheduleInterleavedZeroBubble: the same lists (compared with both, P to 6, M to 14)",
  .differs = "Primus' table needs M >= P-1, PyTorch an M that max(1, floor(M/P)) rounds divide; "
             "any M is taken here. The authors' ZB-1p is no fixed order but the best that a "
             "search over measured times finds in the same memory; with F = I = W it has this "
             "bubble",
  .related = "1f1b zb-h2 zb-interleaved zb-v",
  .bubble = "(P-1)(F+I) - (min(M,P)-1)min(F,I,W), any M",
  .peak = "P - r/2, M >= P; min(M, P) at rank 0",
  .measure = "iteration",
  .options = 0,
  .generate = generate,
  .bubble_time = bubble_time,
  .peak_activations = peak_activations,
  .span_bubble = "(P-1)max(I, F+I-W), M >= P",
  .span_bubble_time = span_bubble_time,
};
