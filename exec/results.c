/* What is known after a run: figures of ranks, and the trace. */
#include "exec/processes_private.h"

void
pw_exec_rank (const PwExec *exec, int rank, PwExecRank *out) {
  g_assert (rank >= 0 && rank < exec->n_ranks);
  const PwWorker *worker = &exec->workers[rank];
  *out = worker->figures;
  if (!pw__exec_has_rank (exec, rank))
    return;
  const PwMemoryUse *peak = pw__memory_peak (worker->memory);
  out->peak_memory_bytes = peak->total;
  memcpy (out->peak_by_category, peak->bytes, sizeof out->peak_by_category);
}

int
pw_exec_ranks (const PwExec *exec) {
  return exec->n_ranks;
}

const PwShape *
pw_exec_output_shape (const PwExec *exec) {
  const PwGraph *graph = exec->resolved->graph;
  return &graph->layers[pw__result_layer (graph)].info.output;
}

static void
describe_trace (const PwExec *exec, PwTraceInfo *info) {
  const PwSchedule *schedule
      = exec->last_program >= 0
            ? ((PwExecProgram *)g_ptr_array_index (exec->programs, exec->last_program))->schedule
            : exec->resolved->lowered;
  int per_minibatch
      = exec->last_program >= 0
            ? ((PwExecProgram *)g_ptr_array_index (exec->programs, exec->last_program))
                  ->per_minibatch
            : exec->resolved->microbatches;
  info->source = g_strdup ("measured");
  info->schedule = g_strdup (schedule->name);
  info->model = g_strdup (exec->resolved->graph->name);
  info->policy = g_strdup (pw_policies[schedule->policy].name);
  info->transport = g_strdup (exec->transport->name);
  info->backend = g_strdup (exec->backend->name);
  info->clock = g_strdup ("one clock");
  info->ranks = exec->n_ranks;
  info->stages = exec->n_stages;
  info->microbatches = per_minibatch;
  info->chunks = schedule->chunks;
  info->iterations = MIN (exec->n_runs, exec->options.trace_iterations);
}

PwTrace *
pw_exec_trace (PwExec *exec) {
  PwTrace *trace = pw_trace_new ();
  int32_t first = MAX (0, exec->n_runs - exec->options.trace_iterations);
  double start = G_MAXDOUBLE;
  describe_trace (exec, &trace->info);
  for (int r = 0; r < exec->n_ranks; r++)
    if (exec->workers[r].ring)
      pw__trace_ring_collect (exec->workers[r].ring, r, first, trace);
  pw__processes_share_trace (exec, trace);
  for (guint i = 0; i < trace->records->len; i++)
    start = MIN (start, g_array_index (trace->records, PwTraceRecord, i).start);
  for (guint i = 0; i < trace->records->len; i++) {
    PwTraceRecord *record = &g_array_index (trace->records, PwTraceRecord, i);
    record->start -= start;
    record->end -= start;
    record->iteration -= first;
  }
  for (guint i = 0; i < trace->memory->len; i++)
    g_array_index (trace->memory, PwTraceMemory, i).time -= start;
  pw_trace_finish (trace);
  return trace;
}
