#include "pipewright/validate.h"
#include "cli/execution.h"
#include "cli/output.h"
#include "cli/processes.h"
#include "cli/table.h"
#include "cli/workload.h"
#include "traces/chrome.h"
#include <glib/gstdio.h>
#include <math.h>

typedef struct {
  char *schedules, *trace_dir, *data;
  double tolerance, seconds;
  PwProcessGroup processes;
} Options;

static void
show_progress (const char *stage, double fraction, gpointer data) {
  pw_progress_show ("%s: %s %3.0f%%", (const char *)data, stage, 100 * fraction);
}

static gboolean
write_traces (const PwValidation *validation, const char *folder, const char *schedule,
              GError **error) {
  if (!folder)
    return TRUE;
  if (g_mkdir_with_parents (folder, 0777) != 0)
    return pw_input_fail (error, "--trace-dir: %s cannot be made", folder);
  g_autofree char *base = g_path_get_basename (schedule);
  const struct {
    const char *suffix;
    const PwTrace *trace;
  } files[] = { { "simulated", validation->predicted }, { "measured", validation->measured } };
  for (gsize i = 0; i < G_N_ELEMENTS (files); i++) {
    g_autofree char *path = g_strdup_printf ("%s/%s-%s.json", folder, base, files[i].suffix);
    if (!pw_trace_write (files[i].trace, path, error))
      return FALSE;
  }
  return TRUE;
}

static json_t *
make_json (const PwValidation *validation, const char *schedule) {
  json_t *object = json_object (), *ranks = json_array (), *actions = json_object ();
  json_object_set_new (object, "schedule", json_string (schedule));
  json_object_set_new (object, "predicted_iteration_time",
                       pw_output_number (validation->predicted_iteration_time));
  json_object_set_new (object, "measured_iteration_time",
                       pw_output_number (validation->measured_iteration_time));
  json_object_set_new (object, "relative_error", pw_output_number (validation->relative_error));
  for (int r = 0; r < validation->n_ranks; r++) {
    json_t *rank = json_object ();
    json_object_set_new (rank, "rank", json_integer (r));
    json_object_set_new (rank, "predicted_peak_memory_bytes",
                         json_integer (validation->predicted_peak_memory_bytes[r]));
    json_object_set_new (rank, "measured_peak_memory_bytes",
                         json_integer (validation->measured_peak_memory_bytes[r]));
    json_array_append_new (ranks, rank);
  }
  json_object_set_new (object, "per_rank", ranks);
  json_object_set_new (actions, "median_start_error",
                       pw_output_number (validation->diff->median_start_error));
  json_object_set_new (actions, "p95_start_error",
                       pw_output_number (validation->diff->p95_start_error));
  json_object_set_new (object, "actions", actions);
  json_object_set_new (object, "predicted_bubble_fraction",
                       pw_output_number (validation->predicted_bubble_fraction));
  json_object_set_new (object, "measured_bubble_fraction",
                       pw_output_number (validation->measured_bubble_fraction));
  return object;
}

static void
add_rows (PwTable *table, const PwValidation *validation, const char *schedule) {
  pw_table_row (table);
  pw_table_text (table, schedule);
  pw_table_text (table, "iteration time");
  pw_table_time (table, validation->predicted_iteration_time, FALSE);
  pw_table_time (table, validation->measured_iteration_time, FALSE);
  pw_table_difference (table, validation->relative_error);
  pw_table_row (table);
  pw_table_text (table, NULL);
  pw_table_text (table, "bubble");
  pw_table_share (table, validation->predicted_bubble_fraction);
  pw_table_share (table, validation->measured_bubble_fraction);
  pw_table_printf (
      table, "%+.2f points",
      100 * (validation->predicted_bubble_fraction - validation->measured_bubble_fraction));
  for (int r = 0; r < validation->n_ranks; r++) {
    int64_t predicted = validation->predicted_peak_memory_bytes[r];
    int64_t measured = validation->measured_peak_memory_bytes[r];
    pw_table_row (table);
    pw_table_text (table, NULL);
    pw_table_printf (table, "memory peak, rank %d", r);
    pw_table_bytes (table, predicted);
    pw_table_bytes (table, measured);
    if (measured > 0)
      pw_table_difference (table, (double)predicted / (double)measured - 1);
    else
      pw_table_text (table, NULL);
  }
  pw_table_row (table);
  pw_table_text (table, NULL);
  pw_table_text (table, "start of an action");
  pw_table_text (table, NULL);
  pw_table_text (table, NULL);
  pw_table_printf (table, "median %.2f%%, 95%% below %.2f%%",
                   100 * validation->diff->median_start_error,
                   100 * validation->diff->p95_start_error);
}

