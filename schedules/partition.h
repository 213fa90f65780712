/* Which units (or layers) belong to which stage: contiguous runs, and the exact balancer that finds
 * the bounds with the smallest largest stage. */
#pragma once
#include <glib.h>

typedef struct {
  int stages;
  int *bounds; /* stages + 1 entries; stage s holds [bounds[s], bounds[s+1]) */
} PwPartition;

#define PW_PARTITION_ERROR (pw_partition_error_quark ())
GQuark pw_partition_error_quark (void);
typedef enum {
  PW_PARTITION_ERROR_TOO_MANY_STAGES,
  PW_PARTITION_ERROR_SUM,
  PW_PARTITION_ERROR_EMPTY
} PwPartitionError;

/* From counts, e.g. {6, 6, 6, 6}. Fails unless each is positive and they add up to N. */
PwPartition *pw_partition_new_balance (const int *counts, int stages, int n, GError **error);
/* Minimises the largest stage sum of COSTS[n] (each >= 0) over all partitions into non-empty
 * contiguous stages; exact. FIRST and LAST are added to the first and last stage (end layers).
 * Among the optima it takes the one whose bounds are reached by filling stages evenly, not
 * greedily. */
PwPartition *pw_partition_new_balanced (const double *costs, int n, int stages, double first,
                                        double last, GError **error);
/* The same, a stage's sum counting WEIGHTS[stage] (> 0) times: of a slower rank more. As exact, but
 * slower: it looks at all layers for all stages, up to 63 times. NULL: all 1. */
PwPartition *pw_partition_new_weighted (const double *costs, int n, int stages,
                                        const double *weights, double first, double last,
                                        GError **error);
void pw_partition_free (PwPartition *partition);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwPartition, pw_partition_free)
/* The largest stage sum. */
double pw_partition_cost (const PwPartition *partition, const double *costs, double first,
                          double last);
