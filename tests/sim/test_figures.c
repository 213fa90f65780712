#include "cases.h"

#include <math.h>
#include <string.h>

#include "schedules/check.h"

typedef struct {
  double F, I, W;
} Costs;
static const Costs costs[]
    = { { 1, 1, 1 }, { 1, 0.5, 0.5 }, { 2, 0.5, 0.5 }, { 3, 2, 1 }, { 1, 2, 0.75 } };

static void
assert_near (double a, double b) {
  g_assert_cmpfloat_with_epsilon (a, b, 1e-9 * (1 + fabs (a) + fabs (b)));
}

/* NULL: this schedule does not take these numbers. */
static Case *
case_of_type (const PwScheduleType *type, const PwScheduleParams *params) {
  g_autoptr (PwSchedule) compute = pw_schedule_generate (type->name, params, NULL);
  if (compute == NULL)
    return NULL;
  Case *c = g_new0 (Case, 1);
  PwLowerOptions options = { .policy = PW_POLICY_PER_EDGE };
  c->edges = pw_stage_edges_new_chain (compute->stages);
  c->lowered = pw_schedule_lower (compute, c->edges, &options, NULL);
  c->costs = pw_stage_costs_new (compute->stages, c->edges);
  for (int s = 0; s < compute->stages; s++) {
    PwStageCost *cost = &c->costs->stage[s];
    cost->forward = params->F;
    cost->input = params->I;
    cost->weight = params->W;
    cost->backward = params->I + params->W;
  }
  pw_sim_input_init (&c->input);
  c->input.schedule = c->lowered;
  c->input.edges = c->edges;
  c->input.costs = c->costs;
  return c;
}

/* The bubble is the iteration's time, or the longest span of a rank, beyond one rank's busy time.
 */
static void
assert_closed_forms (const PwScheduleType *type, const PwScheduleParams *params) {
  g_autoptr (Case) c = case_of_type (type, params);
  if (c == NULL)
    return;
  g_autoptr (PwSimResult) result = run_with (c, PW_SIM_ENGINE_AUTO);
  double whole
      = g_str_equal (type->measure, "span") ? result->longest_rank_span : result->iteration_time;
  double bubble = type->bubble_time (params);
  if (!isnan (bubble))
    assert_near (whole - result->rank[0].busy_time, bubble);
  for (int rank = 0; rank < params->ranks; rank++) {
    double peak = type->peak_activations (params, rank);
    if (!isnan (peak))
      assert_near (result->rank[rank].peak_activations, peak);
  }
  g_assert_cmpint (result->actions, ==, pw_schedule_count_actions (c->lowered));
}

static void
test_closed_forms (gconstpointer data) {
  for (int P = 1; P <= 8; P++)
    for (int M = 1; M <= 5 * P; M++)
      for (gsize i = 0; i < G_N_ELEMENTS (costs); i++) {
        PwScheduleParams params;
        pw_schedule_params_init (&params);
        params.ranks = P;
        params.microbatches = M;
        params.F = costs[i].F;
        params.I = costs[i].I;
        params.W = costs[i].W;
        assert_closed_forms (data, &params);
      }
}

/* Whatever the registry has, each engine makes the same of it. */
static void
test_engines_agree (gconstpointer data) {
  const PwScheduleType *type = data;
  for (int P = 1; P <= 6; P++)
    for (int M = 1; M <= 3 * P; M += P == 1 ? 1 : P - 1) {
      PwScheduleParams params;
      pw_schedule_params_init (&params);
      params.ranks = P;
      params.microbatches = M;
      g_autoptr (Case) c = case_of_type (type, &params);
      if (c == NULL)
        continue;
      costs_randomise (c->costs, FALSE);
      g_autoptr (PwSimResult) walked = run_with (c, PW_SIM_ENGINE_COMPILED);
      g_autoptr (PwSimResult) events = run_with (c, PW_SIM_ENGINE_EVENTS);
      g_autoptr (PwSimProgram) program = pw_sim_compile (&c->input, NULL);
      g_autoptr (PwSimResult) compiled = pw_sim_program_result (program);
      assert_same_results (walked, events);
      assert_same_results (walked, compiled);
    }
}

/* With links that are faster than any compute: every micro-batch of `naive` crosses all of them
 * twice, the first and last of `gpipe` only. */
static void
test_links (void) {
  for (int P = 1; P <= 6; P++)
    for (int M = 1; M <= 3 * P; M++) {
      double F = 1, B = 2, L = 0.5;
      g_autoptr (Case) naive = case_named ("naive", P, M, F, B, L, PW_POLICY_PER_EDGE);
      g_autoptr (PwSimResult) a = run_with (naive, PW_SIM_ENGINE_AUTO);
      g_assert_cmpfloat (a->iteration_time, ==, M * (P * (F + B) + 2 * (P - 1) * L));
      g_autoptr (Case) gpipe = case_named ("gpipe", P, M, F, B, L, PW_POLICY_PER_EDGE);
      g_autoptr (PwSimResult) b = run_with (gpipe, PW_SIM_ENGINE_AUTO);
      g_assert_cmpfloat (b->iteration_time, ==, M * (F + B) + (P - 1) * (F + B + 2 * L));
    }
}

