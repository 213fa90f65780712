/* A rank's list becomes steps that point at what they touch. What the executor cannot run is
 * refused here, before anything has run. A list with a body that repeats is looked at with its body
 * twice, and kept with its body once. */
#include "exec/program_private.h"

static const char *const refusals[PW_ACTION_N] = {
  [PW_ACTION_NORM] = "global norms",          [PW_ACTION_UNSHARD] = "sharded parameters",
  [PW_ACTION_RESHARD] = "sharded parameters", [PW_ACTION_OFFLOAD] = "offloading",
  [PW_ACTION_RELOAD] = "offloading",
};

gboolean
pw__builder_refuse (const PwBuilder *builder, PwAction action, const char *what, GError **error) {
  char text[PW_ACTION_TEXT_MAX];
  g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED, "schedule %s, rank %d, %s: %s",
               builder->schedule->name, builder->rank, pw_action_format (action, text), what);
  return FALSE;
}

/* ---- Lists ---- */

static PwAction *
copy_shifted (PwAction *out, const PwAction *from, int64_t n, int64_t shift) {
  for (int64_t i = 0; i < n; i++) {
    out[i] = from[i];
    if (pw_action_kinds[from[i].kind].has_microbatch)
      out[i].microbatch = (uint32_t)(from[i].microbatch + shift) & 0xffffffu;
  }
  return out + n;
}

/* Its body as often as it says, and EXTRA times more. */
static PwAction *
flat_list (const PwProgram *program, int64_t extra, int64_t *n) {
  int64_t repeats = program->n_body > 0 ? program->repeats + extra : 0;
  *n = program->n_prologue + repeats * program->n_body + program->n_epilogue;
  PwAction *list = g_new (PwAction, (gsize)(*n + 1));
  const PwAction *body = program->actions + program->n_prologue;
  PwAction *out = copy_shifted (list, program->actions, program->n_prologue, 0);
  for (int64_t r = 0; r < repeats; r++)
    out = copy_shifted (out, body, program->n_body, r * program->shift);
  copy_shifted (out, body + program->n_body, program->n_epilogue, extra * program->shift);
  return list;
}

PwCell *
pw__builder_cell (const PwBuilder *builder, PwAction action) {
  int place = action.direction * builder->exec->n_stages + action.stage;
  return &builder->cells[(int64_t)place * builder->n_microbatches + action.microbatch];
}

/* ---- One action ---- */

static gboolean
check_place (const PwBuilder *builder, PwAction action, GError **error) {
  const PwExec *exec = builder->exec;
  int place = action.direction * exec->n_stages + action.stage;
  if (action.direction >= (unsigned)exec->placement->directions)
    return pw__builder_refuse (builder, action, "there is no second pipe", error);
  if (action.stage >= (unsigned)exec->n_stages || exec->stages[place].rank != builder->rank)
    return pw__builder_refuse (builder, action, "the stage is not on this rank", error);
  return TRUE;
}

static gboolean
check_action (const PwBuilder *builder, PwAction action, GError **error) {
  const PwSchedule *schedule = builder->schedule;
  g_assert (action.kind < PW_ACTION_N);
  if (refusals[action.kind]) {
    g_autofree char *what
        = g_strdup_printf ("%s are not supported by the executor", refusals[action.kind]);
    return pw__builder_refuse (builder, action, what, error);
  }
  if (!check_place (builder, action, error))
    return FALSE;
  if (!pw_action_kinds[action.kind].has_microbatch)
    return TRUE;
  if (action.microbatch >= (unsigned)builder->n_microbatches)
    return pw__builder_refuse (builder, action, "there is no such micro-batch", error);
  if (schedule->direction
      && schedule->direction[action.microbatch % (unsigned)schedule->microbatches]
             != action.direction)
    return pw__builder_refuse (builder, action, "the micro-batch goes through the other pipe",
                               error);
  return TRUE;
}

