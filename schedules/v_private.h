/* Schedules with a split backward on a V: stage r and stage 2P-1-r on rank r (arXiv 2405.15362). */
#pragma once
#include "schedules/schedule.h"

/* For each rank a list of 6M actions, to be written. NULL where so many cannot be numbered. */
PwSchedule *pw__schedule_new_v (const char *name, const PwScheduleParams *params, GError **error);

/* What a rank does for a micro-batch, in the order of its V. */
typedef enum {
  PW_V_FORWARD_DOWN,
  PW_V_FORWARD_UP,
  PW_V_BACKWARD_UP, /* I of the upper stage comes first */
  PW_V_BACKWARD_DOWN,
  PW_V_N
} PwVStep;
#define PW_V_PERIOD 6

/* RANK's start slots for micro-batch 0; different modulo the period. */
typedef void (*PwVPattern) (int ranks, int rank, int slots[PW_V_N]);

/* Repeats the pattern every PW_V_PERIOD slots, moves what warms up and cools down as early as the
 * pattern's peak allows, and puts weight gradients where a rank would be idle. */
PwSchedule *pw__v_pattern_new (const char *name, const PwScheduleParams *params, PwVPattern pattern,
                               GError **error);
