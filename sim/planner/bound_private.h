#pragma once
#include "sim/planner/order_private.h"

/* No order within the memory has a smaller value. */
double pw__order_bound (const PwOrderProblem *problem);
