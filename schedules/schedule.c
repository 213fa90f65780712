#include "schedules/schedule.h"
#include "schedules/schedule_private.h"

#include <string.h>

G_DEFINE_QUARK (pw-schedule-error-quark, pw_schedule_error)

const char *const pw_schedule_error_codes[PW_SCHEDULE_ERROR_N + 1] = {
  [PW_SCHEDULE_ERROR_MISSING] = "missing",       [PW_SCHEDULE_ERROR_DUPLICATE] = "duplicate",
  [PW_SCHEDULE_ERROR_DEPENDENCY] = "dependency", [PW_SCHEDULE_ERROR_DEADLOCK] = "deadlock",
  [PW_SCHEDULE_ERROR_PLACEMENT] = "placement",   [PW_SCHEDULE_ERROR_MEMORY] = "memory",
  [PW_SCHEDULE_ERROR_SYNTAX] = "syntax",         [PW_SCHEDULE_ERROR_PARAMETER] = "parameter",
  [PW_SCHEDULE_ERROR_UNKNOWN] = "unknown",       [PW_SCHEDULE_ERROR_N] = NULL,
};

PwSchedule *
pw_schedule_new (const char *name, PwPlacement *placement, int microbatches) {
  g_assert (microbatches >= 1 && microbatches <= PW_MICROBATCHES_MAX);
  g_assert (placement->stages <= PW_STAGES_MAX);
  PwSchedule *schedule = g_new0 (PwSchedule, 1);
  schedule->name = g_strdup (name);
  schedule->ranks = placement->ranks;
  schedule->stages = placement->stages;
  schedule->chunks = (placement->stages + placement->ranks - 1) / placement->ranks;
  schedule->microbatches = microbatches;
  schedule->pieces = 1;
  schedule->promise = (PwPromise){ .synchronous = TRUE,
                                   .weight_versions = 1,
                                   .accumulation = PW_ACCUMULATION_ASCENDING };
  schedule->placement = placement;
  schedule->programs = g_new0 (PwProgram, placement->ranks);
  schedule->policy = PW_POLICY_DEFAULT;
  return schedule;
}

void
pw_schedule_free (PwSchedule *schedule) {
  if (schedule == NULL)
    return;
  for (int rank = 0; rank < schedule->ranks; rank++)
    g_free (schedule->programs[rank].actions);
  g_free (schedule->programs);
  pw_placement_free (schedule->placement);
  g_free (schedule->direction);
  g_free (schedule->name);
  g_free (schedule);
}

void
pw_schedule_take_list (PwSchedule *schedule, int rank, PwAction *actions, int64_t n) {
  g_assert (rank >= 0 && rank < schedule->ranks);
  g_free (schedule->programs[rank].actions);
  schedule->programs[rank] = (PwProgram){ .actions = actions, .n_prologue = n };
}

int64_t
pw_program_length (const PwProgram *program) {
  return program->n_prologue + program->n_body * program->repeats + program->n_epilogue;
}

static int64_t
stored_length (const PwProgram *program) {
  return program->n_prologue + program->n_body + program->n_epilogue;
}

PwSchedule *
pw__schedule_copy_head (const PwSchedule *schedule) {
  PwSchedule *copy = g_memdup2 (schedule, sizeof *schedule);
  copy->name = g_strdup (schedule->name);
  copy->placement = pw_placement_copy (schedule->placement);
  copy->direction = g_memdup2 (schedule->direction, (gsize) schedule->microbatches);
  copy->programs = g_new0 (PwProgram, schedule->ranks);
  return copy;
}

PwSchedule *
pw_schedule_copy (const PwSchedule *schedule) {
  PwSchedule *copy = pw__schedule_copy_head (schedule);
  for (int rank = 0; rank < schedule->ranks; rank++) {
    const PwProgram *program = &schedule->programs[rank];
    copy->programs[rank] = *program;
    copy->programs[rank].actions
        = g_memdup2 (program->actions, (gsize) stored_length (program) * sizeof (PwAction));
  }
  return copy;
}

static gboolean
has_bodies (const PwSchedule *schedule) {
  for (int rank = 0; rank < schedule->ranks; rank++)
    if (schedule->programs[rank].n_body > 0)
      return TRUE;
  return FALSE;
}

/* Copies N actions to OUT, micro-batch numbers raised by SHIFT; returns the end. */
static PwAction *
copy_shifted (PwAction *out, const PwAction *from, int64_t n, int64_t shift) {
  for (int64_t i = 0; i < n; i++) {
    out[i] = from[i];
    if (pw_action_kinds[from[i].kind].has_microbatch)
      out[i].microbatch = (uint32_t) (from[i].microbatch + shift) & 0xffffffu;
  }
  return out + n;
}

