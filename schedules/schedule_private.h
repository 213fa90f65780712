/* What the files of this folder share about schedules. */
#pragma once
#include "schedules/schedule.h"

/* Micro-batches times pieces: one more than the largest `microbatch` an action may carry. */
static inline int64_t
pw__schedule_slots (const PwSchedule *schedule) {
  return (int64_t) schedule->microbatches * schedule->pieces;
}

static inline int
pw__schedule_direction (const PwSchedule *schedule, uint32_t slot) {
  if (schedule->direction == NULL)
    return 0;
  return schedule->direction[slot / (uint32_t) schedule->pieces];
}

/* All fields but the programs, which start empty. */
PwSchedule *pw__schedule_copy_head (const PwSchedule *schedule);
/* SCHEDULE itself if every program is a plain list, else its unrolled copy, also put in *OWNED. */
const PwSchedule *pw__schedule_plain (const PwSchedule *schedule, PwSchedule **owned,
                                      GError **error);
