#include "schedules/lower.h"
#include "schedules/check.h"
#include "schedules/csv.h"
#include "tests/schedules/reference_schedule.h"

#include <string.h>

static PwSchedule *
generate (const char *name, int ranks, int microbatches) {
  PwScheduleParams params;
  pw_schedule_params_init (&params);
  params.ranks = ranks;
  params.microbatches = microbatches;
  return pw_schedule_generate (name, &params, NULL);
}

static void
assert_lowers_to (const char *compute, const PwLowerOptions *options, const char *expected) {
  g_autoptr (PwSchedule) schedule = pw_schedule_from_csv ("x", compute, NULL, NULL);
  g_autoptr (PwSchedule) lowered = pw_schedule_lower (schedule, NULL, options, NULL);
  g_autofree char *text = pw_schedule_to_csv (lowered, PW_CSV_OURS);
  g_assert_cmpstr (text, ==, expected);
  g_assert_true (lowered->is_lowered);
  g_assert_cmpint (lowered->policy, ==, options->policy);
}

static void
test_1f1b_is_as_drawn (void) {
  PwLowerOptions options = { .policy = PW_POLICY_PER_EDGE };
  assert_lowers_to ("0F0,0F1,0B0,0B1\n1F0,1B0,1F1,1B1\n", &options,
                    "0F0,0SEND_F0,0F1,0SEND_F1,0RECV_B0,0B0,0RECV_B1,0B1\n"
                    "1RECV_F0,1F0,1RECV_F1,1B0,1SEND_B0,1F1,1B1,1SEND_B1\n");
}

static void
test_no_message_within_a_rank (void) {
  PwLowerOptions options = { .policy = PW_POLICY_PER_EDGE, .updates = TRUE };
  assert_lowers_to ("0F0,1F0,1B0,0B0\n", &options, "0F0,1F0,1B0,0B0,0U,1U\n");
  assert_lowers_to ("0F0,3F0,3B0,0B0\n1F0,2F0,2B0,1B0\n", &options,
                    "0F0,0SEND_F0,3RECV_F0,3F0,3B0,3SEND_B0,0RECV_B0,0B0,0U,3U\n"
                    "1RECV_F0,1F0,2F0,2SEND_F0,2RECV_B0,2B0,1B0,1SEND_B0,1U,2U\n");
}

static void
test_recompute (void) {
  PwLowerOptions options = { .policy = PW_POLICY_PER_EDGE, .recompute = PW_RECOMPUTE_STAGE };
  assert_lowers_to ("0F0,0F1,0B1,0B0\n", &options, "0F0,0F1,0R1,0B1,0R0,0B0\n");
  options.recompute = PW_RECOMPUTE_EXCEPT_LAST;
  assert_lowers_to ("0F0,0F1,0B1,0B0\n", &options, "0F0,0F1,0B1,0R0,0B0\n");
  assert_lowers_to ("0F0,0I0,0F1,0W0,0I1,0W1\n", &options, "0F0,0R0,0I0,0F1,0W0,0I1,0W1\n");
  assert_lowers_to ("0F0,0F1,(0F2;0B0)OVERLAP_F_B,0B1,0B2\n", &options,
                    "0F0,0F1,0R0,(0F2;0B0)OVERLAP_F_B,0R1,0B1,0B2\n");
}

/* GPipe recomputes before the gradient arrives. */
static void
test_recompute_does_not_wait_for_the_gradient (void) {
  PwLowerOptions options = { .policy = PW_POLICY_PER_EDGE, .recompute = PW_RECOMPUTE_STAGE };
  assert_lowers_to ("0F0,0B0\n1F0,1B0\n", &options,
                    "0F0,0SEND_F0,0R0,0RECV_B0,0B0\n1RECV_F0,1F0,1R0,1B0,1SEND_B0\n");
}

static void
test_inference_has_no_updates (void) {
  g_autoptr (PwSchedule) schedule = generate ("forward-only", 2, 2);
  PwLowerOptions options
      = { .policy = PW_POLICY_PER_EDGE, .updates = TRUE, .recompute = PW_RECOMPUTE_STAGE };
  g_autoptr (PwSchedule) lowered = pw_schedule_lower (schedule, NULL, &options, NULL);
  g_autofree char *text = pw_schedule_to_csv (lowered, PW_CSV_OURS);
  g_assert_cmpstr (text, ==, "0F0,0SEND_F0,0F1,0SEND_F1\n1RECV_F0,1F0,1RECV_F1,1F1\n");
}

