#include "sim/walk_state_private.h"

/* The message that its producer had made at READY stands in front of its channel's queue. */
static void
announce (PwSimWalk *walk, PwSimWalkChannel *channel, int32_t send, double ready) {
  double time = walk->has_queues ? MAX (ready, channel->last_end) : ready;
  pw__sim_heap_push (&walk->heap,
                     pw__sim_event (time, PW_SIM_EVENT_READY, send, channel - walk->channels));
}

void
pw__sim_walk_send_shared (PwSimWalk *walk, PwSimWalkChannel *channel, int32_t send, double ready) {
  gboolean is_first = !walk->has_queues || channel->first_open < 0;
  if (is_first)
    announce (walk, channel, send, ready);
  if (is_first)
    channel->first_open = send;
  else
    walk->next_open[channel->last_open] = send;
  channel->last_open = send;
  walk->next_open[send] = -1;
}

/* A transfer on a shared link has its times; the next of its queue may follow. */
static gboolean
end_shared (PwSimWalk *walk, PwSimWalkChannel *channel, int32_t send) {
  const PwSimLayout *layout = walk->layout;
  const PwAction *first = layout->list[channel->sender] - layout->offset[channel->sender];
  if (!pw__sim_walk_arrive (walk, channel, &channel->slot[first[send].microbatch], send,
                            walk->start[send], walk->end[send]))
    return FALSE;
  if (!walk->has_queues)
    return TRUE;
  int32_t next = channel->first_open = walk->next_open[send];
  if (next >= 0) {
    int64_t back = pw__sim_find_producer (layout->list[channel->sender], &first[next]);
    announce (walk, channel, next, walk->end[next - back]);
  }
  return TRUE;
}

/* Nothing but messages stands between the SEND at AT and its producer, or the pair's second: were
 * it another compute, the walk could come to the SEND later than to what is behind it in time. */
gboolean
pw__sim_stands_behind (const PwAction *at, int64_t back) {
  for (int64_t i = 1; i < back; i++)
    if (!pw__sim_is_message (at[-i]) && !(i == back - 1 && at[-back].paired))
      return FALSE;
  return TRUE;
}

gboolean
pw__sim_walk_event (PwSimWalk *walk, const PwSimEvent *event) {
  int32_t send = pw__sim_event_what (event);
  int kind = pw__sim_event_kind (event);
  if (kind != PW_SIM_EVENT_READY && kind != PW_SIM_EVENT_TRANSFER) {
    pw__sim_links_event (walk->links, event);
    return TRUE;
  }
  PwSimWalkChannel *channel = &walk->channels[event->more];
  if (kind == PW_SIM_EVENT_READY
      && !pw__sim_links_begin (walk->links, (int)event->more, send, event->time))
    return TRUE;
  return end_shared (walk, channel, send);
}
