#include "cli/output.h"
#include "cli/report.h"
#include "cli/workload.h"
#include <math.h>
#include <stdio.h>

/* One schedule's row: a simulation, or why there is none. */
typedef struct {
  char *schedule;
  PwSimulation *simulation;
  char *refusal; /* also of a simulation above the memory limit */
} Row;

static void
row_clear (gpointer data) {
  Row *row = data;
  g_free (row->schedule);
  pw_simulation_free (row->simulation);
  g_free (row->refusal);
}

static PwSimulation *
simulate_synthetic (const PwCall *call, Row *row, double *limit, GError **error) {
  g_auto (PwWorkloadSynthetic) workload = { 0 };
  if (!pw_workload_synthetic (call->settings, FALSE, &workload, error))
    return NULL;
  PwSynthetic *synthetic = &workload.synthetic;
  if (!pw_settings_get (call->settings, "cost-per"))
    synthetic->per_rank = TRUE;
  synthetic->schedule = row->schedule;
  const PwScheduleType *type = pw_schedule_get (row->schedule);
  if (type)
    pw_workload_drop_options (&synthetic->params, type);
  *limit = synthetic->params.memory_limit;
  return pw_simulate_synthetic (synthetic, error);
}

static PwSimulation *
simulate_plan (const PwCall *call, const PwPlan *file, const Row *row, double *limit,
               GError **error) {
  int iterations;
  g_autoptr (PwPlan) plan = pw_workload_plan_with (call->settings, file, row->schedule, error);
  if (!plan || !pw_workload_iterations (call->settings, &iterations, error))
    return NULL;
  *limit = (double)plan->memory_limit;
  return pw_simulate_plan (plan, iterations, error);
}

/* FILE: the plan without overrides; NULL: synthetic costs. */
static void
fill_row (const PwCall *call, const PwPlan *file, Row *row) {
  g_autoptr (GError) error = NULL;
  double limit = 0;
  row->simulation = file ? simulate_plan (call, file, row, &limit, &error)
                         : simulate_synthetic (call, row, &limit, &error);
  row->refusal
      = row->simulation ? pw_report_excess (row->simulation, limit) : g_strdup (error->message);
}

/* Mistakes that have nothing to do with a schedule are errors, not rows. */
static gboolean
check_workload (const PwCall *call, const PwPlan *file, GError **error) {
  if (file) {
    int iterations;
    g_autoptr (PwPlan) plan
        = pw_workload_plan_with (call->settings, file, pw_schedule_list ()[0]->name, error);
    return plan && pw_workload_iterations (call->settings, &iterations, error);
  }
  static const char *const needed[] = { "ranks", "microbatches" };
  for (gsize i = 0; i < G_N_ELEMENTS (needed); i++)
    if (!pw_settings_get (call->settings, needed[i]))
      return pw_usage_fail (error, "without a plan --%s is needed", needed[i]);
  g_auto (PwWorkloadSynthetic) workload = { 0 };
  return pw_workload_synthetic (call->settings, FALSE, &workload, error);
}

/* The names given, or all schedules that train. */
static char **
list_schedules (const PwCall *call, const char *names, GError **error) {
  if (!names)
    names = pw_settings_get (call->settings, "schedule");
  g_autoptr (GPtrArray) list = g_ptr_array_new_with_free_func (g_free);
  g_auto (GStrv) parts = g_strsplit (names ? names : "", ",", -1);
  for (int i = 0; parts[i]; i++)
    if (*g_strstrip (parts[i]))
      g_ptr_array_add (list, g_strdup (parts[i]));
  if (names && list->len == 0) {
    pw_input_fail (error, "--schedules: no schedule is named");
    return NULL;
  }
  for (guint i = 0; i < list->len; i++)
    if (!pw_workload_check_schedule ("schedules", list->pdata[i], error))
      return NULL;
  for (const PwScheduleType *const *type = pw_schedule_list (); !names && *type; type++)
    if (!g_str_equal ((*type)->name, "forward-only"))
      g_ptr_array_add (list, g_strdup ((*type)->name));
  g_ptr_array_add (list, NULL);
  return (char **)g_ptr_array_free (g_steal_pointer (&list), FALSE);
}

