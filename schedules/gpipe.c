/* GPipe (arXiv 1811.06965): every forward, then every backward. `reverse` runs the backwards in
 * descending order, as torchgpipe's autograd does: the last micro-batch's follows its forward at
 * once. Both orders have the same bubble.
 *
 *   F = 1, B = 2, P = 3, M = 3
 *   rank 0 | F0 F1 F2 .  .  .  .  .  .  B0--- B1--- B2---
 *   rank 1 | .  F0 F1 F2 .  .  .  B0--- B1--- B2--- .  .
 *   rank 2 | .  .  F0 F1 F2 B0--- B1--- B2--- .  .  .  .
 */
#include "schedules/registry_private.h"

static PwSchedule *
generate (const PwScheduleParams *params, GError **error) {
  (void)error;
  int M = params->microbatches;
  PwSchedule *schedule = pw__schedule_new_straight ("gpipe", params, 2 * (int64_t)M);
  if (params->reverse && M > 1)
    schedule->promise.accumulation = PW_ACCUMULATION_DESCENDING;
  for (int rank = 0; rank < params->ranks; rank++) {
    PwAction *out = schedule->programs[rank].actions;
    for (int m = 0; m < M; m++)
      *out++ = pw_action (PW_ACTION_FORWARD, rank, m);
    for (int m = 0; m < M; m++)
      *out++ = pw_action (PW_ACTION_BACKWARD, rank, params->reverse ? M - 1 - m : m);
  }
  return schedule;
}

static double
bubble_time (const PwScheduleParams *p) {
  return (p->ranks - 1) * (p->F + p->I + p->W);
}

static double
peak_activations (const PwScheduleParams *params, int rank) {
  (void)rank;
  return params->microbatches;
}

const PwScheduleType pw__schedule_gpipe = {
  .name = "gpipe",
  .summary = "all forwards, then all backwards",
  .paper = "GPipe (Huang et al., 2018), arXiv 1811.06965",
  .title = "GPipe: Efficient Training of Giant Neural Networks using Pipeline Parallelism",
  .about = "Fills the pipeline with all forwards, drains it, and does the same with the "
           "backwards. It is simple and exact, and more micro-batches shrink the bubble's share, "
           "(P-1)/(M+P-1); but every rank holds all M of them. GPipe itself pays for that with "
           "recomputation (--recompute stage): a rank keeps each micro-batch's input only and "
           "runs its forward again before the backward",
  .follows = "PyTorch's ScheduleGPipe: the same lists (compared with PyTorch 2.15, P to 6, M to "
             "12). Alpa's GpipeSchedule ascends too",
  .differs = "torchgpipe schedules the forwards only and leaves the backwards to autograd, which "
             "runs them in the reverse order: --reverse. It has the same bubble but sums the "
             "gradients in another order, so the last bits differ",
  .related = "1f1b looped-bfs naive",
  .bubble = "(P-1)(F+B), any M",
  .peak = "M",
  .measure = "iteration",
  .options = PW_OPTION_REVERSE,
  .generate = generate,
  .bubble_time = bubble_time,
  .peak_activations = peak_activations,
};
