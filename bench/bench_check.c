/* bench_check [RANKS [MICROBATCHES [REPEATS]]]: checks 1f1b (default 256 ranks, 6,528
 * micro-batches, 3 runs; medians): with every message 10 million actions. Prints seconds, and how
 * many of the 2 that 10 million may take, of
 *
 *   POLICY            the lowered schedule: order, messages, memory, and the run that finds
 * deadlocks POLICY, batched   the same with sends and receives joined into groups compute the
 * compute schedule, which is lowered on the way
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "schedules/check.h"
#include "schedules/lower.h"

#define LIMIT_S_PER_ACTION (2.0 / 10e6)

static double
now_s (void) {
  struct timespec time;
  clock_gettime (CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static int
compare (const void *a, const void *b) {
  const double *x = a, *y = b;
  return (*x > *y) - (*x < *y);
}

static int64_t
length_of (const PwSchedule *schedule) {
  int64_t n = 0;
  for (int rank = 0; rank < schedule->ranks; rank++)
    n += pw_program_length (&schedule->programs[rank]);
  return n;
}

static void
bench (const char *name, const PwSchedule *schedule, int64_t actions, PwPolicy policy,
       int repeats) {
  g_autofree double *seconds = g_new (double, (gsize)repeats);
  PwCheckOptions options = { .policy = policy };
  for (int i = 0; i < repeats; i++) {
    double start = now_s ();
    g_autoptr (PwCheckReport) report = pw_schedule_check (schedule, NULL, &options);
    seconds[i] = now_s () - start;
    g_assert (report->valid);
  }
  qsort (seconds, (size_t)repeats, sizeof *seconds, compare);
  double median = seconds[repeats / 2], limit = LIMIT_S_PER_ACTION * (double)actions;
  printf ("%-24s %10.3f ms  %7.1f M actions/s  %.2f of the limit\n", name, median * 1e3,
          (double)actions / median * 1e-6, median / limit);
}

int
main (int argc, char **argv) {
  PwScheduleParams params;
  pw_schedule_params_init (&params);
  params.ranks = argc > 1 ? atoi (argv[1]) : 256;
  params.microbatches = argc > 2 ? atoi (argv[2]) : 6528;
  int repeats = argc > 3 ? atoi (argv[3]) : 3;
  if (params.ranks < 1 || params.microbatches < 1 || repeats < 1) {
    fprintf (stderr, "usage: bench_check [RANKS [MICROBATCHES [REPEATS]]]\n");
    return 2;
  }
  g_autoptr (PwSchedule) compute = pw_schedule_generate ("1f1b", &params, NULL);
  for (int batched = 0; batched <= 1; batched++)
    for (PwPolicy policy = 0; policy < PW_POLICY_N; policy++) {
      PwLowerOptions lower = { .policy = policy, .batched = batched };
      g_autoptr (PwSchedule) lowered = pw_schedule_lower (compute, NULL, &lower, NULL);
      g_autofree char *name
          = g_strconcat (pw_policies[policy].name, batched ? ", batched" : "", NULL);
      int64_t actions = length_of (lowered);
      if (policy == 0 && !batched)
        printf ("1f1b, %d ranks, %d micro-batches: %.0f actions, %.0f of them compute\n",
                params.ranks, params.microbatches, (double)actions, (double)length_of (compute));
      bench (name, lowered, actions, policy, repeats);
    }
  bench ("compute", compute, length_of (compute), PW_POLICY_DEFAULT, repeats);
  return 0;
}
