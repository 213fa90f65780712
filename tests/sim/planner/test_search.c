/* The search against the exhaustive optimum, the simulator, the checker, the built-in orders and
 * itself. A failed comparison is told with its problem and the rest goes on. */
#include <math.h>
#include <string.h>

#include "exhaustive.h"
#include "problems.h"
#include "schedules/check.h"
#include "tests/support/repeats.h"

#define TOLERANCE 1e-9

static void
hold (gboolean ok, const Problem *problem, const char *what, double found, double expected) {
  if (ok)
    return;
  g_autofree char *text = problem_describe (problem);
  g_test_message ("FAILED %s: %.12g, %.12g: %s", what, found, expected, text);
  g_test_fail ();
}

static gboolean
at_most (double a, double b) {
  return a <= b + TOLERANCE * fabs (b);
}

static gboolean
equal (double a, double b) {
  return at_most (a, b) && at_most (b, a);
}

static void
hold_schedule (const Problem *problem, const PwSchedule *schedule) {
  const PwSearchInput *input = &problem->input;
  PwCheckOptions options = { .policy = PW_POLICY_DEFAULT };
  g_autoptr (PwCheckReport) report = pw_schedule_check (schedule, problem->edges, &options);
  const char *finding = report->n_findings > 0 ? report->findings[0].message : "valid";
  hold (report->valid, problem, finding, 0, 0);
  hold (report->accumulation == PW_ACCUMULATION_ASCENDING, problem, "ascending", 0, 0);
  hold (!schedule->is_lowered && schedule->stages == input->ranks * input->chunks, problem, "shape",
        0, 0);
  for (int s = 0; s < schedule->stages; s++)
    hold (pw_placement_rank (schedule->placement, 0, s)
              == (s < input->ranks ? s : 2 * input->ranks - 1 - s),
          problem, "placement of stage", s, 0);
  for (int rank = 0; rank < input->ranks; rank++) {
    const PwProgram *program = &schedule->programs[rank];
    hold (pw_program_length (program) == 3 * (int64_t)input->chunks * input->microbatches, problem,
          "length of list", (double)pw_program_length (program), rank);
    for (int64_t i = 0; i < program->n_prologue; i++)
      hold (program->actions[i].kind != PW_ACTION_BACKWARD, problem, "a fused backward", 0, 0);
    double peak = problem_peak (problem, schedule, rank);
    hold (at_most (peak, problem->limit[rank]), problem, "memory", peak, problem->limit[rank]);
  }
}

static gboolean
same_lists (const PwSchedule *a, const PwSchedule *b) {
  for (int rank = 0; rank < a->ranks; rank++) {
    const PwProgram *p = &a->programs[rank], *q = &b->programs[rank];
    if (p->n_prologue != q->n_prologue || p->repeats != 0 || q->repeats != 0)
      return FALSE;
    for (int64_t i = 0; i < p->n_prologue; i++)
      if (!pw_action_equal (p->actions[i], q->actions[i]))
        return FALSE;
  }
  return TRUE;
}

static PwSchedule *
built_in (const Problem *problem, const char *name) {
  PwScheduleParams params;
  pw_schedule_params_init (&params);
  params.ranks = problem->input.ranks;
  params.microbatches = problem->input.microbatches;
  return pw_schedule_generate (name, &params, NULL);
}

static void
hold_name (const Problem *problem, const PwSchedule *schedule) {
  if (strcmp (schedule->name, "searched") == 0)
    return;
  g_autoptr (PwSchedule) named = built_in (problem, schedule->name);
  hold (named != NULL && same_lists (named, schedule), problem, schedule->name, 0, 0);
}

