#include "sim/summary_private.h"
#include "schedules/block.h"

#include <string.h>

PwSimResult *
pw__sim_result_new (const PwSimLayout *layout) {
  PwSimResult *result = g_new0 (PwSimResult, 1);
  result->ranks = layout->ranks;
  result->rank = g_new0 (PwSimRank, (gsize)layout->ranks);
  gsize bytes = (gsize)(layout->ranks + 1) * sizeof (int64_t);
  result->offset = g_memdup2 (layout->offset, bytes);
  result->start = pw_block_new ((gsize)layout->n_actions * sizeof (double));
  result->end = pw_block_new ((gsize)layout->n_actions * sizeof (double));
  result->memory = g_array_new (FALSE, FALSE, sizeof (PwTraceMemory));
  return result;
}

void
pw_sim_result_free (PwSimResult *result) {
  if (result == NULL)
    return;
  g_array_unref (result->memory);
  g_free (result->rank);
  g_free (result->offset);
  pw_block_free (result->start);
  pw_block_free (result->end);
  g_free (result);
}

void
pw__sim_summary_init (PwSimSummary *summary, const PwSimInput *input, const PwSimLayout *layout,
                      PwSimResult *result) {
  *summary = (PwSimSummary){ .layout = layout, .result = result };
  if (layout->schedule->mode == PW_MODE_TRAINING) {
    summary->held_by[PW_ACTION_FORWARD] = 1;
    summary->held_by[PW_ACTION_BACKWARD] = -1;
    summary->held_by[PW_ACTION_INPUT_GRADIENT] = input->weight_memory - 1;
    summary->held_by[PW_ACTION_WEIGHT_GRADIENT] = -input->weight_memory;
  }
  summary->iteration_end = g_new (double, (gsize)layout->iterations);
  summary->accounts = g_new (PwSimAccount, (gsize)layout->ranks);
  pw__sim_summary_reset (summary);
}

void
pw__sim_summary_reset (PwSimSummary *summary) {
  const PwSimLayout *layout = summary->layout;
  memset (summary->iteration_end, 0, (gsize)layout->iterations * sizeof (double));
  for (int rank = 0; rank < layout->ranks; rank++) {
    summary->result->rank[rank] = (PwSimRank){ .rank = rank };
    summary->accounts[rank] = (PwSimAccount){ 0 };
  }
}

void
pw__sim_summary_clear (PwSimSummary *summary) {
  g_clear_pointer (&summary->iteration_end, g_free);
  g_clear_pointer (&summary->accounts, g_free);
}

/* A rank's figures once the end of everything is known. */
static void
finish_rank (const PwSimSummary *summary, int r) {
  const PwSimLayout *layout = summary->layout;
  const PwSimAccount *account = &summary->accounts[r];
  PwSimRank *rank = &summary->result->rank[r];
  rank->busy_time = account->busy;
  rank->recompute_time = account->recompute;
  rank->warmup_idle = account->warmup;
  rank->steady_idle = account->steady;
  memcpy (rank->idle_by_cause, account->idle_by_cause, sizeof rank->idle_by_cause);
  rank->first_start = account->warmup;
  rank->last_end = account->clock;
  rank->span = rank->last_end - rank->first_start;
  rank->drain_idle = summary->result->total_time - rank->last_end;
  rank->idle_by_cause[PW_IDLE_BARRIER] += rank->drain_idle;
  rank->idle_time = rank->warmup_idle + rank->steady_idle + rank->drain_idle;
  int chunks = MAX (pw_placement_chunks (layout->schedule->placement, r), 1);
  double peak = account->peak;
  if (layout->schedule->mode == PW_MODE_INFERENCE && account->actions > 0)
    peak = 1;
  rank->peak_activations = peak / (chunks * MAX (layout->schedule->pieces, 1));
}

void
pw__sim_summary_finish (PwSimSummary *summary) {
  const PwSimLayout *layout = summary->layout;
  PwSimResult *result = summary->result;
  for (int rank = 0; rank < layout->ranks; rank++)
    result->total_time = MAX (result->total_time, summary->accounts[rank].clock);
  result->iteration_time = result->total_time;
  if (layout->iterations > 1)
    result->iteration_time
        = (summary->iteration_end[layout->iterations - 1] - summary->iteration_end[0])
          / (layout->iterations - 1);
  double busy = 0;
  int64_t messages = layout->n_actions;
  for (int r = 0; r < layout->ranks; r++) {
    finish_rank (summary, r);
    const PwSimRank *rank = &result->rank[r];
    busy += rank->busy_time;
    result->longest_rank_span = MAX (result->longest_rank_span, rank->span);
    result->peak_activations = MAX (result->peak_activations, rank->peak_activations);
    result->actions += summary->accounts[r].actions;
    result->events += summary->accounts[r].listed - summary->accounts[r].pairs;
    messages -= summary->accounts[r].listed;
  }
  busy /= layout->iterations;
  result->ideal_time = busy / layout->ranks;
  if (result->iteration_time > 0)
    result->bubble_fraction = 1 - busy / (layout->ranks * result->iteration_time);
  if (result->ideal_time > 0)
    result->bubble_ratio = (result->iteration_time - result->ideal_time) / result->ideal_time;
  result->events += messages / 2;
  pw__sim_summary_clear (summary);
}
