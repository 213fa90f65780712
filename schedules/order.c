/* One pass over every list with a byte of flags per (stage, micro-batch) and one per message, then
 * a pass over the flags for what never came. */
#include "schedules/check_private.h"
#include "schedules/schedule_private.h"

/* Of a (stage, micro-batch). */
enum { SEEN_F = 1, SEEN_B = 2, SEEN_I = 4, SEEN_W = 8, SEEN_R = 16 };
/* Of a message. */
enum { SEEN_SEND = 1, SEEN_RECV = 2 };

typedef struct {
  const PwSchedule *schedule;
  const PwStageEdges *edges;
  const PwCrossings *crossings;
  PwCheckLog *log;
  int64_t slots;
  uint8_t *seen;     /* [stages][slots] */
  uint8_t *messages; /* [rows][slots]; NULL at the compute level */
  int rank;          /* the one being walked */
  int64_t index;     /* of the action in its list */
  int searches;      /* left to comes_later */
} Walk;

static void
complain (Walk *w, PwScheduleError code, PwAction action, const char *what) {
  char text[PW_ACTION_TEXT_MAX];
  if (!pw__check_log_is_full (w->log))
    pw__check_log_add (w->log, code, w->rank, w->index,
                       "rank %d, action %" G_GINT64_FORMAT ": %s %s", w->rank, w->index,
                       pw_action_format (action, text), what);
}

static uint8_t *
seen_of (const Walk *w, int stage, uint32_t microbatch) {
  return &w->seen[(int64_t)stage * w->slots + microbatch];
}