/* Runs the search and holds everything that is true of any result. */
static PwSearchResult *
search (const Problem *problem) {
  g_autoptr (GError) error = NULL;
  PwSearchResult *result = pw_search_run (&problem->input, &error);
  g_assert_no_error (error);
  hold_schedule (problem, result->schedule);
  hold_name (problem, result->schedule);
  double simulated = problem_simulate (problem, result->schedule, PW_POLICY_PER_EDGE);
  hold (equal (result->value, simulated), problem, "value is simulated", result->value, simulated);
  hold (at_most (result->lower_bound, result->value), problem, "bound is above the value",
        result->lower_bound, result->value);
  hold (result->is_optimal || !equal (result->lower_bound, result->value), problem,
        "value at the bound is optimal", result->value, result->lower_bound);
  g_assert_cmpuint (strlen (result->method), >, 0);
  return result;
}

typedef struct {
  int ranks, chunks, microbatches, times;
  gboolean is_exact; /* the search finds the optimum; else only its claims are held */
} Size;

static const Size small_sizes[] = {
  { 1, 1, 1, 5, TRUE },   { 1, 1, 4, 5, TRUE },  { 2, 1, 1, 20, TRUE },  { 2, 1, 2, 60, TRUE },
  { 2, 1, 3, 60, TRUE },  { 2, 1, 4, 60, TRUE }, { 3, 1, 1, 20, TRUE },  { 3, 1, 2, 60, TRUE },
  { 3, 1, 3, 60, TRUE },  { 3, 1, 4, 60, TRUE }, { 4, 1, 5, 20, FALSE }, { 5, 1, 4, 10, FALSE },
  { 1, 2, 1, 10, TRUE },  { 1, 2, 3, 10, TRUE }, { 2, 2, 1, 20, TRUE },  { 2, 2, 2, 40, TRUE },
  { 2, 2, 3, 40, TRUE },  { 2, 2, 4, 20, TRUE }, { 3, 2, 1, 20, TRUE },  { 3, 2, 2, 20, TRUE },
  { 3, 2, 3, 10, FALSE }, { 3, 2, 4, 4, FALSE }, { 3, 2, 5, 4, FALSE },  { 4, 1, 7, 5, FALSE },
  { 5, 1, 5, 4, FALSE },
};

static void
test_finds_the_optimum (gconstpointer data) {
  const Size *size = data;
  int misses = 0, claims = 0;
  int times = g_test_slow () ? 10 * size->times : TEST_REPEATS (size->times, (size->times + 4) / 5);
  double worst = 0;
  for (int n = 0; n < times; n++) {
    g_autoptr (Problem) problem
        = problem_new_random (size->ranks, size->chunks, size->microbatches, n % 4 == 3);
    g_autoptr (PwSearchResult) result = search (problem);
    /* The value is of a real order, so it is the optimum if none is better. */
    double better = exhaustive_beats (&problem->input, result->value);
    double optimum = MIN (better, result->value);
    misses += isfinite (better);
    claims += result->is_optimal;
    worst = MAX (worst, optimum > 0 ? result->value / optimum - 1 : 0);
    hold (!size->is_exact || isinf (better), problem, "is not the optimum", result->value, better);
    hold (!result->is_optimal || isinf (better), problem, "claims to be the optimum", result->value,
          better);
    hold (at_most (result->lower_bound, optimum), problem, "bound is above the optimum",
          result->lower_bound, optimum);
  }
  g_test_message ("P=%d chunks=%d M=%d: %d of %d missed by at most %.2f%%, %d proven", size->ranks,
                  size->chunks, size->microbatches, misses, times, 100 * worst, claims);
}

/* The search and the reference mean the same by an order: what the one calls attainable the other
 * does not undercut. */
static void
test_nothing_is_below_the_optimum (void) {
  for (int n = 0; n < 100; n++) {
    int chunks = g_test_rand_int_range (1, 3);
    g_autoptr (Problem) problem
        = problem_new_random (g_test_rand_int_range (1, 4), chunks,
                              g_test_rand_int_range (1, chunks == 1 ? 5 : 3), n % 2);
    g_autoptr (PwSearchResult) result = search (problem);
    double optimum = exhaustive_optimum (&problem->input);
    hold (at_most (optimum, result->value), problem, "undercuts the optimum", result->value,
          optimum);
  }
}

