#pragma once
#include "schedules/lower.h"

/* pw_schedule_lower that also says where it stopped; -1: nowhere in particular. */
PwSchedule *pw__schedule_lower_at (const PwSchedule *schedule, const PwStageEdges *edges,
                                   const PwLowerOptions *options, int *rank, int64_t *action,
                                   GError **error);
/* The same lists with every action played, none copied: what tests compare with. */
PwSchedule *pw__schedule_lower_by_playing (const PwSchedule *schedule, const PwStageEdges *edges,
                                           const PwLowerOptions *options, GError **error);
