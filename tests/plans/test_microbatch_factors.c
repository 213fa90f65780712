#include "plans/microbatch_factors.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

#include "plans/plan.h"
#include "plans/resolve.h"

#define STAGES 2
#define MICROBATCHES 3

static PwStageCosts *
costs_new (void) {
  g_autoptr (PwStageEdges) edges = pw_stage_edges_new_chain (STAGES);
  return pw_stage_costs_new (STAGES, edges);
}

static void
assert_factors (const PwStageCosts *costs, const double *wanted) {
  g_assert_cmpint (costs->microbatches, ==, MICROBATCHES);
  for (int i = 0; i < MICROBATCHES * STAGES; i++)
    g_assert_cmpfloat (costs->factor[i], ==, wanted[i]);
}

static void
test_lists (void) {
  static const struct {
    const char *text;
    double wanted[MICROBATCHES * STAGES];
  } rows[] = {
    { "1,0.5,2", { 1, 1, 0.5, 0.5, 2, 2 } },
    { " 1, 5e-1 ,2", { 1, 1, 0.5, 0.5, 2, 2 } },
    { "1,2;0.5,3;2,4", { 1, 2, 0.5, 3, 2, 4 } },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (PwStageCosts) costs = costs_new ();
    g_autoptr (GError) error = NULL;
    pw_microbatch_factors_apply (rows[i].text, NULL, costs, MICROBATCHES, &error);
    g_assert_no_error (error);
    assert_factors (costs, rows[i].wanted);
    /* Once more: on top of what there is. */
    double twice[MICROBATCHES * STAGES];
    for (int k = 0; k < MICROBATCHES * STAGES; k++)
      twice[k] = rows[i].wanted[k] * rows[i].wanted[k];
    pw_microbatch_factors_apply (rows[i].text, NULL, costs, MICROBATCHES, &error);
    assert_factors (costs, twice);
  }
}

static void
test_drawn (void) {
  enum { N = 1000 };
  static const char *const texts[]
      = { "lognormal:0.5", "lognormal:0.5:1", "lognormal:0.5:2", "uniform:0.5:1.5", "lognormal:0" };
  double first[G_N_ELEMENTS (texts)];
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++) {
    g_autoptr (PwStageCosts) costs = costs_new ();
    g_autoptr (GError) error = NULL;
    pw_microbatch_factors_apply (texts[i], NULL, costs, N, &error);
    g_assert_no_error (error);
    double sum = 0, squares = 0;
    for (int m = 0; m < N; m++) {
      double factor = costs->factor[STAGES * m];
      g_assert_cmpfloat (factor, ==, costs->factor[STAGES * m + 1]);
      g_assert_cmpfloat (factor, >, 0);
      sum += factor / N;
      squares += factor * factor / N;
    }
    g_assert_cmpfloat_with_epsilon (sum, 1, 1e-12);
    double variance = squares - 1;
    double wanted = i < 3 ? exp (0.25) - 1 : i == 3 ? 1.0 / 12 : 0;
    g_assert_cmpfloat_with_epsilon (variance, wanted, 0.15 * wanted + 1e-12);
    first[i] = costs->factor[0];
  }
  g_assert_cmpfloat (first[0], ==, first[1]);
  g_assert_cmpfloat (first[0], !=, first[2]);
}

static void
test_files (void) {
  static const double wanted[] = { 1, 2, 0.5, 3, 2, 4 };
  g_autofree char *folder = g_dir_make_tmp ("factors.XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "f.csv", NULL);
  g_autoptr (GError) error = NULL;
  g_assert_true (
      g_file_set_contents (path, "# stage 0, stage 1\n1,2\r\n\n0.5, 3\n2,4\n", -1, NULL));
  g_autoptr (PwStageCosts) costs = costs_new ();
  pw_microbatch_factors_apply ("f.csv", folder, costs, MICROBATCHES, &error);
  g_assert_no_error (error);
  assert_factors (costs, wanted);
  g_assert_true (g_file_set_contents (path, "1,2\n0.5,x\n", -1, NULL));
  g_assert_false (pw_microbatch_factors_apply (path, NULL, costs, MICROBATCHES, &error));
  g_assert_nonnull (strstr (error->message, "f.csv:2: column 2: \"x\" is no factor"));
  g_unlink (path);
  g_rmdir (folder);
}

static void
test_bad (void) {
  static const struct {
    const char *text, *message;
  } rows[] = {
    { "1,2", "2 rows of factors for 3 micro-batches" },
    { "1,2,0", "micro-batch 2: column 1: \"0\" is no factor above 0" },
    { "1,2;1,2;1", "micro-batch 2: 1 factors, the rows before it have 2" },
    { "1,2,3;1,2,3;1,2,3", "3 factors in a row, expected one or one for each of 2 stages" },
    { "lognormal", "\"lognormal\" is not lognormal:SIGMA[:SEED]" },
    { "lognormal:-1", "is not lognormal:SIGMA[:SEED]" },
    { "lognormal:1:x", "is not lognormal:SIGMA[:SEED]" },
    { "uniform:2:1", "is not uniform:LOW:HIGH[:SEED]" },
    { "none.csv", "none.csv: cannot be opened" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (PwStageCosts) costs = costs_new ();
    g_autoptr (GError) error = NULL;
    g_assert_false (pw_microbatch_factors_apply (rows[i].text, NULL, costs, MICROBATCHES, &error));
    g_test_message ("%s", error->message);
    g_assert_nonnull (strstr (error->message, rows[i].message));
  }
}

/* In a plan, with micro-batches that the batch leaves unequal. */
static void
test_plan (void) {
  static const char *const factors[]
      = { "\"1,0.5,2\"", "[1, 0.5, 2]", "[[1, 1], [0.5, 0.5], [2, 2]]" };
  for (gsize i = 0; i < G_N_ELEMENTS (factors); i++) {
    g_autoptr (GError) error = NULL;
    g_autofree char *text
        = g_strdup_printf ("{\"model\": \"mlp\", \"ranks\": 2, \"schedule\": {\"name\": \"1f1b\", "
                           "\"microbatches\": 3}, \"batch\": 6, \"microbatch_factors\": %s}",
                           factors[i]);
    g_autoptr (PwPlan) plan = pw_plan_parse ("plan.json", text, &error);
    g_assert_no_error (error);
    g_autoptr (PwResolvedPlan) resolved = pw_plan_resolve (plan, NULL, &error);
    g_assert_no_error (error);
    static const double wanted[] = { 1, 1, 0.5, 0.5, 2, 2 };
    assert_factors (resolved->costs, wanted);
  }
  g_autoptr (GError) error = NULL;
  g_autoptr (PwPlan) plan = pw_plan_parse (
      "plan.json", "{\"model\": \"mlp\", \"ranks\": 2,\n\"microbatch_factors\": {}}", &error);
  g_assert_null (plan);
  g_assert_nonnull (strstr (error->message, "plan.json:2: microbatch_factors: expected a file"));
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/plans/microbatch-factors/lists", test_lists);
  g_test_add_func ("/plans/microbatch-factors/drawn-ones-have-mean-1", test_drawn);
  g_test_add_func ("/plans/microbatch-factors/files", test_files);
  g_test_add_func ("/plans/microbatch-factors/bad-texts", test_bad);
  g_test_add_func ("/plans/microbatch-factors/plans", test_plan);
  return g_test_run ();
}
