#include "sim/walk_private.h"
#include "sim/async_private.h"
#include "schedules/block.h"
#include "sim/links_private.h"

#include <string.h>

/* In 1f1b a rank is one round (an F and a B) ahead of its neighbours at most, so visits are short
 * and what counts is the work per action: what a message or a compute must know is one row of a
 * table, and an action is taken apart once. */

/* A SEND's producer stands a few places before it; farther back the walk does not look. */
#define LOOK_BACK 16
#define LINES_AHEAD 2
#define RANKS_AHEAD 3

/* One channel: all that its messages touch but their own times, in one cache line. */
typedef struct {
  int32_t *slot; /* [microbatches] id + 1 of its SEND; 0: empty; -id - 1: empty, of its RECV */
  double transfer, last_end;
  int32_t last_send, last_recv; /* ids of the last message whose ends are both known */
  int sender, receiver;
  gboolean is_shared;            /* its link with other channels: then, where there are queues, */
  int32_t first_open, last_open; /* sent, but not transferred yet, in order; -1: none */
} Channel;

/* Computes of one kind, direction and stage. */
typedef struct {
  double duration;  /* where it does not differ by micro-batch */
  int32_t **inputs; /* slots of the channels it waits for */
  int n_inputs;
  gboolean has_outputs; /* hands over to a stage of its own rank */
  uint64_t first_send;  /* the bits, but for the micro-batch, of what lowering writes behind it; */
  Channel *channel;     /* and its channel, NULL: none */
} Node;

typedef enum { NOT_KNOWN, SEND, RECEIVE, COMPUTE, PAIR } What;

/* How actions of one key are dealt with, and where their rows begin: that of edge 0 in `channels`,
 * or of stage 0 in `nodes`. */
typedef struct {
  What what;
  int first_row;
} Way;

typedef struct {
  const PwAction *next, *stop;
  int64_t id;            /* of `next` */
  const int32_t *awaits; /* the slot that the compute at `next` waits for; NULL: none */
} Cursor;

typedef struct {
  const PwSimLayout *layout;
  const PwSimDurations *durations;
  PwSimSummary *summary;
  gboolean has_queues, has_factor;
  uint32_t stages, edges, microbatches; /* what actions must be below */
  double *start, *end;                  /* the result's, by id */
  int32_t *slots;
  Channel *channels;  /* [n_channels] */
  int32_t **consumed; /* the nodes' inputs, as layout->inputs */
  Node *nodes;        /* [directions][PW_ACTION_N][stages] */
  Way ways[PW_ACTION_KEYS];
  Cursor *cursors;    /* [ranks] */
  uint64_t *runnable; /* a bit per rank that can walk on */
  int n_words;
  int64_t n_sent, n_taken;
  /* Where links are shared. */
  PwSimLinks *links;
  PwSimHeap heap;
  int32_t *next_open; /* by id of a SEND */
} Walk;

gboolean
pw__sim_walk_applies (const PwSimLayout *layout) {
  const PwSchedule *schedule = layout->schedule;
  return !schedule->batched && !pw__sim_async_is_used (layout)
         && (schedule->policy == PW_POLICY_BUFFERED || schedule->policy == PW_POLICY_PER_EDGE);
}

/* ACTION made what SEND carries: they have stage, micro-batch and direction in common. */
static inline gboolean
is_producer (const PwAction *action, const PwAction *send) {
  static const PwAction place = { .stage = 0xffff, .microbatch = 0xffffff, .direction = 1 };
  unsigned makers = send->kind == PW_ACTION_SEND_FORWARD
                        ? 1 << PW_ACTION_FORWARD
                        : 1 << PW_ACTION_BACKWARD | 1 << PW_ACTION_INPUT_GRADIENT;
  return ((pw_action_bits (action) ^ pw_action_bits (send)) & pw_action_bits (&place)) == 0
         && (makers >> action->kind & 1) != 0;
}

/* How many places before the SEND at AT its producer stands, or -1. FIRST is its list's. */
static G_GNUC_NO_INLINE int64_t
look_back (const PwAction *first, const PwAction *at) {
  for (int64_t i = 1; i <= MIN (at - first, LOOK_BACK); i++)
    if (is_producer (at - i, at))
      return i;
  return -1;
}

/* Nearly always it is the action before. */
static inline int64_t
find_producer (const PwAction *first, const PwAction *at) {
  return G_LIKELY (at > first && is_producer (at - 1, at)) ? 1 : look_back (first, at);
}

static inline void
make_runnable (Walk *walk, int rank) {
  walk->runnable[rank / 64] |= (uint64_t)1 << rank % 64;
}

