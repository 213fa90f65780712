#include "sim/walk_private.h"

/* A SEND's producer stands a few places before it; farther back the walk does not look. */
#define LOOK_BACK 16
#define LINES_AHEAD 2

typedef struct {
  const PwAction *next, *stop;
  int64_t id; /* of `next` */
} Cursor;

typedef struct {
  const PwSimLayout *layout;
  const PwSimDurations *durations;
  PwSimSummary *summary;
  gboolean has_queues;
  double *start, *end; /* the result's, by id */
  int32_t *slot;       /* id + 1 of what filled it; 0: empty; -1: empty and the receiver waits */
  double *channel_end; /* [n_channels] end of the last transfer */
  int32_t
      *last_taken; /* [n_channels] id of the last SEND received: lists must agree on the order */
  gboolean *has_outputs; /* [n_ports] fills a channel within its rank */
  Cursor *cursors;       /* [ranks] */
  int *runnable;         /* ranks to walk on, as a stack */
  int n_runnable;
  int64_t n_sent, n_taken;
} Walk;

gboolean
pw__sim_walk_applies (const PwSchedule *schedule) {
  return !schedule->batched
         && (schedule->policy == PW_POLICY_BUFFERED || schedule->policy == PW_POLICY_PER_EDGE);
}

/* The compute that made what the SEND at ID carries, or -1. */
static int64_t
find_producer (const Walk *walk, int rank, int64_t id) {
  const PwSimLayout *layout = walk->layout;
  const PwAction *send = layout->list[rank] + (id - layout->offset[rank]);
  int64_t n = MIN (id - layout->offset[rank], LOOK_BACK);
  gboolean forward = send->kind == PW_ACTION_SEND_FORWARD;
  for (int64_t i = 1; i <= n; i++) {
    PwAction action = send[-i];
    if (action.microbatch == send->microbatch && action.stage == send->stage
        && action.direction == send->direction
        && (forward ? action.kind == PW_ACTION_FORWARD
                    : action.kind == PW_ACTION_BACKWARD || action.kind == PW_ACTION_INPUT_GRADIENT))
      return id - i;
  }
  return -1;
}

static inline gboolean
is_single_message (const PwSimLayout *layout, PwAction action) {
  return action.edge < layout->n_edges && action.microbatch < layout->microbatches
         && !action.grouped;
}

static inline gboolean
walk_send (Walk *walk, int rank, PwAction action, int64_t id) {
  const PwSimLayout *layout = walk->layout;
  if (G_UNLIKELY (!is_single_message (layout, action)))
    return FALSE;
  int channel = pw__sim_channel (layout, action);
  int64_t producer = find_producer (walk, rank, id);
  int32_t *slot = &walk->slot[pw__sim_slot (layout, channel, action)];
  if (G_UNLIKELY (producer < 0 || *slot > 0))
    return FALSE;
  double start = walk->end[producer];
  if (walk->has_queues)
    start = MAX (start, walk->channel_end[channel]);
  double end = start + walk->durations->transfer[action.edge];
  walk->start[id] = start;
  walk->end[id] = end;
  walk->channel_end[channel] = end;
  if (*slot < 0)
    walk->runnable[walk->n_runnable++] = layout->receiver[channel];
  *slot = (int32_t)(id + 1);
  walk->n_sent++;
  return TRUE;
}

typedef enum { TAKEN, WAITING, STUCK } Taken;

static inline Taken
walk_receive (Walk *walk, PwAction action, int64_t id) {
  const PwSimLayout *layout = walk->layout;
  if (G_UNLIKELY (!is_single_message (layout, action)))
    return STUCK;
  int channel = pw__sim_channel (layout, action);
  int32_t *slot = &walk->slot[pw__sim_slot (layout, channel, action)];
  if (*slot <= 0) {
    *slot = -1;
    return WAITING;
  }
  int32_t send = *slot - 1;
  if (walk->has_queues && send <= walk->last_taken[channel])
    return STUCK;
  walk->last_taken[channel] = send;
  walk->start[id] = walk->start[send];
  walk->end[id] = walk->end[send];
  walk->n_taken++;
  return TAKEN;
}

