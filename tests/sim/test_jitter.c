/* Random durations: the generator against its published numbers, factors against the distribution
 * that is promised, the Monte Carlo run against factors applied by hand. */
#include "cases.h"
#include "sim/jitter_private.h"
#include "sim/lanes_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Philox4x32-10, word for word. */
static void
philox (const uint32_t counter[4], uint64_t seed, uint32_t word[4]) {
  uint32_t key[2] = { (uint32_t)seed, (uint32_t)(seed >> 32) };
  memcpy (word, counter, 4 * sizeof *word);
  for (int round = 0; round < 10; round++) {
    uint64_t p0 = (uint64_t)word[0] * 0xd2511f53u, p1 = (uint64_t)word[2] * 0xcd9e8d57u;
    word[0] = (uint32_t)(p1 >> 32) ^ word[1] ^ key[0];
    word[2] = (uint32_t)(p0 >> 32) ^ word[3] ^ key[1];
    word[1] = (uint32_t)p1;
    word[3] = (uint32_t)p0;
    key[0] += 0x9e3779b9u;
    key[1] += 0xbb67ae85u;
  }
}

/* Of the authors' library. */
static const struct {
  uint32_t counter[4];
  uint64_t seed;
  uint32_t word[4];
} published[] = {
  { { 0 }, 0, { 0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u } },
  { { 0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu },
    0xffffffffffffffffu,
    { 0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu } },
  { { 0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u },
    0x299f31d0a4093822u,
    { 0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u } },
};

static void
test_generator (void) {
  for (gsize i = 0; i < G_N_ELEMENTS (published); i++) {
    uint32_t word[4];
    philox (published[i].counter, published[i].seed, word);
    assert_same_bytes (word, published[i].word, sizeof word);
  }
}

/* The normal quantile of P, by Newton's method on erfc. */
static double
exact_normal (double p) {
  double z = 0;
  for (int i = 0; i < 60; i++) {
    double error = 0.5 * erfc (-z / M_SQRT2) - p;
    double slope = exp (-0.5 * z * z) / sqrt (2 * M_PI);
    z -= CLAMP (error / slope, -0.5, 0.5);
  }
  return z;
}

static double
log_deviation (double deviation) {
  return sqrt (log1p (deviation * deviation));
}

/* What an action's time is multiplied by: sample 32 g + 8 w + l has word w of block 8 g + l. */
static double
exact_factor (uint64_t seed, uint32_t id, int64_t sample, double deviation) {
  uint64_t block = (uint64_t)(sample / 32 * 8 + sample % 8);
  uint32_t counter[4] = { id, (uint32_t)block, (uint32_t)(block >> 32), 0 }, word[4];
  philox (counter, seed, word);
  double p = ((double)word[sample / 8 % 4] + 0.5) * 0x1p-32;
  double sigma = log_deviation (deviation);
  return exp (sigma * exact_normal (p) - sigma * sigma / 2);
}

/* [32] factors of action ID. */
static void
draw (const PwSimLanesLoops *loops, uint64_t seed, uint32_t id, uint64_t group, double deviation,
      double *factors) {
  PwSimDraw one = { .id = id, .duration = 1, .deviation = log_deviation (deviation) };
  loops->draw (&one, 1, seed, group, factors);
}

static void
test_factors_are_exact (void) {
  static const double deviations[] = { 0.001, 0.05, 0.3, 1, 3 };
  double *factors = pw__sim_lanes_rows_new (1, PW_SIM_SAMPLES);
  for (int i = 0; i < 200; i++) {
    uint64_t seed = (uint64_t)g_test_rand_int () << 32 | (uint32_t)g_test_rand_int ();
    uint32_t id = (uint32_t)g_test_rand_int_range (0, G_MAXINT32);
    uint64_t group = (uint64_t)g_test_rand_int_range (0, 1 << 30) * 3;
    double deviation = deviations[(gsize)i % G_N_ELEMENTS (deviations)], first[PW_SIM_SAMPLES];
    const PwSimLanesLoops *loops;
    for (int set = 0; (loops = pw__sim_lanes_loops (set)); set++) {
      draw (loops, seed, id, group, deviation, factors);
      if (set == 0)
        memcpy (first, factors, sizeof first);
      assert_same_bytes (first, factors, sizeof first);
    }
    for (int k = 0; k < PW_SIM_SAMPLES; k++) {
      double exact = exact_factor (seed, id, (int64_t)group * 32 + k, deviation);
      g_assert_cmpfloat_with_epsilon (first[k] / exact, 1, 2e-6 * (1 + 2 * deviation));
    }
  }
  g_aligned_free (factors);
}

static int
compare (const void *x, const void *y) {
  const double *a = x, *b = y;
  return (*a > *b) - (*a < *b);
}