/* The highest runnable rank, no longer marked as such, or -1: what the last ranks make is what the
 * earlier ones wait for, so a round goes through all ranks once. */
static inline int
next_runnable (Walk *walk) {
  for (int word = walk->n_words - 1; word >= 0; word--)
    if (walk->runnable[word] != 0) {
      int bit = 63 - __builtin_clzll (walk->runnable[word]);
      walk->runnable[word] &= ~((uint64_t)1 << bit);
      return word * 64 + bit;
    }
  return -1;
}

/* Of a message at AT; NULL: none of this schedule's. */
static inline Channel *
channel_of (const Walk *walk, const PwAction *at, const Way *way) {
  gboolean exists = at->edge < walk->edges && at->microbatch < walk->microbatches;
  return G_LIKELY (exists) ? &walk->channels[way->first_row + at->edge] : NULL;
}

static inline Node *
node_of (const Walk *walk, const PwAction *at, const Way *way) {
  gboolean exists = at->stage < walk->stages && at->microbatch < walk->microbatches;
  return G_LIKELY (exists) ? &walk->nodes[way->first_row + at->stage] : NULL;
}

/* Both ends of a message are known. Where there are queues, both lists must have a channel's
 * messages in one order: then they are matched in that order. */
static inline gboolean
match (Walk *walk, Channel *channel, int32_t send, int32_t recv, double start, double end) {
  if (walk->has_queues && (send <= channel->last_send || recv <= channel->last_recv))
    return FALSE;
  channel->last_send = send;
  channel->last_recv = recv;
  walk->start[recv] = start;
  walk->end[recv] = end;
  walk->n_taken++;
  return TRUE;
}

/* The transfer of the SEND with this id has START and END. */
static inline gboolean
arrive (Walk *walk, Channel *channel, int32_t *slot, int64_t id, double start, double end) {
  int32_t before = *slot;
  if (G_UNLIKELY (before > 0))
    return FALSE;
  channel->last_end = end;
  *slot = (int32_t)(id + 1);
  if (walk->cursors[channel->receiver].awaits == slot)
    make_runnable (walk, channel->receiver);
  return before == 0 || match (walk, channel, (int32_t)id, -before - 1, start, end);
}

/* The message that its producer had made at READY stands in front of its channel's queue. */
static void
announce (Walk *walk, Channel *channel, int32_t send, double ready) {
  double time = walk->has_queues ? MAX (ready, channel->last_end) : ready;
  pw__sim_heap_push (&walk->heap,
                     pw__sim_event (time, PW_SIM_EVENT_READY, send, channel - walk->channels));
}

