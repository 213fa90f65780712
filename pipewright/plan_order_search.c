/* The problem as the search sees it: a chain of stages, and of memory only what an order decides.
 */
#include "pipewright/plan_order_private.h"
#include <math.h>

static gboolean
is_chain (const PwStageEdges *edges) {
  if (edges->n_edges != edges->stages - 1)
    return FALSE;
  for (int e = 0; e < edges->n_edges; e++)
    if (edges->edges[e].producer != e || edges->edges[e].consumer != e + 1)
      return FALSE;
  return TRUE;
}

/* As its rank runs it. */
static PwStageCost
stage_on_rank (const PwStageCosts *costs, int s, int rank) {
  PwStageCost cost = costs->stage[s];
  double factor = costs->rank_factor ? costs->rank_factor[rank] : 1;
  double *const times[] = { &cost.forward, &cost.backward,  &cost.input,     &cost.weight,
                            &cost.update,  &cost.recompute, &cost.overlapped };
  for (gsize i = 0; i < G_N_ELEMENTS (times); i++)
    *times[i] *= factor;
  return cost;
}

/* Messages from a stage to the next travel side by side, so the slowest counts. Those that skip
 * stages are left out: what they need is done by then, as a rule. */
static PwStageCosts *
chain_costs (const PwPlanOrderProblem *problem, GError **error) {
  const PwStageEdges *edges = problem->edges;
  const PwStageCosts *costs = problem->costs;
  g_autoptr (PwStageEdges) chain = pw_stage_edges_new_chain (edges->stages);
  g_autoptr (PwStageCosts) out = pw_stage_costs_new (edges->stages, chain);
  for (int s = 0; s < edges->stages; s++)
    out->stage[s] = stage_on_rank (costs, s, problem->placement->rank_of_stage[s]);
  for (int e = 0; e < out->n_edges; e++)
    out->link[e].latency_s = -1;
  for (int e = 0; e < edges->n_edges; e++) {
    int producer = edges->edges[e].producer;
    if (edges->edges[e].consumer != producer + 1)
      continue;
    double *time = &out->link[producer].latency_s;
    PwPath path;
    pw_stage_costs_path (costs, e, problem->placement->rank_of_stage[producer],
                         problem->placement->rank_of_stage[producer + 1], &path);
    double alone = pw_path_time (&path, costs->message_bytes[e]);
    *time = MAX (*time, alone);
  }
  for (int e = 0; e < out->n_edges; e++)
    if (out->link[e].latency_s < 0) {
      g_set_error (error, PW_PLAN_ORDER_ERROR, PW_PLAN_ORDER_ERROR_UNSUPPORTED,
                   "orders are searched for stages that follow each other, but stage %d takes "
                   "nothing from stage %d",
                   e + 1, e);
      return NULL;
    }
  out->unitless = costs->unitless;
  return g_steal_pointer (&out);
}

/* Where bytes are given: what a stage adds to its rank for good. The simulator counts more while
 * an action runs and while messages are on their way; what does not fit is found out there. */
static void
set_bytes (PwPlanOrderSearch *search, const PwPlanOrderProblem *problem) {
  int ranks = problem->placement->ranks;
  g_autofree int64_t *workspace = g_new0 (int64_t, (gsize)ranks);
  for (int s = 0; s < problem->placement->stages; s++) {
    const PwStageCost *cost = &problem->costs->stage[s];
    int r = problem->placement->rank_of_stage[s];
    search->held[s]
        = (double)(MIN (cost->stash_bytes, cost->forward_peak_bytes) + cost->input_kept_bytes);
    search->kept[s] = MIN ((double)cost->kept_bytes, search->held[s]);
    search->limit[r]
        -= (double)(cost->parameter_bytes + cost->gradient_bytes + cost->optimizer_bytes);
    workspace[r] = MAX (workspace[r], cost->workspace_bytes);
  }
  for (int r = 0; r < ranks; r++)
    search->limit[r] -= (double)workspace[r];
}

static void
set_activations (PwPlanOrderSearch *search, const PwPlanOrderProblem *problem) {
  for (int s = 0; s < problem->placement->stages; s++) {
    search->held[s] = 1.0 / problem->chunks;
    search->kept[s] = problem->params.weight_memory / problem->chunks;
  }
}

gboolean
pw__plan_order_search_init (PwPlanOrderSearch *search, const PwPlanOrderProblem *problem,
                            GError **error) {
  const PwPlacement *placement = problem->placement;
  *search = (PwPlanOrderSearch){ .held = g_new0 (double, (gsize)placement->stages),
                                 .kept = g_new0 (double, (gsize)placement->stages),
                                 .limit = g_new (double, (gsize)placement->ranks) };
  for (int r = 0; r < placement->ranks; r++)
    search->limit[r] = problem->limit;
  if (problem->in_bytes)
    set_bytes (search, problem);
  else
    set_activations (search, problem);
  if ((!is_chain (problem->edges) || problem->costs->rank_factor)
      && !(search->chain = chain_costs (problem, error)))
    return FALSE;
  search->input = (PwSearchInput){ .ranks = placement->ranks,
                                   .microbatches = problem->microbatches,
                                   .chunks = problem->chunks,
                                   .costs = search->chain ? search->chain : problem->costs,
                                   .held = search->held,
                                   .kept = search->kept,
                                   .limit = search->limit,
                                   .objective = problem->objective };
  return TRUE;
}

void
pw__plan_order_search_clear (PwPlanOrderSearch *search) {
  pw_stage_costs_free (search->chain);
  g_free (search->held);
  g_free (search->kept);
  g_free (search->limit);
}

gboolean
pw__plan_order_prefers_full_backward (const PwPlanOrderProblem *problem) {
  for (int s = 0; s < problem->costs->stages; s++) {
    const PwStageCost *cost = &problem->costs->stage[s];
    if (pw__plan_order_is_shorter (cost->backward, cost->input + cost->weight))
      return TRUE;
  }
  return FALSE;
}

/* Micro-batches of the full size: an order of all of them contains one of these alone. */
static int
count_full (const PwPlanOrderProblem *problem) {
  const PwStageCosts *costs = problem->costs;
  int full = 0;
  for (int m = 0; m < problem->microbatches; m++) {
    gboolean is_full = TRUE;
    for (int s = 0; costs->factor && s < costs->stages; s++)
      is_full = is_full && costs->factor[(gsize)m * (gsize)costs->stages + (gsize)s] >= 1;
    full += is_full;
  }
  return full;
}

/* A stage whose B takes less than I and W together is given an I and a W that take no more, each
 * for itself and in sum: then every list with B is one with I and W that takes as long. */
gboolean
pw__plan_order_search_relax (PwPlanOrderSearch *search, const PwPlanOrderProblem *problem) {
  int full = count_full (problem);
  gboolean fuses = pw__plan_order_prefers_full_backward (problem);
  if (!fuses && full == problem->microbatches)
    return FALSE;
  search->input.microbatches = MAX (full, 1);
  if (!fuses)
    return TRUE;
  if (!search->chain)
    search->chain = pw_stage_costs_copy (problem->costs);
  for (int s = 0; s < search->chain->stages; s++) {
    PwStageCost *cost = &search->chain->stage[s];
    cost->input = MIN (cost->input, cost->backward);
    cost->weight = MIN (cost->weight, cost->backward - cost->input);
  }
  search->input.costs = search->chain;
  return TRUE;
}