/* The shorter iteration; of equal ones, to the rounding of sums, that with less memory. */
static gboolean
is_better (const PwSimResult *a, const PwSimResult *b) {
  double tolerance = 1e-9 * b->iteration_time;
  if (fabs (a->iteration_time - b->iteration_time) > tolerance)
    return a->iteration_time < b->iteration_time;
  if (a->peak_memory_bytes != b->peak_memory_bytes)
    return a->peak_memory_bytes < b->peak_memory_bytes;
  return a->peak_activations < b->peak_activations;
}

/* Of those that can be used; -1: none. Only synchronous training counts, so that like is compared
 * with like. */
static int
find_best (const GArray *rows) {
  int best = -1;
  for (guint i = 0; i < rows->len; i++) {
    const Row *row = &g_array_index (rows, Row, i);
    if (row->refusal || !row->simulation->compute->promise.synchronous
        || row->simulation->compute->mode != PW_MODE_TRAINING)
      continue;
    if (best < 0
        || is_better (row->simulation->result, g_array_index (rows, Row, best).simulation->result))
      best = (int)i;
  }
  return best;
}

static void
print_json (const PwCall *call, const GArray *rows, int best) {
  json_t *list = json_array ();
  for (guint i = 0; i < rows->len; i++) {
    const Row *row = &g_array_index (rows, Row, i);
    json_t *object = row->simulation ? pw_report_json (row->simulation, call->no_timing)
                                     : json_pack ("{s:s}", "schedule", row->schedule);
    if (row->refusal)
      json_object_set_new (object, "error", json_string (row->refusal));
    json_array_append_new (list, object);
  }
  json_t *object = json_object ();
  json_object_set_new (object, "best",
                       best >= 0 ? json_string (g_array_index (rows, Row, best).schedule)
                                 : json_null ());
  json_object_set_new (object, "rows", list);
  pw_output_json (object);
}

/* What the columns are. */
typedef struct {
  gboolean has_memory, causes[PW_IDLE_N];
  int n_causes;
} Columns;

static void
print_row (PwTable *table, const Row *row, gboolean is_best, const Columns *columns, double best) {
  pw_table_row (table);
  pw_table_text (table, row->schedule);
  const PwSimulation *simulation = row->simulation;
  if (!simulation) {
    for (int i = 0; i < 5 + columns->n_causes + columns->has_memory; i++)
      pw_table_text (table, "-");
    pw_table_text (table, row->refusal);
    return;
  }
  const PwSimResult *result = simulation->result;
  pw_table_integer (table, simulation->compute->stages);
  pw_table_time (table, result->iteration_time, simulation->costs->unitless);
  pw_table_share (table, result->bubble_fraction);
  pw_table_share (table, result->bubble_ratio);
  double idle[PW_IDLE_N];
  pw_report_idle (result, idle);
  for (int i = 0; i < PW_IDLE_N; i++)
    if (columns->causes[i])
      pw_table_share (table,
                      result->total_time > 0 ? idle[i] / (result->ranks * result->total_time) : 0);
  pw_table_number (table, result->peak_activations);
  if (columns->has_memory)
    pw_table_bytes (table, result->peak_memory_bytes);
  if (row->refusal)
    pw_table_text (table, row->refusal);
  else if (is_best)
    pw_table_text (table, "best");
  else if (!simulation->compute->promise.synchronous)
    pw_table_text (table, "asynchronous");
  else if (best > 0)
    pw_table_difference (table, result->iteration_time / best - 1);
  else
    pw_table_text (table, NULL);
}

