/* pipewright/plan_order.h: never worse than what is built in, and never better than the bound. */
#include "pipewright/plan_order.h"
#include "models/registry.h"
#include "schedules/check.h"
#include "schedules/csv.h"
#include "tests/support/repeats.h"
#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

#define RANKS_MAX 5

/* Random costs of a rank and what an order for them must keep. */
typedef struct {
  PwSynthetic synthetic;
  PwObjective objective;
  double forward[RANKS_MAX], backward[RANKS_MAX], input[RANKS_MAX], weight[RANKS_MAX];
} Problem;

/* Multiples of a quarter: sums are exact. */
static double
quarters (int low, int high) {
  return g_test_rand_int_range (low, high + 1) / 4.0;
}

static void
make_problem (Problem *problem, int chunks) {
  int ranks = g_test_rand_int_range (1, RANKS_MAX + 1);
  PwSynthetic *synthetic = &problem->synthetic;
  *problem = (Problem){ .synthetic = { .schedule = pw_plan_order_placement (chunks),
                                       .forward = problem->forward,
                                       .input = problem->input,
                                       .weight = problem->weight,
                                       .n_forward = ranks,
                                       .n_input = ranks,
                                       .n_weight = ranks,
                                       .per_rank = TRUE,
                                       .policy = PW_POLICY_DEFAULT },
                        .objective = (PwObjective)g_test_rand_int_range (0, 2) };
  for (int r = 0; r < ranks; r++) {
    problem->forward[r] = quarters (1, 8);
    problem->input[r] = quarters (1, 8);
    problem->weight[r] = quarters (0, 8);
    double both = problem->input[r] + problem->weight[r], saved = quarters (0, 4);
    problem->backward[r] = MAX (both - saved, 0.25);
  }
  /* Full backwards that are timed apart: as long as both gradients, or shorter. */
  if (g_test_rand_bit ()) {
    synthetic->backward = problem->backward;
    synthetic->n_backward = ranks;
  }
  pw_schedule_params_init (&synthetic->params);
  synthetic->params.ranks = ranks;
  synthetic->params.microbatches = g_test_rand_int_range (1, 8);
  synthetic->params.weight_memory = quarters (1, 4);
  synthetic->params.memory_limit = g_test_rand_bit () ? quarters (4, 4 * ranks + 4) : 0;
  synthetic->latency = g_test_rand_bit () ? quarters (0, 4) : 0;
}

static double
value_of (const PwSimResult *result, PwObjective objective) {
  return objective == PW_OBJECTIVE_SPAN ? result->longest_rank_span : result->iteration_time;
}

static gboolean
has_placement (const PwSchedule *schedule, const PwPlacement *wanted) {
  const PwPlacement *placement = schedule->placement;
  return placement->directions == 1 && placement->stages == wanted->stages
         && memcmp (placement->rank_of_stage, wanted->rank_of_stage,
                    (gsize)wanted->stages * sizeof (int))
                == 0;
}

/* The best of the registry by `simulate` alone; INFINITY: none fits. */
static double
best_builtin (const Problem *problem, int chunks, const PwPlacement *placement) {
  double best = INFINITY, limit = problem->synthetic.params.memory_limit;
  for (const PwScheduleType *const *type = pw_schedule_list (); *type; type++) {
    PwSynthetic synthetic = problem->synthetic;
    synthetic.schedule = (*type)->name;
    synthetic.params.chunks = (*type)->options & PW_OPTION_CHUNKS ? chunks : 0;
    synthetic.params.pieces = (*type)->options & PW_OPTION_PIECES ? 1 : 0;
    g_autoptr (PwSimulation) simulation = pw_simulate_synthetic (&synthetic, NULL);
    if (!simulation || simulation->compute->mode != PW_MODE_TRAINING
        || !simulation->compute->promise.synchronous
        || !has_placement (simulation->compute, placement)
        || (limit > 0 && simulation->result->peak_activations > limit + 1e-9))
      continue;
    best = MIN (best, value_of (simulation->result, problem->objective));
  }
  return best;
}