static Problem *
large_problem (int chunks) {
  int ranks = g_test_rand_int_range (2, 17), microbatches = g_test_rand_int_range (1, 65);
  Problem *problem = problem_new_random (ranks, chunks, microbatches, FALSE);
  gboolean even = g_test_rand_int_range (0, 2);
  if (even)
    problem_set_costs (problem, g_test_rand_int_range (1, 10), g_test_rand_int_range (1, 10),
                       g_test_rand_int_range (1, 10), g_test_rand_int_range (0, 2));
  double weight_memory = 0.25 * g_test_rand_int_range (0, 5);
  double limit
      = g_test_rand_int_range (0, 4) ? 0.5 * g_test_rand_int_range (2, 4 * ranks + 1) : INFINITY;
  problem_set_memory (problem, weight_memory, limit);
  return problem;
}

static const char *const rivals[2][5] = {
  { "1f1b", "zb-h1", "zb-h2", "gpipe", "eager-1f1b" },
  { "zb-v", "v-half", "v-min", NULL },
};

static void
test_no_worse_than_built_in (gconstpointer data) {
  int chunks = GPOINTER_TO_INT (data), rivals_met = 0;
  double gain = 0;
  for (int n = 0; n < (g_test_slow () ? 200 : TEST_REPEATS (20, 4)); n++) {
    g_autoptr (Problem) problem = large_problem (chunks);
    g_autoptr (PwSearchResult) result = search (problem);
    for (int i = 0; i < 5 && rivals[chunks - 1][i] != NULL; i++) {
      g_autoptr (PwSchedule) rival = built_in (problem, rivals[chunks - 1][i]);
      if (rival == NULL || !problem_fits (problem, rival))
        continue;
      double value = problem_simulate (problem, rival, PW_POLICY_PER_EDGE);
      hold (at_most (result->value, value), problem, rival->name, result->value, value);
      gain += value / result->value - 1;
      rivals_met++;
    }
  }
  g_test_message ("%d built-in orders fit the memory; shorter by %.1f%% on average", rivals_met,
                  100 * gain / MAX (rivals_met, 1));
}

static void
test_repeats_itself (void) {
  for (int n = 0; n < TEST_REPEATS (20, 4); n++) {
    g_autoptr (Problem) problem = n % 2 ? large_problem (1 + n / 2 % 2)
                                        : problem_new_random (1 + n % 3, 1 + n / 2 % 2, 3, FALSE);
    g_autoptr (PwSearchResult) a = search (problem), b = search (problem);
    g_assert_cmpfloat (a->value, ==, b->value);
    g_assert_cmpfloat (a->lower_bound, ==, b->lower_bound);
    g_assert_cmpint (a->is_optimal, ==, b->is_optimal);
    g_assert_cmpstr (a->method, ==, b->method);
    g_assert_true (same_lists (a->schedule, b->schedule));
  }
}

static void
scale_costs (Problem *problem, double factor) {
  for (int s = 0; s < problem->costs->stages; s++) {
    PwStageCost *cost = &problem->costs->stage[s];
    cost->forward *= factor;
    cost->input *= factor;
    cost->weight *= factor;
    cost->backward *= factor;
  }
  for (int e = 0; e < problem->costs->n_edges; e++)
    problem->costs->link[e].latency_s *= factor;
}

static void
scale_memory (Problem *problem, double factor) {
  for (int s = 0; s < problem->costs->stages; s++) {
    problem->held[s] *= factor;
    problem->kept[s] *= factor;
  }
  for (int rank = 0; rank < problem->input.ranks; rank++)
    problem->limit[rank] *= factor;
}

