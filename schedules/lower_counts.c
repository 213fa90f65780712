#include "schedules/lower_machine_private.h"
#include "schedules/lower_updates_private.h"

static gboolean
refuse (GError **error, PwScheduleError code, int rank, int64_t index, const char *text) {
  g_set_error (error, PW_SCHEDULE_ERROR, code, "rank %d, action %" G_GINT64_FORMAT ": %s", rank,
               index, text);
  return FALSE;
}

static gboolean
refuse_action (const PwLowering *l, int rank, const PwAction *at, GError **error) {
  char text[PW_ACTION_TEXT_MAX];
  return refuse (error, PW_SCHEDULE_ERROR_PLACEMENT, rank, at - l->schedule->programs[rank].actions,
                 pw__action_is_message (*at) ? "a message in a compute schedule"
                                             : pw_action_format (*at, text));
}

/* Everything the arrays below rely on. */
static inline gboolean
is_on_rank (const PwLowering *l, int rank, const PwAction *at) {
  const PwPlacement *placement = l->schedule->placement;
  g_assert (at->kind < PW_ACTION_N);
  if (at->kind == PW_ACTION_NORM)
    return TRUE;
  return !pw__action_is_message (*at) && (int)at->stage < placement->stages
         && at->microbatch < l->slots && (int)at->direction < placement->directions
         && pw_placement_rank (placement, at->direction, at->stage) == rank;
}

/* What is counted of the actions of one key: [stages] of a direction. */
typedef struct {
  int64_t *of_stage;
  const int *ranks; /* [stages] which may have it */
} Count;

/* The first action that is not as it should be; NULL: all are. */
static const PwAction *
count_rank (const PwLowering *l, int rank, const Count counts[PW_ACTION_KEYS]) {
  const PwProgram *program = &l->schedule->programs[rank];
  const PwAction *stop = program->actions + program->n_prologue;
  uint32_t stages = (uint32_t)l->schedule->stages, slots = (uint32_t)l->slots;
  for (const PwAction *at = program->actions; at < stop; at++) {
    const Count *count = &counts[pw_action_key (at)];
    if (G_LIKELY (count->of_stage != NULL && at->stage < stages && at->microbatch < slots
                  && count->ranks[at->stage] == rank))
      count->of_stage[at->stage]++;
    else if (!is_on_rank (l, rank, at))
      return at;
  }
  return NULL;
}

/* Counters of each (kind, direction, stage), those of kinds alike together. */
static void
make_counts (PwLowering *l, Count counts[PW_ACTION_KEYS]) {
  const PwPlacement *placement = l->schedule->placement;
  for (int kind = 0; kind <= PW_ACTION_UPDATE; kind++)
    for (int direction = 0; direction < placement->directions; direction++)
      for (int flags = 0; flags < 4; flags++) {
        PwAction action = pw_action ((PwActionKind)kind, 0, 0);
        action.direction = direction != 0;
        action.paired = flags % 2 != 0;
        action.grouped = flags / 2 != 0;
        int64_t *of_kind = kind == PW_ACTION_FORWARD         ? l->n_forward
                           : pw__action_is_backward (action) ? l->n_gradient
                           : kind == PW_ACTION_UPDATE        ? l->n_update
                                                             : l->n_other;
        counts[pw_action_key (&action)]
            = (Count){ .of_stage = of_kind + direction * placement->stages,
                       .ranks = placement->rank_of_stage + direction * placement->stages };
      }
}

/* Of each stage the micro-batch that it forwards last, which need not be recomputed. */
static void
find_last_forwards (PwLowering *l) {
  for (int rank = 0; rank < l->schedule->ranks; rank++) {
    const PwProgram *program = &l->schedule->programs[rank];
    for (int64_t i = 0; i < program->n_prologue; i++)
      if (program->actions[i].kind == PW_ACTION_FORWARD)
        l->last_forward[pw__lower_place_of (l, &program->actions[i])]
            = (int)program->actions[i].microbatch;
  }
}

gboolean
pw__lower_count_actions (PwLowering *l, GError **error) {
  const PwSchedule *schedule = l->schedule;
  int64_t forwards = 0, updates = 0;
  g_autofree Count *counts = g_new0 (Count, PW_ACTION_KEYS);
  make_counts (l, counts);
  for (int rank = 0; rank < schedule->ranks; rank++) {
    const PwAction *bad = count_rank (l, rank, counts);
    if (bad != NULL)
      return refuse_action (l, rank, bad, error);
  }
  for (int place = 0; place < schedule->placement->directions * schedule->stages; place++) {
    forwards += l->n_forward[place];
    updates += l->n_update[place];
  }
  if (l->recomputes)
    find_last_forwards (l);
  l->adds_updates = l->options->updates && updates == 0 && schedule->promise.synchronous
                    && schedule->mode == PW_MODE_TRAINING;
  if (forwards == schedule->stages * l->slots)
    return TRUE;
  g_set_error (error, PW_SCHEDULE_ERROR, PW_SCHEDULE_ERROR_MISSING,
               "%d stages times %" G_GINT64_FORMAT " micro-batches need %" G_GINT64_FORMAT
               " forwards, the schedule has %" G_GINT64_FORMAT,
               schedule->stages, l->slots, schedule->stages * l->slots, forwards);
  return FALSE;
}

/* One allocation per rank, sized before anything is written. */
void
pw__lower_allocate_lists (PwLowering *l) {
  const PwSchedule *schedule = l->schedule;
  const PwPlacement *placement = schedule->placement;
  g_autofree int64_t *length = g_new0 (int64_t, (gsize)schedule->ranks);
  for (int rank = 0; rank < schedule->ranks; rank++)
    length[rank] = schedule->programs[rank].n_prologue;
  for (int place = 0; place < placement->directions * schedule->stages; place++) {
    int rank = placement->rank_of_stage[place];
    const PwPorts *consumers = &l->crossings->consumers, *producers = &l->crossings->producers;
    for (int k = consumers->start[place]; k < consumers->start[place + 1]; k++) {
      length[rank] += l->n_forward[place];
      length[consumers->ports[k].rank] += l->n_forward[place];
    }
    for (int k = producers->start[place]; k < producers->start[place + 1]; k++) {
      length[rank] += l->n_gradient[place];
      length[producers->ports[k].rank] += l->n_gradient[place];
    }
    if (l->options->recompute != PW_RECOMPUTE_NONE)
      length[rank] += l->n_gradient[place];
  }
  if (l->adds_updates)
    pw__lower_count_updates (placement, l->options, length);
  l->lowered = pw__schedule_copy_head (schedule);
  pw_schedule_new_lists (l->lowered, length);
  for (int rank = 0; rank < schedule->ranks; rank++) {
    const PwProgram *program = &schedule->programs[rank];
    PwAction *list = l->lowered->programs[rank].actions;
    l->ranks[rank] = (PwLowerRank){ .next = program->actions,
                                    .end = program->actions + program->n_prologue,
                                    .list = list,
                                    .out = list };
  }
}
