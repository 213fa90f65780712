#include "schedules/lower_updates_private.h"
#include "schedules/messages_private.h"

#include <string.h>

static gboolean
reduces (const PwPlacement *placement, const PwLowerOptions *options) {
  return options->reduces || placement->directions == 2;
}

/* Replicas on two ranks meet, so their exchanges stand behind all else and on every rank in the
 * order of the stages: no two of them can wait for each other. */
static gboolean
overlaps (const PwPlacement *placement, const PwLowerOptions *options) {
  return options->overlaps_reduction && placement->directions == 1;
}

void
pw__lower_count_updates (const PwPlacement *placement, const PwLowerOptions *options,
                         int64_t *length) {
  for (int place = 0; place < placement->directions * placement->stages; place++)
    length[placement->rank_of_stage[place]] += 1 + reduces (placement, options);
  for (int rank = 0; rank < placement->ranks && options->norms; rank++)
    length[rank]++;
}

static void
append (PwSchedule *lowered, int rank, PwAction action) {
  PwProgram *program = &lowered->programs[rank];
  program->actions[program->n_prologue++] = action;
}

static PwAction
of_place (const PwPlacement *placement, PwActionKind kind, int place) {
  PwAction action = pw_action (kind, place % placement->stages, 0);
  action.direction = place >= placement->stages;
  return action;
}

/* Behind its last gradient, and the messages that follow that. */
static void
insert_reduction (PwSchedule *lowered, int rank, int stage) {
  PwProgram *program = &lowered->programs[rank];
  int64_t at = program->n_prologue;
  while (at > 0
         && !(pw_action_kinds[program->actions[at - 1].kind].is_compute
              && (int)program->actions[at - 1].stage == stage))
    at--;
  while (at < program->n_prologue && pw__action_is_message (program->actions[at]))
    at++;
  memmove (program->actions + at + 1, program->actions + at,
           (gsize)(program->n_prologue - at) * sizeof *program->actions);
  program->actions[at] = pw_action (PW_ACTION_REDUCE_GRADIENT, stage, 0);
  program->n_prologue++;
}

static void
append_reductions (PwSchedule *lowered, const PwLowerOptions *options) {
  const PwPlacement *placement = lowered->placement;
  for (int stage = 0; stage < placement->stages; stage++)
    for (int direction = 0; direction < placement->directions; direction++) {
      int place = direction * placement->stages + stage, rank = placement->rank_of_stage[place];
      if (overlaps (placement, options))
        insert_reduction (lowered, rank, stage);
      else
        append (lowered, rank, of_place (placement, PW_ACTION_REDUCE_GRADIENT, place));
    }
}

void
pw__lower_append_updates (PwSchedule *lowered, const PwLowerOptions *options) {
  const PwPlacement *placement = lowered->placement;
  if (reduces (placement, options))
    append_reductions (lowered, options);
  for (int rank = 0; rank < lowered->ranks && options->norms; rank++)
    append (lowered, rank, pw_action (PW_ACTION_NORM, 0, 0));
  for (int place = 0; place < placement->directions * placement->stages; place++)
    append (lowered, placement->rank_of_stage[place],
            of_place (placement, PW_ACTION_UPDATE, place));
}
