/* DualPipe-V (github.com/deepseek-ai/DualPipe, dualpipev.py; PyTorch's ScheduleDualPipeV): DualPipe
 * of 2P ranks cut in half and folded. What came from the other half comes back from the rank's own
 * second stage, so one replica is enough and the last rank hands over to itself.
 *
 *   F = I = W = 1, pairs F&B = 3, P = 2, M = 4; a and b are the two stages of a rank
 *   rank 0 | F0a F1a F2a F0b I0b W0b F1b F3a B1b---- .   F2b B0a---- B2b---- .   F3b B1a---- ...
 *   rank 1 | .   F0a F0b F1a F1b F2a B0b---- F2b B0a---- F3a B1b---- F3b B1a---- B2b---- ...
 */
#include "schedules/dualpipe_private.h"
#include "schedules/registry_private.h"

#include <math.h>

static PwSchedule *
generate (const PwScheduleParams *params, GError **error) {
  int P = params->ranks, M = params->microbatches;
  if (M < 2 * (int64_t)P) {
    g_set_error (error, PW_SCHEDULE_ERROR, PW_SCHEDULE_ERROR_PARAMETER,
                 "dualpipe-v: needs two micro-batches per rank, at least %" G_GINT64_FORMAT
                 ", not %d",
                 2 * (int64_t)P, M);
    return NULL;
  }
  if (!pw__schedule_fits (2 * (int64_t)P, M, error))
    return NULL;
  PwSchedule *schedule
      = pw_schedule_new ("dualpipe-v", pw_placement_new (PW_PLACEMENT_WAVE, P, 2 * P), M);
  g_autofree int64_t *lengths = g_new (int64_t, (gsize)P);
  for (int rank = 0; rank < P; rank++)
    lengths[rank] = pw__dual_length (P, M);
  pw_schedule_new_lists (schedule, lengths);
  for (int rank = 0; rank < P; rank++) {
    PwProgram *program = &schedule->programs[rank];
    PwDualLane lane = { .position = rank,
                        .positions = P,
                        .microbatches = M,
                        .flow = { { .stage = rank }, { .stage = 2 * P - 1 - rank } } };
    program->n_prologue = pw__dual_write (&lane, program->actions);
    g_assert (program->n_prologue <= lengths[rank]);
  }
  return schedule;
}

/* A pair here takes F + B. Where it takes less, ranks differ in busy time, and the form with F&B is
 * the idle time of the last one. */
static double
bubble_time (const PwScheduleParams *p) {
  if (p->F != p->I || p->W > p->F)
    return NAN;
  return (p->ranks - 1) * (3 * p->F - p->W);
}

static double
peak_activations (const PwScheduleParams *params, int rank) {
  (void)rank;
  return params->ranks + 0.5;
}

const PwScheduleType pw__schedule_dualpipe_v = {
  .name = "dualpipe-v",
  .summary = "dualpipe cut in half: one replica in a V, F and B overlap",
  .paper = "DualPipe (DeepSeek-AI, 2024), arXiv 2412.19437; github.com/deepseek-ai/DualPipe "
           "(dualpipev.py)",
  .title = "DeepSeek-V3 Technical Report",
  .about = "dualpipe without the second replica: the pipe is folded into a V of two stages per "
           "rank, and the last rank hands over to itself. Pairs overlap as in dualpipe, every "
           "rank holds P + 1/2 micro-batches, and the bubble, (P-1) in chunks against P/2-1 in "
           "stages, is nearly the same. The loss is on the first rank",
  .follows = "PyTorch's ScheduleDualPipeV, itself after dualpipev.py of deepseek-ai/DualPipe: the "
             "same lists (compared with PyTorch 2.15, P to 6, M to 16)",
  .differs = "In both the last rank's first pair runs one after the other, so that others wait "
             "less. Where a pair takes less than F + B ranks differ in busy time, and the form is "
             "the last rank's idle time",
  .limits = "At least 2P micro-batches are needed",
  .refused = "--ranks 4 --microbatches 6",
  .related = "dualpipe zb-v",
  .bubble = "(P-1)(F&B + B - 3W) for F = I >= W, M >= 2P",
  .peak = "P + 1/2",
  .measure = "iteration",
  .options = 0,
  .generate = generate,
  .bubble_time = bubble_time,
  .peak_activations = peak_activations,
};
