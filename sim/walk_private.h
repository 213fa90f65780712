/* The first evaluation, for policies whose queues hold one channel each: every rank's list is
 * walked as far as its inputs have been sent, and each action's times are written where the result
 * keeps them. Of links that are shared each transfer waits in a heap until no rank can walk on: what
 * could start first of these starts. A compute whose input is missing holds up the walk, though not its time: lists that
 * are in no order in which they could be carried out the walk leaves to the engines. */
#pragma once
#include "sim/summary_private.h"

/* What the walk is for: buffered, or a queue per edge, no groups, nothing beside compute. */
gboolean pw__sim_walk_applies (const PwSimLayout *layout);
/* FALSE: it got stuck; whether that is a deadlock is for the engines to say. */
gboolean pw__sim_walk (PwSimSummary *summary, const PwSimDurations *durations,
                       const PwStageCosts *costs, gboolean shares_links);
