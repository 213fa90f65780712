#include "sim/walk_private.h"

/* A SEND's producer stands a few places before it; farther back the walk does not look. */
#define LOOK_BACK 16
#define LINES_AHEAD 2

typedef struct {
  const PwAction *next, *stop;
  int64_t id;   /* of `next` */
  int64_t slot; /* that the compute at `next` waits for; -1: none */
} Cursor;

/* The ids of a message's two ends. */
typedef struct {
  int32_t send, recv;
} Match;

typedef struct {
  const PwSimLayout *layout;
  const PwSimDurations *durations;
  PwSimSummary *summary;
  gboolean has_queues;
  double *start, *end;   /* the result's, by id */
  int32_t *slot;         /* id + 1 of what filled it; 0: empty; -id - 1: empty, of its RECV */
  double *channel_end;   /* [n_channels] end of the last transfer */
  Match *last_match;     /* [n_channels] */
  gboolean *has_outputs; /* [n_ports] fills a channel within its rank */
  Cursor *cursors;       /* [ranks] */
  uint64_t *runnable;    /* a bit per rank that can walk on */
  int n_words;
  int64_t n_sent, n_taken;
} Walk;

gboolean
pw__sim_walk_applies (const PwSchedule *schedule) {
  return !schedule->batched
         && (schedule->policy == PW_POLICY_BUFFERED || schedule->policy == PW_POLICY_PER_EDGE);
}

/* ACTION made what SEND carries. */
static inline gboolean
is_producer (PwAction action, PwAction send) {
  gboolean forward = send.kind == PW_ACTION_SEND_FORWARD;
  return action.microbatch == send.microbatch && action.stage == send.stage
         && action.direction == send.direction
         && (forward
                 ? action.kind == PW_ACTION_FORWARD
                 : action.kind == PW_ACTION_BACKWARD || action.kind == PW_ACTION_INPUT_GRADIENT);
}

/* The compute that made what the SEND at ID carries, or -1. */
static inline int64_t
find_producer (const Walk *walk, int rank, int64_t id) {
  const PwSimLayout *layout = walk->layout;
  const PwAction *send = layout->list[rank] + (id - layout->offset[rank]);
  int64_t n = MIN (id - layout->offset[rank], LOOK_BACK);
  for (int64_t i = 1; i <= n; i++)
    if (is_producer (send[-i], *send))
      return id - i;
  return -1;
}

static inline void
make_runnable (Walk *walk, int rank) {
  walk->runnable[rank / 64] |= (uint64_t)1 << rank % 64;
}

/* The highest runnable rank, no longer marked as such, or -1. Later ranks have less room between
 * their forwards and backwards, so they come back for more soon; meanwhile the earlier ones'
 * messages gather, and one visit gets them far. In 1f1b all visits together are M log P instead of
 * M P. */
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

static inline gboolean
is_single_message (const PwSimLayout *layout, PwAction action) {
  return action.edge < layout->n_edges && action.microbatch < layout->microbatches
         && !action.grouped;
}

/* Both ends of a message are known. Where there are queues, both lists must have a channel's
 * messages in one order: then they are matched in that order. */
static inline gboolean
match (Walk *walk, int channel, int32_t send, int32_t recv) {
  Match *last = &walk->last_match[channel];
  if (walk->has_queues && (send <= last->send || recv <= last->recv))
    return FALSE;
  *last = (Match){ .send = send, .recv = recv };
  walk->start[recv] = walk->start[send];
  walk->end[recv] = walk->end[send];
  walk->n_taken++;
  return TRUE;
}