/* Twice the warm-up leaves every message the time of half an F and B. */
static void
test_links_eager_1f1b (void) {
  for (int P = 1; P <= 6; P++)
    for (int M = 1; M <= 5 * P; M++)
      for (double L = 0.25; L <= 1.5; L += 0.25) {
        double F = 1, B = 2;
        g_autoptr (Case) c = case_named ("eager-1f1b", P, M, F, B, L, PW_POLICY_PER_EDGE);
        g_autoptr (PwSimResult) result = run_with (c, PW_SIM_ENGINE_AUTO);
        g_assert_cmpfloat (result->iteration_time, ==, M * (F + B) + (P - 1) * (F + B + 2 * L));
      }
}

/* In the steady state of 1f1b rank 0 starts its next P micro-batches when those of the round before
 * are back, each message of the round trip included. */
static void
test_links_1f1b (void) {
  for (int P = 2; P <= 6; P++)
    for (int M = 3 * P; M <= 4 * P; M++) {
      double F = 1, B = 2, L = 0.25;
      g_autoptr (Case) shorter = case_named ("1f1b", P, M, F, B, L, PW_POLICY_PER_EDGE);
      g_autoptr (Case) longer = case_named ("1f1b", P, M + P, F, B, L, PW_POLICY_PER_EDGE);
      g_autoptr (PwSimResult) a = run_with (shorter, PW_SIM_ENGINE_AUTO);
      g_autoptr (PwSimResult) b = run_with (longer, PW_SIM_ENGINE_AUTO);
      g_assert_cmpfloat (b->iteration_time - a->iteration_time, ==, P * (F + B) + 2 * (P - 1) * L);
    }
}

static void
assert_identities (const PwSimResult *result, int iterations) {
  double busy = 0, last = 0, longest = 0;
  assert_idle_adds_up (result);
  for (int r = 0; r < result->ranks; r++) {
    const PwSimRank *rank = &result->rank[r];
    assert_near (rank->span, rank->last_end - rank->first_start);
    g_assert_cmpfloat (rank->recompute_time, <=, rank->busy_time);
    busy += rank->busy_time;
    last = MAX (last, rank->last_end);
    longest = MAX (longest, rank->span);
  }
  g_assert_cmpfloat (result->total_time, ==, last);
  g_assert_cmpfloat (result->longest_rank_span, ==, longest);
  assert_near (result->ideal_time, busy / iterations / result->ranks);
  assert_near (result->bubble_fraction,
               1 - busy / iterations / (result->ranks * result->iteration_time));
  assert_near (result->bubble_ratio,
               (result->iteration_time - result->ideal_time) / result->ideal_time);
}

static void
test_identities (void) {
  for (int i = 0; i < 300; i++) {
    g_autoptr (Case) c = case_random ();
    costs_randomise (c->costs, FALSE);
    c->input.iterations = g_test_rand_int_range (1, 4);
    if (g_test_rand_int_range (0, 2))
      for (int e = 0; e < c->costs->n_edges; e++)
        c->costs->link[e].sharing = g_test_rand_int_range (0, 3);
    g_autoptr (PwSimResult) result = run_with (c, PW_SIM_ENGINE_AUTO);
    assert_identities (result, c->input.iterations);
  }
}

static void
test_peaks (void) {
  for (int i = 0; i < 200; i++) {
    g_autoptr (Case) c = case_random ();
    c->input.weight_memory = 0.25 * g_test_rand_int_range (0, 5);
    g_autoptr (PwSimResult) result = run_with (c, PW_SIM_ENGINE_AUTO);
    g_autofree double *peaks = g_new (double, (gsize)c->lowered->ranks);
    pw_schedule_peak_activations (c->lowered, c->input.weight_memory, peaks);
    for (int rank = 0; rank < result->ranks; rank++)
      assert_near (result->rank[rank].peak_activations, peaks[rank]);
  }
}

/* Without a barrier the next iteration's warm-up fills this one's drain: rank by rank the lists
 * follow each other, so the first rank is the bottleneck of a balanced pipeline. */
static void
test_iterations (void) {
  for (int P = 1; P <= 5; P++) {
    int M = 3 * P;
    g_autoptr (Case) c = case_named ("gpipe", P, M, 1, 2, 0, PW_POLICY_PER_EDGE);
    for (int K = 2; K <= 4; K++) {
      c->input.iterations = K;
      g_autoptr (PwSimResult) result = run_with (c, PW_SIM_ENGINE_AUTO);
      /* Rank 0 starts again when its last backward, the iteration's end, is over. */
      double once = 3 * M + 3 * (P - 1);
      g_assert_cmpfloat (result->total_time, ==, K * once);
      g_assert_cmpfloat (result->iteration_time, ==, once);
      g_assert_cmpint (result->actions, ==, K * pw_schedule_count_actions (c->lowered));
    }
    g_autoptr (Case) inference = case_named ("forward-only", P, M, 1, 2, 0, PW_POLICY_PER_EDGE);
    inference->input.iterations = 3;
    g_autoptr (PwSimResult) result = run_with (inference, PW_SIM_ENGINE_AUTO);
    g_assert_cmpfloat (result->iteration_time, ==, M);
    g_assert_cmpfloat (result->bubble_fraction, ==, 0);
    g_assert_cmpfloat (result->total_time, ==, 3 * M + P - 1);
  }
}

