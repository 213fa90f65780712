/* Which stage edges cross ranks, seen from each (direction, stage). Lowering, checker and deadlock
 * search walk these lists instead of asking edge and placement again for every action. */
#pragma once
#include "schedules/schedule.h"
#include "schedules/stages.h"

typedef struct {
  int edge;
  int stage, rank; /* the other end */
  int row;         /* of the edge, among those that cross: see below */
} PwPort;

/* The ports of (direction, stage) are ports[start[i] .. start[i + 1]), i = direction*stages+stage,
 * in the order of the edges. */
typedef struct {
  int *start;
  PwPort *ports;
} PwPorts;

/* A message is known by row * slots + micro-batch: row 2k is F, 2k + 1 is B of the k-th edge that
 * crosses in some direction. */
typedef struct {
  int stages;
  PwPorts consumers; /* F goes to these, B comes from them */
  PwPorts producers; /* F comes from these, B goes to them */
  int n_rows;
  int *row_of_edge; /* [edges], of its F; -1: both stages on one rank in every direction */
} PwCrossings;

PwCrossings *pw__crossings_new (const PwPlacement *placement, const PwStageEdges *edges);
void pw__crossings_free (PwCrossings *crossings);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwCrossings, pw__crossings_free)

static inline gboolean
pw__action_is_message (PwAction action) {
  return action.kind >= PW_ACTION_SEND_FORWARD && action.kind <= PW_ACTION_RECV_BACKWARD;
}
static inline gboolean
pw__action_is_send (PwAction action) {
  return action.kind == PW_ACTION_SEND_FORWARD || action.kind == PW_ACTION_SEND_BACKWARD;
}
/* Of a message: does the gradient travel? */
static inline gboolean
pw__action_is_gradient (PwAction action) {
  return action.kind == PW_ACTION_SEND_BACKWARD || action.kind == PW_ACTION_RECV_BACKWARD;
}
/* B or I: needs and makes gradients of the stage's boundary. */
static inline gboolean
pw__action_is_backward (PwAction action) {
  return action.kind == PW_ACTION_BACKWARD || action.kind == PW_ACTION_INPUT_GRADIENT;
}
