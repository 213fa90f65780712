/* Chimera (arXiv 2107.06925): two pipes through the same ranks, one from each end, so that each
 * rank holds two stages, and each stage stands on two ranks. A unit of P micro-batches, half of
 * them down and half up, fits together without a clash: micro-batch j of a pipe goes forward
 * through stage s in slot 2j + s, backward in slot 2j + P + (P-1-s); the next unit is 2P slots
 * later. Units are joined directly, by slots rather than by concatenating lists as the paper's
 * repository does.
 *
 *   F = 1, B = 2, P = 4, M = 4; small letters go up
 *   rank 0 | F0 F1 .  f2 b2--- f3 b3--- .  B0--- .  .  B1---
 *   rank 1 | .  F0 f2 F1 f3 .  b2--- B0--- b3--- B1--- .  .
 *   rank 2 | .  f2 F0 f3 F1 .  B0--- b2--- B1--- b3--- .  .
 *   rank 3 | f2 f3 .  F0 B0--- F1 B1--- .  b2--- .  .  b3---
 */
#include "schedules/registry_private.h"
#include "schedules/slots_private.h"

#include <math.h>

/* Micro-batch M on RANK. The units of P micro-batches follow each other 2P slots apart. */
static void
put_microbatch (PwSlots *slots, const PwSchedule *schedule, int rank, int m) {
  int64_t P = schedule->ranks, half = P / 2;
  int direction = schedule->direction[m];
  int64_t stage = direction == 0 ? rank : P - 1 - rank;
  int64_t first = 2 * P * (m / P) + 2 * (m % half);
  PwAction forward = pw_action (PW_ACTION_FORWARD, (int)stage, m);
  PwAction backward = pw_action (PW_ACTION_BACKWARD, (int)stage, m);
  forward.direction = backward.direction = direction != 0;
  pw__slots_put (slots, first + stage, forward);
  pw__slots_put (slots, first + P + (P - 1 - stage), backward);
}

static gboolean
is_possible (const PwScheduleParams *params, GError **error) {
  int P = params->ranks, M = params->microbatches;
  if (P % 2 != 0)
    g_set_error (error, PW_SCHEDULE_ERROR, PW_SCHEDULE_ERROR_PARAMETER,
                 "chimera: its two pipes meet in the middle, so ranks cannot be odd (%d)", P);
  else if (M % P != 0)
    g_set_error (error, PW_SCHEDULE_ERROR, PW_SCHEDULE_ERROR_PARAMETER,
                 "chimera: its units are of one micro-batch per rank, and %d is no multiple of %d",
                 M, P);
  return P % 2 == 0 && M % P == 0;
}

static PwSchedule *
generate (const PwScheduleParams *params, GError **error) {
  int P = params->ranks, M = params->microbatches;
  if (!is_possible (params, error))
    return NULL;
  PwPlacement *placement = pw_placement_new (PW_PLACEMENT_BIDIRECTIONAL, P, P);
  PwSchedule *schedule = pw_schedule_new ("chimera", placement, M);
  schedule->direction = g_new (uint8_t, (gsize)M);
  for (int m = 0; m < M; m++)
    schedule->direction[m] = m % P >= P / 2;
  g_autofree int64_t *lengths = g_new (int64_t, (gsize)P);
  for (int rank = 0; rank < P; rank++)
    lengths[rank] = 2 * (int64_t)M;
  pw_schedule_new_lists (schedule, lengths);
  g_autoptr (PwSlots) slots = pw__slots_new (2 * (int64_t)M + P);
  for (int rank = 0; rank < P; rank++) {
    for (int m = 0; m < M; m++)
      put_microbatch (slots, schedule, rank, m);
    int64_t n = pw__slots_take (slots, schedule->programs[rank].actions);
    g_assert (n == lengths[rank]);
  }
  return schedule;
}

static double
bubble_time (const PwScheduleParams *p) {
  double B = p->I + p->W;
  int units = p->microbatches / p->ranks;
  return (p->ranks - 2) * (MAX (p->F, B) + (units - 1) * fabs (B - p->F));
}

static double
peak_activations (const PwScheduleParams *params, int rank) {
  int P = params->ranks;
  return P / 2 + 1 + MIN (rank, P - 1 - rank);
}

const PwScheduleType pw__schedule_chimera = {
  .name = "chimera",
  .summary = "two pipes in opposite directions, two replicas of each stage",
  .paper = "Chimera (Li and Hoefler, 2021), arXiv 2107.06925",
  .title = "Chimera: Efficiently Training Large-Scale Neural Networks with Bidirectional Pipelines",
  .about = "Two pipelines run through the same ranks from both ends and fill each other's gaps: "
           "with F = B about half of 1f1b's bubble, and activations between P/2 + 1 and P "
           "micro-batches. It costs twice the parameters, for each stage stands on two ranks, and "
           "a sum of their gradients at the end. It is made for M = P: every further P "
           "micro-batches cost another (P-2)|B-F|",
  .follows = "The paper's unit of P micro-batches. Units follow each other without a flush, by "
             "slots of equal time",
  .differs = "The authors' repository starts the next half unit of a pipe as soon as a "
             "micro-batch of the last one is through, which for some sizes (P = 6 from M = 14, P "
             "= 8 from M = 18) puts two actions into one slot and loses one. It also takes more "
             "than two pipes, and has the paper's forward doubling for M > P; both are not built "
             "here",
  .limits = "The number of ranks must be even and divide that of the micro-batches",
  .refused = "--ranks 4 --microbatches 6",
  .related = "dualpipe hanayo",
  .bubble = "(P-2)(max(F,B) + (M/P-1)|B-F|), even P dividing M",
  .peak = "P/2 + 1 + min(r, P-1-r), two replicas",
  .measure = "iteration",
  .options = 0,
  .generate = generate,
  .bubble_time = bubble_time,
  .peak_activations = peak_activations,
};
