/* Model parallelism without pipelining: one micro-batch through all stages and back, then the next.
 *
 *   F = 1, B = 2, P = 3, M = 2
 *   rank 0 | F0 .  .  .  .  .  .  B0--- F1 .  .  .  .  .  .  B1---
 *   rank 1 | .  F0 .  .  .  B0--- .  .  .  F1 .  .  .  B1--- .  .
 *   rank 2 | .  .  F0 B0--- .  .  .  .  .  .  F1 B1--- .  .  .  .
 */
#include "schedules/registry_private.h"

static PwSchedule *
generate (const PwScheduleParams *params, GError **error) {
  (void)error;
  PwSchedule *schedule
      = pw__schedule_new_straight ("naive", params, 2 * (int64_t)params->microbatches);
  for (int rank = 0; rank < params->ranks; rank++) {
    PwAction *out = schedule->programs[rank].actions;
    for (int m = 0; m < params->microbatches; m++) {
      *out++ = pw_action (PW_ACTION_FORWARD, rank, m);
      *out++ = pw_action (PW_ACTION_BACKWARD, rank, m);
    }
  }
  return schedule;
}

static double
bubble_time (const PwScheduleParams *p) {
  return (double)(p->ranks - 1) * p->microbatches * (p->F + p->I + p->W);
}

static double
peak_activations (const PwScheduleParams *params, int rank) {
  (void)params;
  (void)rank;
  return 1;
}

const PwScheduleType pw__schedule_naive = {
  .name = "naive",
  .summary = "one micro-batch through all stages and back, then the next",
  .paper = "model parallelism without pipelining",
  .about = "The baseline: a model too large for one device is split over P of them, and one works "
           "at a time. It holds a single micro-batch and needs nothing to be arranged, but P-1 of "
           "the P ranks are always idle. Cutting a mini-batch into micro-batches saves memory "
           "here, never time",
  .follows = "Nothing in particular: each micro-batch's forward and backward before the next "
             "one's forward",
  .differs = "With one micro-batch gpipe, 1f1b and eager-1f1b are this very schedule",
  .related = "gpipe 1f1b forward-only",
  .bubble = "(P-1)M(F+B), any M",
  .peak = "1",
  .measure = "iteration",
  .options = 0,
  .generate = generate,
  .bubble_time = bubble_time,
  .peak_activations = peak_activations,
};
