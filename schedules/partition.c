/* Every stage sum is added from left to right, starting with the end layers' cost. Rounded addition
 * of non-negative numbers is monotone, so these sums grow with the stage on either side, and the
 * greedy argument stays exact in floating point: no tolerance anywhere. */
#include "schedules/partition.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

GQuark
pw_partition_error_quark (void) {
  return g_quark_from_static_string ("pw-partition-error-quark");
}

static PwPartition *
partition_new (int stages) {
  PwPartition *partition = g_new (PwPartition, 1);
  partition->stages = stages;
  partition->bounds = g_new0 (int, (gsize)(stages + 1));
  return partition;
}

PwPartition *
pw_partition_new_balance (const int *counts, int stages, int n, GError **error) {
  int64_t sum = 0;
  if (stages < 1) {
    g_set_error (error, PW_PARTITION_ERROR, PW_PARTITION_ERROR_EMPTY, "there are no stages");
    return NULL;
  }
  g_autoptr (PwPartition) partition = partition_new (stages);
  for (int stage = 0; stage < stages; stage++) {
    if (counts[stage] < 1) {
      g_set_error (error, PW_PARTITION_ERROR, PW_PARTITION_ERROR_EMPTY,
                   "stage %d holds %d layers, it needs at least 1", stage, counts[stage]);
      return NULL;
    }
    sum += counts[stage];
    partition->bounds[stage + 1] = (int)MIN (sum, n);
  }
  if (sum != n) {
    g_set_error (error, PW_PARTITION_ERROR, PW_PARTITION_ERROR_SUM,
                 "adds up to %" G_GINT64_FORMAT " layers, the model has %d", sum, n);
    return NULL;
  }
  return g_steal_pointer (&partition);
}

/* The problem as the functions below pass it round. */
typedef struct {
  const double *costs;
  int n, stages;
  double first, last;
} Balance;

static double
start_cost (const Balance *b, int stage) {
  return (stage == 0 ? b->first : 0) + (stage == b->stages - 1 ? b->last : 0);
}

static double
stage_cost (const Balance *b, int stage, int from, int to) {
  double sum = start_cost (b, stage);
  for (int i = from; i < to; i++)
    sum += b->costs[i];
  return sum;
}

/* How far STAGE reaches from FROM within LIMIT, leaving a layer for each later stage; FROM if not
 * even one layer fits. */
static int
reach (const Balance *b, int stage, int from, double limit) {
  int most = b->n - (b->stages - 1 - stage);
  double sum = start_cost (b, stage);
  int to = from;
  while (to < most && sum + b->costs[to] <= limit)
    sum += b->costs[to++];
  return to;
}

static gboolean
fits (const Balance *b, double limit) {
  int from = 0;
  for (int stage = 0; stage < b->stages; stage++) {
    int to = reach (b, stage, from, limit);
    if (to == from)
      return FALSE;
    from = to;
  }
  return from == b->n;
}

/* Non-negative doubles are ordered as their bits are, so 63 halvings find the smallest double that
 * fits: the optimum itself, since it is one of the stage sums. */
static double
smallest_limit (const Balance *b) {
  uint64_t low = 0, high;
  double total = b->first + b->last;
  for (int i = 0; i < b->n; i++)
    total += b->costs[i];
  if (fits (b, 0))
    return 0;
  /* A stage alone is never above the total by more than rounding; infinity covers that too. */
  double top = fits (b, total) ? total : INFINITY;
  memcpy (&high, &top, sizeof high);
  while (high - low > 1) {
    uint64_t middle = low + (high - low) / 2;
    double limit;
    memcpy (&limit, &middle, sizeof limit);
    if (fits (b, limit))
      high = middle;
    else
      low = middle;
  }
  memcpy (&top, &high, sizeof top);
  return top;
}

/* The smallest start from which STAGE still ends at TO within LIMIT. */
static int
reach_back (const Balance *b, int stage, int to, double limit) {
  int good = to - 1, step = 1;
  while (good > stage && stage_cost (b, stage, MAX (stage, good - step), to) <= limit) {
    good = MAX (stage, good - step);
    step *= 2;
  }
  int bad = MAX (stage, good - step) - 1; /* too far, or below the first start possible */
  while (good - bad > 1) {
    int middle = bad + (good - bad) / 2;
    if (stage_cost (b, stage, middle, to) <= limit)
      good = middle;
    else
      bad = middle;
  }
  return good;
}

/* From the left, each stage takes what comes nearest to an even share of what is left, within the
 * limit and without taking less than the later stages need. */
static void
fill_evenly (const Balance *b, double limit, int *bounds) {
  g_autofree int *earliest = g_new (int, (gsize)(b->stages + 1));
  earliest[b->stages] = b->n;
  for (int stage = b->stages - 1; stage >= 0; stage--)
    earliest[stage] = reach_back (b, stage, earliest[stage + 1], limit);

  double left = b->first + b->last;
  for (int i = 0; i < b->n; i++)
    left += b->costs[i];
  bounds[0] = 0;
  for (int stage = 0; stage < b->stages; stage++) {
    int from = bounds[stage], most = reach (b, stage, from, limit);
    int to = MAX (from + 1, earliest[stage + 1]);
    double share = left / (b->stages - stage), sum = stage_cost (b, stage, from, to);
    while (to < most && fabs (sum + b->costs[to] - share) <= fabs (sum - share))
      sum += b->costs[to++];
    bounds[stage + 1] = to;
    left -= sum;
  }
}

PwPartition *
pw_partition_new_balanced (const double *costs, int n, int stages, double first, double last,
                           GError **error) {
  if (stages < 1) {
    g_set_error (error, PW_PARTITION_ERROR, PW_PARTITION_ERROR_EMPTY, "there are no stages");
    return NULL;
  }
  if (stages > n) {
    g_set_error (error, PW_PARTITION_ERROR, PW_PARTITION_ERROR_TOO_MANY_STAGES,
                 "%d stages need at least as many layers, the model has %d", stages, n);
    return NULL;
  }
  g_assert (isfinite (first) && first >= 0 && isfinite (last) && last >= 0);
  for (int i = 0; i < n; i++)
    g_assert (isfinite (costs[i]) && costs[i] >= 0);
  Balance balance = { .costs = costs, .n = n, .stages = stages, .first = first, .last = last };
  PwPartition *partition = partition_new (stages);
  fill_evenly (&balance, smallest_limit (&balance), partition->bounds);
  return partition;
}

void
pw_partition_free (PwPartition *partition) {
  if (partition == NULL)
    return;
  g_free (partition->bounds);
  g_free (partition);
}

double
pw_partition_cost (const PwPartition *partition, const double *costs, double first, double last) {
  int stages = partition->stages;
  Balance balance = {
    .costs = costs, .n = partition->bounds[stages], .stages = stages, .first = first, .last = last
  };
  double largest = 0;
  for (int stage = 0; stage < stages; stage++)
    largest = MAX (largest, stage_cost (&balance, stage, partition->bounds[stage],
                                        partition->bounds[stage + 1]));
  return largest;
}
