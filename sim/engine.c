#include "sim/engine_private.h"
#include "sim/collectives_private.h"
#include "sim/graph_private.h"
#include "sim/links_private.h"
#include "sim/memory_private.h"
#include "sim/summary_private.h"

/* What a transfer still waits for is what is missing of the first three; ranks pay for it. */
enum { PRODUCED = 1, AT_SENDERS_HEAD = 2, AT_RECEIVERS_HEAD = 4, CLEARED = 7, COUNTED = 8 };

typedef struct {
  int64_t next; /* id of the action it will do next */
  gboolean is_running;
  /* Where compute pays for communication: */
  int n_transfers;                 /* from or to it, under way */
  double left, updated;            /* of what runs: its time alone, as of `updated` */
  int64_t version;                 /* of its end; events of an older one are void */
  int collective, last_collective; /* places of the one at the head of its queue, and the end */
  int n_arrived; /* of those at the head that are one group, a rank's both replicas */
} Rank;

typedef struct {
  const PwSimLayout *layout;
  const PwPolicyInfo *policy;
  const PwSimIndex *index;
  PwSimDurations durations;
  double slowdown; /* of compute while its rank communicates */
  PwSimHeap heap;
  PwSimLinks *links;
  double now;
  double *start, *end; /* the result's, by id */
  uint8_t *is_done;    /* by id */
  uint8_t *cleared;    /* by id of a SEND */
  int32_t *entry;      /* by id of a message: the first of its group */
  int32_t *n_open;     /* by that: members not transferred */
  /* Queues: the messages of queue q are items[queue_start[q] .. queue_start[q + 1]). */
  int64_t n_queues;
  int64_t *queue_start, *queue_head;
  int32_t *items;
  Rank *ranks;
  PwSimCollectives *collectives;
  int *n_arrived; /* [groups] */
} Engine;

static PwAction
action_at (const Engine *engine, int rank, int64_t id) {
  return pw__sim_action (engine->layout, rank, id);
}

/* Unique over ranks; only for policies with queues. */
static int64_t
queue_of (const Engine *engine, int rank, PwAction message) {
  const PwSimLayout *layout = engine->layout;
  int channel = pw__sim_channel (layout, message);
  gboolean sends = pw__sim_is_send (message);
  switch (engine->policy->queue) {
  case PW_QUEUE_RANK:
    return rank;
  case PW_QUEUE_PEER: {
    int peer = sends ? layout->receiver[channel] : layout->sender[channel];
    return (int64_t)rank * layout->ranks + peer;
  }
  default:
    return 2 * (int64_t)channel + sends;
  }
}

/* What RANK runs will have ended at END. */
static void
plan_end (Engine *engine, int rank, double end) {
  Rank *state = &engine->ranks[rank];
  engine->end[state->next] = end;
  if (pw__sim_is_pair (engine->layout, rank, state->next))
    engine->end[state->next + 1] = end;
  pw__sim_heap_push (&engine->heap,
                     pw__sim_event (end, PW_SIM_EVENT_COMPUTE, rank, state->version));
}

/* One more or one less transfer from or to RANK is under way. */
static void
count_transfer (Engine *engine, int rank, int change) {
  Rank *state = &engine->ranks[rank];
  gboolean was_slow = state->n_transfers > 0;
  state->n_transfers += change;
  gboolean is_slow = state->n_transfers > 0;
  if (was_slow == is_slow || !state->is_running)
    return;
  state->left -= (engine->now - state->updated) / (was_slow ? engine->slowdown : 1);
  state->left = MAX (state->left, 0);
  state->updated = engine->now;
  state->version++;
  plan_end (engine, rank, engine->now + state->left * (is_slow ? engine->slowdown : 1));
}

/* The transfer of SEND begins, or has ended. */
static void
pay_for (Engine *engine, int channel, int32_t send, gboolean begins) {
  gboolean is_counted = (engine->cleared[send] & COUNTED) != 0;
  if (engine->slowdown <= 1 || is_counted == begins)
    return;
  engine->cleared[send] ^= COUNTED;
  count_transfer (engine, engine->layout->sender[channel], begins ? 1 : -1);
  count_transfer (engine, engine->layout->receiver[channel], begins ? 1 : -1);
}

