/* Which units belong to which stage. End units go with the first and the last stage:
 *
 *   units     embedding | block0 block1 block2 block3 | head
 *   balance               2             2
 *   stages    [ embedding   block0 block1 ) [ block2 block3   head )
 */
#include "models/lifetime.h"
#include "plans/plan_private.h"

/* The units that may be cut between: [first, first + n). */
typedef struct {
  int first, n;
} Inner;

static Inner
find_inner (const PwGraph *graph, gboolean count_ends) {
  Inner inner = { .first = 0, .n = graph->n_units };
  if (count_ends)
    return inner;
  while (inner.n > 1 && graph->units[inner.first].is_end) {
    inner.first++;
    inner.n--;
  }
  while (inner.n > 1 && graph->units[inner.first + inner.n - 1].is_end)
    inner.n--;
  return inner;
}

/* What the rest of a rank's life costs besides the activations: weights, gradients, the
 * optimiser's. */
static double
unit_memory (const PwResolvedPlan *resolved, const PwUnit *unit, double stash_microbatches) {
  const PwGraph *graph = resolved->graph;
  g_autoptr (PwLifetimes) lifetimes = pw_lifetimes_new (graph, unit->first_layer, unit->n_layers,
                                                        resolved->mode == PW_MODE_TRAINING);
  PwFootprint footprint;
  pw_lifetimes_footprint (lifetimes, &footprint);
  PwParameterSize size = pw_graph_parameter_size (graph, unit->first_layer, unit->n_layers);
  double states = (double)size.bytes;
  if (resolved->mode == PW_MODE_TRAINING)
    states += (double)size.elements * (double)pw_dtype_bytes (PW_DTYPE_F32)
                  * (1 + resolved->optimizer_slots)
              + (double)size.master_bytes;
  int64_t kept = footprint.input_bytes + footprint.stash_bytes;
  const int bounds[] = { unit->first_layer, unit->first_layer + unit->n_layers, graph->n_layers };
  PwAgainFootprint again = { 0 };
  if (resolved->again != NULL)
    pw_lifetimes_again_footprint (graph, bounds, bounds[1] < bounds[2] ? 2 : 1, 0, resolved->again,
                                  &again);
  if (again.first_peak_bytes > 0)
    kept = again.first_input_bytes + again.first_stash_bytes;
  return states + stash_microbatches * (double)resolved->samples[0] * (double)kept;
}

static double
unit_time (const PwResolvedPlan *resolved, const PwUnit *unit) {
  gboolean training = resolved->mode == PW_MODE_TRAINING;
  double sum = 0;
  for (int l = unit->first_layer; l < unit->first_layer + unit->n_layers; l++) {
    PwLayerCost cost;
    pw_layer_costs_at (resolved->layer_costs, l, (double)resolved->samples[0], &cost);
    sum += cost.forward_s;
    if (!training)
      continue;
    sum += cost.input_s + cost.weight_s;
    if (resolved->again != NULL && resolved->again[l])
      sum += cost.forward_s;
  }
  return sum;
}

static double
unit_cost (const PwResolvedPlan *resolved, const PwUnit *unit, double stash_microbatches) {
  const PwGraph *graph = resolved->graph;
  switch (resolved->method) {
  case PW_METHOD_TIME:
    return unit_time (resolved, unit);
  case PW_METHOD_PARAMETERS:
    return (double)pw_graph_parameters (graph, unit->first_layer, unit->n_layers);
  case PW_METHOD_FLOPS:
    return (double)pw_graph_flops (graph, unit->first_layer, unit->n_layers);
  case PW_METHOD_MEMORY:
    return unit_memory (resolved, unit, stash_microbatches);
  case PW_METHOD_BALANCE:
    break;
  }
  g_assert_not_reached ();
}

