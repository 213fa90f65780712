/* A schedule drawn in characters: a row per rank, a column per unit of time. */
#pragma once
#include "schedules/schedule.h"

typedef struct {
  double F, I, W; /* time of a chunk; a cell is one unit wide */
  int width;      /* columns at most; 0: 100. A wider schedule is cut, and the text says so. */
  gboolean color;
} PwShowOptions;
/* Actions start as soon as order and dependencies allow, no links. */
char *pw_schedule_show (const PwSchedule *schedule, const PwShowOptions *options);
