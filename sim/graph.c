#include "sim/graph_private.h"
#include "sim/async_private.h"
#include "sim/order_private.h"

/* While the graph is built a node is known by the id of its first action, a join by numbers from
 * n_actions on; NONE is the origin. */
#define NONE -1
#define NO_NODE -2 /* in `a`: this id is no node of its own */

typedef struct Build Build;

/* The predecessors of one node, each once; more than two are joined in pairs. */
typedef struct {
  Build *build;
  int32_t first, second; /* NONE: free */
} Waits;

struct Build {
  const PwSimLayout *layout;
  const PwSimIndex *index;
  gboolean instant;
  int32_t n, capacity; /* ids and joins so far */
  int32_t *a, *b;
  int32_t *self;   /* [n_actions] the node of an action */
  int32_t *before; /* [n_actions] of a message: what its queue must have finished at this end */
  int32_t *tail;   /* of each queue of the rank at hand */
  int n_queues;
  PwSimAsync *async;
  Waits *group_waits; /* [async->n_groups] */
  int32_t *reduced;   /* [directions * stages] the last REDUCE_GRAD of the rank at hand */
};

static void
waits_init (Waits *waits, Build *build) {
  *waits = (Waits){ .build = build, .first = NONE, .second = NONE };
}

static int32_t
add_join (Build *build, int32_t a, int32_t b) {
  if (build->n == build->capacity) {
    build->capacity += build->capacity / 4 + 1024;
    build->a = g_renew (int32_t, build->a, (gsize)build->capacity);
    build->b = g_renew (int32_t, build->b, (gsize)build->capacity);
  }
  build->a[build->n] = a;
  build->b[build->n] = b;
  return build->n++;
}

static void
wait_for (Waits *waits, int32_t node) {
  if (node == NONE || node == waits->first || node == waits->second)
    return;
  if (waits->first == NONE)
    waits->first = node;
  else if (waits->second == NONE)
    waits->second = node;
  else
    waits->second = add_join (waits->build, waits->second, node);
}

static void
set_waits (Build *build, int32_t node, const Waits *waits) {
  build->a[node] = waits->first;
  build->b[node] = waits->second;
}

static gboolean
fail_at (const PwSimLayout *layout, int rank, int64_t id, const char *what, GError **error) {
  char text[PW_ACTION_TEXT_MAX];
  g_set_error (error, PW_SIM_ERROR, PW_SIM_ERROR_SCHEDULE,
               "rank %d, action %" G_GINT64_FORMAT ": %s %s", rank, id - layout->offset[rank],
               pw_action_format (pw__sim_action (layout, rank, id), text), what);
  return FALSE;
}

/* All that meet are one node. */
static void
name_async (Build *build) {
  const PwSimAsync *async = build->async;
  for (int i = 0; i < async->n; i++) {
    int32_t first = async->first[async->group[i]];
    build->self[async->id[i]] = first;
    if (first != async->id[i])
      build->a[async->id[i]] = NO_NODE;
  }
}

/* Computes are their own nodes, a pair's second action is its first's. */
static void
name_computes (Build *build) {
  const PwSimLayout *layout = build->layout;
  for (int rank = 0; rank < layout->ranks; rank++)
    for (int64_t id = layout->offset[rank]; id < layout->offset[rank + 1]; id++) {
      PwAction action = pw__sim_action (layout, rank, id);
      build->self[id] = pw__sim_is_message (action) ? NONE : (int32_t)id;
      if (!pw__sim_is_message (action) && pw__sim_is_pair (layout, rank, id)) {
        build->self[id + 1] = (int32_t)id;
        build->a[++id] = NO_NODE;
      }
    }
}