/* The whole list, EXTRA more than the program's own repetitions of its body. */
static gboolean
unroll_body (const PwProgram *program, int64_t extra, PwProgram *unrolled) {
  int64_t n = pw_program_length (program) + extra * program->n_body;
  PwAction *actions = g_try_new (PwAction, MAX (n, 1));
  if (actions == NULL)
    return FALSE;
  const PwAction *body = program->actions + program->n_prologue;
  PwAction *out = copy_shifted (actions, program->actions, program->n_prologue, 0);
  for (int64_t i = 0; i < program->repeats + extra; i++)
    out = copy_shifted (out, body, program->n_body, i * program->shift);
  out = copy_shifted (out, body + program->n_body, program->n_epilogue, extra * program->shift);
  g_assert (out == actions + n);
  *unrolled = (PwProgram){ .actions = actions, .n_prologue = n };
  return TRUE;
}

static gboolean
repeat_list (const PwProgram *program, int64_t iterations, int64_t shift, PwProgram *unrolled) {
  int64_t n = program->n_prologue;
  PwAction *actions = g_try_new (PwAction, MAX (n * iterations, 1));
  if (actions == NULL)
    return FALSE;
  PwAction *out = actions;
  for (int64_t i = 0; i < iterations; i++)
    out = copy_shifted (out, program->actions, n, i * shift);
  *unrolled = (PwProgram){ .actions = actions, .n_prologue = n * iterations };
  return TRUE;
}

/* How often RANK's body must be repeated beyond its own count to cover MORE micro-batches (times
 * pieces); -1 if that is no whole number. */
static int64_t
extra_repeats (const PwProgram *program, int64_t more) {
  if (more == 0)
    return 0;
  if (program->n_body == 0 || program->shift <= 0 || more % program->shift != 0)
    return -1;
  return more / program->shift;
}

PwSchedule *
pw_schedule_unroll (const PwSchedule *schedule, int64_t iterations, GError **error) {
  int64_t slots = pw__schedule_slots (schedule);
  if (iterations < 1 || iterations > PW_MICROBATCHES_MAX / slots) {
    g_set_error (error, PW_SCHEDULE_ERROR, PW_SCHEDULE_ERROR_PARAMETER,
                 "%" G_GINT64_FORMAT " iterations of %" G_GINT64_FORMAT
                 " micro-batches: from 1 to %" G_GINT64_FORMAT " iterations can be numbered",
                 iterations, slots, PW_MICROBATCHES_MAX / slots);
    return NULL;
  }
  g_autoptr (PwSchedule) unrolled = pw__schedule_copy_head (schedule);
  gboolean bodies = has_bodies (schedule);
  for (int rank = 0; rank < schedule->ranks; rank++) {
    const PwProgram *program = &schedule->programs[rank];
    int64_t extra = bodies ? extra_repeats (program, (iterations - 1) * slots) : 0;
    if (extra < 0) {
      g_set_error (error, PW_SCHEDULE_ERROR, PW_SCHEDULE_ERROR_PARAMETER,
                   "rank %d's body moves on by %d micro-batches, which does not divide %"
                   G_GINT64_FORMAT, rank, program->shift, (iterations - 1) * slots);
      return NULL;
    }
    if (!(bodies ? unroll_body (program, extra, &unrolled->programs[rank])
                 : repeat_list (program, iterations, slots, &unrolled->programs[rank]))) {
      g_set_error (error, PW_SCHEDULE_ERROR, PW_SCHEDULE_ERROR_PARAMETER,
                   "%" G_GINT64_FORMAT " iterations do not fit in memory", iterations);
      return NULL;
    }
  }
  unrolled->microbatches = (int) (iterations * schedule->microbatches);
  if (schedule->direction != NULL) {
    unrolled->direction = g_realloc (unrolled->direction, (gsize) unrolled->microbatches);
    for (int m = schedule->microbatches; m < unrolled->microbatches; m++)
      unrolled->direction[m] = schedule->direction[m % schedule->microbatches];
  }
  return g_steal_pointer (&unrolled);
}

const PwSchedule *
pw__schedule_plain (const PwSchedule *schedule, PwSchedule **owned, GError **error) {
  *owned = has_bodies (schedule) ? pw_schedule_unroll (schedule, 1, error) : NULL;
  return *owned != NULL || has_bodies (schedule) ? *owned : schedule;
}

static int64_t
count_counted (const PwAction *actions, int64_t n) {
  int64_t counted = 0;
  for (int64_t i = 0; i < n; i++)
    counted += pw_action_kinds[actions[i].kind].is_counted;
  return counted;
}

int64_t
pw_schedule_count_actions (const PwSchedule *schedule) {
  int64_t counted = 0;
  for (int rank = 0; rank < schedule->ranks; rank++) {
    const PwProgram *program = &schedule->programs[rank];
    const PwAction *body = program->actions + program->n_prologue;
    counted += count_counted (program->actions, program->n_prologue);
    if (program->n_body > 0)
      counted += count_counted (body, program->n_body) * program->repeats;
    counted += count_counted (body + program->n_body, program->n_epilogue);
  }
  return counted;
}
