/* Two traces of the same schedule, action by action: A is usually the prediction, B the
 * measurement.
 * Records are matched by (rank, iteration, action). Errors of start and duration are relative to
 * B's iteration time, each iteration counted from its own first start. */
#pragma once
#include "traces/trace.h"

typedef struct {
  PwAction action;
  int rank;
  double a_start, a_end, b_start, b_end; /* within the iteration */
} PwTraceDiffAction;
typedef struct {
  int rank;
  double a_busy, b_busy, a_idle, b_idle; /* of the compared iteration */
  int64_t a_peak_memory_bytes, b_peak_memory_bytes;
  double median_start_error; /* relative to B's iteration time, absolute value */
} PwTraceDiffRank;
typedef struct {
  double a_iteration_time, b_iteration_time, relative_error; /* (a - b) / b */
  double a_bubble_fraction, b_bubble_fraction;
  double median_start_error, p95_start_error, median_duration_error;
  int64_t matched, only_in_a, only_in_b;
  int n_ranks;
  PwTraceDiffRank *ranks;
  int n_worst; /* up to 10 actions with the largest start error */
  PwTraceDiffAction *worst;
} PwTraceDiff;
/* Compares compute actions; of each trace pw_trace_median_iteration is taken, its micro-batches
 * counted from its lowest. Fails (MISMATCH) if ranks, stages or units of time differ or nothing
 * matches. */
PwTraceDiff *pw_trace_diff (const PwTrace *a, const PwTrace *b, GError **error);
void pw_trace_diff_free (PwTraceDiff *diff);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwTraceDiff, pw_trace_diff_free)