static gboolean
is_placed (Walk *w, PwAction action) {
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
comes_later (Walk *w, gboolean forward, int stage, uint32_t microbatch) {
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
check_local_edges (Walk *w, PwAction action) {
  const PwStageEdges *edges = w->edges;
  gboolean forward = action.kind == PW_ACTION_FORWARD;
  const int *start = forward ? edges->in_start : edges->out_start;
  const int *list = forward ? edges->in_edges : edges->out_edges;
  uint8_t wanted = forward ? SEEN_F : SEEN_B | SEEN_I;
  for (int k = start[action.stage]; k < start[action.stage + 1]; k++) {
    const PwStageEdge *edge = &edges->edges[list[k]];
    int other = forward ? edge->producer : edge->consumer;
    if (pw_placement_rank (w->schedule->placement, action.direction, other) == w->rank
        && (*seen_of (w, other, action.microbatch) & wanted) == 0
        && comes_later (w, forward, other, action.microbatch))
      complain (w, PW_SCHEDULE_ERROR_DEPENDENCY, action,
                forward ? "stands before the forward of a stage it takes its input from"
                        : "stands before the backward of a stage it takes its gradient from");
  }
}

/* Attention reads the keys of earlier pieces; their gradients come back in reverse. */
static void
check_pieces (Walk *w, PwAction action) {
  uint32_t pieces = (uint32_t)w->schedule->pieces, piece = action.microbatch % pieces;
  if (action.kind == PW_ACTION_FORWARD && piece > 0
      && (*seen_of (w, action.stage, action.microbatch - 1) & SEEN_F) == 0
      && comes_later (w, TRUE, action.stage, action.microbatch - 1))
    complain (w, PW_SCHEDULE_ERROR_DEPENDENCY, action, "stands before the piece it follows");
  if (pw__action_is_backward (action) && piece + 1 < pieces
      && (*seen_of (w, action.stage, action.microbatch + 1) & (SEEN_B | SEEN_I)) == 0
      && comes_later (w, FALSE, action.stage, action.microbatch + 1))
    complain (w, PW_SCHEDULE_ERROR_DEPENDENCY, action,
              "stands before the backward of the piece after it");
}

/* What a compute kind sets, what it repeats, and before what it should have stood. */
typedef struct {
  uint8_t sets, repeats, precedes;
  const char *twice, *late;
} Rule;
static const Rule rules[PW_ACTION_N] = {
  [PW_ACTION_FORWARD] = { .sets = SEEN_F,
                          .repeats = SEEN_F,
                          .precedes = SEEN_B | SEEN_I | SEEN_W | SEEN_R,
                          .twice = "stands there twice",
                          .late = "stands behind its own backward" },
  [PW_ACTION_BACKWARD] = { .sets = SEEN_B,
                           .repeats = SEEN_B | SEEN_I | SEEN_W,
                           .twice = "repeats a backward (B, or I and W) that stands before it" },
  [PW_ACTION_INPUT_GRADIENT] = { .sets = SEEN_I,
                                 .repeats = SEEN_B | SEEN_I,
                                 .precedes = SEEN_W,
                                 .twice = "repeats a backward (B or I) that stands before it",
                                 .late = "stands behind its weight gradient" },
  [PW_ACTION_WEIGHT_GRADIENT] = { .sets = SEEN_W,
                                  .repeats = SEEN_B | SEEN_W,
                                  .twice = "repeats a backward (B or W) that stands before it" },
  [PW_ACTION_RECOMPUTE] = { .sets = SEEN_R,
                            .repeats = SEEN_R,
                            .precedes = SEEN_B | SEEN_I,
                            .twice = "stands there twice",
                            .late = "stands behind its backward" },
};

static void
check_compute (Walk *w, PwAction action) {
  const Rule *rule = &rules[action.kind];
  if (rule->sets == 0)
    return;
  uint8_t *seen = seen_of (w, action.stage, action.microbatch);
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
check_message (Walk *w, PwAction action) {
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
  uint8_t compute = *seen_of (w, action.stage, action.microbatch);
  gboolean computed = (compute & (gradient ? SEEN_B | SEEN_I : SEEN_F)) != 0;
  if ((*seen & (send ? SEEN_SEND : SEEN_RECV)) != 0)
    complain (w, PW_SCHEDULE_ERROR_DUPLICATE, action, "stands there twice");
  else if (send && !computed && comes_later (w, !gradient, action.stage, action.microbatch))
    complain (w, PW_SCHEDULE_ERROR_DEPENDENCY, action, "stands before what computes it");
  else if (!send && computed)
    complain (w, PW_SCHEDULE_ERROR_DEPENDENCY, action, "stands behind what consumes it");
  *seen |= send ? SEEN_SEND : SEEN_RECV;
}

static void
check_lists (Walk *w) {
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

static void
report_missing (Walk *w, PwActionKind kind, int stage, uint32_t microbatch) {
  char text[PW_ACTION_TEXT_MAX];
  if (pw__check_log_is_full (w->log))
    return;
  int direction = pw__schedule_direction (w->schedule, microbatch);
  int rank = pw_placement_rank (w->schedule->placement, direction, stage);
  if (rank < 0)
    pw__check_log_add (w->log, PW_SCHEDULE_ERROR_MISSING, -1, -1, "%s is missing",
                       pw_action_format (pw_action (kind, stage, microbatch), text));
  else
    pw__check_log_add (w->log, PW_SCHEDULE_ERROR_MISSING, rank, -1, "rank %d: %s is missing", rank,
                       pw_action_format (pw_action (kind, stage, microbatch), text));
}

static void
find_missing_compute (Walk *w) {
  gboolean trains = w->schedule->mode == PW_MODE_TRAINING;
  for (int stage = 0; stage < w->schedule->stages; stage++)
    for (uint32_t m = 0; m < w->slots; m++) {
      uint8_t seen = *seen_of (w, stage, m);
      if ((seen & SEEN_F) == 0)
        report_missing (w, PW_ACTION_FORWARD, stage, m);
      if (!trains || (seen & SEEN_B) != 0)
        continue;
      if ((seen & (SEEN_I | SEEN_W)) == 0)
        report_missing (w, PW_ACTION_BACKWARD, stage, m);
      else if ((seen & SEEN_I) == 0)
        report_missing (w, PW_ACTION_INPUT_GRADIENT, stage, m);
      else if ((seen & SEEN_W) == 0)
        report_missing (w, PW_ACTION_WEIGHT_GRADIENT, stage, m);
    }
}

static void
find_missing_messages (Walk *w) {
  const PwPlacement *placement = w->schedule->placement;
  int flows = w->schedule->mode == PW_MODE_TRAINING ? 2 : 1;
  for (int e = 0; e < w->edges->n_edges; e++) {
    const PwStageEdge *edge = &w->edges->edges[e];
    if (w->crossings->row_of_edge[e] < 0)
      continue;
    for (int gradient = 0; gradient < flows; gradient++) {
      const uint8_t *row = &w->messages[(w->crossings->row_of_edge[e] + gradient) * w->slots];
      int from = gradient ? edge->consumer : edge->producer;
      int to = gradient ? edge->producer : edge->consumer;
      for (uint32_t m = 0; m < w->slots; m++) {
        if (row[m] == (SEEN_SEND | SEEN_RECV))
          continue;
        int direction = pw__schedule_direction (w->schedule, m);
        if (pw_placement_rank (placement, direction, from)
            == pw_placement_rank (placement, direction, to))
          continue;
        if ((row[m] & SEEN_SEND) == 0)
          report_missing (w, gradient ? PW_ACTION_SEND_BACKWARD : PW_ACTION_SEND_FORWARD, from, m);
        if ((row[m] & SEEN_RECV) == 0)
          report_missing (w, gradient ? PW_ACTION_RECV_BACKWARD : PW_ACTION_RECV_FORWARD, to, m);
      }
    }
  }
}

/* A file of one cell may name stage 60,000 and micro-batch 16 million: what would not fit is
 * incomplete, and needs no array to be seen to be. */
static gboolean
is_within_reach (Walk *w) {
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
  Walk w = { .schedule = schedule,
             .edges = edges,
             .crossings = crossings,
             .log = log,
             .slots = pw__schedule_slots (schedule),
             .searches = 64 };
  if (!is_within_reach (&w))
    return;
  g_autofree uint8_t *seen = g_malloc0 ((gsize)(schedule->stages * w.slots));
  g_autofree uint8_t *messages
      = schedule->is_lowered ? g_malloc0 ((gsize)(crossings->n_rows * w.slots) + 1) : NULL;
  w.seen = seen;
  w.messages = messages;
  check_lists (&w);
  find_missing_compute (&w);
  if (schedule->is_lowered)
    find_missing_messages (&w);
}
