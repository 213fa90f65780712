#include "cli/execution.h"
#include "cli/output.h"
#include "cli/processes.h"
#include "cli/table.h"
#include "cli/workload.h"
#include "exec/train.h"
#include "traces/chrome.h"
#include <stdio.h>
#include <string.h>

#define STEP_LINES 20

typedef struct {
  char *trace, *log, *data, *mode;
  int trace_iterations;
  double timeout_s;
  gboolean no_pinning;
} Options;

typedef struct {
  const PwResolvedPlan *resolved;
  const PwBackend *backend;
  const char *processes; /* NULL: one */
  int64_t steps, interval;
  double items; /* of a mini-batch */
  const char *unit;
  gboolean json;
} Progress;

/* Where there is a choice, its bits are another's. */
static void
print_attention (const PwGraph *graph, const PwBackend *backend) {
  gboolean is_half = FALSE;
  for (int l = 0; l < graph->n_layers; l++)
    is_half |= strcmp (graph->layers[l].type->name, "attention") == 0
               && graph->layers[l].info.output.dtype != PW_DTYPE_F32;
  if (!is_half || !backend || !backend->attention_library)
    return;
  const char *library = backend->attention_library ();
  printf ("attention: %s%s\n",
          library ? library : "own kernels, cuDNN was not found or is turned off",
          library ? " where it takes the shape" : "");
}

static void
print_heading (const Progress *progress) {
  const PwResolvedPlan *resolved = progress->resolved;
  const PwSchedule *schedule = resolved->compute;
  const char *processes = progress->processes;
  printf ("%s on %s: %d ranks, %d stages, batch %" G_GINT64_FORMAT " in %d micro-batches\n",
          schedule->name, resolved->graph->name, schedule->ranks, schedule->stages, resolved->batch,
          resolved->microbatches);
  print_attention (resolved->graph, progress->backend);
  printf ("%s%s\n", processes ? processes : "", processes ? "\n" : "");
}

static void
show_step (int64_t step, double loss, double iteration_s, gpointer data) {
  const Progress *progress = data;
  char time[PW_TEXT_MAX];
  double rate = iteration_s > 0 ? progress->items / iteration_s : 0;
  g_autofree char *line
      = g_strdup_printf ("step %6" G_GINT64_FORMAT "   loss %9.5f   %10s   %8.0f %s/s", step + 1,
                         loss, pw_format_time (iteration_s, FALSE, time), rate, progress->unit);
  if (step == 0 && !progress->json)
    print_heading (progress);
  gboolean is_due
      = step == 0 || (step + 1) % progress->interval == 0 || step + 1 == progress->steps;
  if (is_due && !progress->json) {
    pw_progress_clear ();
    puts (line);
    fflush (stdout);
  }
  pw_progress_show ("%s   %3.0f%%", line, 100 * (double)(step + 1) / (double)progress->steps);
}

/* 1, 5, 10, 50, ...: a long run has about STEP_LINES lines. */
static int64_t
line_interval (int64_t steps) {
  int64_t interval = 1;
  for (int i = 0; interval * STEP_LINES < steps; i++)
    interval *= i % 2 == 0 ? 5 : 2;
  return interval;
}

static void
print_json (const PwTrainResult *result) {
  json_t *object = json_object (), *losses = json_array (), *ranks = json_array ();
  for (int64_t i = 0; i < result->steps; i++)
    json_array_append_new (losses, pw_output_number (result->losses[i]));
  for (int r = 0; r < result->n_ranks; r++) {
    const PwExecRank *rank = &result->rank[r];
    json_t *row = json_object ();
    json_object_set_new (row, "rank", json_integer (rank->rank));
    json_object_set_new (row, "busy_time", pw_output_number (rank->busy_time));
    json_object_set_new (row, "peak_memory_bytes", json_integer (rank->peak_memory_bytes));
    json_object_set_new (row, "wait_time", pw_output_number (rank->wait_time));
    json_array_append_new (ranks, row);
  }
  json_object_set_new (object, "losses", losses);
  json_object_set_new (object, "iteration_time", pw_output_number (result->iteration_time));
  json_object_set_new (object, "tokens_or_samples_per_second",
                       pw_output_number (result->items_per_second));
  json_object_set_new (object, "parameters_sha256", pw_output_string (result->parameters_sha256));
  json_object_set_new (object, "per_rank", ranks);
  json_object_set_new (object, "items",
                       json_string (result->items_are_tokens ? "tokens" : "samples"));
  json_object_set_new (object, "steps", json_integer (result->steps));
  json_object_set_new (object, "graph_steps", json_integer (result->graph_steps));
  pw_output_json (object);
}

