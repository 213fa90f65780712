#include "exec/train.h"

#include "exec/exec_private.h"

typedef struct {
  const PwTrainOptions *options;
  PwExec *exec;
  PwDataset *dataset;
  void *inputs, *targets;
  PwTrainResult *result;
  double *ends; /* [steps] */
} Training;

static double
last_end (const PwExec *exec) {
  double end = 0;
  for (int r = 0; r < exec->n_ranks; r++)
    end = MAX (end, exec->workers[r].last_end);
  return end;
}

static void
note_step (Training *training, int64_t s, const PwExecStep *step, double end) {
  const PwTrainOptions *options = training->options;
  PwTrainResult *result = training->result;
  result->losses[s] = step->loss;
  result->iteration_s[s] = step->iteration_s;
  training->ends[s] = end;
  result->graph_steps += step->is_graph;
  result->steps = s + 1;
  if (options->progress)
    options->progress (s, step->loss, step->iteration_s, options->progress_data);
}

static gboolean
train_step (Training *training, int program, int64_t s, GError **error) {
  const PwTrainOptions *options = training->options;
  PwExecStep step = { 0 };
  PwExecBatch batch = { .inputs = training->inputs, .targets = training->targets };
  pw_dataset_fill (training->dataset, s, options->resolved->batch, training->inputs,
                   training->targets);
  if (!pw_exec_run (training->exec, program, &batch, &step, error))
    return FALSE;
  note_step (training, s, &step, last_end (training->exec));
  return TRUE;
}

/* ---- Endless schedules: all steps in one run ---- */

static void
fill_step (int64_t step, void *inputs, void *targets, gpointer data) {
  const Training *training = data;
  pw_dataset_fill (training->dataset, step, training->options->resolved->batch, inputs, targets);
}

static void
note_streamed (int64_t s, const PwExecStep *step, gpointer data) {
  Training *training = data;
  double before = s > 0 ? training->ends[s - 1] : 0;
  note_step (training, s, step, before + step->iteration_s);
}

static gboolean
train_stream (Training *training, int program, GError **error) {
  int64_t steps = training->options->steps, done;
  g_autofree PwExecStep *results = g_new0 (PwExecStep, (gsize)steps + 1);
  PwExecStream stream = { .steps = steps,
                          .fill = fill_step,
                          .progress = note_streamed,
                          .data = training,
                          .results = results };
  return steps == 0 || pw_exec_run_stream (training->exec, program, &stream, &done, error);
}

static gboolean
train_steps (Training *training, int program, GError **error) {
  if (pw_schedule_is_endless (training->options->resolved->compute))
    return train_stream (training, program, error);
  for (int64_t s = 0; s < training->options->steps; s++)
    if (!train_step (training, program, s, error))
      return FALSE;
  return TRUE;
}

static int
add_program (const Training *training, GError **error) {
  const PwResolvedPlan *resolved = training->options->resolved;
  const PwPlan *plan = training->options->plan;
  if (!pw_schedule_is_endless (resolved->compute))
    return pw_exec_add (training->exec, resolved->lowered, error);
  PwLowerOptions options = pw_resolved_plan_lower_options (resolved, plan);
  return pw_exec_add_endless (training->exec, resolved->compute, &options,
                              MAX (training->options->steps, 1), error);
}

static int
compare_doubles (gconstpointer a, gconstpointer b) {
  double difference = *(const double *)a - *(const double *)b;
  return difference < 0 ? -1 : difference > 0;
}

double
pw__median (double *values, gsize n) {
  if (n == 0)
    return 0;
  qsort (values, n, sizeof (double), compare_doubles);
  return n % 2 == 1 ? values[n / 2] : 0.5 * (values[n / 2 - 1] + values[n / 2]);
}

