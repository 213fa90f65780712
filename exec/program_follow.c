/* A rank's list as a whole: nothing twice, weights that are kept as long as they are needed,
 * replicas that are summed before they are updated. */
#include "exec/program_private.h"

gboolean
pw__action_ends (PwAction action, gboolean is_training) {
  if (!is_training)
    return action.kind == PW_ACTION_FORWARD;
  return action.kind == PW_ACTION_BACKWARD || action.kind == PW_ACTION_WEIGHT_GRADIENT;
}

static PwPlaceState *
place_state (const PwBuilder *builder, PwAction action) {
  return &builder->places[action.direction * builder->exec->n_stages + action.stage];
}

static gboolean
awaits_gradients (const PwBuilder *builder, unsigned direction, int stage) {
  const uint8_t *directions = builder->schedule->direction;
  for (int64_t m = 0; m < builder->n_microbatches && builder->program->has_backward; m++) {
    PwAction action = pw_action (PW_ACTION_BACKWARD, stage, m);
    action.direction = direction & 1u;
    if ((!directions || directions[m] == direction)
        && !pw__builder_cell (builder, action)->has_backward)
      return TRUE;
  }
  return FALSE;
}

/* Another stage that uses one of the stage's parameters has to have its gradients, too. */
static gboolean
check_sharers (const PwBuilder *builder, PwAction update, GError **error) {
  PwExec *exec = builder->exec;
  const PwGraph *graph = exec->resolved->graph;
  const PwExecStage *stage = &exec->stages[update.direction * exec->n_stages + update.stage];
  for (int l = 0; l < graph->n_layers && builder->program->is_synchronous; l++) {
    int owner = graph->layers[l].shares_with;
    if (owner < stage->first_layer || owner >= stage->first_layer + stage->n_layers)
      continue;
    if (awaits_gradients (builder, update.direction, pw__exec_stage_of_layer (exec, 0, l)->number))
      return pw__builder_refuse (builder, update,
                                 "a stage that shares one of its parameters has gradients to come",
                                 error);
  }
  return TRUE;
}

static gboolean
follow_update (PwBuilder *builder, PwAction action, GError **error) {
  PwPlaceState *place = place_state (builder, action);
  if (builder->program->is_synchronous && place->in_flight > 0)
    return pw__builder_refuse (builder, action,
                               "an update while micro-batches are under way needs weight versions, "
                               "which a synchronous schedule does not have",
                               error);
  if (builder->exec->placement->directions == 2 && !place->is_reduced)
    return pw__builder_refuse (builder, action,
                               "the gradients of the stage's two replicas were not added before: "
                               "REDUCE_GRAD is missing",
                               error);
  place->is_reduced = FALSE;
  place->n_updates++;
  builder->n_ends += pw__exec_has_rank (builder->exec, builder->rank);
  return check_sharers (builder, action, error);
}

/* Both ranks of an exchange stand still until it is done. Behind everything else, and in the order
 * of the stages, no two of them can wait for each other. */
static gboolean
follow_reduction (PwBuilder *builder, const PwAction *list, int64_t i, GError **error) {
  PwPlaceState *place = place_state (builder, list[i]);
  if (builder->exec->placement->directions != 2)
    return pw__builder_refuse (builder, list[i],
                               "data-parallel sums are not supported by the executor", error);
  if (i > 0 && list[i - 1].kind == PW_ACTION_REDUCE_GRADIENT && list[i - 1].stage > list[i].stage)
    return pw__builder_refuse (builder, list[i], "replicas are added in the order of their stages",
                               error);
  place->is_reduced = TRUE;
  place->n_reductions++;
  return TRUE;
}

static gboolean
follow_microbatch (PwBuilder *builder, PwAction action, GError **error) {
  PwPlaceState *place = place_state (builder, action);
  PwCell *cell = pw__builder_cell (builder, action);
  gboolean ends = pw__action_ends (action, builder->program->is_training);
  builder->window = MAX (builder->window, (int64_t)action.microbatch - place->first_open + 1);
  if (action.kind == PW_ACTION_FORWARD) {
    if (cell->has_forward)
      return pw__builder_refuse (builder, action, "it is there twice", error);
    cell->has_forward = TRUE;
    cell->updates_before = place->n_updates;
    place->in_flight += !ends;
  }
  if (!ends)
    return TRUE;
  if (cell->has_backward)
    return pw__builder_refuse (builder, action, "it is there twice", error);
  cell->has_backward = TRUE;
  cell->updates_ahead = place->n_updates - cell->updates_before;
  place->in_flight -= action.kind != PW_ACTION_FORWARD;
  builder->n_ends += pw__exec_has_rank (builder->exec, builder->rank);
  PwAction next = action;
  for (; place->first_open < builder->n_microbatches; place->first_open++) {
    next.microbatch = (uint32_t)place->first_open & 0xffffffu;
    if (!pw__builder_cell (builder, next)->has_backward)
      break;
  }
  return TRUE;
}