static void
begin_transfer (Engine *engine, int channel, int32_t send) {
  if (!pw__sim_links_begin (engine->links, channel, send, engine->now)) {
    pay_for (engine, channel, send, TRUE);
    return;
  }
  pw__sim_heap_push (&engine->heap,
                     pw__sim_event (engine->end[send], PW_SIM_EVENT_TRANSFER, send, channel));
  if (engine->slowdown > 1 && engine->end[send] > engine->start[send])
    pw__sim_heap_push (&engine->heap,
                       pw__sim_event (engine->start[send], PW_SIM_EVENT_BEGIN, send, channel));
}

static void
clear (Engine *engine, int32_t send, int channel, uint8_t what) {
  if (engine->cleared[send] & what)
    return;
  engine->cleared[send] |= what;
  if (engine->cleared[send] != CLEARED)
    return;
  if (pw__sim_links_is_shared (engine->links, channel))
    pw__sim_heap_push (&engine->heap,
                       pw__sim_event (engine->now, PW_SIM_EVENT_READY, send, channel));
  else
    begin_transfer (engine, channel, send);
}

/* The SEND or RECV at ID is at its queue's head, or its program has come to it. */
static void
reach_head (Engine *engine, int rank, int32_t id) {
  PwAction message = action_at (engine, rank, id);
  int channel = pw__sim_channel (engine->layout, message);
  int32_t send = engine->index->send[pw__sim_slot (engine->layout, channel, message)];
  if (send >= 0)
    clear (engine, send, channel, send == id ? AT_SENDERS_HEAD : AT_RECEIVERS_HEAD);
}

/* Drops finished entries; what comes to the head may start. */
static void
advance_queue (Engine *engine, int rank, int64_t queue) {
  int64_t head = engine->queue_head[queue], stop = engine->queue_start[queue + 1];
  while (head < stop && engine->n_open[engine->entry[engine->items[head]]] == 0)
    head++;
  engine->queue_head[queue] = head;
  for (int64_t i = head; i < stop; i++) {
    if (engine->entry[engine->items[i]] != engine->entry[engine->items[head]])
      break;
    reach_head (engine, rank, engine->items[i]);
  }
}

static gboolean
has_inputs (const Engine *engine, PwAction action) {
  const PwSimLayout *layout = engine->layout;
  if (!pw__sim_has_port (action))
    return TRUE;
  int port = pw__sim_port (layout, action);
  for (int k = layout->input_start[port]; k < layout->input_start[port + 1]; k++) {
    int channel = layout->inputs[k];
    const PwStageEdge *edge = &layout->edges->edges[channel % layout->n_edges];
    int from = (int)action.stage == edge->consumer ? edge->producer : edge->consumer;
    int from_port = port - (int)action.stage + from;
    int32_t source = layout->sender[channel] == layout->receiver[channel]
                         ? engine->index->producer[pw__sim_slot (layout, from_port, action)]
                         : engine->index->send[pw__sim_slot (layout, channel, action)];
    if (source < 0 || !engine->is_done[source])
      return FALSE;
  }
  return TRUE;
}

/* The rank comes to the collective at the head of its queue if its program has; with the last of
 * the group that starts. */
static void
try_collective (Engine *engine, int rank) {
  Rank *state = &engine->ranks[rank];
  const PwSimCollectives *collectives = engine->collectives;
  if (state->collective == state->last_collective)
    return;
  int group = collectives->group[state->collective];
  int before = engine->n_arrived[group];
  for (int i = state->collective + state->n_arrived;
       i < state->last_collective && collectives->group[i] == group
       && collectives->id[i] <= state->next;
       i++) {
    state->n_arrived++;
    engine->n_arrived[group]++;
  }
  if (engine->n_arrived[group] == before || engine->n_arrived[group] < collectives->size[group])
    return;
  PwAction action = action_at (engine, rank, collectives->id[state->collective]);
  double end = engine->now + pw__sim_duration (&engine->durations, action);
  engine->start[collectives->first[group]] = engine->now;
  engine->end[collectives->first[group]] = end;
  pw__sim_heap_push (&engine->heap, pw__sim_event (end, PW_SIM_EVENT_COLLECTIVE, group, 0));
}

/* Whether the rank has the reduction that ACTION, a U at ID, waits for behind it. */
static gboolean
is_reduced (const Engine *engine, int rank, int64_t id, PwAction update) {
  const PwSimCollectives *collectives = engine->collectives;
  const Rank *state = &engine->ranks[rank];
  for (int i = state->collective; i < state->last_collective && collectives->id[i] < id; i++) {
    PwAction action = action_at (engine, rank, collectives->id[i]);
    if (action.kind == PW_ACTION_REDUCE_GRADIENT && action.stage == update.stage
        && action.direction == update.direction)
      return FALSE;
  }
  return TRUE;
}