static void
send_shared (Walk *walk, Channel *channel, int32_t send, double ready) {
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
end_shared (Walk *walk, Channel *channel, int32_t send) {
  const PwSimLayout *layout = walk->layout;
  const PwAction *first = layout->list[channel->sender] - layout->offset[channel->sender];
  if (!arrive (walk, channel, &channel->slot[first[send].microbatch], send, walk->start[send],
               walk->end[send]))
    return FALSE;
  if (!walk->has_queues)
    return TRUE;
  int32_t next = channel->first_open = walk->next_open[send];
  if (next >= 0) {
    int64_t back = find_producer (layout->list[channel->sender], &first[next]);
    announce (walk, channel, next, walk->end[next - back]);
  }
  return TRUE;
}

/* The SEND at AT, whose producer had ended at READY. */
static inline gboolean
send_message (Walk *walk, Channel *channel, const PwAction *at, int64_t id, double ready) {
  walk->n_sent++;
  if (channel->is_shared) {
    send_shared (walk, channel, (int32_t)id, ready);
    return TRUE;
  }
  double start = walk->has_queues ? MAX (ready, channel->last_end) : ready;
  double end = start + channel->transfer;
  walk->start[id] = start;
  walk->end[id] = end;
  return arrive (walk, channel, &channel->slot[at->microbatch], id, start, end);
}

/* Nothing but messages stands between the SEND at AT and its producer, or the pair's second: were
 * it another compute, the walk could come to the SEND later than to what is behind it in time. */
static gboolean
stands_behind (const PwAction *at, int64_t back) {
  for (int64_t i = 1; i < back; i++)
    if (!pw__sim_is_message (at[-i]) && !(i == back - 1 && at[-back].paired))
      return FALSE;
  return TRUE;
}

static inline gboolean
walk_send (Walk *walk, const PwAction *first, const PwAction *at, const Way *way, int64_t id) {
  Channel *channel = channel_of (walk, at, way);
  int64_t back = find_producer (first, at);
  if (channel == NULL || back < 0 || (channel->is_shared && !stands_behind (at, back)))
    return FALSE;
  return send_message (walk, channel, at, id, walk->end[id - back]);
}

/* What stands behind the compute AT is its own message, as lowering writes it. */
static inline gboolean
is_followed_by_send (const Node *node, const PwAction *at) {
  static const PwAction microbatch = { .microbatch = 0xffffff };
  return node->channel != NULL
         && pw_action_bits (at + 1)
                == (node->first_send | (pw_action_bits (at) & pw_action_bits (&microbatch)));
}

static inline gboolean
walk_receive (Walk *walk, const PwAction *at, const Way *way, int64_t id) {
  Channel *channel = channel_of (walk, at, way);
  if (channel == NULL)
    return FALSE;
  int32_t *slot = &channel->slot[at->microbatch];
  int64_t send = *slot - 1;
  if (send >= 0)
    return match (walk, channel, (int32_t)send, (int32_t)id, walk->start[send], walk->end[send]);
  *slot = (int32_t)-id - 1;
  return TRUE;
}

/* The input that came last: its SEND (or, within a rank, its maker), and its place in `consumed`.
 */
typedef struct {
  int64_t id;
  int32_t **input;
} Last;

/* Raises *START to the arrival of what the compute takes; if something is missing, its slot. */
static inline const int32_t *
take_inputs (const Walk *walk, const Node *node, uint32_t microbatch, double *start, Last *last) {
  for (int k = 0; k < node->n_inputs; k++) {
    const int32_t *slot = &node->inputs[k][microbatch];
    int64_t id = *slot - 1;
    if (id < 0)
      return slot;
    if (walk->end[id] > *start) {
      *start = walk->end[id];
      *last = (Last){ .id = id, .input = &node->inputs[k] };
    }
  }
  return NULL;
}

/* Stages on one rank hand over without a message. */
static void
fill_outputs (Walk *walk, PwAction action, int64_t id) {
  const PwSimLayout *layout = walk->layout;
  int port = pw__sim_port (layout, action);
  for (int k = layout->output_start[port]; k < layout->output_start[port + 1]; k++) {
    const Channel *channel = &walk->channels[layout->outputs[k]];
    if (channel->sender == channel->receiver)
      channel->slot[action.microbatch] = (int32_t)(id + 1);
  }
}

static inline void
explain_wait (const Walk *walk, PwSimAccount *account, double from, double to, Last last) {
  const PwSimLayout *layout = walk->layout;
  const Channel *channel = &walk->channels[layout->inputs[last.input - walk->consumed]];
  const PwAction *first = layout->list[channel->sender];
  int64_t back = 0;
  if (channel->sender != channel->receiver)
    back = find_producer (first, first + (last.id - layout->offset[channel->sender]));
  pw__sim_account_wait (account, from, to, walk->end[last.id - back], walk->start[last.id]);
}

typedef enum { DONE, WAITING, STUCK } Outcome;

/* WIDTH is 1, or 2 for a pair; a constant where it is called, so that the common case has no loops.
 */
static G_ALWAYS_INLINE inline Outcome
walk_compute (Walk *walk, PwSimAccount *account, Cursor *cursor, const PwAction *at, int64_t id,
              int width, const Node *node[2]) {
  double clock = account->clock, start = clock;
  Last last = { .id = -1 };
  for (int i = 0; i < width; i++) {
    const Way *way = &walk->ways[pw_action_key (&at[i])];
    node[i] = way->what == NOT_KNOWN ? NULL : node_of (walk, &at[i], way);
    if (node[i] == NULL)
      return STUCK;
    const int32_t *missing = take_inputs (walk, node[i], at[i].microbatch, &start, &last);
    if (missing != NULL) {
      cursor->awaits = missing;
      return WAITING;
    }
  }
  if (start > clock)
    explain_wait (walk, account, clock, start, last);
  double duration = node[0]->duration;
  if (width == 2)
    duration = pw__sim_pair_duration (walk->durations, at[0], at[1]);
  else if (walk->has_factor)
    duration = pw__sim_duration (walk->durations, at[0]);
  double end = start + duration;
  pw__sim_account_node (walk->summary, account, at, width, start, end);
  for (int i = 0; i < width; i++) {
    walk->start[id + i] = start;
    walk->end[id + i] = end;
    if (node[i]->has_outputs)
      fill_outputs (walk, at[i], id + i);
  }
  return DONE;
}

/* Fetches what the rank's next visit will touch. Visits are short and the ranks' lists lie far
 * apart, so the processor does not foresee it. */
static inline void
look_ahead (const Walk *walk, const PwAction *at, int64_t id) {
  for (int line = 1; line <= LINES_AHEAD; line++) {
    __builtin_prefetch (at + 8 * line, 0);
    __builtin_prefetch (walk->start + id + 8 * line, 1);
    __builtin_prefetch (walk->end + id + 8 * line, 1);
  }
}

/* Brings what was fetched for a rank near: the visits go down the ranks. */
static inline void
look_down (const Walk *walk, int rank) {
  const Cursor *cursor = &walk->cursors[MAX (rank - RANKS_AHEAD, 0)];
  __builtin_prefetch (cursor->next);
  __builtin_prefetch (walk->start + cursor->id, 1);
  __builtin_prefetch (walk->end + cursor->id, 1);
  const char *account = (const char *)&walk->summary->accounts[MAX (rank - RANKS_AHEAD, 0)];
  __builtin_prefetch (account, 1);
  __builtin_prefetch (account + 64, 1);
}

/* FALSE: stuck for good. */
static gboolean
walk_rank (Walk *walk, int rank) {
  Cursor *cursor = &walk->cursors[rank];
  PwSimAccount *account = &walk->summary->accounts[rank];
  const PwAction *first = walk->layout->list[rank], *at = cursor->next, *stop = cursor->stop;
  int64_t id = cursor->id;
  const Node *node[2];
  Outcome outcome = DONE;
  cursor->awaits = NULL;
  look_down (walk, rank);
  for (; at < stop; at++, id++) {
    const Way *way = &walk->ways[pw_action_key (at)];
    if (way->what == COMPUTE) {
      outcome = walk_compute (walk, account, cursor, at, id, 1, node);
      if (outcome == DONE && at + 1 < stop && is_followed_by_send (node[0], at)) {
        at++;
        id++;
        outcome = send_message (walk, node[0]->channel, at, id, walk->end[id - 1]) ? DONE : STUCK;
      }
    } else if (way->what == RECEIVE)
      outcome = walk_receive (walk, at, way, id) ? DONE : STUCK;
    else if (way->what == SEND)
      outcome = walk_send (walk, first, at, way, id) ? DONE : STUCK;
    else if (way->what == NOT_KNOWN)
      outcome = STUCK;
    else if (!pw__sim_is_pair (walk->layout, rank, id))
      outcome = walk_compute (walk, account, cursor, at, id, 1, node);
    else if ((outcome = walk_compute (walk, account, cursor, at, id, 2, node)) == DONE) {
      at++;
      id++;
    }
    if (outcome != DONE)
      break;
  }
  look_ahead (walk, at, id);
  cursor->next = at;
  cursor->id = id;
  return outcome != STUCK;
}

static void
make_channels (Walk *walk) {
  const PwSimLayout *layout = walk->layout;
  gsize bytes = (gsize)(layout->n_channels * layout->stride) * sizeof (int32_t);
  walk->slots = memset (pw_block_new (bytes), 0, bytes);
  walk->channels = g_new (Channel, (gsize)layout->n_channels + 1);
  for (int channel = 0; channel < layout->n_channels; channel++)
    walk->channels[channel]
        = (Channel){ .slot = walk->slots + channel * layout->stride,
                     .transfer = walk->durations->transfer[channel],
                     .last_send = -1,
                     .last_recv = -1,
                     .sender = layout->sender[channel],
                     .receiver = layout->receiver[channel],
                     .is_shared
                     = walk->links != NULL && pw__sim_links_is_shared (walk->links, channel),
                     .first_open = -1,
                     .last_open = -1 };
}

static void
make_node (const Walk *walk, Node *node, PwAction action) {
  const PwSimLayout *layout = walk->layout;
  *node = (Node){ .duration = pw__sim_duration (walk->durations, action) };
  if (!pw__sim_has_port (action))
    return;
  int port = pw__sim_port (layout, action);
  node->inputs = walk->consumed + layout->input_start[port];
  node->n_inputs = layout->input_start[port + 1] - layout->input_start[port];
  for (int k = layout->output_start[port]; k < layout->output_start[port + 1]; k++) {
    Channel *channel = &walk->channels[layout->outputs[k]];
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
make_nodes (Walk *walk) {
  const PwSimLayout *layout = walk->layout;
  int directions = layout->schedule->placement->directions;
  walk->consumed = g_new (int32_t *, (gsize)layout->n_channels + 1);
  for (int k = 0; k < layout->n_channels; k++)
    walk->consumed[k] = walk->channels[layout->inputs[k]].slot;
  walk->nodes = g_new (Node, (gsize)(directions * PW_ACTION_N * layout->stages));
  Node *node = walk->nodes;
  for (int direction = 0; direction < directions; direction++)
    for (int kind = 0; kind < PW_ACTION_N; kind++)
      for (int stage = 0; stage < layout->stages; stage++) {
        PwAction action = pw_action ((PwActionKind)kind, stage, 0);
        action.direction = direction != 0;
        make_node (walk, node++, action);
      }
}

static void
make_ways (Walk *walk) {
  const PwSimLayout *layout = walk->layout;
  for (int kind = 0; kind < PW_ACTION_N; kind++)
    for (int direction = 0; direction < layout->schedule->placement->directions; direction++)
      for (int paired = 0; paired < 2; paired++) {
        PwAction action = pw_action ((PwActionKind)kind, 0, 0);
        action.direction = direction != 0;
        action.paired = paired != 0;
        Way *way = &walk->ways[pw_action_key (&action)];
        if (pw__sim_is_async (action))
          *way = (Way){ .what = NOT_KNOWN };
        else if (pw__sim_is_message (action))
          *way = (Way){ .what = pw__sim_is_send (action) ? SEND : RECEIVE,
                        .first_row = pw__sim_channel (layout, action) };
        else
          *way = (Way){ .what = paired ? PAIR : COMPUTE,
                        .first_row = (direction * PW_ACTION_N + kind) * layout->stages };
      }
}

static void
walk_init (Walk *walk) {
  const PwSimLayout *layout = walk->layout;
  make_channels (walk);
  make_nodes (walk);
  make_ways (walk);
  walk->cursors = g_new (Cursor, (gsize)layout->ranks);
  walk->n_words = (layout->ranks + 63) / 64;
  walk->runnable = g_new0 (uint64_t, (gsize)walk->n_words);
  for (int rank = 0; rank < layout->ranks; rank++) {
    const PwAction *list = layout->list[rank];
    walk->cursors[rank] = (Cursor){ .next = list,
                                    .stop = list + pw__sim_length (layout, rank),
                                    .id = layout->offset[rank] };
    make_runnable (walk, rank);
  }
}

static void
walk_clear (Walk *walk) {
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

/* What time decides: only when no rank can walk on, so that none can still come before it. */
static gboolean
walk_event (Walk *walk, const PwSimEvent *event) {
  int32_t send = pw__sim_event_what (event);
  int kind = pw__sim_event_kind (event);
  if (kind != PW_SIM_EVENT_READY && kind != PW_SIM_EVENT_TRANSFER) {
    pw__sim_links_event (walk->links, event);
    return TRUE;
  }
  Channel *channel = &walk->channels[event->more];
  if (kind == PW_SIM_EVENT_READY
      && !pw__sim_links_begin (walk->links, (int)event->more, send, event->time))
    return TRUE;
  return end_shared (walk, channel, send);
}

/* FALSE: stuck. */
static gboolean
walk_all (Walk *walk) {
  gboolean going = TRUE;
  for (PwSimEvent event; going;) {
    int rank = next_runnable (walk);
    if (rank >= 0)
      going = walk_rank (walk, rank);
    else if (pw__sim_heap_pop (&walk->heap, &event))
      going = walk_event (walk, &event);
    else
      break;
  }
  for (int rank = 0; rank < walk->layout->ranks; rank++)
    going = going && walk->cursors[rank].next == walk->cursors[rank].stop;
  return going && walk->n_sent == walk->n_taken;
}

gboolean
pw__sim_walk (PwSimSummary *summary, const PwSimDurations *durations, const PwStageCosts *costs,
              gboolean shares_links) {
  const PwSimLayout *layout = summary->layout;
  Walk walk = {
    .layout = layout,
    .durations = durations,
    .summary = summary,
    .has_queues = layout->schedule->policy != PW_POLICY_BUFFERED,
    .has_factor = durations->factor != NULL,
    .stages = (uint32_t)layout->stages,
    .edges = (uint32_t)layout->n_edges,
    .microbatches = (uint32_t)layout->microbatches,
    .start = summary->result->start,
    .end = summary->result->end,
  };
  if (shares_links) {
    walk.links = pw__sim_links_new (layout, costs, durations, &walk.heap, walk.start, walk.end);
    walk.next_open = pw_block_new ((gsize)layout->n_actions * sizeof (int32_t));
  }
  walk_init (&walk);
  gboolean done = walk_all (&walk);
  walk_clear (&walk);
  return done;
}
