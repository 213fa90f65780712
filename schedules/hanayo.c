/* Hanayo (arXiv 2308.15762): w waves, each through all ranks down and up again, so that 2w stages
 * stand on a rank and the turns of a wave need no message. A reconstruction from the paper's
 * figures: micro-batches enter two slots apart, P of them in flight; stage s of micro-batch j of P
 * goes forward in slot s + 2j, backward in slot 2S-1-s + 2j, and the next P follow 2S slots later.
 * No two actions of a rank share a slot.
 *
 *   F = 1, B = 2, P = 3, M = 3, w = 1; a and b are the two stages of a rank
 *   rank 0 | F0a F1a F2a .   .   F0b B0b---- F1b B1b---- F2b B2b---- .   .   B0a---- .   .  ...
 *   rank 1 | .   F0a F1a .   F0b F2a F1b .   B0b---- F2b B1b---- .   B0a---- B2b---- B1a---- ...
 *   rank 2 | .   .   F0a F0b F1a F1b F2a F2b .   .   B0b---- B0a---- B1b---- B1a---- B2b---- ...
 */
#include "schedules/registry_private.h"
#include "schedules/slots_private.h"

#include <math.h>

static int
waves_of (const PwScheduleParams *params) {
  return MAX (params->waves, 1);
}

/* The slots of micro-batch M: stage after stage down and up the waves, then the same way back. */
static void
put_microbatch (PwSlots *slots, const PwPlacement *placement, int rank, int m) {
  int64_t stages = placement->stages, ranks = placement->ranks;
  int64_t first = 2 * (m % ranks) + 2 * stages * (m / ranks);
  for (int64_t pass = 0; pass < stages / ranks; pass++) {
    int64_t stage = pass * ranks + (pass % 2 == 0 ? rank : ranks - 1 - rank);
    g_assert (pw_placement_rank (placement, 0, (int)stage) == rank);
    pw__slots_put (slots, first + stage, pw_action (PW_ACTION_FORWARD, (int)stage, m));
    pw__slots_put (slots, first + 2 * stages - 1 - stage,
                   pw_action (PW_ACTION_BACKWARD, (int)stage, m));
  }
}

static PwSchedule *
generate (const PwScheduleParams *params, GError **error) {
  int P = params->ranks, M = params->microbatches, passes = 2 * waves_of (params);
  if (!pw__schedule_fits ((int64_t)passes * P, M, error))
    return NULL;
  PwPlacement *placement = pw_placement_new (PW_PLACEMENT_WAVE, P, passes * P);
  PwSchedule *schedule = pw_schedule_new ("hanayo", placement, M);
  g_autofree int64_t *lengths = g_new (int64_t, (gsize)P);
  for (int rank = 0; rank < P; rank++)
    lengths[rank] = 2 * (int64_t)passes * M;
  pw_schedule_new_lists (schedule, lengths);
  int64_t period = 2 * (int64_t)placement->stages;
  g_autoptr (PwSlots) slots = pw__slots_new (((M - 1) / P + 1) * period + 2 * (int64_t)P);
  for (int rank = 0; rank < P; rank++) {
    for (int m = 0; m < M; m++)
      put_microbatch (slots, placement, rank, m);
    int64_t n = pw__slots_take (slots, schedule->programs[rank].actions);
    g_assert (n == lengths[rank]);
  }
  return schedule;
}

static double
bubble_time (const PwScheduleParams *p) {
  double B = p->I + p->W;
  if (p->microbatches % p->ranks != 0)
    return NAN;
  return 2 * (p->ranks - 1) * (MAX (p->F, B) + (p->microbatches / p->ranks - 1) * fabs (B - p->F));
}

static double
peak_activations (const PwScheduleParams *params, int rank) {
  int most = MIN (params->microbatches, params->ranks), chunks = 2 * waves_of (params);
  return (double)(most * chunks - MAX (most - 1 - rank, 0)) / chunks;
}

const PwScheduleType pw__schedule_hanayo = {
  .name = "hanayo",
  .summary = "waves: every rank holds stages on the way down and on the way up",
  .paper = "Hanayo (Liu et al., 2023), arXiv 2308.15762 (a reconstruction)",
  .title = "Hanayo: Harnessing Wave-like Pipeline Parallelism for Enhanced Large Model Training "
           "Efficiency",
  .about = "What chimera does, without its second replica: a micro-batch runs down and up through "
           "all ranks, w times over, and the two stages at a turn share a rank and need no "
           "message. No rank holds more than P micro-batches. As reconstructed it is made for M = "
           "P: every further P micro-batches cost another 2(P-1)|B-F| in chunks, so that with B = "
           "2F and w = 1 its bubble is 1f1b's already at M = 2P",
  .follows = "The paper's figures. No source code of its lists was found; how units of P "
             "micro-batches follow each other is our reading",
  .differs = "Nothing was found to compare with. With w = 1 stages stand on ranks as in zb-v and "
             "dualpipe-v",
  .related = "chimera zb-v dualpipe-v",
  .bubble = "2(P-1)(max(F,B) + (M/P-1)|B-F|), P dividing M",
  .peak = "m - max(0, m-1-r)/2w with m = min(M, P); P at rank P-1",
  .measure = "iteration",
  .options = PW_OPTION_WAVES,
  .generate = generate,
  .bubble_time = bubble_time,
  .peak_activations = peak_activations,
};
