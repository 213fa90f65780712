/* The whole loop on one plan: profile, simulate, run, compare. */
#pragma once
#include "exec/train.h"
#include "sim/sim.h"
#include "traces/diff.h"

typedef struct {
  int64_t steps; /* to measure, after warm-up; 0: 10 */
  PwExecOptions exec;
  PwLayerCosts *layer_costs; /* instead of the plan's file or, without one, profiling; borrowed */
  double profile_seconds;    /* for each micro-batch size; 0: 2 */
  void (*progress) (const char *stage, double fraction, gpointer data); /* NULL: none */
  gpointer progress_data;
  const volatile int *interrupted;
} PwValidateOptions;

typedef struct {
  PwTrace *predicted, *measured;
  PwTraceDiff *diff;
  PwTrainResult *train;
  PwLayerCosts *layer_costs;
  double predicted_iteration_time, measured_iteration_time, relative_error;
  double predicted_bubble_fraction, measured_bubble_fraction;
  int n_ranks;
  int64_t *predicted_peak_memory_bytes, *measured_peak_memory_bytes;
} PwValidation;
PwValidation *pw_validate_run (const PwPlan *plan, const PwValidateOptions *options,
                               GError **error);
void pw_validation_free (PwValidation *validation);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwValidation, pw_validation_free)