/* A message is its SEND's node; an instant one is its producer's. */
static gboolean
name_message (Build *build, int rank, int64_t id, GError **error) {
  const PwSimLayout *layout = build->layout;
  const PwSimIndex *index = build->index;
  PwAction action = pw__sim_action (layout, rank, id);
  int channel = pw__sim_channel (layout, action);
  int64_t slot = pw__sim_slot (layout, channel, action);
  gboolean is_send = pw__sim_is_send (action);
  int32_t send = index->send[slot];
  build->a[id] = NO_NODE;
  if (send < 0)
    return fail_at (layout, rank, id, "has no send", error);
  if (index->recv[slot] < 0 && pw_policies[layout->schedule->policy].needs_receiver)
    return fail_at (layout, rank, id, "has no receive", error);
  if (is_send && !build->instant) {
    build->self[id] = (int32_t)id;
    build->a[id] = NONE;
    return TRUE;
  }
  build->self[id] = send;
  if (!build->instant)
    return TRUE;
  PwAction sent = pw__sim_action (layout, layout->sender[channel], send);
  int port = pw__sim_message_port (layout, sent);
  int32_t producer = index->producer[pw__sim_slot (layout, port, sent)];
  if (producer < 0)
    return fail_at (layout, layout->sender[channel], send, "sends what nobody made", error);
  build->self[id] = build->self[producer];
  return TRUE;
}

static gboolean
name_messages (Build *build, GError **error) {
  const PwSimLayout *layout = build->layout;
  for (int rank = 0; rank < layout->ranks; rank++)
    for (int64_t id = layout->offset[rank]; id < layout->offset[rank + 1]; id++)
      if (pw__sim_is_message (pw__sim_action (layout, rank, id))
          && !name_message (build, rank, id, error))
        return FALSE;
  return TRUE;
}

static gboolean
wait_for_inputs (Build *build, Waits *waits, int rank, int64_t id, GError **error) {
  const PwSimLayout *layout = build->layout;
  PwAction action = pw__sim_action (layout, rank, id);
  if (!pw__sim_has_port (action))
    return TRUE;
  int port = pw__sim_port (layout, action);
  for (int k = layout->input_start[port]; k < layout->input_start[port + 1]; k++) {
    int channel = layout->inputs[k];
    gboolean is_local = layout->sender[channel] == layout->receiver[channel];
    const PwStageEdge *edge = &layout->edges->edges[channel % layout->n_edges];
    int from = (int)action.stage == edge->consumer ? edge->producer : edge->consumer;
    int from_port = port - (int)action.stage + from;
    int32_t source = is_local ? build->index->producer[pw__sim_slot (layout, from_port, action)]
                              : build->index->send[pw__sim_slot (layout, channel, action)];
    if (source < 0)
      return fail_at (layout, rank, id, "waits for what nobody sends", error);
    wait_for (waits, build->self[source]);
  }
  return TRUE;
}

static int
queue_of (const Build *build, int rank, PwAction message) {
  const PwSimLayout *layout = build->layout;
  int channel = pw__sim_channel (layout, message);
  switch (pw_policies[layout->schedule->policy].queue) {
  case PW_QUEUE_RANK:
    return 0;
  case PW_QUEUE_PEER:
    return layout->sender[channel] == rank ? layout->receiver[channel] : layout->sender[channel];
  default:
    return channel;
  }
}

/* One queue entry: the message at ID and those chained to it. Each member waits for the entries
 * before it in its own queue, later ones for all members. Returns the id behind the entry. */
static int64_t
queue_entry (Build *build, int rank, int64_t id, int32_t *last) {
  const PwSimLayout *layout = build->layout;
  const PwPolicyInfo *policy = &pw_policies[layout->schedule->policy];
  int64_t stop = id + 1;
  while (pw__sim_action (layout, rank, stop - 1).grouped && stop < layout->offset[rank + 1]
         && pw__sim_is_message (pw__sim_action (layout, rank, stop)))
    stop++;
  if (build->instant || (policy->queue == PW_QUEUE_NONE && !policy->blocks_program))
    return stop;
  int32_t done = build->self[id];
  for (int64_t m = id; m < stop; m++) {
    int queue = queue_of (build, rank, pw__sim_action (layout, rank, m));
    build->before[m] = policy->blocks_program ? *last : build->tail[queue];
    if (build->self[m] != done)
      done = add_join (build, done, build->self[m]);
  }
  if (policy->blocks_program)
    *last = done;
  else
    for (int64_t m = id; m < stop; m++)
      build->tail[queue_of (build, rank, pw__sim_action (layout, rank, m))] = done;
  return stop;
}

