#include "sim/compile_private.h"
#include "schedules/block.h"
#include "sim/lanes_private.h"
#include "sim/memory_private.h"
#include "sim/program_private.h"
#include "sim/summary_private.h"

PwSimTimed *
pw__sim_program_timed (PwSimProgram *program, gboolean has_transfers, GError **error) {
  gboolean instant = program->allows_instant && !has_transfers;
  if (program->timed[instant] == NULL) {
    PwSimGraph *graph = pw__sim_graph_new (program->layout, program->index, instant, error);
    if (graph == NULL)
      return NULL;
    program->timed[instant] = pw__sim_timed_new (graph, program->layout);
    program->time[instant] = pw_block_new ((gsize)graph->n_nodes * sizeof (double));
  }
  return program->timed[instant];
}

const PwSimLanes *
pw__sim_program_lanes (PwSimProgram *program, const PwSimTimed *timed) {
  PwSimLanes **lanes = &program->lanes[timed->graph->is_instant];
  if (*lanes == NULL)
    *lanes = pw__sim_lanes_new (timed, program->layout);
  return *lanes;
}

static PwSimProgram *
compile (const PwSimInput *input, PwSimLayout *layout, GError **error) {
  g_autoptr (PwSimProgram) program = g_new0 (PwSimProgram, 1);
  program->input = *input;
  program->layout = layout;
  program->index = pw__sim_index_new (layout, error);
  if (program->index == NULL)
    return NULL;
  program->allows_instant = pw__sim_graph_allows_instant (layout, program->index);
  pw__sim_durations_init (&program->durations, layout, input->costs);
  if (pw__sim_program_timed (program, program->durations.has_transfers, error) == NULL)
    return NULL;
  return g_steal_pointer (&program);
}

PwSimProgram *
pw_sim_compile (const PwSimInput *input, GError **error) {
  PwSimLayout *layout = pw__sim_layout_new (input, error);
  if (layout == NULL)
    return NULL;
  PwSimProgram *program = compile (input, layout, error);
  if (program != NULL)
    pw_sim_retime (program, input->costs);
  return program;
}

double
pw_sim_retime (PwSimProgram *program, const PwStageCosts *costs) {
  pw__sim_durations_clear (&program->durations);
  pw__sim_durations_init (&program->durations, program->layout, costs);
  PwSimTimed *timed = pw__sim_program_timed (program, program->durations.has_transfers, NULL);
  g_assert (timed != NULL);
  if (costs->factor != NULL && timed->first == NULL)
    pw__sim_timed_find_actions (timed, program->layout);
  program->table = g_renew (double, program->table, (gsize)timed->n_rows);
  pw__sim_fill_table (timed, program->layout, &program->durations, program->table);
  program->costs = costs;
  program->last = timed;
  double *time = program->time[timed->graph->is_instant];
  return pw__sim_evaluate (timed, &program->durations, program->table, time);
}

/* From nodes to the places of actions. */
static void
spread_times (const PwSimProgram *program, PwSimResult *result) {
  const PwSimLayout *layout = program->layout;
  const PwSimGraph *graph = program->last->graph;
  const double *time = program->time[graph->is_instant];
  for (int rank = 0; rank < layout->ranks; rank++)
    for (int64_t id = layout->offset[rank]; id < layout->offset[rank + 1]; id++) {
      int32_t node = graph->node[id];
      double start = MAX (time[graph->a[node]], time[graph->b[node]]);
      if (graph->is_instant && pw__sim_is_message (pw__sim_action (layout, rank, id)))
        start = time[node];
      result->start[id] = start;
      result->end[id] = time[node];
    }
}

PwSimResult *
pw_sim_program_result (const PwSimProgram *program) {
  g_assert (program->last != NULL);
  PwSimInput input = program->input;
  input.costs = program->costs;
  PwSimResult *result = pw__sim_result_new (program->layout);
  PwSimSummary summary;
  pw__sim_summary_init (&summary, &input, program->layout, result);
  spread_times (program, result);
  pw__sim_summary_read_times (&summary, program->index);
  pw__sim_summary_finish (&summary);
  pw__sim_memory_add (&input, program->layout, program->index, result);
  return result;
}

PwSimResult *
pw__sim_run_compiled (const PwSimInput *input, PwSimLayout *layout, GError **error) {
  g_autoptr (PwSimProgram) program = compile (input, layout, error);
  if (program == NULL)
    return NULL;
  pw_sim_retime (program, input->costs);
  return pw_sim_program_result (program);
}

PwAction
pw_sim_program_action (const PwSimProgram *program, int rank, int64_t index, int *iteration) {
  const PwSimLayout *layout = program->layout;
  PwAction action = layout->list[rank][index];
  if (pw_action_kinds[action.kind].has_microbatch) {
    *iteration = (int)pw__sim_iteration (layout, action);
    action.microbatch = (uint32_t)(action.microbatch % layout->iteration_microbatches) & 0xffffffu;
  }
  return action;
}

int64_t
pw_sim_program_events (const PwSimProgram *program) {
  const PwSimLayout *layout = program->layout;
  int64_t events = 0;
  for (int rank = 0; rank < layout->ranks; rank++)
    for (int64_t id = layout->offset[rank]; id < layout->offset[rank + 1]; id++) {
      PwAction action = pw__sim_action (layout, rank, id);
      events += pw__sim_is_message (action) ? pw__sim_is_send (action)
                                            : !pw__sim_is_pair (layout, rank, id);
    }
  return events;
}

void
pw_sim_program_free (PwSimProgram *program) {
  if (program == NULL)
    return;
  for (int i = 0; i < 2; i++) {
    pw__sim_timed_free (program->timed[i]);
    pw__sim_lanes_free (program->lanes[i]);
    pw_block_free (program->time[i]);
  }
  pw__sim_durations_clear (&program->durations);
  pw__sim_index_free (program->index);
  pw__sim_layout_free (program->layout);
  g_free (program->table);
  g_free (program);
}
