#include "cli/execution.h"
#include "cli/output.h"
#include "cli/sweep_private.h"

typedef struct {
  char **vary;
  char *csv, *plot, *x, *y, *shard;
  int rows, threads;
  gboolean pareto;
} Options;

static void
show_progress (int64_t done, int64_t of, gpointer data) {
  (void)data;
  pw_progress_show ("%" G_GINT64_FORMAT " of %" G_GINT64_FORMAT " points   %3.0f%%", done, of,
                    of > 0 ? 100 * (double)done / (double)of : 100);
}

static gboolean
read_axes (const Options *options, PwSweep *sweep, GError **error) {
  if (!options->vary)
    return pw_usage_fail (error, "sweep: what is to be varied? --vary microbatches=4:64:x2");
  for (int i = 0; options->vary[i]; i++) {
    PwSweepAxis *axis = pw_sweep_axis_parse (options->vary[i], error);
    if (!axis) {
      g_prefix_error (error, "--vary: ");
      return FALSE;
    }
    g_ptr_array_add (sweep->axes, axis);
  }
  sweep->run.points = pw_sweep_points (sweep->axes, error);
  return sweep->run.points >= 0 && pw__sweep_check_axes (sweep, error);
}

static gboolean
read_options (const Options *options, PwSweep *sweep, GError **error) {
  if (options->rows < 0 || options->threads < 0)
    return pw_usage_fail (error, "--%s: %d is below the minimum 0",
                          options->rows < 0 ? "rows" : "threads",
                          options->rows < 0 ? options->rows : options->threads);
  sweep->run.shard = (PwSweepShard){ 1, 1 };
  if (options->shard && !pw_sweep_shard_parse (options->shard, &sweep->run.shard, error)) {
    g_prefix_error (error, "--shard: ");
    return FALSE;
  }
  if ((options->x || options->y) && (!options->plot || options->pareto))
    return pw_usage_fail (error, "--%s is for --plot without --pareto", options->x ? "x" : "y");
  return pw_output_check ("--csv", options->csv, error)
         && pw_output_check ("--plot", options->plot, error)
         && (!options->plot || options->pareto
             || pw__sweep_check_plot (sweep, options->x, options->y, error));
}

static gboolean
write_files (const PwSweep *sweep, const Options *options, GError **error) {
  if (options->csv && !pw__sweep_write_csv (sweep, options->csv, error))
    return FALSE;
  return !options->plot
         || pw__sweep_plot (sweep, options->plot, options->x, options->y, options->pareto, error);
}

static int
sweep_grid (PwCall *call, const Options *options, PwSweep *sweep, GError **error) {
  sweep->id = pw__sweep_id (sweep, options->vary);
  sweep->n = pw_sweep_shard_points (&sweep->run.shard, sweep->run.points);
  sweep->rows = g_new0 (PwSweepRow, (gsize)sweep->n + 1);
  sweep->run.threads = options->threads;
  sweep->run.evaluate = pw__sweep_evaluate;
  sweep->run.progress = pw_progress_wanted () ? show_progress : NULL;
  sweep->run.data = sweep;
  sweep->run.interrupted = pw_execution_catch_interrupt ();
  gint64 begin_us = g_get_monotonic_time ();
  int64_t done = pw_sweep_run (&sweep->run);
  double wall_seconds = (double)(g_get_monotonic_time () - begin_us) * 1e-6;
  pw_progress_clear ();
  if (call->json)
    pw__sweep_print_json (sweep, done, call->no_timing ? -1 : wall_seconds);
  else
    pw__sweep_print (sweep, done, options->rows, options->pareto);
  if (!write_files (sweep, options, error))
    return PW_EXIT_USAGE;
  if (done < sweep->n)
    return PW_EXIT_INTERRUPTED;
  return pw__sweep_best (sweep) >= 0 ? PW_EXIT_DONE : PW_EXIT_NO;
}

