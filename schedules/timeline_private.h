/* When each action of a compute schedule starts and ends if nothing but order and dependencies holds
 * it back, stages being a chain. For pictures; the simulator has its own. */
#pragma once
#include "schedules/schedule.h"

typedef struct {
  double *start, *end; /* of action i of rank r: [base[r] + i]; NAN: never runs */
  int64_t *base;       /* [ranks + 1] */
  double length;
  double busy; /* summed over ranks */
} PwTimeline;

/* F, I, W of a stage and whole micro-batch. NULL where the schedule lacks so much that it cannot be drawn. Takes plain
 * lists; messages and updates take no time. */
PwTimeline *pw__timeline_new (const PwSchedule *schedule, double F, double I, double W);
void pw__timeline_free (PwTimeline *timeline);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwTimeline, pw__timeline_free)
