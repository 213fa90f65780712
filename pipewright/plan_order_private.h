/* What the search for an order is made of: the problem, what any order is worth, the built-in
 * schedules, and the search's view of it all. */
#pragma once
#include "pipewright/plan_order.h"

typedef struct {
  const PwPlacement *placement;
  int microbatches, chunks;
  const PwStageEdges *edges;
  const PwStageCosts *costs;
  PwScheduleParams params; /* what built-in generators are told; chunks and the like are unset */
  PwLowerOptions lower;
  PwObjective objective;
  gboolean in_bytes; /* the limit is of all of a rank's bytes, else micro-batches of activations */
  double limit;      /* INFINITY: none */
} PwPlanOrderProblem;

/* An order and what the simulator says of it. */
typedef struct {
  PwSchedule *compute, *lowered;
  PwSimInput input;
  PwSimResult *result;
  double value;        /* of the objective */
  double wall_seconds; /* lower + simulate */
} PwPlanOrderTrial;
/* COMPUTE is taken over. NULL if it cannot run. */
PwPlanOrderTrial *pw__plan_order_try (const PwPlanOrderProblem *problem, PwSchedule *compute,
                                      GError **error);
void pw__plan_order_trial_free (PwPlanOrderTrial *trial);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwPlanOrderTrial, pw__plan_order_trial_free)
/* What RANK needs at its peak, in the limit's unit. */
double pw__plan_order_need (const PwPlanOrderProblem *problem, const PwPlanOrderTrial *trial,
                            int rank);
/* The first rank above the limit; -1: it fits. */
int pw__plan_order_misfit (const PwPlanOrderProblem *problem, const PwPlanOrderTrial *trial);
/* By more than the rounding of sums. */
gboolean pw__plan_order_is_shorter (double a, double b);

/* The best of the built-in schedules that train synchronously, cut no micro-batch into pieces and
 * have the problem's placement; NULL: none fits. */
PwPlanOrderTrial *pw__plan_order_best_builtin (const PwPlanOrderProblem *problem);
/* One micro-batch after another, which needs the least memory. */
PwSchedule *pw__plan_order_one_by_one (const PwPlanOrderProblem *problem);
/* Each I that its W follows becomes a B; NULL where there is none. */
PwSchedule *pw__plan_order_fuse (const PwSchedule *schedule);

/* The problem as the search takes it. */
typedef struct {
  PwSearchInput input; /* points into the rest */
  PwStageCosts *chain; /* NULL: the problem's own costs are of a chain */
  double *held, *kept, *limit;
} PwPlanOrderSearch;
/* No order that fits the problem is refused by LIMIT; the search may still find one that does not
 * fit. FALSE where stages do not follow each other in a chain. */
gboolean pw__plan_order_search_init (PwPlanOrderSearch *search, const PwPlanOrderProblem *problem,
                                     GError **error);
void pw__plan_order_search_clear (PwPlanOrderSearch *search);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (PwPlanOrderSearch, pw__plan_order_search_clear)
/* Changes SEARCH so that its bound holds for whatever the problem has beyond it: full backwards
 * that take less than I and W, micro-batches smaller than the others. FALSE: nothing to change. */
gboolean pw__plan_order_search_relax (PwPlanOrderSearch *search, const PwPlanOrderProblem *problem);
gboolean pw__plan_order_prefers_full_backward (const PwPlanOrderProblem *problem);