static void
check_schedule (const PwSchedule *schedule, const PwSynthetic *synthetic) {
  PwCheckOptions options = { .policy = synthetic->policy,
                             .memory_limit = synthetic->params.memory_limit,
                             .weight_memory = synthetic->params.weight_memory };
  g_autoptr (PwCheckReport) report = pw_schedule_check (schedule, NULL, &options);
  if (!report->valid)
    g_error ("%s", report->findings[0].message);
}

static PwPlanOrder *
find (const PwSynthetic *synthetic, PwObjective objective) {
  g_autoptr (GError) error = NULL;
  PwPlanOrder *order = pw_plan_order_synthetic (synthetic, objective, &error);
  g_assert_no_error (error);
  return order;
}

/* The options of `plan` that ask for it again. */
static void
note (const Problem *problem, int chunks) {
  const PwSynthetic *synthetic = &problem->synthetic;
  const struct {
    const char *option;
    const double *values;
    int n;
  } lists[] = { { "forward", synthetic->forward, synthetic->n_forward },
                { "backward", synthetic->backward, synthetic->n_backward },
                { "backward-input", synthetic->input, synthetic->n_input },
                { "backward-weight", synthetic->weight, synthetic->n_weight } };
  g_autoptr (GString) text = g_string_new (NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (lists); i++)
    for (int r = 0; r < lists[i].n; r++)
      g_string_append_printf (text, "%s%s%s%g", r == 0 ? " --" : ",", r == 0 ? lists[i].option : "",
                              r == 0 ? " " : "", lists[i].values[r]);
  g_test_message ("plan --ranks %d --microbatches %d --chunks %d --objective %s --memory-limit %g "
                  "--weight-memory %g --p2p-latency %g%s",
                  synthetic->params.ranks, synthetic->params.microbatches, chunks,
                  pw_objective_names[problem->objective], synthetic->params.memory_limit,
                  synthetic->params.weight_memory, synthetic->latency, text->str);
}

static void
test_random (void) {
  int rounds = g_test_slow () ? 2000 : TEST_REPEATS (150, 15);
  for (int round = 0; round < rounds; round++) {
    Problem problem;
    int chunks = g_test_rand_int_range (1, 3);
    make_problem (&problem, chunks);
    note (&problem, chunks);
    g_autoptr (PwPlanOrder) order = find (&problem.synthetic, problem.objective);
    const PwSimulation *simulation = order->simulation;
    const PwSimResult *result = simulation->result;
    double tolerance = 1e-9 * order->value;
    g_assert_cmpint (simulation->compute->chunks, ==, chunks);
    g_assert_cmpfloat (order->value, ==, value_of (result, problem.objective));
    g_assert_cmpfloat (order->lower_bound, >, 0);
    g_assert_cmpfloat (order->lower_bound, <=, order->value + tolerance);
    if (order->is_optimal)
      g_assert_cmpfloat (order->lower_bound, >=, order->value - tolerance);
    double builtin = best_builtin (&problem, chunks, simulation->compute->placement);
    g_assert_cmpint (order->builtin != NULL, ==, isfinite (builtin));
    if (order->builtin) {
      g_assert_cmpfloat_with_epsilon (order->builtin_value, builtin, tolerance);
      g_assert_cmpfloat (order->value, <=, builtin + tolerance);
      g_assert_cmpfloat (order->lower_bound, <=, builtin + tolerance);
    }
    check_schedule (simulation->compute, &problem.synthetic);
  }
}

static void
test_file (void) {
  for (int chunks = 1; chunks <= 2; chunks++) {
    Problem problem;
    make_problem (&problem, chunks);
    g_autoptr (PwPlanOrder) order = find (&problem.synthetic, problem.objective);
    g_autoptr (PwPlanOrder) again = find (&problem.synthetic, problem.objective);
    g_autofree char *text = pw_schedule_to_csv (order->simulation->compute, PW_CSV_OURS);
    g_autofree char *same = pw_schedule_to_csv (again->simulation->compute, PW_CSV_OURS);
    g_assert_cmpstr (text, ==, same);
    g_autofree char *folder = g_dir_make_tmp ("plan-order.XXXXXX", NULL);
    g_autofree char *path = g_build_filename (folder, "order.csv", NULL);
    g_assert_true (g_file_set_contents (path, text, -1, NULL));
    g_autoptr (GError) error = NULL;
    PwSynthetic synthetic = problem.synthetic;
    synthetic.schedule = path;
    g_autoptr (PwSimulation) loaded = pw_simulate_synthetic (&synthetic, &error);
    g_assert_no_error (error);
    g_assert_cmpfloat (value_of (loaded->result, problem.objective), ==, order->value);
    g_remove (path);
    g_rmdir (folder);
  }
}

