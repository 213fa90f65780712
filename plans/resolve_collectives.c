/* What the replicas of a plan's stages cost: their gradients' exchange, and the norm's. */
#include <math.h>

#include "plans/plan_private.h"

/* The pipeline's replicas are other nodes where there are nodes; two directions of one pipeline may
 * have a stage on two ranks of one node, but its slowest way counts. */
static PwCollective
find_collective (const PwPlan *plan, const PwStageCosts *costs) {
  PwCollective collective = plan->hardware->collective;
  if (pw__plan_is_overridden (plan, "collective-algorithm"))
    collective.algorithm = plan->collective.algorithm;
  if (pw__plan_is_overridden (plan, "collective-latency"))
    collective.latency_s = plan->collective.latency_s;
  if (pw__plan_is_overridden (plan, "collective-bandwidth"))
    collective.bandwidth = plan->collective.bandwidth;
  gboolean has_nodes = costs->topology != NULL && costs->topology->ranks_per_node > 0;
  return pw_collective_over (&collective,
                             has_nodes ? &costs->topology->network : &plan->hardware->link);
}

/* The largest tensor of gradients, or a piece of it. */
static int64_t
exchange_bytes (const PwGraph *graph, const PwPartition *partition, int stage) {
  int64_t largest = 0;
  for (int l = partition->bounds[stage]; l < partition->bounds[stage + 1]; l++) {
    const PwLayerInfo *info = &graph->layers[l].info;
    for (int p = 0; p < info->n_parameters; p++)
      largest = MAX (largest, pw_shape_elements (&info->parameters[p].shape));
  }
  return MIN (largest * (int64_t)sizeof (float), PW_COLLECTIVE_PIECE_BYTES);
}

void
pw__resolve_collectives (const PwPlan *plan, const PwResolvedPlan *resolved, int ranks,
                         int directions) {
  PwStageCosts *costs = resolved->costs;
  costs->communication_bytes = plan->hardware->communication_bytes;
  if (resolved->mode != PW_MODE_TRAINING)
    return;
  for (int s = 0; directions == 2 && s < costs->stages; s++)
    costs->stage[s].exchange_bytes = exchange_bytes (resolved->graph, resolved->partition, s);
  PwCollective collective = find_collective (plan, costs);
  int replicas = plan->data_parallel * directions;
  for (int s = 0; s < costs->stages; s++)
    costs->stage[s].reduce
        = pw_collective_all_reduce (&collective, replicas, (double)costs->stage[s].gradient_bytes);
  /* One number: what takes time is the steps, of a tree in any case. */
  collective.algorithm = PW_COLLECTIVE_TREE;
  if (plan->clip_norm > 0)
    costs->norm
        = pw_collective_all_reduce (&collective, ranks * plan->data_parallel, sizeof (double));
}