static void
print_text (const PwTrainResult *result) {
  char text[PW_TEXT_MAX];
  if (result->steps == 0)
    return;
  printf ("\n");
  pw_print_fact ("steps", "%" G_GINT64_FORMAT, result->steps);
  if (result->graph_steps > 0)
    pw_print_fact ("graph steps", "%" G_GINT64_FORMAT, result->graph_steps);
  if (result->graphs_reason)
    pw_print_fact ("no graphs", "%s", result->graphs_reason);
  pw_print_fact ("loss", "%.6f, from %.6f", result->losses[result->steps - 1], result->losses[0]);
  pw_print_fact ("iteration time", "%s", pw_format_time (result->iteration_time, FALSE, text));
  pw_print_fact ("throughput", "%.6g %s/s", result->items_per_second,
                 result->items_are_tokens ? "tokens" : "samples");
  if (result->parameters_sha256)
    pw_print_fact ("parameters sha256", "%s", result->parameters_sha256);
  printf ("\n");
  static const char *const headings[] = { "rank", "busy", "wait", "actions", "memory peak", NULL };
  g_autoptr (PwTable) table = pw_table_new (headings);
  for (int r = 0; r < result->n_ranks; r++) {
    const PwExecRank *rank = &result->rank[r];
    pw_table_row (table);
    pw_table_integer (table, rank->rank);
    pw_table_time (table, rank->busy_time, FALSE);
    pw_table_time (table, rank->wait_time, FALSE);
    pw_table_integer (table, rank->actions);
    pw_table_bytes (table, rank->peak_memory_bytes);
  }
  pw_table_print (table);
}

static gboolean
write_log (const PwTrainResult *result, const char *path, GError **error) {
  g_autoptr (GString) text = g_string_new ("step,loss,iteration_s\n");
  for (int64_t i = 0; i < result->steps; i++)
    g_string_append_printf (text, "%" G_GINT64_FORMAT ",%.17g,%.9g\n", i + 1, result->losses[i],
                            result->iteration_s[i]);
  return pw_output_text (path, text->str, error);
}

/* Also of a run that was interrupted or failed: what there is. */
static gboolean
write_files (const PwTrainResult *result, const Options *options, GError **error) {
  if (options->trace && result->trace && !pw_trace_write (result->trace, options->trace, error))
    return FALSE;
  return !options->log || write_log (result, options->log, error);
}

/* What a run needs, made before it. */
typedef struct {
  PwPlan *plan;
  PwResolvedPlan *resolved;
  int64_t (*predicted)[PW_MEMORY_N]; /* [ranks] */
  PwExecOptions exec;
} Job;

static void
job_clear (Job *job) {
  pw_resolved_plan_free (job->resolved);
  pw_plan_free (job->plan);
  g_free (job->predicted);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Job, job_clear)

static gboolean
prepare (const PwCall *call, const Options *options, Job *job, GError **error) {
  job->plan = pw_workload_plan (call->settings, call->argv[0], error);
  if (!job->plan)
    return FALSE;
  pw_execution_set_data (job->plan, options->data);
  job->resolved = pw_plan_resolve (job->plan, NULL, error);
  if (!job->resolved)
    return FALSE;
  const PwSchedule *compute = job->resolved->compute;
  if (job->resolved->mode != PW_MODE_TRAINING || compute->mode != PW_MODE_TRAINING)
    return pw_input_fail (error, "%s: %s has forwards only, nothing is trained", call->argv[0],
                          compute->name);
  gsize ranks = (gsize)job->resolved->lowered->ranks;
  job->predicted = g_malloc0 (ranks * sizeof *job->predicted);
  job->exec.predicted_bytes = (const int64_t (*)[PW_MEMORY_N])job->predicted;
  job->exec.timeout_s = options->timeout_s;
  job->exec.no_pinning = options->no_pinning;
  if (options->trace)
    job->exec.trace_iterations = options->trace_iterations;
  return pw_execution_options (job->plan, &job->exec, error)
         && pw_execution_check_memory (job->plan, job->resolved, &job->exec, job->predicted, error);
}

static gboolean
report (const PwCall *call, const PwTrainResult *result, const Options *options, GError **error) {
  pw_progress_clear ();
  if (call->json)
    print_json (result);
  else
    print_text (result);
  return write_files (result, options, error);
}

