#include "schedules/partition.h"

#include <math.h>

/* The best of all partitions, tried one by one; sums are added from the left as the library's are.
 */
static double
best_cost (const double *costs, int n, int stages, const double *weights, double first,
           double last) {
  if (stages == 1) {
    double sum = first + last;
    for (int i = 0; i < n; i++)
      sum += costs[i];
    return sum * weights[0];
  }
  double best = INFINITY, sum = first;
  for (int taken = 1; taken <= n - (stages - 1); taken++) {
    sum += costs[taken - 1];
    best = MIN (best, MAX (sum * weights[0],
                           best_cost (costs + taken, n - taken, stages - 1, weights + 1, 0, last)));
  }
  return best;
}

static double
weighted_cost (const PwPartition *partition, const double *costs, const double *weights,
               double first, double last) {
  double largest = 0;
  for (int s = 0; s < partition->stages; s++) {
    double sum = (s == 0 ? first : 0) + (s == partition->stages - 1 ? last : 0);
    for (int i = partition->bounds[s]; i < partition->bounds[s + 1]; i++)
      sum += costs[i];
    largest = MAX (largest, sum * weights[s]);
  }
  return largest;
}

static double
random_cost (void) {
  switch (g_test_rand_int_range (0, 4)) {
  case 0:
    return 0;
  case 1:
    return g_test_rand_int_range (0, 4);
  case 2:
    return g_test_rand_double () * 1e-300;
  default:
    return g_test_rand_double_range (0.1, 10);
  }
}

static void
test_equals_brute_force (void) {
  for (int round = 0; round < 3000; round++) {
    double costs[9], weights[9], first = random_cost (), last = random_cost ();
    gboolean is_weighted = g_test_rand_bit () != 0;
    int n = g_test_rand_int_range (1, 10), stages = g_test_rand_int_range (1, n + 1);
    for (int i = 0; i < n; i++)
      costs[i] = random_cost ();
    for (int i = 0; i < 9; i++)
      weights[i] = is_weighted ? g_test_rand_double_range (0.5, 3) : 1;
    g_autoptr (PwPartition) partition
        = is_weighted ? pw_partition_new_weighted (costs, n, stages, weights, first, last, NULL)
                      : pw_partition_new_balanced (costs, n, stages, first, last, NULL);
    g_assert_cmpint (partition->bounds[0], ==, 0);
    g_assert_cmpint (partition->bounds[stages], ==, n);
    for (int s = 0; s < stages; s++)
      g_assert_cmpint (partition->bounds[s], <, partition->bounds[s + 1]);
    double best = best_cost (costs, n, stages, weights, first, last);
    g_assert_cmpfloat (weighted_cost (partition, costs, weights, first, last), ==, best);
    if (!is_weighted)
      g_assert_cmpfloat (pw_partition_cost (partition, costs, first, last), ==, best);
  }
}

/* A rank that takes three times as long gets a third of what the others get. */
static void
test_slow_rank_gets_less (void) {
  double ones[20];
  const double weights[] = { 1, 3, 1 };
  for (int i = 0; i < 20; i++)
    ones[i] = 1;
  g_autoptr (PwPartition) partition = pw_partition_new_weighted (ones, 20, 3, weights, 0, 0, NULL);
  g_assert_cmpint (partition->bounds[1], ==, 9);
  g_assert_cmpint (partition->bounds[2], ==, 12);
}

static void
test_equal_layers_are_spread_evenly (void) {
  double ones[64];
  for (int i = 0; i < 64; i++)
    ones[i] = 1;
  for (int n = 1; n <= 64; n++)
    for (int stages = 1; stages <= n; stages++) {
      g_autoptr (PwPartition) partition = pw_partition_new_balanced (ones, n, stages, 0, 0, NULL);
      for (int s = 0; s < stages; s++) {
        int size = partition->bounds[s + 1] - partition->bounds[s];
        g_assert_cmpint (size, >=, n / stages);
        g_assert_cmpint (size, <=, (n + stages - 1) / stages);
      }
    }
}

static void
test_end_layers_count (void) {
  const double costs[] = { 1, 1, 1, 1, 1, 1 };
  g_autoptr (PwPartition) partition = pw_partition_new_balanced (costs, 6, 3, 1, 2, NULL);
  g_assert_cmpfloat (pw_partition_cost (partition, costs, 1, 2), ==, 3);
  g_assert_cmpint (partition->bounds[1], ==, 2);
  g_assert_cmpint (partition->bounds[2], ==, 5);
}

static void
test_ten_thousand_layers (void) {
  const int n = 10000, stages = 1024;
  g_autofree double *costs = g_new (double, (gsize)n);
  double total = 0, largest = 0;
  for (int i = 0; i < n; i++) {
    costs[i] = g_test_rand_double_range (0.5, 2);
    total += costs[i];
    largest = MAX (largest, costs[i]);
  }
  g_autoptr (PwPartition) partition = pw_partition_new_balanced (costs, n, stages, 0, 0, NULL);
  double cost = pw_partition_cost (partition, costs, 0, 0);
  g_assert_cmpfloat (cost, >=, total / stages);
  g_assert_cmpfloat (cost, <=, total / stages + largest);
}

static void
test_refusals (void) {
  const struct {
    int counts[3], stages, n;
    PwPartitionError code;
  } rows[] = {
    { { 6, 6, 6 }, 3, 24, PW_PARTITION_ERROR_SUM },
    { { 6, 6, 6 }, 3, 17, PW_PARTITION_ERROR_SUM },
    { { G_MAXINT, G_MAXINT, 6 }, 3, 4, PW_PARTITION_ERROR_SUM },
    { { 6, 0, 6 }, 3, 12, PW_PARTITION_ERROR_EMPTY },
    { { 6, -1, 6 }, 3, 11, PW_PARTITION_ERROR_EMPTY },
    { { 0 }, 0, 0, PW_PARTITION_ERROR_EMPTY },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GError) error = NULL;
    g_assert_null (pw_partition_new_balance (rows[i].counts, rows[i].stages, rows[i].n, &error));
    g_assert_error (error, PW_PARTITION_ERROR, rows[i].code);
  }
  g_autoptr (GError) error = NULL;
  const double costs[] = { 1, 2 };
  g_assert_null (pw_partition_new_balanced (costs, 2, 3, 0, 0, &error));
  g_assert_error (error, PW_PARTITION_ERROR, PW_PARTITION_ERROR_TOO_MANY_STAGES);
}

static void
test_balance_becomes_bounds (void) {
  g_autoptr (PwPartition) partition = pw_partition_new_balance ((int[]){ 6, 5, 7 }, 3, 18, NULL);
  g_assert_cmpint (partition->bounds[1], ==, 6);
  g_assert_cmpint (partition->bounds[2], ==, 11);
  g_assert_cmpint (partition->bounds[3], ==, 18);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/schedules/partition/a-slow-rank-gets-less", test_slow_rank_gets_less);
  g_test_add_func ("/schedules/partition/cost-equals-brute-force-to-the-bit",
                   test_equals_brute_force);
  g_test_add_func ("/schedules/partition/equal-layers-are-spread-evenly",
                   test_equal_layers_are_spread_evenly);
  g_test_add_func ("/schedules/partition/end-layers-count", test_end_layers_count);
  g_test_add_func ("/schedules/partition/ten-thousand-layers-on-1024-stages-are-near-the-bound",
                   test_ten_thousand_layers);
  g_test_add_func ("/schedules/partition/bad-balances-are-refused", test_refusals);
  g_test_add_func ("/schedules/partition/balance-becomes-bounds", test_balance_becomes_bounds);
  return g_test_run ();
}