/* One rank never waits: any order is as long, and the bound says so. */
static void
test_one_rank (void) {
  for (int chunks = 1; chunks <= 2; chunks++) {
    double one = 1;
    PwSynthetic synthetic = { .schedule = pw_plan_order_placement (chunks),
                              .forward = &one,
                              .n_forward = 1,
                              .per_rank = TRUE,
                              .policy = PW_POLICY_DEFAULT };
    pw_schedule_params_init (&synthetic.params);
    synthetic.params.microbatches = 5;
    synthetic.params.memory_limit = 1;
    g_autoptr (PwPlanOrder) order = find (&synthetic, PW_OBJECTIVE_ITERATION);
    g_assert_cmpfloat (order->value, ==, 15);
    g_assert_cmpfloat (order->lower_bound, ==, 15);
    g_assert_true (order->is_optimal);
  }
}

static void
test_too_little (void) {
  for (int chunks = 1; chunks <= 2; chunks++) {
    Problem problem;
    make_problem (&problem, chunks);
    problem.synthetic.params.memory_limit = 0.9;
    g_autoptr (GError) error = NULL;
    g_assert_null (pw_plan_order_synthetic (&problem.synthetic, problem.objective, &error));
    g_assert_error (error, PW_PLAN_ORDER_ERROR, PW_PLAN_ORDER_ERROR_MEMORY);
    g_assert_nonnull (strstr (error->message, "rank 0 "));
  }
}

static const char plan_text[] = "{\"model\": {\"name\": \"gpt\", \"blocks\": 6, \"width\": 32,"
                                " \"heads\": 2, \"tokens\": 16, \"vocabulary\": 100},"
                                " \"ranks\": 3, \"batch\": %d,"
                                " \"schedule\": {\"name\": \"%s\", \"microbatches\": %d}%s}";

static PwPlan *
parse_plan (int batch, int microbatches, int chunks, const char *more) {
  g_autofree char *text
      = g_strdup_printf (plan_text, batch, pw_plan_order_placement (chunks), microbatches, more);
  g_autoptr (GError) error = NULL;
  PwPlan *plan = pw_plan_parse ("plan.json", text, &error);
  g_assert_no_error (error);
  return plan;
}

/* What the registry makes of PLAN within its memory, held against ORDER. */
static void
check_against_builtins (const PwPlan *plan, const PwPlanOrder *order) {
  double tolerance = 1e-9 * order->value;
  for (const PwScheduleType *const *type = pw_schedule_list (); *type; type++) {
    g_autoptr (PwPlan) copy = pw_plan_copy (plan);
    g_assert_true (pw_plan_override (copy, "schedule", (*type)->name, NULL));
    g_autoptr (PwSimulation) simulation = pw_simulate_plan (copy, 1, NULL);
    if (!simulation || !simulation->compute->promise.synchronous
        || simulation->compute->mode != PW_MODE_TRAINING || simulation->compute->pieces > 1
        || !has_placement (simulation->compute, order->simulation->compute->placement)
        || (plan->memory_limit > 0 && simulation->result->peak_memory_bytes > plan->memory_limit))
      continue;
    double value = value_of (simulation->result, order->objective);
    g_assert_cmpfloat (order->value, <=, value + tolerance);
    g_assert_cmpfloat (order->lower_bound, <=, value + tolerance);
  }
}

