#include "reference.h"

#include <string.h>

typedef struct {
  const Case *c;
  const PwSchedule *schedule;
  int64_t *offset;
  double *start, *end;
  gboolean unit; /* everything takes 1, messages too: a cycle then never settles */
  GArray *waits; /* ids of whatever's end was asked for; NULL: nobody wants to know */
} Play;

static double
end_of (const Play *play, int64_t id) {
  if (play->waits != NULL)
    g_array_append_val (play->waits, id);
  return play->end[id];
}

static PwAction
at (const Play *play, int rank, int64_t index) {
  return play->schedule->programs[rank].actions[index];
}

static int64_t
length (const Play *play, int rank) {
  return play->schedule->programs[rank].n_prologue;
}

static gboolean
is_message (PwAction action) {
  return pw_action_kinds[action.kind].is_send || pw_action_kinds[action.kind].is_recv;
}

static gboolean
is_collective (PwAction action) {
  return action.kind == PW_ACTION_REDUCE_GRADIENT || action.kind == PW_ACTION_NORM;
}

static gboolean
is_copy (PwAction action) {
  return action.kind == PW_ACTION_OFFLOAD || action.kind == PW_ACTION_RELOAD;
}

static gboolean
is_gradient (PwAction action) {
  return action.kind == PW_ACTION_SEND_BACKWARD || action.kind == PW_ACTION_RECV_BACKWARD;
}

static gboolean
is_pair (const Play *play, int rank, int64_t index) {
  return at (play, rank, index).paired && index + 1 < length (play, rank);
}

static gboolean
is_second_of_pair (const Play *play, int rank, int64_t index) {
  return index > 0 && is_pair (play, rank, index - 1) && !is_second_of_pair (play, rank, index - 1);
}

static double
rank_factor_of (const Case *c, PwAction action) {
  int rank = pw_placement_rank (c->lowered->placement, action.direction, action.stage);
  return c->costs->rank_factor == NULL ? 1 : c->costs->rank_factor[rank];
}

static double
compute_time (const Case *c, PwAction action) {
  const PwStageCosts *costs = c->costs;
  const PwStageCost *cost = &costs->stage[action.stage];
  double time[PW_ACTION_N]
      = { [PW_ACTION_FORWARD] = cost->forward,      [PW_ACTION_BACKWARD] = cost->backward,
          [PW_ACTION_INPUT_GRADIENT] = cost->input, [PW_ACTION_WEIGHT_GRADIENT] = cost->weight,
          [PW_ACTION_RECOMPUTE] = cost->recompute,  [PW_ACTION_UPDATE] = cost->update };
  if (is_collective (action))
    return action.kind == PW_ACTION_NORM ? costs->norm : cost->reduce;
  if (is_copy (action))
    return cost->offload;
  if (costs->rank_factor != NULL)
    time[action.kind] *= rank_factor_of (c, action);
  if (costs->factor == NULL || action.kind == PW_ACTION_UPDATE)
    return time[action.kind];
  int64_t m = action.microbatch % costs->microbatches;
  return time[action.kind] * costs->factor[m * costs->stages + action.stage];
}

static double
factor_of (const Case *c, PwAction action) {
  return c->costs->factor == NULL
             ? 1
             : c->costs->factor[action.microbatch % c->costs->microbatches * c->costs->stages
                                + action.stage];
}

PwPath
reference_path (const Case *c, PwAction message) {
  const PwStageEdge *edge = &c->edges->edges[message.edge];
  const PwPlacement *placement = c->lowered->placement;
  int producer = pw_placement_rank (placement, message.direction, edge->producer);
  int consumer = pw_placement_rank (placement, message.direction, edge->consumer);
  PwPath path;
  pw_stage_costs_path (c->costs, message.edge, is_gradient (message) ? consumer : producer,
                       is_gradient (message) ? producer : consumer, &path);
  return path;
}

double
reference_duration (const Case *c, int rank, int64_t index) {
  const PwProgram *program = &c->lowered->programs[rank];
  PwAction action = program->actions[index];
  if (is_message (action)) {
    PwPath path = reference_path (c, action);
    double bytes = (double)c->costs->message_bytes[action.edge];
    return path.latency_s + (path.bandwidth > 0 ? bytes / path.bandwidth : 0);
  }
  Play play = { .c = c, .schedule = c->lowered };
  gboolean second = is_second_of_pair (&play, rank, index);
  if (!second && !is_pair (&play, rank, index))
    return compute_time (c, action);
  PwAction a = program->actions[index - second], b = program->actions[index - second + 1];
  PwAction forward = a.kind == PW_ACTION_FORWARD ? a : b;
  double overlapped = c->costs->stage[forward.stage].overlapped * rank_factor_of (c, forward);
  if (overlapped > 0)
    return overlapped * MAX (factor_of (c, a), factor_of (c, b));
  return compute_time (c, a) + compute_time (c, b);
}

