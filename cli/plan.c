#include "cli/output.h"
#include "cli/report.h"
#include "cli/schedule_file.h"
#include "cli/workload.h"
#include "pipewright/plan_order.h"
#include <stdio.h>

typedef struct {
  char *chunks, *objective, *csv;
  PwObjective goal;
} Options;

/* One number of stages per rank: an order, or why there is none. */
typedef struct {
  int chunks;
  PwPlanOrder *order;
  GError *refusal;
} Row;

static void
row_clear (gpointer data) {
  Row *row = data;
  pw_plan_order_free (row->order);
  g_clear_error (&row->refusal);
}

static PwPlanOrder *
find_synthetic (const PwCall *call, int chunks, PwObjective objective, GError **error) {
  g_auto (PwWorkloadSynthetic) workload = { 0 };
  if (!pw_workload_synthetic (call->settings, FALSE, &workload, error))
    return NULL;
  PwSynthetic *synthetic = &workload.synthetic;
  if (!pw_settings_get (call->settings, "cost-per"))
    synthetic->per_rank = TRUE;
  synthetic->schedule = pw_plan_order_placement (chunks);
  return pw_plan_order_synthetic (synthetic, objective, error);
}

static PwPlanOrder *
find_for_plan (const PwCall *call, const PwPlan *file, int chunks, PwObjective objective,
               GError **error) {
  g_autoptr (PwPlan) plan
      = pw_workload_plan_with (call->settings, file, pw_plan_order_placement (chunks), error);
  return plan ? pw_plan_order_for_plan (plan, objective, error) : NULL;
}

/* What the plan's own schedule says of its sizes: it is going to be replaced. */
static gboolean
prepare_plan (PwPlan *plan, GError **error) {
  gboolean is_inference = FALSE;
  if (plan->schedule_csv) {
    g_autoptr (PwResolvedPlan) resolved = pw_plan_resolve (plan, NULL, error);
    if (!resolved)
      return FALSE;
    is_inference = resolved->mode == PW_MODE_INFERENCE;
    plan->ranks = resolved->compute->ranks;
    plan->params.microbatches = resolved->microbatches;
  } else if (plan->schedule) {
    is_inference = g_str_equal (plan->schedule, "forward-only");
  }
  if (is_inference)
    return pw_input_fail (error,
                          "%s: orders are searched for training, its schedule has no "
                          "backward",
                          plan->file);
  return TRUE;
}

static gboolean
is_about_memory (const GError *error) {
  return g_error_matches (error, PW_PLAN_ORDER_ERROR, PW_PLAN_ORDER_ERROR_MEMORY);
}

/* The better order; of equal ones that with less memory, then with fewer stages. -1: none. */
static int
find_best (const GArray *rows) {
  int best = -1;
  for (guint i = 0; i < rows->len; i++) {
    const PwPlanOrder *order = g_array_index (rows, Row, i).order;
    if (!order)
      continue;
    const PwPlanOrder *other = best >= 0 ? g_array_index (rows, Row, best).order : NULL;
    double slack = other ? 1e-9 * other->value : 0;
    if (!other || order->value < other->value - slack
        || (order->value < other->value + slack
            && order->simulation->result->peak_activations
                   < other->simulation->result->peak_activations - 1e-9))
      best = (int)i;
  }
  return best;
}

static double
gap (const PwPlanOrder *order) {
  return order->lower_bound > 0 ? order->value / order->lower_bound - 1 : 0;
}

static void
set_order (json_t *object, const PwPlanOrder *order) {
  json_object_set_new (object, "lower_bound", pw_output_number (order->lower_bound));
  json_object_set_new (object, "gap_to_lower_bound", pw_output_number (gap (order)));
  json_object_set_new (object, "is_optimal", json_boolean (order->is_optimal));
  json_object_set_new (object, "method", json_string (order->method));
}

static json_t *
row_json (const Row *row) {
  json_t *object = json_object ();
  json_object_set_new (object, "chunks", json_integer (row->chunks));
  if (!row->order) {
    json_object_set_new (object, "error", json_string (row->refusal->message));
    return object;
  }
  const PwSimResult *result = row->order->simulation->result;
  json_object_set_new (object, "schedule", json_string (row->order->simulation->compute->name));
  json_object_set_new (object, "iteration_time", pw_output_number (result->iteration_time));
  json_object_set_new (object, "longest_rank_span", pw_output_number (result->longest_rank_span));
  json_object_set_new (object, "bubble_fraction", pw_output_number (result->bubble_fraction));
  json_object_set_new (object, "peak_activations", pw_output_number (result->peak_activations));
  set_order (object, row->order);
  return object;
}

static json_t *
builtin_json (const PwPlanOrder *order) {
  if (!order->builtin)
    return json_null ();
  json_t *object = json_object ();
  json_object_set_new (object, "name", json_string (order->builtin));
  json_object_set_new (object, "value", pw_output_number (order->builtin_value));
  return object;
}

