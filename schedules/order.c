/* One pass over every list with a byte of flags per (stage, micro-batch) and one per message, then
 * a pass over the flags for what never came. */
#include "schedules/order_private.h"

static void
complain (PwOrderWalk *w, PwScheduleError code, PwAction action, const char *what) {
  char text[PW_ACTION_TEXT_MAX];
  if (!pw__check_log_is_full (w->log))
    pw__check_log_add (w->log, code, w->rank, w->index,
                       "rank %d, action %" G_GINT64_FORMAT ": %s %s", w->rank, w->index,
                       pw_action_format (action, text), what);
}

static gboolean
is_placed (PwOrderWalk *w, PwAction action) {
  const PwSchedule *schedule = w->schedule;
  const char *problem = NULL;
  gboolean numbered = pw_action_kinds[action.kind].has_microbatch;
  if (action.kind == PW_ACTION_NORM)
    return TRUE;
  if ((int)action.stage >= schedule->stages)
    problem = "names a stage that does not exist";
  else if (numbered && action.microbatch >= w->slots)
    problem = "names a micro-batch that does not exist";
  else if ((int)action.direction >= schedule->placement->directions)
    problem = "runs in a direction that does not exist";
  else if (pw_placement_rank (schedule->placement, action.direction, action.stage) != w->rank)
    problem = "is on a rank that does not hold its stage";
  else if (numbered && schedule->direction != NULL
           && (int)action.direction != pw__schedule_direction (schedule, action.microbatch))
    problem = "runs against its micro-batch's direction";
  if (problem != NULL)
    complain (w, PW_SCHEDULE_ERROR_PLACEMENT, action, problem);
  return problem == NULL;
}

/* Does F (or B or I) of STAGE still come on this rank? Out of order is one thing, missing another,
 * which is reported at the end. A very broken schedule is not searched for ever. */
static gboolean
comes_later (PwOrderWalk *w, gboolean forward, int stage, uint32_t microbatch) {
  if (w->searches == 0)
    return TRUE;
  w->searches--;
  const PwProgram *program = &w->schedule->programs[w->rank];
  for (int64_t i = w->index; i < program->n_prologue; i++) {
    PwAction action = program->actions[i];
    if ((forward ? action.kind == PW_ACTION_FORWARD : pw__action_is_backward (action))
        && (int)action.stage == stage && action.microbatch == microbatch)
      return TRUE;
  }
  return FALSE;
}

/* The stages of this rank that must come first: producers of a forward, consumers of a backward. */
static void
check_local_edges (PwOrderWalk *w, PwAction action) {
  const PwStageEdges *edges = w->edges;
  gboolean forward = action.kind == PW_ACTION_FORWARD;
  const int *start = forward ? edges->in_start : edges->out_start;
  const int *list = forward ? edges->in_edges : edges->out_edges;
  uint8_t wanted = forward ? PW__SEEN_F : PW__SEEN_B | PW__SEEN_I;
  for (int k = start[action.stage]; k < start[action.stage + 1]; k++) {
    const PwStageEdge *edge = &edges->edges[list[k]];
    int other = forward ? edge->producer : edge->consumer;
    if (pw_placement_rank (w->schedule->placement, action.direction, other) == w->rank
        && (*pw__order_seen (w, other, action.microbatch) & wanted) == 0
        && comes_later (w, forward, other, action.microbatch))
      complain (w, PW_SCHEDULE_ERROR_DEPENDENCY, action,
                forward ? "stands before the forward of a stage it takes its input from"
                        : "stands before the backward of a stage it takes its gradient from");
  }
}