static gboolean
matches (PwAction action, PwActionKind kind, int stage, PwAction like) {
  return action.kind == kind && (int)action.stage == stage && action.microbatch == like.microbatch
         && action.direction == like.direction;
}

/* End of the compute of KIND (B: or I) on STAGE for LIKE's micro-batch. */
static double
end_of_compute (const Play *play, PwActionKind kind, int stage, PwAction like) {
  for (int rank = 0; rank < play->schedule->ranks; rank++)
    for (int64_t i = 0; i < length (play, rank); i++)
      if (matches (at (play, rank, i), kind, stage, like)
          || (kind == PW_ACTION_BACKWARD
              && matches (at (play, rank, i), PW_ACTION_INPUT_GRADIENT, stage, like)))
        return end_of (play, play->offset[rank] + i);
  g_assert_not_reached ();
}

/* The message of KIND on EDGE for LIKE's micro-batch; the rank that has it, its place in *INDEX. */
static int
find_message (const Play *play, PwActionKind kind, int edge, PwAction like, int64_t *index) {
  for (int rank = 0; rank < play->schedule->ranks; rank++)
    for (*index = 0; *index < length (play, rank); ++*index) {
      PwAction action = at (play, rank, *index);
      if (action.kind == kind && action.edge == edge && action.microbatch == like.microbatch
          && action.direction == like.direction)
        return rank;
    }
  g_assert_not_reached ();
}

static gboolean
meet (const Play *play, PwAction a, PwAction b) {
  return a.kind == b.kind
         && (a.kind == PW_ACTION_NORM
             || (a.stage == b.stage && play->schedule->placement->directions == 2));
}

/* How many of its like stand before INDEX: the k-th of each meet. */
static int
occurrence (const Play *play, int rank, int64_t index) {
  PwAction action = at (play, rank, index);
  int before = 0;
  for (int64_t i = 0; i < index; i++)
    before += at (play, rank, i).kind == action.kind && at (play, rank, i).stage == action.stage
              && at (play, rank, i).direction == action.direction;
  return before;
}

/* Whether what stands at INDEX waits for the REDUCE_GRAD, OFFLOAD or RELOAD at I before it: U of
 * its stage and what reads its stash do, a RELOAD for its OFFLOAD, and those of one queue, which
 * are done one after another; but for the other replica's half of the same exchange. */
static gboolean
waits_for_async (const Play *play, int rank, int64_t index, int64_t i) {
  PwAction action = at (play, rank, index), before = at (play, rank, i);
  gboolean is_own = action.stage == before.stage && action.direction == before.direction;
  gboolean is_own_stash = is_own && action.microbatch == before.microbatch;
  if (is_collective (action))
    return !is_copy (before)
           && (!meet (play, action, before)
               || occurrence (play, rank, index) != occurrence (play, rank, i));
  if (is_copy (action))
    return action.kind == before.kind
           || (action.kind == PW_ACTION_RELOAD && before.kind == PW_ACTION_OFFLOAD && is_own_stash);
  if (action.kind == PW_ACTION_UPDATE)
    return before.kind == PW_ACTION_REDUCE_GRADIENT && is_own;
  return before.kind == PW_ACTION_RELOAD && is_own_stash
         && (action.kind == PW_ACTION_BACKWARD || action.kind == PW_ACTION_INPUT_GRADIENT
             || action.kind == PW_ACTION_RECOMPUTE);
}

/* The latest end of what comes before INDEX in the program, messages too where they BLOCK; a
 * message does not wait for its own group. */
static double
before_in_program (const Play *play, int rank, int64_t index, gboolean blocks) {
  double latest = 0;
  int64_t i = index - 1;
  if (is_message (at (play, rank, index)))
    while (i >= 0 && is_message (at (play, rank, i)) && at (play, rank, i).grouped)
      i--;
  for (; i >= 0; i--)
    if (at (play, rank, i).kind == PW_ACTION_REDUCE_GRADIENT || is_copy (at (play, rank, i))
            ? waits_for_async (play, rank, index, i)
            : blocks || !is_message (at (play, rank, i))) {
      double end = end_of (play, play->offset[rank] + i);
      latest = MAX (latest, end);
    }
  return latest;
}

