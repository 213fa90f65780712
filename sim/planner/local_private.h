#pragma once
#include "sim/planner/order_private.h"

/* Moves single actions of the longest path, keeping what is not longer, until the scratch's visits
 * reach VISITS_MAX or the value TARGET. Returns the value of WORDS as they are left. */
double pw__order_improve (const PwOrderProblem *problem, uint8_t *words, int64_t visits_max,
                          double target, PwOrderScratch *scratch);
