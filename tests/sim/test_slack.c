/* Slack: an action that ends later by less moves nothing, by more moves the end by the rest. */
#include "cases.h"
#include "sim/program_private.h"

/* The end of everything if NODE took DELAY longer; slowly. */
static double
total_with_delay (const PwSimTimed *timed, const PwSimDurations *durations, int32_t node,
                  double delay) {
  const PwSimGraph *graph = timed->graph;
  g_autofree double *time = g_new0 (double, (gsize)graph->n_nodes);
  double total = 0;
  for (int32_t i = 1; i < graph->n_nodes; i++) {
    time[i] = MAX (time[graph->a[i]], time[graph->b[i]])
              + pw__sim_node_duration (timed, durations, i) + (i == node ? delay : 0);
    total = MAX (total, time[i]);
  }
  return total;
}

/* All times are quarters, so sums are exact. */
static void
test_delays (void) {
  for (int i = 0; i < 60; i++) {
    g_autoptr (Case) c = case_random ();
    if (i % 3 == 0)
      costs_randomise_factor (c->costs, c->lowered->microbatches);
    g_autoptr (PwSimProgram) program = pw_sim_compile (&c->input, NULL);
    double total = pw_sim_retime (program, c->costs);
    int64_t n = program->layout->n_actions;
    g_autofree double *slack = g_new (double, (gsize)n + 1);
    pw_sim_slack (program, slack);
    PwSimTimed *timed = pw__sim_program_timed (program, TRUE, NULL);
    if (timed->first == NULL)
      pw__sim_timed_find_actions (timed, program->layout);
    for (int64_t id = 0; id < n; id++) {
      int32_t node = timed->graph->node[id];
      g_assert_cmpfloat (slack[id], >=, 0);
      const double delays[] = { slack[id] / 2, slack[id], slack[id] + 0.25 };
      for (int k = 0; k < 3; k++) {
        double later = total_with_delay (timed, &program->durations, node, delays[k]);
        g_assert_cmpfloat (later, ==, total + (k == 2 ? 0.25 : 0));
      }
    }
  }
}

/* To the last bit 0, whatever the times are. */
static void
test_critical_path_has_none (void) {
  for (int i = 0; i < 200; i++) {
    g_autoptr (Case) c = case_random ();
    costs_randomise (c->costs, FALSE);
    c->input.iterations = g_test_rand_int_range (1, 3);
    g_autoptr (PwSimProgram) program = pw_sim_compile (&c->input, NULL);
    g_autoptr (PwSimResult) result = pw_sim_program_result (program);
    g_autofree double *slack = g_new (double, (gsize)result->offset[result->ranks] + 1);
    pw_sim_slack (program, slack);
    g_autoptr (GArray) path = pw_sim_critical_path (&c->input, result);
    for (guint k = 0; k < path->len; k++) {
      const PwSimCritical *step = &g_array_index (path, PwSimCritical, k);
      g_assert_cmpfloat (slack[result->offset[step->rank] + step->index], ==, 0);
    }
  }
}

/* In costs that can say it: one F per stage and micro-batch. */
static void
test_slower_forwards (void) {
  enum { MICROBATCHES = 5 };
  g_autoptr (Case) c = case_named ("forward-only", 4, MICROBATCHES, 1, 2, 0.5, PW_POLICY_PER_EDGE);
  int stages = c->costs->stages;
  for (int s = 0; s < stages; s++)
    c->costs->stage[s].forward = 0.25 * g_test_rand_int_range (1, 12);
  g_autoptr (PwSimProgram) program = pw_sim_compile (&c->input, NULL);
  g_autoptr (PwSimResult) before = pw_sim_program_result (program);
  g_autofree double *slack = g_new (double, (gsize)before->offset[before->ranks]);
  pw_sim_slack (program, slack);
  costs_randomise_factor (c->costs, MICROBATCHES);
  for (int rank = 0; rank < before->ranks; rank++)
    for (int64_t i = 0; i < c->lowered->programs[rank].n_prologue; i++) {
      PwAction action = c->lowered->programs[rank].actions[i];
      if (action.kind != PW_ACTION_FORWARD)
        continue;
      for (int k = 0; k < MICROBATCHES * stages; k++)
        c->costs->factor[k] = 1;
      double own = slack[before->offset[rank] + i], time = c->costs->stage[action.stage].forward;
      double *factor = &c->costs->factor[(int)action.microbatch * stages + action.stage];
      *factor = (time + own) / time;
      g_autoptr (PwSimResult) same = run_with (c, PW_SIM_ENGINE_AUTO);
      g_assert_cmpfloat_with_epsilon (same->total_time, before->total_time, 1e-9);
      *factor = (time + own + 1) / time;
      g_autoptr (PwSimResult) later = run_with (c, PW_SIM_ENGINE_AUTO);
      g_assert_cmpfloat_with_epsilon (later->total_time, before->total_time + 1, 1e-9);
    }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/sim/slack/less-moves-nothing-and-more-moves-the-end", test_delays);
  g_test_add_func ("/sim/slack/the-critical-path-has-none", test_critical_path_has_none);
  g_test_add_func ("/sim/slack/slower-forwards-use-it-up", test_slower_forwards);
  return g_test_run ();
}
