/* Problems for the tests of the search, and what the rest of the project says of an order. All
 * random numbers are g_test's, so --seed repeats a failure. */
#pragma once
#include "sim/planner/search.h"

typedef struct {
  PwSearchInput input; /* of the arrays below */
  PwStageEdges *edges;
  PwStageCosts *costs;
  double *held, *kept, *limit;
} Problem;
/* All steps cost 1, links nothing; a stage holds 1/chunks, half of it for W; no limits. */
Problem *problem_new (int ranks, int chunks, int microbatches);
/* Whole costs of 1..9 (zeros, too, with ZEROS), messages of 0..3, limits from the least that is
 * possible to none, shares for W from 0 to all, either objective. */
Problem *problem_new_random (int ranks, int chunks, int microbatches, gboolean zeros);
void problem_free (Problem *problem);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Problem, problem_free)

void problem_set_costs (Problem *problem, double F, double I, double W, double transfer);
/* The same part of each stage's memory is for W, and each rank may hold LIMIT micro-batches. */
void problem_set_memory (Problem *problem, double weight_memory, double limit);
/* One line from which it can be built again. */
char *problem_describe (const Problem *problem);

/* Of SCHEDULE under the problem's costs, by the simulator. */
double problem_simulate (const Problem *problem, const PwSchedule *schedule, PwPolicy policy);
/* The memory RANK reaches at most, by the order of its list. */
double problem_peak (const Problem *problem, const PwSchedule *schedule, int rank);
gboolean problem_fits (const Problem *problem, const PwSchedule *schedule);
