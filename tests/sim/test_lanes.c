/* Scenarios side by side are to the last bit what each gives alone, on every instruction set. */
#include "cases.h"
#include "sim/lanes_private.h"

#define CASES 200
#define SCENARIOS_MAX 20

static PwStageCosts *
random_costs (const Case *c, gboolean factors) {
  PwStageCosts *costs = pw_stage_costs_copy (c->costs);
  costs_randomise (costs, FALSE);
  if (factors)
    costs_randomise_factor (costs, c->lowered->microbatches);
  return costs;
}

/* CASE's program under COSTS with LOOPS, against one after another. */
static void
assert_same_times (const Case *c, PwSimProgram *program, const PwSimLanesLoops *loops,
                   const PwStageCosts *const *costs, int n) {
  double totals[SCENARIOS_MAX], times[SCENARIOS_MAX];
  pw__sim_lanes_times (program, loops, costs, n, totals, times);
  g_autoptr (PwSimProgram) alone = pw_sim_compile (&c->input, NULL);
  for (int i = 0; i < n; i++) {
    double total = pw_sim_retime (alone, costs[i]);
    assert_same_bytes (&totals[i], &total, sizeof total);
    g_autoptr (PwSimResult) result = pw_sim_program_result (alone);
    assert_same_bytes (&times[i], &result->iteration_time, sizeof total);
  }
}

/* FACTORS: 0 none, 1 all, 2 some of the scenarios have them. */
static void
check_random (int factors) {
  for (int i = 0; i < CASES; i++) {
    g_autoptr (Case) c = case_random ();
    c->input.iterations = g_test_rand_int_range (1, 4);
    g_autoptr (PwSimProgram) program = pw_sim_compile (&c->input, NULL);
    int n = g_test_rand_int_range (1, SCENARIOS_MAX + 1);
    PwStageCosts *costs[SCENARIOS_MAX];
    for (int k = 0; k < n; k++)
      costs[k] = random_costs (c, factors == 1 || (factors == 2 && k % 2));
    const PwSimLanesLoops *loops;
    for (int set = 0; (loops = pw__sim_lanes_loops (set)); set++)
      assert_same_times (c, program, loops, (const PwStageCosts *const *)costs, n);
    for (int k = 0; k < n; k++)
      pw_stage_costs_free (costs[k]);
  }
}

static void
test_random (void) {
  check_random (0);
}

static void
test_factors (void) {
  check_random (1);
  check_random (2);
}

static void
test_leaves_the_last_times (void) {
  g_autoptr (Case) c = case_named ("1f1b", 4, 8, 1, 2, 0, PW_POLICY_PER_EDGE);
  g_autoptr (PwSimProgram) program = pw_sim_compile (&c->input, NULL);
  g_autoptr (PwSimResult) before = pw_sim_program_result (program);
  g_autoptr (PwStageCosts) costs = random_costs (c, TRUE);
  const PwStageCosts *list[] = { costs, costs };
  double totals[2];
  pw_sim_retime_many (program, list, 2, totals);
  g_assert_cmpfloat (totals[0], !=, before->total_time);
  g_autoptr (PwSimResult) after = pw_sim_program_result (program);
  assert_same_results (before, after);
}

/* What is live does not grow with the schedule. */
static void
test_places_are_few (void) {
  static const char *const names[] = { "gpipe", "1f1b", "zb-h1", "interleaved-1f1b", "dualpipe" };
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++) {
    int places[2];
    for (int k = 0; k < 2; k++) {
      g_autoptr (Case) c = case_named (names[i], 8, 64 << (2 * k), 1, 2, 0.5, PW_POLICY_PER_EDGE);
      g_autoptr (PwSimProgram) program = pw_sim_compile (&c->input, NULL);
      const PwSimTimed *timed = pw__sim_program_timed (program, TRUE, NULL);
      places[k] = pw__sim_program_lanes (program, timed)->n_places;
      g_test_message ("%s: %d nodes, %d places", names[i], timed->graph->n_nodes, places[k]);
    }
    g_assert_cmpint (places[1], <, 2 * places[0]);
  }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  const PwSimLanesLoops *loops;
  for (int set = 0; (loops = pw__sim_lanes_loops (set)); set++)
    g_test_message ("%s", loops->name);
  g_test_add_func ("/sim/lanes/each-has-the-bits-of-its-costs-alone", test_random);
  g_test_add_func ("/sim/lanes/and-where-costs-differ-by-micro-batch", test_factors);
  g_test_add_func ("/sim/lanes/times-of-the-last-retime-stay", test_leaves_the_last_times);
  g_test_add_func ("/sim/lanes/what-is-live-does-not-grow-with-the-schedule", test_places_are_few);
  return g_test_run ();
}
