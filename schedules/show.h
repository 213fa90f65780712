/* A schedule drawn in characters: a row per rank, a cell per shortest action.
 *
 *   time     0              5              10             15
 *   rank 0 | F0 F1 F2 .  .  .  .  B0--- F3 B1--- .  B2--- .  B3---
 *
 * Cells lose the blank between them before anything is cut. */
#pragma once
#include "schedules/schedule.h"

typedef struct {
  double F, I, W; /* time of a chunk and whole micro-batch */
  int width;      /* columns at most; 0: 100. A wider schedule is cut, and the text says so. */
  gboolean color;
} PwShowOptions;
/* Actions start as soon as order and dependencies allow, no links. */
char *pw_schedule_show (const PwSchedule *schedule, const PwShowOptions *options);
