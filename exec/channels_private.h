/* Which channels there are, numbered: [direction][edge][forward, backward], then, of two
 * directions, [direction][stage] between replicas. */
#pragma once
#include "exec/transport.h"

typedef struct {
  PwChannel channel;
  int sender, receiver; /* equal: a rank sends itself no messages */
} PwChannelEnds;

typedef struct {
  const PwStageEdges *edges;
  int n_stages, n;
  PwChannelEnds *ends; /* [n] */
} PwChannels;

PwChannels *pw__channels_new (const PwStageEdges *edges, const PwPlacement *placement);
void pw__channels_free (PwChannels *channels);
/* "output of edge 0 (stage 0 to stage 1)" */
char *pw__channels_describe (const PwChannels *channels, PwChannel channel);

static inline int
pw__channels_find (const PwChannels *channels, PwChannel channel) {
  int n_edges = channels->edges->n_edges;
  if (channel.is_replica)
    return 4 * n_edges + channel.direction * channels->n_stages + channel.edge;
  return (channel.direction * n_edges + channel.edge) * 2 + (channel.is_backward ? 1 : 0);
}
