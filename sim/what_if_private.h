#pragma once
#include "sim/what_if.h"

gboolean pw__what_if_apply_one (const PwWhatIfChange *change, const PwPlacement *placement,
                                const PwStageEdges *edges, PwStageCosts *costs, GError **error);
