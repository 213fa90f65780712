/* A rank's list becomes steps that point at what they touch. What the executor cannot run is
 * refused here, before anything has run. */
#include "exec/exec_private.h"

enum { PHASE_FORWARD = 1, PHASE_BACKWARD = 2 };

typedef struct {
  PwExec *exec;
  PwExecProgram *program;
  const PwSchedule *schedule;
  uint8_t *done;       /* [stages][microbatches], while the lists are read */
  uint8_t *recomputes; /* [stages][microbatches] */
  int *in_flight;      /* [stages]: forwards whose gradients are not complete */
  int rank;
} Builder;

static const char *const refusals[PW_ACTION_N] = {
  [PW_ACTION_NORM] = "global norms",          [PW_ACTION_REDUCE_GRADIENT] = "data-parallel sums",
  [PW_ACTION_UNSHARD] = "sharded parameters", [PW_ACTION_RESHARD] = "sharded parameters",
  [PW_ACTION_OFFLOAD] = "offloading",         [PW_ACTION_RELOAD] = "offloading",
};

static gboolean
refuse (const Builder *builder, PwAction action, const char *what, GError **error) {
  char text[PW_ACTION_TEXT_MAX];
  g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED, "schedule %s, rank %d, %s: %s",
               builder->schedule->name, builder->rank, pw_action_format (action, text), what);
  return FALSE;
}

static PwAction *
flat_list (const PwProgram *program, int64_t *n) {
  *n = pw_program_length (program);
  PwAction *list = g_new (PwAction, (gsize)(*n + 1));
  PwAction *out = list;
  const PwAction *body = program->actions + program->n_prologue;
  for (int64_t i = 0; i < program->n_prologue; i++)
    *out++ = program->actions[i];
  for (int64_t r = 0; r < program->repeats; r++)
    for (int64_t i = 0; i < program->n_body; i++) {
      *out = body[i];
      out->microbatch = (out->microbatch + (uint32_t)(r * program->shift)) & 0xffffffu;
      out++;
    }
  for (int64_t i = 0; i < program->n_epilogue; i++)
    *out++ = body[program->n_body + i];
  return list;
}

static gboolean
check_action (const Builder *builder, PwAction action, GError **error) {
  const PwExec *exec = builder->exec;
  g_assert (action.kind < PW_ACTION_N);
  if (refusals[action.kind]) {
    g_autofree char *what
        = g_strdup_printf ("%s are not supported by the executor", refusals[action.kind]);
    return refuse (builder, action, what, error);
  }
  if (action.direction != 0)
    return refuse (builder, action, "a second pipe is not supported by the executor", error);
  if (action.stage >= (unsigned)exec->n_stages || exec->stages[action.stage].rank != builder->rank)
    return refuse (builder, action, "the stage is not on this rank", error);
  if (pw_action_kinds[action.kind].has_microbatch
      && action.microbatch >= (unsigned)builder->program->n_microbatches)
    return refuse (builder, action, "there is no such micro-batch", error);
  return TRUE;
}

static gboolean
find_end (const Builder *builder, PwAction action, PwStep *step, GError **error) {
  gboolean is_out = action.kind == PW_ACTION_SEND_FORWARD || action.kind == PW_ACTION_RECV_BACKWARD;
  const PwEdgeEnd *ends = is_out ? step->stage->out : step->stage->in;
  int n = is_out ? step->stage->n_out : step->stage->n_in;
  for (int i = 0; i < n; i++)
    if (ends[i].edge == action.edge && !ends[i].is_local) {
      step->end = i;
      return TRUE;
    }
  return refuse (builder, action, "the stage has no such edge to another rank", error);
}

static uint8_t *
done_of (const Builder *builder, int stage, unsigned microbatch) {
  return &builder->done[(gsize)stage * (gsize)builder->program->n_microbatches + microbatch];
}

/* Weight versions: an update between the forward and the backward of a micro-batch would need the
 * old parameters kept. The same for the stage that uses a shared parameter. */
static gboolean
check_update (const Builder *builder, PwAction action, GError **error) {
  const PwExec *exec = builder->exec;
  const PwGraph *graph = exec->resolved->graph;
  const PwExecStage *stage = &exec->stages[action.stage];
  const char *what = "an update while micro-batches are under way needs weight versions, which the "
                     "executor does not keep";
  if (builder->in_flight[action.stage] > 0)
    return refuse (builder, action, what, error);
  for (int l = 0; l < graph->n_layers; l++) {
    int owner = graph->layers[l].shares_with;
    if (owner < stage->first_layer || owner >= stage->first_layer + stage->n_layers)
      continue;
    int user = pw__exec_stage_of_layer ((PwExec *)exec, l)->number;
    for (int m = 0; m < builder->program->n_microbatches; m++)
      if (builder->program->has_backward
          && !(*done_of (builder, user, (unsigned)m) & PHASE_BACKWARD))
        return refuse (builder, action,
                       "a stage that shares one of its parameters has gradients to come", error);
  }
  return TRUE;
}

static gboolean
follow (Builder *builder, PwAction action, GError **error) {
  if (action.kind == PW_ACTION_UPDATE)
    return check_update (builder, action, error);
  if (!pw_action_kinds[action.kind].is_compute)
    return TRUE;
  uint8_t *done = done_of (builder, action.stage, action.microbatch);
  switch ((PwActionKind)action.kind) {
  case PW_ACTION_FORWARD:
    if (*done & PHASE_FORWARD)
      return refuse (builder, action, "it is there twice", error);
    *done |= PHASE_FORWARD;
    builder->in_flight[action.stage]++;
    break;
  case PW_ACTION_BACKWARD:
  case PW_ACTION_WEIGHT_GRADIENT:
    if (*done & PHASE_BACKWARD)
      return refuse (builder, action, "it is there twice", error);
    *done |= PHASE_BACKWARD;
    builder->in_flight[action.stage]--;
    break;
  default:
    break;
  }
  return TRUE;
}

