/* What is said to fit does. */
#include "pipewright/verdict.h"

#include <string.h>

#define PLAN                                                                                       \
  "{\"model\": {\"name\": \"gpt\", \"blocks\": 6, \"width\": 32, \"heads\": 2, \"tokens\": 32, "   \
  "\"vocabulary\": 64}, \"ranks\": 2, \"schedule\": {\"name\": \"1f1b\", \"microbatches\": 4}, "   \
  "\"batch\": 16%s}"

static PwPlan *
plan_new (const char *more) {
  g_autoptr (GError) error = NULL;
  g_autofree char *text = g_strdup_printf (PLAN, more);
  PwPlan *plan = pw_plan_parse ("plan.json", text, &error);
  g_assert_no_error (error);
  return plan;
}

static PwSimulation *
simulate (const PwPlan *plan) {
  g_autoptr (GError) error = NULL;
  PwSimulation *simulation = pw_simulate_plan (plan, 1, &error);
  g_assert_no_error (error);
  return simulation;
}

/* OPTIONS as they would be typed. */
static PwSimulation *
simulate_with (const PwPlan *plan, const char *options) {
  g_autoptr (PwPlan) changed = pw_plan_copy (plan);
  g_auto (GStrv) words = NULL;
  g_assert_true (g_shell_parse_argv (options, NULL, &words, NULL));
  for (int i = 0; words[i] != NULL; i += 2)
    g_assert_true (pw_plan_override (changed, words[i] + 2, words[i + 1], NULL));
  return simulate (changed);
}

static void
check (const char *more, double share) {
  g_autoptr (PwPlan) plan = plan_new (more);
  g_autoptr (PwSimulation) base = simulate (plan);
  int64_t limit = (int64_t)(share * (double)base->result->peak_memory_bytes);
  g_autoptr (PwVerdict) verdict = pw_verdict_new (plan, base, limit);
  g_assert_nonnull (verdict);
  g_assert_cmpint (verdict->needs, ==, base->result->peak_memory_bytes);
  g_assert_cmpint (base->result->rank[verdict->rank].peak_memory_bytes, ==, verdict->needs);
  for (guint i = 0; i < verdict->changes->len; i++) {
    const PwVerdictChange *change = &g_array_index (verdict->changes, PwVerdictChange, i);
    g_autoptr (PwSimulation) changed = simulate_with (plan, change->options);
    g_assert_cmpint (changed->result->peak_memory_bytes, ==, change->peak_memory_bytes);
    g_assert_cmpint (change->peak_memory_bytes, <=, limit);
    g_assert_cmpfloat (changed->result->iteration_time, ==, change->iteration_time);
    if (i > 0 && change->n_options == change[-1].n_options
        && change->needs_ranks == change[-1].needs_ranks)
      g_assert_cmpfloat (change->slower, >=, change[-1].slower);
  }
  if (verdict->changes->len == 0)
    g_assert_cmpint (verdict->nearest.peak_memory_bytes, >, limit);
}

static void
test_changes (void) {
  static const char *const more[]
      = { "", ", \"recompute\": \"stage\"", ", \"recompute\": {\"layers\": [\"*.gelu\"]}",
          ", \"data_parallel\": 2" };
  for (gsize i = 0; i < G_N_ELEMENTS (more); i++)
    for (double share = 0.95; share > 0.2; share -= 0.25)
      check (more[i], share);
}

static void
test_fits (void) {
  g_autoptr (PwPlan) plan = plan_new ("");
  g_autoptr (PwSimulation) base = simulate (plan);
  g_assert_null (pw_verdict_new (plan, base, base->result->peak_memory_bytes));
  g_assert_null (pw_verdict_new (plan, base, 0));
}

/* Parameters alone are more: no change helps, and the nearest is told. */
static void
test_hopeless (void) {
  g_autoptr (PwPlan) plan = plan_new ("");
  g_autoptr (PwSimulation) base = simulate (plan);
  g_autoptr (PwVerdict) verdict = pw_verdict_new (plan, base, 1000);
  g_assert_cmpuint (verdict->changes->len, ==, 0);
  g_assert_cmpint (verdict->n_tried, >, 10);
  g_assert_nonnull (verdict->nearest.options);
  g_assert_cmpint (verdict->nearest.peak_memory_bytes, <, verdict->needs);
}

/* Layers without products are made again before anything that costs more. */
static void
test_cheap_layers_come_first (void) {
  g_autoptr (PwPlan) plan = plan_new ("");
  g_autoptr (PwSimulation) base = simulate (plan);
  g_autoptr (PwSimulation) cheap = simulate_with (plan, "--recompute 'layers:*.gelu,*.ln1,*.ln2'");
  g_autoptr (PwVerdict) verdict = pw_verdict_new (plan, base, cheap->result->peak_memory_bytes);
  gboolean found = FALSE;
  for (guint i = 0; i < verdict->changes->len; i++) {
    const char *options = g_array_index (verdict->changes, PwVerdictChange, i).options;
    g_assert_false (!found && strstr (options, "stage") != NULL);
    found |= strstr (options, "*.gelu") != NULL;
  }
  g_assert_true (found);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/pipewright/verdict/what-is-said-to-fit-does", test_changes);
  g_test_add_func ("/pipewright/verdict/none-where-it-fits", test_fits);
  g_test_add_func ("/pipewright/verdict/the-nearest-where-nothing-does", test_hopeless);
  g_test_add_func ("/pipewright/verdict/cheap-layers-come-first", test_cheap_layers_come_first);
  return g_test_run ();
}