/* Seconds or microseconds, bytes or gibibytes. */
static void
test_units_do_not_matter (void) {
  for (int n = 0; n < TEST_REPEATS (20, 4); n++) {
    g_autoptr (Problem) problem = n % 2 ? large_problem (1 + n / 2 % 2)
                                        : problem_new_random (1 + n % 3, 1 + n / 2 % 2, 3, FALSE);
    double factor = ldexp (1, g_test_rand_int_range (-40, 20));
    double memory_factor = ldexp (1, g_test_rand_int_range (-10, 40));
    g_autoptr (PwSearchResult) a = search (problem);
    scale_memory (problem, memory_factor);
    g_autoptr (PwSearchResult) b = search (problem);
    hold (same_lists (a->schedule, b->schedule), problem, "unit of memory", b->value, a->value);
    scale_costs (problem, factor);
    g_autoptr (PwSearchResult) c = search (problem);
    hold (equal (c->value / factor, a->value) && same_lists (a->schedule, c->schedule), problem,
          "unit of time", c->value / factor, a->value);
    hold (equal (c->lower_bound / factor, a->lower_bound), problem, "unit of time in the bound",
          c->lower_bound / factor, a->lower_bound);
  }
}

/* The search promises this only where it decides exactly; a large problem may come out longer, but
 * not by much. */
static void
test_more_memory_is_never_worse (gconstpointer data) {
  gboolean is_large = GPOINTER_TO_INT (data);
  double worst = 0;
  int longer = 0, steps = 0;
  for (int n = 0; n < TEST_REPEATS (8, 2); n++) {
    int chunks = 1 + n % 2;
    g_autoptr (Problem) problem
        = is_large ? large_problem (chunks)
                   : problem_new_random (g_test_rand_int_range (1, 4), chunks,
                                         g_test_rand_int_range (1, 5 - chunks), FALSE);
    double value = INFINITY, lower_bound = INFINITY;
    double most = is_large ? 2 * problem->input.ranks + 1 : 4;
    for (double limit = 1; limit <= most; limit += is_large ? problem->input.ranks / 4.0 : 0.25) {
      problem_set_memory (problem, 0.5, limit);
      g_autoptr (PwSearchResult) result = search (problem);
      double excess = isinf (value) ? 0 : result->value / value - 1;
      steps++;
      longer += excess > TOLERANCE;
      worst = MAX (worst, excess);
      hold (excess <= (is_large ? 0.01 : TOLERANCE), problem, "more memory", result->value, value);
      hold (at_most (result->lower_bound, lower_bound), problem, "more memory raises the bound",
            result->lower_bound, lower_bound);
      value = MIN (value, result->value);
      lower_bound = MIN (lower_bound, result->lower_bound);
    }
  }
  g_test_message ("%d of %d orders longer than with less memory, by at most %.2f%%", longer, steps,
                  100 * worst);
}

static double
rank_work (const Problem *problem, int rank) {
  double work = 0;
  for (int s = 0; s < problem->costs->stages; s++)
    if (s == rank || s == 2 * problem->input.ranks - 1 - rank)
      work += problem->costs->stage[s].forward + problem->costs->stage[s].input
              + problem->costs->stage[s].weight;
  return work * problem->input.microbatches;
}

static void
test_bound_covers_the_work (void) {
  for (int n = 0; n < TEST_REPEATS (20, 4); n++) {
    g_autoptr (Problem) problem = large_problem (1 + n % 2);
    g_autoptr (PwSearchResult) result = search (problem);
    for (int rank = 0; rank < problem->input.ranks; rank++)
      hold (at_most (rank_work (problem, rank), result->lower_bound), problem, "bound below work",
            result->lower_bound, rank_work (problem, rank));
  }
}

