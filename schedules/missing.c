/* A pass over the flags that the walk over the lists has left, for what never came. A finding
 * points at what is there without it: the backward of a forward that is missing, the compute of a
 * message. Micro-batches that only one of many stages knows are a slip of the pen there, not all
 * that the other stages lack. */
#include "schedules/order_private.h"

typedef struct {
  const PwOrderWalk *walk;
  uint8_t *stages_of; /* [slots]: how many stages compute something of it, at most 2; made when the
                         first thing is found missing */
  uint8_t *reported;  /* [slots]: its stray has been */
} Search;

static gboolean
is_full (const Search *s) {
  return pw__check_log_is_full (s->walk->log);
}

static void
count_stages (Search *s) {
  const PwOrderWalk *w = s->walk;
  s->stages_of = g_malloc0 ((gsize)w->slots);
  s->reported = g_malloc0 ((gsize)w->slots);
  for (int stage = 0; stage < w->schedule->stages; stage++)
    for (uint32_t m = 0; m < w->slots; m++)
      if (*pw__order_seen (w, stage, m) != 0 && s->stages_of[m] < 2)
        s->stages_of[m]++;
}

/* The first action of RANK that is of the micro-batch and, STAGE >= 0, the stage; -1: none. */
static int64_t
find_action (const Search *s, int rank, int stage, uint32_t microbatch) {
  const PwProgram *program = &s->walk->schedule->programs[rank];
  for (int64_t i = 0; i < program->n_prologue; i++) {
    PwAction action = program->actions[i];
    if (pw_action_kinds[action.kind].is_counted && action.microbatch == microbatch
        && (stage < 0 || (int)action.stage == stage))
      return i;
  }
  return -1;
}

static void
report_stray (Search *s, PwAction missing) {
  const PwOrderWalk *w = s->walk;
  char name[PW_ACTION_TEXT_MAX], other[PW_ACTION_TEXT_MAX];
  s->reported[missing.microbatch] = TRUE;
  for (int rank = 0; rank < w->schedule->ranks; rank++) {
    int64_t i = find_action (s, rank, -1, missing.microbatch);
    if (i < 0)
      continue;
    pw__check_log_add (w->log, PW_SCHEDULE_ERROR_MISSING, rank, i,
                       "rank %d, action %" G_GINT64_FORMAT
                       ": %s is of a micro-batch that no other stage has: %s is missing, and so on",
                       rank, i, pw_action_format (w->schedule->programs[rank].actions[i], name),
                       pw_action_format (missing, other));
    return;
  }
}

static void
report_nowhere (Search *s, PwAction missing) {
  char name[PW_ACTION_TEXT_MAX];
  s->reported[missing.microbatch] = TRUE;
  pw__check_log_add (s->walk->log, PW_SCHEDULE_ERROR_MISSING, -1, -1,
                     "micro-batch %u is nowhere (they count from 0): %s is missing, and so on",
                     missing.microbatch, pw_action_format (missing, name));
}

/* Is what is missing but a part of a micro-batch that is missing, or that should not be there? Then
 * that is reported, once. */
static gboolean
is_part_of_more (Search *s, PwAction missing) {
  if (s->stages_of == NULL)
    count_stages (s);
  int stages = s->stages_of[missing.microbatch];
  gboolean is_nowhere = s->walk->schedule->stages >= 2 && stages == 0;
  gboolean is_stray = s->walk->schedule->stages >= 3 && stages == 1
                      && *pw__order_seen (s->walk, missing.stage, missing.microbatch) == 0;
  if (!s->reported[missing.microbatch] && is_nowhere)
    report_nowhere (s, missing);
  else if (!s->reported[missing.microbatch] && is_stray)
    report_stray (s, missing);
  return is_nowhere || is_stray;
}

static void
report (Search *s, PwActionKind kind, int stage, uint32_t microbatch) {
  const PwOrderWalk *w = s->walk;
  char name[PW_ACTION_TEXT_MAX], other[PW_ACTION_TEXT_MAX];
  PwAction missing = pw_action (kind, stage, microbatch);
  if (is_full (s))
    return;
  if (is_part_of_more (s, missing))
    return;
  pw_action_format (missing, name);
  int direction = pw__schedule_direction (w->schedule, microbatch);
  int rank = pw_placement_rank (w->schedule->placement, direction, stage);
  int64_t i = rank >= 0 ? find_action (s, rank, stage, microbatch) : -1;
  if (i < 0)
    pw__check_log_add (w->log, PW_SCHEDULE_ERROR_MISSING, rank, -1, "rank %d: %s is missing", rank,
                       name);
  else
    pw__check_log_add (w->log, PW_SCHEDULE_ERROR_MISSING, rank, i,
                       "rank %d, action %" G_GINT64_FORMAT ": %s is there, but %s is missing", rank,
                       i, pw_action_format (w->schedule->programs[rank].actions[i], other), name);
}

