/* Schedules with several chunks per rank in a loop, and how their micro-batches are grouped. */
#include "schedules/check.h"
#include "tests/schedules/reference_schedule.h"

#include <math.h>
#include <string.h>

static PwScheduleParams
params_of (int ranks, int microbatches, int chunks, int group, const char *rule) {
  PwScheduleParams params;
  pw_schedule_params_init (&params);
  params.ranks = ranks;
  params.microbatches = microbatches;
  params.chunks = chunks;
  params.group = group;
  params.group_rule = rule;
  return params;
}

/* The definition for groups of G that divide M, by the number of the step. */
static PwAction
defined_action (int rank, int P, int V, int G, int k, gboolean forward) {
  int chunk = k % (G * V) / G, microbatch = k / (G * V) * G + k % G;
  int stage = (forward ? chunk : V - 1 - chunk) * P + rank;
  return pw_action (forward ? PW_ACTION_FORWARD : PW_ACTION_BACKWARD, stage, microbatch);
}

static PwSchedule *
defined_schedule (int P, int M, int V, int G) {
  PwPlacement *placement = pw_placement_new (PW_PLACEMENT_LOOP, P, P * V);
  PwSchedule *schedule = pw_schedule_new ("defined", placement, M);
  for (int rank = 0; rank < P; rank++) {
    int n = M * V, warmup = MIN (n, 2 * (P - 1 - rank) + (V - 1) * G);
    PwAction *list = g_new (PwAction, (gsize)(2 * n)), *out = list;
    for (int k = 0; k < warmup; k++)
      *out++ = defined_action (rank, P, V, G, k, TRUE);
    for (int k = 0; k < n; k++) {
      if (warmup + k < n)
        *out++ = defined_action (rank, P, V, G, warmup + k, TRUE);
      *out++ = defined_action (rank, P, V, G, k, FALSE);
    }
    pw_schedule_take_list (schedule, rank, list, 2 * n);
  }
  return schedule;
}

/* Groups that divide M: our list is the definition's, and refused exactly where that one hangs. */
static void
test_definition (void) {
  for (int P = 1; P <= 6; P++)
    for (int V = 1; V <= 3; V++)
      for (int G = 1; G <= P + 2; G++)
        for (int M = G; M <= 4 * G; M += G) {
          PwScheduleParams params = params_of (P, M, V, G, NULL);
          g_autoptr (GError) error = NULL;
          g_autoptr (PwSchedule) made = pw_schedule_generate ("interleaved-1f1b", &params, &error);
          g_autoptr (PwSchedule) defined = defined_schedule (P, M, V, G);
          ReferenceRun run = reference_run_compute (defined, NULL, 1, 1, 1);
          if (made == NULL) {
            g_assert_error (error, PW_SCHEDULE_ERROR, PW_SCHEDULE_ERROR_PARAMETER);
            g_assert_false (run.finished);
          } else {
            g_assert_true (reference_same_lists (made, defined));
            g_assert_true (run.finished);
          }
        }
}

static void
check_all (const PwScheduleType *type, const PwScheduleParams *params) {
  g_autoptr (PwSchedule) schedule = pw_schedule_generate (type->name, params, NULL);
  if (schedule == NULL)
    return;
  for (PwPolicy policy = 0; policy < PW_POLICY_N; policy++) {
    PwCheckOptions options = { .policy = policy, .batched = g_test_rand_bit () };
    g_autoptr (PwCheckReport) report = pw_schedule_check (schedule, NULL, &options);
    if (!report->valid)
      g_error ("P %d M %d V %d G %d: %s", params->ranks, params->microbatches, params->chunks,
               params->group, report->findings[0].message);
    g_assert_cmpint (report->accumulation, ==, schedule->promise.accumulation);
    for (int rank = 0; rank < params->ranks; rank++)
      g_assert_cmpfloat (report->peak_activations[rank], ==, type->peak_activations (params, rank));
  }
  double expected = type->bubble_time (params);
  if (isnan (expected))
    return;
  ReferenceRun run = reference_run_compute (schedule, NULL, params->F, params->I, params->W);
  double busy = params->microbatches * schedule->chunks * (params->F + params->I + params->W);
  g_assert_cmpfloat (run.time - busy, ==, expected);
}

/* Any chunks, groups, rule and costs. */
static void
test_closed_forms (void) {
  static const char *const rules[] = { NULL, "megatron", "pytorch" };
  for (int P = 1; P <= 6; P++)
    for (int M = 1; M <= 4 * P; M++)
      for (int V = 1; V <= 3; V++)
        for (gsize rule = 0; rule < G_N_ELEMENTS (rules); rule++) {
          int group = rules[rule] != NULL && g_str_equal (rules[rule], "pytorch")
                          ? 0
                          : g_test_rand_int_range (0, 2 * P);
          PwScheduleParams params = params_of (P, M, V, group, rules[rule]);
          params.F = g_test_rand_int_range (1, 6);
          params.I = g_test_rand_int_range (1, 6);
          params.W = g_test_rand_int_range (0, 6);
          check_all (pw_schedule_get ("interleaved-1f1b"), &params);
          params.group = 0;
          params.group_rule = NULL;
          check_all (pw_schedule_get ("looped-bfs"), &params);
        }
}

