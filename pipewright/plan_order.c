#include "pipewright/plan_order_private.h"
#include <math.h>

/* Searches with ever less memory until what is found fits, simulated, into all of it. */
#define ROUNDS_MAX 8

const char *const pw_objective_names[]
    = { [PW_OBJECTIVE_ITERATION] = "iteration", [PW_OBJECTIVE_SPAN] = "span", NULL };

GQuark
pw_plan_order_error_quark (void) {
  return g_quark_from_static_string ("pw-plan-order-error-quark");
}

const char *
pw_plan_order_placement (int chunks) {
  return chunks == 1 ? "zb-h1" : chunks == 2 ? "zb-v" : NULL;
}

static char *
describe_need (const PwPlanOrderProblem *problem, double need) {
  static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB" };
  if (!problem->in_bytes)
    return g_strdup_printf ("%.6g micro-batch%s", need, need == 1 ? "" : "es");
  gsize unit = 0;
  double number = need / 1024;
  for (; number >= 1024 && unit + 1 < G_N_ELEMENTS (units); unit++)
    number /= 1024;
  return g_strdup_printf ("%.4g %s", number, units[unit]);
}

static void
fail_memory (const PwPlanOrderProblem *problem, int rank, double need, GError **error) {
  g_autofree char *needed = describe_need (problem, need);
  g_autofree char *limit = describe_need (problem, problem->limit);
  g_set_error (error, PW_PLAN_ORDER_ERROR, PW_PLAN_ORDER_ERROR_MEMORY,
               "with one micro-batch at a time rank %d holds %s, the memory limit is %s", rank,
               needed, limit);
}

static double
largest_need (const PwPlanOrderProblem *problem, const PwPlanOrderTrial *trial) {
  double largest = 0;
  for (int r = 0; r < problem->placement->ranks; r++)
    largest = MAX (largest, pw__plan_order_need (problem, trial, r));
  return largest;
}

/* The shorter one; of equal ones that with less memory. OTHER NULL: none yet. */
static gboolean
is_better (const PwPlanOrderProblem *problem, const PwPlanOrderTrial *trial,
           const PwPlanOrderTrial *other) {
  if (!other || pw__plan_order_is_shorter (trial->value, other->value))
    return TRUE;
  return !pw__plan_order_is_shorter (other->value, trial->value)
         && pw__plan_order_is_shorter (largest_need (problem, trial),
                                       largest_need (problem, other));
}

/* TRIAL replaces BEST if it fits and is better. */
static void
keep_better (const PwPlanOrderProblem *problem, PwPlanOrderTrial **best, PwPlanOrderTrial *trial) {
  if (trial && pw__plan_order_misfit (problem, trial) < 0 && is_better (problem, trial, *best)) {
    pw__plan_order_trial_free (*best);
    *best = trial;
  } else {
    pw__plan_order_trial_free (trial);
  }
}

/* What a round of the search gave, and its variant with full backwards. */
static gboolean
try_found (const PwPlanOrderProblem *problem, PwSearchResult *found, PwPlanOrderSearch *search,
           PwPlanOrderTrial **best, GError **error) {
  PwSchedule *fused = pw__plan_order_prefers_full_backward (problem)
                          ? pw__plan_order_fuse (found->schedule)
                          : NULL;
  if (fused)
    keep_better (problem, best, pw__plan_order_try (problem, fused, NULL));
  PwPlanOrderTrial *trial = pw__plan_order_try (problem, g_steal_pointer (&found->schedule), error);
  if (!trial)
    return FALSE;
  for (int r = 0; r < problem->placement->ranks; r++) {
    double excess = pw__plan_order_need (problem, trial, r) - problem->limit;
    if (excess > 0)
      search->limit[r] -= excess;
  }
  keep_better (problem, best, trial);
  return TRUE;
}

/* The bound holds for all that fits, so it comes from the first round, or from a problem that asks
 * for less. */
