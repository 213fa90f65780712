/* The parts of the checker. Each appends findings to a log until it is full. */
#pragma once
#include "schedules/check.h"
#include "schedules/messages_private.h"

typedef struct {
  GArray *findings; /* PwCheckFinding */
  guint max;
} PwCheckLog;

static inline gboolean
pw__check_log_is_full (const PwCheckLog *log) {
  return log->findings->len >= log->max;
}
void pw__check_log_add (PwCheckLog *log, PwScheduleError code, int rank, int64_t action,
                        const char *format, ...) G_GNUC_PRINTF (5, 6);

/* Everything that can be seen without running: placement, completeness, nothing twice, the order
 * within each rank. All lists are plain. */
void pw__check_order (const PwSchedule *schedule, const PwStageEdges *edges,
                      const PwCrossings *crossings, PwCheckLog *log);
/* Weight-gradient order per stage and direction. */
PwAccumulation pw__check_accumulation (const PwSchedule *schedule);
/* Peaks per rank; a finding where the limit is first exceeded. LIMIT 0: none. */
void pw__check_memory (const PwSchedule *schedule, double weight_memory, double limit, double *peaks,
                       PwCheckLog *log);
/* Runs lowered plain lists, found in order by pw__check_order, under POLICY without times. */
void pw__check_deadlock (const PwSchedule *schedule, const PwStageEdges *edges,
                         const PwCrossings *crossings, PwPolicy policy, PwCheckLog *log);
