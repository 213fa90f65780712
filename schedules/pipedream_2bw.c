/* PipeDream-2BW (arXiv 2006.09503): 1F1B without a flush, an update every k >= P micro-batches
 * (`update_every`). All micro-batches of batch b, that is from the update before them to their own,
 * use the weights of version max(0, b-1) on every rank, one update late: with at most P
 * micro-batches under way never more than two versions are needed.
 *
 *   F = 1, B = 2, P = 3, M = 6, k = 3; u: the update
 *   rank 0 | F0 F1 F2 .  .  .  .  B0--- F3 B1--- F4 B2---uF5 B3--- .  B4--- .  B5---u
 *   rank 1 | .  F0 F1 .  .  B0--- F2 B1--- F3 B2---uF4 B3--- F5 B4--- .  B5---u.  .
 *   rank 2 | .  .  F0 B0--- F1 B1--- F2 B2---uF3 B3--- F4 B4--- F5 B5---u.  .  .  .
 *
 * Without `update_every` k is the smallest divisor of M that is at least P. */
#include "schedules/pipedream_private.h"

static int
refuse (GError **error, const char *format, ...) {
  va_list arguments;
  va_start (arguments, format);
  g_autofree char *message = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_set_error_literal (error, PW_SCHEDULE_ERROR, PW_SCHEDULE_ERROR_PARAMETER, message);
  return 0;
}

static int
smallest_divisor (int number, int at_least) {
  int divisor = at_least;
  while (number % divisor != 0)
    divisor++;
  return divisor;
}

/* 0: refused. */
static int
update_every (const PwScheduleParams *params, GError **error) {
  int M = params->microbatches, P = params->ranks, k = params->update_every;
  if (M < P)
    return refuse (error,
                   "pipedream-2bw updates every %d micro-batches (one per rank) or more, "
                   "there are %d",
                   P, M);
  if (k == 0)
    return smallest_divisor (M, P);
  if (k < P)
    return refuse (error,
                   "update_every: %d micro-batches are fewer than the %d ranks, which would "
                   "need more than two weight versions",
                   k, P);
  if (M % k != 0)
    return refuse (error, "update_every: %d does not divide the %d micro-batches", k, M);
  return k;
}

static PwSchedule *
generate (const PwScheduleParams *params, GError **error) {
  int every = update_every (params, error);
  if (every == 0)
    return NULL;
  PwSchedule *schedule = pw__schedule_new_endless ("pipedream-2bw", params, every);
  schedule->promise.weight_versions = 2;
  schedule->promise.version_rule = PW_VERSIONS_PREVIOUS;
  return schedule;
}

static double
peak_activations (const PwScheduleParams *params, int rank) {
  return params->ranks - rank;
}

const PwScheduleType pw__schedule_pipedream_2bw = {
  .name = "pipedream-2bw",
  .summary = "1f1b without end: an update every k >= P micro-batches, two weight versions",
  .paper = "PipeDream-2BW (Narayanan et al., 2020), arXiv 2006.09503",
  .title = "Memory-Efficient Pipeline-Parallel DNN Training",
  .about = "pipedream with two weight versions instead of up to P: gradients of k >= P "
           "micro-batches are added before each update, and all micro-batches between two updates "
           "use the same version, one update late, on every rank. The delay is thus constant, "
           "where pipedream's depends on the rank. No rank waits after the fill; activations are "
           "those of 1f1b",
  .follows = "The paper's rule: batch b uses the weights of max(0, b-1) updates",
  .differs = "The paper also plans the partition and the replicas of the pipeline; only its "
             "schedule is here. Without --update-every k is the smallest divisor of M that is at "
             "least P. The same paper's PipeDream-flush is 1f1b",
  .limits = "k must be at least P and divide M",
  .refused = "--ranks 4 --microbatches 8 --update-every 2",
  .related = "pipedream 1f1b",
  .bubble = "(P-1)(F+B) once in a run of any length, to fill and drain; k dividing M",
  .peak = "P-r, and two weight versions",
  .measure = "iteration",
  .options = PW_OPTION_UPDATE_EVERY,
  .generate = generate,
  .bubble_time = pw__endless_bubble_time,
  .peak_activations = peak_activations,
};