/* Which sizes the others take, and that ours takes them all with the closed form. */
static void
test_rules (void) {
  for (int P = 1; P <= 8; P++)
    for (int M = 1; M <= 5 * P; M++)
      for (int G = P; G <= 2 * P; G++) {
        PwScheduleParams ours = params_of (P, M, 2, G, NULL);
        PwScheduleParams megatron = params_of (P, M, 2, G, "megatron");
        PwScheduleParams pytorch = params_of (P, M, 2, 0, "pytorch");
        g_autoptr (PwSchedule) a = pw_schedule_generate ("interleaved-1f1b", &ours, NULL);
        g_autoptr (PwSchedule) b = pw_schedule_generate ("interleaved-1f1b", &megatron, NULL);
        g_autoptr (PwSchedule) c = pw_schedule_generate ("interleaved-1f1b", &pytorch, NULL);
        g_assert_nonnull (a);
        g_assert_true (isnan (pw_schedule_get ("interleaved-1f1b")->bubble_time (&ours))
                       == (M < P));
        g_assert_true ((b != NULL) == (G <= M && (M % G == 0 || M % G >= P)));
        g_assert_true ((c != NULL) == (M % MAX (M / P, 1) == 0));
        if (M % G == 0)
          g_assert_true (reference_same_lists (a, b));
      }
}

/* One micro-batch more than PyTorch or Megatron-LM take costs one micro-batch, no more. */
static void
test_remainder (void) {
  const struct { int P, M, V; } rows[] = { { 4, 5, 3 }, { 6, 8, 2 }, { 4, 6, 2 } };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    PwScheduleParams params = params_of (rows[i].P, rows[i].M, rows[i].V, 0, NULL);
    g_autoptr (PwSchedule) schedule = pw_schedule_generate ("interleaved-1f1b", &params, NULL);
    ReferenceRun run = reference_run_compute (schedule, NULL, 1, 1, 1);
    g_assert_cmpfloat (run.time, ==, 3 * (rows[i].M * rows[i].V + rows[i].P - 1));
  }
}

static void
test_refusals (void) {
  const struct {
    PwScheduleParams params;
    const char *says;
  } rows[] = {
    { params_of (4, 8, 2, 2, NULL), "deadlock" },
    { params_of (4, 8, 2, 3, "megatron"), "from the 4 ranks" },
    { params_of (4, 8, 2, 9, "megatron"), "to the 8 micro-batches" },
    { params_of (4, 5, 3, 0, "megatron"), "a last group of 1 " },
    { params_of (4, 9, 2, 0, "pytorch"), "2 rounds do not divide" },
    { params_of (4, 8, 2, 4, "pytorch"), "computes the group" },
    { params_of (4, 8, 2, 0, "jax"), "no rule \"jax\"" },
    { params_of (40000, 8, 0, 0, NULL), "80000 stages" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GError) error = NULL;
    g_assert_null (pw_schedule_generate ("interleaved-1f1b", &rows[i].params, &error));
    g_assert_error (error, PW_SCHEDULE_ERROR, PW_SCHEDULE_ERROR_PARAMETER);
    if (strstr (error->message, rows[i].says) == NULL)
      g_error ("%s", error->message);
    g_assert_null (strchr (error->message, '\n'));
  }
}

/* With one chunk they are the schedules without chunks. */
static void
test_one_chunk (void) {
  static const char *const same[][2]
      = { { "interleaved-1f1b", "eager-1f1b" }, { "looped-bfs", "gpipe" } };
  for (gsize i = 0; i < G_N_ELEMENTS (same); i++)
    for (int P = 1; P <= 5; P++)
      for (int M = 1; M <= 3 * P; M++) {
        PwScheduleParams params = params_of (P, M, 1, 0, NULL);
        g_autoptr (PwSchedule) a = pw_schedule_generate (same[i][0], &params, NULL);
        g_autoptr (PwSchedule) b = pw_schedule_generate (same[i][1], &params, NULL);
        g_assert_true (reference_same_lists (a, b));
      }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/schedules/interleaved/is-defined-by-steps-and-refused-where-that-hangs",
                   test_definition);
  g_test_add_func ("/schedules/interleaved/any-chunks-and-groups-keep-the-closed-forms",
                   test_closed_forms);
  g_test_add_func ("/schedules/interleaved/rules-take-what-their-authors-take", test_rules);
  g_test_add_func ("/schedules/interleaved/remainders-cost-nothing-more", test_remainder);
  g_test_add_func ("/schedules/interleaved/bad-groups-are-refused-in-one-line", test_refusals);
  g_test_add_func ("/schedules/interleaved/one-chunk-is-the-schedule-without", test_one_chunk);
  return g_test_run ();
}
