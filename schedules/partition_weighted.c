/* Stages that count differently. The greedy argument of partition.c does not hold here: a stage
 * that takes all it can may leave a heavy one a layer that is too large for it. So whether a limit
 * can be kept is asked of every place at which a stage could begin, from the last stage to the
 * first. */
#include "schedules/partition.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

typedef struct {
  const double *costs, *weights;
  int n, stages;
  double first, last;
  uint8_t *can; /* [stages + 1][n + 1]: the stages from here on can hold the layers from there on */
} Weighted;

static uint8_t *
row_of (const Weighted *w, int stage) {
  return w->can + (gsize)stage * (gsize)(w->n + 1);
}

static double
start_cost (const Weighted *w, int stage) {
  return (stage == 0 ? w->first : 0) + (stage == w->stages - 1 ? w->last : 0);
}

/* Whether STAGE can begin at FROM; later stages are known. */
static gboolean
can_begin (const Weighted *w, int stage, int from, double limit) {
  const uint8_t *next = row_of (w, stage + 1);
  double sum = start_cost (w, stage);
  for (int to = from + 1; to <= w->n; to++) {
    sum += w->costs[to - 1];
    if (sum * w->weights[stage] > limit)
      return FALSE;
    if (next[to])
      return TRUE;
  }
  return FALSE;
}

static gboolean
fits (const Weighted *w, double limit) {
  memset (w->can, 0, (gsize)(w->stages + 1) * (gsize)(w->n + 1));
  row_of (w, w->stages)[w->n] = 1;
  for (int stage = w->stages - 1; stage >= 0; stage--)
    for (int from = stage; from <= w->n - (w->stages - stage); from++)
      row_of (w, stage)[from] = can_begin (w, stage, from, limit) ? 1 : 0;
  return row_of (w, 0)[0] != 0;
}

/* As in partition.c: the smallest double that fits is one of the stages' sums. */
static double
smallest_limit (const Weighted *w) {
  uint64_t low = 0, high;
  double top = INFINITY;
  if (fits (w, 0))
    return 0;
  memcpy (&high, &top, sizeof high);
  while (high - low > 1) {
    uint64_t middle = low + (high - low) / 2;
    double limit;
    memcpy (&limit, &middle, sizeof limit);
    if (fits (w, limit))
      high = middle;
    else
      low = middle;
  }
  memcpy (&top, &high, sizeof top);
  return top;
}

/* From the left, each stage takes what comes nearest to its share, by its speed, of what is left,
 * among what leaves the later ones able to hold the rest. */
static void
fill_evenly (const Weighted *w, double limit, int *bounds) {
  double left = w->first + w->last, speeds = 0;
  for (int i = 0; i < w->n; i++)
    left += w->costs[i];
  for (int stage = 0; stage < w->stages; stage++)
    speeds += 1 / w->weights[stage];
  bounds[0] = 0;
  for (int stage = 0; stage < w->stages; stage++) {
    const uint8_t *next = row_of (w, stage + 1);
    double share = left / w->weights[stage] / speeds, nearest = INFINITY, taken = 0;
    double sum = start_cost (w, stage);
    for (int to = bounds[stage] + 1; to <= w->n; to++) {
      sum += w->costs[to - 1];
      if (sum * w->weights[stage] > limit)
        break;
      if (!next[to] || fabs (sum - share) > nearest)
        continue;
      nearest = fabs (sum - share);
      taken = sum;
      bounds[stage + 1] = to;
    }
    left -= taken;
    speeds -= 1 / w->weights[stage];
  }
}

PwPartition *
pw_partition_new_weighted (const double *costs, int n, int stages, const double *weights,
                           double first, double last, GError **error) {
  PwPartition *partition = pw_partition_new_balanced (costs, n, stages, first, last, error);
  if (partition == NULL || weights == NULL)
    return partition;
  for (int stage = 0; stage < stages; stage++)
    g_assert (isfinite (weights[stage]) && weights[stage] > 0);
  Weighted weighted = { .costs = costs,
                        .weights = weights,
                        .n = n,
                        .stages = stages,
                        .first = first,
                        .last = last,
                        .can = g_malloc ((gsize)(stages + 1) * (gsize)(n + 1)) };
  double limit = smallest_limit (&weighted);
  g_assert (fits (&weighted, limit));
  fill_evenly (&weighted, limit, partition->bounds);
  g_free (weighted.can);
  return partition;
}