static PwPartition *
partition_by_cost (const PwResolvedPlan *resolved, Inner inner, int stages, const double *weights,
                   double stash_microbatches, GError **error) {
  const PwGraph *graph = resolved->graph;
  g_autofree double *costs = g_new (double, (gsize)graph->n_units);
  double first = 0, last = 0;
  for (int u = 0; u < graph->n_units; u++) {
    costs[u] = unit_cost (resolved, &graph->units[u], stash_microbatches);
    if (u < inner.first)
      first += costs[u];
    else if (u >= inner.first + inner.n)
      last += costs[u];
  }
  /* What a slow rank makes longer is time, not its memory. */
  return pw_partition_new_weighted (costs + inner.first, inner.n, stages,
                                    resolved->method == PW_METHOD_TIME ? weights : NULL, first,
                                    last, error);
}

static PwPartition *
partition_by_balance (const PwPlan *plan, Inner inner, int stages, GError **error) {
  int64_t sum = 0;
  const int *counts = (const int *)(const void *)plan->balance->data;
  if ((int)plan->balance->len != stages) {
    pw__plan_fail (plan, "partition.balance", "balance", PW_PLAN_ERROR_PARTITION, error,
                   "has %u stages, the schedule %d", plan->balance->len, stages);
    return NULL;
  }
  for (int s = 0; s < stages; s++)
    sum += counts[s];
  if (sum != inner.n) {
    pw__plan_fail (plan, "partition.balance", "balance", PW_PLAN_ERROR_PARTITION, error,
                   "adds up to %" G_GINT64_FORMAT " units, the model has %d", sum, inner.n);
    return NULL;
  }
  return pw_partition_new_balance (counts, stages, inner.n, error);
}

/* Whether overrides have taken the stages away that the file's balance was made for. */
static gboolean
balance_gives_way (const PwPlan *plan, const PwResolvedPlan *resolved, int stages) {
  static const char *const causes[] = { "ranks", "schedule", "chunks", "waves" };
  if ((int)plan->balance->len == stages || pw__plan_is_overridden (plan, "balance"))
    return FALSE;
  if (resolved->mode == PW_MODE_INFERENCE)
    return TRUE;
  for (gsize i = 0; i < G_N_ELEMENTS (causes); i++)
    if (pw__plan_is_overridden (plan, causes[i]))
      return TRUE;
  return FALSE;
}

PwPartition *
pw__plan_partition_units (const PwPlan *plan, PwResolvedPlan *resolved, int stages,
                          const double *weights, double stash_microbatches, GError **error) {
  const PwGraph *graph = resolved->graph;
  Inner inner = find_inner (graph, plan->count_ends);
  if (stages > inner.n) {
    pw__plan_fail (plan, "ranks", "ranks", PW_PLAN_ERROR_PARTITION, error,
                   "%d stages, but the model has %d %s to cut between", stages, inner.n,
                   inner.n == 1 ? "unit" : "units");
    return NULL;
  }
  resolved->method = plan->method;
  if (plan->method == PW_METHOD_BALANCE && balance_gives_way (plan, resolved, stages))
    resolved->method = plan->fallback;
  PwPartition *units
      = resolved->method == PW_METHOD_BALANCE
            ? partition_by_balance (plan, inner, stages, error)
            : partition_by_cost (resolved, inner, stages, weights, stash_microbatches, error);
  if (units == NULL)
    return NULL;
  for (int s = 1; s < stages; s++)
    units->bounds[s] += inner.first;
  units->bounds[stages] = graph->n_units;
  return units;
}

PwPartition *
pw__plan_partition_layers (const PwGraph *graph, const PwPartition *units) {
  g_autofree int *counts = g_new (int, (gsize)units->stages);
  for (int s = 0; s < units->stages; s++) {
    const PwUnit *last = &graph->units[units->bounds[s + 1] - 1];
    counts[s] = last->first_layer + last->n_layers - graph->units[units->bounds[s]].first_layer;
  }
  PwPartition *layers = pw_partition_new_balance (counts, units->stages, graph->n_layers, NULL);
  g_assert (layers != NULL);
  return layers;
}