/* From end to end where there are two steps to compare, else the step's own time. */
static double
iteration_time (const Training *training) {
  const PwTrainResult *result = training->result;
  int64_t warmup = training->options->warmup_steps;
  if (warmup < 0)
    warmup = MIN (2, training->options->steps / 4);
  warmup = MIN (warmup, MAX (0, result->steps - 1));
  g_autofree double *times = g_new (double, (gsize)result->steps + 1);
  gsize n = 0;
  for (int64_t s = MAX (1, warmup); s < result->steps; s++)
    times[n++] = training->ends[s] - training->ends[s - 1];
  if (n == 0 && result->steps > 0)
    times[n++] = result->iteration_s[result->steps - 1];
  return pw__median (times, n);
}

/* A stream's figures are of all its steps. */
static void
take_mean_step (PwExecRank *rank, int64_t steps) {
  rank->busy_time /= (double)steps;
  rank->wait_time /= (double)steps;
  rank->wall_time /= (double)steps;
  rank->actions /= steps;
}

static void
collect (Training *training) {
  PwTrainResult *result = training->result;
  const PwResolvedPlan *resolved = training->options->resolved;
  const PwShape *input = &resolved->graph->input;
  result->iteration_time = iteration_time (training);
  result->items_are_tokens = input->dtype == PW_DTYPE_I32;
  int64_t items = resolved->batch * (result->items_are_tokens ? pw_shape_elements (input) : 1);
  if (result->iteration_time > 0)
    result->items_per_second = (double)items / result->iteration_time;
  result->graphs_reason = g_strdup (pw_exec_graphs_reason (training->exec));
  result->n_ranks = training->exec->n_ranks;
  result->rank = g_new0 (PwExecRank, (gsize)result->n_ranks);
  for (int r = 0; r < result->n_ranks; r++) {
    pw_exec_rank (training->exec, r, &result->rank[r]);
    if (pw_schedule_is_endless (resolved->compute) && result->steps > 0)
      take_mean_step (&result->rank[r], result->steps);
  }
  if (training->options->exec.trace_iterations > 0)
    result->trace = pw_exec_trace (training->exec);
}

static gboolean
prepare (Training *training, int *program, GError **error) {
  const PwTrainOptions *options = training->options;
  const PwResolvedPlan *resolved = options->resolved;
  GError *own = NULL;
  training->dataset = pw_dataset_open (&options->plan->data, resolved->graph, resolved->seed, &own);
  if (!pw_bootstrap_settle (options->exec.bootstrap, own, error))
    return FALSE;
  training->exec = pw_exec_new (resolved, &options->exec, error);
  if (!training->exec)
    return FALSE;
  pw__exec_watch (training->exec, options->interrupted);
  *program = add_program (training, error);
  training->inputs = g_malloc ((gsize)(resolved->batch * pw_shape_bytes (&resolved->graph->input)));
  training->targets
      = g_malloc ((gsize)(resolved->batch * pw_shape_bytes (&resolved->graph->target) + 1));
  return *program >= 0;
}

gboolean
pw_train_run (const PwTrainOptions *options, PwTrainResult **result, GError **error) {
  Training training = { .options = options };
  int program = -1;
  *result = NULL;
  gboolean good = prepare (&training, &program, error);
  if (good) {
    training.result = *result = g_new0 (PwTrainResult, 1);
    (*result)->losses = g_new0 (double, (gsize)options->steps + 1);
    (*result)->iteration_s = g_new0 (double, (gsize)options->steps + 1);
    training.ends = g_new0 (double, (gsize)options->steps + 1);
    good = train_steps (&training, program, error);
    collect (&training);
    if (good)
      (*result)->parameters_sha256 = pw_exec_parameters_sha256 (training.exec, error);
    good = good && (*result)->parameters_sha256 != NULL;
  }
  pw_exec_free (training.exec);
  pw_dataset_free (training.dataset);
  g_free (training.inputs);
  g_free (training.targets);
  g_free (training.ends);
  return good;
}

void
pw_train_result_free (PwTrainResult *result) {
  if (!result)
    return;
  g_free (result->losses);
  g_free (result->iteration_s);
  g_free (result->graphs_reason);
  g_free (result->parameters_sha256);
  g_free (result->rank);
  pw_trace_free (result->trace);
  g_free (result);
}
