#include "sim/walk_state_private.h"
#include "sim/async_private.h"
#include "schedules/block.h"

/* A SEND's producer stands a few places before it; farther back the walk does not look. */
#define LOOK_BACK 16
#define LINES_AHEAD 2
#define RANKS_AHEAD 3

gboolean
pw__sim_walk_applies (const PwSimLayout *layout) {
  const PwSchedule *schedule = layout->schedule;
  return !schedule->batched && !pw__sim_async_is_used (layout)
         && (schedule->policy == PW_POLICY_BUFFERED || schedule->policy == PW_POLICY_PER_EDGE);
}

/* How many places before the SEND at AT its producer stands, or -1. FIRST is its
 * list's. */
int64_t
pw__sim_look_back (const PwAction *first, const PwAction *at) {
  for (int64_t i = 1; i <= MIN (at - first, LOOK_BACK); i++)
    if (pw__sim_is_producer (at - i, at))
      return i;
  return -1;
}

/* What the last ranks make is what the earlier ones wait for, so from the highest down a round goes
 * through all ranks once. */
int
pw__sim_walk_next_runnable (PwSimWalk *walk) {
  for (int word = walk->n_words - 1; word >= 0; word--)
    if (walk->runnable[word] != 0) {
      int bit = 63 - __builtin_clzll (walk->runnable[word]);
      walk->runnable[word] &= ~((uint64_t)1 << bit);
      return word * 64 + bit;
    }
  return -1;
}

/* Of a message at AT; NULL: none of this schedule's. */
static inline PwSimWalkChannel *
channel_of (const PwSimWalk *walk, const PwAction *at, const PwSimWalkWay *way) {
  gboolean exists = at->edge < walk->edges && at->microbatch < walk->microbatches;
  return G_LIKELY (exists) ? &walk->channels[way->first_row + at->edge] : NULL;
}

static inline PwSimWalkNode *
node_of (const PwSimWalk *walk, const PwAction *at, const PwSimWalkWay *way) {
  gboolean exists = at->stage < walk->stages && at->microbatch < walk->microbatches;
  return G_LIKELY (exists) ? &walk->nodes[way->first_row + at->stage] : NULL;
}

/* The SEND at AT, whose producer had ended at READY. */
static inline gboolean
send_message (PwSimWalk *walk, PwSimWalkChannel *channel, const PwAction *at, int64_t id,
              double ready) {
  walk->n_sent++;
  if (channel->is_shared) {
    pw__sim_walk_send_shared (walk, channel, (int32_t)id, ready);
    return TRUE;
  }
  double start = walk->has_queues ? MAX (ready, channel->last_end) : ready;
  double end = start + channel->transfer;
  walk->start[id] = start;
  walk->end[id] = end;
  return pw__sim_walk_arrive (walk, channel, &channel->slot[at->microbatch], id, start, end);
}

static inline gboolean
walk_send (PwSimWalk *walk, const PwAction *first, const PwAction *at, const PwSimWalkWay *way,
           int64_t id) {
  PwSimWalkChannel *channel = channel_of (walk, at, way);
  int64_t back = pw__sim_find_producer (first, at);
  if (channel == NULL || back < 0 || (channel->is_shared && !pw__sim_stands_behind (at, back)))
    return FALSE;
  return send_message (walk, channel, at, id, walk->end[id - back]);
}

/* What stands behind the compute AT is its own message, as lowering writes it. */
static inline gboolean
is_followed_by_send (const PwSimWalkNode *node, const PwAction *at) {
  static const PwAction microbatch = { .microbatch = 0xffffff };
  return node->channel != NULL
         && pw_action_bits (at + 1)
                == (node->first_send | (pw_action_bits (at) & pw_action_bits (&microbatch)));
}

static inline gboolean
walk_receive (PwSimWalk *walk, const PwAction *at, const PwSimWalkWay *way, int64_t id) {
  PwSimWalkChannel *channel = channel_of (walk, at, way);
  if (channel == NULL)
    return FALSE;
  int32_t *slot = &channel->slot[at->microbatch];
  int64_t send = *slot - 1;
  if (send >= 0)
    return pw__sim_walk_match (walk, channel, (int32_t)send, (int32_t)id, walk->start[send],
                               walk->end[send]);
  if (*slot < 0) /* there twice */
    return FALSE;
  *slot = (int32_t)-id - 1;
  return TRUE;
}

/* The input that came last: its SEND (or, within a rank, its maker), and its place in
 * `consumed`.
 */
typedef struct {
  int64_t id;
  int32_t **input;
} Last;