static gboolean
find_end (const PwBuilder *builder, PwAction action, PwStep *step, GError **error) {
  gboolean is_out = action.kind == PW_ACTION_SEND_FORWARD || action.kind == PW_ACTION_RECV_BACKWARD;
  const PwEdgeEnd *ends = is_out ? step->stage->out : step->stage->in;
  int n = is_out ? step->stage->n_out : step->stage->n_in;
  for (int i = 0; i < n; i++)
    if (ends[i].edge == action.edge && !ends[i].is_local) {
      step->end = i;
      return TRUE;
    }
  return pw__builder_refuse (builder, action, "the stage has no such edge to another rank", error);
}

/* The step of ACTION as it stands in the list; the cells know of the whole list. */
static gboolean
make_step (const PwBuilder *builder, PwAction action, PwStep *step, GError **error) {
  PwExec *exec = builder->exec;
  const PwActionKindInfo *kind = &pw_action_kinds[action.kind];
  *step = (PwStep){ .action = action };
  step->stage = &exec->stages[action.direction * exec->n_stages + action.stage];
  if (kind->has_microbatch) {
    const PwCell *cell = pw__builder_cell (builder, action);
    step->walk = !builder->program->is_training ? PW_WALK_PLAIN
                 : cell->recomputes             ? PW_WALK_FIRST
                                                : PW_WALK_TRAINING;
    step->ends_microbatch = pw__action_ends (action, builder->program->is_training);
    step->updates_ahead = cell->updates_ahead;
  }
  return !(kind->is_send || kind->is_recv) || find_end (builder, action, step, error);
}

/* ---- One rank ---- */

static void
note_contents (const PwBuilder *builder, const PwAction *list, int64_t n) {
  PwExecProgram *program = builder->program;
  for (int64_t i = 0; i < n; i++) {
    PwAction action = list[i];
    program->has_forward |= action.kind == PW_ACTION_FORWARD;
    program->has_backward |= action.kind == PW_ACTION_BACKWARD
                             || action.kind == PW_ACTION_INPUT_GRADIENT
                             || action.kind == PW_ACTION_WEIGHT_GRADIENT;
  }
}

static gboolean
build_rank (PwBuilder *builder, int rank, GError **error) {
  const PwProgram *program = &builder->schedule->programs[rank];
  PwStepList *steps = &builder->program->lists[rank];
  int64_t n;
  g_autofree PwAction *list = flat_list (program, builder->extra, &n);
  builder->rank = rank;
  note_contents (builder, list, n);
  for (int64_t i = 0; i < n; i++)
    if (!check_action (builder, list[i], error))
      return FALSE;
  if (!pw__builder_follow (builder, list, n, error))
    return FALSE;
  int64_t n_steps = program->n_prologue + program->n_body + program->n_epilogue;
  *steps = (PwStepList){ .steps = g_new0 (PwStep, (gsize)n_steps + 1),
                         .n_prologue = program->n_prologue,
                         .n_body = program->n_body,
                         .n_epilogue = program->n_epilogue,
                         .repeats = program->repeats,
                         .shift = program->shift };
  gboolean has_body = program->n_body > 0 && program->repeats + builder->extra > 0;
  for (int64_t i = 0; i < n_steps; i++) {
    gboolean is_epilogue = i >= program->n_prologue + program->n_body;
    int64_t at = is_epilogue ? i + n - n_steps : i; /* the body's first repetition */
    if (i >= program->n_prologue && !is_epilogue && !has_body)
      continue; /* never run */
    if (!make_step (builder, list[at], &steps->steps[i], error))
      return FALSE;
    steps->steps[i].action = program->actions[i];
  }
  return TRUE;
}

/* ---- The whole ---- */

static gboolean
shares_between_stages (PwExec *exec) {
  const PwGraph *graph = exec->resolved->graph;
  for (int l = 0; l < graph->n_layers; l++)
    if (graph->layers[l].shares_with >= 0
        && pw__exec_stage_of_layer (exec, 0, l)
               != pw__exec_stage_of_layer (exec, 0, graph->layers[l].shares_with))
      return TRUE;
  return FALSE;
}

