#pragma once
#include "sim/planner/order_private.h"

/* Both change WORDS, an order that runs, into one that is not longer, until the scratch's visits
 * reach VISITS_MAX or the value TARGET; they return the value. */

/* local.c: moves single actions of the longest path. */
double pw__order_improve (const PwOrderProblem *problem, uint8_t *words, int64_t visits_max,
                          double target, PwOrderScratch *scratch);
/* vary.c: dispatches again with other priorities of whole rows. */
double pw__order_vary (const PwOrderProblem *problem, uint8_t *words, int64_t visits_max,
                       double target, PwOrderScratch *scratch);