static void
choose_columns (const GArray *rows, Columns *columns) {
  *columns = (Columns){ 0 };
  for (guint i = 0; i < rows->len; i++) {
    const PwSimulation *simulation = g_array_index (rows, Row, i).simulation;
    if (!simulation)
      continue;
    const PwSimResult *result = simulation->result;
    double idle[PW_IDLE_N];
    pw_report_idle (result, idle);
    columns->has_memory = columns->has_memory || result->peak_memory_bytes > 0;
    for (int cause = 0; cause < PW_IDLE_N; cause++)
      columns->causes[cause]
          = columns->causes[cause] || idle[cause] > 1e-12 * result->ranks * result->total_time;
  }
  for (int cause = 0; cause < PW_IDLE_N; cause++)
    columns->n_causes += columns->causes[cause];
}

static void
print_table (const GArray *rows, int best) {
  static const char *const headings[]
      = { "<schedule", "stages", "iteration", "bubble", "of ideal", NULL };
  Columns columns;
  choose_columns (rows, &columns);
  g_autoptr (PwTable) table = pw_table_new (headings);
  for (int cause = 0; cause < PW_IDLE_N; cause++)
    if (columns.causes[cause])
      pw_table_add_column (table, pw_idle_names[cause]);
  pw_table_add_column (table, "activations");
  if (columns.has_memory)
    pw_table_add_column (table, "memory peak");
  pw_table_add_column (table, "<");
  double time = best >= 0 ? g_array_index (rows, Row, best).simulation->result->iteration_time : 0;
  for (guint i = 0; i < rows->len; i++)
    print_row (table, &g_array_index (rows, Row, i), (int)i == best, &columns, time);
  pw_table_print (table);
}

static int
compare (PwCall *call, const char *names, GError **error) {
  g_auto (GStrv) schedules = list_schedules (call, names, error);
  if (!schedules)
    return PW_EXIT_USAGE;
  g_autoptr (PwPlan) file = NULL;
  if (call->n_arguments > 0 && !(file = pw_plan_load (call->argv[0], error)))
    return PW_EXIT_USAGE;
  if (!check_workload (call, file, error))
    return PW_EXIT_USAGE;
  g_autoptr (GArray) rows = g_array_new (FALSE, TRUE, sizeof (Row));
  g_array_set_clear_func (rows, row_clear);
  guint n = g_strv_length (schedules);
  for (guint i = 0; i < n; i++) {
    pw_progress_show ("simulating %s (%u of %u)", schedules[i], i + 1, n);
    Row row = { .schedule = g_strdup (schedules[i]) };
    fill_row (call, file, &row);
    g_array_append_val (rows, row);
  }
  pw_progress_clear ();
  int best = find_best (rows);
  if (call->json)
    print_json (call, rows, best);
  else
    print_table (rows, best);
  for (guint i = 0; i < rows->len; i++)
    if (!g_array_index (rows, Row, i).refusal)
      return PW_EXIT_DONE;
  return PW_EXIT_NO;
}

static int
run (PwCall *call, GError **error) {
  g_autofree char *names = NULL;
  GOptionEntry entries[] = { { "schedules", 0, 0, G_OPTION_ARG_STRING, &names,
                               "names or CSV files; default: all that train", "A,B,..." },
                             G_OPTION_ENTRY_NULL };
  if (!pw_call_parse (call, entries, error))
    return PW_EXIT_DONE;
  return compare (call, names, error);
}

const PwCommand pw_command_compare = {
  .name = "compare",
  .arguments = "[PLAN]",
  .max_arguments = 1,
  .takes = PW_TAKES_ANY,
  .has_json = TRUE,
  .has_no_timing = TRUE,
  .summary = "several schedules on one plan, the best marked",
  .details
  = "One row for each schedule; one that refuses the numbers says why. Options that a\n"
    "schedule does not know (--chunks, --waves, ...) count for the others only. Synthetic\n"
    "costs are one rank's share of the model, which its stages divide among themselves.\n"
    "Exit status 1: no schedule can be used.",
  .example = "  pipewright compare --schedules gpipe,1f1b --ranks 4 --microbatches 8 --backward 2\n"
             "    the same time, but 1f1b holds half the activations",
  .run = run,
};
