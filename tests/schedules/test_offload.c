/* Copies of stashes to the host: where they stand, and which stashes stay. */
#include "schedules/csv.h"
#include "schedules/lower.h"
#include "tests/schedules/reference_schedule.h"

/* Place of LIKE's action of KIND; -1: none. */
static int64_t
find (const PwProgram *list, PwActionKind kind, PwAction like) {
  for (int64_t i = 0; i < list->n_prologue; i++) {
    PwAction action = list->actions[i];
    if (action.kind == kind && action.stage == like.stage && action.microbatch == like.microbatch
        && action.direction == like.direction)
      return i;
  }
  return -1;
}

/* What reads the stash first. */
static int64_t
find_reader (const PwProgram *list, PwAction forward) {
  const PwActionKind kinds[]
      = { PW_ACTION_RECOMPUTE, PW_ACTION_BACKWARD, PW_ACTION_INPUT_GRADIENT };
  int64_t place = -1;
  for (gsize i = 0; place < 0 && i < G_N_ELEMENTS (kinds); i++)
    place = find (list, kinds[i], forward);
  return place;
}

/* Computes between two places, pairs being one; of a pair at either end nothing counts. */
static int
computes_between (const PwProgram *list, int64_t from, int64_t to) {
  const PwAction *actions = list->actions;
  int n = 0;
  for (int64_t i = from + 1; i < to; i++)
    if (pw_action_kinds[actions[i].kind].is_compute && !actions[i - 1].paired
        && !(actions[i].paired && i + 1 == to))
      n++;
  return n;
}

static void
check_stash (const PwProgram *list, PwAction forward, const PwLowerOptions *options) {
  int64_t f = find (list, PW_ACTION_FORWARD, forward), reader = find_reader (list, forward);
  int64_t offload = find (list, PW_ACTION_OFFLOAD, forward);
  int64_t reload = find (list, PW_ACTION_RELOAD, forward);
  gboolean is_made_again = find (list, PW_ACTION_RECOMPUTE, forward) >= 0;
  gboolean goes = options->offloaded_stages[forward.stage]
                  && computes_between (list, f, reader) >= 2
                  && is_made_again == (options->recompute != PW_RECOMPUTE_NONE);
  g_assert_cmpint (offload >= 0, ==, goes);
  g_assert_cmpint (reload >= 0, ==, goes);
  if (!goes)
    return;
  g_assert_cmpint (f, <, offload);
  g_assert_cmpint (offload, <, reload);
  g_assert_cmpint (computes_between (list, f, offload), ==, 0);
  g_assert_cmpint (computes_between (list, reload, reader), ==, 1);
}

static void
check (const PwSchedule *compute, const PwStageEdges *edges, const PwLowerOptions *options) {
  g_autoptr (GError) error = NULL;
  g_autoptr (PwSchedule) lowered = pw_schedule_lower (compute, edges, options, &error);
  g_assert_no_error (error);
  for (int rank = 0; rank < lowered->ranks; rank++) {
    const PwProgram *list = &lowered->programs[rank];
    for (int64_t i = 0; i < list->n_prologue; i++)
      if (list->actions[i].kind == PW_ACTION_FORWARD)
        check_stash (list, list->actions[i], options);
  }
  g_assert_null (reference_verdict (lowered, edges, options->policy));
  g_autoptr (PwSchedule) raised = pw_schedule_raise (lowered);
  g_assert_true (reference_same_lists (raised, compute));
  g_autofree char *text = pw_schedule_to_csv (lowered, PW_CSV_OURS);
  g_autoptr (PwSchedule) back = pw_schedule_from_csv ("x.csv", text, edges, &error);
  g_assert_no_error (error);
  g_assert_true (reference_same_lists (back, lowered));
}

static void
check_with_stages (const PwSchedule *compute, const PwStageEdges *edges) {
  g_autofree gboolean *chosen = g_new (gboolean, (gsize)compute->stages);
  PwLowerOptions options = { .policy = g_test_rand_int_range (0, PW_POLICY_N),
                             .recompute = g_test_rand_int_range (0, 3),
                             .offloaded_stages = chosen };
  for (int s = 0; s < compute->stages; s++)
    chosen[s] = g_test_rand_int_range (0, 3) > 0;
  check (compute, edges, &options);
}

static void
test_random (void) {
  for (int i = 0; i < 150; i++) {
    int stages = g_test_rand_int_range (1, 6);
    g_autoptr (PwStageEdges) edges = reference_random_edges (stages);
    g_autoptr (PwSchedule) compute
        = reference_random_schedule (edges, g_test_rand_int_range (1, stages + 1),
                                     g_test_rand_int_range (1, 6), g_test_rand_bit ());
    check_with_stages (compute, edges);
  }
}

static void
test_registry (void) {
  for (const PwScheduleType *const *type = pw_schedule_list (); *type != NULL; type++) {
    PwScheduleParams params;
    pw_schedule_params_init (&params);
    params.ranks = 4;
    params.microbatches = 8;
    g_autoptr (PwSchedule) generated = pw_schedule_generate ((*type)->name, &params, NULL);
    if (generated == NULL || generated->mode != PW_MODE_TRAINING)
      continue;
    g_test_message ("%s", (*type)->name);
    g_autoptr (PwSchedule) compute = pw_schedule_unroll (generated, 1, NULL);
    g_autoptr (PwStageEdges) edges = pw_stage_edges_new_chain (compute->stages);
    if (compute->pieces <= 1)
      check_with_stages (compute, edges);
  }
}

/* R counts as a compute, and is what waits for the copy. */
static void
test_stands_before_recomputation (void) {
  const gboolean all[] = { TRUE };
  PwLowerOptions options = { .recompute = PW_RECOMPUTE_STAGE, .offloaded_stages = all };
  g_autoptr (PwSchedule) compute
      = pw_schedule_from_csv ("x", "0F0,0F1,0F2,0B0,0B1,0B2", NULL, NULL);
  g_autoptr (PwSchedule) lowered = pw_schedule_lower (compute, NULL, &options, NULL);
  g_autofree char *text = pw_schedule_to_csv (lowered, PW_CSV_OURS);
  g_assert_cmpstr (text, ==,
                   "0F0,0OFFLOAD0,0F1,0RELOAD0,0OFFLOAD1,0F2,0OFFLOAD2,0R0,0RELOAD1,0B0,0R1,"
                   "0RELOAD2,0B1,0R2,0B2\n");
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/schedules/offload/random-schedules", test_random);
  g_test_add_func ("/schedules/offload/built-in-schedules", test_registry);
  g_test_add_func ("/schedules/offload/what-r-leaves-is-back-before-r",
                   test_stands_before_recomputation);
  return g_test_run ();
}
