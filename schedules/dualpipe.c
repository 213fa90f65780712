/* DualPipe (arXiv 2412.19437; order of github.com/deepseek-ai/DualPipe): two pipes through the same
 * ranks, one from each end, half of the micro-batches each. In the middle of an iteration a forward
 * of one pipe and a backward of the other run as a pair whose messages and work overlap. Weight
 * gradients of the first and last backwards fill the gaps at both ends.
 *
 *   F = I = W = 1, pairs F&B = 3, P = 4, M = 8; small letters go up
 *   rank 0 | F0 F1 F2 f4 i4 w4 f5 F3 b5--- .  f6 B0--- b6--- .  f7 B1--- b7--- I2 W2 I3 W3
 *   rank 1 | .  F0 f4 F1 f5 F2 b4--- f6 B0--- F3 b5--- f7 B1--- b6--- B2--- .  i7 I3 w7 W3
 *   rank 2 | .  f4 F0 f5 F1 f6 B0--- F2 b4--- f7 B1--- F3 b5--- B2--- b6--- .  I3 i7 W3 w7
 *   rank 3 | f4 f5 f6 F0 I0 W0 F1 f7 B1--- .  F2 b4--- B2--- .  F3 b5--- B3--- i6 w6 i7 w7
 */
#include "schedules/dualpipe_private.h"
#include "schedules/registry_private.h"

#include <math.h>

static gboolean
is_possible (const PwScheduleParams *params, GError **error) {
  int P = params->ranks, M = params->microbatches;
  if (P % 2 == 0 && M % 2 == 0 && M >= 2 * (int64_t)P)
    return TRUE;
  if (P % 2 != 0)
    g_set_error (error, PW_SCHEDULE_ERROR, PW_SCHEDULE_ERROR_PARAMETER,
                 "dualpipe: its two pipes meet in the middle, so ranks cannot be odd (%d)", P);
  else
    g_set_error (error, PW_SCHEDULE_ERROR, PW_SCHEDULE_ERROR_PARAMETER,
                 "dualpipe: half of the micro-batches enter at each end, at least one per rank: "
                 "they must be even and at least %" G_GINT64_FORMAT ", not %d",
                 2 * (int64_t)P, M);
  return FALSE;
}

/* Flow 0 is the pipe that enters at the nearer end: direction 0 in the first half of the ranks. */
static PwDualLane
lane_of (int P, int M, int rank) {
  gboolean far = rank >= P / 2;
  PwDualLane lane
      = { .position = MIN (rank, P - 1 - rank), .positions = P / 2, .microbatches = M / 2 };
  for (int direction = 0; direction < 2; direction++) {
    int flow = far ? 1 - direction : direction;
    lane.flow[flow].stage = direction == 0 ? rank : P - 1 - rank;
    lane.flow[flow].direction = direction;
    lane.flow[flow].first = direction * (M / 2);
  }
  return lane;
}

static PwSchedule *
generate (const PwScheduleParams *params, GError **error) {
  int P = params->ranks, M = params->microbatches;
  if (!is_possible (params, error))
    return NULL;
  PwSchedule *schedule
      = pw_schedule_new ("dualpipe", pw_placement_new (PW_PLACEMENT_BIDIRECTIONAL, P, P), M);
  schedule->direction = g_new (uint8_t, (gsize)M);
  for (int m = 0; m < M; m++)
    schedule->direction[m] = m >= M / 2;
  g_autofree int64_t *lengths = g_new (int64_t, (gsize)P);
  for (int rank = 0; rank < P; rank++)
    lengths[rank] = pw__dual_length (P / 2, M / 2);
  pw_schedule_new_lists (schedule, lengths);
  for (int rank = 0; rank < P; rank++) {
    PwProgram *program = &schedule->programs[rank];
    PwDualLane lane = lane_of (P, M, rank);
    program->n_prologue = pw__dual_write (&lane, program->actions);
    g_assert (program->n_prologue <= lengths[rank]);
  }
  return schedule;
}

/* A pair here takes F + B. Where it takes less, ranks differ in busy time, and the form with F&B is
 * the idle time of the middle ones. */
static double
bubble_time (const PwScheduleParams *p) {
  if (p->F < p->I || p->W > p->I)
    return NAN;
  return (p->ranks / 2 - 1) * (2 * p->F + p->I - p->W);
}

static double
peak_activations (const PwScheduleParams *params, int rank) {
  (void)rank;
  return params->ranks + 1;
}

const PwScheduleType pw__schedule_dualpipe = {
  .name = "dualpipe",
  .summary = "two pipes in opposite directions whose F and B overlap, two replicas",
  .paper = "DualPipe (DeepSeek-AI, 2024), arXiv 2412.19437",
  .title = "DeepSeek-V3 Technical Report",
  .about = "For models that communicate inside their layers, as mixtures of experts do: in the "
           "steady state a forward of one pipe and a backward of the other run as a pair, each "
           "computing while the other's messages travel. The bubble is small besides. It costs "
           "two replicas of every stage and P+1 micro-batches of activations. Give a pair's time "
           "as --overlapped; else it takes F + B",
  .follows = "dualpipe.py of deepseek-ai/DualPipe, its eight steps: the same lists (compared for "
             "P to 8)",
  .differs = "The repository runs a pair one after the other unless the model brings its own "
             "overlapped_forward_backward. Its README gives (P/2-1)(F&B + B - 3W), which is the "
             "form here for F = I. Where a pair takes less than F + B ranks differ in busy time, "
             "and the form is the middle ranks' idle time",
  .limits = "The number of ranks must be even, that of the micro-batches even and at least 2P",
  .refused = "--ranks 4 --microbatches 6",
  .related = "dualpipe-v chimera zb-h1",
  .bubble = "(P/2-1)(F&B + F - 2W), F = I >= W; where F&B = F+B, F >= I >= W",
  .peak = "P+1, two replicas",
  .measure = "iteration",
  .options = 0,
  .generate = generate,
  .bubble_time = bubble_time,
  .peak_activations = peak_activations,
};
