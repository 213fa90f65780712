#include "plans/plan.h"
#include "plans/rank_factors.h"
#include "plans/resolve.h"

static void
test_forms (void) {
  static const struct {
    const char *text;
    double factors[4];
  } cases[] = {
    { "1,2,0.5,1.25", { 1, 2, 0.5, 1.25 } },
    { "3:1.5", { 1, 1, 1, 1.5 } },
    { "0:2, 2:3", { 2, 1, 3, 1 } },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_autofree double *factors = pw_rank_factors_expand (cases[i].text, 4, &error);
    g_assert_no_error (error);
    for (int r = 0; r < 4; r++)
      g_assert_cmpfloat (factors[r], ==, cases[i].factors[r]);
  }
}

static void
test_bad_forms (void) {
  static const char *const cases[] = { "",     "1,2", "1,2,3,4,5", "4:1",     "-1:1", "1:0",
                                       "1:-2", "1:x", "1:nan",     "1,1,1,0", "1:2,3" };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_assert_null (pw_rank_factors_expand (cases[i], 4, &error));
    g_assert_error (error, PW_PLAN_ERROR, PW_PLAN_ERROR_VALUE);
  }
}

#define PLAN(factors) "{\"model\": \"mlp\", \"ranks\": 2, \"rank_factors\": " factors "}"

/* Both forms of a file, and an option over them. */
static void
test_files (void) {
  static const char *const texts[] = { PLAN ("[1, 1.5]"), PLAN ("{\"1\": 1.5}") };
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (PwPlan) plan = pw_plan_parse ("plan.json", texts[i], &error);
    g_assert_no_error (error);
    g_autoptr (PwPlan) copy = pw_plan_copy (plan);
    g_autoptr (PwResolvedPlan) resolved = pw_plan_resolve (copy, NULL, &error);
    g_assert_no_error (error);
    g_assert_cmpint (resolved->costs->ranks, ==, 2);
    g_assert_cmpfloat (resolved->costs->rank_factor[0], ==, 1);
    g_assert_cmpfloat (resolved->costs->rank_factor[1], ==, 1.5);
    g_assert_true (pw_plan_override (copy, "rank-factors", "0:3", &error));
    g_autoptr (PwResolvedPlan) other = pw_plan_resolve (copy, NULL, &error);
    g_assert_no_error (error);
    g_assert_cmpfloat (other->costs->rank_factor[0], ==, 3);
    g_assert_cmpfloat (other->costs->rank_factor[1], ==, 1);
  }
}

static void
test_bad_files (void) {
  static const struct {
    const char *text, *message;
  } cases[] = {
    { PLAN ("1.5"), "plan.json:1: rank_factors: expected a list of factors" },
    { PLAN ("[1, \"2\"]"), "plan.json:1: rank_factors: factor 1 is no number" },
    { PLAN ("{\"1\": true}"), "plan.json:1: rank_factors: the factor of rank 1 is no number" },
    { PLAN ("[1, 2, 3]"), "plan.json:1: rank_factors: 3 factors for 2 ranks" },
    { PLAN ("{\"2\": 1.5}"), "plan.json:1: rank_factors: \"2\" is none of the ranks 0 to 1" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (PwPlan) plan = pw_plan_parse ("plan.json", cases[i].text, &error);
    g_autoptr (PwResolvedPlan) resolved = plan ? pw_plan_resolve (plan, NULL, &error) : NULL;
    g_assert_null (resolved);
    g_assert_true (g_str_has_prefix (error->message, cases[i].message));
  }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/plans/rank-factors/pairs-and-lists-are-read", test_forms);
  g_test_add_func ("/plans/rank-factors/what-is-none-is-refused", test_bad_forms);
  g_test_add_func ("/plans/rank-factors/files-have-two-forms-and-options-replace-them", test_files);
  g_test_add_func ("/plans/rank-factors/bad-files-are-refused-with-their-place", test_bad_files);
  return g_test_run ();
}
