/* What every engine reads: plain lists, and which messages an action takes and makes.
 *
 * An action's id is its place in all lists laid end to end: offset[rank] + index. A channel is one
 * (direction, F or B, edge), a port one (direction, F or B, stage):
 *
 *   channel = (direction * 2 + is_backward) * n_edges + edge
 *   port    = (direction * 2 + is_backward) * stages + stage
 *
 * A port's inputs are the channels its action waits for, its outputs those it fills. What travels
 * on a channel for a micro-batch is a slot: channel * microbatches + micro-batch. */
#pragma once
#include "schedules/schedule.h"
#include "sim/sim.h"

typedef struct {
  const PwSchedule *schedule; /* plain lists, all iterations */
  PwSchedule *unrolled;       /* where the input's were not plain or there are several iterations */
  const PwStageEdges *edges;
  PwStageEdges *chain; /* where the input has no edges */
  int ranks, stages, n_edges, iterations;
  int64_t microbatches;           /* times pieces, all iterations */
  int64_t iteration_microbatches; /* times pieces, one iteration */
  int64_t stride;                 /* slots per channel: microbatches and some space */
  int64_t n_actions;
  const PwAction **list; /* [ranks] */
  int64_t *offset;       /* [ranks + 1] */
  int n_channels, n_ports;
  int *sender, *receiver;      /* [n_channels] ranks; equal: no message */
  int *input_start, *inputs;   /* by port */
  int *output_start, *outputs; /* by port */
} PwSimLayout;

/* Fails with SIZE where ids would not fit in 31 bits, and with the schedule's own errors. */
PwSimLayout *pw__sim_layout_new (const PwSimInput *input, GError **error);
void pw__sim_layout_free (PwSimLayout *layout);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwSimLayout, pw__sim_layout_free)

static inline int64_t
pw__sim_length (const PwSimLayout *layout, int rank) {
  return layout->offset[rank + 1] - layout->offset[rank];
}
int pw__sim_rank_of (const PwSimLayout *layout, int64_t id);

static inline PwAction
pw__sim_action (const PwSimLayout *layout, int rank, int64_t id) {
  return layout->list[rank][id - layout->offset[rank]];
}

static inline gboolean
pw__sim_is_send (PwAction action) {
  return action.kind == PW_ACTION_SEND_FORWARD || action.kind == PW_ACTION_SEND_BACKWARD;
}
static inline gboolean
pw__sim_is_message (PwAction action) {
  return action.kind >= PW_ACTION_SEND_FORWARD && action.kind <= PW_ACTION_RECV_BACKWARD;
}
/* Takes and makes what crosses stages: F, B and I. */
static inline gboolean
pw__sim_has_port (PwAction action) {
  return action.kind <= PW_ACTION_INPUT_GRADIENT;
}
static inline int
pw__sim_port (const PwSimLayout *layout, PwAction action) {
  int backward = action.kind != PW_ACTION_FORWARD;
  return ((int)action.direction * 2 + backward) * layout->stages + (int)action.stage;
}
/* Of a message; its stage's port, where a SEND is made and a RECV is taken. */
static inline int
pw__sim_message_port (const PwSimLayout *layout, PwAction action) {
  int backward = action.kind >= PW_ACTION_SEND_BACKWARD;
  return ((int)action.direction * 2 + backward) * layout->stages + (int)action.stage;
}
static inline int
pw__sim_channel (const PwSimLayout *layout, PwAction action) {
  int backward = action.kind >= PW_ACTION_SEND_BACKWARD;
  return ((int)action.direction * 2 + backward) * layout->n_edges + (int)action.edge;
}
static inline int64_t
pw__sim_slot (const PwSimLayout *layout, int channel, PwAction action) {
  return channel * layout->stride + action.microbatch;
}
static inline int64_t
pw__sim_iteration (const PwSimLayout *layout, PwAction action) {
  return action.microbatch / layout->iteration_microbatches;
}
/* Two consecutive computes run as one. */
static inline gboolean
pw__sim_is_pair (const PwSimLayout *layout, int rank, int64_t id) {
  return pw__sim_action (layout, rank, id).paired && id + 1 < layout->offset[rank + 1]
         && !pw__sim_is_message (pw__sim_action (layout, rank, id + 1));
}

/* Who makes what, by slot and by port: action ids, -1: nobody. */
typedef struct {
  int32_t *send, *recv; /* [n_channels * stride] */
  int32_t *producer;    /* [n_ports * stride]: port * stride + micro-batch */
} PwSimIndex;
/* Fails with SCHEDULE where an action or a message stands twice. */
PwSimIndex *pw__sim_index_new (const PwSimLayout *layout, GError **error);
void pw__sim_index_free (PwSimIndex *index);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwSimIndex, pw__sim_index_free)

/* What costs say about one action, the same numbers for every engine. */
typedef struct {
  int stages;
  double *compute;        /* [directions][PW_ACTION_N][stages], of one piece; and of what is beside */
  double *overlapped;     /* [directions][stages], of one piece */
  int n_edges;
  double *transfer;       /* [n_channels], of a message alone */
  gboolean has_transfers; /* some message takes time */
  const double *factor;   /* [factor_microbatches][stages] or NULL */
  int factor_microbatches, pieces;
} PwSimDurations;
void pw__sim_durations_init (PwSimDurations *durations, const PwSimLayout *layout,
                             const PwStageCosts *costs);
void pw__sim_durations_clear (PwSimDurations *durations);

/* Of a message alone. */
static inline double
pw__sim_transfer (const PwSimDurations *durations, PwAction action) {
  int backward = action.kind >= PW_ACTION_SEND_BACKWARD;
  return durations
      ->transfer[((int)action.direction * 2 + backward) * durations->n_edges + (int)action.edge];
}
static inline double
pw__sim_factor (const PwSimDurations *durations, PwAction action) {
  if (durations->factor == NULL || action.kind >= PW_ACTION_UPDATE)
    return 1.0;
  int64_t m = action.microbatch / durations->pieces % durations->factor_microbatches;
  return durations->factor[m * durations->stages + action.stage];
}
static inline double
pw__sim_duration (const PwSimDurations *durations, PwAction action) {
  int row = (int)action.direction * PW_ACTION_N + (int)action.kind;
  double duration = durations->compute[row * durations->stages + action.stage];
  return durations->factor == NULL ? duration : duration * pw__sim_factor (durations, action);
}
double pw__sim_pair_duration (const PwSimDurations *durations, PwAction a, PwAction b);
