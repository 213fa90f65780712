/* Inference: forwards only, nothing is kept.
 *
 *   F = 1, P = 3, M = 4
 *   rank 0 | F0 F1 F2 F3 .  .
 *   rank 1 | .  F0 F1 F2 F3 .
 *   rank 2 | .  .  F0 F1 F2 F3
 */
#include "schedules/registry_private.h"

static PwSchedule *
generate (const PwScheduleParams *params, GError **error) {
  (void)error;
  PwSchedule *schedule = pw__schedule_new_straight ("forward-only", params, params->microbatches);
  schedule->mode = PW_MODE_INFERENCE;
  for (int rank = 0; rank < params->ranks; rank++) {
    PwAction *out = schedule->programs[rank].actions;
    for (int m = 0; m < params->microbatches; m++)
      *out++ = pw_action (PW_ACTION_FORWARD, rank, m);
  }
  return schedule;
}

static double
bubble_time (const PwScheduleParams *p) {
  return (p->ranks - 1) * p->F;
}

static double
peak_activations (const PwScheduleParams *params, int rank) {
  (void)params;
  (void)rank;
  return 1;
}

const PwScheduleType pw__schedule_forward_only = {
  .name = "forward-only",
  .summary = "inference: forwards only, no activation is kept",
  .paper = "inference",
  .about = "Inference and evaluation: micro-batches stream through the ranks and nothing is kept "
           "for a backward. After the fill of (P-1)F every rank works all the time",
  .follows = "The order of Alpa's and DeepSpeed's InferenceSchedule",
  .differs = "DeepSpeed alternates two buffers, one to receive into while the other is sent",
  .related = "naive gpipe",
  .bubble = "(P-1)F, any M",
  .peak = "1",
  .measure = "iteration",
  .options = 0,
  .generate = generate,
  .bubble_time = bubble_time,
  .peak_activations = peak_activations,
};