static gboolean
has_same_placement (const PwExec *exec, const PwPlacement *placement) {
  if (placement->directions != exec->placement->directions)
    return FALSE;
  for (int place = 0; place < exec->n_places; place++)
    if (placement->rank_of_stage[place] != exec->stages[place].rank)
      return FALSE;
  return TRUE;
}

static gboolean
check_schedule (PwExec *exec, const PwSchedule *schedule, GError **error) {
  const char *what = NULL;
  gboolean is_synchronous = schedule->promise.synchronous;
  if (!schedule->is_lowered)
    what = "it has to be lowered first";
  else if (schedule->ranks != exec->n_ranks || schedule->stages != exec->n_stages)
    what = "its ranks or stages are not those of the executor";
  else if (schedule->pieces > 1)
    what = "sequence pieces are not supported by the executor";
  else if (!is_synchronous && schedule->placement->directions != 1)
    what = "asynchronous updates of two replicas are not supported by the executor";
  else if (!is_synchronous && shares_between_stages (exec))
    what = "asynchronous updates of a parameter that two stages share are not supported by the "
           "executor";
  else if (schedule->mode == PW_MODE_TRAINING && !exec->is_training)
    what = "the executor was made for inference";
  else if (!has_same_placement (exec, schedule->placement))
    what = "its placement is not that of the executor";
  if (!what)
    return TRUE;
  g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED, "schedule %s: %s", schedule->name,
               what);
  return FALSE;
}

static gboolean
build (PwBuilder *builder, GError **error) {
  PwExecProgram *program = builder->program;
  for (int rank = 0; rank < program->n_ranks; rank++)
    if (!build_rank (builder, rank, error))
      return FALSE;
  if (!pw__builder_finish (builder, error))
    return FALSE;
  /* Also micro-batches no list names: a peer of a local edge looks them up. */
  for (int s = 0; s < builder->exec->n_places; s++)
    if (pw__exec_has_rank (builder->exec, builder->exec->stages[s].rank))
      pw__stage_microbatch (&builder->exec->stages[s], program->n_slots - 1);
  return TRUE;
}

PwExecProgram *
pw__program_new (PwExec *exec, const PwSchedule *schedule, int per_minibatch, GError **error) {
  if (!check_schedule (exec, schedule, error))
    return NULL;
  PwExecProgram *program = g_new0 (PwExecProgram, 1);
  program->schedule = schedule;
  program->is_training = schedule->mode == PW_MODE_TRAINING;
  program->is_synchronous = schedule->promise.synchronous;
  program->is_stream = per_minibatch > 0;
  program->per_minibatch = per_minibatch > 0 ? per_minibatch : schedule->microbatches;
  program->n_microbatches = schedule->microbatches;
  program->n_ranks = exec->n_ranks;
  program->lists = g_new0 (PwStepList, (gsize)exec->n_ranks);
  program->group = g_new0 (int, (gsize)program->per_minibatch);
  PwBuilder builder = { .exec = exec, .program = program, .schedule = schedule };
  builder.extra = program->is_stream && pw_schedule_is_endless (schedule) ? 2 : 0;
  builder.n_microbatches = schedule->microbatches + builder.extra * schedule->programs[0].shift;
  builder.cells = g_new0 (PwCell, (gsize)(exec->n_places * builder.n_microbatches) + 1);
  builder.places = g_new0 (PwPlaceState, (gsize)exec->n_places);
  gboolean good = build (&builder, error);
  g_free (builder.cells);
  g_free (builder.places);
  if (!good)
    g_clear_pointer (&program, pw__program_free);
  return program;
}

void
pw__program_free (PwExecProgram *program) {
  if (!program)
    return;
  for (int rank = 0; rank < program->n_ranks; rank++)
    g_free (program->lists[rank].steps);
  g_free (program->lists);
  g_free (program->group);
  pw_schedule_free (program->owned);
  g_free (program);
}