/* One rank never waits: any order within its memory takes as long as its work. */
static void
test_one_rank (void) {
  for (int n = 0; n < 20; n++) {
    g_autoptr (Problem) problem
        = problem_new_random (1, 1 + n % 2, g_test_rand_int_range (1, 40), n % 4 == 3);
    g_autoptr (PwSearchResult) result = search (problem);
    hold (equal (result->value, rank_work (problem, 0)) && result->is_optimal, problem, "one rank",
          result->value, rank_work (problem, 0));
  }
}

/* A single micro-batch goes through and back; W is off the way of all ranks but the first. */
static void
test_one_microbatch (void) {
  for (int n = 0; n < 40; n++) {
    g_autoptr (Problem) problem
        = problem_new_random (g_test_rand_int_range (1, 17), 1, 1, n % 4 == 3);
    problem->input.objective = PW_OBJECTIVE_ITERATION;
    int P = problem->input.ranks;
    double back = 0, longest = 0;
    for (int s = 0; s < P; s++)
      back
          += problem->costs->stage[s].forward + (s + 1 < P ? problem->costs->link[s].latency_s : 0);
    for (int s = P - 1; s >= 0; s--) {
      back += problem->costs->stage[s].input;
      longest = MAX (longest, back + problem->costs->stage[s].weight);
      back += s > 0 ? problem->costs->link[s - 1].latency_s : 0;
    }
    g_autoptr (PwSearchResult) result = search (problem);
    hold (equal (result->value, longest) && result->is_optimal, problem, "one micro-batch",
          result->value, longest);
  }
}

/* With room for one micro-batch only, each comes back before the next starts, except for W where
 * that holds nothing. */
static void
test_room_for_one (void) {
  for (int n = 0; n < 20; n++) {
    int P = g_test_rand_int_range (1, 9), M = g_test_rand_int_range (1, 20);
    g_autoptr (Problem) problem = problem_new (P, 1, M);
    problem_set_costs (problem, 2, 3, 4, 1);
    problem_set_memory (problem, 0.5, 1);
    g_autoptr (PwSearchResult) result = search (problem);
    double round = 5 * P + 2 * (P - 1) + 4;
    hold (equal (result->value, M * round) && result->is_optimal, problem, "room for one",
          result->value, M * round);
  }
}

/* Limits as a user computes them: a number of micro-batches times an awkward size. */
static void
test_exact_limits_are_not_lost_to_rounding (void) {
  for (int n = 1; n <= TEST_REPEATS (6, 2); n++) {
    g_autoptr (Problem) even = problem_new (6, 1, 12), odd = problem_new (6, 1, 12);
    problem_set_memory (even, 0.5, n);
    problem_set_memory (odd, 0.5, n);
    scale_memory (odd, 0.1);
    for (int rank = 0; rank < 6; rank++)
      odd->limit[rank] = 0.1 * n;
    g_autoptr (PwSearchResult) a = search (even), b = search (odd);
    hold (equal (a->value, b->value), odd, "awkward sizes", b->value, a->value);
  }
}

static void
test_no_memory_at_all_is_no_limit (void) {
  for (int n = 0; n < TEST_REPEATS (20, 4); n++) {
    g_autoptr (Problem) problem = n % 2 ? large_problem (1 + n / 2 % 2)
                                        : problem_new_random (1 + n % 3, 1 + n / 2 % 2, 3, FALSE);
    for (int s = 0; s < problem->costs->stages; s++)
      problem->held[s] = problem->kept[s] = 0;
    g_autoptr (PwSearchResult) a = search (problem);
    problem_set_memory (problem, 0.5, INFINITY);
    g_autoptr (PwSearchResult) b = search (problem);
    hold (equal (a->value, b->value), problem, "nothing held", a->value, b->value);
  }
}

