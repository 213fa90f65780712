#include "exec/channels_private.h"

static void
add (PwChannels *channels, PwChannel channel, int sender, int receiver) {
  channels->ends[pw__channels_find (channels, channel)]
      = (PwChannelEnds){ .channel = channel, .sender = sender, .receiver = receiver };
}

static void
add_edges (PwChannels *channels, const PwPlacement *placement, int direction) {
  for (int e = 0; e < channels->edges->n_edges; e++) {
    const PwStageEdge *edge = &channels->edges->edges[e];
    int producer = pw_placement_rank (placement, direction, edge->producer);
    int consumer = pw_placement_rank (placement, direction, edge->consumer);
    PwChannel channel = { .edge = e, .direction = direction };
    add (channels, channel, producer, consumer);
    channel.is_backward = TRUE;
    add (channels, channel, consumer, producer);
  }
}

static void
add_replicas (PwChannels *channels, const PwPlacement *placement) {
  for (int direction = 0; direction < 2; direction++)
    for (int s = 0; s < placement->stages; s++) {
      PwChannel channel = { .edge = s, .is_replica = TRUE, .direction = direction };
      add (channels, channel, pw_placement_rank (placement, direction, s),
           pw_placement_rank (placement, 1 - direction, s));
    }
}

PwChannels *
pw__channels_new (const PwStageEdges *edges, const PwPlacement *placement) {
  PwChannels *channels = g_new0 (PwChannels, 1);
  channels->edges = edges;
  channels->n_stages = placement->stages;
  channels->n = 2 * placement->directions * edges->n_edges;
  if (placement->directions == 2)
    channels->n += 2 * placement->stages;
  channels->ends = g_new0 (PwChannelEnds, (gsize)MAX (channels->n, 1));
  for (int direction = 0; direction < placement->directions; direction++)
    add_edges (channels, placement, direction);
  if (placement->directions == 2)
    add_replicas (channels, placement);
  return channels;
}

void
pw__channels_free (PwChannels *channels) {
  if (!channels)
    return;
  g_free (channels->ends);
  g_free (channels);
}

char *
pw__channels_describe (const PwChannels *channels, PwChannel channel) {
  if (channel.is_replica)
    return g_strdup_printf ("gradients of the replica of stage %d", channel.edge);
  const PwStageEdge *edge = &channels->edges->edges[channel.edge];
  return g_strdup_printf ("%s of edge %d (stage %d to stage %d)",
                          channel.is_backward ? "gradient" : "output", channel.edge, edge->producer,
                          edge->consumer);
}
