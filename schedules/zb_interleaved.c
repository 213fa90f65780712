/* Zero bubble over V stages per rank, stage s on rank s mod P (PyTorch's
 * ScheduleInterleavedZeroBubble): interleaved 1F1B's walk through the chunks with half its extra
 * warm-up, min(MV, (V-1)G + P-1-r) forwards, because I alone is as quick as F; then F and I in
 * turn, each W r actions behind its I, the rest at the end. With V = 1 it is ZB-H1.
 *
 *   F = I = W = 1, P = 2, M = 2, V = 2; a and b are the two stages of a rank
 *   rank 0 | F0a F1a F0b F1b .   I0b W0b I1b W1b I0a W0a I1a W1a
 *   rank 1 | .   F0a F1a F0b I0b F1b I1b W0b I0a W1b I1a W0a W1a
 */
#include "schedules/interleaved_private.h"
#include "schedules/lower.h"
#include "schedules/zero_bubble_private.h"

#include <math.h>

static PwZeroBubbleRank
rank_of (const PwScheduleParams *params, const PwGroups *groups, int rank) {
  int V = pw__interleaved_chunks (params), G = pw__groups_size (groups, 0);
  return (PwZeroBubbleRank){
    .warmup = MIN (params->microbatches * V, (V - 1) * G + params->ranks - 1 - rank),
    .lag = rank,
  };
}

static void
write_list (PwAction *out, const PwScheduleParams *params, const PwVisit *visits, int rank,
            PwZeroBubbleRank plan) {
  int V = pw__interleaved_chunks (params), P = params->ranks, n = params->microbatches * V;
  for (int k = 0; k < plan.warmup; k++)
    *out++ = pw_action (PW_ACTION_FORWARD, visits[k].chunk * P + rank, visits[k].microbatch);
  for (int k = 0; k < n + plan.lag; k++) {
    int forward = k + plan.warmup, weight = k - plan.lag;
    if (forward < n)
      *out++ = pw_action (PW_ACTION_FORWARD, visits[forward].chunk * P + rank,
                          visits[forward].microbatch);
    if (k < n)
      *out++ = pw_action (PW_ACTION_INPUT_GRADIENT, (V - 1 - visits[k].chunk) * P + rank,
                          visits[k].microbatch);
    if (weight >= 0)
      *out++ = pw_action (PW_ACTION_WEIGHT_GRADIENT, (V - 1 - visits[weight].chunk) * P + rank,
                          visits[weight].microbatch);
  }
}

/* With a warm-up this short, ranks may wait for each other in a circle where groups are smaller
 * than half the ranks; which of them do has no simple form, so these few are tried. */
static gboolean
check_groups (const PwScheduleParams *params, const PwGroups *groups, const PwSchedule *schedule,
              GError **error) {
  PwLowerOptions options = { .policy = PW_POLICY_DEFAULT };
  if (groups->n == 1 || groups->size >= params->ranks / 2)
    return TRUE;
  g_autoptr (PwSchedule) lowered = pw_schedule_lower (schedule, NULL, &options, NULL);
  if (lowered != NULL)
    return TRUE;
  g_set_error (error, PW_SCHEDULE_ERROR, PW_SCHEDULE_ERROR_PARAMETER,
               "group: %d micro-batches on %d ranks deadlock, %d or more never do", params->group,
               params->ranks, params->ranks / 2);
  return FALSE;
}

static PwSchedule *
generate (const PwScheduleParams *params, GError **error) {
  int V = pw__interleaved_chunks (params), M = params->microbatches;
  PwGroups groups;
  if (!pw__schedule_fits ((int64_t)V * params->ranks, M, error)
      || !pw__interleaved_groups (params, &groups, error))
    return NULL;
  g_autoptr (PwSchedule) schedule
      = pw__schedule_new_loop ("zb-interleaved", params, V, 3 * (int64_t)M * V);
  g_autofree PwVisit *visits = pw__interleaved_visits (&groups, M, V);
  for (int rank = 0; rank < params->ranks; rank++)
    write_list (schedule->programs[rank].actions, params, visits, rank,
                rank_of (params, &groups, rank));
  return check_groups (params, &groups, schedule, error) ? g_steal_pointer (&schedule) : NULL;
}

static double
bubble_time (const PwScheduleParams *p) {
  PwGroups groups;
  if (p->microbatches < p->ranks || !pw__interleaved_groups (p, &groups, NULL))
    return NAN;
  if (groups.size < p->ranks && pw__interleaved_chunks (p) > 1)
    return NAN;
  return (p->ranks - 1) * (p->F + p->I - MIN (MIN (p->F, p->I), p->W));
}

static double
peak_activations (const PwScheduleParams *params, int rank) {
  PwGroups groups;
  int V = pw__interleaved_chunks (params);
  if (!pw__interleaved_groups (params, &groups, NULL))
    return NAN;
  return pw__zero_bubble_peak (rank_of (params, &groups, rank), (int64_t)params->microbatches * V,
                               params->weight_memory)
         / V;
}

const PwScheduleType pw__schedule_zb_interleaved = {
  .name = "zb-interleaved",
  .summary = "zb-h1 over several chunks per rank",
  .paper = "Zero Bubble (Qi et al., 2024), arXiv 2401.10241; PyTorch's "
           "ScheduleInterleavedZeroBubble",
  .title = "Zero Bubble Pipeline Parallelism",
  .about = "zb-h1 and interleaved-1f1b in one: V stages per rank shorten the fill, split "
           "backwards fill the drain. With F = I = W a third of interleaved-1f1b's bubble is "
           "left, and as an input gradient returns as fast as a forward goes, a shorter warm-up "
           "suffices: the first rank holds P micro-batches instead of P + (P-1)/V. Messages are "
           "about V times 1f1b's",
  .follows = "PyTorch's ScheduleInterleavedZeroBubble: the same lists wherever PyTorch takes M "
             "(compared with PyTorch 2.15, P to 6, M to 16, V to 3)",
  .differs = "PyTorch refuses an M that max(1, floor(M/P)) rounds do not divide; groups here "
             "differ in size by at most one. PyTorch names the paper's ZB-1p as its source, which "
             "has one stage per rank and is found by a search",
  .limits = "Groups of fewer than P/2 micro-batches are refused where ranks would wait for each "
            "other",
  .refused = "--ranks 6 --microbatches 12 --chunks 3 --group 1",
  .related = "zb-h1 interleaved-1f1b zb-v",
  .bubble = "(P-1)(F+I-min(F,I,W)), M >= P and groups of P or more",
  .peak = "((V-1)G + P - r/2)/V, M >= P, G the first group's size",
  .measure = "iteration",
  .options = PW_OPTION_CHUNKS | PW_OPTION_GROUP,
  .generate = generate,
  .bubble_time = bubble_time,
  .peak_activations = peak_activations,
};