/* A stage that no rank has: FALSE. */
static gboolean
is_held (const Search *s, int stage) {
  const PwSchedule *schedule = s->walk->schedule;
  if (pw_placement_rank (schedule->placement, 0, stage) >= 0)
    return TRUE;
  if (!is_full (s))
    pw__check_log_add (s->walk->log, PW_SCHEDULE_ERROR_MISSING, -1, -1,
                       "stage %d is on no rank (they count from 0): %dF0 is missing, and so on",
                       stage, stage);
  return FALSE;
}

static void
find_missing_compute (Search *s) {
  const PwOrderWalk *w = s->walk;
  gboolean trains = w->schedule->mode == PW_MODE_TRAINING;
  for (int stage = 0; stage < w->schedule->stages; stage++) {
    gboolean held = is_held (s, stage);
    for (uint32_t m = 0; held && m < w->slots; m++) {
      uint8_t seen = *pw__order_seen (w, stage, m);
      if ((seen & PW__SEEN_F) == 0)
        report (s, PW_ACTION_FORWARD, stage, m);
      if ((seen & PW__SEEN_COPIES) == PW__SEEN_OFFLOAD)
        report (s, PW_ACTION_RELOAD, stage, m);
      if ((seen & PW__SEEN_COPIES) == PW__SEEN_RELOAD)
        report (s, PW_ACTION_OFFLOAD, stage, m);
      if (!trains || (seen & PW__SEEN_B) != 0)
        continue;
      if ((seen & (PW__SEEN_I | PW__SEEN_W)) == 0)
        report (s, PW_ACTION_BACKWARD, stage, m);
      else if ((seen & PW__SEEN_I) == 0)
        report (s, PW_ACTION_INPUT_GRADIENT, stage, m);
      else if ((seen & PW__SEEN_W) == 0)
        report (s, PW_ACTION_WEIGHT_GRADIENT, stage, m);
    }
  }
}

static void
find_missing_on_edge (Search *s, int edge, gboolean gradient) {
  const PwOrderWalk *w = s->walk;
  const PwPlacement *placement = w->schedule->placement;
  const PwStageEdge *ends = &w->edges->edges[edge];
  const uint8_t *row = &w->messages[(w->crossings->row_of_edge[edge] + gradient) * w->slots];
  int from = gradient ? ends->consumer : ends->producer;
  int to = gradient ? ends->producer : ends->consumer;
  for (uint32_t m = 0; m < w->slots; m++) {
    if (row[m] == (PW__SEEN_SEND | PW__SEEN_RECV))
      continue;
    int direction = pw__schedule_direction (w->schedule, m);
    int sender = pw_placement_rank (placement, direction, from);
    int receiver = pw_placement_rank (placement, direction, to);
    if (sender == receiver || sender < 0 || receiver < 0)
      continue;
    if ((row[m] & PW__SEEN_SEND) == 0)
      report (s, gradient ? PW_ACTION_SEND_BACKWARD : PW_ACTION_SEND_FORWARD, from, m);
    if ((row[m] & PW__SEEN_RECV) == 0)
      report (s, gradient ? PW_ACTION_RECV_BACKWARD : PW_ACTION_RECV_FORWARD, to, m);
  }
}

static void
find_missing_messages (Search *s) {
  const PwOrderWalk *w = s->walk;
  for (int edge = 0; edge < w->edges->n_edges; edge++) {
    if (w->crossings->row_of_edge[edge] < 0)
      continue;
    find_missing_on_edge (s, edge, FALSE);
    if (w->schedule->mode == PW_MODE_TRAINING)
      find_missing_on_edge (s, edge, TRUE);
  }
}

/* Weights that never change while those of other stages do. Of two replicas on one rank an update
 * does not say whose it is. */
static void
find_missing_updates (Search *s) {
  const PwOrderWalk *w = s->walk;
  const PwPlacement *placement = w->schedule->placement;
  int stages = w->schedule->stages;
  for (int i = 0; i < placement->directions * stages && !is_full (s); i++) {
    int rank = placement->rank_of_stage[i], twin = (i + stages) % (placement->directions * stages);
    if (rank < 0 || w->places[i].updated
        || (placement->rank_of_stage[twin] == rank && w->places[twin].updated))
      continue;
    pw__check_log_add (w->log, PW_SCHEDULE_ERROR_MISSING, rank, -1,
                       "rank %d: %dU is missing, other stages are updated", rank, i % stages);
  }
}

void
pw__order_find_missing (const PwOrderWalk *walk) {
  Search s = { .walk = walk };
  find_missing_compute (&s);
  if (walk->schedule->is_lowered)
    find_missing_messages (&s);
  if (walk->has_updates)
    find_missing_updates (&s);
  g_free (s.stages_of);
  g_free (s.reported);
}
