#include <math.h>

#include "plans/calibrate.h"

static PwResolvedPlan *
resolve (const char *text, PwLayerCosts *costs) {
  g_autoptr (GError) error = NULL;
  g_autoptr (PwPlan) plan = pw_plan_parse ("plan.json", text, &error);
  g_assert_no_error (error);
  PwResolveOptions options = { .updates = TRUE, .layer_costs = costs };
  PwResolvedPlan *resolved = pw_plan_resolve (plan, &options, &error);
  g_assert_no_error (error);
  return resolved;
}

static void
add (PwTrace *trace, PwActionKind kind, int stage, int microbatch, double start, double length) {
  PwTraceRecord record = { .action = pw_action (kind, stage, microbatch),
                           .rank = stage,
                           .iteration = 1,
                           .start = start,
                           .end = start + length };
  g_array_append_val (trace->records, record);
}

/* Every action of stage s and micro-batch m takes TIMES of its kind, but for noise that cancels. */
static PwTrace *
trace_new (int stages, int microbatches, gboolean split) {
  PwTrace *trace = pw_trace_new ();
  trace->info.stages = trace->info.ranks = stages;
  trace->info.microbatches = microbatches;
  trace->info.iterations = 2;
  for (int s = 0; s < stages; s++) {
    PwTraceRecord warm_up
        = { .action = pw_action (PW_ACTION_FORWARD, s, 0), .rank = s, .end = 1000 };
    g_array_append_val (trace->records, warm_up);
    double now = 2000;
    for (int m = 0; m < microbatches; m++, now += 100) {
      double noise = m % 2 == 0 ? 0.25 : -0.25;
      add (trace, PW_ACTION_FORWARD, s, m, now, 1 + s + noise);
      if (split) {
        add (trace, PW_ACTION_INPUT_GRADIENT, s, m, now + 10, 2 + s + noise);
        add (trace, PW_ACTION_WEIGHT_GRADIENT, s, m, now + 20, 3 + s + noise);
      } else {
        add (trace, PW_ACTION_BACKWARD, s, m, now + 10, 5 + 2 * s + noise);
      }
    }
    add (trace, PW_ACTION_UPDATE, s, 0, now, 7 + s);
  }
  return trace;
}

static const char plan_text[] = "{\"model\": {\"name\": \"gpt\", \"blocks\": 4}, \"ranks\": 3, "
                                "\"partition\": {\"balance\": [1, 2, 1]}, \"schedule\": "
                                "{\"name\": \"gpipe\", \"microbatches\": 4}}";

static void
test_stage_means (gconstpointer data) {
  gboolean split = GPOINTER_TO_INT (data);
  g_autoptr (GError) error = NULL;
  g_autoptr (PwResolvedPlan) before = resolve (plan_text, NULL);
  before->layer_costs->action_overhead_s = 0.125;
  g_autoptr (PwTrace) trace = trace_new (3, 4, split);
  g_autoptr (PwLayerCosts) costs = pw_costs_calibrate (before, trace, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (costs->source, ==, "calibrated");
  g_autoptr (PwResolvedPlan) after = resolve (plan_text, costs);
  for (int s = 0; s < 3; s++) {
    const PwStageCost *stage = &after->costs->stage[s];
    g_assert_cmpfloat_with_epsilon (stage->forward, 1 + s, 1e-9);
    g_assert_cmpfloat_with_epsilon (stage->update, 7 + s, 1e-9);
    if (split) {
      g_assert_cmpfloat_with_epsilon (stage->input, 2 + s, 1e-9);
      g_assert_cmpfloat_with_epsilon (stage->weight, 3 + s, 1e-9);
    } else {
      g_assert_cmpfloat_with_epsilon (stage->backward, 5 + 2 * s, 1e-9);
    }
  }
}

/* Layers keep their proportions inside a stage. */
static void
test_proportions (void) {
  g_autoptr (PwResolvedPlan) before = resolve (plan_text, NULL);
  g_autoptr (PwTrace) trace = trace_new (3, 4, FALSE);
  g_autoptr (PwLayerCosts) costs = pw_costs_calibrate (before, trace, NULL);
  for (int s = 0; s < 3; s++) {
    int first = before->partition->bounds[s];
    const PwLayerCost *old = before->layer_costs->tables[0].layers, *new = costs->tables[0].layers;
    for (int l = first; l < before->partition->bounds[s + 1]; l++)
      g_assert_cmpfloat_with_epsilon (new[l].forward_s *old[first].forward_s,
                                      old[l].forward_s * new[first].forward_s, 1e-12);
  }
}

static void
test_mismatch (void) {
  g_autoptr (PwResolvedPlan) resolved = resolve (plan_text, NULL);
  g_autoptr (PwTrace) trace = trace_new (2, 4, FALSE);
  g_autoptr (GError) error = NULL;
  g_assert_null (pw_costs_calibrate (resolved, trace, &error));
  g_assert_error (error, PW_COSTS_ERROR, PW_COSTS_ERROR_MISMATCH);
  g_clear_error (&error);
  trace->info.stages = 3;
  trace->info.unitless = TRUE;
  g_assert_null (pw_costs_calibrate (resolved, trace, &error));
  g_assert_error (error, PW_COSTS_ERROR, PW_COSTS_ERROR_MISMATCH);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_data_func ("/plans/calibrate/stages-take-the-trace's-means", GINT_TO_POINTER (FALSE),
                        test_stage_means);
  g_test_add_data_func ("/plans/calibrate/split-gradients-take-the-trace's-means",
                        GINT_TO_POINTER (TRUE), test_stage_means);
  g_test_add_func ("/plans/calibrate/layers-keep-their-proportions", test_proportions);
  g_test_add_func ("/plans/calibrate/other-traces-are-refused", test_mismatch);
  return g_test_run ();
}
