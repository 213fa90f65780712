/* An order at least as good as the built-in schedules': searched for (sim/planner/search.h),
 * simulated, and held against every built-in schedule of the same placement within the same memory.
 * What comes back is the best of all of them and a proven bound on how good any order can be. */
#pragma once
#include "pipewright/simulate.h"
#include "sim/planner/search.h"

#define PW_PLAN_ORDER_ERROR (pw_plan_order_error_quark ())
GQuark pw_plan_order_error_quark (void);
typedef enum {
  PW_PLAN_ORDER_ERROR_MEMORY,     /* no order fits; the message names a rank and what it needs */
  PW_PLAN_ORDER_ERROR_UNSUPPORTED /* a plan that orders are not searched for */
} PwPlanOrderError;

extern const char *const pw_objective_names[]; /* "iteration", "span", NULL; in enum order */

typedef struct {
  PwSimulation *simulation; /* of the order, which is its `compute` */
  PwObjective objective;
  double value;        /* of the objective, as simulated */
  double lower_bound;  /* no order of the same placement within the memory is better */
  gboolean is_optimal; /* proven */
  char *method;        /* what found it: the search's word, or a built-in schedule's name */
  char *builtin;       /* the best built-in schedule of this placement that fits; NULL: none */
  double builtin_value;
  double search_seconds; /* all of it */
} PwPlanOrder;

/* A schedule whose placement can be searched: stage r on rank r, or for two chunks a V, stages r
 * and 2P-1-r. NULL for other numbers of chunks. */
const char *pw_plan_order_placement (int chunks);
/* SYNTHETIC and PLAN name that schedule, and no more of it than the placement counts. Their memory
 * limits are kept: of a rank's activations, or of all its bytes. */
PwPlanOrder *pw_plan_order_synthetic (const PwSynthetic *synthetic, PwObjective objective,
                                      GError **error);
PwPlanOrder *pw_plan_order_for_plan (const PwPlan *plan, PwObjective objective, GError **error);
void pw_plan_order_free (PwPlanOrder *order);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwPlanOrder, pw_plan_order_free)