/* Of the stash that the action at INDEX reads; 0: it never went. */
static double
reload_end (const Play *play, int rank, int64_t index) {
  for (int64_t i = 0; i < index; i++)
    if (at (play, rank, i).kind == PW_ACTION_RELOAD && waits_for_async (play, rank, index, i))
      return end_of (play, play->offset[rank] + i);
  return 0;
}

static int
peer_of (const Play *play, int rank, PwAction message) {
  const PwStageEdge *edge = &play->c->edges->edges[message.edge];
  int a = pw_placement_rank (play->schedule->placement, message.direction, edge->producer);
  int b = pw_placement_rank (play->schedule->placement, message.direction, edge->consumer);
  return rank == a ? b : a;
}

static gboolean
share_queue (const Play *play, int rank, PwAction a, PwAction b) {
  switch (pw_policies[play->schedule->policy].queue) {
  case PW_QUEUE_NONE:
    return FALSE;
  case PW_QUEUE_RANK:
    return TRUE;
  case PW_QUEUE_PEER:
    return peer_of (play, rank, a) == peer_of (play, rank, b);
  default:
    return a.edge == b.edge && a.direction == b.direction && is_gradient (a) == is_gradient (b);
  }
}

/* The latest end of all members of all entries before INDEX's in its queue. */
static double
before_in_queue (const Play *play, int rank, int64_t index) {
  PwAction action = at (play, rank, index);
  double latest = 0;
  int64_t first = index;
  while (first > 0 && is_message (at (play, rank, first - 1)) && at (play, rank, first - 1).grouped)
    first--;
  for (int64_t i = 0; i < first; i++) {
    if (!is_message (at (play, rank, i)) || !share_queue (play, rank, action, at (play, rank, i)))
      continue;
    int64_t from = i, to = i;
    while (from > 0 && is_message (at (play, rank, from - 1)) && at (play, rank, from - 1).grouped)
      from--;
    while (at (play, rank, to).grouped && to + 1 < length (play, rank)
           && is_message (at (play, rank, to + 1)))
      to++;
    for (int64_t member = from; member <= to; member++) {
      double end = end_of (play, play->offset[rank] + member);
      latest = MAX (latest, end);
    }
  }
  return latest;
}

static double
transfer_start (const Play *play, PwAction send) {
  const PwPolicyInfo *policy = &pw_policies[play->schedule->policy];
  gboolean gradient = is_gradient (send);
  double start
      = end_of_compute (play, gradient ? PW_ACTION_BACKWARD : PW_ACTION_FORWARD, send.stage, send);
  for (int side = 0; side < 2; side++) {
    PwActionKind kind = gradient ? (side ? PW_ACTION_RECV_BACKWARD : PW_ACTION_SEND_BACKWARD)
                                 : (side ? PW_ACTION_RECV_FORWARD : PW_ACTION_SEND_FORWARD);
    int64_t index;
    int rank = find_message (play, kind, send.edge, send, &index);
    double queue = before_in_queue (play, rank, index);
    double program = policy->blocks_program ? before_in_program (play, rank, index, TRUE) : 0;
    start = MAX (start, MAX (queue, program));
  }
  return start;
}

/* The latest end of what ACTION takes from other stages. */
static double
inputs_end (const Play *play, PwAction action) {
  const PwStageEdges *edges = play->c->edges;
  const PwPlacement *placement = play->schedule->placement;
  gboolean forward = action.kind == PW_ACTION_FORWARD;
  double latest = 0;
  if (!forward && action.kind != PW_ACTION_BACKWARD && action.kind != PW_ACTION_INPUT_GRADIENT)
    return 0;
  for (int e = 0; e < edges->n_edges; e++) {
    int own = forward ? edges->edges[e].consumer : edges->edges[e].producer;
    int other = forward ? edges->edges[e].producer : edges->edges[e].consumer;
    if (own != (int)action.stage)
      continue;
    int64_t index;
    double end;
    if (pw_placement_rank (placement, action.direction, own)
        == pw_placement_rank (placement, action.direction, other))
      end = end_of_compute (play, forward ? PW_ACTION_FORWARD : PW_ACTION_BACKWARD, other, action);
    else {
      int rank = find_message (play, forward ? PW_ACTION_SEND_FORWARD : PW_ACTION_SEND_BACKWARD, e,
                               action, &index);
      end = end_of (play, play->offset[rank] + index);
    }
    latest = MAX (latest, end);
  }
  return latest;
}

