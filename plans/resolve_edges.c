/* Stage edges of a partitioned graph. A tensor that several later stages read goes to each of them
 * directly, so a skip passes no stage that does not need it:
 *
 *   encoder (stage 0) ----> middle (1) ----> decoder (2)         edges 0>1, 0>2, 1>2
 *        \_____________________________________/
 */
#include "plans/plan_private.h"
#include "schedules/action.h"

static int *
stage_of_layers (const PwPartition *layers) {
  int *stage_of = g_new (int, (gsize)layers->bounds[layers->stages]);
  for (int s = 0; s < layers->stages; s++)
    for (int l = layers->bounds[s]; l < layers->bounds[s + 1]; l++)
      stage_of[l] = s;
  return stage_of;
}

/* Of each layer's parameter that others use: every using layer and its stage, the owner first. */
static void
add_shared (PwStageEdges *edges, const PwGraph *graph, const int *stage_of) {
  g_autofree int *stages = g_new (int, (gsize)graph->n_layers);
  g_autofree int *layers = g_new (int, (gsize)graph->n_layers);
  g_autofree gboolean *is_owner = g_new0 (gboolean, (gsize)graph->n_layers);
  for (int l = 0; l < graph->n_layers; l++)
    if (graph->layers[l].shares_with >= 0)
      is_owner[graph->layers[l].shares_with] = TRUE;
  for (int owner = 0; owner < graph->n_layers; owner++) {
    int n = 0;
    for (int l = owner; l < graph->n_layers && is_owner[owner]; l++)
      if (l == owner || graph->layers[l].shares_with == owner) {
        stages[n] = stage_of[l];
        layers[n++] = l;
      }
    if (n > 0)
      pw_stage_edges_add_shared (edges, stages, layers, n);
  }
}

PwStageEdges *
pw__plan_stage_edges (const PwGraph *graph, const PwPartition *layers) {
  g_autofree int *stage_of = stage_of_layers (layers);
  /* The last stage that was given a tensor: stages come in ascending order. */
  g_autofree int *given_to = g_memdup2 (stage_of, (gsize)graph->n_layers * sizeof *stage_of);
  g_autoptr (GArray) list = g_array_new (FALSE, FALSE, sizeof (PwStageEdge));
  for (int l = 0; l < graph->n_layers; l++)
    for (int i = 0; i < graph->layers[l].n_inputs; i++) {
      int tensor = graph->layers[l].inputs[i];
      if (tensor == PW_GRAPH_INPUT || given_to[tensor] == stage_of[l])
        continue;
      given_to[tensor] = stage_of[l];
      PwStageEdge edge
          = { .producer = stage_of[tensor], .consumer = stage_of[l], .tensor = tensor };
      g_array_append_val (list, edge);
    }
  if (list->len > PW_EDGES_MAX)
    return NULL;
  PwStageEdges *edges = pw_stage_edges_new (
      layers->stages, (const PwStageEdge *)(const void *)list->data, (int)list->len);
  add_shared (edges, graph, stage_of);
  return edges;
}