static gboolean
train (const PwCall *call, const Job *job, const PwProcessGroup *processes, const Options *options,
       GError **error) {
  const PwResolvedPlan *resolved = job->resolved;
  gboolean tokens = resolved->graph->input.dtype == PW_DTYPE_I32;
  Progress progress
      = { .resolved = resolved,
          .backend = job->exec.backend,
          .processes = processes->summary,
          .steps = job->plan->steps,
          .interval = line_interval (job->plan->steps),
          .items = (double)resolved->batch
                   * (tokens ? (double)pw_shape_elements (&resolved->graph->input) : 1),
          .unit = tokens ? "tokens" : "samples",
          .json = call->json };
  PwTrainOptions train = { .resolved = resolved,
                           .plan = job->plan,
                           .exec = job->exec,
                           .steps = job->plan->steps,
                           .warmup_steps = -1,
                           .progress = processes->is_first ? show_step : NULL,
                           .progress_data = &progress,
                           .interrupted = pw_execution_catch_interrupt () };
  g_autoptr (PwTrainResult) result = NULL;
  GError *write_error = NULL;
  gboolean good = pw_train_run (&train, &result, error);
  if (result && processes->is_first)
    report (call, result, options, &write_error);
  if (good)
    return pw_bootstrap_settle (processes->bootstrap, write_error, error);
  g_clear_error (&write_error);
  return FALSE;
}

static gboolean
check_options (const Options *options, GError **error) {
  if (options->mode && g_str_equal (options->mode, "inference"))
    return pw_input_fail (error, "--mode: inference is not in this version");
  if (options->mode && !g_str_equal (options->mode, "training"))
    return pw_usage_fail (error, "--mode: \"%s\" is not training", options->mode);
  if (options->trace_iterations < 1)
    return pw_input_fail (error, "--trace-iterations: %d is below the minimum 1",
                          options->trace_iterations);
  if (!(options->timeout_s >= 0))
    return pw_input_fail (error, "--timeout: %g is below the minimum 0", options->timeout_s);
  return pw_output_check ("--trace", options->trace, error)
         && pw_output_check ("--log", options->log, error);
}

static gboolean
run_plan (const PwCall *call, const Options *options, GError **error) {
  g_auto (PwProcessGroup) processes = { 0 };
  g_auto (Job) job = { 0 };
  GError *own = NULL;
  if (!check_options (options, error)
      || !pw_process_group_open (&processes, options->timeout_s, error))
    return FALSE;
  job.exec.bootstrap = processes.bootstrap;
  prepare (call, options, &job, &own);
  return pw_bootstrap_settle (processes.bootstrap, own, error)
         && train (call, &job, &processes, options, error);
}

static int
run (PwCall *call, GError **error) {
  Options options = { .trace_iterations = 10 };
  GOptionEntry entries[] = {
    { "trace", 0, 0, G_OPTION_ARG_FILENAME, &options.trace, "write what happened, for Perfetto",
      "FILE.json" },
    { "trace-iterations", 0, 0, G_OPTION_ARG_INT, &options.trace_iterations,
      "iterations in the trace: the last K; default 10", "K" },
    { "log", 0, 0, G_OPTION_ARG_FILENAME, &options.log, "write step, loss and time as CSV",
      "FILE.csv" },
    { "data", 0, 0, G_OPTION_ARG_FILENAME, &options.data, "text to train on, instead of the plan's",
      "FILE" },
    { "mode", 0, 0, G_OPTION_ARG_STRING, &options.mode, "default: training", "training" },
    { "timeout", 0, 0, G_OPTION_ARG_DOUBLE, &options.timeout_s,
      "end the run if a rank or process hears nothing for so long; default 0: never", "SECONDS" },
    { "no-pinning", 0, 0, G_OPTION_ARG_NONE, &options.no_pinning, "leave threads unpinned", NULL },
    G_OPTION_ENTRY_NULL
  };
  if (pw_call_parse (call, entries, error))
    run_plan (call, &options, error);
  g_free (options.trace);
  g_free (options.log);
  g_free (options.data);
  g_free (options.mode);
  return PW_EXIT_DONE;
}

const PwCommand pw_command_run = {
  .name = "run",
  .arguments = "PLAN",
  .min_arguments = 1,
  .max_arguments = 1,
  .takes = PW_TAKES_PLAN,
  .without = pw_execution_without,
  .has_json = TRUE,
  .summary = "trains a plan, one thread per rank",
  .details
  = "Trains for --steps mini-batches and prints losses, speed, and the SHA-256 of all\n"
    "parameters, which is the same for every synchronous schedule and rank count (chimera\n"
    "and dualpipe add the gradients of two replicas: the same for their two groups).\n"
    "Ctrl-C stops the ranks, writes the trace so far, and exits with 130.\n"
    "\n"
    "With --transport nccl the ranks may be in several processes, which find each other by RANK,\n"
    "WORLD_SIZE, MASTER_ADDR and MASTER_PORT (as torchrun sets them; srun and mpirun stand in for\n"
    "the first two), or over MPI in a build with -DPW_MPI=ON. The first prints and writes.",
  .example
  = "  pipewright run examples/gpt-small.json --schedule 1f1b --steps 50 --trace run.json\n"
    "    the trace opens in https://ui.perfetto.dev",
  .run = run,
};