static void
test_unequal_stages (void) {
  g_autoptr (Case) c = case_named ("gpipe", 3, 10, 1, 1, 0, PW_POLICY_PER_EDGE);
  c->costs->stage[1].forward = 4;
  c->costs->stage[2].backward = 3;
  g_autoptr (PwSimResult) result = run_with (c, PW_SIM_ENGINE_AUTO);
  /* 10 micro-batches through the slowest stage, once through the others, each way. */
  g_assert_cmpfloat (result->iteration_time, ==, (10 * 4 + 1 + 1) + (10 * 3 + 1 + 1));
}

/* Recomputation: busy, but not counted as an action. */
static void
test_recomputation (void) {
  g_autoptr (Case) plain = case_named ("1f1b", 4, 8, 1, 2, 0, PW_POLICY_PER_EDGE);
  PwLowerOptions options = { .policy = PW_POLICY_PER_EDGE, .recompute = PW_RECOMPUTE_STAGE };
  g_autoptr (PwSchedule) compute = pw_schedule_raise (plain->lowered);
  g_autoptr (PwSchedule) lowered = pw_schedule_lower (compute, plain->edges, &options, NULL);
  PwSimInput input = plain->input;
  input.schedule = lowered;
  for (int s = 0; s < 4; s++)
    plain->costs->stage[s].recompute = 1;
  g_autoptr (PwSimResult) result = pw_sim_run (&input, NULL);
  for (int rank = 0; rank < 4; rank++) {
    g_assert_cmpfloat (result->rank[rank].recompute_time, ==, 8);
    g_assert_cmpfloat (result->rank[rank].busy_time, ==, 8 * (1 + 2 + 1));
  }
  g_assert_cmpint (result->actions, ==, 2 * 4 * 8);
}

/* Pairs that take less than their parts leave ranks with different busy times, since towards the
 * fold each runs one pair more, the fold itself one less: the form is the fold's idle time. */
static void
test_overlap (void) {
  const double W = 0.5, overlapped[] = { 2.5, 2.25 };
  for (int P = 2; P <= 8; P++)
    for (int M = 2 * P; M <= 4 * P; M += 2)
      for (gsize k = 0; k < 2 * G_N_ELEMENTS (overlapped); k++) {
        gboolean folded = k % 2;
        PwScheduleParams params;
        pw_schedule_params_init (&params);
        params.ranks = P;
        params.microbatches = M;
        params.F = params.I = 1;
        params.W = W;
        g_autoptr (Case) c
            = case_of_type (pw_schedule_get (folded ? "dualpipe-v" : "dualpipe"), &params);
        g_assert_cmpint (c != NULL, ==, folded || P % 2 == 0);
        if (c == NULL)
          continue;
        for (int s = 0; s < c->costs->stages; s++)
          c->costs->stage[s].overlapped = overlapped[k / 2];
        g_autoptr (PwSimResult) result = run_with (c, PW_SIM_ENGINE_AUTO);
        double step = overlapped[k / 2] + 1 + W - 3 * W;
        int fold = folded ? P - 1 : P / 2 - 1;
        assert_near (result->iteration_time - result->rank[fold].busy_time, fold * step);
      }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  for (const PwScheduleType *const *type = pw_schedule_list (); *type != NULL; type++) {
    g_autofree char *forms
        = g_strdup_printf ("/sim/figures/%s/bubble-and-peak-equal-the-closed-forms", (*type)->name);
    g_test_add_data_func (forms, *type, test_closed_forms);
    g_autofree char *engines
        = g_strdup_printf ("/sim/figures/%s/engines-agree-to-the-last-bit", (*type)->name);
    g_test_add_data_func (engines, *type, test_engines_agree);
  }
  g_test_add_func ("/sim/figures/links-add-what-the-closed-forms-say", test_links);
  g_test_add_func ("/sim/figures/links-cost-eager-1f1b-one-round-trip", test_links_eager_1f1b);
  g_test_add_func ("/sim/figures/links-slow-1f1b-by-a-round-trip-per-round", test_links_1f1b);
  g_test_add_func ("/sim/figures/parts-add-up-to-their-wholes", test_identities);
  g_test_add_func ("/sim/figures/peaks-are-the-checker-s", test_peaks);
  g_test_add_func ("/sim/figures/iterations-follow-without-a-barrier", test_iterations);
  g_test_add_func ("/sim/figures/the-slowest-stage-decides", test_unequal_stages);
  g_test_add_func ("/sim/figures/recomputation-is-busy-time-of-its-own", test_recomputation);
  g_test_add_func ("/sim/figures/overlapping-pairs-shorten-the-bubble", test_overlap);
  return g_test_run ();
}
