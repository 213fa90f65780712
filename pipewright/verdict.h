/* Why a plan does not fit its memory, and what would: other options of the same plan, each
 * simulated. */
#pragma once
#include "pipewright/simulate.h"

typedef struct {
  char *options; /* "--recompute stage --microbatches 16" */
  int n_options;
  gboolean needs_ranks; /* more than the plan has */
  double iteration_time;
  double slower; /* share of the time per sample that it costs more; negative: less */
  int64_t peak_memory_bytes;
} PwVerdictChange;

typedef struct {
  int rank; /* the one that needs most */
  int64_t needs, limit;
  int64_t by_category[PW_MEMORY_N]; /* at its peak */
  GArray *changes; /* PwVerdictChange: those that fit; first those without more ranks, then the
                      fewest options, then the fastest */
  PwVerdictChange nearest; /* where none fits: what needs least; options NULL: nothing less */
  int n_tried;
} PwVerdict;
/* NULL where SIMULATION, of PLAN, fits in LIMIT bytes per rank. */
PwVerdict *pw_verdict_new (const PwPlan *plan, const PwSimulation *simulation, int64_t limit);
void pw_verdict_free (PwVerdict *verdict);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwVerdict, pw_verdict_free)