static gboolean
set_bound (const PwPlanOrderProblem *problem, const PwSearchResult *found, PwPlanOrder *order,
           GError **error) {
  g_auto (PwPlanOrderSearch) search = { 0 };
  order->lower_bound = found->is_optimal ? found->value : found->lower_bound;
  if (!pw__plan_order_search_init (&search, problem, error))
    return FALSE;
  if (!pw__plan_order_search_relax (&search, problem))
    return TRUE;
  g_autoptr (PwSearchResult) relaxed = pw_search_run (&search.input, error);
  if (!relaxed)
    return FALSE;
  order->lower_bound = relaxed->lower_bound;
  return TRUE;
}

static gboolean
search_rounds (const PwPlanOrderProblem *problem, PwPlanOrder *order, PwPlanOrderTrial **best,
               GError **error) {
  g_auto (PwPlanOrderSearch) search = { 0 };
  if (!pw__plan_order_search_init (&search, problem, error))
    return FALSE;
  for (int round = 0; round < ROUNDS_MAX && !*best; round++) {
    GError *failure = NULL;
    g_autoptr (PwSearchResult) found = pw_search_run (&search.input, &failure);
    if (!found && g_error_matches (failure, PW_SEARCH_ERROR, PW_SEARCH_ERROR_MEMORY)) {
      g_error_free (failure);
      return TRUE;
    }
    if (!found) {
      g_propagate_error (error, failure);
      return FALSE;
    }
    if (round == 0 && !set_bound (problem, found, order, error))
      return FALSE;
    g_free (order->method);
    order->method = g_strdup (found->method);
    if (!try_found (problem, found, &search, best, error))
      return FALSE;
  }
  return TRUE;
}

/* The last resort, and what says which rank has too little. */
static gboolean
try_one_by_one (const PwPlanOrderProblem *problem, PwPlanOrderTrial **best, GError **error) {
  g_autoptr (PwPlanOrderTrial) trial
      = pw__plan_order_try (problem, pw__plan_order_one_by_one (problem), error);
  if (!trial)
    return FALSE;
  int rank = pw__plan_order_misfit (problem, trial);
  if (rank >= 0) {
    fail_memory (problem, rank, pw__plan_order_need (problem, trial, rank), error);
    return FALSE;
  }
  *best = g_steal_pointer (&trial);
  return TRUE;
}

/* Fills ORDER but for its simulation; returns what it is to be. */
static PwPlanOrderTrial *
find (const PwPlanOrderProblem *problem, PwPlanOrder *order, GError **error) {
  g_autoptr (PwPlanOrderTrial) best = NULL;
  order->objective = problem->objective;
  if (!search_rounds (problem, order, &best, error))
    return NULL;
  g_autoptr (PwPlanOrderTrial) builtin = pw__plan_order_best_builtin (problem);
  if (builtin) {
    order->builtin = g_strdup (builtin->compute->name);
    order->builtin_value = builtin->value;
  }
  if (builtin && !(best && is_better (problem, best, builtin))) {
    pw__plan_order_trial_free (best);
    best = g_steal_pointer (&builtin);
    g_free (order->method);
    order->method = g_strdup (best->compute->name);
  }
  if (!best) {
    if (!try_one_by_one (problem, &best, error))
      return NULL;
    g_free (order->method);
    order->method = g_strdup (best->compute->name);
  }
  order->value = best->value;
  order->is_optimal = !pw__plan_order_is_shorter (order->lower_bound, order->value);
  return g_steal_pointer (&best);
}

/* TRIAL's schedules and times become SIMULATION's, which knows edges and costs already. */
static PwSimulation *
simulation_of (PwPlanOrderTrial *trial, PwSimulation *simulation) {
  simulation->compute = g_steal_pointer (&trial->compute);
  simulation->lowered = g_steal_pointer (&trial->lowered);
  simulation->input = trial->input;
  simulation->result = g_steal_pointer (&trial->result);
  simulation->wall_seconds = trial->wall_seconds;
  return simulation;
}

static double
seconds_since (gint64 begin_us) {
  return (double)(g_get_monotonic_time () - begin_us) * 1e-6;
}

static void
set_params (PwPlanOrderProblem *problem, double memory_limit, double weight_memory) {
  const PwStageCosts *costs = problem->costs;
  PwScheduleParams *params = &problem->params;
  pw_schedule_params_init (params);
  params->ranks = problem->placement->ranks;
  params->microbatches = problem->microbatches;
  params->memory_limit = memory_limit;
  params->weight_memory = weight_memory;
  double F = 0, I = 0, W = 0;
  for (int s = 0; s < costs->stages; s++) {
    F += costs->stage[s].forward;
    I += costs->stage[s].input;
    W += costs->stage[s].weight;
  }
  if (!(F > 0) || !isfinite (I / F) || !isfinite (W / F))
    return;
  params->I = I / F;
  params->W = W / F;
}

