/* Interleaved 1F1B (Megatron-LM, arXiv 2104.04473): V stages per rank, stage s on rank s mod P, so
 * that warm-up and drain shrink to chunks. Micro-batches go through the chunks in groups of G
 * (default P; see interleaved_private.h); min(MV, 2(P-1-r) + (V-1)G) forwards, then one forward and
 * one backward in turn. A group must cover the ranks to keep all of them busy; where G does not
 * divide M our groups differ by at most one in size and the first, the largest, sets the warm-up.
 *
 *   F = 1, B = 2, P = 2, M = 4, V = 2; stage 0 and 2 on rank 0 (a, c), 1 and 3 on rank 1 (b, d)
 *   rank 0 | a0 a1 c0 c1 a2 .  C0--- a3 C1--- c2 A0--- c3 A1--- .  C2--- .  C3--- A2--- A3---
 *   rank 1 | .  b0 b1 d0 D0--- d1 D1--- b2 B0--- b3 B1--- d2 D2--- d3 D3--- B2--- B3--- .
 *            (a0: forward of a, micro-batch 0; A0: its backward)
 */
#include "schedules/interleaved_private.h"

#include <math.h>

static int64_t
warmup_of (const PwScheduleParams *params, const PwGroups *groups, int rank) {
  int64_t V = pw__interleaved_chunks (params), G = pw__groups_size (groups, 0);
  return MIN (params->microbatches * V, 2 * ((int64_t)params->ranks - 1 - rank) + (V - 1) * G);
}

static void
write_list (PwAction *out, const PwScheduleParams *params, const PwVisit *visits, int rank,
            int64_t warmup) {
  int V = pw__interleaved_chunks (params), P = params->ranks;
  int64_t n = (int64_t)params->microbatches * V;
  for (int64_t k = 0; k < n + warmup; k++) {
    if (k < n)
      *out++ = pw_action (PW_ACTION_FORWARD, visits[k].chunk * P + rank, visits[k].microbatch);
    if (k >= warmup) {
      PwVisit back = visits[k - warmup];
      *out++ = pw_action (PW_ACTION_BACKWARD, (V - 1 - back.chunk) * P + rank, back.microbatch);
    }
  }
}

/* Before the last rank's backward of micro-batch 0 through the chunk before the last, it goes
 * forward (V+1)G+1 times; rank 0's backward that it waits for comes behind 2(P-1)+(V-1)G+1
 * forwards, of which those of later chunks come from the last rank, G steps before. With G < P-1
 * the two wait for each other, unless there are no more forwards. The rules of others take no such
 * groups. */
static gboolean
check_groups (const PwScheduleParams *params, const PwGroups *groups, GError **error) {
  int G = params->group != 0 ? params->group : params->ranks;
  int64_t V = pw__interleaved_chunks (params);
  if (params->group_rule != NULL || groups->n == 1 || V == 1 || groups->size >= params->ranks - 1
      || params->microbatches * V <= (V + 1) * G + 1)
    return TRUE;
  g_set_error (error, PW_SCHEDULE_ERROR, PW_SCHEDULE_ERROR_PARAMETER,
               "group: %d micro-batches on %d ranks deadlock, at least %d are needed", G,
               params->ranks, params->ranks - 1);
  return FALSE;
}

static PwSchedule *
generate (const PwScheduleParams *params, GError **error) {
  int V = pw__interleaved_chunks (params);
  PwGroups groups;
  if (!pw__schedule_fits ((int64_t)params->ranks * V, params->microbatches, error)
      || !pw__interleaved_groups (params, &groups, error) || !check_groups (params, &groups, error))
    return NULL;
  PwSchedule *schedule = pw__schedule_new_loop ("interleaved-1f1b", params, V,
                                                2 * (int64_t)params->microbatches * V);
  g_autofree PwVisit *visits = pw__interleaved_visits (&groups, params->microbatches, V);
  for (int rank = 0; rank < params->ranks; rank++)
    write_list (schedule->programs[rank].actions, params, visits, rank,
                warmup_of (params, &groups, rank));
  return schedule;
}

static double
bubble_time (const PwScheduleParams *p) {
  PwGroups groups;
  if (p->microbatches < p->ranks || !pw__interleaved_groups (p, &groups, NULL))
    return NAN;
  if (groups.size < p->ranks && pw__interleaved_chunks (p) > 1)
    return NAN;
  return (p->ranks - 1) * (p->F + p->I + p->W);
}

static double
peak_activations (const PwScheduleParams *params, int rank) {
  PwGroups groups;
  if (!pw__interleaved_groups (params, &groups, NULL))
    return NAN;
  double V = pw__interleaved_chunks (params);
  return MIN (params->microbatches * V, (double)warmup_of (params, &groups, rank) + 1) / V;
}

const PwScheduleType pw__schedule_interleaved_1f1b = {
  .name = "interleaved-1f1b",
  .summary = "1f1b over several chunks per rank, for a smaller bubble",
  .paper = "Megatron-LM (Narayanan et al., 2021), arXiv 2104.04473",
  .title = "Efficient Large-Scale Language Model Training on GPU Clusters Using Megatron-LM",
  .about = "Each rank holds V short stages instead of a long one and micro-batches pass all ranks "
           "V times, so that the pipeline fills and drains in the time of chunks: 1f1b's bubble "
           "divided by V. It costs about V times as many messages, and activations of up to P + "
           "(P-1)/V micro-batches on the first rank. M should be at least P",
  .follows = "Megatron-LM's get_schedule_table and its warm-up wherever G divides M: the same "
             "lists (compared for P to 5, G to 8). --group megatron and --group pytorch follow "
             "the two where it does not, and refuse what they refuse (PyTorch 2.15, P to 6, M to "
             "16, V to 3)",
  .differs = "Where the rest is not a full group, Megatron-LM makes it a group of its own and "
             "refuses one of fewer than P; PyTorch cuts M into max(1, floor(M/P)) equal rounds "
             "and refuses an M that they do not divide. Groups here differ in size by at most "
             "one, which takes every M and keeps the closed form from M = P on. Megatron-LM warms "
             "up with one forward more when it overlaps the communication of experts",
  .limits = "Groups of fewer than P-1 micro-batches are refused where ranks would wait for each "
            "other",
  .refused = "--ranks 4 --microbatches 12 --group 2",
  .related = "1f1b looped-bfs zb-interleaved",
  .bubble = "(P-1)(F+B) with F, B of a chunk, M >= P and groups of P or more",
  .peak = "min(MV, 2(P-1-r)+(V-1)G+1)/V, G the first group's size",
  .measure = "iteration",
  .options = PW_OPTION_CHUNKS | PW_OPTION_GROUP,
  .generate = generate,
  .bubble_time = bubble_time,
  .peak_activations = peak_activations,
};
