#include "sim/summary_private.h"

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

/* RECORDS are in the order of the lists. A pair's second action is on the path with its first, a
 * message's RECV with its SEND. */
static void
mark_critical (const PwSimInput *input, const PwSimLayout *layout, const PwSimResult *result,
               GArray *records) {
  g_autoptr (GArray) path = pw_sim_critical_path (input, result);
  g_autoptr (PwSimIndex) index = pw__sim_index_new (layout, NULL);
  g_assert (index != NULL);
  PwTraceRecord *record = (PwTraceRecord *)(void *)records->data;
  for (guint i = 0; i < path->len; i++) {
    const PwSimCritical *step = &g_array_index (path, PwSimCritical, i);
    int64_t id = layout->offset[step->rank] + step->index;
    record[id].is_critical = TRUE;
    if (pw__sim_is_message (step->action)) {
      int channel = pw__sim_channel (layout, step->action);
      int32_t recv = index->recv[pw__sim_slot (layout, channel, step->action)];
      if (recv >= 0)
        record[recv].is_critical = TRUE;
    } else if (pw__sim_is_pair (layout, step->rank, id)) {
      record[id + 1].is_critical = TRUE;
    }
  }
}

static PwTrace *
make_trace (const PwSimInput *input, const PwSimResult *result, const char *model,
            gboolean critical) {
  g_autoptr (PwSimLayout) layout = pw__sim_layout_new (input, NULL);
  g_assert (layout != NULL && layout->n_actions == result->offset[result->ranks]);
  PwTrace *trace = pw_trace_new ();
  describe (input, layout, model, &trace->info);
  for (int rank = 0; rank < layout->ranks; rank++)
    add_rank (input, layout, result, rank, trace->records);
  g_autoptr (PwSimIndex) index = pw__sim_index_new (layout, NULL);
  if (index != NULL)
    pw__sim_idle_list (input, layout, index, result, trace->idle);
  if (critical)
    mark_critical (input, layout, result, trace->records);
  if (result->memory->len > 0)
    g_array_append_vals (trace->memory, result->memory->data, result->memory->len);
  pw_trace_finish (trace);
  return trace;
}

PwTrace *
pw_sim_trace (const PwSimInput *input, const PwSimResult *result, const char *model) {
  return make_trace (input, result, model, FALSE);
}

PwTrace *
pw_sim_trace_critical (const PwSimInput *input, const PwSimResult *result, const char *model) {
  return make_trace (input, result, model, TRUE);
}
