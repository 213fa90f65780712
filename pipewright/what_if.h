/* What a change would do to a simulation: sim/what_if.h has the language. */
#pragma once
#include "pipewright/simulate.h"

typedef struct {
  double iteration_time;
  double gain; /* share of the time per sample (synthetic: per micro-batch) that is saved */
  gboolean is_other_work; /* the number of samples is another one */
} PwWhatIfAnswer;

/* BASE was made from PLAN, or from SYNTHETIC (the other is NULL). Where layers move or the number
 * of micro-batches changes, the plan is resolved again; else the order of the schedule stays. */
gboolean pw_simulate_what_if (const PwSimulation *base, const PwPlan *plan,
                              const PwSynthetic *synthetic, const char *changes,
                              PwWhatIfAnswer *answer, GError **error);