static inline gboolean
walk_send (Walk *walk, int rank, PwAction action, int64_t id) {
  const PwSimLayout *layout = walk->layout;
  if (G_UNLIKELY (!is_single_message (layout, action)))
    return FALSE;
  int channel = pw__sim_channel (layout, action);
  int64_t place = pw__sim_slot (layout, channel, action);
  int64_t producer = find_producer (walk, rank, id);
  int32_t before = walk->slot[place];
  if (G_UNLIKELY (producer < 0 || before > 0))
    return FALSE;
  double start = walk->end[producer];
  if (walk->has_queues)
    start = MAX (start, walk->channel_end[channel]);
  double end = start + walk->durations->transfer[action.edge];
  walk->start[id] = start;
  walk->end[id] = end;
  walk->channel_end[channel] = end;
  walk->slot[place] = (int32_t)(id + 1);
  walk->n_sent++;
  if (walk->cursors[layout->receiver[channel]].slot == place)
    make_runnable (walk, layout->receiver[channel]);
  return before == 0 || match (walk, channel, (int32_t)id, -before - 1);
}

static inline gboolean
walk_receive (Walk *walk, PwAction action, int64_t id) {
  const PwSimLayout *layout = walk->layout;
  if (G_UNLIKELY (!is_single_message (layout, action)))
    return FALSE;
  int channel = pw__sim_channel (layout, action);
  int32_t *slot = &walk->slot[pw__sim_slot (layout, channel, action)];
  if (*slot > 0)
    return match (walk, channel, *slot - 1, (int32_t)id);
  *slot = (int32_t)-id - 1;
  return TRUE;
}

/* The input that came last. */
typedef struct {
  int64_t id;
  int channel;
} Last;

/* Raises *START to the arrival of what ACTION takes; FALSE where something is missing, its place
 * then in CURSOR. */
static inline gboolean
take_inputs (const Walk *walk, PwAction action, double *start, Last *last, Cursor *cursor) {
  const PwSimLayout *layout = walk->layout;
  int port = pw__sim_port (layout, action);
  for (int k = layout->input_start[port]; k < layout->input_start[port + 1]; k++) {
    int64_t place = pw__sim_slot (layout, layout->inputs[k], action);
    int32_t id = walk->slot[place] - 1;
    if (id < 0) {
      cursor->slot = place;
      return FALSE;
    }
    if (walk->end[id] > *start) {
      *start = walk->end[id];
      *last = (Last){ .id = id, .channel = layout->inputs[k] };
    }
  }
  return TRUE;
}

/* Stages on one rank hand over without a message. */
static void
fill_outputs (Walk *walk, PwAction action, int64_t id) {
  const PwSimLayout *layout = walk->layout;
  int port = pw__sim_port (layout, action);
  for (int k = layout->output_start[port]; k < layout->output_start[port + 1]; k++) {
    int channel = layout->outputs[k];
    if (layout->sender[channel] == layout->receiver[channel])
      walk->slot[pw__sim_slot (layout, channel, action)] = (int32_t)(id + 1);
  }
}

static void
explain_wait (Walk *walk, PwSimAccount *account, double from, double to, Last last) {
  int64_t producer = find_producer (walk, walk->layout->sender[last.channel], last.id);
  double ready = producer < 0 ? walk->end[last.id] : walk->end[producer];
  pw__sim_account_wait (account, from, to, ready, walk->start[last.id]);
}

typedef enum { DONE, WAITING, STUCK } Outcome;

/* WIDTH is 1, or 2 for a pair; a constant where it is called, so that the common case has no loops.
 */
