/* Lowering keeps no bodies: where a receive stands depends on what the other ranks do at that time.
 * But the beat of an endless schedule settles, and from then on each iteration adds the same
 * actions in the same place. So it is lowered for n, n + 1 and n + 2 iterations, and what the
 * longer lists have more is the body:
 *
 *   n       prologue ................ epilogue
 *   n + 1   prologue body ........... epilogue, numbers one iteration later
 *   n + 2   prologue body body ...... epilogue, two iterations later          */
#include "exec/exec_private.h"

static PwSchedule *
lower (const PwSchedule *compute, int64_t iterations, const PwStageEdges *edges,
       const PwLowerOptions *options, GError **error) {
  g_autoptr (PwSchedule) unrolled = pw_schedule_unroll (compute, iterations, error);
  return unrolled ? pw_schedule_lower (unrolled, edges, options, error) : NULL;
}

/* A, its micro-batch SHIFT later, is B. */
static gboolean
is_shifted (PwAction a, PwAction b, int64_t shift) {
  if (pw_action_kinds[a.kind].has_microbatch)
    a.microbatch = (uint32_t)(a.microbatch + shift) & 0xffffffu;
  return pw_action_equal (a, b);
}

static gboolean
are_shifted (const PwAction *a, const PwAction *b, int64_t n, int64_t shift) {
  for (int64_t i = 0; i < n; i++)
    if (!is_shifted (a[i], b[i], shift))
      return FALSE;
  return TRUE;
}

/* Where the body begins in ONE's list if there is any; -1. */
static int64_t
find_body (const PwProgram *one, const PwProgram *two, const PwProgram *three, int64_t shift) {
  int64_t n = one->n_prologue, body = two->n_prologue - n;
  int64_t at = n;
  while (at > 0 && is_shifted (one->actions[at - 1], two->actions[at - 1 + body], shift))
    at--;
  const PwAction *repeated = two->actions + at;
  if (body <= 0 || three->n_prologue != n + 2 * body
      || !are_shifted (one->actions, two->actions, at, 0)
      || !are_shifted (two->actions, three->actions, at + body, 0)
      || !are_shifted (repeated, three->actions + at + body, body, shift)
      || !are_shifted (one->actions + at, three->actions + at + 2 * body, n - at, 2 * shift))
    return -1;
  return at;
}

static PwProgram
insert_body (const PwProgram *one, const PwProgram *two, int64_t at, int shift) {
  PwProgram program = { .n_prologue = at,
                        .n_body = two->n_prologue - one->n_prologue,
                        .n_epilogue = one->n_prologue - at,
                        .shift = shift };
  program.actions = g_new (PwAction, (gsize)two->n_prologue);
  memcpy (program.actions, two->actions, (gsize)(at + program.n_body) * sizeof (PwAction));
  memcpy (program.actions + at + program.n_body, one->actions + at,
          (gsize)program.n_epilogue * sizeof (PwAction));
  return program;
}

/* Puts the bodies into ONE; FALSE if there are none. */
static gboolean
fold (PwSchedule *one, const PwSchedule *two, const PwSchedule *three, int shift) {
  g_autofree int64_t *at = g_new (int64_t, (gsize)one->ranks);
  for (int rank = 0; rank < one->ranks; rank++) {
    at[rank]
        = find_body (&one->programs[rank], &two->programs[rank], &three->programs[rank], shift);
    if (at[rank] < 0)
      return FALSE;
  }
  for (int rank = 0; rank < one->ranks; rank++) {
    PwProgram program = insert_body (&one->programs[rank], &two->programs[rank], at[rank], shift);
    pw_schedule_take_list (one, rank, program.actions, 0);
    one->programs[rank] = program;
  }
  return TRUE;
}

PwSchedule *
pw__lower_endless (const PwSchedule *compute, const PwStageEdges *edges,
                   const PwLowerOptions *options, int64_t iterations, GError **error) {
  int64_t n = 1;
  /* All ranks have settled long before each has had so many micro-batches. */
  int64_t most = 2 + 64 * (int64_t)compute->ranks / compute->microbatches;
  for (; n < iterations && n <= most; n *= 2) {
    g_autoptr (PwSchedule) one = lower (compute, n, edges, options, error);
    g_autoptr (PwSchedule) two = one ? lower (compute, n + 1, edges, options, error) : NULL;
    g_autoptr (PwSchedule) three = two ? lower (compute, n + 2, edges, options, error) : NULL;
    if (!three)
      return NULL;
    if (fold (one, two, three, compute->microbatches))
      return g_steal_pointer (&one);
  }
  if (n >= iterations)
    return lower (compute, iterations, edges, options, error);
  g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED,
               "schedule %s: its lists have no part that repeats", compute->name);
  return NULL;
}
