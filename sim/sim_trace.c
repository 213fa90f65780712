#include "sim/layout_private.h"

static void
describe (const PwSimInput *input, const PwSimLayout *layout, const char *model,
          PwTraceInfo *info) {
  const PwSchedule *schedule = input->schedule;
  g_free (info->source);
  g_free (info->clock);
  *info = (PwTraceInfo){
    .source = g_strdup ("simulated"),
    .schedule = g_strdup (schedule->name),
    .model = g_strdup (model),
    .policy = g_strdup (pw_policies[schedule->policy].name),
    .unitless = input->costs->unitless,
    .ranks = schedule->ranks,
    .stages = schedule->stages,
    .microbatches = schedule->microbatches,
    .chunks = schedule->chunks,
    .iterations = layout->iterations,
    .clock = g_strdup ("one clock"),
  };
}

static void
add_rank (const PwSimInput *input, const PwSimLayout *layout, const PwSimResult *result, int rank,
          GArray *records) {
  int pieces = MAX (layout->schedule->pieces, 1);
  int64_t iteration = 0;
  for (int64_t id = layout->offset[rank]; id < layout->offset[rank + 1]; id++) {
    PwAction action = pw__sim_action (layout, rank, id);
    if (pw_action_kinds[action.kind].has_microbatch) {
      iteration = pw__sim_iteration (layout, action);
      action.microbatch
          = (uint32_t)(action.microbatch % layout->iteration_microbatches) & 0xffffffu;
    }
    PwTraceRecord record = { .action = action,
                             .rank = rank,
                             .iteration = (int32_t)iteration,
                             .start = result->start[id],
                             .end = result->end[id] };
    if (pw__sim_is_message (action))
      record.bytes = input->costs->message_bytes[action.edge] / pieces;
    g_array_append_val (records, record);
  }
}

PwTrace *
pw_sim_trace (const PwSimInput *input, const PwSimResult *result, const char *model) {
  g_autoptr (PwSimLayout) layout = pw__sim_layout_new (input, NULL);
  g_assert (layout != NULL && layout->n_actions == result->offset[result->ranks]);
  PwTrace *trace = pw_trace_new ();
  describe (input, layout, model, &trace->info);
  for (int rank = 0; rank < layout->ranks; rank++)
    add_rank (input, layout, result, rank, trace->records);
  if (result->memory->len > 0)
    g_array_append_vals (trace->memory, result->memory->data, result->memory->len);
  pw_trace_finish (trace);
  return trace;
}
