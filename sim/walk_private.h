/* The first evaluation, for policies whose queues hold one channel each: every rank's list is
 * walked as far as its messages have arrived, and each action's times are written where the result
 * keeps them. A receive holds up the walk (not the time), which is all the same for lists that post
 * receives after what they depend on; of others the walk knows nothing and says so. */
#pragma once
#include "sim/summary_private.h"

/* What the walk is for: buffered, or a queue per edge, no groups. */
gboolean pw__sim_walk_applies (const PwSchedule *schedule);
/* FALSE: it got stuck; whether that is a deadlock is for compile.c to say. */
gboolean pw__sim_walk (PwSimSummary *summary, const PwSimDurations *durations);