/* When the last of those that take part has come to it. */
static double
collective_start (const Play *play, int rank, int64_t index) {
  gboolean blocks = pw_policies[play->schedule->policy].blocks_program;
  double start = before_in_program (play, rank, index, blocks);
  for (int other = 0; other < play->schedule->ranks; other++)
    for (int64_t i = 0; i < length (play, other); i++)
      if (meet (play, at (play, rank, index), at (play, other, i))
          && occurrence (play, rank, index) == occurrence (play, other, i)) {
        double ready = before_in_program (play, other, i, blocks);
        start = MAX (start, ready);
      }
  return start;
}

static gboolean
set_time (Play *play, int64_t id, double start, double duration) {
  double end = start + (play->unit ? 1 : duration);
  gboolean changed = play->start[id] < start || play->end[id] < end;
  play->start[id] = start;
  play->end[id] = end;
  return changed;
}

static gboolean
put_off (Play *play, int rank, int64_t index) {
  PwAction action = at (play, rank, index);
  int64_t id = play->offset[rank] + index;
  double duration = reference_duration (play->c, rank, index);
  gboolean blocks = pw_policies[play->schedule->policy].blocks_program;
  if (pw_action_kinds[action.kind].is_send)
    return set_time (play, id, transfer_start (play, action), duration);
  if (pw_action_kinds[action.kind].is_recv) {
    int64_t other;
    int sender = find_message (play, action.kind - 1, action.edge, action, &other);
    return set_time (play, id, play->start[play->offset[sender] + other], duration);
  }
  if (is_collective (action))
    return set_time (play, id, collective_start (play, rank, index), duration);
  if (is_second_of_pair (play, rank, index))
    return set_time (play, id, play->start[id - 1], duration);
  double program = before_in_program (play, rank, index, blocks);
  double inputs = inputs_end (play, action);
  double start = MAX (program, inputs);
  if (is_pair (play, rank, index)) {
    double others = inputs_end (play, at (play, rank, index + 1));
    double stash = reload_end (play, rank, index + 1);
    start = MAX (start, MAX (others, stash));
  }
  return set_time (play, id, start, duration);
}

/* FALSE: still changing after as many rounds as there are actions. */
static gboolean
settle (Play *play) {
  int64_t n = play->offset[play->schedule->ranks];
  memset (play->start, 0, (gsize)n * sizeof (double));
  memset (play->end, 0, (gsize)n * sizeof (double));
  for (int64_t round = 0; round < n + 2; round++) {
    gboolean changed = FALSE;
    for (int rank = 0; rank < play->schedule->ranks; rank++)
      for (int64_t i = 0; i < length (play, rank); i++)
        changed |= put_off (play, rank, i);
    if (!changed)
      return TRUE;
  }
  return FALSE;
}

Reference *
reference_run (const Case *c) {
  Play play = { .c = c, .schedule = c->lowered, .unit = TRUE };
  play.offset = g_new0 (int64_t, (gsize)(play.schedule->ranks + 1));
  for (int rank = 0; rank < play.schedule->ranks; rank++)
    play.offset[rank + 1] = play.offset[rank] + length (&play, rank);
  int64_t n = play.offset[play.schedule->ranks];
  play.start = g_new (double, (gsize)(n + 1));
  play.end = g_new (double, (gsize)(n + 1));
  gboolean settles = settle (&play);
  play.unit = FALSE;
  settles = settles && settle (&play);
  g_free (play.offset);
  Reference *reference = g_new (Reference, 1);
  *reference = (Reference){ .n = n, .start = play.start, .end = play.end };
  if (!settles)
    g_clear_pointer (&reference, reference_free);
  return reference;
}

GArray **
reference_waits (const Case *c) {
  Play play = { .c = c, .schedule = c->lowered };
  play.offset = g_new0 (int64_t, (gsize)(play.schedule->ranks + 1));
  for (int rank = 0; rank < play.schedule->ranks; rank++)
    play.offset[rank + 1] = play.offset[rank] + length (&play, rank);
  int64_t n = play.offset[play.schedule->ranks];
  play.start = g_new0 (double, (gsize)(n + 1));
  play.end = g_new0 (double, (gsize)(n + 1));
  GArray **waits = g_new0 (GArray *, (gsize)(n + 1));
  for (int rank = 0; rank < play.schedule->ranks; rank++)
    for (int64_t i = 0; i < length (&play, rank); i++) {
      play.waits = waits[play.offset[rank] + i] = g_array_new (FALSE, FALSE, sizeof (int64_t));
      put_off (&play, rank, i);
    }
  g_free (play.offset);
  g_free (play.start);
  g_free (play.end);
  return waits;
}

void
reference_free (Reference *reference) {
  if (reference == NULL)
    return;
  g_free (reference->start);
  g_free (reference->end);
  g_free (reference);
}
