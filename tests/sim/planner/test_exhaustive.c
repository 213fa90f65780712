/* The reference itself: held to plain enumeration and to orders whose length is known. */
#include <math.h>

#include "exhaustive.h"
#include "problems.h"
#include "tests/support/repeats.h"

typedef struct {
  int ranks, chunks, microbatches, times;
} Size;

static const Size enumerable[] = {
  { 1, 1, 1, 5 },  { 1, 1, 4, 5 },  { 2, 1, 1, 10 }, { 2, 1, 2, 40 },
  { 2, 1, 3, 60 }, { 2, 1, 4, 10 }, { 3, 1, 1, 10 }, { 3, 1, 2, 60 },
  { 3, 1, 3, 20 }, { 4, 1, 2, 20 }, { 1, 2, 1, 10 }, { 1, 2, 2, 20 },
  { 1, 2, 3, 10 }, { 2, 2, 1, 40 }, { 2, 2, 2, 20 }, { 3, 2, 1, 40 },
};

static void
assert_same (const Problem *problem, double a, double b) {
  g_autofree char *text = problem_describe (problem);
  g_test_message ("%s: %g, %g", text, a, b);
  if (isinf (a) || isinf (b))
    g_assert_true (isinf (a) && isinf (b));
  else
    g_assert_cmpfloat (a, ==, b);
}

static void
test_equals_enumeration (void) {
  for (gsize i = 0; i < G_N_ELEMENTS (enumerable); i++)
    for (int n = 0; n < TEST_REPEATS (enumerable[i].times, (enumerable[i].times + 4) / 5); n++) {
      const Size *size = &enumerable[i];
      g_autoptr (Problem) problem
          = problem_new_random (size->ranks, size->chunks, size->microbatches, n % 2);
      double optimum = exhaustive_optimum (&problem->input);
      assert_same (problem, optimum, exhaustive_enumerate (&problem->input));
    }
}

static void
test_beats (void) {
  for (int n = 0; n < 100; n++) {
    g_autoptr (Problem) problem
        = problem_new_random (g_test_rand_int_range (1, 4), 1, g_test_rand_int_range (1, 5), n % 2);
    double optimum = exhaustive_optimum (&problem->input);
    assert_same (problem, exhaustive_beats (&problem->input, optimum), INFINITY);
    assert_same (problem, exhaustive_beats (&problem->input, optimum + 1), optimum);
    assert_same (problem, exhaustive_beats (&problem->input, optimum * 2 + 1), optimum);
  }
}

/* Equal costs: within P micro-batches zb-h1's iteration is the shortest, and with enough memory no
 * rank's span is longer than its work (arXiv 2401.10241). */
static void
test_equal_costs (void) {
  for (int ranks = 1; ranks <= 3; ranks++)
    for (int microbatches = 1; microbatches <= 4; microbatches++) {
      g_autoptr (Problem) problem = problem_new (ranks, 1, microbatches);
      int first = MIN (ranks, microbatches);
      assert_same (problem, exhaustive_optimum (&problem->input),
                   3 * microbatches + 2 * (ranks - 1) - (first - 1));
      problem->input.objective = PW_OBJECTIVE_SPAN;
      if (microbatches >= 2 * ranks - 1)
        assert_same (problem, exhaustive_optimum (&problem->input), 3 * microbatches);
      problem_set_memory (problem, 0.5, 0.75);
      assert_same (problem, exhaustive_optimum (&problem->input), INFINITY);
    }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/planner/exhaustive/equals-plain-enumeration", test_equals_enumeration);
  g_test_add_func ("/planner/exhaustive/nothing-beats-the-optimum", test_beats);
  g_test_add_func ("/planner/exhaustive/equal-costs-give-known-lengths", test_equal_costs);
  return g_test_run ();
}