static void
print_json (const PwCall *call, const GArray *rows, int best, const Options *options) {
  const Row *row = best >= 0 ? &g_array_index (rows, Row, best) : NULL;
  json_t *object = row ? pw_report_json (row->order->simulation, call->no_timing) : json_object ();
  json_object_set_new (object, "objective", json_string (pw_objective_names[options->goal]));
  if (row) {
    json_object_set_new (object, "chunks", json_integer (row->chunks));
    set_order (object, row->order);
    json_object_set_new (object, "builtin", builtin_json (row->order));
  }
  double seconds = 0;
  json_t *tried = json_array ();
  for (guint i = 0; i < rows->len; i++) {
    const Row *each = &g_array_index (rows, Row, i);
    seconds += each->order ? each->order->search_seconds : 0;
    json_array_append_new (tried, row_json (each));
  }
  json_object_set_new (object, "tried", tried);
  if (row && !call->no_timing)
    json_object_set_new (object, "search_seconds", pw_output_number (seconds));
  pw_output_json (object);
}

static void
print_row (PwTable *table, const Row *row, gboolean is_best, gboolean has_memory) {
  pw_table_row (table);
  pw_table_integer (table, row->chunks);
  if (!row->order) {
    for (int i = 0; i < 7 + has_memory; i++)
      pw_table_text (table, "-");
    pw_table_text (table, row->refusal->message);
    return;
  }
  const PwSimulation *simulation = row->order->simulation;
  const PwSimResult *result = simulation->result;
  gboolean unitless = simulation->costs->unitless;
  pw_table_text (table, simulation->compute->name);
  pw_table_time (table, result->iteration_time, unitless);
  pw_table_time (table, result->longest_rank_span, unitless);
  pw_table_share (table, result->bubble_fraction);
  pw_table_number (table, result->peak_activations);
  if (has_memory)
    pw_table_bytes (table, result->peak_memory_bytes);
  pw_table_time (table, row->order->lower_bound, unitless);
  pw_table_share (table, gap (row->order));
  pw_table_text (table, is_best ? "best" : NULL);
}

static void
print_table (const GArray *rows, int best) {
  static const char *const headings[]
      = { "chunks", "<schedule", "iteration", "span", "bubble", "activations", NULL };
  gboolean has_memory
      = g_array_index (rows, Row, best).order->simulation->result->peak_memory_bytes > 0;
  g_autoptr (PwTable) table = pw_table_new (headings);
  if (has_memory)
    pw_table_add_column (table, "memory peak");
  pw_table_add_column (table, "lower bound");
  pw_table_add_column (table, "gap");
  pw_table_add_column (table, "<");
  for (guint i = 0; i < rows->len; i++)
    print_row (table, &g_array_index (rows, Row, i), (int)i == best && rows->len > 1, has_memory);
  pw_table_print (table);
}

static void
print_builtin (const PwPlanOrder *order) {
  static const char name[] = "best built-in";
  double longer = order->builtin ? order->builtin_value / order->value - 1 : 0;
  if (!order->builtin)
    pw_print_fact (name, "none with this placement fits this memory");
  else if (g_str_equal (order->simulation->compute->name, order->builtin))
    pw_print_fact (name, "%s, which is this order", order->builtin);
  else if (longer < 5e-5)
    pw_print_fact (name, "%s within this memory, as long", order->builtin);
  else
    pw_print_fact (name, "%s within this memory, %.2f%% longer", order->builtin, 100 * longer);
}

static void
print_text (const GArray *rows, int best, const Options *options) {
  const PwPlanOrder *order = g_array_index (rows, Row, best).order;
  const PwSchedule *schedule = order->simulation->compute;
  printf ("least %s: %d ranks, %d micro-batches\n\n",
          options->goal == PW_OBJECTIVE_SPAN ? "longest rank span" : "iteration time",
          schedule->ranks, schedule->microbatches);
  print_table (rows, best);
  printf ("\n");
  gboolean is_changed
      = pw_schedule_get (order->method) && !g_str_equal (schedule->name, order->method);
  pw_print_fact ("found by", "%s%s%s", order->method, is_changed ? ", improved" : "",
                 order->is_optimal ? "; no order with this placement is shorter" : "");
  print_builtin (order);
  if (options->csv)
    pw_print_fact ("written", "%s; `pipewright schedule show %s` draws it, at equal costs",
                   options->csv, options->csv);
}

/* No order at all: a memory limit is a question whose answer is no, anything else a mistake. */
static int
refuse (const PwCall *call, GArray *rows, const Options *options, GError **error) {
  for (guint i = 0; i < rows->len; i++) {
    Row *row = &g_array_index (rows, Row, i);
    if (!is_about_memory (row->refusal)) {
      g_propagate_error (error, g_steal_pointer (&row->refusal));
      return PW_EXIT_USAGE;
    }
  }
  if (call->json)
    print_json (call, rows, -1, options);
  pw_output_complain ("no order fits: %s", g_array_index (rows, Row, 0).refusal->message);
  return PW_EXIT_NO;
}

