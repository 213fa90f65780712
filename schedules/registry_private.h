/* One line per schedule, each defined in its own file: the registry's list, and what the generators
 * share. */
#pragma once
#include "schedules/schedule.h"

/* The order of `schedule list`. */
#define PW_SCHEDULE_TYPES(X)                                                                       \
  X (naive)                                                                                        \
  X (gpipe)                                                                                        \
  X (one_f_one_b)                                                                                  \
  X (eager_1f1b)                                                                                   \
  X (interleaved_1f1b)                                                                             \
  X (looped_bfs)                                                                                   \
  X (hanayo)                                                                                       \
  X (seq1f1b)                                                                                      \
  X (chimera)                                                                                      \
  X (dualpipe)                                                                                     \
  X (dualpipe_v)                                                                                   \
  X (zb_h1)                                                                                        \
  X (zb_h2)                                                                                        \
  X (zb_interleaved)                                                                               \
  X (zb_v)                                                                                         \
  X (v_half)                                                                                       \
  X (v_min)                                                                                        \
  X (pipedream)                                                                                    \
  X (pipedream_2bw)                                                                                \
  X (forward_only)

#define PW_DECLARE_SCHEDULE_TYPE(name) extern const PwScheduleType pw__schedule_##name;
PW_SCHEDULE_TYPES (PW_DECLARE_SCHEDULE_TYPE)
#undef PW_DECLARE_SCHEDULE_TYPE

/* One stage per rank, stage r on rank r; a list of LENGTH actions for each rank, to be written. */
PwSchedule *pw__schedule_new_straight (const char *name, const PwScheduleParams *params,
                                       int64_t length);
/* The same with CHUNKS stages per rank, stage s on rank s mod P. */
PwSchedule *pw__schedule_new_loop (const char *name, const PwScheduleParams *params, int chunks,
                                   int64_t length);
/* Can as many stages, and micro-batches times pieces, be numbered and listed? Asked of PARAMS
 * before a generator is called; one whose own default has several stages or pieces asks again. */
gboolean pw__schedule_fits (int64_t stages, int64_t slots, GError **error);
