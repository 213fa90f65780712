/* A compiled schedule for many scenarios at once. Each lane of a vector is a scenario; a node's
 * times in all of them lie side by side in a place of its own for as long as some later node waits
 * for it, then another node has the place: what is live fits the first cache, whatever the length
 * of the schedule. */
#pragma once
#include "sim/lanes_loops_private.h"
#include "sim/program_private.h"

typedef struct PwSimLanes {
  int32_t n_steps; /* step i is node i + 1 of the graph: the origin has place 0 and no step */
  PwSimStep *steps;
  int32_t n_places;
  int32_t n_last, *last; /* places of what nothing waits for */
  /* Places of the ranks' last computes in the first and in the last iteration; the first's only
   * where there are several. */
  int32_t n_first, *first, n_final, *final;
  int iterations;
} PwSimLanes;

PwSimLanes *pw__sim_lanes_new (const PwSimTimed *timed, const PwSimLayout *layout);
void pw__sim_lanes_free (PwSimLanes *lanes);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwSimLanes, pw__sim_lanes_free)

/* WIDTH zeros per row, none across a cache line; for g_aligned_free. */
double *pw__sim_lanes_rows_new (int64_t rows, int width);
/* From the places of WIDTH scenarios: the end of everything, and a result's iteration_time; either
 * may be NULL. */
void pw__sim_lanes_read (const PwSimLanes *lanes, const double *places, int width, double *totals,
                         double *iteration_times);

/* For each of N costs what pw_sim_retime returns, and what a result has as iteration_time; either
 * may be NULL. LOOPS: which instruction set. */
void pw__sim_lanes_times (PwSimProgram *program, const PwSimLanesLoops *loops,
                          const PwStageCosts *const *costs, int n, double *totals,
                          double *iteration_times);