static inline G_ALWAYS_INLINE Outcome
walk_compute (Walk *walk, int rank, const PwAction *at, int64_t id, int width) {
  const PwSimLayout *layout = walk->layout;
  PwSimAccount *account = &walk->summary->accounts[rank];
  double clock = account->clock, start = clock;
  Last last = { .id = -1 };
  for (int i = 0; i < width; i++) {
    if (G_UNLIKELY (at[i].stage >= layout->stages || at[i].microbatch >= layout->microbatches))
      return STUCK;
    if (pw__sim_has_port (at[i]) && !take_inputs (walk, at[i], &start, &last, &walk->cursors[rank]))
      return WAITING;
  }
  if (start > clock)
    explain_wait (walk, account, clock, start, last);
  double end = start
               + (width == 1 ? pw__sim_duration (walk->durations, at[0])
                             : pw__sim_pair_duration (walk->durations, at[0], at[1]));
  pw__sim_account_node (walk->summary, account, at, width, start, end);
  for (int i = 0; i < width; i++) {
    walk->start[id + i] = start;
    walk->end[id + i] = end;
    if (pw__sim_has_port (at[i]) && walk->has_outputs[pw__sim_port (layout, at[i])])
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

/* FALSE: stuck for good. */
static gboolean
walk_rank (Walk *walk, int rank) {
  Cursor *cursor = &walk->cursors[rank];
  const PwAction *at = cursor->next, *stop = cursor->stop;
  int64_t id = cursor->id;
  cursor->slot = -1;
  while (at < stop) {
    PwAction action = *at;
    int width = 1;
    if (pw__sim_is_send (action)) {
      if (!walk_send (walk, rank, action, id))
        return FALSE;
    } else if (pw__sim_is_message (action)) {
      if (!walk_receive (walk, action, id))
        return FALSE;
    } else {
      Outcome outcome;
      if (G_UNLIKELY (action.paired) && pw__sim_is_pair (walk->layout, rank, id)) {
        width = 2;
        outcome = walk_compute (walk, rank, at, id, 2);
      } else
        outcome = walk_compute (walk, rank, at, id, 1);
      if (outcome == STUCK)
        return FALSE;
      if (outcome == WAITING)
        break;
    }
    at += width;
    id += width;
  }
  look_ahead (walk, at, id);
  cursor->next = at;
  cursor->id = id;
  return TRUE;
}

static void
walk_init (Walk *walk) {
  const PwSimLayout *layout = walk->layout;
  walk->slot = g_malloc0 ((gsize)(layout->n_channels * layout->stride + 1) * sizeof (int32_t));
  walk->channel_end = g_new0 (double, (gsize)(layout->n_channels + 1));
  walk->last_match = g_new (Match, (gsize)(layout->n_channels + 1));
  for (int channel = 0; channel < layout->n_channels; channel++)
    walk->last_match[channel] = (Match){ .send = -1, .recv = -1 };
  walk->has_outputs = g_new0 (gboolean, (gsize)layout->n_ports);
  for (int port = 0; port < layout->n_ports; port++)
    for (int k = layout->output_start[port]; k < layout->output_start[port + 1]; k++)
      walk->has_outputs[port]
          |= layout->sender[layout->outputs[k]] == layout->receiver[layout->outputs[k]];
  walk->cursors = g_new (Cursor, (gsize)layout->ranks);
  walk->n_words = (layout->ranks + 63) / 64;
  walk->runnable = g_new0 (uint64_t, (gsize)walk->n_words);
  for (int rank = 0; rank < layout->ranks; rank++) {
    const PwAction *list = layout->list[rank];
    walk->cursors[rank] = (Cursor){ .next = list,
                                    .stop = list + pw__sim_length (layout, rank),
                                    .id = layout->offset[rank],
                                    .slot = -1 };
    make_runnable (walk, rank);
  }
}

static void
walk_clear (Walk *walk) {
  g_free (walk->slot);
  g_free (walk->channel_end);
  g_free (walk->last_match);
  g_free (walk->has_outputs);
  g_free (walk->cursors);
  g_free (walk->runnable);
}

gboolean
pw__sim_walk (PwSimSummary *summary, const PwSimDurations *durations) {
  const PwSimLayout *layout = summary->layout;
  Walk walk = {
    .layout = layout,
    .durations = durations,
    .summary = summary,
    .has_queues = layout->schedule->policy != PW_POLICY_BUFFERED,
    .start = summary->result->start,
    .end = summary->result->end,
  };
  walk_init (&walk);
  gboolean going = TRUE;
  for (int rank = next_runnable (&walk); rank >= 0 && going; rank = next_runnable (&walk))
    going = walk_rank (&walk, rank);
  for (int rank = 0; rank < layout->ranks; rank++)
    going = going && walk.cursors[rank].next == walk.cursors[rank].stop;
  walk_clear (&walk);
  return going && walk.n_sent == walk.n_taken;
}
