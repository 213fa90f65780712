#include "pipewright/validate.h"
#include "exec/profile.h"
#include "pipewright/simulate.h"

#define DEFAULT_STEPS 10
#define WARMUP_STEPS 3
#define STREAM_ITERATIONS 6 /* predicted of an endless schedule */

typedef struct {
  const PwValidateOptions *options;
  int64_t steps; /* of the run */
} Progress;

static void
report_profile (double fraction, gpointer data) {
  const Progress *progress = data;
  progress->options->progress ("profile", fraction, progress->options->progress_data);
}

static void
report_step (int64_t step, double loss, double iteration_s, gpointer data) {
  (void)loss, (void)iteration_s;
  const Progress *progress = data;
  progress->options->progress ("run", (double)(step + 1) / (double)progress->steps,
                               progress->options->progress_data);
}

/* The plan's micro-batch sizes, each once, ascending. torch.chunk gives two at most. */
static int
distinct_sizes (const PwResolvedPlan *resolved, int64_t sizes[2]) {
  int64_t first = resolved->samples[0], last = resolved->samples[resolved->microbatches - 1];
  sizes[0] = MIN (first, last);
  sizes[1] = MAX (first, last);
  return first == last ? 1 : 2;
}

/* Given, from the plan's file, or measured now. */
static PwLayerCosts *
find_costs (const PwPlan *plan, const PwValidateOptions *options, GError **error) {
  if (options->layer_costs)
    return pw_layer_costs_copy (options->layer_costs);
  g_autoptr (PwResolvedPlan) resolved = pw_plan_resolve (plan, NULL, error);
  if (!resolved)
    return NULL;
  if (plan->costs)
    return pw_layer_costs_copy (resolved->layer_costs);
  int64_t sizes[2];
  Progress progress = { .options = options };
  PwProfileOptions profile = { .backend = options->exec.backend,
                               .transport = options->exec.transport,
                               .ranks = resolved->compute->ranks,
                               .samples = sizes,
                               .n_samples = distinct_sizes (resolved, sizes),
                               .optimizer_kind = plan->optimizer.kind,
                               .precision = plan->precision,
                               .seconds = options->profile_seconds,
                               .progress = options->progress ? report_profile : NULL,
                               .progress_data = &progress };
  return pw_profile_run (resolved->graph, &profile, error);
}

/* Steps are separated by a barrier in a run, so what is predicted is one iteration alone; but those
 * of an endless schedule are not. */
static PwSimulation *
predict (const PwPlan *plan, PwLayerCosts *layer_costs, GError **error) {
  PwResolveOptions options
      = { .mode = PW_MODE_TRAINING, .updates = TRUE, .layer_costs = layer_costs };
  g_autoptr (PwResolvedPlan) resolved = pw_plan_resolve (plan, &options, error);
  if (!resolved)
    return NULL;
  int iterations = pw_schedule_is_endless (resolved->compute) ? STREAM_ITERATIONS : 1;
  if (!pw_simulate_stream (plan, resolved, iterations, error))
    return NULL;
  return pw_simulate_resolved (g_steal_pointer (&resolved), iterations, error);
}

static gboolean
measure (const PwPlan *plan, const PwResolvedPlan *resolved, const PwValidateOptions *options,
         PwValidation *validation, GError **error) {
  int64_t steps = options->steps > 0 ? options->steps : DEFAULT_STEPS;
  Progress progress = { .options = options, .steps = steps + WARMUP_STEPS };
  PwTrainOptions train = { .resolved = resolved,
                           .plan = plan,
                           .exec = options->exec,
                           .steps = steps + WARMUP_STEPS,
                           .warmup_steps = WARMUP_STEPS,
                           .progress = options->progress ? report_step : NULL,
                           .progress_data = &progress,
                           .interrupted = options->interrupted };
  train.exec.trace_iterations = (int)MIN (steps, G_MAXINT);
  if (!pw_train_run (&train, &validation->train, error))
    return FALSE;
  validation->measured = g_steal_pointer (&validation->train->trace);
  return TRUE;
}

static void
compare (PwValidation *validation, const PwSimResult *predicted) {
  const PwTrainResult *measured = validation->train;
  const PwTraceDiff *diff = validation->diff;
  validation->predicted_iteration_time = predicted->iteration_time;
  validation->measured_iteration_time = measured->iteration_time;
  validation->relative_error
      = (predicted->iteration_time - measured->iteration_time) / measured->iteration_time;
  validation->predicted_bubble_fraction = diff->a_bubble_fraction;
  validation->measured_bubble_fraction = diff->b_bubble_fraction;
  validation->n_ranks = predicted->ranks;
  validation->predicted_peak_memory_bytes = g_new (int64_t, (gsize)predicted->ranks);
  validation->measured_peak_memory_bytes = g_new (int64_t, (gsize)predicted->ranks);
  for (int r = 0; r < predicted->ranks; r++) {
    validation->predicted_peak_memory_bytes[r] = predicted->rank[r].peak_memory_bytes;
    validation->measured_peak_memory_bytes[r] = measured->rank[r].peak_memory_bytes;
  }
}

PwValidation *
pw_validate_run (const PwPlan *plan, const PwValidateOptions *options, GError **error) {
  g_autoptr (PwValidation) validation = g_new0 (PwValidation, 1);
  validation->layer_costs = find_costs (plan, options, error);
  if (!validation->layer_costs)
    return NULL;
  if (options->interrupted && *options->interrupted) {
    g_set_error_literal (error, PW_EXEC_ERROR, PW_EXEC_ERROR_INTERRUPTED, "interrupted");
    return NULL;
  }
  g_autoptr (PwSimulation) simulation = predict (plan, validation->layer_costs, error);
  if (!simulation)
    return NULL;
  validation->predicted = pw_simulation_trace (simulation);
  if (!measure (plan, simulation->resolved, options, validation, error))
    return NULL;
  validation->diff = pw_trace_diff (validation->predicted, validation->measured, error);
  if (!validation->diff)
    return NULL;
  compare (validation, simulation->result);
  return g_steal_pointer (&validation);
}

void
pw_validation_free (PwValidation *validation) {
  if (!validation)
    return;
  pw_trace_free (validation->predicted);
  pw_trace_free (validation->measured);
  pw_trace_diff_free (validation->diff);
  pw_train_result_free (validation->train);
  pw_layer_costs_free (validation->layer_costs);
  g_free (validation->predicted_peak_memory_bytes);
  g_free (validation->measured_peak_memory_bytes);
  g_free (validation);
}