static PwWalkKind
forward_walk (const Builder *builder, PwAction action) {
  gsize at = (gsize)action.stage * (gsize)builder->program->n_microbatches + action.microbatch;
  return !builder->program->is_training || builder->recomputes[at] ? PW_WALK_PLAIN
                                                                   : PW_WALK_TRAINING;
}

static gboolean
add_step (Builder *builder, PwAction action, GArray *steps, GError **error) {
  PwStep step = { .action = action };
  if (!check_action (builder, action, error) || !follow (builder, action, error))
    return FALSE;
  const PwActionKindInfo *kind = &pw_action_kinds[action.kind];
  step.stage = &builder->exec->stages[action.stage];
  if (kind->has_microbatch) {
    step.microbatch = pw__stage_microbatch (step.stage, (int)action.microbatch);
    step.walk = forward_walk (builder, action);
  }
  if ((kind->is_send || kind->is_recv) && !find_end (builder, action, &step, error))
    return FALSE;
  g_array_append_val (steps, step);
  return TRUE;
}

static gboolean
build_rank (Builder *builder, int rank, GError **error) {
  int64_t n;
  g_autofree PwAction *list = flat_list (&builder->schedule->programs[rank], &n);
  builder->rank = rank;
  for (int64_t i = 0; i < n; i++) {
    PwAction action = list[i];
    gboolean is_backward = action.kind == PW_ACTION_BACKWARD
                           || action.kind == PW_ACTION_INPUT_GRADIENT
                           || action.kind == PW_ACTION_WEIGHT_GRADIENT;
    builder->program->has_forward |= action.kind == PW_ACTION_FORWARD;
    builder->program->has_backward |= is_backward;
    if (action.kind == PW_ACTION_RECOMPUTE && check_action (builder, action, NULL))
      builder->recomputes[(gsize)action.stage * (gsize)builder->program->n_microbatches
                          + action.microbatch]
          = 1;
  }
  GArray *steps = g_array_sized_new (FALSE, FALSE, sizeof (PwStep), (guint)n);
  builder->program->steps[rank] = steps;
  for (int64_t i = 0; i < n; i++)
    if (!add_step (builder, list[i], steps, error))
      return FALSE;
  return TRUE;
}

static gboolean
check_schedule (const PwExec *exec, const PwSchedule *schedule, GError **error) {
  const char *what = NULL;
  if (!schedule->is_lowered)
    what = "it has to be lowered first";
  else if (schedule->ranks != exec->n_ranks || schedule->stages != exec->n_stages)
    what = "its ranks or stages are not those of the executor";
  else if (schedule->placement->directions != 1)
    what = "bidirectional pipes are not supported by the executor";
  else if (schedule->pieces > 1)
    what = "sequence pieces are not supported by the executor";
  else if (!schedule->promise.synchronous)
    what = "asynchronous updates need weight versions, which the executor does not keep";
  else if (schedule->mode == PW_MODE_TRAINING && !exec->is_training)
    what = "the executor was made for inference";
  for (int s = 0; !what && s < exec->n_stages; s++)
    if (pw_placement_rank (schedule->placement, 0, s) != exec->stages[s].rank)
      what = "its placement is not that of the executor";
  if (!what)
    return TRUE;
  g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED, "schedule %s: %s", schedule->name,
               what);
  return FALSE;
}

PwExecProgram *
pw__program_new (PwExec *exec, const PwSchedule *schedule, GError **error) {
  if (!check_schedule (exec, schedule, error))
    return NULL;
  PwExecProgram *program = g_new0 (PwExecProgram, 1);
  program->schedule = schedule;
  program->is_training = schedule->mode == PW_MODE_TRAINING;
  program->n_microbatches = schedule->microbatches;
  program->n_ranks = exec->n_ranks;
  program->steps = g_new0 (GArray *, (gsize)exec->n_ranks);
  gsize cells = (gsize)exec->n_stages * (gsize)program->n_microbatches + 1;
  g_autofree uint8_t *done = g_new0 (uint8_t, cells);
  g_autofree uint8_t *recomputes = g_new0 (uint8_t, cells);
  g_autofree int *in_flight = g_new0 (int, (gsize)exec->n_stages);
  Builder builder = { .exec = exec,
                      .program = program,
                      .schedule = schedule,
                      .done = done,
                      .recomputes = recomputes,
                      .in_flight = in_flight };
  for (int rank = 0; rank < exec->n_ranks; rank++)
    if (!build_rank (&builder, rank, error)) {
      pw__program_free (program);
      return NULL;
    }
  /* Also micro-batches no list names: a peer of a local edge looks them up. */
  for (int s = 0; s < exec->n_stages; s++)
    pw__stage_microbatch (&exec->stages[s], program->n_microbatches - 1);
  return program;
}

void
pw__program_free (PwExecProgram *program) {
  if (!program)
    return;
  for (int rank = 0; rank < program->n_ranks; rank++)
    if (program->steps[rank])
      g_array_free (program->steps[rank], TRUE);
  g_free (program->steps);
  pw_schedule_free (program->owned);
  g_free (program);
}