void
pw__sweep_clear (PwSweep *sweep) {
  for (int64_t i = 0; sweep->rows && i < sweep->n; i++) {
    g_free (sweep->rows[i].schedule);
    g_free (sweep->rows[i].error);
  }
  g_free (sweep->rows);
  g_free (sweep->id);
  g_ptr_array_unref (sweep->axes);
}

static int
run_sweep (PwCall *call, const Options *options, GError **error) {
  g_autoptr (PwPlan) plan = NULL;
  if (call->n_arguments > 0 && !(plan = pw_plan_load (call->argv[0], error)))
    return PW_EXIT_USAGE;
  PwSweep sweep = { .call = call,
                    .plan = plan,
                    .axes = g_ptr_array_new_with_free_func ((GDestroyNotify)pw_sweep_axis_free) };
  int status = PW_EXIT_USAGE;
  if (read_axes (options, &sweep, error) && read_options (options, &sweep, error))
    status = sweep_grid (call, options, &sweep, error);
  pw__sweep_clear (&sweep);
  return status;
}

static int
run (PwCall *call, GError **error) {
  Options options = { .rows = 40 };
  GOptionEntry entries[] = {
    { "vary", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options.vary,
      "an option or a key of the plan, and its values; repeatable", "NAME=VALUES" },
    { "csv", 0, 0, G_OPTION_ARG_FILENAME, &options.csv, "write all rows", "FILE.csv" },
    { "plot", 0, 0, G_OPTION_ARG_FILENAME, &options.plot,
      "draw a figure against a number (.svg, .png, .pdf)", "FILE" },
    { "x", 0, 0, G_OPTION_ARG_STRING, &options.x, "default: the first number varied", "NAME" },
    { "y", 0, 0, G_OPTION_ARG_STRING, &options.y, PW_SWEEP_FIGURES, "FIGURE" },
    { "pareto", 0, 0, G_OPTION_ARG_NONE, &options.pareto,
      "show, and draw, only what nothing else beats in time and memory", NULL },
    { "rows", 0, 0, G_OPTION_ARG_INT, &options.rows, "rows shown; 0: all; default 40", "N" },
    { "threads", 0, 0, G_OPTION_ARG_INT, &options.threads, "default: one per core", "N" },
    { "shard", 0, 0, G_OPTION_ARG_STRING, &options.shard,
      "only part I of N, for the jobs of an array; \"sweep merge\" joins their CSV files", "I/N" },
    G_OPTION_ENTRY_NULL
  };
  int status = PW_EXIT_DONE;
  if (pw_call_parse (call, entries, error))
    status = run_sweep (call, &options, error);
  g_strfreev (options.vary);
  g_free (options.csv);
  g_free (options.plot);
  g_free (options.x);
  g_free (options.y);
  g_free (options.shard);
  return status;
}

const PwCommand pw_command_sweep = {
  .name = "sweep",
  .arguments = "[PLAN]",
  .max_arguments = 1,
  .takes = PW_TAKES_ANY,
  .has_json = TRUE,
  .has_no_timing = TRUE,
  .summary = "simulates a grid of values, on all cores",
  .details
  = "Simulates every combination of the values given with --vary, and marks the one with\n"
    "the highest throughput and those that nothing beats in both time and memory (front).\n"
    "What cannot be is a row that says why. A name is any option below without its dashes,\n"
    "or a key of the plan file (hardware.link.bandwidth). VALUES are\n"
    "\"1f1b,zb-h1\", \"1:8\", \"0:1:0.25\" or \"4:64:x2\"; semicolons where values have commas.\n"
    "Synthetic costs are a stage's; where schedules are varied one rank's share, as in compare.\n"
    "\"sweep merge\" joins the CSV files of --shard. Exit status 1: no combination can be used.",
  .example = "  pipewright sweep --schedule 1f1b --ranks 8 --vary microbatches=8:128:x2\n"
             "    the bubble shrinks as micro-batches are added",
  .run = run,
};
