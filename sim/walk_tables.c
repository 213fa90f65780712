#include "sim/walk_state_private.h"
#include "sim/async_private.h"
#include "schedules/block.h"

#include <string.h>

static void
make_channels (PwSimWalk *walk) {
  const PwSimLayout *layout = walk->layout;
  gsize bytes = (gsize)(layout->n_channels * layout->stride) * sizeof (int32_t);
  walk->slots = memset (pw_block_new (bytes), 0, bytes);
  walk->channels = g_new (PwSimWalkChannel, (gsize)layout->n_channels + 1);
  for (int channel = 0; channel < layout->n_channels; channel++)
    walk->channels[channel]
        = (PwSimWalkChannel){ .slot = walk->slots + channel * layout->stride,
                              .transfer = walk->durations->transfer[channel],
                              .last_send = -1,
                              .last_recv = -1,
                              .sender = layout->sender[channel],
                              .receiver = layout->receiver[channel],
                              .is_shared = walk->links != NULL
                                           && pw__sim_links_is_shared (walk->links, channel),
                              .first_open = -1,
                              .last_open = -1 };
}

static void
make_node (const PwSimWalk *walk, PwSimWalkNode *node, PwAction action) {
  const PwSimLayout *layout = walk->layout;
  *node = (PwSimWalkNode){ .duration = pw__sim_duration (walk->durations, action) };
  if (!pw__sim_has_port (action))
    return;
  int port = pw__sim_port (layout, action);
  node->inputs = walk->consumed + layout->input_start[port];
  node->n_inputs = layout->input_start[port + 1] - layout->input_start[port];
  for (int k = layout->output_start[port]; k < layout->output_start[port + 1]; k++) {
    PwSimWalkChannel *channel = &walk->channels[layout->outputs[k]];
    gboolean crosses = channel->sender != channel->receiver;
    node->has_outputs |= !crosses;
    if (!crosses || node->channel != NULL)
      continue;
    gboolean forward = action.kind == PW_ACTION_FORWARD;
    PwAction send = pw_action (forward ? PW_ACTION_SEND_FORWARD : PW_ACTION_SEND_BACKWARD,
                               (int)action.stage, 0);
    send.direction = action.direction;
    send.edge = (uint16_t)(layout->outputs[k] % layout->n_edges);
    node->channel = channel;
    node->first_send = pw_action_bits (&send);
  }
}

static void
make_nodes (PwSimWalk *walk) {
  const PwSimLayout *layout = walk->layout;
  int directions = layout->schedule->placement->directions;
  walk->consumed = g_new (int32_t *, (gsize)layout->n_channels + 1);
  for (int k = 0; k < layout->n_channels; k++)
    walk->consumed[k] = walk->channels[layout->inputs[k]].slot;
  walk->nodes = g_new (PwSimWalkNode, (gsize)(directions * PW_ACTION_N * layout->stages));
  PwSimWalkNode *node = walk->nodes;
  for (int direction = 0; direction < directions; direction++)
    for (int kind = 0; kind < PW_ACTION_N; kind++)
      for (int stage = 0; stage < layout->stages; stage++) {
        PwAction action = pw_action ((PwActionKind)kind, stage, 0);
        action.direction = direction != 0;
        make_node (walk, node++, action);
      }
}

static void
make_ways (PwSimWalk *walk) {
  const PwSimLayout *layout = walk->layout;
  for (int kind = 0; kind < PW_ACTION_N; kind++)
    for (int direction = 0; direction < layout->schedule->placement->directions; direction++)
      for (int paired = 0; paired < 2; paired++) {
        PwAction action = pw_action ((PwActionKind)kind, 0, 0);
        action.direction = direction != 0;
        action.paired = paired != 0;
        PwSimWalkWay *way = &walk->ways[pw_action_key (&action)];
        if (pw__sim_is_async (action))
          *way = (PwSimWalkWay){ .what = PW_SIM_WALK_NOT_KNOWN };
        else if (pw__sim_is_message (action))
          *way = (PwSimWalkWay){ .what = pw__sim_is_send (action) ? PW_SIM_WALK_SEND
                                                                  : PW_SIM_WALK_RECEIVE,
                                 .first_row = pw__sim_channel (layout, action) };
        else
          *way = (PwSimWalkWay){ .what = paired ? PW_SIM_WALK_PAIR : PW_SIM_WALK_COMPUTE,
                                 .first_row = (direction * PW_ACTION_N + kind) * layout->stages };
      }
}

void
pw__sim_walk_init (PwSimWalk *walk) {
  const PwSimLayout *layout = walk->layout;
  make_channels (walk);
  make_nodes (walk);
  make_ways (walk);
  walk->cursors = g_new (PwSimWalkCursor, (gsize)layout->ranks);
  /* Before, the first ranks have no more than begun. */
  if (walk->links == NULL && !walk->has_factor)
    walk->look_at = 3 * layout->ranks + 1;
  walk->n_words = (layout->ranks + 63) / 64;
  walk->runnable = g_new0 (uint64_t, (gsize)walk->n_words);
  for (int rank = 0; rank < layout->ranks; rank++) {
    const PwAction *list = layout->list[rank];
    walk->cursors[rank] = (PwSimWalkCursor){ .next = list,
                                             .stop = list + pw__sim_length (layout, rank),
                                             .id = layout->offset[rank] };
    pw__sim_walk_make_runnable (walk, rank);
  }
}

void
pw__sim_walk_clear (PwSimWalk *walk) {
  pw_block_free (walk->slots);
  g_free (walk->channels);
  g_free (walk->consumed);
  g_free (walk->nodes);
  g_free (walk->cursors);
  g_free (walk->runnable);
  pw_block_free (walk->next_open);
  pw__sim_heap_clear (&walk->heap);
  pw__sim_links_free (walk->links);
}
