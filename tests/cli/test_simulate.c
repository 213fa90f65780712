/* pipewright/simulate.h: synthetic costs on schedules. */
#include "pipewright/what_if.h"
#include "sim/what_if.h"

static const double one[] = { 1 }, two[] = { 2 };

static PwSynthetic
make (const char *schedule, int ranks, int microbatches) {
  PwSynthetic synthetic = { .schedule = schedule,
                            .forward = one,
                            .n_forward = 1,
                            .backward = two,
                            .n_backward = 1,
                            .policy = PW_POLICY_DEFAULT };
  pw_schedule_params_init (&synthetic.params);
  synthetic.params.ranks = ranks;
  synthetic.params.microbatches = microbatches;
  return synthetic;
}

/* An endless schedule goes on where the others drain: after the first iteration no rank waits. */
static void
test_endless (void) {
  const struct {
    const char *name;
    double bubble_fraction;
  } rows[] = { { "pipedream", 0 }, { "pipedream-2bw", 0 }, { "gpipe", 3.0 / 11 } };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GError) error = NULL;
    PwSynthetic synthetic = make (rows[i].name, 4, 8);
    synthetic.iterations = 5;
    g_autoptr (PwSimulation) simulation = pw_simulate_synthetic (&synthetic, &error);
    g_assert_no_error (error);
    const PwSimResult *result = simulation->result;
    g_assert_cmpfloat (result->ideal_time, ==, 24);
    if (i < 2)
      g_assert_cmpfloat (result->total_time, ==, 5 * 24 + 9);
    g_assert_cmpfloat_with_epsilon (result->bubble_fraction, rows[i].bubble_fraction, 1e-9);
    g_autoptr (PwTrace) trace = pw_simulation_trace (simulation);
    g_assert_true (pw_trace_check (trace, &error));
    g_assert_cmpint (trace->info.iterations, ==, 5);
  }
}

/* One rank's share: the same work whatever the number of chunks. */
static void
test_share (void) {
  for (const PwScheduleType *const *type = pw_schedule_list (); *type; type++) {
    PwSynthetic synthetic = make ((*type)->name, 4, 8);
    synthetic.per_rank = TRUE;
    g_autoptr (PwSimulation) simulation = pw_simulate_synthetic (&synthetic, NULL);
    if (!simulation || simulation->compute->mode != PW_MODE_TRAINING)
      continue;
    g_test_message ("%s", (*type)->name);
    g_assert_cmpfloat_with_epsilon (simulation->result->ideal_time, 24, 1e-9);
  }
}

static void
test_own (void) {
  PwSynthetic synthetic = make ("1f1b", 4, 8);
  g_autoptr (GError) error = NULL;
  g_autoptr (PwSimulation) simulation = pw_simulate_synthetic (&synthetic, &error);
  g_assert_no_error (error);
  g_assert_null (simulation->resolved);
  g_assert_true (simulation->costs->unitless);
  g_autoptr (PwTrace) trace = pw_simulation_trace (simulation);
  g_assert_true (pw_trace_check (trace, &error));
  g_assert_cmpint (trace->info.ranks, ==, 4);
}

static double
plan_time (const char *option, const char *value) {
  g_autoptr (PwPlan) plan = pw_plan_load (PW_SOURCE_DIR "/examples/gpt-24x1024.json", NULL);
  if (option)
    g_assert_true (pw_plan_override (plan, option, value, NULL));
  g_autoptr (PwSimulation) simulation = pw_simulate_plan (plan, 1, NULL);
  return simulation->result->iteration_time;
}

static const struct {
  const char *change, *option, *value; /* the same as an override */
} rows[] = {
  { "stage 3: -1 layer", "balance", "6,6,7,5" },
  { "stage 0: +2 layers", "balance", "8,4,6,6" },
  { "stage 3: -1 layer, stage 2: -2 layers", NULL, NULL },
  { "microbatches: =4", "microbatches", "4" },
  { "microbatches: 0.5x", "microbatches", "4" },
  { "rank: 1x", "seed", "1" },
};

