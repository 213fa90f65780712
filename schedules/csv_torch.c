#include "schedules/csv.h"
#include "schedules/messages_private.h"
#include "schedules/schedule_private.h"

static gboolean
has_reductions (const PwSchedule *schedule) {
  for (int rank = 0; rank < schedule->ranks; rank++)
    for (int64_t i = 0; i < schedule->programs[rank].n_prologue; i++)
      if (schedule->programs[rank].actions[i].kind == PW_ACTION_REDUCE_GRADIENT)
        return TRUE;
  return FALSE;
}

/* Where the reduction of each stage goes: behind its last B or W and, since a peer waits for it,
 * the send that follows that directly. -1: nowhere. */
static int
find_ends (const PwProgram *program, int stages, int64_t *ends) {
  int n = 0;
  for (int stage = 0; stage < stages; stage++)
    ends[stage] = -1;
  for (int64_t i = 0; i < program->n_prologue; i++) {
    PwAction action = program->actions[i];
    int64_t *end = &ends[action.stage];
    gboolean makes_weight_gradients
        = action.kind == PW_ACTION_BACKWARD || action.kind == PW_ACTION_WEIGHT_GRADIENT;
    gboolean sends_last = action.kind == PW_ACTION_SEND_BACKWARD && i > 0 && *end == i - 1;
    if (makes_weight_gradients)
      n += *end < 0;
    if (makes_weight_gradients || sends_last)
      *end = i;
  }
  return n;
}

static void
add_reductions (PwSchedule *schedule, int rank, int64_t *ends) {
  const PwProgram *program = &schedule->programs[rank];
  int64_t n = program->n_prologue + find_ends (program, schedule->stages, ends);
  PwAction *list = g_new (PwAction, (gsize)n), *out = list;
  for (int64_t i = 0; i < program->n_prologue; i++) {
    PwAction action = program->actions[i];
    *out++ = action;
    if (ends[action.stage] == i)
      *out++ = pw_action (PW_ACTION_REDUCE_GRADIENT, action.stage, 0);
  }
  g_assert (out == list + n);
  pw_schedule_take_list (schedule, rank, list, n);
}

PwSchedule *
pw_schedule_add_reductions (const PwSchedule *schedule) {
  PwSchedule *reduced = pw_schedule_unroll (schedule, 1, NULL);
  g_assert (reduced != NULL); /* one iteration always unrolls */
  if (has_reductions (reduced))
    return reduced;
  g_autofree int64_t *ends = g_new (int64_t, (gsize)schedule->stages);
  for (int rank = 0; rank < schedule->ranks; rank++)
    add_reductions (reduced, rank, ends);
  return reduced;
}