/* What is at ID, beside compute, with LAST of its program before it and *QUEUE of its queue; TRUE
 * if the program waits for it. */
static gboolean
connect_async (Build *build, int rank, int64_t id, int32_t last, int32_t queues[]) {
  const PwSimLayout *layout = build->layout;
  PwAction action = pw__sim_action (layout, rank, id);
  int i = pw__sim_async_find (build->async, rank, action, id);
  Waits *waits = &build->group_waits[build->async->group[i]];
  int32_t *queue = &queues[pw__sim_async_queue (action)];
  wait_for (waits, last);
  if (*queue != build->self[id]) /* the same exchange: a rank that has both replicas */
    wait_for (waits, *queue);
  *queue = build->self[id];
  if (action.kind == PW_ACTION_RELOAD)
    wait_for (waits, build->self[pw__sim_async_offload (build->async, layout, action)]);
  if (action.kind == PW_ACTION_REDUCE_GRADIENT)
    build->reduced[(int)action.direction * layout->stages + (int)action.stage] = *queue;
  return action.kind == PW_ACTION_NORM;
}

static void
wait_for_async (const Build *build, Waits *waits, PwAction action) {
  if (action.kind == PW_ACTION_UPDATE)
    wait_for (waits,
              build->reduced[(int)action.direction * build->layout->stages + (int)action.stage]);
  if (build->async->reloads == NULL || !pw__sim_reads_stash (action))
    return;
  int32_t reload = pw__sim_async_reload (build->async, build->layout, action);
  if (reload >= 0)
    wait_for (waits, build->self[reload]);
}

static gboolean
connect_rank (Build *build, int rank, GError **error) {
  const PwSimLayout *layout = build->layout;
  int32_t last = NONE; /* what the program has passed */
  int32_t queues[PW_SIM_ASYNC_QUEUES];
  for (int i = 0; i < PW_SIM_ASYNC_QUEUES; i++)
    queues[i] = NONE;
  for (int i = 0; i < layout->schedule->placement->directions * layout->stages; i++)
    build->reduced[i] = NONE;
  for (int queue = 0; queue < build->n_queues; queue++)
    build->tail[queue] = NONE;
  for (int64_t id = layout->offset[rank]; id < layout->offset[rank + 1];) {
    if (pw__sim_is_message (pw__sim_action (layout, rank, id))) {
      id = queue_entry (build, rank, id, &last);
      continue;
    }
    if (pw__sim_is_async (pw__sim_action (layout, rank, id))) {
      if (connect_async (build, rank, id, last, queues))
        last = build->self[id];
      id++;
      continue;
    }
    int width = pw__sim_is_pair (layout, rank, id) ? 2 : 1;
    Waits waits;
    waits_init (&waits, build);
    wait_for (&waits, last);
    for (int i = 0; i < width; i++) {
      wait_for_async (build, &waits, pw__sim_action (layout, rank, id + i));
      if (!wait_for_inputs (build, &waits, rank, id + i, error))
        return FALSE;
    }
    set_waits (build, (int32_t)id, &waits);
    last = (int32_t)id;
    id += width;
  }
  return TRUE;
}

static gboolean
connect_sends (Build *build, int rank, GError **error) {
  const PwSimLayout *layout = build->layout;
  const PwSimIndex *index = build->index;
  for (int64_t id = layout->offset[rank]; id < layout->offset[rank + 1]; id++) {
    PwAction action = pw__sim_action (layout, rank, id);
    if (!pw__sim_is_send (action))
      continue;
    int port = pw__sim_message_port (layout, action);
    int32_t producer = index->producer[pw__sim_slot (layout, port, action)];
    int32_t recv = index->recv[pw__sim_slot (layout, pw__sim_channel (layout, action), action)];
    if (producer < 0)
      return fail_at (layout, rank, id, "sends what nobody made", error);
    Waits waits = { .build = build, .first = build->self[producer], .second = NONE };
    wait_for (&waits, build->before[id]);
    if (recv >= 0)
      wait_for (&waits, build->before[recv]);
    set_waits (build, (int32_t)id, &waits);
  }
  return TRUE;
}

