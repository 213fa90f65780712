/* What lies in one process and all, or process 0, want to see: tensors, outputs, records. */
#include <math.h>

#include "exec/processes_private.h"

gboolean
pw__processes_hand_out (PwExec *exec, int rank, gboolean to_all, void *data, gsize bytes,
                        GError **error) {
  PwBootstrap *bootstrap = pw__processes_bootstrap (exec);
  return !bootstrap
         || bootstrap->transfer (bootstrap, pw__exec_process_of (exec, rank), to_all, data, bytes,
                                 error);
}

/* ---- Outputs ---- */

static int
rank_of_output (PwExec *exec, int microbatch) {
  const PwSchedule *schedule = exec->run.program->schedule;
  int direction = schedule->direction ? schedule->direction[microbatch] : 0;
  return pw__exec_stage_of_layer (exec, direction, pw__result_layer (exec->resolved->graph))->rank;
}

gboolean
pw__processes_share_outputs (PwExec *exec, const PwExecBatch *batch, GError **error) {
  const PwRun *run = &exec->run;
  gsize per_sample = (gsize)pw_shape_bytes (pw_exec_output_shape (exec));
  int n = run->program->n_microbatches;
  if (!exec->processes || !batch->outputs || !run->program->has_forward)
    return TRUE;
  for (int m = 0, end; m < n; m = end) {
    int rank = rank_of_output (exec, m);
    for (end = m + 1; end < n && rank_of_output (exec, end) == rank;)
      end++;
    gsize from = (gsize)run->first_sample[m], to = (gsize)run->first_sample[end];
    if (!pw__processes_hand_out (exec, rank, TRUE, (char *)batch->outputs + from * per_sample,
                                 (to - from) * per_sample, error))
      return FALSE;
  }
  return TRUE;
}

/* ---- Traces ---- */

/* N elements of ARRAY, as many as the longest has, of each process: all_gather takes equal parts.
 */
static gboolean
gather_array (PwBootstrap *bootstrap, GArray *array, gsize size, GError **error) {
  gint64 n = array->len, most = 0;
  g_autofree gint64 *counts = g_new0 (gint64, (gsize)bootstrap->size);
  if (!bootstrap->all_gather (bootstrap, &n, counts, sizeof n, error))
    return FALSE;
  for (int p = 0; p < bootstrap->size; p++)
    most = MAX (most, counts[p]);
  gsize bytes = (gsize)most * size;
  g_autofree char *mine = g_malloc0 (bytes + 1);
  g_autofree char *all = g_malloc0 (bytes * (gsize)bootstrap->size + 1);
  memcpy (mine, array->data, (gsize)n * size);
  if (!bootstrap->all_gather (bootstrap, mine, all, bytes, error))
    return FALSE;
  g_array_set_size (array, 0);
  for (int p = 0; p < bootstrap->size; p++)
    g_array_append_vals (array, all + (gsize)p * bytes, (guint)counts[p]);
  return TRUE;
}

void
pw__processes_share_trace (PwExec *exec, PwTrace *trace) {
  PwBootstrap *bootstrap = pw__processes_bootstrap (exec);
  if (!bootstrap || !pw__processes_align (exec, NULL))
    return;
  const PwClock *clock = pw__processes_clock (exec);
  for (guint i = 0; i < trace->records->len; i++) {
    PwTraceRecord *record = &g_array_index (trace->records, PwTraceRecord, i);
    record->start += clock->offset_s;
    record->end += clock->offset_s;
  }
  for (guint i = 0; i < trace->memory->len; i++)
    g_array_index (trace->memory, PwTraceMemory, i).time += clock->offset_s;
  if (!clock->is_same) {
    g_free (trace->info.clock);
    trace->info.clock
        = g_strdup_printf ("process 0's, within %.0f us", ceil (clock->error_s * 1e6));
  }
  if (gather_array (bootstrap, trace->records, sizeof (PwTraceRecord), NULL))
    gather_array (bootstrap, trace->memory, sizeof (PwTraceMemory), NULL);
}

/* ---- Streams ---- */

typedef struct {
  double start;
  gint64 done;
} StreamHead;

gboolean
pw__processes_share_stream (PwExec *exec, int64_t steps, double *ends, double *losses,
                            double *start, int64_t *done, GError **error) {
  PwBootstrap *bootstrap = pw__processes_bootstrap (exec);
  gsize n = (gsize)steps, bytes = sizeof (StreamHead) + 2 * n * sizeof (double);
  g_autofree StreamHead *mine = g_malloc0 (bytes);
  g_autofree char *all = g_malloc0 (bytes * (gsize)bootstrap->size);
  double offset_s = pw__processes_clock (exec)->offset_s;
  double *mine_ends = (double *)(void *)(mine + 1);
  mine->start = *start + offset_s;
  mine->done = *done;
  for (gsize s = 0; s < n; s++)
    mine_ends[s] = ends[s] + offset_s;
  memcpy (mine_ends + n, losses, n * sizeof (double));
  if (!bootstrap->all_gather (bootstrap, mine, all, bytes, error))
    return FALSE;
  memset (losses, 0, n * sizeof (double));
  for (int p = 0; p < bootstrap->size; p++) {
    const StreamHead *theirs = (const StreamHead *)(void *)(all + (gsize)p * bytes);
    const double *their_ends = (const double *)(const void *)(theirs + 1);
    *start = p == 0 ? theirs->start : MIN (*start, theirs->start);
    *done = p == 0 ? theirs->done : MIN (*done, theirs->done);
    for (gsize s = 0; s < n; s++) {
      ends[s] = p == 0 ? their_ends[s] : MAX (ends[s], their_ends[s]);
      losses[s] += their_ends[n + s];
    }
  }
  return TRUE;
}
