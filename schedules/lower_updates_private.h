/* What ends a synchronous iteration on each rank: REDUCE_GRAD of its stages where they have
 * replicas, NORM, U. */
#pragma once
#include "schedules/lower.h"

/* Actions of all ranks' lists: [ranks], added to. */
void pw__lower_count_updates (const PwPlacement *placement, const PwLowerOptions *options,
                              int64_t *length);
/* Writes them into lists that have the room. */
void pw__lower_append_updates (PwSchedule *lowered, const PwLowerOptions *options);
