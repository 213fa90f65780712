#include "cli/output.h"
#include "cli/report.h"
#include "cli/sweep_private.h"
#include <math.h>
#include <string.h>

static gboolean
is_option (const PwSweep *sweep, const PwSweepAxis *axis) {
  return pw_settings_is_option (axis->name, sweep->plan != NULL);
}

/* ---- Keys of the plan: "hardware.link.bandwidth", "partition.method" ---- */

json_t *
pw__sweep_json_value (const char *value) {
  json_t *json = json_loads (value, JSON_DECODE_ANY, NULL);
  if (!json)
    return json_string (value);
  double number = json_real_value (json);
  if (json_is_real (json) && number == floor (number) && fabs (number) < 1e15) {
    json_decref (json);
    return json_integer ((json_int_t)number);
  }
  return json;
}

/* Objects on the way are made where they are missing. A name like "h100-sxm" on the way becomes
 * {"like": name}, as the plan's hardware can be written. */
static gboolean
set_key (json_t *root, const char *path, const char *value) {
  g_auto (GStrv) keys = g_strsplit (path, ".", -1);
  json_t *at = root;
  for (int i = 0; keys[i]; i++) {
    if (!json_is_object (at))
      return FALSE;
    if (!keys[i + 1])
      return json_object_set_new (at, keys[i], pw__sweep_json_value (value)) == 0;
    json_t *child = json_object_get (at, keys[i]);
    if (!child)
      json_object_set_new (at, keys[i], json_object ());
    else if (json_is_string (child))
      json_object_set_new (at, keys[i], json_pack ("{s:O}", "like", child));
    at = json_object_get (at, keys[i]);
  }
  return FALSE;
}

/* The plan with POINT's keys, parsed anew; NULL without an error: no axis is a key. */
static PwPlan *
plan_of_point (const PwSweep *sweep, int64_t point, GError **error) {
  g_autoptr (json_t) root = NULL;
  for (guint i = 0; i < sweep->axes->len; i++) {
    const PwSweepAxis *axis = g_ptr_array_index (sweep->axes, i);
    if (is_option (sweep, axis))
      continue;
    if (!root)
      root = json_deep_copy (sweep->plan->json->root);
    const char *value = axis->values[pw_sweep_index (sweep->axes, point, (int)i)];
    if (!set_key (root, axis->name, value)) {
      pw_input_fail (error, "%s: the plan has no such key", axis->name);
      return NULL;
    }
  }
  if (!root)
    return NULL;
  char *text = json_dumps (root, 0);
  PwPlan *plan = pw_plan_parse (sweep->plan->file, text, error);
  free (text);
  return plan;
}

gboolean
pw__sweep_check_axes (const PwSweep *sweep, GError **error) {
  for (guint i = 0; i < sweep->axes->len; i++) {
    const PwSweepAxis *axis = g_ptr_array_index (sweep->axes, i);
    for (guint k = 0; k < i; k++)
      if (g_str_equal (((PwSweepAxis *)g_ptr_array_index (sweep->axes, k))->name, axis->name))
        return pw_usage_fail (error, "--vary: %s is varied twice", axis->name);
    if (is_option (sweep, axis))
      continue;
    /* A key is one that the plan takes with its first value. */
    GPtrArray one = { .pdata = (gpointer *)&axis, .len = 1 };
    PwSweep alone = { .plan = sweep->plan, .axes = &one };
    g_autoptr (GError) refusal = NULL;
    g_autoptr (PwPlan) plan = sweep->plan ? plan_of_point (&alone, 0, &refusal) : NULL;
    if (plan)
      continue;
    const char *nearest = pw_settings_nearest (axis->name);
    if (refusal && strchr (axis->name, '.'))
      return pw_input_fail (error, "--vary: %s", refusal->message);
    return pw_usage_fail (error, "--vary: there is no option \"--%s\"%s%s%s", axis->name,
                          nearest ? ", did you mean \"--" : "", nearest ? nearest : "",
                          nearest ? "\"?" : "");
  }
  return TRUE;
}

/* ---- One point ---- */

