/* A schedule that the user wrote: it must agree with the plan and is proved before it is used. */
#include <string.h>

#include "io/file.h"
#include "plans/plan_private.h"
#include "schedules/check.h"
#include "schedules/csv.h"

static gboolean
refuse_options (const PwResolver *r, GError **error) {
  const PwScheduleParams *params = &r->plan->params;
  const struct {
    const char *key, *option;
    gboolean is_set;
  } options[] = {
    { "schedule.chunks", "chunks", params->chunks != 0 },
    { "schedule.group", "group", params->group != 0 || params->group_rule != NULL },
    { "schedule.waves", "waves", params->waves != 0 },
    { "schedule.pieces", "pieces", params->pieces != 0 },
    { "schedule.update_every", "update-every", params->update_every != 0 },
    { "schedule.reverse", "reverse", params->reverse },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (options); i++)
    if (options[i].is_set)
      return pw__plan_fail (r->plan, options[i].key, options[i].option, PW_PLAN_ERROR_VALUE, error,
                            "a schedule that is read from a file does not take it");
  return TRUE;
}

/* What the file says, the plan need not; what both say must agree. */
static gboolean
check_size (const PwResolver *r, const char *key, const char *option, int has, int wants,
            GError **error) {
  if (wants == 0 || wants == has)
    return TRUE;
  return pw__plan_fail (r->plan, key, option, PW_PLAN_ERROR_VALUE, error, "%d, but %s has %d",
                        wants, r->plan->schedule_csv, has);
}

PwSchedule *
pw__resolve_read_csv (PwResolver *r, GError **error) {
  const PwPlan *plan = r->plan;
  gsize bytes;
  if (!refuse_options (r, error))
    return NULL;
  if (!pw_file_read (plan->schedule_csv, &r->csv_text, &bytes, error)) {
    pw__plan_prefix_error (plan, "schedule", "schedule", error);
    return NULL;
  }
  g_autoptr (PwSchedule) schedule
      = pw_schedule_from_csv (plan->schedule_csv, r->csv_text, NULL, error);
  if (schedule == NULL || !check_size (r, "ranks", "ranks", schedule->ranks, plan->ranks, error)
      || !check_size (r, "schedule.microbatches", "microbatches", schedule->microbatches,
                      plan->params.microbatches, error))
    return NULL;
  r->params.ranks = schedule->ranks;
  r->params.microbatches = schedule->microbatches;
  return g_steal_pointer (&schedule);
}

static gboolean
prove (const PwResolver *r, const PwSchedule *schedule, GError **error) {
  PwCheckOptions options = { .policy = r->plan->policy,
                             .batched = r->plan->batched,
                             .weight_memory = r->plan->params.weight_memory,
                             .max_findings = 1 };
  g_autoptr (PwCheckReport) report = pw_schedule_check (schedule, r->out->edges, &options);
  if (report->valid)
    return TRUE;
  const PwCheckFinding *finding = &report->findings[0];
  g_set_error (error, PW_SCHEDULE_ERROR, (int)finding->code, "%s: %s: %s", r->plan->schedule_csv,
               pw_schedule_error_codes[finding->code], finding->message);
  return FALSE;
}

static gboolean
has_updates (const PwSchedule *schedule) {
  for (int rank = 0; rank < schedule->ranks; rank++)
    for (int64_t i = 0; i < schedule->programs[rank].n_prologue; i++)
      if (schedule->programs[rank].actions[i].kind == PW_ACTION_UPDATE)
        return TRUE;
  return FALSE;
}

/* The gradients of two replicas are added in the order of the stages. */
static PwAction *
append_reductions (const PwPlacement *placement, int rank, PwAction *out) {
  for (int stage = 0; placement->directions == 2 && stage < placement->stages; stage++)
    for (int direction = 0; direction < 2; direction++) {
      if (pw_placement_rank (placement, direction, stage) != rank)
        continue;
      *out = pw_action (PW_ACTION_REDUCE_GRADIENT, stage, 0);
      out->direction = direction != 0;
      out++;
    }
  return out;
}

static gboolean
has_reductions (const PwProgram *program) {
  for (int64_t i = 0; i < program->n_prologue; i++)
    if (program->actions[i].kind == PW_ACTION_REDUCE_GRADIENT)
      return TRUE;
  return FALSE;
}

/* PyTorch's grammar has no U: without one a file would train nothing. */
static void
add_updates (PwSchedule *schedule) {
  const PwPlacement *placement = schedule->placement;
  for (int rank = 0; rank < schedule->ranks; rank++) {
    const PwProgram *program = &schedule->programs[rank];
    int places = placement->directions * placement->stages;
    int64_t n = program->n_prologue;
    PwAction *actions = g_new (PwAction, (gsize)(n + 2 * places));
    memcpy (actions, program->actions, (gsize)n * sizeof *actions);
    if (!has_reductions (program))
      n = append_reductions (placement, rank, actions + n) - actions;
    for (int place = 0; place < places; place++) {
      if (placement->rank_of_stage[place] != rank)
        continue;
      PwAction update = pw_action (PW_ACTION_UPDATE, place % placement->stages, 0);
      update.direction = place >= placement->stages;
      actions[n++] = update;
    }
    pw_schedule_take_list (schedule, rank, actions, n);
  }
}

gboolean
pw__resolve_finish_csv (PwResolver *r, PwSchedule *schedule, GError **error) {
  PwResolvedPlan *out = r->out;
  g_autoptr (PwSchedule) draft = schedule;
  if (!schedule->is_lowered) {
    if (!prove (r, schedule, error))
      return FALSE;
    out->compute = g_steal_pointer (&draft);
    return TRUE;
  }
  /* Read again: messages carry the numbers of this model's edges. */
  out->lowered = pw_schedule_from_csv (r->plan->schedule_csv, r->csv_text, out->edges, error);
  if (out->lowered == NULL || !prove (r, out->lowered, error))
    return FALSE;
  out->lowered->policy = r->plan->policy;
  out->compute = pw_schedule_raise (out->lowered);
  if (r->options.updates && out->mode == PW_MODE_TRAINING && !has_updates (out->lowered))
    add_updates (out->lowered);
  return TRUE;
}