static void
check_plan (const PwPlan *plan, PwObjective objective) {
  g_autoptr (GError) error = NULL;
  g_autoptr (PwPlanOrder) order = pw_plan_order_for_plan (plan, objective, &error);
  g_assert_no_error (error);
  const PwSimResult *result = order->simulation->result;
  if (plan->memory_limit > 0)
    g_assert_cmpint (result->peak_memory_bytes, <=, plan->memory_limit);
  g_assert_cmpfloat (order->lower_bound, >, 0);
  g_assert_cmpfloat (order->lower_bound, <=, order->value * (1 + 1e-9));
  g_assert_true (order->simulation->resolved->compute == order->simulation->compute);
  check_against_builtins (plan, order);
}

static void
test_plan (void) {
  for (int chunks = 1; chunks <= 2; chunks++) {
    g_autoptr (PwPlan) plan = parse_plan (12, 6, chunks, "");
    g_autoptr (GError) error = NULL;
    g_autoptr (PwSimulation) roomy = pw_simulate_plan (plan, 1, &error);
    g_assert_no_error (error);
    for (int percent = 100; percent >= 80; percent -= TEST_REPEATS (4, 20)) {
      plan->memory_limit = roomy->result->peak_memory_bytes * percent / 100;
      check_plan (plan, percent % 8 == 0 ? PW_OBJECTIVE_ITERATION : PW_OBJECTIVE_SPAN);
    }
    plan->memory_limit = 1000;
    g_assert_null (pw_plan_order_for_plan (plan, PW_OBJECTIVE_ITERATION, &error));
    g_assert_error (error, PW_PLAN_ORDER_ERROR, PW_PLAN_ORDER_ERROR_MEMORY);
  }
}

/* The last micro-batch is smaller: the bound must not take it for a full one. */
static void
test_uneven (void) {
  for (int chunks = 1; chunks <= 2; chunks++) {
    g_autoptr (PwPlan) plan = parse_plan (13, 5, chunks, "");
    check_plan (plan, PW_OBJECTIVE_ITERATION);
    check_plan (plan, PW_OBJECTIVE_SPAN);
  }
}

/* With measured costs each action has an overhead, so a full backward is shorter than its parts. */
static void
test_overhead (void) {
  g_autofree char *folder = g_dir_make_tmp ("plan-order.XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "costs.json", NULL);
  for (int chunks = 1; chunks <= 2; chunks++) {
    g_autoptr (PwPlan) plan = parse_plan (6, 6, chunks, "");
    g_autoptr (GError) error = NULL;
    g_autoptr (PwResolvedPlan) resolved = pw_plan_resolve (plan, NULL, &error);
    g_assert_no_error (error);
    resolved->layer_costs->action_overhead_s = resolved->costs->stage[0].forward / 2;
    g_assert_true (pw_layer_costs_save (resolved->layer_costs, path, &error));
    plan->costs = g_strdup (path);
    check_plan (plan, PW_OBJECTIVE_ITERATION);
    check_plan (plan, PW_OBJECTIVE_SPAN);
  }
  g_remove (path);
  g_rmdir (folder);
}

static void
test_recompute (void) {
  g_autoptr (PwPlan) plan = parse_plan (4, 4, 1, ", \"recompute\": \"stage\"");
  g_autoptr (GError) error = NULL;
  g_assert_null (pw_plan_order_for_plan (plan, PW_OBJECTIVE_ITERATION, &error));
  g_assert_error (error, PW_PLAN_ORDER_ERROR, PW_PLAN_ORDER_ERROR_UNSUPPORTED);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/pipewright/plan-order/is-between-the-bound-and-the-best-built-in",
                   test_random);
  g_test_add_func ("/pipewright/plan-order/is-the-same-again-and-from-its-file", test_file);
  g_test_add_func ("/pipewright/plan-order/one-rank-never-waits", test_one_rank);
  g_test_add_func ("/pipewright/plan-order/names-the-rank-that-has-too-little", test_too_little);
  g_test_add_func ("/pipewright/plan-order/of-a-plan-fits-its-memory", test_plan);
  g_test_add_func ("/pipewright/plan-order/micro-batches-may-differ-in-size", test_uneven);
  g_test_add_func ("/pipewright/plan-order/full-backwards-may-be-shorter", test_overhead);
  g_test_add_func ("/pipewright/plan-order/refuses-recomputation", test_recompute);
  return g_test_run ();
}