/* Several edges into one stage, some of them skips, some within a rank: one message for each edge
 * that crosses, none for the others, and none of the policies hangs. */
static void
test_random_schedules_never_hang (void) {
  for (int round = 0; round < 400; round++) {
    int stages = g_test_rand_int_range (2, 8), ranks = g_test_rand_int_range (1, stages + 1);
    int M = g_test_rand_int_range (1, 5);
    g_autoptr (PwStageEdges) edges = reference_random_edges (stages);
    g_autoptr (PwSchedule) schedule = reference_random_schedule (edges, ranks, M, round % 2);
    int64_t crossing = 0, n = pw_schedule_count_actions (schedule);
    for (int e = 0; e < edges->n_edges; e++)
      crossing += pw_placement_rank (schedule->placement, 0, edges->edges[e].producer)
                  != pw_placement_rank (schedule->placement, 0, edges->edges[e].consumer);
    for (PwPolicy policy = 0; policy < PW_POLICY_N; policy++)
      for (int batched = 0; batched <= 1; batched++) {
        PwLowerOptions lower = { .policy = policy, .batched = batched };
        PwCheckOptions check = { .policy = policy };
        g_autoptr (PwSchedule) lowered = pw_schedule_lower (schedule, edges, &lower, NULL);
        g_autoptr (PwSchedule) raised = pw_schedule_raise (lowered);
        g_autoptr (PwCheckReport) report = pw_schedule_check (lowered, edges, &check);
        if (!report->valid)
          g_error ("%s: %s", pw_policies[policy].name, report->findings[0].message);
        g_assert_true (reference_run_lowered (lowered, edges, policy, 1, 1, 1).finished);
        g_assert_true (reference_same_lists (schedule, raised));
        int64_t length = 0;
        for (int rank = 0; rank < ranks; rank++)
          length += pw_program_length (&lowered->programs[rank]);
        g_assert_cmpint (length, ==, n + 4 * crossing * M);
      }
  }
}

/* A lowering for one policy is as good for every other. */
static void
test_order_suits_other_policies (void) {
  for (PwPolicy made_for = 0; made_for < PW_POLICY_N; made_for++)
    for (PwPolicy policy = 0; policy < PW_POLICY_N; policy++)
      for (int batched = 0; batched <= 1; batched++) {
        g_autoptr (PwSchedule) schedule = generate ("1f1b", 6, 11);
        PwLowerOptions lower = { .policy = made_for, .batched = batched };
        PwCheckOptions check = { .policy = policy };
        g_autoptr (PwSchedule) lowered = pw_schedule_lower (schedule, NULL, &lower, NULL);
        g_autoptr (PwCheckReport) report = pw_schedule_check (lowered, NULL, &check);
        g_assert_true (report->valid);
      }
}

static void
test_batching_joins_pairs (void) {
  for (int P = 2; P <= 6; P++) {
    g_autoptr (PwSchedule) schedule = generate ("1f1b", P, 12);
    PwLowerOptions options = { .policy = PW_POLICY_SHARED_STREAM, .batched = TRUE };
    g_autoptr (PwSchedule) lowered = pw_schedule_lower (schedule, NULL, &options, NULL);
    int groups = 0;
    for (int rank = 0; rank < P; rank++) {
      const PwProgram *program = &lowered->programs[rank];
      for (int64_t i = 0; i < program->n_prologue; i++) {
        if (!program->actions[i].grouped)
          continue;
        const PwActionKindInfo *a = &pw_action_kinds[program->actions[i].kind];
        const PwActionKindInfo *b = &pw_action_kinds[program->actions[i + 1].kind];
        g_assert_true ((a->is_send && b->is_recv) || (a->is_recv && b->is_send));
        g_assert_false (program->actions[i + 1].grouped);
        groups++;
      }
    }
    g_assert_cmpint (groups, >, 0);
    g_assert_cmpint (groups % 2, ==, 0); /* a group has its counterpart at the other end */
  }
}

