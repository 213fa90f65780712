#include "schedules/stages.h"
#include "schedules/action.h"

#include <stdlib.h>

static int
compare_edges (const void *a, const void *b) {
  const PwStageEdge *x = a, *y = b;
  if (x->consumer != y->consumer)
    return x->consumer < y->consumer ? -1 : 1;
  if (x->producer != y->producer)
    return x->producer < y->producer ? -1 : 1;
  return (x->tensor > y->tensor) - (x->tensor < y->tensor);
}

static int
end_of (const PwStageEdge *edge, gboolean producer) {
  return producer ? edge->producer : edge->consumer;
}

/* Counting sort of the edges by one of their ends; keeps their order within a stage. */
static void
index_edges (const PwStageEdges *edges, gboolean producer, int **start_out, int **list_out) {
  int *start = g_new0 (int, (gsize)(edges->stages + 2));
  int *list = g_new (int, (gsize)edges->n_edges);
  for (int e = 0; e < edges->n_edges; e++)
    start[end_of (&edges->edges[e], producer) + 2]++;
  for (int stage = 0; stage < edges->stages; stage++)
    start[stage + 2] += start[stage + 1];
  for (int e = 0; e < edges->n_edges; e++)
    list[start[end_of (&edges->edges[e], producer) + 1]++] = e;
  *start_out = start;
  *list_out = list;
}

PwStageEdges *
pw_stage_edges_new (int stages, const PwStageEdge *list, int n_edges) {
  g_assert (stages >= 1 && n_edges >= 0 && n_edges <= PW_EDGES_MAX);
  PwStageEdges *edges = g_new0 (PwStageEdges, 1);
  edges->stages = stages;
  edges->n_edges = n_edges;
  edges->edges = g_memdup2 (list, (gsize)n_edges * sizeof *list);
  for (int e = 0; e < n_edges; e++)
    g_assert (list[e].producer >= 0 && list[e].producer < list[e].consumer
              && list[e].consumer < stages);
  if (n_edges > 1)
    qsort (edges->edges, (size_t)n_edges, sizeof *list, compare_edges);
  index_edges (edges, FALSE, &edges->in_start, &edges->in_edges);
  index_edges (edges, TRUE, &edges->out_start, &edges->out_edges);
  return edges;
}

PwStageEdges *
pw_stage_edges_new_chain (int stages) {
  g_autofree PwStageEdge *list = g_new (PwStageEdge, (gsize)stages);
  for (int s = 0; s + 1 < stages; s++)
    list[s] = (PwStageEdge){ .producer = s, .consumer = s + 1 };
  return pw_stage_edges_new (stages, list, stages - 1);
}

void
pw_stage_edges_add_shared (PwStageEdges *edges, const int *stages, const int *layers,
                           int n_stages) {
  gsize bytes = (gsize)n_stages * sizeof (int);
  edges->shared = g_renew (PwSharedParameter, edges->shared, (gsize)(edges->n_shared + 1));
  edges->shared[edges->n_shared++] = (PwSharedParameter){ .n_stages = n_stages,
                                                          .stages = g_memdup2 (stages, bytes),
                                                          .layers = g_memdup2 (layers, bytes) };
}

void
pw_stage_edges_free (PwStageEdges *edges) {
  if (edges == NULL)
    return;
  for (int i = 0; i < edges->n_shared; i++) {
    g_free (edges->shared[i].stages);
    g_free (edges->shared[i].layers);
  }
  g_free (edges->shared);
  g_free (edges->edges);
  g_free (edges->in_start);
  g_free (edges->in_edges);
  g_free (edges->out_start);
  g_free (edges->out_edges);
  g_free (edges);
}
