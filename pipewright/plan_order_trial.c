/* What an order is worth, and orders that need no search. */
#include "pipewright/plan_order_private.h"
#include <string.h>

PwPlanOrderTrial *
pw__plan_order_try (const PwPlanOrderProblem *problem, PwSchedule *compute, GError **error) {
  gint64 begin_us = g_get_monotonic_time ();
  g_autoptr (PwPlanOrderTrial) trial = g_new0 (PwPlanOrderTrial, 1);
  trial->compute = compute;
  trial->lowered = pw_schedule_lower (compute, problem->edges, &problem->lower, error);
  if (!trial->lowered)
    return NULL;
  pw_sim_input_init (&trial->input);
  trial->input.schedule = trial->lowered;
  trial->input.edges = problem->edges;
  trial->input.costs = problem->costs;
  trial->input.weight_memory = problem->params.weight_memory;
  trial->result = pw_sim_run (&trial->input, error);
  if (!trial->result)
    return NULL;
  trial->value = problem->objective == PW_OBJECTIVE_SPAN ? trial->result->longest_rank_span
                                                         : trial->result->iteration_time;
  trial->wall_seconds = (double)(g_get_monotonic_time () - begin_us) * 1e-6;
  return g_steal_pointer (&trial);
}

void
pw__plan_order_trial_free (PwPlanOrderTrial *trial) {
  if (!trial)
    return;
  pw_schedule_free (trial->compute);
  pw_schedule_free (trial->lowered);
  pw_sim_result_free (trial->result);
  g_free (trial);
}

double
pw__plan_order_need (const PwPlanOrderProblem *problem, const PwPlanOrderTrial *trial, int rank) {
  const PwSimRank *figures = &trial->result->rank[rank];
  return problem->in_bytes ? (double)figures->peak_memory_bytes : figures->peak_activations;
}

int
pw__plan_order_misfit (const PwPlanOrderProblem *problem, const PwPlanOrderTrial *trial) {
  double slack = problem->in_bytes ? 0 : 1e-9;
  for (int r = 0; r < trial->result->ranks; r++)
    if (pw__plan_order_need (problem, trial, r) > problem->limit + slack)
      return r;
  return -1;
}

gboolean
pw__plan_order_is_shorter (double a, double b) {
  return a < b - 1e-9 * b;
}

/* Generators find no fault in their own orders: NULL means that the name does not fit the sizes. */
static PwSchedule *
generate (const PwPlanOrderProblem *problem, const PwScheduleType *type) {
  PwScheduleParams params = problem->params;
  if (type->options & PW_OPTION_CHUNKS)
    params.chunks = problem->chunks;
  if (type->options & PW_OPTION_WAVES)
    params.waves = 1;
  if (type->options & PW_OPTION_PIECES)
    params.pieces = 1;
  return pw_schedule_generate (type->name, &params, NULL);
}

static gboolean
is_eligible (const PwPlanOrderProblem *problem, const PwSchedule *schedule) {
  const PwPlacement *wanted = problem->placement, *placement = schedule->placement;
  return schedule->mode == PW_MODE_TRAINING && schedule->promise.synchronous
         && schedule->pieces <= 1 && placement->directions == 1
         && placement->stages == wanted->stages
         && memcmp (placement->rank_of_stage, wanted->rank_of_stage,
                    (gsize)wanted->stages * sizeof *wanted->rank_of_stage)
                == 0;
}

/* Most schedules of several chunks are an older one with a single chunk. */
static gboolean
is_same (const PwSchedule *a, const PwSchedule *b) {
  for (int r = 0; r < a->ranks; r++) {
    const PwProgram *p = &a->programs[r], *q = &b->programs[r];
    if (p->n_prologue != q->n_prologue || p->n_body != q->n_body || p->n_epilogue != q->n_epilogue)
      return FALSE;
    gint64 n = p->n_prologue + p->n_body + p->n_epilogue;
    for (gint64 i = 0; i < n; i++)
      if (!pw_action_equal (p->actions[i], q->actions[i]))
        return FALSE;
  }
  return TRUE;
}

static gboolean
is_known (const GPtrArray *known, const PwSchedule *schedule) {
  for (guint i = 0; i < known->len; i++)
    if (is_same (known->pdata[i], schedule))
      return TRUE;
  return FALSE;
}

static void
free_schedule (gpointer schedule) {
  pw_schedule_free (schedule);
}

PwPlanOrderTrial *
pw__plan_order_best_builtin (const PwPlanOrderProblem *problem) {
  g_autoptr (PwPlanOrderTrial) best = NULL;
  g_autoptr (GPtrArray) known = g_ptr_array_new_with_free_func (free_schedule);
  for (const PwScheduleType *const *type = pw_schedule_list (); *type; type++) {
    g_autoptr (PwSchedule) schedule = generate (problem, *type);
    if (!schedule || !is_eligible (problem, schedule) || is_known (known, schedule))
      continue;
    g_ptr_array_add (known, pw_schedule_copy (schedule));
    g_autoptr (PwPlanOrderTrial) trial
        = pw__plan_order_try (problem, g_steal_pointer (&schedule), NULL);
    if (!trial || pw__plan_order_misfit (problem, trial) >= 0)
      continue;
    if (!best || pw__plan_order_is_shorter (trial->value, best->value)) {
      pw__plan_order_trial_free (best);
      best = g_steal_pointer (&trial);
    }
  }
  return g_steal_pointer (&best);
}

PwSchedule *
pw__plan_order_one_by_one (const PwPlanOrderProblem *problem) {
  const PwPlacement *placement = problem->placement;
  PwSchedule *schedule
      = pw_schedule_new ("one-by-one", pw_placement_copy (placement), problem->microbatches);
  g_autofree int64_t *lengths = g_new (int64_t, (gsize)placement->ranks);
  for (int r = 0; r < placement->ranks; r++)
    lengths[r] = 2 * (int64_t)problem->chunks * problem->microbatches;
  pw_schedule_new_lists (schedule, lengths);
  for (int r = 0; r < placement->ranks; r++) {
    PwAction *out = schedule->programs[r].actions;
    for (int m = 0; m < problem->microbatches; m++) {
      for (int s = 0; s < placement->stages; s++)
        if (placement->rank_of_stage[s] == r)
          *out++ = pw_action (PW_ACTION_FORWARD, s, m);
      for (int s = placement->stages - 1; s >= 0; s--)
        if (placement->rank_of_stage[s] == r)
          *out++ = pw_action (PW_ACTION_BACKWARD, s, m);
    }
  }
  return schedule;
}

static gboolean
is_backward_pair (PwAction first, PwAction second) {
  return first.kind == PW_ACTION_INPUT_GRADIENT && second.kind == PW_ACTION_WEIGHT_GRADIENT
         && first.stage == second.stage && first.microbatch == second.microbatch;
}

PwSchedule *
pw__plan_order_fuse (const PwSchedule *schedule) {
  g_autoptr (PwSchedule) fused = pw_schedule_unroll (schedule, 1, NULL);
  int64_t n_fused = 0;
  for (int r = 0; r < fused->ranks; r++) {
    PwProgram *program = &fused->programs[r];
    PwAction *actions = program->actions;
    int64_t n = 0;
    for (int64_t i = 0; i < program->n_prologue; i++) {
      PwAction action = actions[i];
      if (i + 1 < program->n_prologue && is_backward_pair (action, actions[i + 1])) {
        action.kind = PW_ACTION_BACKWARD;
        i++;
        n_fused++;
      }
      actions[n++] = action;
    }
    program->n_prologue = n;
  }
  return n_fused > 0 ? g_steal_pointer (&fused) : NULL;
}