/* 2BW has the newest weights and those before. */
static gboolean
check_versions (const PwBuilder *builder, const PwAction *list, int64_t n, GError **error) {
  if (builder->program->is_synchronous
      || builder->schedule->promise.version_rule != PW_VERSIONS_PREVIOUS)
    return TRUE;
  for (int64_t i = 0; i < n; i++)
    if (list[i].kind == PW_ACTION_FORWARD && pw__builder_cell (builder, list[i])->updates_ahead > 1)
      return pw__builder_refuse (builder, list[i],
                                 "two updates stand before its backward, which needs weights that "
                                 "are not made yet",
                                 error);
  return TRUE;
}

gboolean
pw__builder_follow (PwBuilder *builder, const PwAction *list, int64_t n, GError **error) {
  gboolean is_reducing = FALSE;
  for (int64_t i = 0; i < n; i++) {
    PwAction action = list[i];
    gboolean good = TRUE;
    if (is_reducing && pw_action_kinds[action.kind].has_microbatch)
      return pw__builder_refuse (builder, action, "it stands behind a REDUCE_GRAD", error);
    is_reducing = is_reducing || action.kind == PW_ACTION_REDUCE_GRADIENT;
    if (action.kind == PW_ACTION_RECOMPUTE)
      pw__builder_cell (builder, action)->recomputes = TRUE;
    if (action.kind == PW_ACTION_UPDATE)
      good = follow_update (builder, action, error);
    else if (action.kind == PW_ACTION_REDUCE_GRADIENT)
      good = follow_reduction (builder, list, i, error);
    else
      good = follow_microbatch (builder, action, error);
    if (!good)
      return FALSE;
  }
  return check_versions (builder, list, n, error);
}

/* ---- All ranks ---- */

static gboolean
check_reductions (const PwBuilder *builder, GError **error) {
  int n_stages = builder->exec->n_stages;
  if (builder->exec->placement->directions != 2)
    return TRUE;
  for (int s = 0; s < n_stages; s++) {
    const PwPlaceState *a = &builder->places[s], *b = &builder->places[n_stages + s];
    if (a->n_reductions == b->n_reductions && !a->is_reduced && !b->is_reduced)
      continue;
    g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED,
                 "schedule %s: stage %d: its two replicas are not added equally often, or not "
                 "updated after it",
                 builder->schedule->name, s);
    return FALSE;
  }
  return TRUE;
}

/* Which micro-batches of a mini-batch are summed into one update: those between the same two U in
 * the list of the last stage, where the loss is. */
static gboolean
find_groups (const PwBuilder *builder, GError **error) {
  PwExecProgram *program = builder->program;
  int last = builder->exec->n_stages - 1, M = program->per_minibatch;
  program->n_groups = 1;
  if (program->is_synchronous)
    return TRUE;
  for (int64_t m = 0; m < builder->n_microbatches; m++) {
    const PwCell *cell = pw__builder_cell (builder, pw_action (PW_ACTION_FORWARD, last, m));
    int group = cell->updates_before + cell->updates_ahead;
    if (m < M) {
      program->group[m] = group;
      program->n_groups = MAX (program->n_groups, group + 1);
    } else if (group != program->group[m % M] + (int)(m / M) * program->n_groups) {
      g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED,
                   "schedule %s: its updates do not come alike in every mini-batch of %d "
                   "micro-batches",
                   builder->schedule->name, M);
      return FALSE;
    }
  }
  return TRUE;
}

gboolean
pw__builder_finish (PwBuilder *builder, GError **error) {
  PwExecProgram *program = builder->program;
  int64_t M = program->per_minibatch;
  if (!check_reductions (builder, error) || !find_groups (builder, error))
    return FALSE;
  g_assert (builder->n_microbatches % M == 0);
  program->n_slots = program->n_microbatches;
  program->n_minibatches = 1;
  if (!program->is_stream)
    return TRUE;
  program->n_ends = builder->n_ends / (builder->n_microbatches / M);
  program->n_minibatches = (int)((builder->window + M - 1) / M) + 2;
  /* Twice: what is still being sent of one micro-batch rarely holds up the next in its place. */
  if (builder->extra > 0)
    program->n_slots = (int)MIN (2 * builder->window, builder->n_microbatches);
  return TRUE;
}