/* What moves layers or cuts the batch otherwise is what an override gives. */
static void
test_what_if_equals_overrides (void) {
  g_autoptr (PwPlan) plan = pw_plan_load (PW_SOURCE_DIR "/examples/gpt-24x1024.json", NULL);
  g_autoptr (PwSimulation) base = pw_simulate_plan (plan, 1, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GError) error = NULL;
    PwWhatIfAnswer answer;
    pw_simulate_what_if (base, plan, NULL, rows[i].change, &answer, &error);
    g_assert_no_error (error);
    g_assert_false (answer.is_other_work);
    if (rows[i].option)
      g_assert_cmpfloat (answer.iteration_time, ==, plan_time (rows[i].option, rows[i].value));
    double before = base->result->iteration_time;
    g_assert_cmpfloat_with_epsilon (answer.gain, 1 - answer.iteration_time / before, 1e-12);
  }
}

/* Synthetic micro-batches keep their time, so more of them are more work. */
static void
test_what_if_of_synthetic_costs (void) {
  PwSynthetic synthetic = make ("1f1b", 4, 8);
  g_autoptr (PwSimulation) base = pw_simulate_synthetic (&synthetic, NULL);
  PwWhatIfAnswer answer;
  g_assert_true (pw_simulate_what_if (base, NULL, &synthetic, "microbatches: =16", &answer, NULL));
  g_assert_cmpfloat (answer.iteration_time, ==, 3 * (16 + 3));
  g_assert_cmpfloat_with_epsilon (answer.gain, 1 - (57.0 / 16) / (33.0 / 8), 1e-12);
  g_assert_true (answer.is_other_work);
  g_assert_true (
      pw_simulate_what_if (base, NULL, &synthetic, "microbatches: 2x, rank: 2x", &answer, NULL));
  g_assert_cmpfloat (answer.iteration_time, ==, 57.0 / 2);
}

static void
test_refuses (void) {
  PwSynthetic synthetic = make ("1f1b", 4, 8);
  g_autoptr (GError) error = NULL;
  synthetic.stages = 5;
  g_assert_null (pw_simulate_synthetic (&synthetic, &error));
  g_assert_error (error, PW_SIMULATE_ERROR, PW_SIMULATE_ERROR_VALUE);
  g_clear_error (&error);
  synthetic.stages = 0;
  synthetic.input = one;
  synthetic.n_input = 1;
  g_assert_null (pw_simulate_synthetic (&synthetic, &error));
  g_assert_error (error, PW_SIMULATE_ERROR, PW_SIMULATE_ERROR_VALUE);
  g_clear_error (&error);
  synthetic = make ("no-such", 4, 8);
  g_assert_null (pw_simulate_synthetic (&synthetic, &error));
  g_assert_error (error, PW_SCHEDULE_ERROR, PW_SCHEDULE_ERROR_UNKNOWN);
}

/* A plan that is resolved and one that is not are the same. */
static void
test_plan (void) {
  g_autoptr (GError) error = NULL;
  g_autoptr (PwPlan) plan = pw_plan_load (PW_SOURCE_DIR "/examples/gpt-small.json", &error);
  g_assert_no_error (error);
  g_autoptr (PwSimulation) direct = pw_simulate_plan (plan, 1, &error);
  g_assert_no_error (error);
  PwResolvedPlan *resolved = pw_plan_resolve (plan, NULL, &error);
  g_assert_no_error (error);
  g_autoptr (PwSimulation) simulation = pw_simulate_resolved (resolved, 1, &error);
  g_assert_no_error (error);
  g_assert_cmpfloat (direct->result->iteration_time, ==, simulation->result->iteration_time);
  g_assert_cmpint (direct->result->peak_memory_bytes, ==, simulation->result->peak_memory_bytes);
  g_assert_cmpint (direct->result->peak_memory_bytes, >, 0);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cli/simulate/a-rank-share-is-the-same-work-for-every-schedule", test_share);
  g_test_add_func ("/cli/simulate/endless-schedules-fill-their-pipeline-once", test_endless);
  g_test_add_func ("/cli/simulate/synthetic-costs-have-no-unit", test_own);
  g_test_add_func ("/cli/simulate/refuses-costs-that-do-not-fit", test_refuses);
  g_test_add_func ("/cli/simulate/a-resolved-plan-is-the-plan", test_plan);
  g_test_add_func ("/cli/simulate/a-change-is-what-an-override-gives",
                   test_what_if_equals_overrides);
  g_test_add_func ("/cli/simulate/more-micro-batches-are-more-work",
                   test_what_if_of_synthetic_costs);
  return g_test_run ();
}