static int
answer (const PwCall *call, GArray *rows, const Options *options, GError **error) {
  int best = find_best (rows);
  if (best < 0)
    return refuse (call, rows, options, error);
  const PwPlanOrder *order = g_array_index (rows, Row, best).order;
  if (options->csv
      && !pw_schedule_file_write (order->simulation->compute, "csv", options->csv, error))
    return PW_EXIT_USAGE;
  if (call->json)
    print_json (call, rows, best, options);
  else if (!options->csv || !g_str_equal (options->csv, "-"))
    print_text (rows, best, options);
  return PW_EXIT_DONE;
}

static gboolean
read_options (const PwCall *call, Options *options, int *first, int *last, GError **error) {
  *first = 1;
  *last = 2;
  int64_t chunks;
  if (options->chunks) {
    if (!pw_integer_parse ("chunks", options->chunks, 1, 2, &chunks, error))
      return FALSE;
    *first = *last = (int)chunks;
  }
  for (int i = 0; options->objective && !g_str_equal (options->objective, pw_objective_names[i]);
       i++)
    if (!pw_objective_names[i + 1])
      return pw_input_fail (error, "--objective: \"%s\" is neither iteration nor span",
                            options->objective);
    else
      options->goal = (PwObjective)(i + 1);
  if (options->csv && g_str_equal (options->csv, "-"))
    return !call->json
           || pw_usage_fail (error, "--csv - and --json cannot both have standard output");
  return pw_output_check ("--csv", options->csv, error);
}

static int
plan (const PwCall *call, Options *options, GError **error) {
  int first, last;
  if (!read_options (call, options, &first, &last, error))
    return PW_EXIT_USAGE;
  g_autoptr (PwPlan) file = NULL;
  if (call->n_arguments > 0) {
    file = pw_plan_load (call->argv[0], error);
    if (!file || !prepare_plan (file, error))
      return PW_EXIT_USAGE;
  } else if (!pw_settings_get (call->settings, "ranks")
             || !pw_settings_get (call->settings, "microbatches")) {
    pw_usage_fail (error, "without a plan --ranks and --microbatches are needed");
    return PW_EXIT_USAGE;
  }
  g_autoptr (GArray) rows = g_array_new (FALSE, TRUE, sizeof (Row));
  g_array_set_clear_func (rows, row_clear);
  for (int chunks = first; chunks <= last; chunks++) {
    pw_progress_show ("searching, %d stage%s per rank", chunks, chunks > 1 ? "s" : "");
    Row row = { .chunks = chunks };
    row.order = file ? find_for_plan (call, file, chunks, options->goal, &row.refusal)
                     : find_synthetic (call, chunks, options->goal, &row.refusal);
    g_array_append_val (rows, row);
  }
  pw_progress_clear ();
  return answer (call, rows, options, error);
}

static int
run (PwCall *call, GError **error) {
  Options options = { 0 };
  GOptionEntry entries[]
      = { { "chunks", 0, 0, G_OPTION_ARG_STRING, &options.chunks,
            "stages per rank: 1, or 2 in a V; default: both, the better one", "1|2" },
          { "objective", 0, 0, G_OPTION_ARG_STRING, &options.objective,
            "what is to be short: the iteration (default), or the longest of the ranks' own spans",
            "iteration|span" },
          { "csv", 0, 0, G_OPTION_ARG_FILENAME, &options.csv,
            "write the order, for --schedule FILE and for a plan's \"schedule\"", "FILE" },
          G_OPTION_ENTRY_NULL };
  int status = PW_EXIT_DONE;
  if (pw_call_parse (call, entries, error))
    status = plan (call, &options, error);
  g_free (options.chunks);
  g_free (options.objective);
  g_free (options.csv);
  return status;
}

static const char *const without[]
    = { "schedule", "chunks", "group",      "waves",      "pieces", "update-every",
        "reverse",  "stages", "overlapped", "iterations", NULL };

const PwCommand pw_command_plan = {
  .name = "plan",
  .arguments = "[PLAN]",
  .max_arguments = 1,
  .takes = PW_TAKES_ANY,
  .without = without,
  .has_json = TRUE,
  .has_no_timing = TRUE,
  .summary = "the best order within memory, and a bound on any",
  .details
  = "Searches for an order of forwards, input gradients and weight gradients that is as short\n"
    "as possible within --memory-limit, and proves how short any order can be. It is never\n"
    "longer than the best built-in schedule of its placement within the same memory. A plan\n"
    "keeps its partition method and its micro-batches; of a plan's schedule only these count.\n"
    "Synthetic costs are one rank's share of the model, which its stages divide among\n"
    "themselves. Exit status 1: no order fits the memory.",
  .example
  = "  pipewright plan --ranks 4 --microbatches 8 --memory-limit 3 --csv order.csv\n"
    "    the best order that holds three micro-batches' activations on each rank, as a file",
  .run = run,
};