/* Raises *START to the arrival of what the compute takes; if something is missing, its slot. */
static inline const int32_t *
take_inputs (const PwSimWalk *walk, const PwSimWalkNode *node, uint32_t microbatch, double *start,
             Last *last) {
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
fill_outputs (PwSimWalk *walk, PwAction action, int64_t id) {
  const PwSimLayout *layout = walk->layout;
  int port = pw__sim_port (layout, action);
  for (int k = layout->output_start[port]; k < layout->output_start[port + 1]; k++) {
    const PwSimWalkChannel *channel = &walk->channels[layout->outputs[k]];
    if (channel->sender == channel->receiver)
      channel->slot[action.microbatch] = (int32_t)(id + 1);
  }
}

static inline void
explain_wait (const PwSimWalk *walk, PwSimAccount *account, double from, double to, Last last) {
  const PwSimLayout *layout = walk->layout;
  const PwSimWalkChannel *channel = &walk->channels[layout->inputs[last.input - walk->consumed]];
  const PwAction *first = layout->list[channel->sender];
  int64_t back = 0;
  if (channel->sender != channel->receiver)
    back = pw__sim_find_producer (first, first + (last.id - layout->offset[channel->sender]));
  pw__sim_account_wait (account, from, to, walk->end[last.id - back], walk->start[last.id]);
}

typedef enum { DONE, WAITING, STUCK } Outcome;

/* WIDTH is 1, or 2 for a pair; a constant where it is called, so that the common case has no loops.
 */
static G_ALWAYS_INLINE inline Outcome
walk_compute (PwSimWalk *walk, PwSimAccount *account, PwSimWalkCursor *cursor, const PwAction *at,
              int64_t id, int width, const PwSimWalkNode *node[2]) {
  double clock = account->clock, start = clock;
  Last last = { .id = -1 };
  for (int i = 0; i < width; i++) {
    const PwSimWalkWay *way = &walk->ways[pw_action_key (&at[i])];
    node[i] = way->what == PW_SIM_WALK_NOT_KNOWN ? NULL : node_of (walk, &at[i], way);
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
look_ahead (const PwSimWalk *walk, const PwAction *at, int64_t id) {
  for (int line = 1; line <= LINES_AHEAD; line++) {
    __builtin_prefetch (at + 8 * line, 0);
    __builtin_prefetch (walk->start + id + 8 * line, 1);
    __builtin_prefetch (walk->end + id + 8 * line, 1);
  }
}

/* Brings what was fetched for a rank near: the visits go down the ranks. */
static inline void
look_down (const PwSimWalk *walk, int rank) {
  const PwSimWalkCursor *cursor = &walk->cursors[MAX (rank - RANKS_AHEAD, 0)];
  __builtin_prefetch (cursor->next);
  __builtin_prefetch (walk->start + cursor->id, 1);
  __builtin_prefetch (walk->end + cursor->id, 1);
  const char *account = (const char *)&walk->summary->accounts[MAX (rank - RANKS_AHEAD, 0)];
  __builtin_prefetch (account, 1);
  __builtin_prefetch (account + 64, 1);
}

gboolean
pw__sim_walk_rank (PwSimWalk *walk, int rank) {
  PwSimWalkCursor *cursor = &walk->cursors[rank];
  PwSimAccount *account = &walk->summary->accounts[rank];
  const PwAction *first = walk->layout->list[rank], *at = cursor->next, *stop = cursor->stop;
  int64_t id = cursor->id;
  const PwSimWalkNode *node[2];
  Outcome outcome = DONE;
  cursor->awaits = NULL;
  look_down (walk, rank);
  for (; at < stop; at++, id++) {
    const PwSimWalkWay *way = &walk->ways[pw_action_key (at)];
    if (way->what == PW_SIM_WALK_COMPUTE) {
      outcome = walk_compute (walk, account, cursor, at, id, 1, node);
      if (outcome == DONE && at + 1 < stop && is_followed_by_send (node[0], at)) {
        at++;
        id++;
        outcome = send_message (walk, node[0]->channel, at, id, walk->end[id - 1]) ? DONE : STUCK;
      }
    } else if (way->what == PW_SIM_WALK_RECEIVE)
      outcome = walk_receive (walk, at, way, id) ? DONE : STUCK;
    else if (way->what == PW_SIM_WALK_SEND)
      outcome = walk_send (walk, first, at, way, id) ? DONE : STUCK;
    else if (way->what == PW_SIM_WALK_NOT_KNOWN)
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

/* FALSE: stuck. */
static gboolean
walk_all (PwSimWalk *walk) {
  gboolean going = TRUE;
  for (PwSimEvent event; going;) {
    if (++walk->n_visits == walk->look_at)
      going = pw__sim_walk_repeat (walk);
    int rank = pw__sim_walk_next_runnable (walk);
    if (rank >= 0)
      going = pw__sim_walk_rank (walk, rank);
    else if (pw__sim_heap_pop (&walk->heap, &event))
      going = pw__sim_walk_event (walk, &event);
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
  PwSimWalk walk = {
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
  pw__sim_walk_init (&walk);
  gboolean done = walk_all (&walk);
  pw__sim_walk_clear (&walk);
  return done;
}