static gboolean
try_compute (Engine *engine, int rank, int64_t id) {
  PwAction action = action_at (engine, rank, id);
  gboolean is_pair = pw__sim_is_pair (engine->layout, rank, id);
  if (action.kind == PW_ACTION_UPDATE && !is_reduced (engine, rank, id, action))
    return FALSE;
  if (!has_inputs (engine, action)
      || (is_pair && !has_inputs (engine, action_at (engine, rank, id + 1))))
    return FALSE;
  double duration = is_pair ? pw__sim_pair_duration (&engine->durations, action,
                                                     action_at (engine, rank, id + 1))
                            : pw__sim_duration (&engine->durations, action);
  for (int i = 0; i <= is_pair; i++)
    engine->start[id + i] = engine->now;
  Rank *state = &engine->ranks[rank];
  state->is_running = TRUE;
  state->left = duration;
  state->updated = engine->now;
  plan_end (engine, rank,
            engine->now + (state->n_transfers > 0 ? duration * engine->slowdown : duration));
  return TRUE;
}

/* Runs the rank's program as far as it goes now. */
static void
try_rank (Engine *engine, int rank) {
  const PwSimLayout *layout = engine->layout;
  Rank *state = &engine->ranks[rank];
  while (!state->is_running && state->next < layout->offset[rank + 1]) {
    int64_t id = state->next;
    if (pw__sim_is_collective (action_at (engine, rank, id))) {
      try_collective (engine, rank);
      if (action_at (engine, rank, id).kind == PW_ACTION_NORM && !engine->is_done[id])
        return;
      state->next++;
      continue;
    }
    if (!pw__sim_is_message (action_at (engine, rank, id))) {
      if (!try_compute (engine, rank, id))
        return;
      continue;
    }
    if (engine->policy->blocks_program) {
      for (int64_t m = id; m < layout->offset[rank + 1] && engine->entry[m] == (int32_t)id; m++)
        reach_head (engine, rank, (int32_t)m);
      if (engine->n_open[id] > 0)
        return;
    }
    do
      state->next++;
    while (state->next < layout->offset[rank + 1] && engine->entry[state->next] == (int32_t)id);
  }
}

static void
end_compute (Engine *engine, int rank) {
  const PwSimLayout *layout = engine->layout;
  Rank *state = &engine->ranks[rank];
  int width = pw__sim_is_pair (layout, rank, state->next) ? 2 : 1;
  for (int i = 0; i < width; i++) {
    PwAction action = action_at (engine, rank, state->next + i);
    engine->is_done[state->next + i] = TRUE;
    if (!pw__sim_has_port (action))
      continue;
    int port = pw__sim_port (layout, action);
    for (int k = layout->output_start[port]; k < layout->output_start[port + 1]; k++) {
      int channel = layout->outputs[k];
      int32_t send = engine->index->send[pw__sim_slot (layout, channel, action)];
      if (send >= 0)
        clear (engine, send, channel, PRODUCED);
    }
  }
  state->is_running = FALSE;
  state->version++;
  state->next += width;
  try_rank (engine, rank);
}

static void
end_collective (Engine *engine, int group) {
  const PwSimLayout *layout = engine->layout;
  const PwSimCollectives *collectives = engine->collectives;
  int32_t first = collectives->first[group];
  for (int rank = 0; rank < layout->ranks; rank++) {
    Rank *state = &engine->ranks[rank];
    if (state->n_arrived == 0 || collectives->group[state->collective] != group)
      continue;
    for (; state->n_arrived > 0; state->n_arrived--) {
      int32_t id = collectives->id[state->collective++];
      engine->start[id] = engine->start[first];
      engine->end[id] = engine->end[first];
      engine->is_done[id] = TRUE;
    }
    try_collective (engine, rank);
    try_rank (engine, rank);
  }
}

/* One end of a transfer is through; with its group's last member the queues move on. */
static void
end_half (Engine *engine, int rank, int32_t id) {
  int32_t entry = engine->entry[id];
  if (--engine->n_open[entry] > 0 || engine->policy->queue == PW_QUEUE_NONE)
    return;
  for (int64_t m = entry; m < engine->layout->offset[rank + 1] && engine->entry[m] == entry; m++)
    advance_queue (engine, rank, queue_of (engine, rank, action_at (engine, rank, m)));
}