static void
build_init (Build *build, const PwSimLayout *layout, const PwSimIndex *index, gboolean instant) {
  int32_t n = (int32_t)layout->n_actions;
  *build = (Build){ .layout = layout,
                    .index = index,
                    .instant = instant,
                    .n = n,
                    .capacity = n + 1,
                    .n_queues = MAX (MAX (layout->n_channels, layout->ranks), 1) };
  build->a = g_new (int32_t, (gsize)build->capacity);
  build->b = g_new (int32_t, (gsize)build->capacity);
  build->self = g_new (int32_t, (gsize)(n + 1));
  build->before = g_new (int32_t, (gsize)(n + 1));
  build->tail = g_new (int32_t, (gsize)build->n_queues);
  build->reduced
      = g_new (int32_t, (gsize)(layout->schedule->placement->directions * layout->stages));
  for (int32_t i = 0; i <= n; i++)
    build->a[i] = build->b[i] = build->before[i] = NONE;
}

static void
build_clear (Build *build) {
  g_free (build->a);
  g_free (build->b);
  g_free (build->self);
  g_free (build->before);
  g_free (build->tail);
  g_free (build->reduced);
  g_free (build->group_waits);
  pw__sim_async_free (build->async);
}

static gboolean
find_async (Build *build, GError **error) {
  build->async = pw__sim_async_new (build->layout, error);
  if (build->async == NULL)
    return FALSE;
  build->group_waits = g_new (Waits, (gsize)build->async->n_groups + 1);
  for (int g = 0; g < build->async->n_groups; g++)
    waits_init (&build->group_waits[g], build);
  name_async (build);
  return TRUE;
}

static void
connect_groups (Build *build) {
  for (int g = 0; g < build->async->n_groups; g++)
    set_waits (build, build->async->first[g], &build->group_waits[g]);
}

/* Numbers the nodes as ORDER has them and moves everything over. */
static PwSimGraph *
finish_graph (const Build *build, const int32_t *place, int32_t n_nodes) {
  const PwSimLayout *layout = build->layout;
  PwSimGraph *graph = g_new0 (PwSimGraph, 1);
  graph->is_instant = build->instant;
  graph->n_nodes = n_nodes;
  graph->a = g_new0 (int32_t, (gsize)n_nodes);
  graph->b = g_new0 (int32_t, (gsize)n_nodes);
  graph->action = g_new (int32_t, (gsize)n_nodes);
  graph->node = g_new (int32_t, (gsize)(layout->n_actions + 1));
  g_autofree uint8_t *is_awaited = g_new0 (uint8_t, (gsize)n_nodes);
  graph->action[0] = -1;
  for (int32_t i = 0; i < build->n; i++) {
    if (build->a[i] == NO_NODE)
      continue;
    int32_t node = place[i];
    graph->action[node] = i < layout->n_actions ? i : -1;
    graph->a[node] = build->a[i] == NONE ? 0 : place[build->a[i]];
    graph->b[node] = build->b[i] == NONE ? 0 : place[build->b[i]];
    is_awaited[graph->a[node]] = is_awaited[graph->b[node]] = 1;
  }
  for (int64_t id = 0; id < layout->n_actions; id++)
    graph->node[id] = place[build->self[id]];
  for (int32_t node = 0; node < n_nodes; node++)
    graph->n_last += !is_awaited[node];
  graph->last = g_new (int32_t, (gsize)(graph->n_last + 1));
  graph->n_last = 0;
  for (int32_t node = 0; node < n_nodes; node++)
    if (!is_awaited[node])
      graph->last[graph->n_last++] = node;
  return graph;
}

static void
name_action (const PwSimLayout *layout, int64_t id, GString *text) {
  char name[PW_ACTION_TEXT_MAX];
  int rank = pw__sim_rank_of (layout, id);
  g_string_append_printf (text, "%s (rank %d, action %" G_GINT64_FORMAT ")",
                          pw_action_format (pw__sim_action (layout, rank, id), name), rank,
                          id - layout->offset[rank]);
}