/* Of many factors: within five standard errors. The rare tails, too. */
static void
test_distribution (void) {
  enum { GROUPS = 8192, N = GROUPS * PW_SIM_SAMPLES };
  const double deviation = 0.2, n = N, sigma = log_deviation (deviation);
  double *factors = pw__sim_lanes_rows_new (GROUPS, PW_SIM_SAMPLES), mean = 0, variance = 0;
  for (uint64_t group = 0; group < GROUPS; group++)
    draw (pw__sim_lanes_loops (0), 12345, 678, group, deviation, factors + group * PW_SIM_SAMPLES);
  for (int i = 0; i < N; i++)
    mean += factors[i] / n;
  for (int i = 0; i < N; i++)
    variance += (factors[i] - mean) * (factors[i] - mean) / n;
  g_assert_cmpfloat_with_epsilon (mean, 1, 5 * deviation / sqrt (n));
  g_assert_cmpfloat_with_epsilon (sqrt (variance), deviation, 5 * deviation / sqrt (n));
  qsort (factors, N, sizeof *factors, compare);
  static const double shares[] = { 1e-4, 0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.9999 };
  for (gsize i = 0; i < G_N_ELEMENTS (shares); i++) {
    double z = exact_normal (shares[i]);
    double density = exp (-0.5 * z * z) / sqrt (2 * M_PI);
    double error = sqrt (shares[i] * (1 - shares[i]) / n) / density; /* of z */
    double found = (log (factors[(int)(shares[i] * n)]) + sigma * sigma / 2) / sigma;
    g_assert_cmpfloat_with_epsilon (found, z, 5 * error);
  }
  g_aligned_free (factors);
}

static PwSimJitterResult *
run (const Case *c, const PwSimLanesLoops *loops, const PwSimJitter *jitter) {
  g_autoptr (PwSimProgram) program = pw_sim_compile (&c->input, NULL);
  return pw__sim_jitter (program, loops, c->costs, jitter);
}

static void
assert_same_samples (const PwSimJitterResult *a, const PwSimJitterResult *b) {
  g_assert_cmpint (a->samples, ==, b->samples);
  assert_same_bytes (a->time, b->time, (gsize)a->samples * sizeof *a->time);
}

/* The instruction set and the number of threads change nothing; fewer samples are the first ones.
 */
static void
test_same_samples (void) {
  for (int i = 0; i < 20; i++) {
    g_autoptr (Case) c = case_random ();
    c->input.iterations = g_test_rand_int_range (1, 3);
    costs_randomise (c->costs, FALSE);
    if (i % 2)
      costs_randomise_factor (c->costs, c->lowered->microbatches);
    PwSimJitter jitter = { .compute = 0.1, .link = 0.2, .samples = 100, .seed = (uint64_t)i };
    g_autoptr (PwSimJitterResult) expected = run (c, pw__sim_lanes_loops (0), &jitter);
    const PwSimLanesLoops *loops;
    for (int set = 0; (loops = pw__sim_lanes_loops (set)); set++)
      for (jitter.threads = 1; jitter.threads <= 3; jitter.threads++) {
        g_autoptr (PwSimJitterResult) result = run (c, loops, &jitter);
        assert_same_samples (expected, result);
      }
    jitter.samples = 45;
    g_autoptr (PwSimJitterResult) fewer = run (c, pw__sim_lanes_loops (0), &jitter);
    assert_same_bytes (fewer->time, expected->time, 45 * sizeof (double));
  }
}

/* Where there is one F per stage and micro-batch, the costs' own factors can say the same. */
static void
test_equals_factors_by_hand (void) {
  enum { MICROBATCHES = 6, SAMPLES = 40 };
  g_autoptr (Case) c = case_named ("forward-only", 4, MICROBATCHES, 1, 2, 0.25, PW_POLICY_PER_EDGE);
  costs_randomise (c->costs, FALSE);
  int stages = c->costs->stages;
  PwSimJitter jitter = { .compute = 0.3, .samples = SAMPLES, .seed = 99 };
  g_autoptr (PwSimJitterResult) result = run (c, pw__sim_lanes_loops (0), &jitter);
  costs_randomise_factor (c->costs, MICROBATCHES);
  double *factors = pw__sim_lanes_rows_new (1, PW_SIM_SAMPLES);
  for (int sample = 0; sample < SAMPLES; sample++) {
    uint32_t id = 0;
    for (int rank = 0; rank < c->lowered->ranks; rank++)
      for (int64_t i = 0; i < c->lowered->programs[rank].n_prologue; i++, id++) {
        PwAction action = c->lowered->programs[rank].actions[i];
        if (action.kind != PW_ACTION_FORWARD)
          continue;
        draw (pw__sim_lanes_loops (0), 99, id, (uint64_t)sample / 32, 0.3, factors);
        c->costs->factor[(int)action.microbatch * stages + action.stage] = factors[sample % 32];
      }
    g_autoptr (PwSimResult) expected = run_with (c, PW_SIM_ENGINE_AUTO);
    assert_same_bytes (&result->time[sample], &expected->iteration_time, sizeof (double));
  }
  g_aligned_free (factors);
}

