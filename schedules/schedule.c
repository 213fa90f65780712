#include "schedules/schedule.h"
#include "schedules/block.h"
#include "schedules/schedule_private.h"

#include <string.h>

GQuark
pw_schedule_error_quark (void) {
  return g_quark_from_static_string ("pw-schedule-error-quark");
}

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
  schedule->programs = g_new0 (PwProgram, (gsize)placement->ranks);
  schedule->policy = PW_POLICY_DEFAULT;
  return schedule;
}

static void
free_list (PwSchedule *schedule, int rank) {
  PwAction *actions = schedule->programs[rank].actions;
  gboolean in_arena = schedule->arena != NULL && actions >= schedule->arena
                      && actions < schedule->arena + schedule->arena_length;
  if (!in_arena)
    g_free (actions);
}

void
pw_schedule_free (PwSchedule *schedule) {
  if (schedule == NULL)
    return;
  for (int rank = 0; rank < schedule->ranks; rank++)
    free_list (schedule, rank);
  pw_block_free (schedule->arena);
  g_free (schedule->programs);
  pw_placement_free (schedule->placement);
  g_free (schedule->direction);
  g_free (schedule->name);
  g_free (schedule);
}

/* Ranks are walked side by side, so lists a multiple of a page apart would fight for the same few
 * cache sets: each starts a cache line further on. */
#define LIST_PADDING 8

void
pw_schedule_new_lists (PwSchedule *schedule, const int64_t *lengths) {
  g_assert (schedule->arena == NULL);
  int64_t total = 0;
  for (int rank = 0; rank < schedule->ranks; rank++)
    total += lengths[rank] + LIST_PADDING;
  schedule->arena = pw_block_new ((gsize)total * sizeof (PwAction));
  schedule->arena_length = total;
  PwAction *list = schedule->arena;
  for (int rank = 0; rank < schedule->ranks; rank++) {
    free_list (schedule, rank);
    schedule->programs[rank] = (PwProgram){ .actions = list, .n_prologue = lengths[rank] };
    list += lengths[rank] + LIST_PADDING;
  }
}

void
pw_schedule_take_list (PwSchedule *schedule, int rank, PwAction *actions, int64_t n) {
  g_assert (rank >= 0 && rank < schedule->ranks);
  free_list (schedule, rank);
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
  copy->direction = g_memdup2 (schedule->direction, (gsize)schedule->microbatches);
  copy->programs = g_new0 (PwProgram, (gsize)schedule->ranks);
  copy->arena = NULL;
  copy->arena_length = 0;
  return copy;
}

PwSchedule *
pw_schedule_copy (const PwSchedule *schedule) {
  PwSchedule *copy = pw__schedule_copy_head (schedule);
  g_autofree int64_t *lengths = g_new (int64_t, (gsize)schedule->ranks);
  for (int rank = 0; rank < schedule->ranks; rank++)
    lengths[rank] = stored_length (&schedule->programs[rank]);
  pw_schedule_new_lists (copy, lengths);
  for (int rank = 0; rank < schedule->ranks; rank++) {
    PwProgram program = schedule->programs[rank];
    PwAction *actions = copy->programs[rank].actions;
    if (lengths[rank] > 0)
      memcpy (actions, program.actions, (size_t)lengths[rank] * sizeof (PwAction));
    program.actions = actions;
    copy->programs[rank] = program;
  }
  return copy;
}

gboolean
pw_schedule_is_endless (const PwSchedule *schedule) {
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
      out[i].microbatch = (uint32_t)(from[i].microbatch + shift) & 0xffffffu;
  }
  return out + n;
}

/* The whole list, EXTRA more than the program's own repetitions of its body. */
static PwAction *
unroll_body (PwAction *out, const PwProgram *program, int64_t extra) {
  const PwAction *body = program->actions + program->n_prologue;
  out = copy_shifted (out, program->actions, program->n_prologue, 0);
  for (int64_t i = 0; i < program->repeats + extra && program->n_body > 0; i++)
    out = copy_shifted (out, body, program->n_body, i * program->shift);
  return copy_shifted (out, body + program->n_body, program->n_epilogue, extra * program->shift);
}

static PwAction *
repeat_list (PwAction *out, const PwProgram *program, int64_t iterations, int64_t shift) {
  for (int64_t i = 0; i < iterations; i++)
    out = copy_shifted (out, program->actions, program->n_prologue, i * shift);
  return out;
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

/* The length of each rank's unrolled list, and by how much its body is repeated more. */
static gboolean
measure (const PwSchedule *schedule, int64_t iterations, int64_t *lengths, int64_t *extra,
         GError **error) {
  gboolean bodies = pw_schedule_is_endless (schedule);
  int64_t more = (iterations - 1) * pw__schedule_slots (schedule);
  for (int rank = 0; rank < schedule->ranks; rank++) {
    const PwProgram *program = &schedule->programs[rank];
    extra[rank] = bodies ? extra_repeats (program, more) : 0;
    if (extra[rank] < 0) {
      g_set_error (
          error, PW_SCHEDULE_ERROR, PW_SCHEDULE_ERROR_PARAMETER,
          "rank %d's body moves on by %d micro-batches, which does not divide %" G_GINT64_FORMAT,
          rank, program->shift, more);
      return FALSE;
    }
    lengths[rank] = bodies ? pw_program_length (program) + extra[rank] * program->n_body
                           : program->n_prologue * iterations;
  }
  return TRUE;
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
  g_autofree int64_t *lengths = g_new (int64_t, (gsize)schedule->ranks);
  g_autofree int64_t *extra = g_new (int64_t, (gsize)schedule->ranks);
  if (!measure (schedule, iterations, lengths, extra, error))
    return NULL;
  gboolean bodies = pw_schedule_is_endless (schedule);
  PwSchedule *unrolled = pw__schedule_copy_head (schedule);
  pw_schedule_new_lists (unrolled, lengths);
  for (int rank = 0; rank < schedule->ranks; rank++) {
    const PwProgram *program = &schedule->programs[rank];
    PwAction *out = unrolled->programs[rank].actions;
    PwAction *end = bodies ? unroll_body (out, program, extra[rank])
                           : repeat_list (out, program, iterations, slots);
    g_assert (end == out + lengths[rank]);
  }
  unrolled->microbatches = (int)(iterations * schedule->microbatches);
  if (schedule->direction != NULL) {
    unrolled->direction = g_realloc (unrolled->direction, (gsize)unrolled->microbatches);
    for (int m = schedule->microbatches; m < unrolled->microbatches; m++)
      unrolled->direction[m] = schedule->direction[m % schedule->microbatches];
  }
  return unrolled;
}

const PwSchedule *
pw__schedule_plain (const PwSchedule *schedule, PwSchedule **owned, GError **error) {
  *owned = pw_schedule_is_endless (schedule) ? pw_schedule_unroll (schedule, 1, error) : NULL;
  return *owned != NULL || pw_schedule_is_endless (schedule) ? *owned : schedule;
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