/* Each action of the cycle, a message by both its ends, and the first once more. */
static void
name_cycle (const Build *build, const GArray *cycle, GError **error) {
  const PwSimLayout *layout = build->layout;
  g_autoptr (GString) text = g_string_new (NULL);
  guint first = 0;
  while (g_array_index (cycle, int32_t, first) >= layout->n_actions)
    first++;
  for (guint i = 0; i <= cycle->len; i++) {
    int32_t id = g_array_index (cycle, int32_t, (first + i) % cycle->len);
    if (id >= layout->n_actions)
      continue;
    g_string_append (text, i == 0 ? "" : " waits for ");
    name_action (layout, id, text);
    PwAction action = pw__sim_action (layout, pw__sim_rank_of (layout, id), id);
    if (!pw__sim_is_message (action))
      continue;
    int64_t slot = pw__sim_slot (layout, pw__sim_channel (layout, action), action);
    if (build->index->recv[slot] >= 0) {
      g_string_append (text, " to ");
      name_action (layout, build->index->recv[slot], text);
    }
  }
  g_set_error (error, PW_SIM_ERROR, PW_SIM_ERROR_DEADLOCK, "deadlock under %s: %s",
               pw_policies[layout->schedule->policy].name, text->str);
}

PwSimGraph *
pw__sim_graph_new (const PwSimLayout *layout, const PwSimIndex *index, gboolean instant,
                   GError **error) {
  Build build;
  build_init (&build, layout, index, instant);
  name_computes (&build);
  gboolean fine = find_async (&build, error) && name_messages (&build, error);
  for (int rank = 0; fine && rank < layout->ranks; rank++)
    fine = connect_rank (&build, rank, error);
  for (int rank = 0; fine && !instant && rank < layout->ranks; rank++)
    fine = connect_sends (&build, rank, error);
  PwSimGraph *graph = NULL;
  if (fine) {
    connect_groups (&build);
    g_autoptr (GArray) cycle = g_array_new (FALSE, FALSE, sizeof (int32_t));
    g_autofree int32_t *place = g_new (int32_t, (gsize)(build.n + 1));
    int32_t n_nodes = pw__sim_order (build.n, build.a, build.b, place, cycle);
    if (n_nodes < 0)
      name_cycle (&build, cycle, error);
    else
      graph = finish_graph (&build, place, n_nodes);
  }
  build_clear (&build);
  return graph;
}

void
pw__sim_graph_free (PwSimGraph *graph) {
  if (graph == NULL)
    return;
  g_free (graph->a);
  g_free (graph->b);
  g_free (graph->action);
  g_free (graph->node);
  g_free (graph->last);
  g_free (graph);
}

gboolean
pw__sim_graph_allows_instant (const PwSimLayout *layout, const PwSimIndex *index) {
  const PwSchedule *schedule = layout->schedule;
  if (schedule->policy == PW_POLICY_BUFFERED)
    return TRUE;
  if (schedule->policy != PW_POLICY_PER_EDGE || schedule->batched)
    return FALSE;
  g_autofree int32_t *last = g_new (int32_t, (gsize)(2 * layout->n_channels + 1));
  for (int i = 0; i < 2 * layout->n_channels; i++)
    last[i] = -1;
  for (int rank = 0; rank < layout->ranks; rank++)
    for (int64_t id = layout->offset[rank]; id < layout->offset[rank + 1]; id++) {
      PwAction action = pw__sim_action (layout, rank, id);
      if (!pw__sim_is_send (action))
        continue;
      int channel = pw__sim_channel (layout, action);
      int port = pw__sim_message_port (layout, action);
      int32_t producer = index->producer[pw__sim_slot (layout, port, action)];
      int32_t recv = index->recv[pw__sim_slot (layout, channel, action)];
      if (action.grouped || producer < last[2 * channel] || recv < last[2 * channel + 1])
        return FALSE;
      last[2 * channel] = producer;
      last[2 * channel + 1] = recv;
    }
  return TRUE;
}