static PwPlan *
load_plan (const PwCall *call, const Options *options, const char *schedule, GError **error) {
  PwPlan *plan = NULL;
  if (schedule) {
    g_autoptr (PwPlan) file = pw_plan_load (call->argv[0], error);
    plan = file ? pw_workload_plan_with (call->settings, file, schedule, error) : NULL;
  } else {
    plan = pw_workload_plan (call->settings, call->argv[0], error);
  }
  if (plan)
    pw_execution_set_data (plan, options->data);
  return plan;
}

static gboolean
prepare (const PwCall *call, const Options *options, const char *schedule, PwPlan **plan,
         PwExecOptions *exec, GError **error) {
  *plan = load_plan (call, options, schedule, error);
  if (!*plan)
    return FALSE;
  if (exec->bootstrap && !(*plan)->costs)
    return pw_input_fail (error,
                          "validate: there are %d processes, and layers are profiled in one: "
                          "run profile -o there before, and give its file with --costs",
                          exec->bootstrap->size);
  return pw_execution_options (*plan, exec, error) && pw_execution_check_plan (*plan, exec, error);
}

/* COSTS: measured for an earlier schedule, NULL: none yet. */
static PwValidation *
validate (const PwCall *call, const Options *options, const char *schedule, PwLayerCosts *costs,
          char **name, GError **error) {
  const PwProcessGroup *processes = &options->processes;
  PwExecOptions exec = { .bootstrap = processes->bootstrap };
  g_autoptr (PwPlan) plan = NULL;
  GError *own = NULL;
  prepare (call, options, schedule, &plan, &exec, &own);
  if (!pw_bootstrap_settle (processes->bootstrap, own, error))
    return NULL;
  own = NULL;
  *name = g_strdup (plan->schedule_csv ? plan->schedule_csv : plan->schedule);
  PwValidateOptions validate_options = {
    .layer_costs = costs,
    .profile_seconds = options->seconds,
    .exec = exec,
    .progress = processes->is_first ? show_progress : NULL,
    .progress_data = *name,
    .interrupted = pw_execution_catch_interrupt (),
    .steps = pw_settings_get (call->settings, "steps") ? plan->steps : 0,
  };
  g_autoptr (PwValidation) validation = pw_validate_run (plan, &validate_options, error);
  if (!validation)
    return NULL;
  if (processes->is_first) {
    pw_progress_clear ();
    write_traces (validation, options->trace_dir, *name, &own);
  }
  return pw_bootstrap_settle (processes->bootstrap, own, error) ? g_steal_pointer (&validation)
                                                                : NULL;
}

static void
print (const PwCall *call, const GPtrArray *validations, const GPtrArray *names, gboolean is_list) {
  static const char *const headings[]
      = { "<schedule", "<figure", "predicted", "measured", "<error", NULL };
  g_autoptr (PwTable) table = pw_table_new (headings);
  json_t *rows = json_array ();
  for (guint i = 0; i < validations->len; i++) {
    if (call->json)
      json_array_append_new (rows, make_json (validations->pdata[i], names->pdata[i]));
    else
      add_rows (table, validations->pdata[i], names->pdata[i]);
  }
  if (!call->json)
    pw_table_print (table);
  else if (is_list)
    pw_output_json (json_pack ("{s:O}", "rows", rows));
  else
    pw_output_json (json_incref (json_array_get (rows, 0)));
  json_decref (rows);
}