static void
end_transfer (Engine *engine, int channel, int32_t send) {
  const PwSimLayout *layout = engine->layout;
  int sender = layout->sender[channel];
  PwAction message = action_at (engine, sender, send);
  int32_t recv = engine->index->recv[pw__sim_slot (layout, channel, message)];
  engine->is_done[send] = TRUE;
  pay_for (engine, channel, send, FALSE);
  end_half (engine, sender, send);
  if (recv >= 0) {
    engine->start[recv] = engine->start[send];
    engine->end[recv] = engine->end[send];
    end_half (engine, layout->receiver[channel], recv);
  }
  if (engine->policy->blocks_program)
    try_rank (engine, sender);
  try_rank (engine, layout->receiver[channel]);
}

/* Groups, and for policies with queues each queue's messages in list order. */
static void
make_queues (Engine *engine) {
  const PwSimLayout *layout = engine->layout;
  gboolean has_queues = engine->policy->queue != PW_QUEUE_NONE;
  for (int rank = 0; rank < layout->ranks; rank++)
    for (int64_t id = layout->offset[rank]; id < layout->offset[rank + 1]; id++) {
      PwAction action = action_at (engine, rank, id);
      engine->entry[id] = -1;
      if (!pw__sim_is_message (action))
        continue;
      gboolean joins = id > layout->offset[rank] && engine->entry[id - 1] >= 0
                       && action_at (engine, rank, id - 1).grouped;
      engine->entry[id] = joins ? engine->entry[id - 1] : (int32_t)id;
      engine->n_open[engine->entry[id]]++;
      if (has_queues)
        engine->queue_start[queue_of (engine, rank, action) + 1]++;
    }
  if (!has_queues)
    return;
  for (int64_t queue = 0; queue < engine->n_queues; queue++) {
    engine->queue_start[queue + 1] += engine->queue_start[queue];
    engine->queue_head[queue] = engine->queue_start[queue];
  }
  for (int rank = 0; rank < layout->ranks; rank++)
    for (int64_t id = layout->offset[rank]; id < layout->offset[rank + 1]; id++)
      if (engine->entry[id] >= 0) {
        int64_t queue = queue_of (engine, rank, action_at (engine, rank, id));
        engine->items[engine->queue_head[queue]++] = (int32_t)id;
      }
  for (int64_t queue = 0; queue < engine->n_queues; queue++)
    engine->queue_head[queue] = engine->queue_start[queue];
}

static void
engine_init (Engine *engine, const PwSimLayout *layout, const PwSimIndex *index,
             PwSimCollectives *collectives, const PwStageCosts *costs, PwSimResult *result) {
  gsize n = (gsize)layout->n_actions + 1;
  int64_t ranks = layout->ranks;
  *engine = (Engine){ .layout = layout,
                      .policy = &pw_policies[layout->schedule->policy],
                      .index = index,
                      .start = result->start,
                      .end = result->end,
                      .is_done = g_new0 (uint8_t, (gsize)n),
                      .cleared = g_new0 (uint8_t, (gsize)n),
                      .entry = g_new (int32_t, (gsize)n),
                      .n_open = g_new0 (int32_t, (gsize)n),
                      .items = g_new (int32_t, (gsize)n),
                      .ranks = g_new0 (Rank, (gsize)ranks),
                      .collectives = collectives,
                      .n_arrived = g_new0 (int, (gsize)collectives->n_groups + 1) };
  if (engine->policy->queue != PW_QUEUE_NONE)
    engine->n_queues = engine->policy->queue == PW_QUEUE_RANK   ? ranks
                       : engine->policy->queue == PW_QUEUE_PEER ? ranks * ranks
                                                                : 2 * layout->n_channels;
  engine->queue_start = g_new0 (int64_t, (gsize)(engine->n_queues + 1));
  engine->queue_head = g_new0 (int64_t, (gsize)(engine->n_queues + 1));
  make_queues (engine);
  pw__sim_durations_init (&engine->durations, layout, costs);
  if (costs->topology != NULL)
    engine->slowdown = costs->topology->compute_slowdown;
  engine->links = pw__sim_links_new (layout, costs, &engine->durations, &engine->heap,
                                     engine->start, engine->end);
  for (int rank = 0, i = 0; rank < layout->ranks; rank++) {
    engine->ranks[rank].next = layout->offset[rank];
    engine->ranks[rank].collective = i;
    while (i < collectives->n && collectives->id[i] < layout->offset[rank + 1])
      i++;
    engine->ranks[rank].last_collective = i;
  }
}