/* Raises *START to the arrival of what ACTION takes; FALSE where something is missing. */
static inline gboolean
take_inputs (const Walk *walk, PwAction action, double *start, int64_t *last) {
  const PwSimLayout *layout = walk->layout;
  int port = pw__sim_port (layout, action);
  for (int k = layout->input_start[port]; k < layout->input_start[port + 1]; k++) {
    int32_t id = walk->slot[pw__sim_slot (layout, layout->inputs[k], action)] - 1;
    if (G_UNLIKELY (id < 0))
      return FALSE;
    if (walk->end[id] > *start) {
      *start = walk->end[id];
      *last = id;
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
explain_wait (Walk *walk, PwSimAccount *account, double from, double to, int64_t send) {
  int rank = pw__sim_rank_of (walk->layout, send);
  int64_t producer = find_producer (walk, rank, send);
  double ready = producer < 0 ? walk->end[send] : walk->end[producer];
  pw__sim_account_wait (account, from, to, ready, walk->start[send]);
}

static inline gboolean
walk_compute (Walk *walk, int rank, const PwAction *at, int64_t id, int width) {
  const PwSimLayout *layout = walk->layout;
  PwSimAccount *account = &walk->summary->accounts[rank];
  double clock = account->clock, start = clock;
  int64_t last = -1;
  for (int i = 0; i < width; i++) {
    if (G_UNLIKELY (at[i].stage >= layout->stages || at[i].microbatch >= layout->microbatches))
      return FALSE;
    if (pw__sim_has_port (at[i]) && !take_inputs (walk, at[i], &start, &last))
      return FALSE;
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
  return TRUE;
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
  while (at < stop) {
    PwAction action = *at;
    int width = 1;
    if (pw__sim_is_send (action)) {
      if (!walk_send (walk, rank, action, id))
        return FALSE;
    } else if (pw__sim_is_message (action)) {
      Taken taken = walk_receive (walk, action, id);
      if (taken == STUCK)
        return FALSE;
      if (taken == WAITING)
        break;
    } else {
      width = action.paired && pw__sim_is_pair (walk->layout, rank, id) ? 2 : 1;
      if (!walk_compute (walk, rank, at, id, width))
        return FALSE;
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
  walk->last_taken = g_new (int32_t, (gsize)(layout->n_channels + 1));
  for (int channel = 0; channel < layout->n_channels; channel++)
    walk->last_taken[channel] = -1;
  walk->has_outputs = g_new0 (gboolean, (gsize)layout->n_ports);
  for (int port = 0; port < layout->n_ports; port++)
    for (int k = layout->output_start[port]; k < layout->output_start[port + 1]; k++)
      walk->has_outputs[port]
          |= layout->sender[layout->outputs[k]] == layout->receiver[layout->outputs[k]];
  walk->cursors = g_new (Cursor, (gsize)layout->ranks);
  walk->runnable = g_new (int, (gsize)layout->ranks);
  for (int rank = 0; rank < layout->ranks; rank++) {
    const PwAction *list = layout->list[rank];
    walk->cursors[rank] = (Cursor){ .next = list,
                                    .stop = list + pw__sim_length (layout, rank),
                                    .id = layout->offset[rank] };
    walk->runnable[rank] = layout->ranks - 1 - rank;
  }
  walk->n_runnable = layout->ranks;
}

static void
walk_clear (Walk *walk) {
  g_free (walk->slot);
  g_free (walk->channel_end);
  g_free (walk->last_taken);
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
  while (going && walk.n_runnable > 0)
    going = walk_rank (&walk, walk.runnable[--walk.n_runnable]);
  for (int rank = 0; rank < layout->ranks; rank++)
    going = going && walk.cursors[rank].next == walk.cursors[rank].stop;
  walk_clear (&walk);
  return going && walk.n_sent == walk.n_taken;
}