/* On one rank an iteration is the sum of its actions. */
static void
test_a_sum_of_independent_times (void) {
  enum { M = 16, SAMPLES = 20000 };
  g_autoptr (Case) c = case_named ("gpipe", 1, M, 1, 2, 0, PW_POLICY_PER_EDGE);
  PwSimJitter jitter = { .compute = 0.1, .samples = SAMPLES, .seed = 1 };
  g_autoptr (PwSimJitterResult) result = run (c, pw__sim_lanes_loops (0), &jitter);
  double deviation = 0.1 * sqrt (M * (1.0 + 4.0));
  g_assert_cmpfloat (result->undisturbed, ==, 3 * M);
  g_assert_cmpfloat_with_epsilon (result->mean, 3 * M, 5 * deviation / sqrt (SAMPLES));
  g_assert_cmpfloat_with_epsilon (result->standard_deviation, deviation,
                                  5 * deviation / sqrt (2 * SAMPLES));
  static const double z[] = { -1.6449, -0.6745, 0, 0.6745, 1.6449, 2.3263 };
  for (int i = 0; i < PW_SIM_PERCENTILE_N; i++) /* nearly normal */
    g_assert_cmpfloat_with_epsilon (result->percentile[i], 3 * M + z[i] * deviation,
                                    0.06 * deviation * (1 + fabs (z[i])));
  g_assert_cmpfloat (result->minimum, <, result->percentile[0]);
  g_assert_cmpfloat (result->maximum, >, result->percentile[PW_SIM_PERCENTILE_N - 1]);
}

static void
assert_undisturbed (const PwSimJitterResult *result, double time) {
  assert_same_bytes (&result->undisturbed, &time, sizeof time);
  for (int64_t i = 0; i < result->samples; i++)
    assert_same_bytes (&result->time[i], &time, sizeof time);
  assert_same_bytes (&result->mean, &time, sizeof time);
  assert_same_bytes (&result->percentile[2], &time, sizeof time);
  g_assert_cmpfloat (result->standard_deviation, ==, 0);
}

static void
test_no_jitter_changes_nothing (void) {
  for (int i = 0; i < 50; i++) {
    g_autoptr (Case) c = case_random ();
    costs_randomise (c->costs, FALSE);
    if (i % 2)
      costs_randomise_factor (c->costs, c->lowered->microbatches);
    g_autoptr (PwSimResult) alone = run_with (c, PW_SIM_ENGINE_COMPILED);
    PwSimJitter jitter = { .samples = 3, .seed = 5 };
    g_autoptr (PwSimJitterResult) none = run (c, pw__sim_lanes_loops (0), &jitter);
    assert_undisturbed (none, alone->iteration_time);
    for (int e = 0; e < c->costs->n_edges; e++)
      c->costs->link[e] = (PwLink){ 0 };
    g_autoptr (PwSimResult) instant = run_with (c, PW_SIM_ENGINE_COMPILED);
    jitter.link = 0.5;
    g_autoptr (PwSimJitterResult) of_links = run (c, pw__sim_lanes_loops (0), &jitter);
    assert_undisturbed (of_links, instant->iteration_time);
  }
}

static void
test_seeds_and_links_matter (void) {
  g_autoptr (Case) c = case_named ("1f1b", 4, 8, 1, 2, 0.5, PW_POLICY_PER_EDGE);
  PwSimJitter jitter = { .compute = 0.1, .samples = 64, .seed = 1 };
  g_autoptr (PwSimJitterResult) one = run (c, pw__sim_lanes_loops (0), &jitter);
  jitter.seed = 1ull << 40 | 1;
  g_autoptr (PwSimJitterResult) other = run (c, pw__sim_lanes_loops (0), &jitter);
  g_assert_cmpfloat (one->time[0], !=, other->time[0]);
  jitter = (PwSimJitter){ .link = 0.1, .samples = 64, .seed = 1 };
  g_autoptr (PwSimJitterResult) links = run (c, pw__sim_lanes_loops (0), &jitter);
  g_assert_cmpfloat (links->standard_deviation, >, 0);
  g_assert_cmpfloat (links->standard_deviation, <, one->standard_deviation);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/sim/jitter/the-reference-has-the-published-numbers", test_generator);
  g_test_add_func ("/sim/jitter/factors-are-those-of-the-exact-quantiles", test_factors_are_exact);
  g_test_add_func ("/sim/jitter/mean-deviation-and-quantiles-of-many", test_distribution);
  g_test_add_func ("/sim/jitter/threads-and-instruction-sets-change-nothing", test_same_samples);
  g_test_add_func ("/sim/jitter/equals-factors-applied-by-hand", test_equals_factors_by_hand);
  g_test_add_func ("/sim/jitter/a-sum-of-independent-times", test_a_sum_of_independent_times);
  g_test_add_func ("/sim/jitter/without-any-the-bits-stay", test_no_jitter_changes_nothing);
  g_test_add_func ("/sim/jitter/seeds-and-links-matter", test_seeds_and_links_matter);
  return g_test_run ();
}