/* Attention reads the keys of earlier pieces; their gradients come back in reverse. */
static void
check_pieces (PwOrderWalk *w, PwAction action) {
  uint32_t pieces = (uint32_t)w->schedule->pieces, piece = action.microbatch % pieces;
  if (action.kind == PW_ACTION_FORWARD && piece > 0
      && (*pw__order_seen (w, action.stage, action.microbatch - 1) & PW__SEEN_F) == 0
      && comes_later (w, TRUE, action.stage, action.microbatch - 1))
    complain (w, PW_SCHEDULE_ERROR_DEPENDENCY, action, "stands before the piece it follows");
  if (pw__action_is_backward (action) && piece + 1 < pieces
      && (*pw__order_seen (w, action.stage, action.microbatch + 1) & (PW__SEEN_B | PW__SEEN_I)) == 0
      && comes_later (w, FALSE, action.stage, action.microbatch + 1))
    complain (w, PW_SCHEDULE_ERROR_DEPENDENCY, action,
              "stands before the backward of the piece after it");
}

/* Does ACTION, which follows FIRST, need what FIRST makes, on one rank? */
static gboolean
needs (const PwOrderWalk *w, PwAction action, PwAction first) {
  const PwStageEdges *edges = w->edges;
  uint32_t pieces = (uint32_t)w->schedule->pieces;
  gboolean forward = action.kind == PW_ACTION_FORWARD;
  if (action.stage == first.stage)
    return action.microbatch / pieces == first.microbatch / pieces;
  if (action.microbatch != first.microbatch || forward != (first.kind == PW_ACTION_FORWARD)
      || !(forward || (pw__action_is_backward (action) && pw__action_is_backward (first))))
    return FALSE;
  const int *start = forward ? edges->in_start : edges->out_start;
  const int *list = forward ? edges->in_edges : edges->out_edges;
  for (int k = start[action.stage]; k < start[action.stage + 1]; k++) {
    const PwStageEdge *edge = &edges->edges[list[k]];
    if ((forward ? edge->producer : edge->consumer) == (int)first.stage)
      return TRUE;
  }
  return FALSE;
}

/* The two of a pair run at once. */
static void
check_pair (PwOrderWalk *w, PwAction action) {
  PwAction first = w->schedule->programs[w->rank].actions[w->index - 1];
  if (first.paired && needs (w, action, first))
    complain (w, PW_SCHEDULE_ERROR_DEPENDENCY, action, "overlaps what it needs");
}

/* What a compute kind sets, what it repeats, and before what it should have stood. */
typedef struct {
  uint8_t sets, repeats, precedes;
  const char *twice, *late;
} Rule;
static const Rule rules[PW_ACTION_N] = {
  [PW_ACTION_FORWARD]
  = { .sets = PW__SEEN_F,
      .repeats = PW__SEEN_F,
      .precedes
      = PW__SEEN_B | PW__SEEN_I | PW__SEEN_W | PW__SEEN_R | PW__SEEN_OFFLOAD | PW__SEEN_RELOAD,
      .twice = "stands there twice",
      .late = "stands behind its own backward, or what is done with its stash" },
  [PW_ACTION_BACKWARD] = { .sets = PW__SEEN_B,
                           .repeats = PW__SEEN_B | PW__SEEN_I | PW__SEEN_W,
                           .twice = "repeats a backward (B, or I and W) that stands before it" },
  [PW_ACTION_INPUT_GRADIENT] = { .sets = PW__SEEN_I,
                                 .repeats = PW__SEEN_B | PW__SEEN_I,
                                 .precedes = PW__SEEN_W,
                                 .twice = "repeats a backward (B or I) that stands before it",
                                 .late = "stands behind its weight gradient" },
  [PW_ACTION_WEIGHT_GRADIENT] = { .sets = PW__SEEN_W,
                                  .repeats = PW__SEEN_B | PW__SEEN_W,
                                  .twice = "repeats a backward (B or W) that stands before it" },
  [PW_ACTION_RECOMPUTE] = { .sets = PW__SEEN_R,
                            .repeats = PW__SEEN_R,
                            .precedes = PW__SEEN_B | PW__SEEN_I,
                            .twice = "stands there twice",
                            .late = "stands behind its backward" },
  [PW_ACTION_OFFLOAD] = { .sets = PW__SEEN_OFFLOAD,
                          .repeats = PW__SEEN_OFFLOAD,
                          .precedes = PW__SEEN_B | PW__SEEN_I | PW__SEEN_R | PW__SEEN_RELOAD,
                          .twice = "stands there twice",
                          .late = "stands behind what reads the stash, or its RELOAD" },
  [PW_ACTION_RELOAD] = { .sets = PW__SEEN_RELOAD,
                         .repeats = PW__SEEN_RELOAD,
                         .precedes = PW__SEEN_B | PW__SEEN_I | PW__SEEN_R,
                         .twice = "stands there twice",
                         .late = "stands behind what reads the stash" },
};

