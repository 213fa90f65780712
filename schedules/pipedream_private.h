/* 1F1B without end, the order of the asynchronous schedules. A rank's program is
 *
 *   warm-up | body, again and again | drain
 *   F0 F1   | F2 B0 U               | B(M-2) U B(M-1) U      warm-up 2, an update every micro-batch
 *
 * so that a run of any length is as short to write down. */
#pragma once
#include "schedules/registry_private.h"

/* One stage per rank, min(M, P-1-r) forwards ahead, U behind each EVERY-th backward; EVERY divides M.
 * The promise is asynchronous, its versions are left to the caller. */
PwSchedule *pw__schedule_new_endless (const char *name, const PwScheduleParams *params, int every);
/* Idle once, while the pipeline fills and drains, however long it runs. */
double pw__endless_bubble_time (const PwScheduleParams *params);
