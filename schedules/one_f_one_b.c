/* 1F1B with a flush (PipeDream-flush; DAPPLE, arXiv 2007.01045; Megatron-LM): a warm-up of
 * min(M, P-1-r) forwards, then one forward and one backward in turn, then the remaining backwards.
 * Rank r never holds more than P-r micro-batches, whatever M is.
 *
 *   F = 1, B = 2, P = 3, M = 4
 *   rank 0 | F0 F1 F2 .  .  .  .  B0--- F3 B1--- .  B2--- B3---     warm-up 2
 *   rank 1 | .  F0 F1 .  .  B0--- F2 B1--- F3 B2--- .  B3--- .      warm-up 1
 *   rank 2 | .  .  F0 B0--- F1 B1--- F2 B2--- F3 B3--- .  .  .      warm-up 0
 */
#include "schedules/one_f_one_b_private.h"

PwAction *
pw__write_one_f_one_b (PwAction *out, int stage, int microbatches, int warmup) {
  for (int m = 0; m < warmup; m++)
    *out++ = pw_action (PW_ACTION_FORWARD, stage, m);
  for (int m = 0; m < microbatches - warmup; m++) {
    *out++ = pw_action (PW_ACTION_FORWARD, stage, warmup + m);
    *out++ = pw_action (PW_ACTION_BACKWARD, stage, m);
  }
  for (int m = microbatches - warmup; m < microbatches; m++)
    *out++ = pw_action (PW_ACTION_BACKWARD, stage, m);
  return out;
}

static PwSchedule *
generate (const PwScheduleParams *params, GError **error) {
  (void)error;
  int M = params->microbatches;
  PwSchedule *schedule = pw__schedule_new_straight ("1f1b", params, 2 * (int64_t)M);
  for (int rank = 0; rank < params->ranks; rank++)
    pw__write_one_f_one_b (schedule->programs[rank].actions, rank, M,
                           MIN (M, params->ranks - 1 - rank));
  return schedule;
}

static double
bubble_time (const PwScheduleParams *p) {
  return (p->ranks - 1) * (p->F + p->I + p->W);
}

static double
peak_activations (const PwScheduleParams *params, int rank) {
  return MIN (params->microbatches, params->ranks - rank);
}

const PwScheduleType pw__schedule_one_f_one_b = {
  .name = "1f1b",
  .summary = "one forward, one backward in turn after a short warm-up",
  .paper = "PipeDream-flush (Narayanan et al., 2020), arXiv 2006.09503; DAPPLE (Fan et al., "
           "2020), arXiv 2007.01045",
  .title = "Memory-Efficient Pipeline-Parallel DNN Training; DAPPLE: A Pipelined Data Parallel "
           "Approach for Training Large Models",
  .about = "The usual choice: gpipe's bubble and numbers, but backwards begin as soon as the "
           "first can arrive, so that rank r never holds more than P-r micro-batches. More "
           "micro-batches then cost no activations while the bubble's share, (P-1)/(M+P-1), "
           "falls. Memory is uneven: the first rank holds P micro-batches, the last one. Slow "
           "links are felt in every round of P micro-batches; eager-1f1b hides them",
  .follows = "DeepSpeed's TrainSchedule and basic1f1b.py of the zero-bubble repository: the same "
             "lists (compared for P to 6, M to 14). Megatron-LM warms up with P-1-r forwards as "
             "well",
  .differs = "PyTorch 2.15 runs this order from M = P on and refuses fewer; the one that its "
             "Schedule1F1B reports is off by one on the last rank and is not the one that it "
             "runs. Primus does not cap the warm-up at M, so its table needs M >= P-1. DeepSpeed "
             "reserves buffers for P-r+1 micro-batches, one more than are held here",
  .related = "gpipe eager-1f1b interleaved-1f1b seq1f1b zb-h1",
  .bubble = "(P-1)(F+B), any M",
  .peak = "min(M, P-r)",
  .measure = "iteration",
  .options = 0,
  .generate = generate,
  .bubble_time = bubble_time,
  .peak_activations = peak_activations,
};