static PwOrderPlace *
place_of (const PwOrderWalk *w, PwAction action) {
  return &w->places[(int)action.direction * w->schedule->stages + (int)action.stage];
}

/* Do gradients of the weights UPDATE changes still come on this rank? */
static gboolean
gradients_come_later (const PwOrderWalk *w, PwAction update) {
  const PwProgram *program = &w->schedule->programs[w->rank];
  for (int64_t i = w->index + 1; i < program->n_prologue; i++) {
    PwAction action = program->actions[i];
    if ((action.kind == PW_ACTION_BACKWARD || action.kind == PW_ACTION_WEIGHT_GRADIENT)
        && action.stage == update.stage && action.direction == update.direction)
      return TRUE;
  }
  return FALSE;
}

/* One step per mini-batch: nothing may be under way when the weights change, or its backward would
 * meet others than its forward did. Asynchronous schedules are made of just that. */
static void
check_update (PwOrderWalk *w, PwAction action) {
  PwOrderPlace *place = place_of (w, action);
  if (place->updated && !place->has_gradients)
    complain (w, PW_SCHEDULE_ERROR_DUPLICATE, action, "has no gradients since the one before it");
  else if (place->under_way != 0 && w->schedule->promise.synchronous
           && gradients_come_later (w, action))
    complain (w, PW_SCHEDULE_ERROR_DEPENDENCY, action, "stands between a forward and its backward");
  place->updated = TRUE;
  place->has_gradients = FALSE;
  w->has_updates = TRUE;
}

static void
count_for_update (PwOrderWalk *w, PwAction action) {
  PwOrderPlace *place = place_of (w, action);
  if (action.kind == PW_ACTION_FORWARD) {
    place->under_way++;
  } else if (action.kind == PW_ACTION_BACKWARD || action.kind == PW_ACTION_WEIGHT_GRADIENT) {
    place->under_way--;
    place->has_gradients = TRUE;
  }
}

static void
check_compute (PwOrderWalk *w, PwAction action) {
  const Rule *rule = &rules[action.kind];
  if (action.kind == PW_ACTION_UPDATE)
    check_update (w, action);
  if (rule->sets == 0)
    return;
  count_for_update (w, action);
  if (w->index > 0)
    check_pair (w, action);
  uint8_t *seen = pw__order_seen (w, action.stage, action.microbatch);
  if ((*seen & rule->repeats) != 0)
    complain (w, PW_SCHEDULE_ERROR_DUPLICATE, action, rule->twice);
  else if ((*seen & rule->precedes) != 0)
    complain (w, PW_SCHEDULE_ERROR_DEPENDENCY, action, rule->late);
  *seen |= rule->sets;
  if (action.kind == PW_ACTION_FORWARD || pw__action_is_backward (action)) {
    check_local_edges (w, action);
    if (w->schedule->pieces > 1)
      check_pieces (w, action);
  }
}

/* SEND_F and RECV_B stand at the producer's end of the edge, RECV_F and SEND_B at the consumer's.
 */