static void
test_lowering_a_lowered_one_copies (void) {
  g_autoptr (PwSchedule) schedule = generate ("gpipe", 3, 4);
  PwLowerOptions options = { .policy = PW_POLICY_BUFFERED, .updates = TRUE };
  g_autoptr (PwSchedule) once = pw_schedule_lower (schedule, NULL, &options, NULL);
  g_autoptr (PwSchedule) twice = pw_schedule_lower (once, NULL, &options, NULL);
  g_assert_true (reference_same_lists (once, twice));
}

static void
test_lowered_iterations_follow_each_other (void) {
  g_autoptr (PwSchedule) schedule = generate ("1f1b", 4, 6);
  for (PwPolicy policy = 0; policy < PW_POLICY_N; policy++) {
    PwLowerOptions options = { .policy = policy, .updates = TRUE };
    PwCheckOptions check = { .policy = policy };
    g_autoptr (PwSchedule) once = pw_schedule_lower (schedule, NULL, &options, NULL);
    g_autoptr (PwSchedule) thrice = pw_schedule_unroll (once, 3, NULL);
    g_autoptr (PwCheckReport) report = pw_schedule_check (thrice, NULL, &check);
    g_assert_true (report->valid);
  }
}

static void
test_refusals (void) {
  const struct {
    const char *text;
    PwScheduleError code;
    const char *says;
  } rows[] = {
    { "0F0,0B0,0F1,0B1\n1F1,1B1,1F0,1B0\n", PW_SCHEDULE_ERROR_DEADLOCK,
      "rank 0, action 1: 0B0 waits for rank 1's 1B0; rank 1, action 0: 1F1 waits for rank 0's "
      "0F1" },
    { "0F0,0B0\n1F0\n", PW_SCHEDULE_ERROR_MISSING, "1B0" },
    { "0F0,0B0,0F1\n1F0,1B0\n", PW_SCHEDULE_ERROR_MISSING, "forwards" },
    { "0F0,0B0\n2F0,2B0\n", PW_SCHEDULE_ERROR_MISSING, "stage 1" },
    { "65534F16777214,0B0\n", PW_SCHEDULE_ERROR_MISSING, "" },
    { "0F0,0B0,1F1\n1F0,1B0,0F1\n1F2,1B2,0F2,1B1", PW_SCHEDULE_ERROR_PLACEMENT, "action" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (PwSchedule) schedule = pw_schedule_from_csv ("x", rows[i].text, NULL, NULL);
    PwLowerOptions options = { .policy = PW_POLICY_PER_EDGE };
    g_assert_null (pw_schedule_lower (schedule, NULL, &options, &error));
    g_assert_error (error, PW_SCHEDULE_ERROR, rows[i].code);
    g_assert_nonnull (strstr (error->message, rows[i].says));
  }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/schedules/lower/1f1b-is-as-drawn", test_1f1b_is_as_drawn);
  g_test_add_func ("/schedules/lower/no-message-within-a-rank", test_no_message_within_a_rank);
  g_test_add_func ("/schedules/lower/recomputation-stands-before-its-backward", test_recompute);
  g_test_add_func ("/schedules/lower/recomputation-does-not-wait-for-the-gradient",
                   test_recompute_does_not_wait_for_the_gradient);
  g_test_add_func ("/schedules/lower/inference-has-no-updates", test_inference_has_no_updates);
  g_test_add_func ("/schedules/lower/random-schedules-never-hang",
                   test_random_schedules_never_hang);
  g_test_add_func ("/schedules/lower/order-suits-other-policies", test_order_suits_other_policies);
  g_test_add_func ("/schedules/lower/batching-joins-pairs", test_batching_joins_pairs);
  g_test_add_func ("/schedules/lower/lowering-a-lowered-one-copies",
                   test_lowering_a_lowered_one_copies);
  g_test_add_func ("/schedules/lower/lowered-iterations-follow-each-other",
                   test_lowered_iterations_follow_each_other);
  g_test_add_func ("/schedules/lower/what-cannot-run-is-refused", test_refusals);
  return g_test_run ();
}
