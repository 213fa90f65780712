#include "sim/engine_private.h"
#include "sim/async_private.h"
#include "sim/graph_private.h"
#include "sim/links_private.h"
#include "sim/memory_private.h"
#include "sim/summary_private.h"

/* What a transfer still waits for is what is missing of the first three; ranks pay for it. */
enum { PRODUCED = 1, AT_SENDERS_HEAD = 2, AT_RECEIVERS_HEAD = 4, CLEARED = 7, COUNTED = 8 };

/* Of a rank: what goes on beside its compute. */
typedef struct {
  int head, stop; /* places of the one that is next or under way, and behind the last */
  int n_arrived;  /* of those at the head that are one group, a rank's both replicas */
} AsyncQueue;

typedef struct {
  int64_t next; /* id of the action it will do next */
  gboolean is_running;
  /* Where compute pays for communication: */
  int n_transfers;      /* from or to it, under way */
  double left, updated; /* of what runs: its time alone, as of `updated` */
  int64_t version;      /* of its end; events of an older one are void */
  AsyncQueue async[PW_SIM_ASYNC_QUEUES];
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
  PwSimAsync *async;
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

/* Its stash is on the host. */
static gboolean
is_offloaded (const Engine *engine, PwAction reload) {
  return engine->is_done[pw__sim_async_offload (engine->async, engine->layout, reload)];
}

/* The rank comes to what is at the head of its queue if its program has; with the last of the group
 * that starts. */
static void
try_async (Engine *engine, int rank, int queue) {
  const PwSimAsync *async = engine->async;
  AsyncQueue *state = &engine->ranks[rank].async[queue];
  if (state->head == state->stop)
    return;
  int group = async->group[state->head], before = engine->n_arrived[group];
  PwAction action = action_at (engine, rank, async->id[state->head]);
  if (action.kind == PW_ACTION_RELOAD && !is_offloaded (engine, action))
    return;
  for (int i = state->head + state->n_arrived;
       i < state->stop && async->group[i] == group && async->id[i] <= engine->ranks[rank].next;
       i++) {
    state->n_arrived++;
    engine->n_arrived[group]++;
  }
  if (engine->n_arrived[group] == before || engine->n_arrived[group] < async->size[group])
    return;
  double end = engine->now + pw__sim_duration (&engine->durations, action);
  engine->start[async->first[group]] = engine->now;
  engine->end[async->first[group]] = end;
  pw__sim_heap_push (&engine->heap, pw__sim_event (end, PW_SIM_EVENT_ASYNC, group, queue));
}

/* Whether ACTION, at ID, has what it waits for beside other computes: U the reduction behind which
 * it stands, what reads a stash its reload. */
static gboolean
has_async (const Engine *engine, int rank, int64_t id, PwAction action) {
  const PwSimAsync *async = engine->async;
  const AsyncQueue *exchanges = &engine->ranks[rank].async[PW_SIM_ASYNC_EXCHANGE];
  for (int i = exchanges->head;
       action.kind == PW_ACTION_UPDATE && i < exchanges->stop && async->id[i] < id; i++) {
    PwAction exchange = action_at (engine, rank, async->id[i]);
    if (exchange.kind == PW_ACTION_REDUCE_GRADIENT && exchange.stage == action.stage
        && exchange.direction == action.direction)
      return FALSE;
  }
  if (async->reloads == NULL || !pw__sim_reads_stash (action))
    return TRUE;
  int32_t reload = pw__sim_async_reload (async, engine->layout, action);
  return reload < 0 || engine->is_done[reload];
}

static gboolean
try_compute (Engine *engine, int rank, int64_t id) {
  PwAction action = action_at (engine, rank, id);
  gboolean is_pair = pw__sim_is_pair (engine->layout, rank, id);
  for (int i = 0; i <= is_pair; i++)
    if (!has_inputs (engine, action_at (engine, rank, id + i))
        || !has_async (engine, rank, id + i, action_at (engine, rank, id + i)))
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
    if (pw__sim_is_async (action_at (engine, rank, id))) {
      try_async (engine, rank, (int)pw__sim_async_queue (action_at (engine, rank, id)));
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
end_async (Engine *engine, int group, int queue) {
  const PwSimLayout *layout = engine->layout;
  const PwSimAsync *async = engine->async;
  int32_t first = async->first[group];
  int one = async->size[group] == 1 ? pw__sim_rank_of (layout, first) : -1;
  for (int rank = MAX (one, 0); rank < (one < 0 ? layout->ranks : one + 1); rank++) {
    AsyncQueue *state = &engine->ranks[rank].async[queue];
    if (state->n_arrived == 0 || async->group[state->head] != group)
      continue;
    for (; state->n_arrived > 0; state->n_arrived--) {
      int32_t id = async->id[state->head++];
      engine->start[id] = engine->start[first];
      engine->end[id] = engine->end[first];
      engine->is_done[id] = TRUE;
    }
    for (int other = 0; other < PW_SIM_ASYNC_QUEUES; other++)
      try_async (engine, rank, other);
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
engine_init (Engine *engine, const PwSimLayout *layout, const PwSimIndex *index, PwSimAsync *async,
             const PwStageCosts *costs, PwSimResult *result) {
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
                      .async = async,
                      .n_arrived = g_new0 (int, (gsize)async->n_groups + 1) };
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
  for (int rank = 0; rank < layout->ranks; rank++) {
    engine->ranks[rank].next = layout->offset[rank];
    for (int queue = 0; queue < PW_SIM_ASYNC_QUEUES; queue++) {
      const int *start = &async->start[rank * PW_SIM_ASYNC_QUEUES + queue];
      engine->ranks[rank].async[queue] = (AsyncQueue){ .head = start[0], .stop = start[1] };
    }
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
    case PW_SIM_EVENT_ASYNC:
      end_async (engine, what, (int)event.more);
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
    if (engine->ranks[rank].next < layout->offset[rank + 1])
      return FALSE;
    for (int queue = 0; queue < PW_SIM_ASYNC_QUEUES; queue++)
      if (engine->ranks[rank].async[queue].head < engine->ranks[rank].async[queue].stop)
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
  g_autoptr (PwSimAsync) async = index != NULL ? pw__sim_async_new (layout, error) : NULL;
  if (async == NULL)
    return NULL;
  g_autoptr (PwSimResult) result = pw__sim_result_new (layout);
  Engine engine;
  engine_init (&engine, layout, index, async, input->costs, result);
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
