/* From a measured trace back to costs: scales a layer cost table so that the stages' mean action
 * times are those of the trace. */
#pragma once
#include "plans/resolve.h"
#include "traces/trace.h"

PwLayerCosts *pw_costs_calibrate (const PwResolvedPlan *resolved, const PwTrace *trace,
                                  GError **error);
