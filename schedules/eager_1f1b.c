/* Eager 1F1B (Alpa's OverlapFriendlyPipeDreamSchedule, arXiv 2211.05322): 1F1B with twice the
 * warm-up, min(M, 2(P-1-r)) forwards. Every micro-batch then has the time of one more F and B to
 * travel, so that links of up to (F+B)/2 cost nothing in the steady state; it is paid for in
 * memory.
 *
 *   F = 1, B = 2, P = 3, M = 5
 *   rank 0 | F0 F1 F2 F3 F4 .  .  B0--- .  B1--- .  B2--- .  B3--- .  B4---     warm-up 4
 *   rank 1 | .  F0 F1 F2 .  B0--- F3 B1--- F4 B2--- .  B3--- .  B4--- .  .      warm-up 2
 *   rank 2 | .  .  F0 B0--- F1 B1--- F2 B2--- F3 B3--- F4 B4--- .  .  .  .      warm-up 0
 */
#include "schedules/one_f_one_b_private.h"

static PwSchedule *
generate (const PwScheduleParams *params, GError **error) {
  (void)error;
  int M = params->microbatches;
  PwSchedule *schedule = pw__schedule_new_straight ("eager-1f1b", params, 2 * (int64_t)M);
  for (int rank = 0; rank < params->ranks; rank++)
    pw__write_one_f_one_b (schedule->programs[rank].actions, rank, M,
                           MIN (M, 2 * (params->ranks - 1 - rank)));
  return schedule;
}

static double
bubble_time (const PwScheduleParams *p) {
  return (p->ranks - 1) * (p->F + p->I + p->W);
}

static double
peak_activations (const PwScheduleParams *params, int rank) {
  return MIN (params->microbatches, 2 * (params->ranks - rank) - 1);
}

const PwScheduleType pw__schedule_eager_1f1b = {
  .name = "eager-1f1b",
  .summary = "1f1b with twice the warm-up, which hides the links",
  .paper = "Eager 1F1B (Zhuang et al., 2022), arXiv 2211.05322",
  .title = "On Optimizing the Communication of Model Parallelism",
  .about = "For slow links. With twice the warm-up a message has the time of one more forward and "
           "backward to arrive, so that links of up to (F+B)/2 cost nothing in the steady state, "
           "where 1f1b pays twice a link's time for every P micro-batches. It is paid for in "
           "activations, nearly twice 1f1b's on the first rank; where links are quick it gains "
           "nothing",
  .follows = "Alpa's OverlapFriendlyPipeDreamSchedule: the same lists (compared for P to 6, M to "
             "14)",
  .differs = "Alpa counts the forward in front of the first backward as warm-up, hence 2(P-r)-1 "
             "there. It also places tasks on a clock of equal ticks; here only each rank's order "
             "counts",
  .related = "1f1b zb-h2",
  .bubble = "(P-1)(F+B), any M; with links of time L (P-1)(F+B+2L) while 2L <= F+B",
  .peak = "min(M, 2(P-r)-1)",
  .measure = "iteration",
  .options = 0,
  .generate = generate,
  .bubble_time = bubble_time,
  .peak_activations = peak_activations,
};