/* Whole kinds of work that cost nothing. */
static void
test_costs_of_zero (void) {
  for (int n = 0; n < 64; n++) {
    int chunks = 1 + n / 8 % 2;
    g_autoptr (Problem) problem
        = problem_new (g_test_rand_int_range (1, 4), chunks, g_test_rand_int_range (1, 4));
    problem_set_costs (problem, n & 1 ? 2 : 0, n & 2 ? 3 : 0, n & 4 ? 1 : 0, n / 32);
    problem_set_memory (problem, 0.5, 0.5 * g_test_rand_int_range (2, 6));
    problem->input.objective = (PwObjective)g_test_rand_int_range (0, 2);
    g_autoptr (PwSearchResult) result = search (problem);
    double better = exhaustive_beats (&problem->input, result->value);
    hold (isinf (better), problem, "zeros: is not the optimum", result->value, better);
  }
}

static void
test_too_little_memory (void) {
  for (int n = 0; n < 40; n++) {
    int ranks = g_test_rand_int_range (1, 9), chunks = 1 + n % 2;
    g_autoptr (Problem) problem
        = problem_new_random (ranks, chunks, g_test_rand_int_range (1, 9), FALSE);
    int rank = g_test_rand_int_range (0, ranks);
    double one = problem->held[rank] + (chunks == 2 ? problem->held[2 * ranks - 1 - rank] : 0);
    problem->limit[rank] = n % 3 ? one - 0.25 : 0;
    g_autoptr (GError) error = NULL;
    g_autoptr (PwSearchResult) result = pw_search_run (&problem->input, &error);
    g_assert_null (result);
    g_assert_error (error, PW_SEARCH_ERROR, PW_SEARCH_ERROR_MEMORY);
    g_autofree char *place = g_strdup_printf ("rank %d", rank);
    g_assert_nonnull (strstr (error->message, place));
  }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (small_sizes); i++) {
    const Size *size = &small_sizes[i];
    g_autofree char *path
        = g_strdup_printf ("/planner/search/%s/%d-chunks-%d-ranks-%d-microbatches",
                           size->is_exact ? "finds-the-optimum" : "claims-no-more-than-the-optimum",
                           size->chunks, size->ranks, size->microbatches);
    g_test_add_data_func (path, size, test_finds_the_optimum);
  }
  g_test_add_func ("/planner/search/nothing-is-below-the-optimum",
                   test_nothing_is_below_the_optimum);
  g_test_add_data_func ("/planner/search/no-worse-than-built-in-orders/1-chunk",
                        GINT_TO_POINTER (1), test_no_worse_than_built_in);
  g_test_add_data_func ("/planner/search/no-worse-than-built-in-orders/2-chunks",
                        GINT_TO_POINTER (2), test_no_worse_than_built_in);
  g_test_add_func ("/planner/search/equal-inputs-give-equal-orders", test_repeats_itself);
  g_test_add_func ("/planner/search/units-do-not-matter", test_units_do_not_matter);
  g_test_add_data_func ("/planner/search/more-memory-is-never-worse/small", GINT_TO_POINTER (0),
                        test_more_memory_is_never_worse);
  g_test_add_data_func ("/planner/search/more-memory-is-no-more-than-a-hundredth-worse/large",
                        GINT_TO_POINTER (1), test_more_memory_is_never_worse);
  g_test_add_func ("/planner/search/bound-covers-each-rank's-work", test_bound_covers_the_work);
  g_test_add_func ("/planner/search/one-rank-never-waits", test_one_rank);
  g_test_add_func ("/planner/search/one-microbatch-goes-through-and-back", test_one_microbatch);
  g_test_add_func ("/planner/search/room-for-one-microbatch", test_room_for_one);
  g_test_add_func ("/planner/search/exact-limits-are-not-lost-to-rounding",
                   test_exact_limits_are_not_lost_to_rounding);
  g_test_add_func ("/planner/search/nothing-held-is-no-limit", test_no_memory_at_all_is_no_limit);
  g_test_add_func ("/planner/search/costs-of-zero", test_costs_of_zero);
  g_test_add_func ("/planner/search/too-little-memory-is-refused", test_too_little_memory);
  return g_test_run ();
}
