/* Seq1F1B (arXiv 2406.03488): 1F1B in pieces of a sequence. Each micro-batch is cut into k pieces
 * along its tokens; a causal piece attends to the keys of those before it, so its forward follows
 * theirs, and the gradients of the keys come back the other way round: backward pieces run last to
 * first. Rank r warms up with min(Mk, P-r-2+k) pieces, k - 1 more than 1F1B, because the first
 * backward needs the last piece. Bubble and peak are about those of 1F1B divided by k.
 *
 *   F = 2, B = 4 of a micro-batch, P = 2, M = 2, k = 2; piece j of micro-batch m is number 2m + j
 *   rank 0 | F0 F1 F2 .  .  B1--- F3 B0--- .  B3--- B2---      warm-up 2
 *   rank 1 | .  F0 F1 B1--- F2 B0--- F3 B3--- B2--- .  .        warm-up 1
 */
#include "schedules/registry_private.h"

static int
pieces_of (const PwScheduleParams *params) {
  return params->pieces > 0 ? params->pieces : 2;
}

static int64_t
warmup_of (const PwScheduleParams *params, int rank) {
  int64_t pieces = pieces_of (params), most = params->microbatches * pieces;
  return MIN (most, params->ranks - rank - 2 + pieces);
}

/* The I-th backward of a rank: micro-batches ascending, the pieces of each descending. */
static PwAction
backward (int rank, int64_t i, int pieces) {
  return pw_action (PW_ACTION_BACKWARD, rank, i / pieces * pieces + pieces - 1 - i % pieces);
}

static PwSchedule *
generate (const PwScheduleParams *params, GError **error) {
  int pieces = pieces_of (params);
  int64_t n = (int64_t)params->microbatches * pieces;
  if (!pw__schedule_fits (params->ranks, n, error))
    return NULL;
  PwSchedule *schedule = pw__schedule_new_straight ("seq1f1b", params, 2 * n);
  schedule->pieces = pieces;
  for (int rank = 0; rank < params->ranks; rank++) {
    int64_t warmup = warmup_of (params, rank);
    PwAction *out = schedule->programs[rank].actions;
    for (int64_t i = 0; i < warmup; i++)
      *out++ = pw_action (PW_ACTION_FORWARD, rank, i);
    for (int64_t i = 0; i < n - warmup; i++) {
      *out++ = pw_action (PW_ACTION_FORWARD, rank, warmup + i);
      *out++ = backward (rank, i, pieces);
    }
    for (int64_t i = n - warmup; i < n; i++)
      *out++ = backward (rank, i, pieces);
  }
  return schedule;
}

static double
bubble_time (const PwScheduleParams *p) {
  return (p->ranks - 1) * (p->F + p->I + p->W) / pieces_of (p);
}

static double
peak_activations (const PwScheduleParams *params, int rank) {
  int64_t pieces = pieces_of (params), most = params->microbatches * pieces;
  return (double)MIN (most, params->ranks - rank - 1 + pieces) / (double)pieces;
}

const PwScheduleType pw__schedule_seq1f1b = {
  .name = "seq1f1b",
  .summary = "1f1b in k pieces of each sequence, their backwards in reverse",
  .paper = "Seq1F1B (Sun et al., 2024), arXiv 2406.03488",
  .title = "Seq1F1B: Efficient Sequence-Level Pipeline Parallelism for Large Language Model "
           "Training",
  .about = "For long sequences and few micro-batches: each micro-batch is cut into k pieces along "
           "its tokens and 1f1b runs piece by piece, which divides the bubble by k and the "
           "activations nearly so. It needs causal attention, in which a piece reads the keys of "
           "those before it. Pieces of equal length take unequal time, later ones attending to "
           "more, and smaller pieces use a device less well",
  .follows = "seq1f1b.py of the zero-bubble repository: the same lists (compared for P to 5, M to "
             "8, k to 4)",
  .differs = "The paper chooses the cuts so that pieces take equal time, which the closed forms "
             "here assume. In drawings and CSV files piece j of micro-batch m is number mk+j",
  .related = "1f1b interleaved-1f1b",
  .bubble = "(P-1)(F+B)/k for k equal pieces, any M",
  .peak = "min(Mk, P-r-1+k)/k",
  .measure = "iteration",
  .options = PW_OPTION_PIECES,
  .generate = generate,
  .bubble_time = bubble_time,
  .peak_activations = peak_activations,
};
