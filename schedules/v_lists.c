#include "schedules/registry_private.h"
#include "schedules/v_private.h"

PwSchedule *
pw__schedule_new_v (const char *name, const PwScheduleParams *params, GError **error) {
  int P = params->ranks, M = params->microbatches;
  if (!pw__schedule_fits (2 * (int64_t)P, M, error))
    return NULL;
  PwSchedule *schedule = pw_schedule_new (name, pw_placement_new (PW_PLACEMENT_WAVE, P, 2 * P), M);
  g_autofree int64_t *lengths = g_new (int64_t, (gsize)P);
  for (int rank = 0; rank < P; rank++)
    lengths[rank] = 6 * (int64_t)M;
  pw_schedule_new_lists (schedule, lengths);
  return schedule;
}
