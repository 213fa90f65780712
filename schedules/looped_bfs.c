/* Breadth-first looped pipeline (arXiv 2211.05953): V stages per rank, stage s on rank s mod P;
 * each chunk takes all micro-batches before the next one begins, backwards likewise in reverse.
 * Weights are gathered and gradients reduced once per chunk, behind the compute of the next.
 * `reverse` runs the micro-batches of the backwards in descending order, as PyTorch does; the
 * bubble is the same.
 *
 *   F = 1, B = 2, P = 2, M = 3, V = 2; stage 0 and 2 on rank 0 (a, c), 1 and 3 on rank 1 (b, d)
 *   rank 0 | a0 a1 a2 c0 c1 c2 .  .  .  C0--- C1--- C2--- A0--- A1--- A2---
 *   rank 1 | .  b0 b1 b2 d0 d1 d2 D0--- D1--- D2--- B0--- B1--- B2--- .  .
 *            (a0: forward of a, micro-batch 0; A0: its backward)
 */
#include "schedules/registry_private.h"

static int
chunks_of (const PwScheduleParams *params) {
  return params->chunks != 0 ? params->chunks : 2;
}

static PwSchedule *
generate (const PwScheduleParams *params, GError **error) {
  int M = params->microbatches, P = params->ranks, V = chunks_of (params);
  if (!pw__schedule_fits ((int64_t)P * V, M, error))
    return NULL;
  PwSchedule *schedule = pw__schedule_new_loop ("looped-bfs", params, V, 2 * (int64_t)M * V);
  if (params->reverse && M > 1)
    schedule->promise.accumulation = PW_ACCUMULATION_DESCENDING;
  for (int rank = 0; rank < P; rank++) {
    PwAction *out = schedule->programs[rank].actions;
    for (int chunk = 0; chunk < V; chunk++)
      for (int m = 0; m < M; m++)
        *out++ = pw_action (PW_ACTION_FORWARD, chunk * P + rank, m);
    for (int chunk = V - 1; chunk >= 0; chunk--)
      for (int m = 0; m < M; m++)
        *out++ = pw_action (PW_ACTION_BACKWARD, chunk * P + rank, params->reverse ? M - 1 - m : m);
  }
  return schedule;
}

static double
bubble_time (const PwScheduleParams *p) {
  double P = p->ranks, V = chunks_of (p);
  return (P - 1 + (V - 1) * MAX (0, P - p->microbatches)) * (p->F + p->I + p->W);
}

static double
peak_activations (const PwScheduleParams *params, int rank) {
  (void)rank;
  return params->microbatches;
}

const PwScheduleType pw__schedule_looped_bfs = {
  .name = "looped-bfs",
  .summary = "gpipe over several chunks per rank, chunk after chunk",
  .paper = "Lamy-Poirier, 2022, arXiv 2211.05953",
  .title = "Breadth-First Pipeline Parallelism",
  .about = "gpipe over V stages per rank: from M = P on the bubble of interleaved-1f1b, with "
           "gpipe's memory of M micro-batches. What it buys is few collectives: each chunk is "
           "visited once forwards and once backwards, so sharded weights are gathered and "
           "gradients reduced once per chunk, behind the compute of the next one. It suits small "
           "M with sharded data parallelism",
  .follows = "PyTorch's ScheduleLoopedBFS with --reverse: the same lists (compared with PyTorch "
             "2.15, P to 6, M to 16, V to 3)",
  .differs = "PyTorch runs the backwards of a chunk from the last micro-batch to the first. The "
             "default here ascends: the same bubble, and gradients are summed in the order of "
             "sequential training",
  .related = "gpipe interleaved-1f1b",
  .bubble = "(P-1+(V-1)max(0,P-M))(F+B) with F, B of a chunk, any M",
  .peak = "M",
  .measure = "iteration",
  .options = PW_OPTION_CHUNKS | PW_OPTION_REVERSE,
  .generate = generate,
  .bubble_time = bubble_time,
  .peak_activations = peak_activations,
};
