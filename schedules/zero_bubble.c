#include "schedules/zero_bubble_private.h"
#include "schedules/registry_private.h"

PwSchedule *
pw__zero_bubble_new (const char *name, const PwScheduleParams *params,
                     PwZeroBubbleRank (*rank_of) (const PwScheduleParams *, int)) {
  int M = params->microbatches;
  PwSchedule *schedule = pw__schedule_new_straight (name, params, 3 * (int64_t)M);
  for (int rank = 0; rank < params->ranks; rank++) {
    PwZeroBubbleRank plan = rank_of (params, rank);
    PwAction *out = schedule->programs[rank].actions;
    for (int m = 0; m < plan.warmup; m++)
      *out++ = pw_action (PW_ACTION_FORWARD, rank, m);
    for (int m = 0; m < M; m++) {
      if (plan.warmup + m < M)
        *out++ = pw_action (PW_ACTION_FORWARD, rank, plan.warmup + m);
      *out++ = pw_action (PW_ACTION_INPUT_GRADIENT, rank, m);
      if (m >= plan.lag)
        *out++ = pw_action (PW_ACTION_WEIGHT_GRADIENT, rank, m - plan.lag);
    }
    for (int m = MAX (0, M - plan.lag); m < M; m++)
      *out++ = pw_action (PW_ACTION_WEIGHT_GRADIENT, rank, m);
  }
  return schedule;
}

double
pw__zero_bubble_peak (PwZeroBubbleRank rank, int64_t n, double weight_memory) {
  if (n <= rank.warmup)
    return (double)n;
  return rank.warmup + 1 + weight_memory * (double)MIN (n - 1 - rank.warmup, rank.lag);
}