static const char *
varied_schedule (const PwSweep *sweep, const PwSettings *settings) {
  for (guint i = 0; i < sweep->axes->len; i++)
    if (g_str_equal (((PwSweepAxis *)g_ptr_array_index (sweep->axes, i))->name, "schedule"))
      return pw_settings_get (settings, "schedule");
  return NULL;
}

static PwSimulation *
simulate_plan (const PwSweep *sweep, const PwSettings *settings, int64_t point, double *limit,
               double *items, GError **error) {
  GError *failure = NULL;
  g_autoptr (PwPlan) own = plan_of_point (sweep, point, &failure);
  if (failure) {
    g_propagate_error (error, failure);
    return NULL;
  }
  int iterations;
  g_autoptr (PwPlan) plan = pw_workload_plan_with (settings, own ? own : sweep->plan,
                                                   varied_schedule (sweep, settings), error);
  if (!plan || !pw_workload_iterations (settings, &iterations, error))
    return NULL;
  *limit = (double)plan->memory_limit;
  PwSimulation *simulation = pw_simulate_plan (plan, iterations, error);
  if (simulation)
    *items = (double)(simulation->resolved->batch * simulation->resolved->replicas);
  return simulation;
}

static PwSimulation *
simulate_synthetic (const PwSweep *sweep, const PwSettings *settings, double *limit, double *items,
                    GError **error) {
  g_auto (PwWorkloadSynthetic) workload = { 0 };
  if (!pw_workload_synthetic (settings, TRUE, &workload, error))
    return NULL;
  const char *schedule = varied_schedule (sweep, settings);
  const PwScheduleType *type = schedule ? pw_schedule_get (schedule) : NULL;
  if (schedule && !pw_settings_get (settings, "cost-per"))
    workload.synthetic.per_rank = TRUE; /* the same model for all */
  if (type)
    pw_workload_drop_options (&workload.synthetic.params, type);
  *limit = workload.synthetic.params.memory_limit;
  PwSimulation *simulation = pw_simulate_synthetic (&workload.synthetic, error);
  if (simulation)
    *items = simulation->compute->microbatches;
  return simulation;
}

static void
read_figures (const PwSimulation *simulation, double items, PwSweepRow *row) {
  const PwSimResult *result = simulation->result;
  row->has_figures = TRUE;
  row->is_unitless = simulation->costs->unitless;
  row->schedule = g_strdup (simulation->compute->name);
  row->ranks = result->ranks;
  row->stages = simulation->compute->stages;
  row->microbatches = simulation->compute->microbatches;
  row->iteration_time = result->iteration_time;
  row->ideal_time = result->ideal_time;
  row->bubble_fraction = result->bubble_fraction;
  row->bubble_ratio = result->bubble_ratio;
  row->longest_rank_span = result->longest_rank_span;
  row->peak_activations = result->peak_activations;
  row->peak_memory_bytes = result->peak_memory_bytes;
  row->throughput = result->iteration_time > 0 ? items / result->iteration_time : 0;
}

void
pw__sweep_evaluate (int64_t point, int64_t place, gpointer data) {
  PwSweep *sweep = data;
  PwSweepRow *row = &sweep->rows[place];
  g_autoptr (PwSettings) settings = pw_settings_copy (sweep->call->settings);
  for (guint i = 0; i < sweep->axes->len; i++) {
    const PwSweepAxis *axis = g_ptr_array_index (sweep->axes, i);
    if (is_option (sweep, axis))
      pw_settings_set (settings, axis->name,
                       axis->values[pw_sweep_index (sweep->axes, point, (int)i)]);
  }
  g_autoptr (GError) error = NULL;
  double limit = 0, items = 0;
  g_autoptr (PwSimulation) simulation
      = sweep->plan ? simulate_plan (sweep, settings, point, &limit, &items, &error)
                    : simulate_synthetic (sweep, settings, &limit, &items, &error);
  if (simulation) {
    read_figures (simulation, items, row);
    row->error = pw_report_excess (simulation, limit);
  } else
    row->error = g_strdup (error->message);
  row->is_done = TRUE;
}