PwPlanOrder *
pw_plan_order_synthetic (const PwSynthetic *synthetic, PwObjective objective, GError **error) {
  gint64 begin_us = g_get_monotonic_time ();
  g_autoptr (PwSchedule) draft = pw_simulate_schedule (synthetic, error);
  if (!draft)
    return NULL;
  g_autoptr (PwSimulation) simulation = g_new0 (PwSimulation, 1);
  simulation->edges = pw_stage_edges_new_chain (draft->stages);
  simulation->costs = pw_simulate_costs (synthetic, draft, simulation->edges, error);
  if (!simulation->costs)
    return NULL;
  double limit = synthetic->params.memory_limit;
  PwPlanOrderProblem problem
      = { .placement = draft->placement,
          .microbatches = draft->microbatches,
          .chunks = draft->chunks,
          .edges = simulation->edges,
          .costs = simulation->costs,
          .lower = { .policy = synthetic->policy, .batched = synthetic->batched },
          .objective = objective,
          .limit = limit > 0 ? limit : INFINITY };
  set_params (&problem, limit, synthetic->params.weight_memory);
  g_autoptr (PwPlanOrder) order = g_new0 (PwPlanOrder, 1);
  g_autoptr (PwPlanOrderTrial) best = find (&problem, order, error);
  if (!best)
    return NULL;
  order->simulation = simulation_of (best, g_steal_pointer (&simulation));
  order->search_seconds = seconds_since (begin_us);
  return g_steal_pointer (&order);
}

static gboolean
check_plan (const PwPlan *plan, GError **error) {
  if (plan->recompute == PW_RECOMPUTE_NONE)
    return TRUE;
  g_set_error (error, PW_PLAN_ORDER_ERROR, PW_PLAN_ORDER_ERROR_UNSUPPORTED,
               "%s: orders with recomputation are not searched for; give --recompute none",
               plan->file);
  return FALSE;
}

PwPlanOrder *
pw_plan_order_for_plan (const PwPlan *plan, PwObjective objective, GError **error) {
  gint64 begin_us = g_get_monotonic_time ();
  if (!check_plan (plan, error))
    return NULL;
  g_autoptr (PwResolvedPlan) resolved = pw_plan_resolve (plan, NULL, error);
  if (!resolved)
    return NULL;
  /* The draft's placement is looked at until the order is found. */
  g_autoptr (PwSchedule) draft = g_steal_pointer (&resolved->compute);
  PwPlanOrderProblem problem
      = { .placement = draft->placement,
          .microbatches = resolved->microbatches,
          .chunks = draft->chunks,
          .edges = resolved->edges,
          .costs = resolved->costs,
          .lower = { .policy = plan->policy, .batched = plan->batched, .updates = TRUE },
          .objective = objective,
          .in_bytes = TRUE,
          .limit = plan->memory_limit > 0 ? (double)plan->memory_limit : INFINITY };
  set_params (&problem, 0, plan->params.weight_memory);
  g_autoptr (PwPlanOrder) order = g_new0 (PwPlanOrder, 1);
  g_autoptr (PwPlanOrderTrial) best = find (&problem, order, error);
  if (!best)
    return NULL;
  PwSimulation *simulation = g_new0 (PwSimulation, 1);
  order->simulation = simulation_of (best, simulation);
  pw_schedule_free (resolved->lowered);
  simulation->edges = resolved->edges;
  simulation->costs = resolved->costs;
  resolved->compute = simulation->compute;
  resolved->lowered = simulation->lowered;
  simulation->resolved = g_steal_pointer (&resolved);
  order->search_seconds = seconds_since (begin_us);
  return g_steal_pointer (&order);
}

void
pw_plan_order_free (PwPlanOrder *order) {
  if (!order)
    return;
  pw_simulation_free (order->simulation);
  g_free (order->method);
  g_free (order->builtin);
  g_free (order);
}
