/* What one walk knows, and what its files share. In 1f1b a rank is one round (an F and a B) ahead
 * of its neighbours at most, so visits are short and what counts is the work per action: what a
 * message or a compute must know is one row of a table, and an action is taken apart once. */
#pragma once
#include "sim/links_private.h"
#include "sim/walk_private.h"

/* One channel: all that its messages touch but their own times, in one cache line. */
typedef struct {
  int32_t *slot; /* [microbatches] id + 1 of its SEND; 0: empty; -id - 1: empty, of its RECV */
  double transfer, last_end;
  int32_t last_send, last_recv; /* ids of the last message whose ends are both known */
  int sender, receiver;
  gboolean is_shared;            /* its link with other channels: then, where there are queues, */
  int32_t first_open, last_open; /* sent, but not transferred yet, in order; -1: none */
} PwSimWalkChannel;

/* Computes of one kind, direction and stage. */
typedef struct {
  double duration;  /* where it does not differ by micro-batch */
  int32_t **inputs; /* slots of the channels it waits for */
  int n_inputs;
  gboolean has_outputs; /* hands over to a stage of its own rank */
  uint64_t first_send;  /* the bits, but for the micro-batch, of what lowering writes behind it; */
  PwSimWalkChannel *channel; /* and its channel, NULL: none */
} PwSimWalkNode;

typedef enum {
  PW_SIM_WALK_NOT_KNOWN,
  PW_SIM_WALK_SEND,
  PW_SIM_WALK_RECEIVE,
  PW_SIM_WALK_COMPUTE,
  PW_SIM_WALK_PAIR
} PwSimWalkWhat;

/* How actions of one key are dealt with, and where their rows begin: that of edge 0 in `channels`,
 * or of stage 0 in `nodes`. */
typedef struct {
  PwSimWalkWhat what;
  int first_row;
} PwSimWalkWay;

typedef struct {
  const PwAction *next, *stop;
  int64_t id;            /* of `next` */
  const int32_t *awaits; /* the slot that the compute at `next` waits for; NULL: none */
} PwSimWalkCursor;

typedef struct {
  const PwSimLayout *layout;
  const PwSimDurations *durations;
  PwSimSummary *summary;
  gboolean has_queues, has_factor;
  uint32_t stages, edges, microbatches; /* what actions must be below */
  double *start, *end;                  /* the result's, by id */
  int32_t *slots;
  PwSimWalkChannel *channels; /* [n_channels] */
  int32_t **consumed;         /* the nodes' inputs, as layout->inputs */
  PwSimWalkNode *nodes;       /* [directions][PW_ACTION_N][stages] */
  PwSimWalkWay ways[PW_ACTION_KEYS];
  PwSimWalkCursor *cursors; /* [ranks] */
  uint64_t *runnable;       /* a bit per rank that can walk on */
  int n_words;
  int64_t n_sent, n_taken;
  int64_t n_visits, look_at; /* how many there were, and at which to look for a round */
  int irregular;             /* the rank that had none at the last look, */
  const PwAction *stood;     /* and where it stood */
  /* Where links are shared. */
  PwSimLinks *links;
  PwSimHeap heap;
  int32_t *next_open; /* by id of a SEND */
} PwSimWalk;

/* Fills the tables of a walk whose layout, durations and links are set; every rank is runnable. */
void pw__sim_walk_init (PwSimWalk *walk);
void pw__sim_walk_clear (PwSimWalk *walk);
/* The highest runnable rank, no longer marked as such, or -1. */
int pw__sim_walk_next_runnable (PwSimWalk *walk);
/* Walks on as far as RANK can. FALSE: stuck for good. */
gboolean pw__sim_walk_rank (PwSimWalk *walk, int rank);
/* Where lists repeat, carries out all rounds but the first and the last. FALSE: stuck for good. */
gboolean pw__sim_walk_repeat (PwSimWalk *walk);

/* Of links that are shared. */
void pw__sim_walk_send_shared (PwSimWalk *walk, PwSimWalkChannel *channel, int32_t send,
                               double ready);
gboolean pw__sim_stands_behind (const PwAction *at, int64_t back);
/* What time decides: only when no rank can walk on, so that none can still come before it. FALSE:
 * stuck. */
gboolean pw__sim_walk_event (PwSimWalk *walk, const PwSimEvent *event);

/* How many places before the SEND at AT its producer stands, or -1, where it is not the action
 * before. FIRST is its list's. */
int64_t pw__sim_look_back (const PwAction *first, const PwAction *at);

static inline const PwAction *
pw__sim_walk_at (const PwSimWalk *walk, int rank, int64_t id) {
  return walk->layout->list[rank] + (id - walk->layout->offset[rank]);
}

/* ACTION made what SEND carries: they have stage, micro-batch and direction in common. */
static inline gboolean
pw__sim_is_producer (const PwAction *action, const PwAction *send) {
  static const PwAction place = { .stage = 0xffff, .microbatch = 0xffffff, .direction = 1 };
  unsigned makers = send->kind == PW_ACTION_SEND_FORWARD
                        ? 1 << PW_ACTION_FORWARD
                        : 1 << PW_ACTION_BACKWARD | 1 << PW_ACTION_INPUT_GRADIENT;
  return ((pw_action_bits (action) ^ pw_action_bits (send)) & pw_action_bits (&place)) == 0
         && (makers >> action->kind & 1) != 0;
}

/* Nearly always it is the action before. */
static inline int64_t
pw__sim_find_producer (const PwAction *first, const PwAction *at) {
  return G_LIKELY (at > first && pw__sim_is_producer (at - 1, at)) ? 1
                                                                   : pw__sim_look_back (first, at);
}

static inline void
pw__sim_walk_make_runnable (PwSimWalk *walk, int rank) {
  walk->runnable[rank / 64] |= (uint64_t)1 << rank % 64;
}

/* Both ends of a message are known. Where there are queues, both lists must have a channel's
 * messages in one order: then they are matched in that order. */
static inline gboolean
pw__sim_walk_match (PwSimWalk *walk, PwSimWalkChannel *channel, int32_t send, int32_t recv,
                    double start, double end) {
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
pw__sim_walk_arrive (PwSimWalk *walk, PwSimWalkChannel *channel, int32_t *slot, int64_t id,
                     double start, double end) {
  int32_t before = *slot;
  if (G_UNLIKELY (before > 0))
    return FALSE;
  channel->last_end = end;
  *slot = (int32_t)(id + 1);
  if (walk->cursors[channel->receiver].awaits == slot)
    pw__sim_walk_make_runnable (walk, channel->receiver);
  return before == 0 || pw__sim_walk_match (walk, channel, (int32_t)id, -before - 1, start, end);
}