static void
check_message (PwOrderWalk *w, PwAction action) {
  gboolean gradient = pw__action_is_gradient (action), send = pw__action_is_send (action);
  if ((int)action.edge >= w->edges->n_edges) {
    complain (w, PW_SCHEDULE_ERROR_PLACEMENT, action, "names a stage edge that does not exist");
    return;
  }
  const PwStageEdge *edge = &w->edges->edges[action.edge];
  if ((int)action.stage != (send != gradient ? edge->producer : edge->consumer)) {
    complain (w, PW_SCHEDULE_ERROR_PLACEMENT, action, "is not at an end of its stage edge");
    return;
  }
  const PwPlacement *placement = w->schedule->placement;
  if (pw_placement_rank (placement, action.direction, edge->producer)
      == pw_placement_rank (placement, action.direction, edge->consumer)) {
    complain (w, PW_SCHEDULE_ERROR_PLACEMENT, action, "has both its ends on this rank");
    return;
  }
  int row = w->crossings->row_of_edge[action.edge] + gradient;
  uint8_t *seen = &w->messages[row * w->slots + action.microbatch];
  uint8_t compute = *pw__order_seen (w, action.stage, action.microbatch);
  gboolean computed = (compute & (gradient ? PW__SEEN_B | PW__SEEN_I : PW__SEEN_F)) != 0;
  if ((*seen & (send ? PW__SEEN_SEND : PW__SEEN_RECV)) != 0)
    complain (w, PW_SCHEDULE_ERROR_DUPLICATE, action, "stands there twice");
  else if (send && !computed && comes_later (w, !gradient, action.stage, action.microbatch))
    complain (w, PW_SCHEDULE_ERROR_DEPENDENCY, action, "stands before what computes it");
  else if (!send && computed)
    complain (w, PW_SCHEDULE_ERROR_DEPENDENCY, action, "stands behind what consumes it");
  *seen |= send ? PW__SEEN_SEND : PW__SEEN_RECV;
}

static void
check_lists (PwOrderWalk *w) {
  for (w->rank = 0; w->rank < w->schedule->ranks; w->rank++) {
    const PwProgram *program = &w->schedule->programs[w->rank];
    for (w->index = 0; w->index < program->n_prologue; w->index++) {
      PwAction action = program->actions[w->index];
      g_assert (action.kind < PW_ACTION_N);
      if (pw__check_log_is_full (w->log))
        return;
      if (!is_placed (w, action))
        continue;
      if (!pw__action_is_message (action))
        check_compute (w, action);
      else if (w->messages != NULL)
        check_message (w, action);
      else
        complain (w, PW_SCHEDULE_ERROR_PLACEMENT, action, "is a message in a compute schedule");
    }
  }
}

/* A file of one cell may name stage 60,000 and micro-batch 16 million: what would not fit is
 * incomplete, and needs no array to be seen to be. */
static gboolean
is_within_reach (PwOrderWalk *w) {
  int64_t n = 0;
  for (int rank = 0; rank < w->schedule->ranks; rank++)
    n += w->schedule->programs[rank].n_prologue;
  int64_t needed = MAX (w->schedule->stages, w->crossings->n_rows) * w->slots;
  if (needed <= 16 * n + (1 << 20))
    return TRUE;
  pw__check_log_add (
      w->log, PW_SCHEDULE_ERROR_MISSING, -1, -1,
      "%d stages times %" G_GINT64_FORMAT
      " micro-batches need as many forwards, the whole schedule has %" G_GINT64_FORMAT " actions",
      w->schedule->stages, w->slots, n);
  return FALSE;
}

void
pw__check_order (const PwSchedule *schedule, const PwStageEdges *edges,
                 const PwCrossings *crossings, PwCheckLog *log) {
  PwOrderWalk w = { .schedule = schedule,
                    .edges = edges,
                    .crossings = crossings,
                    .log = log,
                    .slots = pw__schedule_slots (schedule),
                    .searches = 64 };
  if (!is_within_reach (&w))
    return;
  int places = schedule->placement->directions * schedule->stages;
  w.seen = g_malloc0 ((gsize)(schedule->stages * w.slots));
  w.messages = schedule->is_lowered ? g_malloc0 ((gsize)(crossings->n_rows * w.slots) + 1) : NULL;
  w.places = g_new0 (PwOrderPlace, (gsize)places);
  check_lists (&w);
  pw__order_find_missing (&w);
  g_free (w.places);
  g_free (w.messages);
  g_free (w.seen);
}