static void
free_validation (gpointer validation) {
  pw_validation_free (validation);
}

static int
validate_all (const PwCall *call, const Options *options, GError **error) {
  g_auto (GStrv) schedules = g_strsplit (options->schedules ? options->schedules : "", ",", -1);
  g_autoptr (GPtrArray) validations = g_ptr_array_new_with_free_func (free_validation);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  guint n = MAX (g_strv_length (schedules), 1);
  gboolean missed = FALSE;
  for (guint i = 0; i < n; i++) {
    const PwValidation *first = i > 0 ? validations->pdata[0] : NULL;
    char *name = NULL;
    PwValidation *validation = validate (call, options, options->schedules ? schedules[i] : NULL,
                                         first ? first->layer_costs : NULL, &name, error);
    g_ptr_array_add (names, name);
    if (!validation)
      return PW_EXIT_USAGE;
    g_ptr_array_add (validations, validation);
    missed = missed || !(fabs (validation->relative_error) <= options->tolerance);
  }
  if (options->processes.is_first)
    print (call, validations, names, options->schedules != NULL);
  if (missed && options->processes.is_first)
    pw_output_complain ("the iteration time is further off than --tolerance %g",
                        options->tolerance);
  return missed ? PW_EXIT_NO : PW_EXIT_DONE;
}

static int
run (PwCall *call, GError **error) {
  Options options = { .tolerance = INFINITY };
  GOptionEntry entries[]
      = { { "schedules", 0, 0, G_OPTION_ARG_STRING, &options.schedules,
            "validate each of them, with one profile", "A,B,..." },
          { "tolerance", 0, 0, G_OPTION_ARG_DOUBLE, &options.tolerance,
            "largest error of the iteration time, e.g. 0.05; more: exit status 1", "X" },
          { "trace-dir", 0, 0, G_OPTION_ARG_FILENAME, &options.trace_dir,
            "write SCHEDULE-simulated.json and SCHEDULE-measured.json", "FOLDER" },
          { "seconds", 0, 0, G_OPTION_ARG_DOUBLE, &options.seconds,
            "profiling time for each micro-batch size; default 2", "X" },
          { "data", 0, 0, G_OPTION_ARG_FILENAME, &options.data,
            "text to train on, instead of the plan's", "FILE" },
          G_OPTION_ENTRY_NULL };
  int status = PW_EXIT_DONE;
  if (pw_call_parse (call, entries, error)) {
    if (!(options.tolerance >= 0))
      pw_input_fail (error, "--tolerance: %g is below the minimum 0", options.tolerance);
    else if (!(options.seconds >= 0 && options.seconds <= 3600))
      pw_input_fail (error, "--seconds: %g is not within 0 and 3600", options.seconds);
    else if (pw_process_group_open (&options.processes, 0, error))
      status = validate_all (call, &options, error);
  }
  pw_process_group_clear (&options.processes);
  g_free (options.schedules);
  g_free (options.trace_dir);
  g_free (options.data);
  return status;
}

const PwCommand pw_command_validate = {
  .name = "validate",
  .arguments = "PLAN",
  .min_arguments = 1,
  .max_arguments = 1,
  .takes = PW_TAKES_PLAN,
  .has_json = TRUE,
  .summary = "predicted against measured: profiles, simulates, runs",
  .details
  = "Profiles the plan on this machine (unless it has \"costs\"), simulates it, trains it for\n"
    "--steps mini-batches (default 10, after three to warm up), and compares time, bubble,\n"
    "memory and the start of every action.",
  .example = "  pipewright validate examples/gpt-small.json --tolerance 0.1\n"
             "    exit status 0 if the predicted iteration time is within 10% of the measured one",
  .run = run,
};
