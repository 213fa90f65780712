#include <string.h>

#include "plans/resolve.h"
#include "schedules/check.h"

/* Every plan in examples/, so that none is forgotten. */
static GPtrArray *
example_paths (void) {
  GPtrArray *paths = g_ptr_array_new_with_free_func (g_free);
  GDir *folder = g_dir_open (PW_SOURCE_DIR "/examples", 0, NULL);
  g_assert_nonnull (folder);
  for (const char *name; (name = g_dir_read_name (folder)) != NULL;)
    if (g_str_has_suffix (name, ".json"))
      g_ptr_array_add (paths, g_build_filename (PW_SOURCE_DIR "/examples", name, NULL));
  g_dir_close (folder);
  g_assert_cmpuint (paths->len, >=, 5);
  return paths;
}

static PwPlan *
load (const char *path) {
  g_autoptr (GError) error = NULL;
  PwPlan *plan = pw_plan_load (path, &error);
  g_assert_no_error (error);
  return plan;
}

static void
assert_resolves (const PwPlan *plan) {
  g_autoptr (GError) error = NULL;
  g_autoptr (PwResolvedPlan) r = pw_plan_resolve (plan, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (r->partition->bounds[r->partition->stages], ==, r->graph->n_layers);
  int64_t sum = 0;
  for (int m = 0; m < r->microbatches; m++)
    sum += r->samples[m];
  g_assert_cmpint (sum, ==, r->batch);
  g_autoptr (PwCheckReport) report = pw_schedule_check (
      r->lowered, r->edges, &(PwCheckOptions){ .policy = plan->policy, .weight_memory = 0.5 });
  g_assert_true (report->valid);
  for (int s = 0; s < r->costs->stages; s++)
    g_assert_cmpfloat (r->costs->stage[s].forward, >, 0);
}

static void
test_resolve (void) {
  g_autoptr (GPtrArray) paths = example_paths ();
  for (guint i = 0; i < paths->len; i++) {
    g_test_message ("%s", (const char *)paths->pdata[i]);
    g_autoptr (PwPlan) plan = load (paths->pdata[i]);
    assert_resolves (plan);
  }
}

/* What compare and sweep do to a plan. */
static void
test_vary (void) {
  static const struct {
    const char *name, *value;
  } changes[] = {
    { "ranks", "1" },
    { "ranks", "2" },
    { "ranks", "4" },
    { "schedule", "gpipe" },
    { "schedule", "naive" },
    { "schedule", "1f1b" },
    { "microbatches", "1" },
    { "microbatches", "4" },
    { "recompute", "except-last" },
    { "p2p-policy", "rendezvous" },
    { "p2p-batched", NULL },
    { "balance", "time" },
    { "precision", "fp32" },
    { "precision", "tf32" },
    { "precision", "bf16" },
    { "precision", "fp16" },
  };
  g_autoptr (GPtrArray) paths = example_paths ();
  for (guint i = 0; i < paths->len; i++)
    for (gsize k = 0; k < G_N_ELEMENTS (changes); k++) {
      g_autoptr (GError) error = NULL;
      g_autoptr (PwPlan) plan = load (paths->pdata[i]);
      pw_plan_override (plan, changes[k].name, changes[k].value, &error);
      g_assert_no_error (error);
      g_autoptr (PwResolvedPlan) r = pw_plan_resolve (plan, NULL, &error);
      g_assert_no_error (error);
    }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/plans/examples/all-resolve-to-valid-schedules", test_resolve);
  g_test_add_func ("/plans/examples/all-can-be-varied", test_vary);
  return g_test_run ();
}
