#include "schedules/messages_private.h"

static PwPorts
collect_ports (const PwPlacement *placement, const PwStageEdges *edges, const int *row_of_edge,
               gboolean consumers) {
  int stages = placement->stages, n = 0;
  const int *first = consumers ? edges->out_start : edges->in_start;
  const int *list = consumers ? edges->out_edges : edges->in_edges;
  PwPorts ports = { .start = g_new (int, (gsize)(placement->directions * stages + 1)),
                    .ports = g_new (PwPort, (gsize)(placement->directions * edges->n_edges)) };
  for (int i = 0; i < placement->directions * stages; i++) {
    int direction = i / stages, stage = i % stages;
    ports.start[i] = n;
    for (int k = first[stage]; k < first[stage + 1]; k++) {
      const PwStageEdge *edge = &edges->edges[list[k]];
      int other = consumers ? edge->consumer : edge->producer;
      int rank = pw_placement_rank (placement, direction, other);
      if (rank != placement->rank_of_stage[i])
        ports.ports[n++] = (PwPort){
          .edge = list[k], .stage = other, .rank = rank, .row = row_of_edge[list[k]]
        };
    }
  }
  ports.start[placement->directions * stages] = n;
  return ports;
}

PwCrossings *
pw__crossings_new (const PwPlacement *placement, const PwStageEdges *edges) {
  g_assert (edges->stages == placement->stages);
  PwCrossings *crossings = g_new0 (PwCrossings, 1);
  crossings->stages = placement->stages;
  crossings->row_of_edge = g_new (int, (gsize)edges->n_edges);
  for (int e = 0; e < edges->n_edges; e++) {
    const PwStageEdge *edge = &edges->edges[e];
    crossings->row_of_edge[e] = -1;
    for (int direction = 0; direction < placement->directions; direction++)
      if (crossings->row_of_edge[e] == -1
          && pw_placement_rank (placement, direction, edge->producer)
                 != pw_placement_rank (placement, direction, edge->consumer)) {
        crossings->row_of_edge[e] = crossings->n_rows;
        crossings->n_rows += 2;
      }
  }
  crossings->consumers = collect_ports (placement, edges, crossings->row_of_edge, TRUE);
  crossings->producers = collect_ports (placement, edges, crossings->row_of_edge, FALSE);
  return crossings;
}

void
pw__crossings_free (PwCrossings *crossings) {
  if (crossings == NULL)
    return;
  g_free (crossings->consumers.start);
  g_free (crossings->consumers.ports);
  g_free (crossings->producers.start);
  g_free (crossings->producers.ports);
  g_free (crossings->row_of_edge);
  g_free (crossings);
}