static void
engine_clear (Engine *engine) {
  pw__sim_durations_clear (&engine->durations);
  pw__sim_heap_clear (&engine->heap);
  pw__sim_links_free (engine->links);
  g_free (engine->is_done);
  g_free (engine->cleared);
  g_free (engine->entry);
  g_free (engine->n_open);
  g_free (engine->items);
  g_free (engine->ranks);
  g_free (engine->queue_start);
  g_free (engine->queue_head);
  g_free (engine->n_arrived);
}

/* All queues show their first entries; without queues all messages are at a head, unless programs
 * have to come to them. */
static void
open_queues (Engine *engine) {
  const PwSimLayout *layout = engine->layout;
  if (engine->policy->blocks_program)
    return;
  for (int rank = 0; rank < layout->ranks; rank++)
    for (int64_t id = layout->offset[rank]; id < layout->offset[rank + 1]; id++) {
      if (engine->entry[id] < 0)
        continue;
      PwAction action = action_at (engine, rank, id);
      if (engine->policy->queue != PW_QUEUE_NONE)
        advance_queue (engine, rank, queue_of (engine, rank, action));
      else if (pw__sim_is_send (action))
        engine->cleared[id] |= AT_SENDERS_HEAD | AT_RECEIVERS_HEAD;
    }
}

/* FALSE: somebody waits for ever. */
static gboolean
run (Engine *engine) {
  const PwSimLayout *layout = engine->layout;
  open_queues (engine);
  for (int rank = 0; rank < layout->ranks; rank++)
    try_rank (engine, rank);
  PwSimEvent event;
  while (pw__sim_heap_pop (&engine->heap, &event)) {
    engine->now = event.time;
    int32_t what = pw__sim_event_what (&event);
    switch (pw__sim_event_kind (&event)) {
    case PW_SIM_EVENT_COMPUTE:
      if (event.more == engine->ranks[what].version)
        end_compute (engine, what);
      break;
    case PW_SIM_EVENT_COLLECTIVE:
      end_collective (engine, what);
      break;
    case PW_SIM_EVENT_BEGIN:
      pay_for (engine, (int)event.more, what, TRUE);
      break;
    case PW_SIM_EVENT_TRANSFER:
      end_transfer (engine, (int)event.more, what);
      break;
    case PW_SIM_EVENT_READY:
      begin_transfer (engine, (int)event.more, what);
      break;
    default:
      pw__sim_links_event (engine->links, &event);
    }
  }
  for (int rank = 0; rank < layout->ranks; rank++) {
    if (engine->ranks[rank].next < layout->offset[rank + 1]
        || engine->ranks[rank].collective < engine->ranks[rank].last_collective)
      return FALSE;
    for (int64_t id = layout->offset[rank]; id < layout->offset[rank + 1]; id++)
      if (engine->entry[id] >= 0 && engine->n_open[engine->entry[id]] > 0)
        return FALSE;
  }
  return TRUE;
}

PwSimResult *
pw__sim_run_events (const PwSimInput *input, const PwSimLayout *layout, GError **error) {
  g_autoptr (PwSimIndex) index = pw__sim_index_new (layout, error);
  g_autoptr (PwSimCollectives) collectives
      = index != NULL ? pw__sim_collectives_new (layout, error) : NULL;
  if (collectives == NULL)
    return NULL;
  g_autoptr (PwSimResult) result = pw__sim_result_new (layout);
  Engine engine;
  engine_init (&engine, layout, index, collectives, input->costs, result);
  gboolean done = run (&engine);
  engine_clear (&engine);
  if (!done) {
    g_autoptr (PwSimGraph) graph = pw__sim_graph_new (layout, index, FALSE, error);
    g_assert (graph == NULL);
    return NULL;
  }
  PwSimSummary summary;
  pw__sim_summary_init (&summary, input, layout, result);
  pw__sim_summary_read_times (&summary, index);
  pw__sim_summary_finish (&summary);
  pw__sim_memory_add (input, layout, index, result);
  return g_steal_pointer (&result);
}
